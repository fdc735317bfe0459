from __future__ import annotations

import pytest

from integration.ledger import Ledger, NumberKey, open_database
from tests.cli.conftest import Terminal

KEY = "0123456789abcdef0123456789abcdef"
NUMBER = "+1 212 555 0123"


@pytest.fixture
def keyed(desk: Terminal, office) -> Terminal:
    """A desk whose settings have the key of the list."""
    desk.env["RINGBACK_DNC_KEY"] = KEY
    return desk


def listed(office, number: str) -> bool:
    ledger = Ledger(open_database(office.ledger.database.url), NumberKey(KEY))
    found = ledger.do_not_call.find(number)
    ledger.close()
    return found is not None


def test_a_number_is_added_asked_about_and_removed(keyed, office):
    result = keyed("dnc", "add", NUMBER, "--by", "Kim", "--note", "wrote to +12125550999")
    assert (result.exit_code, result.stdout) == (0, "+…23 is on the do-not-call list. It is not called any more.\n")
    assert "and was before" in keyed("dnc", "add", "(212) 555-0123", "--country", "US").stdout
    result = keyed("dnc", "check", "0012125550123")
    assert result.exit_code == 0
    assert "by Kim: wrote to +…99." in " ".join(result.stdout.split())
    assert keyed("dnc", "remove", NUMBER).stdout == "+…23 is off the do-not-call list. It may be called again.\n"
    for command in ("check", "remove"):
        result = keyed("dnc", command, NUMBER)
        assert (result.exit_code, result.stderr) == (1, "Error: +…23 is not on the do-not-call list\n")


@pytest.mark.parametrize("number", ["212 555 0123", "Kim", "", "+12125550123; +12125550124"])
def test_a_number_that_is_not_clear_is_refused(keyed, office, number):
    result = keyed("dnc", "add", number)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: this number cannot be read: ")


@pytest.mark.parametrize("number", ["555", "911", "+1 911", "22000"])
def test_a_short_number_is_no_whole_one(keyed, office, number):
    result = keyed("dnc", "add", number)
    assert result.exit_code == 2
    assert "this number cannot be read: It is no whole number" in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", [("add", NUMBER), ("remove", NUMBER), ("check", NUMBER)])
def test_without_a_key_it_says_so(desk, office, command):
    result = desk("dnc", *command)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: RINGBACK_DNC_KEY is not set")


def test_a_key_that_is_too_short_is_a_mistake(desk, office):
    desk.env["RINGBACK_DNC_KEY"] = "short"
    result = desk("dnc", "check", NUMBER)
    assert result.exit_code == 2
    assert "RINGBACK_DNC_KEY: has fewer than 32 characters" in result.stderr


def test_another_key_is_told_by_the_command_and_by_doctor(keyed, office):
    keyed("dnc", "add", NUMBER)
    assert "the do-not-call list holds 1 number and can be read" in keyed("doctor").stdout
    keyed.env["RINGBACK_DNC_KEY"] = "f" * 32
    result = keyed("dnc", "check", NUMBER)
    assert (result.exit_code, "made with another RINGBACK_DNC_KEY" in result.stderr) == (2, True)
    result = keyed("doctor")
    assert result.exit_code == 1
    assert "nobody is rung: the do-not-call list was made with another" in " ".join(result.stdout.split())


def test_the_whole_list_is_forgotten_only_after_a_yes(keyed, office):
    keyed("dnc", "add", NUMBER)
    assert keyed("dnc", "remove", "--all", stdin="n\n").exit_code == 1
    assert listed(office, "+12125550123")
    keyed.env["RINGBACK_DNC_KEY"] = "f" * 32  # also with another key: how else should the key be changed?
    assert keyed("dnc", "remove", "--all", "--yes").stdout == "The do-not-call list is empty; it held 1 number.\n"
    assert keyed("dnc", "add", NUMBER).exit_code == 0
    assert keyed("dnc", "remove").exit_code == 2
    assert keyed("dnc", "remove", NUMBER, "--all").exit_code == 2


@pytest.mark.parametrize(
    ("text", "options", "numbers"),
    [
        ("+12125550123\n+12125550124\n", (), 2),
        ("+12125550123\r\n\r\n# a comment\r\n+12125550124", (), 2),
        ("\ufeffname;phone\nKim;+12125550123\nAlex;+12125550124\n", (), 2),
        ('phone,name\n+12125550123,"Kim, the first"\n', (), 1),
        ("Number\n212 555 0123\n", ("--country", "US"), 1),
        ("when,who,line\n2026-11-01,Kim,+12125550123\n", ("--column", "Line"), 1),
        ("caller\n+12125550123\n", (), 1),
    ],
)
def test_a_file_is_imported_in_any_usual_form(keyed, office, text, options, numbers):
    keyed.write("list.csv", text)
    for new in (numbers, 0):  # and a second time it changes nothing
        result = keyed("dnc", "import", "list.csv", *options)
        assert (result.exit_code, result.stderr) == (0, "")
        before = numbers - new
        told = f"{numbers} number{'s' * (numbers != 1)} read: {new} new on the list, {before} on it before.\n"
        assert result.stdout == told
    assert listed(office, "+12125550123")


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        ("Name\tPhone\r\nKim\t+1 212 555 0101\r\nBo\t+1 212 555 0102\r\n".encode("utf-16"), 2),  # a spreadsheet's
        ("+1 212 555 0101\r\n+1 212 555 0102\r\n".encode("utf-16"), 2),
        (b"+1 212 555 0101\r+1 212 555 0102\r", 2),  # an old Mac's
        (b"Phone,Mobile Phone\n+1 212 555 0101,+1 212 555 0102\n,+1 212 555 0103\n", 3),
        (b'Name,Phone\nKim,"+1 212 555 0101\nBo,+1 212 555 0102\nAl,+1 212 555 0103\n', 3),  # an open quotation mark
        (b'Phone,Note\n+1 212 555 0101,"open\n+1 212 555 0102,x\n+1 212 555 0103,"y"\n', 3),
        (b'Phone,Note\n+1 212 555 0101,"one\ntwo, 2\nthree"\n+1 212 555 0102,\n', 2),  # a note of several lines
    ],
)
def test_nobody_in_a_file_that_people_make_is_left_out(keyed, office, raw, numbers):
    keyed.folder.joinpath("list.csv").write_bytes(raw)
    result = keyed("dnc", "import", "list.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(listed(office, f"+1212555010{n}") for n in range(1, numbers + 1))
    assert f"{numbers} numbers read: {numbers} new" in result.stdout


def test_a_quotation_mark_that_takes_in_a_long_file_costs_no_number(keyed, office):
    lines = "".join(f"Kim,+1212{5550000 + n}\n" for n in range(10_000))
    keyed.folder.joinpath("list.csv").write_text('Name,Phone\nKim,"+12125549999\n' + lines)
    result = keyed("dnc", "import", "list.csv")
    assert result.exit_code == 0
    assert "10,001 numbers read" in result.stdout or "10001 numbers read" in result.stdout
    assert listed(office, "+12125559999")


def test_a_file_that_is_no_text_is_refused(keyed, office):
    keyed.folder.joinpath("list.xlsx").write_bytes(b"PK\x03\x04\x14\x00\x06\x00")
    result = keyed("dnc", "import", "list.xlsx")
    assert (result.exit_code, result.stderr) == (2, "Error: the file is no text; save it as CSV\n")


def test_lines_that_cannot_be_read_are_told_and_the_rest_is_imported(keyed, office):
    keyed.write("list.txt", "+12125550123\nKim\n212 555 0124\n\n+12125550125\n")
    result = keyed("dnc", "import", "list.txt")
    assert result.exit_code == 1
    assert result.stdout == "2 numbers read: 2 new on the list, 0 on it before.\n"
    lines = result.stderr.splitlines()
    assert lines[0].startswith("list.txt:2: The phone field holds letters")
    assert lines[1].startswith("list.txt:3: The number has no country code")
    assert lines[-1] == "Error: 2 lines could not be read; correct and import the file again"
    assert "555" not in result.stderr


def test_a_column_that_is_not_there_is_refused(keyed, office):
    keyed.write("list.csv", "name,line\nKim,+12125550123\n")
    result = keyed("dnc", "import", "list.csv", "--column", "phone")
    assert (result.exit_code, "it has: name, line" in result.stderr) == (2, True)


def test_a_long_file_is_imported_in_steps(keyed, office):
    keyed.write("list.txt", "\n".join(f"+1212555{n:04}" for n in range(2500)))
    assert keyed("dnc", "import", "list.txt").stdout.startswith("2500 numbers read: 2500 new")
