"""Each CRM's sample, rightly signed, through the real endpoint with its preset, into the right leads."""

from __future__ import annotations

import json

import pytest

from integration.crms import preset_names
from integration.house import read_zone
from integration.house.dates import read_instant
from integration.payload import BadBody
from integration.rules import Rules, RulesError, decide, load_rules, read_message
from tests.crms.rig import ENVIRON, HEAD, SAMPLES, Office, preset_rules, rules_of

# The samples' (555) 010-0100 cannot exist; this one can, and is set aside for examples.
DIALABLE = {b"5550100100": b"2125550123", b"555-010-0100": b"212-555-0123"}

CALLED, FETCH = ("rehearsed", "dialing_off"), ("parked", "needs_fetch")
US, GB = "+12125550123", "+442079460958"

# sample, preset, and for each lead: the CRM's id, the key, state and reason, the number that would be dialled
TABLE: list[tuple[str, str, list[tuple[str, str, tuple[str, str], str | None]]]] = [
    (
        "activecampaign_subscribe.form",
        "activecampaign",
        [("10", "id:subscribe:10:2026-01-01T00:00:00-06:00", CALLED, "+15551234123")],
    ),
    (
        "attio_record_created.json",
        "attio",
        [
            (
                "bf071e1f-6035-429d-b874-d83ea64ea13b",
                "id:record.created:97052eb9-e65e-443f-a297-f2d9a4a7f795:bf071e1f-6035-429d-b874-d83ea64ea13b",
                FETCH,
                None,
            )
        ],
    ),
    (
        "bitrix24_oncrmleadadd.form",
        "bitrix24",
        [("1000983", "id:a223c6b3710f85df22e9377d6c4f7553:ONCRMLEADADD:1000983", FETCH, None)],
    ),
    (
        "calendly_invitee_created.json",
        "calendly",
        [
            (
                "https://api.calendly.com/scheduled_events/EVT123/invitees/INV456",
                "id:https://api.calendly.com/scheduled_events/EVT123/invitees/INV456",
                CALLED,
                US,
            )
        ],
    ),
    (
        "close_lead_created.json",
        "close",
        [("lead_1", "id:ev_2sYKRjcrA79yKxi3S4Crd7", ("blocked", "toll_free_number"), "+18004445555")],
    ),
    ("copper_lead_new.json", "copper", [("94808710", "id:lead:new:94808710", FETCH, None)]),
    (
        "dataverse_lead_create.json",
        "dataverse",
        [("6d81597f-0f9f-e711-8122-000d3aa2331c", "id:4af10637-4ea2-e711-8122-000d3aa2331c", CALLED, US)],
    ),
    ("espocrm_lead_create.json", "espocrm", [("65a1", "id:65a1", CALLED, GB)]),
    ("facebook_leadgen.json", "facebook", [("1530066778863063", "id:1530066778863063", FETCH, None)]),
    (
        "followupboss_people_created.json",
        "follow-up-boss",
        [
            ("1234", "id:peopleCreated:1234", FETCH, None),
            ("5678", "id:peopleCreated:5678", FETCH, None),
        ],
    ),
    ("frappe_crm_lead.json", "frappe", [("CRM-LEAD-2026-00001", "id:CRM-LEAD-2026-00001", CALLED, GB)]),
    (
        "gohighlevel_contact_create.json",
        "gohighlevel",
        [("nmFmQEsNgz6AVpgLVUJ0", "id:nmFmQEsNgz6AVpgLVUJ0", ("blocked", "country_not_allowed"), "+919509597501")],
    ),
    (
        "hubspot_contact_creation.json",
        "hubspot",
        [("123", "id:62515:contact.creation:123:1564113600000", FETCH, None)],
    ),
    ("hubspot_workflow_contact.json", "hubspot-workflow", [("2351", "id:62515:2351", CALLED, US)]),
    ("keap_contact_add.json", "keap", [("12345", "id:contact.add:12345", FETCH, None)]),
    ("monday_create_pulse.json", "monday", [("1772099344", "id:b12b0001", CALLED, US)]),
    ("odoo_webhook_action.json", "odoo", [("87", "id:crm.lead:87:Send lead(#412)", CALLED, GB)]),
    (
        "pipedrive_v1_person_added.json",
        "pipedrive-v1",
        [("10", "id:1234567890:person:added:10", ("parked", "no_phone"), None)],
    ),
    (
        "pipedrive_v2_lead_create.json",
        "pipedrive-lead",
        [("d1b2", "id:0c0e8a1c-0000-4000-8000-000000000002", FETCH, None)],
    ),
    (
        "pipedrive_v2_person_create.json",
        "pipedrive",
        [("10", "id:0c0e8a1c-0000-4000-8000-000000000002", CALLED, GB)],
    ),
    (
        "salesforce_outbound_message.xml",
        "salesforce-outbound",
        [("00Q5g00000ABCDEEA4", "id:04l0800002nrC5BAAU", CALLED, "+14155550199")],
    ),
    ("twenty_person_created.json", "twenty", [("ab1", "id:5ba9d0a6:ab1:person.created", CALLED, GB)]),
    ("typeform_form_response.json", "typeform", [("a3a12ec67a1365927098a606107fac15", "id:LtWXD3crgy", CALLED, US)]),
    ("zendesk_user_created.json", "zendesk", [("6596848315901", "id:18a1b2c3", CALLED, US)]),
    ("zoho_leads_insert.json", "zoho", [("410405000002264040", "id:Leads:insert:410405000002264040", FETCH, None)]),
]
NO_EVENTS = {"facebook_lead_fetch_response.json", "salesforce_outbound_ack.xml"}  # what a CRM answers, and is answered


@pytest.mark.parametrize(("sample", "preset", "leads"), TABLE, ids=[row[1] for row in TABLE])
def test_a_sample_becomes_its_leads(
    office: Office, sample: str, preset: str, leads: list[tuple[str, str, tuple[str, str], str | None]]
) -> None:
    answer = office.post_sample(sample, preset, DIALABLE)
    assert answer.status_code == 200
    office.decide_all()
    assert [
        (row["record_id"], row["dedupe_key"], (row["state"], row["reason"]), row["to_number"]) for row in office.leads()
    ] == leads
    assert [row["item"] for row in office.leads()] == list(range(len(leads)))


@pytest.mark.parametrize(("sample", "preset", "leads"), TABLE, ids=[row[1] for row in TABLE])
def test_a_sample_that_comes_again_makes_no_second_lead(
    office: Office, sample: str, preset: str, leads: list[object]
) -> None:
    office.post_sample(sample, preset)
    assert office.post_sample(sample, preset).status_code == 200
    assert len(office.leads()) == len(office.woken) == len(leads)


@pytest.mark.parametrize("preset", preset_names())
def test_a_message_without_its_proof_is_refused(office: Office, preset: str) -> None:
    answer = office.client.post(f"/hooks/{preset}", data=b'{"a": 1}', content_type="application/json")
    assert answer.status_code == 401
    assert office.leads() == []


def test_every_sample_and_every_preset_is_in_the_table() -> None:
    assert {row[0] for row in TABLE} | NO_EVENTS == {path.name for path in SAMPLES.iterdir()}
    assert sorted(row[1] for row in TABLE) == list(preset_names())


def test_each_preset_names_its_key_and_its_id(presets: Rules) -> None:
    for name, source in presets.sources.items():
        assert source.preset == name
        assert source.id, name
        assert source.event_id or source.event_key, name
        assert source.body != "auto", name
        assert source.write_back is None


# ---- twists of a vendor ----------------------------------------------------------------------------


def test_a_pipedrive_v1_person_with_a_number_is_called(office: Office) -> None:
    raw = (SAMPLES / "pipedrive_v1_person_added.json").read_bytes()
    raw = raw.replace(b'"value": "",', b'"value": "+1 212-555-0123",', 1)
    office.post("pipedrive-v1", raw)
    office.decide_all()
    assert [row["to_number"] for row in office.leads()] == [US]


def test_a_hubspot_workflow_that_enrols_a_contact_again_makes_no_second_lead(office: Office) -> None:
    office.post_sample("hubspot_workflow_contact.json", "hubspot-workflow")
    again = office.post_sample("hubspot_workflow_contact.json", "hubspot-workflow", {b'"Dana"': b'"Dora"'})
    assert again.json == {"status": "duplicate", "lead": office.woken[0]}
    other_portal = {b'"portal-id": 62515': b'"portal-id": 62516', b"(212) 555-0123": b"(212) 555-0124"}
    assert office.post_sample("hubspot_workflow_contact.json", "hubspot-workflow", other_portal).status_code == 200
    assert len(office.leads()) == 2


def test_a_hubspot_workflow_may_send_a_body_put_together_by_hand(office: Office) -> None:
    office.post("hubspot-workflow", b'{"hs_object_id": 2351, "phone": "(212) 555-0123", "country": "US"}')
    office.decide_all()
    assert [(row["record_id"], row["to_number"]) for row in office.leads()] == [("2351", US)]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "accepted"),
        ({"objectTypeId": "0-3"}, "ignored"),  # a deal
        ({"subscriptionType": "contact.creation"}, "ignored"),
    ],
)
def test_a_hubspot_app_with_generic_subscriptions_says_so_in_one_line(
    office: Office, changed: dict[str, str], status: str
) -> None:
    only = '{subscriptionType: object.creation, objectTypeId: "0-1"}'
    rules = rules_of(f'  generic:\n    preset: hubspot\n    verify: {{secret: "${{TEXT}}"}}\n    only: {only}\n')
    event = {
        "subscriptionType": "object.creation",
        "objectTypeId": "0-1",
        "objectId": 1,
        "portalId": 7,
        "occurredAt": 1,
    }
    answer = Office(office.ledger, rules).post("generic", json.dumps([event | changed]).encode())
    assert answer.json is not None
    assert answer.json["status"] == status


def test_a_highlevel_contact_under_data_is_the_same_contact(office: Office) -> None:
    contact = {"id": "c1", "phone": "+12125550123", "country": "US"}
    office.post("gohighlevel", json.dumps({"type": "ContactCreate", "webhookId": "w1", "data": contact}).encode())
    office.decide_all()
    assert [(row["record_id"], row["dedupe_key"], row["to_number"]) for row in office.leads()] == [("c1", "id:w1", US)]


@pytest.mark.parametrize(("sample", "preset"), [(sample, preset) for sample, preset, _ in TABLE])
def test_a_date_of_creation_and_a_time_zone_are_found_and_can_be_read(sample: str, preset: str) -> None:
    """Where a preset names them, `fresh_for:` and `hours:` can go by them."""
    rules = preset_rules()
    source = rules.sources[preset]
    named = {"created_at", "time_zone"} & set(source.fields)
    tree = read_message(source, (SAMPLES / sample).read_bytes(), None)
    assert not isinstance(tree, BadBody)
    fields = decide(rules, preset, tree).fields
    assert named == {"created_at", "time_zone"} & set(fields)
    if "created_at" in named:
        assert read_instant(fields["created_at"]) is not None
    if "time_zone" in named:
        assert read_zone(str(fields["time_zone"])) is not None


def test_a_rescheduled_calendly_booking_is_no_new_lead(office: Office) -> None:
    raw = (SAMPLES / "calendly_invitee_created.json").read_bytes()
    moved = raw.replace(b'"old_invitee": null', b'"old_invitee": "https://api.calendly.com/x"')
    assert office.post("calendly", moved).json == {"status": "ignored", "lead": None}


def test_an_odoo_false_is_nothing_and_the_next_number_counts(office: Office) -> None:
    office.post("odoo", b'{"_id": 1, "_model": "crm.lead", "_action": "a", "mobile": false, "phone": "(212) 555-0123"}')
    office.decide_all()
    assert [row["to_number"] for row in office.leads()] == [US]


def test_a_twenty_number_without_calling_code_is_read_by_its_country(office: Office) -> None:
    raw = (SAMPLES / "twenty_person_created.json").read_bytes()
    office.post("twenty", raw.replace(b'"primaryPhoneCallingCode": "+44",', b""))
    office.decide_all()
    assert [row["to_number"] for row in office.leads()] == [GB]


def test_a_monday_number_in_a_column_of_another_name_is_found(office: Office) -> None:
    raw = (SAMPLES / "monday_create_pulse.json").read_bytes()
    column = b'"text_1": {"value": "x"}, "phone_mkn7": {'
    office.post("monday", raw.replace(b'"phone": {', column, 1).replace(b"15550100100", b"12125550123"))
    office.decide_all()
    assert [row["to_number"] for row in office.leads()] == [US]


@pytest.mark.parametrize(
    ("preset", "changed"),
    [
        ("zoho", {"operation": "update"}),
        ("copper", {"event": "update"}),
        ("follow-up-boss", {"event": "peopleUpdated"}),
        ("keap", {"event_key": "contact.edit"}),
    ],
)
def test_an_id_list_of_another_event_is_ignored(office: Office, preset: str, changed: dict[str, str]) -> None:
    sample = next(row[0] for row in TABLE if row[1] == preset)
    body = json.dumps({**json.loads((SAMPLES / sample).read_bytes()), **changed}).encode()
    assert office.post(preset, body).json == {"status": "ignored", "lead": None, "leads": 0}


def test_a_facebook_page_message_without_changes_is_ignored(office: Office) -> None:
    assert office.post("facebook", b'{"object": "page", "entry": [{"id": "1", "messaging": [{}]}]}').json == {
        "status": "ignored",
        "lead": None,
        "leads": 0,
    }


def test_facebook_changes_of_several_entries_are_leads_each(office: Office) -> None:
    entries = [
        {"changes": [{"field": "leadgen", "value": {"leadgen_id": "1"}}, {"field": "feed", "value": {}}]},
        {"changes": [{"field": "leadgen", "value": {"leadgen_id": "2"}}]},
    ]
    answer = office.post("facebook", json.dumps({"entry": entries}).encode())
    assert answer.json["leads"] == 2
    office.decide_all()
    assert [(row["item"], row["record_id"]) for row in office.leads()] == [(0, "1"), (2, "2")]


# ---- the deployer's own keys -------------------------------------------------------------------------


def test_the_sources_own_keys_win() -> None:
    source = rules_of(
        "  crm:\n"
        "    preset: hubspot\n"
        '    verify: {secret: "${TEXT}", tolerance_seconds: 60}\n'
        "    only: {subscriptionType: object.creation}\n"
        "    needs_fetch: false\n"
        "    fields: {phone: mobile}\n"
        "    answers: {taken: 202}\n"
    ).sources["crm"]
    assert source.scheme.name == "hubspot-v3"
    assert list(source.only_paths) == ["subscriptionType"]
    assert not source.needs_fetch
    assert list(source.fields) == ["phone"]
    assert (source.answers.taken, source.answers.trouble) == (202, 503)
    assert source.items is not None


def test_another_scheme_leaves_nothing_of_the_presets() -> None:
    source = rules_of('  crm:\n    preset: monday\n    verify: {scheme: address-token, secret: "${TEXT}"}\n').sources[
        "crm"
    ]
    assert (source.scheme.name, source.scheme.kind) == ("address-token", "static")


def test_answers_of_a_preset_are_kept_beside_ones_own() -> None:
    source = rules_of("  crm:\n    preset: gohighlevel\n    answers: {taken: 202}\n").sources["crm"]
    assert (source.answers.taken, source.answers.trouble) == (202, 429)


def test_a_mistake_of_ones_own_and_the_preset_together_is_told_at_the_presets_name() -> None:
    with pytest.raises(RulesError) as caught:
        rules_of("  crm:\n    preset: odoo\n")
    assert str(caught.value) == (
        "rules.yaml:6:13: `secret` of `verify:`: this setting is missing; without a secret anyone could send leads"
    )


def test_a_shared_fields_block_that_no_source_uses_is_warned_about() -> None:
    text = f"{HEAD}fields: {{phone: Phone}}\nsources:\n  crm: {{preset: gohighlevel}}\n"
    rules = load_rules(text, name="rules.yaml", environ=ENVIRON)
    assert [(one.line, one.message) for one in rules.warnings] == [
        (
            4,
            "no source uses these fields: each has its own, or those of its preset; move them into the source",
        )
    ]
