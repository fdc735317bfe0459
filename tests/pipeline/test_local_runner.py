"""The threads around the pipeline: they find what is due, survive what fails, and stop in time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest

from integration.crew import PATIENCE_SECONDS, Step
from integration.dialers import Ticket
from integration.ledger import LeadWork, LedgerUnavailable, upkeep
from integration.model import CallRequest, Decision, LeadId, LeadState, Next, Outcome, Reason
from integration.runner import local
from integration.runner.local import LocalRunner
from tests.ledger.conftest import World
from tests.pipeline.conftest import PLACED, Stage, not_placed


def made(stage: Stage, *, alone: bool = False) -> LocalRunner:
    return LocalRunner(
        stage.pipeline, stage.ledger, worker_id="worker", alone=alone, dial_threads=2, writeback_threads=2
    )


@contextmanager
def running(stage: Stage, *, alone: bool = False) -> Iterator[LocalRunner]:
    with patch.object(local, "LOOK_EVERY_SECONDS", 0.05):
        runner = made(stage, alone=alone)
        runner.start()
        try:
            yield runner
        finally:
            assert runner.stop(5.0)


def fresh(stage: Stage, lead_id: LeadId) -> LeadWork:
    """The lead as the web door hands it over."""
    work = stage.ledger.calls.take(lead_id)
    assert work is not None
    return work


def a_step() -> Step:
    return Step("crm", time.monotonic(), PATIENCE_SECONDS, lambda: None)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


def is_told(stage: Stage, lead_id: LeadId) -> bool:
    return stage.story(lead_id).lead.writeback_state == "done"


def test_a_lead_that_is_woken_is_called_and_the_crm_is_told(stage: Stage) -> None:
    with running(stage) as runner:
        lead_id = stage.lead()
        runner.wake(fresh(stage, lead_id))
        until(lambda: is_told(stage, lead_id))
    assert len(stage.dialer.calls) == 1


def test_a_lead_that_nobody_woke_is_found(stage: Stage) -> None:
    with running(stage):
        lead_id = stage.lead()
        until(lambda: is_told(stage, lead_id))


@pytest.mark.parametrize("error", [LedgerUnavailable("a statement took too long"), ZeroDivisionError()])
def test_a_queue_that_cannot_be_tidied_hides_no_lead(stage: Stage, error: Exception) -> None:
    with patch.object(stage.ledger.wakeups, "tidy", side_effect=error) as tidy, running(stage):
        lead_id = stage.lead()
        until(lambda: is_told(stage, lead_id))
    assert tidy.call_count == 1


def test_a_lead_that_is_woken_many_times_is_called_once(stage: Stage) -> None:
    leads = [stage.lead() for _ in range(10)]
    work = [fresh(stage, lead_id) for lead_id in leads]
    with running(stage) as runner:
        for lead in work * 20:
            runner.wake(lead)
        until(lambda: all(is_told(stage, lead_id) for lead_id in leads))
    assert sorted(call.reference for _, call in stage.dialer.calls) == sorted(f"lead {n} attempt 1" for n in leads)


def test_what_an_earlier_process_left_is_recovered_at_the_start(stage: Stage, world: World) -> None:
    dialing, claimed = world.lead(), world.lead()
    world.begun(dialing)
    world.ledger.calls.claim(world.take(claimed), world.decision(), "d", "dead")
    with running(stage, alone=True):
        until(lambda: stage.story(dialing).lead.state is LeadState.UNKNOWN)
        until(lambda: stage.story(claimed).lead.state.is_result)
    assert stage.dialer.calls == []


def test_a_restart_ends_all_pauses(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.DIALER_CONFIG, Next.PAUSE_ALL), PLACED]
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.WAITING
    with running(stage):
        until(lambda: stage.story(lead_id).lead.state is LeadState.CALLED)


def test_those_who_waited_for_a_pause_go_on_when_it_ends(stage: Stage, world: World) -> None:
    stage.dialer.script = [not_placed(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT), PLACED]
    first, second = stage.lead(), stage.lead()
    known = fresh(stage, second)  # as it was received: the runner's own look may come before the wake
    with running(stage) as runner:
        runner.wake(fresh(stage, first))
        until(lambda: bool(stage.ledger.reading.pauses()))
        runner.wake(known)
        until(lambda: stage.story(second).lead.reason == "account_paused")
        world.pause_is_due()
        world.sql("UPDATE lead SET due_at = 1 WHERE id = :id", id=first)
        until(lambda: stage.story(second).lead.state.is_result)


def test_new_rules_judge_those_who_wait_for_an_opening_of_the_old_ones(stage: Stage, world: World) -> None:
    lead_id = stage.lead()
    world.sql(
        "UPDATE lead SET state = 'waiting', reason = 'outside_hours', rules_digest = 'old', due_at = 2 * {now} "
        "WHERE id = :id",
        id=lead_id,
    )
    with patch.object(upkeep, "JUDGED_WITHIN_SECONDS", 0.01), running(stage):
        until(lambda: stage.story(lead_id).lead.state is LeadState.CALLED)


def test_an_error_of_ours_stops_one_lead_only(stage: Stage) -> None:
    poison, good = stage.lead(), stage.lead()
    decide = stage.pipeline._decide

    def stumble(lead: LeadWork) -> Decision:
        if lead.id == poison:
            raise ZeroDivisionError
        return decide(lead)

    with patch.object(stage.pipeline, "_decide", stumble), running(stage):
        until(lambda: is_told(stage, good))
        until(lambda: stage.story(poison).lead.reason == "poison")
    assert stage.story(poison).history[-1].what == "stumbled"


def test_the_runner_outlives_a_database_that_is_away(stage: Stage) -> None:
    with running(stage) as runner:
        away = LedgerUnavailable("away")
        with (
            patch.object(stage.ledger.upkeep, "recover", side_effect=away),
            patch.object(stage.ledger.calls, "begin", side_effect=away),
        ):
            lead_id = stage.lead()
            runner.wake(fresh(stage, lead_id))
            until(lambda: "database.unavailable" in stage.log.getvalue())
        until(lambda: is_told(stage, lead_id))


def test_a_dial_under_way_is_waited_for_and_nothing_new_is_begun(stage: Stage) -> None:
    begun, may_end = threading.Event(), threading.Event()
    place = stage.dialer.place

    def slow(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        begun.set()
        assert may_end.wait(5)
        return place(ticket, call, send_by)

    with patch.object(stage.dialer, "place", slow):
        runner = made(stage)
        first, second = stage.lead(), stage.lead()
        with patch.object(stage.ledger.upkeep, "due_leads", return_value={}):
            runner.start()
            runner.wake(fresh(stage, first))
            assert begun.wait(5)
            stopped: list[bool] = []
            stopping = threading.Thread(target=lambda: stopped.append(runner.stop(5.0)))
            stopping.start()
            until(runner._stopping.is_set)
            runner.wake(fresh(stage, second))
            may_end.set()
            stopping.join()
    assert stopped == [True]
    assert stage.story(first).lead.state is LeadState.CALLED
    assert stage.story(second).lead.state is LeadState.RECEIVED


def test_a_dial_that_takes_too_long_is_left_behind_and_recovered_by_others(stage: Stage) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def stuck(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        begun.set()
        assert may_end.wait(5)
        return PLACED

    with patch.object(stage.dialer, "place", stuck):
        runner = made(stage)
        lead_id = stage.lead()
        runner.start()
        runner.wake(fresh(stage, lead_id))
        assert begun.wait(5)
        assert not runner.stop(0.5)
    assert stage.ledger.upkeep.recover().unknown == (lead_id,)
    may_end.set()
    until(lambda: stage.story(lead_id).lead.state is LeadState.CALLED)  # its late answer still counts


def test_a_result_that_came_while_stopping_is_left_to_the_next_worker_at_once(stage: Stage) -> None:
    """In time, or from a call that was left behind."""
    stage.pipeline = stage.built(leases_ahead=True)
    begun, may_end = threading.Semaphore(0), [threading.Event(), threading.Event()]

    def stuck(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        begun.release()
        assert may_end[call.reference != "lead 1 attempt 1"].wait(5)
        return replace(PLACED, call_id=call.reference)

    in_time, late = stage.lead(), stage.lead()
    with patch.object(stage.dialer, "place", stuck):
        runner = made(stage)
        runner.start()
        for lead_id in (in_time, late):
            runner.wake(fresh(stage, lead_id))
            assert begun.acquire(timeout=5)
        stopping = threading.Thread(target=runner.stop, args=(1.0,))
        stopping.start()
        until(runner._stopping.is_set)
        may_end[0].set()
        stopping.join()
        assert list(stage.ledger.upkeep.due_writebacks()) == [in_time]
        may_end[1].set()
        until(lambda: list(stage.ledger.upkeep.due_writebacks()) == [in_time, late])


def test_a_write_back_that_waits_when_we_stop_is_left_to_the_next_worker(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    runner = made(stage)  # not started: nobody takes it
    lead_id = stage.lead()
    runner._advance(lead_id, a_step())
    assert list(stage.ledger.upkeep.due_writebacks()) == []
    assert runner.stop(2.0)
    assert list(stage.ledger.upkeep.due_writebacks()) == [lead_id]


def test_a_write_back_that_finds_no_place_in_the_queue_is_left_to_whoever_has_one(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    with patch.object(local, "WRITEBACKS", replace(local.WRITEBACKS, most_waiting=1)):
        runner = made(stage)
    leads = [stage.lead() for _ in range(3)]
    for lead_id in leads:
        runner._advance(lead_id, a_step())
    assert list(stage.ledger.upkeep.due_writebacks()) == leads[1:]
    assert list(stage.pipeline._leased) == leads[:1]
    runner.halt()


@contextmanager
def away(stage: Stage) -> Iterator[None]:
    """The database takes no outcome."""
    with patch.object(stage.ledger.calls, "settle", side_effect=LedgerUnavailable("away")):
        yield


def test_an_outcome_that_the_database_would_not_take_is_recorded_while_stopping(stage: Stage) -> None:
    lead_id = stage.lead()
    with away(stage):
        assert stage.advance(lead_id) is None
    assert made(stage).stop(2.0)
    assert stage.story(lead_id).lead.call_id == "call-1"


def test_a_database_that_comes_back_while_stopping_still_learns_every_outcome(stage: Stage) -> None:
    """Though a call that hangs keeps the runner from being done."""
    begun, may_end = threading.Event(), threading.Event()

    def stuck(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        begun.set()
        assert may_end.wait(5)
        return PLACED

    lead_id, hanging = stage.lead(), stage.lead()
    with away(stage):
        assert stage.advance(lead_id) is None
        with patch.object(stage.dialer, "place", stuck), patch.object(local, "LOOK_EVERY_SECONDS", 60.0):
            runner = made(stage)
            runner.start()
            runner.wake(fresh(stage, hanging))
            assert begun.wait(5)
            stopping = threading.Thread(target=runner.stop, args=(4.0,))
            stopping.start()
            until(runner._stopping.is_set)
    until(lambda: stage.story(lead_id).lead.state is LeadState.CALLED)
    assert stopping.is_alive()
    may_end.set()
    stopping.join()


def test_a_runner_with_an_outcome_that_it_could_not_record_has_not_finished(stage: Stage) -> None:
    lead_id = stage.lead()
    with away(stage):
        assert stage.advance(lead_id) is None
        began = time.monotonic()
        assert not made(stage).stop(0.5)
        assert time.monotonic() - began < 0.7
    assert "calls.left_unrecorded" in stage.log.getvalue()
    assert "count=1" in stage.log.getvalue()


def test_a_database_that_never_answers_does_not_hold_up_the_end(stage: Stage) -> None:
    may_end = threading.Event()

    def hang(worker_id: str) -> None:
        assert may_end.wait(5)

    with patch.object(stage.ledger.upkeep, "leave", hang):
        began = time.monotonic()
        assert made(stage).stop(0.3)
        assert time.monotonic() - began < 0.5
    assert "worker.could_not_say_goodbye" in stage.log.getvalue()
    may_end.set()


def test_a_runner_that_never_started_can_be_stopped(stage: Stage) -> None:
    assert made(stage).stop(0.1)


def test_a_runner_does_not_start_without_its_database(stage: Stage) -> None:
    away = LedgerUnavailable("away")
    with patch.object(stage.ledger.upkeep, "heartbeat", side_effect=away), pytest.raises(LedgerUnavailable):
        made(stage).start()


def test_sources_of_which_enough_leads_wait_are_not_looked_for(stage: Stage) -> None:
    with patch.object(local, "ENOUGH_WAITING", 3), patch.object(local, "LOOK_EVERY_SECONDS", 0.05):
        runner = made(stage)
        leads = [stage.lead() for _ in range(6)]
        assert runner._dials.filled(3) == []
        for lead_id in leads[:3]:
            runner.wake(fresh(stage, lead_id))
            runner._writebacks.add(lead_id, "crm")
        assert runner._dials.filled(3) == ["crm"]
        looked = [(stage.ledger.upkeep, "due_leads"), (stage.ledger.upkeep, "due_writebacks")]
        with contextlib.ExitStack() as stack:
            leads_due, writebacks_due = (
                stack.enter_context(patch.object(on, name, return_value={})) for on, name in looked
            )
            runner._look_once()
        leads_due.assert_called_once_with(but_of=["crm"])
        writebacks_due.assert_called_once_with(but_of=["crm"])
        runner.start()
        until(lambda: all(is_told(stage, lead_id) for lead_id in leads))
        assert runner.stop(5.0)


def test_a_backlog_stays_in_the_ledger_and_every_lead_has_its_turn(stage: Stage) -> None:
    with patch.object(local, "DIALS", replace(local.DIALS, most_waiting=3)):
        leads = [stage.lead() for _ in range(10)]
        runner = made(stage)
        for lead_id in leads:
            runner.wake(fresh(stage, lead_id))
        assert len(runner._dials._waiting) == 3
        with patch.object(local, "LOOK_EVERY_SECONDS", 0.05):
            runner.start()
            until(lambda: all(is_told(stage, lead_id) for lead_id in leads))
        assert runner.stop(5.0)
    assert len(stage.dialer.calls) == 10


def test_leads_that_have_no_place_in_the_queue_are_not_held_with_their_bodies(stage: Stage) -> None:
    """Another process may move them, and then nobody here would ever ask for them."""
    with patch.object(local, "DIALS", replace(local.DIALS, most_waiting=3)):
        leads = [fresh(stage, stage.lead()) for _ in range(10)]
        runner = made(stage)
        for lead in leads:
            runner.wake(lead)
        assert list(runner._known) == [lead.id for lead in leads[:3]]
        runner.halt()
        runner.wake(leads[-1])
        assert leads[-1].id not in runner._known
