from __future__ import annotations

import json
import re

import pytest

GOOD = "✓ config/rules.yaml: 3 rules, 2 accounts, 1 source, 2 tests passed"


def test_good_rules_end_with_a_friendly_line_and_0(desk):
    result = desk("check")
    assert result.exit_code == 0
    assert GOOD in result.stdout
    assert result.stderr == ""


def test_variables_count_as_set_when_env_example_declares_them(desk):
    (desk.folder / ".env.example").unlink()
    result = desk("check")
    assert result.exit_code == 1
    assert "${CRM_SECRET} is not declared; add a line `CRM_SECRET=` to .env.example" in result.stdout
    elsewhere = desk.write("deploy/example.env", "CRM_URL=x\nCRM_SECRET=\n")
    assert desk("check", "--env-example", str(elsewhere)).exit_code == 0


def test_a_comment_declares_no_variable(desk):
    desk.write(".env.example", "CRM_URL=\n# CRM_SECRET=\n")
    assert desk("check").exit_code == 1


def test_every_mistake_has_its_place(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("call: dach", "call: dahc").replace("read_as: US", "read_sa: US"))
    result = desk("check")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("config/rules.yaml:6:3: `phones:` has no key `read_sa`")
    assert lines[1].startswith("config/rules.yaml:18:11: no account is called `dahc`")
    assert lines[-1] == f"✗ config/rules.yaml cannot be used: {len(lines) - 1} mistakes"


def test_a_failing_test_shows_what_was_expected_and_what_came(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("{skip: our own lead}", "{call: dach}"))
    result = desk("check")
    assert result.exit_code == 1
    assert (
        "config/rules.yaml:25:1: test failed: We are skipped: expected call dach; got skip our own lead, "
        "decided by the rule `Our own leads` in line 13\n"
    ) in result.stdout
    assert result.stdout.endswith("✗ config/rules.yaml: 1 of 2 tests failed\n")


def test_warnings_do_not_change_the_exit_code(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("accounts:\n", "accounts:\n  spare: {id: acc-spare}\n"))
    result = desk("check")
    assert result.exit_code == 0
    assert "config/rules.yaml:2:3: warning: no rule calls account `spare`" in result.stdout
    assert re.search(r", [12] warnings?\n$", result.stdout)


def test_it_needs_no_settings_and_minds_no_wrong_ones(desk):
    assert desk("check", DATABASE_URL="mysql://x", CXONE_ORG_ID="!!", PORT="none").exit_code == 0
    assert desk("check", CXONE_CLIENT_SECRET="x", CXONE_CLIENT_SECRET_FILE="/nope").exit_code == 0
    assert desk("check", RINGBACK_RULES_FILE="/nope").exit_code == 2


def test_the_file_may_be_named_as_argument_or_by_the_setting(desk):
    (desk.folder / "config/rules.yaml").rename(desk.folder / "mine.yaml")
    warned, judged = desk("check", "mine.yaml").stdout.splitlines()
    assert warned.startswith("mine.yaml:1:1: warning: there is no `hours:`")
    assert judged.startswith(GOOD.replace("config/rules", "mine"))
    assert desk("check", RINGBACK_RULES="mine.yaml").exit_code == 0


@pytest.mark.parametrize("env", [{}, {"RINGBACK_RULES": "/dev/null"}, {"RINGBACK_RULES": "config"}])
def test_rules_that_are_not_there_end_with_2_and_a_sentence(terminal, env):
    (terminal.folder / "config").mkdir()
    result = terminal("check", **env)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: RINGBACK_RULES: " if env else "Error: config/rules.yaml is not in this ")
    assert result.stderr.count("\n") == 1


def test_rules_that_nobody_named_are_missed_with_the_folder(terminal):
    result = terminal("check")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: config/rules.yaml is not in this folder ({terminal.folder}); go to the clone or set RINGBACK_RULES\n"
    )


def test_json_holds_the_whole_verdict(desk):
    told = json.loads(desk("check", "--json").stdout)
    assert told["ok"] is True
    assert told["file"] == "config/rules.yaml"
    assert told["accounts"] == ["us-east", "dach"]
    assert told["sources"] == ["our-crm"]
    assert [(one["name"], one["passed"]) for one in told["tests"]] == [
        ("An Austrian goes to DACH", True),
        ("We are skipped", True),
    ]
    desk.write("config/rules.yaml", "accounts: 5\n")
    result = desk("check", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["ok"] is False
    assert told["rules"] is None
    assert told["mistakes"][0]["line"] == 1


def test_no_file_however_broken_makes_it_fall(desk):
    for raw in (b"", b"\x00\xff", b"{" * 5000, b"a: &a [*a]", b"\xef\xbb\xbfrules:\n\t- x", "\u202e: x".encode() * 100):
        (desk.folder / "bad.yaml").write_bytes(raw)
        result = desk("check", "bad.yaml")
        assert result.exit_code == 1, raw
        assert "\x1b" not in result.stdout


# ---- explain ------------------------------------------------------------------------------------

MESSAGE = {
    "type": "lead.created",
    "meta": {"id": "evt-1"},
    "data": {"Id": "7", "Country": "Austria", "Phone": "01 9971234", "Name": "Anna\u001b[31m"},
}


def test_explain_shows_the_way_to_the_decision_and_masks_the_number(desk):
    desk.write("m.json", json.dumps(MESSAGE))
    result = desk("explain", "m.json")
    assert result.exit_code == 0
    assert result.stdout == (
        "event   id:evt-1\n"
        "source  our-crm, CRM's id 7\n"
        "number  + Phone: +…34 in AT\n"
        "rule    - Our own leads (line 13): wants name is Ringback; name is Anna\\x1b[31m\n"
        "rule    + German-speaking (line 16): fits\n"
        "so      call +…34 through dach\n"
    )


def test_explain_reads_standard_input_and_a_bare_record(desk):
    result = desk("explain", "-", "--record", stdin=json.dumps({"Id": 9, "Name": " RINGBACK "}))
    assert result.exit_code == 0
    assert result.stdout.endswith("so      skip: our own lead\n")
    assert "event" not in result.stdout


def test_explain_says_that_other_events_are_ignored(desk):
    result = desk("explain", "-", stdin='{"type": "lead.deleted"}')
    assert result.exit_code == 0
    assert "ignored: `only:` wants type is lead.created" in result.stdout
    assert json.loads(desk("explain", "-", "--json", stdin='{"type": "x"}').stdout)["decision"] is None


@pytest.mark.parametrize("body", ["", "{", "\x00", "[" * 5000])
def test_explain_says_what_a_broken_message_becomes_and_ends_with_1(desk, body):
    result = desk("explain", "-", stdin=body)
    assert result.exit_code == 1
    assert "stored and parked" in result.stdout
    assert json.loads(desk("explain", "-", "--json", stdin=body).stdout)["decision"]["kind"] == "park"


def test_explain_json_holds_the_decision_and_each_step(desk):
    told = json.loads(desk("explain", "-", "--json", stdin=json.dumps(MESSAGE)).stdout)
    assert told["event"] == "id:evt-1"
    assert told["decision"]["kind"] == "call"
    assert told["decision"]["account"] == "dach"
    assert told["decision"]["to"] == "+…34"
    assert (told["decision"]["rule"], told["decision"]["line"]) == ("German-speaking", 16)
    assert [one["fits"] for one in told["rules"]] == [False, True]


def test_explain_reads_a_form(desk):
    text = (desk.folder / "config/rules.yaml").read_text().replace("    record: data\n", "")
    desk.write("config/rules.yaml", text.replace("    only: {type: lead.created}\n", ""))
    form = "application/x-www-form-urlencoded"
    result = desk("explain", "-", "--content-type", form, stdin="Id=4&Phone=%2B15551234567&Country=US")
    assert result.stdout.endswith("so      call +…67 through us-east\n")


def test_explain_takes_one_event_of_a_message_that_holds_several(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    text = text.replace("    record: data\n", "    items: leads\n").replace("event_id: meta.id", "event_id: key")
    desk.write("config/rules.yaml", text.replace("only: {type: lead.created}", "only: {message.type: lead.created}"))
    leads = [{"Id": n, "key": f"k{n}", "Phone": f"+1555123456{n}", "Country": "US"} for n in range(3)]
    body = json.dumps({"type": "lead.created", "leads": leads})
    every = desk("explain", "-", stdin=body)
    assert every.exit_code == 0
    sections = every.stdout.split("\n\n")
    assert [one.splitlines()[0] for one in sections] == [
        "event   id:k0 (number 1 of 3)",
        "event   id:k1 (number 2 of 3)",
        "event   id:k2 (number 3 of 3)",
    ]
    assert [one.splitlines()[1] for one in sections] == [f"source  our-crm, CRM's id {n}" for n in range(3)]
    assert [one.splitlines()[-1] for one in sections] == ["so      call +…6" + f"{n} through us-east" for n in range(3)]
    third = desk("explain", "-", "--item", "3", stdin=body)
    assert third.stdout == sections[2]
    told = json.loads(desk("explain", "-", "--json", stdin=body).stdout)
    assert [(one["event"], one["item"]) for one in told["events"]] == [("id:k0", 1), ("id:k1", 2), ("id:k2", 3)]
    assert json.loads(desk("explain", "-", "--item", "3", "--json", stdin=body).stdout)["event"] == "id:k2"
    wrong = desk("explain", "-", "--item", "4", stdin=body)
    assert (wrong.exit_code, "--item can be 1, 2, 3" in wrong.stderr) == (2, True)
    assert desk("explain", "-", stdin='{"type": "lead.created"}').exit_code == 1
    assert "nothing in the list" in desk("explain", "-", stdin='{"type": "lead.created", "leads": []}').stdout
    record = desk("explain", "-", "--record", stdin=json.dumps(leads[1]))
    assert record.stdout.startswith("source  our-crm, CRM's id 1\n")


def test_explain_tells_how_many_events_of_a_message_are_left_out(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    text = text.replace("    record: data\n", "    items: events\n").replace("only: {type: ", "only: {kind: ")
    desk.write("config/rules.yaml", text.replace("event_id: meta.id", "event_id: key"))
    events = [{"Id": n, "key": f"k{n}", "kind": f"lead.{'created' if n % 2 else 'deleted'}"} for n in range(5)]
    result = desk("explain", "-", stdin=json.dumps({"events": events}))
    assert [line for line in result.stdout.splitlines() if line.startswith("event")] == [
        "event   id:k1 (number 2 of 5)",
        "event   id:k3 (number 4 of 5)",
    ]
    assert result.stdout.endswith("\n\n3 of the 5 events are not for us: `only:` leaves them out.\n")


def test_with_several_sources_explain_asks_which(desk):
    text = re.sub(r"(?s)tests:.*?(?=sources:)", "", (desk.folder / "config/rules.yaml").read_text())
    other = '  other: {verify: {scheme: hmac, header: X-S, secret: "${CRM_SECRET}"}}\n'
    desk.write("config/rules.yaml", text + other)
    result = desk("explain", "-", stdin="{}")
    assert result.exit_code == 2
    assert "say which with --source: our-crm, other" in result.stderr
    assert desk("explain", "-", "--source", "nope", stdin="{}").exit_code == 2
    assert desk("explain", "-", "--source", "other", stdin='{"Phone": "+15551234567"}').exit_code == 0


def test_explain_with_broken_rules_names_the_mistake_and_ends_with_2(desk):
    desk.write("config/rules.yaml", "accounts: 5\n")
    result = desk("explain", "-", stdin="{}")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: config/rules.yaml:1:")


# ---- explain: the moment ------------------------------------------------------------------------

HOURS = "hours: {everywhere: {mon-fri: 09:00-20:00}}\nfresh_for: 3 days\n"


@pytest.fixture
def office_hours(desk):
    """The desk with calling hours; what its rules say besides stands where it stood."""
    rules = (desk.folder / "config/rules.yaml").read_text(encoding="utf-8")
    desk.write("config/rules.yaml", rules + HOURS)
    desk.write("m.json", json.dumps(MESSAGE))
    return desk


def test_explain_says_until_when_it_would_call(office_hours):
    result = office_hours("explain", "m.json", "--at", "2026-12-24T18:30+01:00")
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "rule    + German-speaking (line 16): fits\n"
        "age     + 0 seconds old, fresh for 3 days; counted from receipt, 2026-12-24T17:30:00+00:00\n"
        "zone    + Europe/Vienna (the record's country AT; country code +43): 2026-12-24 18:30 there\n"
        "so      call +…34 through dach\n"
        "when    would call now, within the calling hours until 2026-12-24 20:00 Europe/Vienna\n"
    )


def test_explain_says_when_it_would_call_if_not_now(office_hours):
    told = " ".join(office_hours("explain", "m.json", "--at", "2026-12-25T20:30+01:00").stdout.split())
    assert " zone - Europe/Vienna (" in told
    assert " 2026-12-25 20:30 there; closed by everywhere: mon-fri 09:00-20:00 so call +…34 through dach when " in told
    assert " would wait until 2026-12-28 09:00 Europe/Vienna: it is fri 20:30 in Europe/Vienna, outside " in told


def test_explain_json_holds_the_verdict_and_what_was_seen(office_hours):
    asked = ("explain", "m.json", "--json", "--at", "2026-12-25T20:30+01:00")
    verdict = json.loads(office_hours(*asked).stdout)["verdict"]
    assert (verdict["kind"], verdict["reason"]) == ("wait", "outside_hours")
    assert (verdict["until"], verdict["wait_until"]) == (None, "2026-12-28T08:00:00+00:00")
    assert [(one["name"], one["verdict"]) for one in verdict["checks"]] == [
        ("consent", "not asked"),
        ("freshness", "ok"),
        ("hours", "wait"),
    ]


def test_explain_without_a_moment_asks_about_now(office_hours):
    """Around midnight as around noon, the answer is one of the two."""
    result = office_hours("explain", "m.json")
    assert result.stdout.partition("dach\n")[2].startswith(("when    would call now, ", "when    would wait "))


def test_explain_wants_a_moment_with_its_zone(office_hours):
    for typed in ("2026-12-24T18:30", "18:30", "Christmas", "9999-12-31T23:59-10:00", "\x1b[31m"):
        result = office_hours("explain", "m.json", "--at", typed)
        assert result.exit_code == 2
        assert "2026-12-24T18:30" in result.stderr
        assert "\x1b" not in result.stderr


def test_check_does_not_warn_where_there_are_hours(office_hours):
    assert "hours" not in office_hours("check").stdout


def test_check_json_has_the_warning(desk):
    (warning,) = json.loads(desk("check", "--json").stdout)["warnings"]
    assert (warning["line"], warning["message"].partition(",")[0]) == (1, "there is no `hours:`")
