"""A number is whole for the dialer, the CRM and `show --reveal` alone: the log and each command are searched."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest

from integration.log import set_up_logging
from tests.cli.conftest import NO_SCOPE, PLACED, REFUSED, UNCLEAR

WRITTEN = ["+15559871234", "(555) 987-1234", "1.555.987.1234", "+1 555 987 1234 x5", "5559871234", "555-987-1234 home"]
CANARY = re.compile(r"987\D{0,3}1234")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    lines = io.StringIO()
    set_up_logging("debug", lines)
    yield lines
    set_up_logging("info", io.StringIO())


@pytest.mark.parametrize("written", WRITTEN)
def test_no_command_and_no_line_of_the_log_shows_a_whole_number(desk, office, log, written):
    leads = [
        office.lead(outcome, Phone=written, Note=f"ring {written} at once", Name=written)
        for outcome in (PLACED, UNCLEAR, REFUSED, NO_SCOPE)
    ]
    leads.append(office.lead(PLACED, Phone={"number": written}, Note={written: [written]}))
    message = desk.write(
        "m.json", json.dumps({"type": "lead.created", "data": {"Id": "9", "Phone": written, "Note": written}})
    )
    commands = [("leads",), ("leads", "--json"), ("leads", "--csv"), ("doctor",), ("doctor", "--json")]
    commands += [("show", str(lead), *more) for lead in leads for more in ((), ("--json",))]
    commands += [("explain", str(message)), ("explain", str(message), "--json")]
    commands += [("resolve", str(leads[0]), "--give-up", "--note", f"rang {written}")]
    commands += [
        ("resolve", str(leads[1]), "--ring-again", "--note", f"rang {written}", "--yes"),
        ("show", str(leads[1])),
    ]
    for command in commands:
        assert not CANARY.search(desk(*command).output), command
    assert not CANARY.search(log.getvalue())
    assert "lead=" in log.getvalue()
    assert CANARY.search(desk("show", str(leads[0]), "--reveal").output)
