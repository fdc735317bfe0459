"""The CRM is told at least once, the newest result last, and nothing about it can reach the dialer."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from integration.ledger import Lease, SetBack, WritebackJob, leased_job
from integration.model import LeadId, LeadState, Next, Outcome, Reason, WritebackState
from tests.ledger.conftest import OTHER_NUMBER, PLACED, UNCLEAR, World, refused


def taken(world: World, lead_id: LeadId) -> WritebackJob:
    job = world.ledger.writebacks.take(lead_id)
    assert job is not None
    return job


def state(world: World, lead_id: LeadId) -> WritebackState | None:
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    return story.lead.writeback_state


def called(world: World) -> LeadId:
    lead_id = world.lead()
    world.call(lead_id, PLACED)
    return lead_id


def test_a_result_is_told_with_all_that_placeholders_may_ask_for(world: World) -> None:
    job = taken(world, called(world))
    assert (job.state, job.call_id, job.account, job.record_id, job.fields) == (
        "called", "call-1", "east", "7", {"a": 1},
    )  # fmt: skip
    assert (job.source, job.body, job.content_type, job.tries) == ("crm", b'{"Id": "7"}', "application/json", 1)
    assert 0 <= job.age_seconds < 5


def test_a_lead_that_still_moves_has_nothing_to_tell(world: World) -> None:
    lead_id = world.lead()
    assert world.ledger.writebacks.take(lead_id) is None
    begun = world.begun(lead_id)
    assert world.ledger.writebacks.take(lead_id) is None
    world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None)


def test_a_writeback_under_way_is_taken_by_nobody_else(world: World) -> None:
    lead_id = called(world)
    jobs: list[WritebackJob | None] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        jobs.append(world.ledger.writebacks.take(lead_id))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(jobs), jobs.count(None)) == (8, 7)
    assert list(world.ledger.upkeep.due_writebacks()) == []


def test_what_the_crm_took_is_done(world: World) -> None:
    lead_id = called(world)
    world.ledger.writebacks.done(taken(world, lead_id), 200, "the CRM answered 200")
    assert state(world, lead_id) is WritebackState.DONE
    assert world.ledger.writebacks.take(lead_id) is None
    assert world.history(lead_id)[-1] == "write-back done"


def test_what_is_recorded_twice_is_told_once_in_the_history(world: World) -> None:
    """As when a connection is cut behind the commit, and the statement is sent once more."""
    lead_id = world.lead()
    world.call(lead_id, PLACED)
    job = world.ledger.writebacks.take(lead_id)
    assert job is not None
    for _ in range(2):
        world.ledger.writebacks.done(job, 200, "taken")
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert [line.what for line in story.history].count("write-back done") == 1


def test_what_the_crm_refused_is_parked_with_its_reason(world: World) -> None:
    lead_id = called(world)
    world.ledger.writebacks.park(taken(world, lead_id), Reason.CRM_REFUSED, "the CRM answered 404", 404)
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert story.writeback is not None
    assert (story.writeback.state, story.writeback.reason, story.writeback.http_status) == (
        "parked", "crm_refused", 404,
    )  # fmt: skip


def test_a_failed_try_is_repeated_when_it_is_due(world: World) -> None:
    lead_id = called(world)
    world.ledger.writebacks.again(taken(world, lead_id), 30.0, "the CRM answered 500", 500)
    assert world.ledger.writebacks.take(lead_id) is None
    world.time_passes()
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]
    assert taken(world, lead_id).tries == 2


def test_a_newer_result_goes_out_after_the_older_one_and_not_beside_it(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    world.ledger.calls.settle(lead_id, begun.attempt_id, UNCLEAR, None)
    older = taken(world, lead_id)
    world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None)
    assert world.ledger.writebacks.take(lead_id) is None
    world.ledger.writebacks.done(older, 200, "told")
    assert state(world, lead_id) is WritebackState.PENDING
    newer = taken(world, lead_id)
    assert (older.state, newer.state) == (LeadState.UNKNOWN, LeadState.CALLED)
    assert newer.lease.version > older.lease.version
    world.ledger.writebacks.done(newer, 200, "told")
    assert state(world, lead_id) is WritebackState.DONE


def test_a_worker_that_comes_back_late_ends_nobody_elses_turn(world: World) -> None:
    lead_id = called(world)
    older = taken(world, lead_id)
    older = replace(older, lease=Lease(older.lease.version, older.lease.until_ms - 60_000))  # it was taken a minute ago
    world.sql("UPDATE writeback SET lease_until = 1")
    newer = taken(world, lead_id)
    world.ledger.people.tell_crm_again(lead_id, by="ann")
    world.ledger.writebacks.again(older, 1.0, "timeout")
    assert world.ledger.writebacks.take(lead_id) is None  # `newer` still has its turn
    world.ledger.writebacks.done(newer, 200, "told")
    assert world.ledger.writebacks.take(lead_id) is not None


def test_the_turn_of_a_dead_worker_ends_with_its_lease(world: World) -> None:
    lead_id = called(world)
    first = taken(world, lead_id)
    assert 59 < float(world.value("SELECT lease_until - {now} FROM writeback")) / 1000 <= 60
    world.sql("UPDATE writeback SET lease_until = 1")
    assert taken(world, lead_id).lease.version == first.lease.version


def test_a_result_that_the_rules_do_not_tell_leaves_nothing_behind(world: World) -> None:
    lead_id = called(world)
    first = taken(world, lead_id)
    world.ledger.writebacks.not_wanted(first)
    assert state(world, lead_id) is None
    world.ledger.people.tell_crm_again(lead_id, by="ann")
    assert taken(world, lead_id).lease.version > first.lease.version  # a message id made of it is never used twice


def test_a_result_that_no_longer_stands_is_not_told_as_such(world: World) -> None:
    lead_id = world.unknown()
    world.ledger.people.ring_again(lead_id, by="ann")
    assert taken(world, lead_id).state is LeadState.READY


def test_nothing_about_a_writeback_moves_the_lead(world: World) -> None:
    lead_id = called(world)
    world.ledger.writebacks.park(taken(world, lead_id), Reason.BAD_WRITEBACK, "no id")
    other = world.lead()
    blocked = SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED)
    world.call(other, refused(Reason.NUMBER_REFUSED, Next.BLOCK), blocked, OTHER_NUMBER)
    world.ledger.writebacks.again(taken(world, other), 5.0, "500", 500)
    assert (world.state(lead_id), world.state(other)) == ("called", "blocked")
    assert list(world.ledger.upkeep.due_leads()) == []


# ---- leased with the result ------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [PLACED, UNCLEAR], ids=["placed", "unclear"])
def test_a_result_may_be_leased_as_it_is_settled(world: World, outcome: Outcome) -> None:
    lead_id = world.lead()
    work, begun = world.take(lead_id), world.begun(lead_id)
    settled = world.ledger.calls.settle(lead_id, begun.attempt_id, outcome, None, lease=True)
    assert settled is not None
    job = leased_job(work, world.decision(), outcome, settled)
    assert job is not None
    assert list(world.ledger.upkeep.due_writebacks()) == []
    assert world.ledger.writebacks.take(lead_id) is None  # it has an owner
    world.ledger.writebacks.release(job)
    again = taken(world, lead_id)  # and holds the same as for whoever reads it from the database
    assert replace(again, lease=job.lease, tries=1, age_seconds=0.0) == job
    assert again.tries == 2
    world.ledger.writebacks.done(again, 200, "told")
    assert state(world, lead_id) is WritebackState.DONE


def test_no_lease_is_given_while_an_older_result_is_being_told(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    world.ledger.calls.settle(lead_id, begun.attempt_id, UNCLEAR, None)
    older = taken(world, lead_id)
    settled = world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None, lease=True)
    assert settled is not None
    assert settled.lease is None
    world.ledger.writebacks.done(older, 200, "told")
    assert taken(world, lead_id).state is LeadState.CALLED


def test_a_lease_that_has_run_out_is_given_anew_with_the_next_result(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    world.ledger.calls.settle(lead_id, begun.attempt_id, UNCLEAR, None)
    older = taken(world, lead_id)
    world.sql("UPDATE writeback SET lease_until = 1")
    settled = world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None, lease=True)
    assert settled is not None
    assert settled.lease is not None
    assert settled.lease.version > older.lease.version
    world.ledger.writebacks.done(older, 200, "told")  # late, and of an older result
    assert state(world, lead_id) is WritebackState.PENDING


def test_a_call_that_was_not_placed_leases_nothing(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    outcome, after = refused(Reason.NUMBER_REFUSED), SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED)
    settled = world.ledger.calls.settle(lead_id, begun.attempt_id, outcome, after, lease=True)
    assert settled is not None
    assert (settled.state, settled.lease) == (LeadState.BLOCKED, None)
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]
