"""Workers that are killed, frozen or told to stop: others go on, and nobody is rung twice."""

from __future__ import annotations

import signal
import time
from itertools import count

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Burst, number_of, wait_until
from tests.many.fleet import Fleet, kill, terminate

pytestmark = pytest.mark.slow

LONGEST_RESUME_SECONDS = 60.0
LONGEST_STOP_SECONDS = 10.0
DIAL_THREADS = 16


def calls(fleet: Fleet) -> int:
    return len(fleet.contact_centre.calls())


def test_the_leads_of_killed_workers_resume_or_are_unknown_within_a_minute(fleet: Fleet) -> None:
    """In real time, without any clock being moved."""
    fleet.web()
    # One worker dies while it waits for its token: its leads are claimed, and nothing was sent.
    fleet.contact_centre.behave("hang", on="token")
    preparing = fleet.worker()
    safe = [fleet.send(n) for n in range(3)]
    wait_until(lambda: fleet.states() == {LeadState.CLAIMED: 3})
    kill(preparing)
    # Another one while the contact centre has its requests.
    fleet.contact_centre.behave("answer", on="token")
    fleet.contact_centre.behave("hang")
    dialing = fleet.worker()
    doubtful = [fleet.send(n) for n in range(10, 13)]
    wait_until(lambda: calls(fleet) == 3)
    kill(dialing)
    fleet.contact_centre.behave("answer")
    killed_at = time.monotonic()
    fleet.worker()
    wait_until(fleet.is_quiet, LONGEST_RESUME_SECONDS)
    assert time.monotonic() - killed_at < LONGEST_RESUME_SECONDS
    assert fleet.assert_nothing_was_lost([*safe, *doubtful]) == {LeadState.CALLED: 3, LeadState.UNKNOWN: 3}
    assert all(len(fleet.contact_centre.calls_to(number_of(one.n))) == 1 for one in [*safe, *doubtful])
    assert fleet.jobs() == []


def test_workers_killed_again_and_again_in_a_burst_lose_nothing_and_ring_nobody_twice(fleet: Fleet) -> None:
    fleet.contact_centre.latency_ms = 50
    fleet.web()
    workers = [fleet.worker(), fleet.worker()]
    with Burst(fleet, range(800)) as burst:
        for _ in range(4):
            time.sleep(0.5)
            kill(workers.pop(0))
            workers.append(fleet.worker())
        sent = burst.join()
    assert {one.status for one in sent} == {200}
    for worker in workers:
        kill(worker)
    fleet.a_minute_passes()
    fleet.worker()
    wait_until(fleet.is_quiet, 60)
    states = fleet.assert_nothing_was_lost(sent)
    assert states[LeadState.CALLED] + states[LeadState.UNKNOWN] == 800
    assert states[LeadState.UNKNOWN] <= 6 * DIAL_THREADS  # those whose requests were under way at a kill
    wait_until(lambda: fleet.jobs() == [], 20)


def test_a_frozen_worker_that_wakes_up_rings_nobody_again(fleet: Fleet) -> None:
    fleet.contact_centre.behave("slow:1500")
    fleet.web()
    frozen = fleet.worker()
    sent = [fleet.send(n) for n in range(8)]
    wait_until(lambda: calls(fleet) == 8)
    frozen.process.send_signal(signal.SIGSTOP)
    fleet.a_minute_passes()
    fleet.contact_centre.behave("answer")
    fleet.worker()
    wait_until(lambda: fleet.states() == {LeadState.UNKNOWN: 8}, 20)
    sent += [fleet.send(n) for n in range(8, 12)]
    wait_until(lambda: calls(fleet) == 12)
    frozen.process.send_signal(signal.SIGCONT)
    # What the contact centre has said meanwhile is read now, and settles each of them.
    wait_until(lambda: fleet.states() == {LeadState.CALLED: 12}, 20)
    wait_until(fleet.is_quiet)
    fleet.assert_nothing_was_lost(sent)


def test_a_worker_that_is_told_to_stop_ends_its_calls_and_leaves_the_rest_to_others(fleet: Fleet) -> None:
    fleet.contact_centre.latency_ms = 100
    fleet.web()
    workers = [fleet.worker(), fleet.worker()]
    with Burst(fleet, range(300)) as burst:
        wait_until(lambda: calls(fleet) > 60)
        began_at = time.monotonic()
        for signal_number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            workers[0].process.send_signal(signal_number)
            time.sleep(0.05)
        assert workers[0].process.wait(LONGEST_STOP_SECONDS) == 0
        assert time.monotonic() - began_at < LONGEST_STOP_SECONDS
        sent = burst.join()
    wait_until(fleet.is_quiet, 20)  # no minute passes: nothing was left in the hands of the one that went
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 300}
    wait_until(lambda: fleet.jobs() == [])
    assert len(fleet.rows("SELECT id FROM worker")) == 1
    assert len(fleet.rows("SELECT id FROM procrastinate_workers")) == 1


def test_calls_that_a_stopping_worker_has_begun_are_waited_for(fleet: Fleet) -> None:
    fleet.contact_centre.behave("slow:3000")
    fleet.web()
    worker = fleet.worker()
    sent = [fleet.send(n) for n in range(DIAL_THREADS + 4)]
    wait_until(lambda: calls(fleet) == DIAL_THREADS)
    assert terminate(worker, LONGEST_STOP_SECONDS) == 0
    assert any("everything_finished=true" in line for line in worker.last_lines())
    assert fleet.states() == {LeadState.CALLED: DIAL_THREADS, LeadState.RECEIVED: 4}
    assert [job["status"] for job in fleet.jobs()] == ["todo"] * 4
    fleet.contact_centre.behave("answer")
    fleet.worker()
    wait_until(fleet.is_quiet)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: DIAL_THREADS + 4}


def test_a_call_that_never_ends_does_not_hold_up_the_exit(fleet: Fleet) -> None:
    fleet.contact_centre.behave("hang")
    fleet.web()
    worker = fleet.worker()
    sent = [fleet.send(n) for n in range(3)]
    wait_until(lambda: calls(fleet) == 3)
    assert terminate(worker, LONGEST_STOP_SECONDS) == 0
    assert fleet.states() == {LeadState.UNKNOWN: 3}
    fleet.worker()
    wait_until(fleet.is_quiet)
    fleet.assert_nothing_was_lost(sent)


def test_a_web_process_that_is_told_to_stop_loses_nothing_that_it_acknowledged(fleet: Fleet) -> None:
    fleet.web()
    fleet.worker()
    web = fleet.children[0]
    with Burst(fleet, count(), threads=16) as burst:
        wait_until(lambda: burst.acknowledged > 50)
        assert terminate(web, LONGEST_STOP_SECONDS) == 0
        sent = burst.join()
    assert {one.error for one in sent if one.status is None} <= {"ConnectionRefusedError"}
    wait_until(fleet.is_quiet, 20)
    assert fleet.assert_nothing_was_lost(sent)[LeadState.UNKNOWN] == 0


def test_idle_processes_end_at_once(fleet: Fleet) -> None:
    web, worker = fleet.web(), fleet.worker()
    for child in (web, worker):
        began_at = time.monotonic()
        assert terminate(child, LONGEST_STOP_SECONDS) == 0
        assert time.monotonic() - began_at < 3.0
    assert fleet.rows("SELECT id FROM worker") == []
    assert fleet.rows("SELECT id FROM procrastinate_workers") == []
