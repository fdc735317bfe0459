"""Orders of people, limits and bursts hold over all processes at once; the doors stay open meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Burst, number_of, wait_until
from tests.many.fleet import Fleet
from tests.many.test_many_machines import calls, ready

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef0123456789abcdef"


def with_rules(fleet: Fleet, more: str) -> None:
    """Processes that are started from now on have these rules besides."""
    path = Path(fleet.environ()["RINGBACK_RULES"])
    own = fleet.folder / "own.yaml"
    own.write_text(f"{path.read_text()}\n{more}\n")
    usual = fleet.environ()
    fleet.environ = lambda: {**usual, "RINGBACK_RULES": str(own), "RINGBACK_DNC_KEY": KEY}  # type: ignore[method-assign]


def order(fleet: Fleet, *words: str) -> str:
    """A person's command, as its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "integration", *words],
        cwd=fleet.folder, env=fleet.environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def reasons(fleet: Fleet) -> set[str | None]:
    return {lead.reason for lead in fleet.leads().values()}


def test_after_a_pause_no_worker_begins_a_call_until_somebody_resumes(fleet: Fleet) -> None:
    with_rules(fleet, "")
    fleet.contact_centre.latency_ms = 20
    fleet.web()
    fleet.worker()
    fleet.worker()
    ledger = fleet.open_ledger()
    with Burst(fleet, range(300)) as burst:
        wait_until(lambda: calls(fleet) > 20)
        ledger.brakes.pull("*", who="Kim", why="the script is wrong")
        time.sleep(1.0)
        called = calls(fleet)
        sent = burst.join()
    ledger.close()
    wait_until(lambda: fleet.states()[LeadState.WAITING] == 300 - called, 30)
    assert calls(fleet) == called
    assert called < 300
    assert ready(fleet)[0] == 200
    assert f"{300 - called} leads wait" in order(fleet, "resume")
    order(fleet, "resume", "all", "--yes", "--per-minute", "6000")
    wait_until(fleet.is_quiet, 60)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 300}


def test_orders_of_a_person_reach_every_process(fleet: Fleet) -> None:
    with_rules(fleet, "")
    fleet.web()
    fleet.worker()
    order(fleet, "pause", "source:our-crm", "--why", "the script is wrong")
    fleet.send(0)
    wait_until(lambda: reasons(fleet) == {"paused_by_person"})
    order(fleet, "resume", "source:our-crm", "--yes")
    wait_until(lambda: calls(fleet) == 1)


def test_a_limit_holds_over_two_workers(fleet: Fleet) -> None:
    with_rules(fleet, "limits: {everything: {per_minute: 7}}")
    fleet.web()
    fleet.worker()
    fleet.worker()
    with Burst(fleet, range(40)) as burst:
        burst.join()
    wait_until(lambda: fleet.states() == {LeadState.CALLED: 7, LeadState.WAITING: 33})
    time.sleep(3.0)
    assert calls(fleet) == 7
    waiting = [lead for lead in fleet.leads().values() if lead.state is LeadState.WAITING]
    newest = sorted(waiting, key=lambda lead: (lead.received_at, lead.id))[-7:]
    fleet.run("UPDATE limit_use SET at = at - 60000")  # a minute passes
    wait_until(lambda: calls(fleet) == 14, 15)
    time.sleep(2.0)
    assert calls(fleet) == 14
    assert {fleet.leads()[lead.id].state for lead in newest} == {LeadState.CALLED}


def test_a_burst_waits_for_a_person_and_a_listed_number_is_not_rung(fleet: Fleet) -> None:
    with_rules(fleet, "limits: {burst: {more_than: 5, within: 10 minutes}}")
    fleet.web()
    fleet.worker()
    order(fleet, "dnc", "add", number_of(11))
    for n in range(12):  # one after the other: those that are committed at one moment do not see each other
        assert fleet.send(n).status == 200
    wait_until(lambda: fleet.states()[LeadState.PARKED] == 7 and fleet.states()[LeadState.WAITING] == 0)
    assert "7 leads of source our-crm held" in order(fleet, "resume")
    order(fleet, "resume", "burst:our-crm", "--yes", "--per-minute", "6000")
    wait_until(fleet.is_quiet, 30)
    assert fleet.states() == {LeadState.CALLED: 11, LeadState.BLOCKED: 1}
    assert fleet.asked()[number_of(11)] == 0
    assert "do_not_call" in reasons(fleet)
