from __future__ import annotations

import json
import re
import sqlite3

import pytest
import responses

from integration.cli import examining
from integration.ledger import NewEvent, open_database
from integration.model import Account, Decision, DecisionKind, Limit, Limits
from tests.cli.conftest import NO_SCOPE, PLACED, UNCLEAR, Terminal


@pytest.fixture
def desk(desk, centre, secrets) -> Terminal:
    """A desk where everything is set."""
    desk.env |= secrets
    return desk


def findings(result) -> list[tuple[str, str]]:
    return [(one["level"], f"{one['about']}: {one['says']}") for one in json.loads(result.stdout)["findings"]]


def bad(result) -> list[str]:
    return [text for level, text in findings(result) if level == "BAD"]


def warned(result) -> list[str]:
    return [text for level, text in findings(result) if level == "WARN"]


def test_when_all_is_well_it_says_so_and_ends_with_0(desk, office):
    result = desk("doctor")
    assert result.exit_code == 0
    assert re.search(r"^OK    dialer    http://127\.0\.0\.1:\d+ gives out a token", result.stdout, re.MULTILINE)
    assert "account us-east: id acc-east (US East, +15551230100)" in result.stdout
    assert "sqlite answers and is migrated" in result.stdout
    assert "BAD" not in result.stdout
    assert re.search(r"^No problem, \d warnings?\.$", result.stdout, re.MULTILINE)
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_it_rings_nobody(desk, office, centre):
    desk("doctor")
    assert centre.calls() == []


def test_it_goes_on_when_settings_are_missing(terminal, tmp_path):
    result = terminal("doctor", "--json")
    assert result.exit_code == 1
    told = " ".join(bad(result))
    assert "CXONE_ORG_ID: not set" in told
    assert "rules: config/rules.yaml is not in this folder" in told
    assert any("there is no ledger" in text for text in warned(result))
    assert "dialer: not asked until the settings are right" in warned(result)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_secret_a_wrong_host_and_a_host_that_is_not_there_are_told_apart(desk, office, centre):
    assert any("check CXONE_CLIENT_ID" in text for text in bad(desk("doctor", "--json", CXONE_CLIENT_SECRET="x")))
    centre.behave("status_404", on="token")
    assert any("does not speak this API" in text for text in bad(desk("doctor", "--json")))
    gone = desk("doctor", "--json", CXONE_BASE_URL="http://127.0.0.1:9")
    assert any("refused" in text for text in bad(gone))


def test_an_account_of_the_rules_that_the_dialer_lacks_is_bad(desk, office):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("acc-east", "acc-west"))
    result = desk("doctor", "--json")
    assert result.exit_code == 1
    (told,) = bad(result)
    assert "account us-east: No phone account has the id 'acc-west'" in told


def test_a_client_that_may_not_list_is_a_warning_when_the_rules_name_ids(desk, office):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("name: Vertrieb DACH", "id: acc-dach"))
    result = desk("doctor", "--json", CXONE_CLIENT_ID="sandbox-write-only")
    assert result.exit_code == 0
    assert any("personalconnection:read" in text for text in warned(result))


def test_broken_rules_and_variables_that_are_not_set_are_bad(desk, office):
    result = desk("doctor", "--json", CRM_SECRET="")
    assert result.exit_code == 1
    assert any("${CRM_SECRET} is empty" in text for text in bad(result))
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("{skip: our own lead}", "{call: dach}"))
    assert any("test failed: We are skipped" in text for text in bad(desk("doctor", "--json")))


def test_pauses_are_lifted_when_the_dialer_is_right_and_only_then(desk, office):
    lead = office.lead(NO_SCOPE)
    result = desk("doctor", "--json", CXONE_CLIENT_SECRET="wrong")
    assert any(text.startswith("pause: account us-east is paused since") for text in bad(result))
    assert len(office.ledger.reading.pauses()) == 1
    result = desk("doctor", "--json")
    assert result.exit_code == 0
    assert any("account us-east is paused" in text and text.endswith("Lifted now") for text in warned(result))
    assert office.ledger.reading.pauses() == []
    assert list(office.ledger.upkeep.due_leads()) == [lead]


def test_it_counts_the_leads_that_need_a_person(desk, office):
    office.lead(UNCLEAR)
    office.lead(Phone="none")
    told = office.lead(PLACED)
    job = office.ledger.writebacks.take(told)
    office.ledger.writebacks.park(job, "crm_refused", "the CRM answered 403", 403)
    result = desk("doctor", "--json")
    assert result.exit_code == 0
    unknown, parked, untold = warned(result)[-3:]
    assert unknown.startswith("leads: unknown: lead 1. Nobody knows whether the phone rang.")
    assert unknown.endswith("`ringback resolve 1 --rung`, `--ring-again` or `--give-up`")
    assert parked == "leads: parked: lead 2. Nothing was dialled, a person must look: `ringback show 2`"
    assert untold.startswith(f"leads: the CRM could not be told of lead {told}: ")
    assert untold.endswith(f"`ringback show {told}`, then `ringback resolve {told} --tell-crm`")


def test_no_number_is_given_that_was_not_counted(desk, office, monkeypatch):
    for _ in range(11):
        lead = office.lead(UNCLEAR)
        office.ledger.writebacks.park(office.ledger.writebacks.take(lead), "crm_refused", "no", 403)
    for most, more in ((12, "1 more"), (11, "many more")):
        monkeypatch.setattr(examining, "MOST_COUNTED", most)
        (untold,) = [text for text in warned(desk("doctor", "--json")) if "could not be told" in text]
        assert f" and {more}: " in untold


def test_many_leads_that_need_a_person_are_counted_and_the_list_is_named(desk, office):
    for _ in range(12):
        office.lead(UNCLEAR)
    (told,) = [text for text in warned(desk("doctor", "--json")) if text.startswith("leads: ")]
    assert told.startswith("leads: unknown: leads 12, 11, 10, 9, 8, 7, 6, 5, 4, 3 and 2 more. ")
    assert "`ringback resolve 12 --rung`" in told
    assert told.endswith("all of them: `ringback leads --state unknown`")


def test_what_hangs_on_a_wrong_setting_is_said_to_be_unchecked(desk, office):
    result = desk("doctor", "--json", PORT="http")
    assert result.exit_code == 1
    assert "database: not checked until the settings are right" in warned(result)
    both = desk("doctor", "--json", CXONE_CLIENT_SECRET_FILE="/nope")
    assert any("both CXONE_CLIENT_SECRET and" in text for text in bad(both))
    both = desk("doctor", "--json", CRM_SECRET_FILE="/nope")
    assert any("both CRM_SECRET and" in text for text in bad(both))


def test_a_broken_promise_in_the_database_is_bad(desk, office):
    lead = office.lead(PLACED)
    with sqlite3.connect(desk.folder / "ringback.db") as database:
        database.execute("UPDATE attempt SET state = 'not_placed' WHERE lead_id = ?", (lead,))
    database.close()
    result = desk("doctor", "--json")
    assert result.exit_code == 1
    assert any(f"called leads without a placed attempt: lead {lead}." in text for text in bad(result))


def test_leads_that_wait_while_no_process_works_are_bad(desk, office):
    event = NewEvent("id:event-1")
    office.ledger.intake.receive(source="our-crm", body=b"{}", content_type=None, received_at_ms=0, events=[event])
    assert not any("no process works" in text for text in bad(desk("doctor", "--json"))), "it has only just come"
    with sqlite3.connect(desk.folder / "ringback.db") as database:
        database.execute("UPDATE lead SET updated_at = updated_at - 10000")
    database.close()
    told = "lead 1 waits, and no process works. Run `ringback serve`, or a `ringback worker` beside `ringback web`"
    assert f"leads: {told}" in bad(desk("doctor", "--json"))
    office.ledger.upkeep.heartbeat("worker-1")
    assert not any("no process works" in text for text in bad(desk("doctor", "--json")))


def test_a_database_that_is_not_migrated_or_no_database_is_bad(desk):
    desk.write("ringback.db", "")
    assert any("not migrated; run `ringback release`" in text for text in bad(desk("doctor", "--json")))
    desk.write("ringback.db", "this is no database" * 100)
    told = bad(desk("doctor", "--json"))
    assert any("database: cannot open the SQLite file ringback.db: the file is not a database" in one for one in told)


def test_withheld_dialling_is_a_warning(desk, office):
    assert any("is off: nobody is rung" in text for text in warned(desk("doctor", "--json", RINGBACK_DIALING="off")))
    listed = desk("doctor", "--json", RINGBACK_DIALING="+15551234567,+15551234568")
    assert any("lists 2 numbers" in text for text in warned(listed))


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [(200, '{"status":"alive"}', "OK"), (200, "<html>", "WARN"), (502, "x", "WARN"), (None, "", "WARN")],
)
def test_public_url_is_asked_and_never_more_than_a_warning(desk, office, status, body, level):
    with responses.RequestsMock() as mock:
        mock.add_passthru("http://127.0.0.1")
        if status is None:
            mock.get("https://hooks.example.com/healthz", body=ConnectionResetError())
        else:
            mock.get("https://hooks.example.com/healthz", status=status, body=body)
        result = desk("doctor", "--json", PUBLIC_URL="https://hooks.example.com")
    (told,) = [one for one in findings(result) if one[1].startswith("address: ")]
    assert told[0] == level
    assert result.exit_code == 0


def test_a_source_that_signs_its_address_needs_public_url(desk, office):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write(
        "config/rules.yaml",
        text.replace("{scheme: hmac, header: X-Signature,", "{scheme: hmac, header: X-S, parts: [url, body],"),
    )
    result = desk("doctor", "--json")
    assert result.exit_code == 1
    assert any("PUBLIC_URL: not set, and the signature of source our-crm covers" in text for text in bad(result))


# ---- release ------------------------------------------------------------------------------------


def test_release_makes_the_database_and_judges_the_rules(desk):
    result = desk("release")
    assert result.exit_code == 0
    assert "✓ the database was migrated" in result.stdout
    assert "✓ config/rules.yaml: 3 rules" in result.stdout
    assert "account dach: id acc-dach" in result.stdout
    assert "✓ the database needs no migration" in desk("release").stdout
    assert desk("leads").stdout == "No leads yet.\n"


def test_release_wants_every_variable_and_every_test(desk):
    assert desk("release", CRM_SECRET="").exit_code == 1
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("{skip: our own lead}", "{call: dach}"))
    assert desk("release").exit_code == 1


def test_release_touches_no_database_before_the_rules_are_right(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("{skip: our own lead}", "{call: dach}"))
    assert desk("release").exit_code == 1
    desk.write(
        "config/rules.yaml",
        text.replace("{scheme: hmac, header: X-Signature,", "{scheme: hmac, header: X-S, parts: [url, body],"),
    )
    assert desk("release").exit_code == 2
    assert not (desk.folder / "ringback.db").exists()


def test_release_names_what_is_wrong_with_settings_and_rules_in_one_run(desk):
    result = desk("release", CXONE_CLIENT_ID="", PORT="http", CRM_SECRET="", RINGBACK_DAILING="off")
    assert result.exit_code == 2
    lines = [line.removeprefix("Error: ") for line in result.stderr.splitlines()]
    assert [line.partition(":")[0] for line in lines[:4]] == [
        "RINGBACK_DAILING",
        "PORT",
        "CXONE_CLIENT_ID",
        "config/rules.yaml",
    ]
    assert "${CRM_SECRET} is empty" in lines[3]
    assert lines[4:] == ["config/rules.yaml cannot be used without; `ringback check` looks at all the rest of it"]
    assert not (desk.folder / "ringback.db").exists()


def test_what_the_dialer_says_does_not_stop_a_release(desk):
    result = desk("release", CXONE_CLIENT_SECRET="wrong")
    assert result.exit_code == 0
    assert "warning: dialer: " in result.stdout


def test_release_tells_every_wrong_setting_at_once(desk):
    result = desk("release", CXONE_CLIENT_ID="", PORT="http", DATABASE_URL="mysql://x")
    assert result.exit_code == 2
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == [" DATABASE_URL", " PORT", " CXONE_CLIENT_ID"]
    assert not (desk.folder / "ringback.db").exists()


def test_release_of_a_file_that_is_no_database_is_a_sentence(desk):
    desk.write("ringback.db", "this is no database" * 100)
    result = desk("release")
    assert result.exit_code == 2
    assert "file is not a database" in result.stderr
    assert not (desk.folder / "ringback.db.lock").exists()


def test_release_works_on_postgresql(desk, postgres_url):
    assert "was migrated" in desk("release", DATABASE_URL=postgres_url).stdout
    assert desk("leads", DATABASE_URL=postgres_url).stdout == "No leads yet.\n"
    assert desk("doctor", DATABASE_URL=postgres_url).exit_code == 0


def test_a_postgresql_that_is_not_migrated_is_told_what_to_do(desk, postgres_url):
    result = desk("leads", DATABASE_URL=postgres_url)
    assert result.exit_code == 2
    assert "run `ringback release`" in result.stderr


def test_a_postgresql_that_is_not_there_is_a_sentence(desk):
    for command in ("leads", "release"):
        result = desk(command, DATABASE_URL="postgres://someone:pass-word@127.0.0.1:9/x")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: the database cannot be used: ")
        assert "pass-word" not in result.output


def test_commands_work_while_another_process_holds_the_lock_file(desk, office):
    lead = office.lead(UNCLEAR)
    held = open_database(f"sqlite:///{desk.folder / 'ringback.db'}", exclusive=True)
    try:
        assert desk("resolve", str(lead), "--give-up").exit_code == 0
        assert desk("release").exit_code == 0
    finally:
        held.close()


def test_leads_that_wait_for_room_are_counted(desk, office):
    limits = Limits((Limit(1, 3600, "hour"),))
    events = [NewEvent(f"id:{n}") for n in range(3)]
    receipt = office.ledger.intake.receive(
        source="our-crm", body=b"{}", content_type=None, received_at_ms=1, events=events
    )
    for n, work in enumerate(receipt.work):
        decision = Decision(
            DecisionKind.CALL, account=Account("us-east"), to=f"+1555123000{n}", rule_name="Everyone else"
        )
        office.ledger.calls.begin(
            work, 0, decision,
            account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, limits=limits,
        )  # fmt: skip
    assert "2 leads wait because there is no room under `limits:`" in " ".join(desk("doctor").stdout.split())
