"""A verdict in the ledger: a lead that waits for its moment, and a call whose moment has passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from integration.ledger import Begun, Held, LeadWork, SetBack
from integration.model import LeadId, LeadState, Reason, Verdict, VerdictKind
from tests.ledger.conftest import EAST, World

CLOSED = Verdict(VerdictKind.WAIT, None, LeadState.WAITING, Reason.OUTSIDE_HOURS, "closed there")
HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def begin(world: World, work: LeadWork, until: datetime | None) -> Begun | Held | None:
    return world.ledger.calls.begin(
        work,
        work.epoch,
        world.decision(),
        account_id=EAST.id or "",
        rules_digest="d",
        worker_id="w",
        cooldown_seconds=600.0,
        verdict=Verdict(VerdictKind.GO, until),
    )


def waits(world: World, lead_id: LeadId, until: datetime) -> None:
    work = world.take(lead_id)
    assert world.ledger.calls.wait(work, work.epoch, world.decision(), replace(CLOSED, until=until), "d")


def test_a_lead_waits_until_the_verdicts_instant(world: World) -> None:
    lead_id = world.lead()
    waits(world, lead_id, now() + HOUR)
    assert 3590 < world.wait_seconds(lead_id) <= 3600
    assert world.ledger.calls.take(lead_id) is None
    assert (world.state(lead_id), world.reason(lead_id)) == ("waiting", "outside_hours")
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert (story.lead.account, story.lead.rules_digest, story.lead.detail) == ("east", "d", "closed there")
    assert story.history[-1].detail == 'outside_hours by rule "Everyone", line 3: closed there'
    assert story.lead.writeback_state is None  # waiting is no result


def test_of_two_workers_one_puts_it_off(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    waits(world, lead_id, now() + HOUR)
    assert not world.ledger.calls.wait(work, work.epoch, world.decision(), replace(CLOSED, until=now()), "d")
    assert begin(world, work, None) is None


def test_a_moment_that_has_passed_is_looked_at_again_after_a_second_and_not_at_once(world: World) -> None:
    lead_id = world.lead()
    waits(world, lead_id, now() - HOUR)
    assert 0 < world.wait_seconds(lead_id) <= 1.0


def test_the_time_in_which_it_may_not_be_called_does_not_count_as_trying(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    tried = SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=2.0)
    assert world.ledger.calls.set_back(work, work.epoch, tried, "not reached", "east")
    world.time_passes()
    waits(world, lead_id, now() + 14 * HOUR)
    world.time_passes()
    work = world.take(lead_id)
    assert (work.gave_up, work.held_up_seconds) == (False, 0.0)


def test_a_call_begins_while_its_verdict_holds(world: World) -> None:
    lead_id = world.lead()
    assert isinstance(begin(world, world.take(lead_id), now() + HOUR), Begun)


def test_a_call_does_not_begin_when_its_verdict_is_over_by_the_clock_of_the_database(world: World) -> None:
    lead_id = world.lead()
    assert begin(world, world.take(lead_id), now() - timedelta(seconds=1)) is None
    assert world.attempts(lead_id) == []
    assert world.state(lead_id) is LeadState.RECEIVED
    assert world.take(lead_id).attempts == 0  # it is looked at again at once
