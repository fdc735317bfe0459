"""A lead outside the calling hours waits in the ledger, whatever happens to the program, and is rung when they open."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from integration.demo.stage import rules_at_any_hour
from integration.model import LeadState
from tests.end_to_end.rig import Rig, wait_until

pytestmark = pytest.mark.slow

BERLIN = ZoneInfo("Europe/Berlin")
NUMBER = "+49309018201"


def next_minute() -> datetime:
    """The next full minute that leaves time for what comes before it."""
    soon = datetime.now(UTC) + timedelta(seconds=6)
    return soon.replace(second=0, microsecond=0) + timedelta(minutes=1)


def test_it_is_rung_when_the_hours_open_though_the_server_was_killed_meanwhile(rig: Rig) -> None:
    opens_at = next_minute()
    begin, end = (f"{at.astimezone(BERLIN):%H:%M}" for at in (opens_at, opens_at + timedelta(hours=3)))
    rules = rules_at_any_hour(rig.folder)
    with rules.open("a", encoding="utf-8") as file:
        file.write(f"hours: {{everywhere: {{mon-sun: {begin}-{end}}}, spread: off}}\n")
    rig.crm.create({"Id": "1", "Country": "Germany", "Phone": "030 9018201"})
    rig.start()
    sent = rig.send(1)
    assert sent.status == 200
    wait_until(lambda: rig.states() == {LeadState.WAITING: 1})
    (lead,) = rig.leads().values()
    assert (lead.reason, lead.writeback_state) == ("outside_hours", None)
    rig.kill()
    rig.start()
    time.sleep(max(0.0, opens_at.timestamp() - time.time() - 0.5))
    assert rig.contact_centre.calls() == []
    wait_until(rig.is_quiet)
    assert time.time() - opens_at.timestamp() < 5
    (call,) = rig.contact_centre.calls_to(NUMBER)
    assert rig.states() == {LeadState.CALLED: 1}
    assert (rig.crm.lead("1") or {})["ringback_call_id"] == call.call_id
    assert rig.broken_promises() == {}
