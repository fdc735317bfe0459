from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.cli import looking, terminal
from integration.cli.terminal import clean, csv_lines, json_lines, read_since, table
from integration.ledger import reading
from integration.model import LeadState, Reason
from tests.cli.conftest import NO_SCOPE, PLACED, REFUSED, UNCLEAR


def test_an_empty_ledger_says_so(desk, office):
    assert desk("leads").stdout == "No leads yet.\n"
    assert desk("leads", "--state", "unknown").stdout == "No lead fits.\n"
    assert desk("leads", "--since", "1h").stdout == "No lead fits.\n"
    assert json.loads(desk("leads", "--json").stdout) == []


def test_a_folder_without_a_ledger_is_no_empty_list(desk):
    result = desk("leads")
    assert result.exit_code == 2
    assert "there is no ledger at ringback.db yet" in result.stderr
    assert not (desk.folder / "ringback.db").exists()


def test_the_list_fits_the_terminal_and_masks_numbers(desk, office):
    called = office.lead(PLACED)
    unknown = office.lead(UNCLEAR)
    blocked = office.lead(REFUSED)
    skipped = office.lead(Name="Ringback")
    result = desk("leads", COLUMNS="80")
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "LEAD",
        "RECEIVED",
        "(UTC)",
        "STATE",
        "NUMBER",
        "ACCOUNT",
        "CRM",
        "CALL",
        "OR",
        "REASON",
    ]
    assert [line.split()[0] for line in lines[1:]] == [str(one) for one in (skipped, blocked, unknown, called)]
    assert all(len(line) <= 80 for line in lines)
    assert "555" not in result.stdout
    assert "+…01" in lines[4]
    assert lines[4].endswith("call-abc-1")
    assert "rule_skips" in lines[1]


def test_leads_can_be_narrowed_by_state_time_and_number(desk, office):
    called = office.lead(PLACED)
    unknown = office.lead(UNCLEAR)
    office.lead(Name="Ringback")

    def ids(*args: str) -> list[int]:
        return [one["id"] for one in json.loads(desk("leads", "--json", *args).stdout)]

    assert ids("--state", "unknown", "--state", "called") == [unknown, called]
    assert ids("--since", "1h", "--state", "unknown") == [unknown]
    assert ids("--since", "2999-01-01") == []
    limited = desk("leads", "--limit", "1")
    assert len(limited.stdout.splitlines()) == 2
    assert "--limit shows more" in limited.stderr


def test_the_crm_column_has_words_of_its_own(desk, office):
    telling, told, not_told = office.lead(PLACED), office.lead(PLACED), office.lead(Phone="none")
    office.ledger.writebacks.done(office.ledger.writebacks.take(told), 200, "the CRM answered 200")
    job = office.ledger.writebacks.take(not_told)
    office.ledger.writebacks.park(job, Reason.CRM_REFUSED, "the CRM answered 403", 403)
    lines = desk("leads").stdout.splitlines()[1:]
    assert [line.split()[3] for line in lines if " parked " in line] == ["parked"]
    assert sum("  not told  " in line for line in lines) == 1
    assert sum("  told  " in line for line in lines) == 1
    assert sum("  telling  " in line for line in lines) == 1

    def ids(*args: str) -> list[int]:
        return [one["id"] for one in json.loads(desk("leads", "--json", *args).stdout)]

    assert ids("--crm", "parked") == [not_told]
    assert ids("--crm", "done", "--crm", "pending") == [told, telling]
    assert ids("--crm", "done", "--state", "parked") == []
    assert desk("leads", "--crm", "done", "--state", "parked").stdout == "No lead fits.\n"
    assert ids("--crm", "told", "--crm", "telling") == [told, telling]
    assert ids("--crm", "not told") == [not_told]
    refused = desk("leads", "--crm", "tolled")
    assert refused.exit_code == 2
    assert "'telling', 'told', 'not told'" in refused.stderr


def test_the_oldest_lead_that_fits_is_found_behind_many_that_do_not(desk, office):
    first = office.lead(PLACED)
    office.ledger.writebacks.done(office.ledger.writebacks.take(first), 200, "the CRM answered 200")
    for _ in range(12):
        office.lead(PLACED)
    told = json.loads(desk("leads", "--crm", "done", "--limit", "2", "--json").stdout)
    assert [one["id"] for one in told] == [first]
    result = desk("leads", "--crm", "pending", "--limit", "3")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["13", "12", "11"]


def test_json_masks_numbers_and_names_the_rule(desk, office):
    office.lead(PLACED)
    (told,) = json.loads(desk("leads", "--json").stdout)
    assert told["to"] == "+…01"
    assert told["state"] == "called"
    assert (told["rule"], told["rule_line"], told["account"]) == ("Everyone else", 19, "us-east")
    assert told["call_id"] == "call-abc-1"
    assert told["received_at"].endswith("Z")


def test_csv_is_rfc_4180_and_runs_no_formula(desk, office):
    office.lead(PLACED, Id='=HYPERLINK("http://evil","x")')
    result = desk("leads", "--csv")
    text = result.stdout_bytes.decode()
    assert text.count("\r\n") == text.count("\n") == 2
    header, row = csv.reader(io.StringIO(text, newline=""), strict=True)
    told = dict(zip(header, row, strict=True))
    assert told["record_id"] == '\'=HYPERLINK("http://evil","x")'
    assert told["to"] == "'+…01"
    assert told["state"] == "called"
    assert desk("leads", "--csv", "--json").exit_code == 2


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_every_cell_that_begins_like_a_formula_is_made_text(sign):
    text = "".join(csv_lines(["a", "b"], [[f"{sign}1+1", 'say "hi", twice\nover']]))
    assert next(iter(list(csv.reader(io.StringIO(text, newline="")))[1:])) == [f"'{sign}1+1", 'say "hi", twice\nover']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", datetime(2026, 11, 23, 11, 30, tzinfo=UTC)),
        ("2h", datetime(2026, 11, 23, 10, 0, tzinfo=UTC)),
        (" 3D ", datetime(2026, 11, 20, 12, 0, tzinfo=UTC)),
        ("1w", datetime(2026, 11, 16, 12, 0, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T08:00", datetime(2026, 11, 1, 8, 0, tzinfo=UTC)),
        ("2026-11-01T08:00+02:00", datetime(2026, 11, 1, 6, 0, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_an_age_or_a_date(text, expected):
    assert read_since(text, datetime(2026, 11, 23, 12, 0, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2 fortnights", "999999w", "99999999999h", "2026-13-01", "-2h", "٣h"]
)
def test_a_time_that_is_none_is_a_sentence_and_2(desk, office, text):
    result = desk("leads", f"--since={text}")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_nothing_from_a_crm_reaches_the_terminal_as_a_command(desk, office):
    lead = office.lead(Id="7\u001b]0;evil\u0007\u202eab", Name="\u001b[2J\ud800")
    for command in (("leads",), ("show", str(lead)), ("show", str(lead), "--reveal")):
        result = desk(*command)
        assert result.exit_code == 0
        assert not set("\x1b\x07\u202e\ud800") & set(result.stdout)
    assert "\x1b" not in desk("show", str(lead), "--json").stdout


@given(st.text())
def test_whatever_is_printed_is_printable_and_whatever_is_a_cell_is_no_formula(text):
    assert clean(text).isprintable()
    assert len(clean(text)) == len(text)
    (cell,) = list(csv.reader(io.StringIO("".join(csv_lines(["a", "b"], [[text, ""]])), newline="")))[1][:1]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_a_long_cell_is_cut_and_says_so():
    lines = list(table(["A", "B"], [["x" * 60, "y" * 500]]))
    assert lines[1].startswith("x" * 39 + "…  yyy")
    assert lines[1].endswith("…")


def test_a_list_in_blocks_is_the_list(monkeypatch):
    rows = [[n, "x" * n, "é\n", {"a": [n]}] for n in range(7)]
    for block in (1, 2, 3, 7, 8):
        monkeypatch.setattr(terminal, "BLOCK", block)
        for some in ([], rows[:1], rows):
            assert "".join(json_lines(some)) == json.dumps(some, indent=2) + "\n"
            read = list(csv.reader(io.StringIO("".join(csv_lines("abcd", some)), newline="")))
            assert read == [[*"abcd"], *([str(cell) for cell in row] for row in some)]
        lines = list(table("ABCD", rows))
        assert len(lines) == 8
        assert [line.split()[0] for line in lines] == ["A", *map(str, range(7))]


def test_a_long_list_is_read_while_it_is_printed(desk, office, monkeypatch):
    """Nobody waits for the last row, and no list of all of them is made."""
    for _ in range(9):
        office.lead(PLACED)
    monkeypatch.setattr(reading, "PAGE", 2)
    asked = []
    rows = office.ledger.reading.leads(most=7)
    whole = reading.Reading.leads

    def counted(self, **narrowed):
        for row in whole(self, **narrowed):
            asked.append(row.id)
            yield row

    assert [next(rows).id, next(rows).id] == [9, 8]
    office.lead(PLACED)  # what comes meanwhile is newer: it moves nothing
    assert [row.id for row in rows] == [7, 6, 5, 4, 3]
    monkeypatch.setattr(reading.Reading, "leads", counted)
    monkeypatch.setattr(terminal, "BLOCK", 3)
    printed = []
    monkeypatch.setattr(click, "echo", lambda text, **_: printed.append((len(asked), text)))
    desk("leads", "--csv")
    assert [count for count, _ in printed] == [0, 3, 6, 9, 10]


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("limit", "is_counted"), [(looking.LONG_LIST, False), (looking.LONG_LIST + 1, True)])
def test_a_long_list_that_goes_into_a_file_is_counted_on_the_terminal(monkeypatch, limit, is_counted):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", screen)
    with looking._followed(iter(range(1200)), limit) as rows:
        assert list(rows) == list(range(1200))
    assert ("1200" in screen.getvalue()) is is_counted
    monkeypatch.setattr(sys, "stdout", screen)
    shown = screen.getvalue()
    with looking._followed(iter(range(1200)), limit) as rows:
        assert len(list(rows)) == 1200
    assert screen.getvalue() == shown  # the rows themselves are what is seen


# ---- show ---------------------------------------------------------------------------------------


def test_show_tells_the_whole_story_with_numbers_masked(desk, office):
    lead = office.lead(PLACED, Note="or ring +1 555 123 9999", Id="51234567890")
    result = desk("show", str(lead))
    assert result.exit_code == 0
    for words in (
        f"Lead {lead}: called (placed)",
        "our-crm",
        "51234567890",  # the CRM's id is no phone number
        "Everyone else (line 19 of rules version ",
        "call-abc-1 (initiated)",
        "Attempt 1: placed (placed, HTTP 200)",
        "us-east (id acc-east)",
        "Telling the CRM: pending, 0 tries",
        "received",
    ):
        assert words in result.stdout
    assert "+…01" in result.stdout
    assert "5551230001" not in result.stdout
    assert "9999" not in result.stdout


def test_an_attempt_that_a_person_settled_does_not_contradict_itself(desk, office):
    lead = office.lead(UNCLEAR)
    desk("resolve", str(lead), "--rung", "--by", "Kim")
    told = desk("show", str(lead)).stdout
    assert "Attempt 1: placed, as a person confirmed (before that: answer_unclear, HTTP 500)" in told
    assert "placed (answer_unclear" not in told
    again = office.lead(UNCLEAR)
    desk("resolve", str(again), "--ring-again", "--yes")
    told = desk("show", str(again)).stdout
    assert "Attempt 1: released by a person (before that: answer_unclear, HTTP 500)" in told


def test_show_reveals_numbers_and_the_message_only_when_asked(desk, office):
    lead = office.lead(PLACED)
    result = desk("show", str(lead), "--reveal")
    assert "+15551230001" in result.stdout
    assert '"type": "lead.created"' in result.stdout


def test_show_json_is_masked_as_well(desk, office):
    lead = office.lead(UNCLEAR, Note=15551239999)
    told = json.loads(desk("show", str(lead), "--json").stdout)
    assert told["state"] == "unknown"
    assert told["to"] == "+…01"
    assert told["fields"]["phone"] == "+…01"
    assert told["fields"]["note"] == "+…99"
    assert told["attempt_list"][0]["to"] == "+…01"
    assert told["write_back"]["state"] == "pending"
    assert [one["what"] for one in told["history"]][:2] == ["received", "dialing"]
    assert "message" not in told
    whole = json.loads(desk("show", str(lead), "--json", "--reveal").stdout)
    assert whole["to"] == whole["fields"]["phone"] == "+15551230001"
    assert json.loads(whole["message"])["type"] == "lead.created"


def test_show_of_a_lead_that_waits_says_until_when(desk, office):
    lead = office.lead(NO_SCOPE)
    assert office.state(lead) is LeadState.WAITING
    assert "due" in desk("show", str(lead)).stdout
    assert Reason.SCOPE_MISSING in desk("show", str(lead)).stdout


def test_show_of_a_parked_lead_without_a_decision(desk, office):
    lead = office.message("no object")
    result = desk("show", str(lead))
    assert result.exit_code == 0
    assert f"Lead {lead}: parked (" in result.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("show", "abc"), "'abc' is no whole number"),
        (("show", "1.5"), "'1.5' is no whole number"),
        (("show", "1_0"), "'1_0' is no whole number"),
        (("show", "9" * 50), "9… is too large; from 1 to 9223372036854775807"),
        (("show", "0"), "0 is too small; from 1"),
        (("serve", "--port", "abc"), "'abc' is no whole number"),
        (("serve", "--port", "99999"), "99999 is too large; from 0 to 65535"),
        (("leads", "--limit", "x"), "'x' is no whole number"),
        (("resolve", "abc", "--give-up"), "'abc' is no whole number"),
        (("send", "our-crm", "--count", "many"), "'many' is no whole number"),
        (("doctor", "5"), "`ringback show 5` tells the story of lead 5"),
        (("doctor", "rules"), "doctor takes no argument"),
    ],
)
def test_a_number_that_is_none_is_told_in_plain_words(desk, args, told):
    result = desk(*args)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "integer" not in result.stderr
    assert "No such command" not in result.stderr


@pytest.mark.parametrize(
    ("lead", "code"), [("99", 1), (str(2**63 - 1), 1), (str(2**63), 2), ("0", 2), ("-1", 2), ("x", 2)]
)
def test_a_lead_that_is_not_there_is_told_apart_from_one_that_cannot_be(desk, office, lead, code):
    result = desk("show", lead)
    assert result.exit_code == code
    assert result.stdout == ""


def test_the_story_of_yesterday_has_its_date(desk, office):
    lead = office.lead(PLACED)
    day = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-")
    assert day in desk("show", str(lead)).stdout
