"""A paused account stands still, one lead at a time tries it again, and the others follow at once."""

from __future__ import annotations

import pytest

from integration.ledger import ALL_DIALING, Begun, Claimed, Held, SetBack, upkeep
from integration.model import LeadId, LeadState, Next, Outcome, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, UNCLEAR, WEST, World, refused
from tests.ledger.test_calls import at_once

THIRD_NUMBER = "+15551230003"
GONE = SetBack(LeadState.WAITING, Reason.ACCOUNT_NOT_FOUND, wait_seconds=60.0, pause="east")
NO_TOKEN = SetBack(LeadState.WAITING, Reason.TOKEN_REFUSED, wait_seconds=60.0, pause=ALL_DIALING)
BUSY = SetBack(LeadState.WAITING, Reason.RATE_LIMITED, wait_seconds=120.0, pause="east")
NOT_FOUND = refused(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT)
LATER = refused(Reason.RATE_LIMITED)


def paused(world: World, after: SetBack = GONE, outcome: Outcome = NOT_FOUND) -> LeadId:
    """A lead whose answer paused the account."""
    lead_id = world.lead()
    world.call(lead_id, outcome, after)
    return lead_id


def next_probe_seconds(world: World) -> float:
    return float(world.value("SELECT probe_at - {now} FROM pause")) / 1000


def test_a_paused_account_is_not_dialled(world: World) -> None:
    paused(world)
    lead_id = world.lead()
    held = world.held(lead_id, OTHER_NUMBER)
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.ACCOUNT_PAUSED)
    assert 58 < world.wait_seconds(lead_id) <= 60
    assert world.attempts(lead_id) == []
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert (story.lead.account, story.lead.attempts, story.lead.rule_name) == ("east", 0, "Everyone")
    assert world.asked(lead_id)["dialer"] == ("wait", {"paused": "account_paused"})


def test_another_account_is_dialled_meanwhile(world: World) -> None:
    paused(world)
    assert isinstance(world.begin(world.lead(), OTHER_NUMBER, WEST), Begun)


def test_the_pause_of_all_dialling_holds_every_account(world: World) -> None:
    paused(world, NO_TOKEN, refused(Reason.TOKEN_REFUSED, Next.PAUSE_ALL))
    assert world.held(world.lead(), OTHER_NUMBER, WEST).reason is Reason.DIALING_PAUSED


def test_a_paused_account_is_left_in_peace_before_anything_is_prepared(world: World) -> None:
    paused(world)
    lead_id = world.lead()
    held = world.ledger.calls.claim(world.take(lead_id), world.decision(OTHER_NUMBER), "d", "w")
    assert isinstance(held, Held)
    assert (world.state(lead_id), held.reason) == (LeadState.WAITING, Reason.ACCOUNT_PAUSED)


def test_one_lead_at_a_time_tries_a_paused_account(world: World) -> None:
    paused(world)
    world.pause_is_due()
    leads = [world.lead() for _ in range(8)]
    found = at_once(8, lambda n: world.begin(leads[n], f"+1555123010{n}"))
    assert sum(isinstance(each, Begun) for each in found) == 1
    retried = [
        world.begin(lead_id, f"+155512301{n}0") for n, lead_id in enumerate(leads) if world.ledger.calls.take(lead_id)
    ]
    assert all(isinstance(each, Held) for each in retried)


def test_one_lead_at_a_time_prepares_for_a_paused_account(world: World) -> None:
    paused(world)
    world.pause_is_due()
    leads = [world.lead() for _ in range(8)]
    works = [world.take(lead_id) for lead_id in leads]
    found = at_once(8, lambda n: world.ledger.calls.claim(works[n], world.decision(f"+1555123010{n}"), "d", "w"))
    assert sum(isinstance(each, Claimed) for each in found) == 1


def test_a_lead_that_claimed_its_turn_passes_the_pause_it_tries(world: World) -> None:
    paused(world)
    world.pause_is_due()
    lead_id = world.lead()
    work = world.take(lead_id)
    claimed = world.ledger.calls.claim(work, world.decision(OTHER_NUMBER), "d", "w")
    assert isinstance(claimed, Claimed)
    assert set(claimed.passes) == {"east"}
    begun = world.ledger.calls.begin(
        work, claimed.epoch, world.decision(OTHER_NUMBER),
        account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, passes=claimed.passes,
    )  # fmt: skip
    assert isinstance(begun, Begun)


def test_a_lead_that_claimed_its_turn_is_held_by_a_newer_pause(world: World) -> None:
    paused(world)
    world.pause_is_due()
    work = world.take(world.lead())
    claimed = world.ledger.calls.claim(work, world.decision(OTHER_NUMBER), "d", "w")
    assert isinstance(claimed, Claimed)
    other = world.lead()
    begun = world.begun(other, THIRD_NUMBER, WEST)
    world.ledger.calls.settle(other, begun.attempt_id, refused(Reason.TOKEN_REFUSED, Next.PAUSE_ALL), NO_TOKEN)
    held = world.ledger.calls.begin(
        work, claimed.epoch, world.decision(OTHER_NUMBER),
        account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, passes=claimed.passes,
    )  # fmt: skip
    assert isinstance(held, Held)
    assert held.reason is Reason.DIALING_PAUSED


def test_a_failing_account_is_tried_after_1_5_and_15_minutes(world: World) -> None:
    lead_id = paused(world)
    assert 58 < next_probe_seconds(world) <= 60
    for minutes in (5, 15, 15):
        world.pause_is_due()
        world.time_passes()
        world.call(lead_id, NOT_FOUND, GONE)
        assert minutes * 60 - 2 < next_probe_seconds(world) <= minutes * 60


def test_a_turn_that_fails_while_it_is_prepared_counts(world: World) -> None:
    lead_id = paused(world, NO_TOKEN, refused(Reason.TOKEN_REFUSED, Next.PAUSE_ALL))
    world.pause_is_due()
    world.time_passes()
    work = world.take(lead_id)
    claimed = world.ledger.calls.claim(work, world.decision(), "d", "w")
    assert isinstance(claimed, Claimed)
    assert world.ledger.calls.set_back(work, claimed.epoch, NO_TOKEN, "refused", "east")
    assert 298 < next_probe_seconds(world) <= 300


def test_a_lead_that_the_guard_stops_uses_up_no_turn(world: World) -> None:
    world.call(world.lead(), PLACED, to=OTHER_NUMBER)
    lead_id = paused(world)
    world.pause_is_due()
    assert world.held(world.lead(), OTHER_NUMBER).reason is Reason.COOLDOWN
    world.time_passes()
    assert isinstance(world.begin(lead_id), Begun)


def test_a_lead_that_prepared_and_meets_the_guard_gives_its_turn_back(world: World) -> None:
    world.call(world.lead(), PLACED, to=OTHER_NUMBER)
    lead_id = paused(world)
    world.pause_is_due()
    work = world.take(world.lead())
    claimed = world.ledger.calls.claim(work, world.decision(OTHER_NUMBER), "d", "w")
    assert isinstance(claimed, Claimed)
    world.ledger.calls.begin(
        work, claimed.epoch, world.decision(OTHER_NUMBER),
        account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, passes=claimed.passes,
    )  # fmt: skip
    world.time_passes()
    assert isinstance(world.begin(lead_id), Begun)


@pytest.mark.parametrize("after", [GONE, NO_TOKEN])
def test_success_ends_the_pause_and_wakes_those_who_waited(world: World, after: SetBack) -> None:
    first = paused(world, after)
    waiting = [world.lead(), world.lead()]
    for n, lead_id in enumerate(waiting):
        world.held(lead_id, f"+1555123010{n}")
    world.pause_is_due()
    world.sql("UPDATE lead SET due_at = 1 WHERE id = :id", id=first)
    world.call(first, PLACED)
    assert world.ledger.reading.pauses() == []
    assert world.ledger.upkeep.resume() == 2
    assert list(world.ledger.upkeep.due_leads()) == waiting


def test_those_who_waited_are_woken_little_by_little(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands at once take longer than a statement may: none would be woken, and no worker could even start."""
    first = paused(world)
    waiting = [world.lead() for _ in range(5)]
    for n, lead_id in enumerate(waiting):
        world.held(lead_id, f"+1555123010{n}")
    monkeypatch.setattr(upkeep, "MOST_WOKEN", 2)
    assert world.ledger.upkeep.clear_pauses() == 1
    assert list(world.ledger.upkeep.due_leads()) == [first, *waiting[:2]]
    assert [world.ledger.upkeep.resume() for _ in range(3)] == [2, 1, 0]
    assert list(world.ledger.upkeep.due_leads()) == [first, *waiting]


def test_leads_of_a_pause_that_stands_are_not_woken(world: World) -> None:
    paused(world)
    world.held(world.lead(), OTHER_NUMBER)
    assert world.ledger.upkeep.resume() == 0


def test_a_refused_number_proves_the_account(world: World) -> None:
    lead_id = paused(world)
    world.pause_is_due()
    world.time_passes()
    blocked = SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED)
    world.call(lead_id, refused(Reason.NUMBER_REFUSED, Next.BLOCK), blocked)
    assert world.ledger.reading.pauses() == []


def test_an_unclear_answer_proves_nothing(world: World) -> None:
    lead_id = paused(world)
    world.pause_is_due()
    world.time_passes()
    world.call(lead_id, UNCLEAR)
    assert len(world.ledger.reading.pauses()) == 1


@pytest.mark.parametrize(("after", "outcome"), [(BUSY, LATER), (GONE, NOT_FOUND)])
def test_the_success_of_an_older_call_does_not_end_a_newer_pause(
    world: World, after: SetBack, outcome: Outcome
) -> None:
    older, newer = world.lead(), world.lead()
    old_call, new_call = world.begun(older), world.begun(newer, OTHER_NUMBER)
    world.sql("UPDATE attempt SET intent_at = intent_at - 5")  # within one millisecond the order is not known
    world.ledger.calls.settle(newer, new_call.attempt_id, outcome, after)
    world.ledger.calls.settle(older, old_call.attempt_id, PLACED, None)
    assert [pause.scope for pause in world.ledger.reading.pauses()] == ["east"]


def test_an_old_token_lets_the_next_lead_try_at_once(world: World) -> None:
    lead_id = paused(world)
    world.pause_is_due()
    world.time_passes()
    world.call(lead_id, refused(Reason.TOKEN_REFUSED, Next.REFRESH), SetBack(LeadState.READY, Reason.TOKEN_REFUSED))
    assert isinstance(world.begin(lead_id), Begun)


def test_a_busy_dialer_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    paused(world, BUSY, LATER)
    assert 118 < next_probe_seconds(world) <= 120
    world.held(world.lead(), OTHER_NUMBER)


def test_the_longer_of_two_requests_to_wait_counts(world: World) -> None:
    leads = [world.lead(), world.lead()]
    begun = [world.begun(lead_id, number) for lead_id, number in zip(leads, (NUMBER, OTHER_NUMBER), strict=True)]
    world.ledger.calls.settle(leads[0], begun[0].attempt_id, LATER, BUSY)
    shorter = SetBack(LeadState.WAITING, Reason.RATE_LIMITED, wait_seconds=1.0, pause="east")
    world.ledger.calls.settle(leads[1], begun[1].attempt_id, LATER, shorter)
    assert 118 < next_probe_seconds(world) <= 120


@pytest.mark.parametrize("graver_first", [False, True])
def test_the_graver_cause_of_a_pause_is_the_one_that_shows(world: World, graver_first: bool) -> None:
    leads = [world.lead(), world.lead()]
    begun = [world.begun(lead_id, number) for lead_id, number in zip(leads, (NUMBER, OTHER_NUMBER), strict=True)]
    order = [(NOT_FOUND, GONE), (LATER, BUSY)]
    for n, (outcome, after) in enumerate(order if graver_first else reversed(order)):
        world.ledger.calls.settle(leads[n], begun[n].attempt_id, outcome, after)
    (pause,) = world.ledger.reading.pauses()
    assert (pause.reason, pause.message) == ("account_not_found", "refused: account_not_found")
    assert 118 < next_probe_seconds(world) <= 120


def test_a_person_ends_all_pauses_and_everyone_who_waited_is_due(world: World) -> None:
    first = paused(world)
    second = world.lead()
    world.held(second, OTHER_NUMBER)
    assert world.ledger.upkeep.clear_pauses() == 1
    assert list(world.ledger.upkeep.due_leads()) == [first, second]
    assert world.ledger.upkeep.clear_pauses() == 0


def test_a_lead_held_by_a_pause_is_given_up_in_time(world: World) -> None:
    paused(world)
    world.sql("UPDATE pause SET probe_at = probe_at + 86400000")
    lead_id = world.lead()
    world.held(lead_id, OTHER_NUMBER)
    assert 898 < world.wait_seconds(lead_id) <= 900
