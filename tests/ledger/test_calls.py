"""At most one call: claims, intents, the guard of a number, and what an answer makes of a lead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from integration.ledger import Begun, Claimed, ConstraintHeld, Held, SetBack
from integration.model import (
    AttemptId,
    Decision,
    DecisionKind,
    LeadId,
    LeadState,
    Next,
    Outcome,
    OutcomeKind,
    Reason,
)
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, UNCLEAR, World, refused

T = TypeVar("T")

RETRY = SetBack(LeadState.WAITING, Reason.RATE_LIMITED, wait_seconds=30.0)
AGAIN = SetBack(LeadState.READY, Reason.TOKEN_REFUSED)


def at_once(times: int, work: Callable[[int], T]) -> list[T]:
    """Run `work` in so many threads that start together."""
    found: list[T] = []
    start = threading.Barrier(times)

    def run(number: int) -> None:
        start.wait()
        found.append(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == times
    return found


# ---- one winner -----------------------------------------------------------------------------


def test_a_thousand_claims_of_one_lead_have_one_winner(world: World) -> None:
    work = world.take(world.lead())

    def claim_often(number: int) -> int:
        calls, decision = world.ledger.calls, world.decision()
        return sum(calls.claim(work, decision, "d", f"w{number}") is not None for _ in range(125))

    assert sum(at_once(8, claim_often)) == 1


def test_many_intents_for_one_lead_have_one_winner(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    found = at_once(16, lambda _: world.begin_from(work, work.epoch))
    assert sum(isinstance(each, Begun) for each in found) == 1
    assert found.count(None) == 15
    assert world.attempts(lead_id) == ["intent"]


def test_a_claimed_lead_is_left_alone_by_others(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    claimed = world.ledger.calls.claim(work, world.decision(), "d", "w")
    assert isinstance(claimed, Claimed)
    assert world.ledger.calls.take(lead_id) is None
    assert world.begin_from(work, work.epoch) is None
    assert isinstance(world.begin_from(work, claimed.epoch), Begun)


def test_a_worker_that_was_taken_for_dead_cannot_begin(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    claimed = world.ledger.calls.claim(work, world.decision(), "d", "w")
    assert isinstance(claimed, Claimed)
    assert world.ledger.upkeep.recover(alone=True).freed == (lead_id,)
    assert world.begin_from(work, claimed.epoch) is None
    assert world.state(lead_id) is LeadState.READY


def test_a_decision_without_a_call_ends_the_lead_once(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    decision = Decision(DecisionKind.SKIP, Reason.RULE_SKIPS, "our own", rule_name="Tests", rule_line=2, record_id="7")
    assert world.ledger.calls.finish(work, work.epoch, LeadState.SKIPPED, decision, "d")
    assert not world.ledger.calls.finish(work, work.epoch, LeadState.SKIPPED, decision, "d")
    assert world.ledger.calls.take(lead_id) is None
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert (story.lead.state, story.lead.rule_name, story.lead.rules_digest) == ("skipped", "Tests", "d")
    assert story.history[-1].detail == 'rule_skips by rule "Tests", line 2: our own'


# ---- the constraints of the database itself -------------------------------------------------


@pytest.mark.parametrize("state", ["intent", "placed", "unknown"])
def test_the_database_refuses_a_second_live_attempt(world: World, state: str) -> None:
    lead_id = world.lead()
    world.begun(lead_id)
    world.sql("UPDATE attempt SET state = :state", state=state)
    with pytest.raises(ConstraintHeld):
        world.sql(
            "INSERT INTO attempt (lead_id, n, state, account, account_id, to_number, worker_id, intent_at, message)"
            " VALUES (:id, 2, 'intent', 'east', 'a', '+1', 'w', 1, '')",
            id=lead_id,
        )
    world.sql("UPDATE attempt SET state = 'placed'")
    world.sql("UPDATE lead SET state = 'called'")


def test_a_ready_lead_with_a_live_attempt_is_shown_to_a_person_and_not_dialled(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    world.sql("UPDATE lead SET state = 'ready'")  # what no code of ours does
    held = world.held(lead_id)
    assert (held.state, held.reason) == (LeadState.UNKNOWN, Reason.ANSWER_UNCLEAR)
    assert world.attempts(lead_id) == ["intent"]
    world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None)
    assert world.state(lead_id) is LeadState.CALLED


def test_a_call_id_that_another_call_has_makes_this_one_unknown_with_an_alert(world: World) -> None:
    first, second = world.lead(), world.lead()
    world.call(first, PLACED)
    begun = world.begun(second, OTHER_NUMBER)
    settled = world.ledger.calls.settle(second, begun.attempt_id, PLACED, None)
    assert settled is not None
    assert settled.state is LeadState.UNKNOWN
    assert settled.alert == "the dialer answered with a call id that another call has already: call-1"
    assert world.state(first) is LeadState.CALLED


def test_calls_without_an_id_are_no_contradiction(world: World) -> None:
    nameless = Outcome(OutcomeKind.PLACED, Reason.PLACED_WITHOUT_ID, "no id")
    for number in (NUMBER, OTHER_NUMBER):
        lead_id = world.lead()
        world.call(lead_id, nameless, to=number)
        assert world.state(lead_id) is LeadState.CALLED


# ---- what an answer makes of a lead ---------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "after", "states", "is_told"),
    [
        (PLACED, None, ("called", "placed"), True),
        (UNCLEAR, None, ("unknown", "unknown"), True),
        (refused(Reason.RATE_LIMITED), RETRY, ("waiting", "not_placed"), False),
        (refused(Reason.TOKEN_REFUSED), AGAIN, ("ready", "not_placed"), False),
        (
            refused(Reason.NUMBER_REFUSED, Next.BLOCK),
            SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED),
            ("blocked", "not_placed"),
            True,
        ),
    ],
)
def test_each_outcome_brings_the_lead_where_it_belongs(
    world: World, outcome: Outcome, after: SetBack | None, states: tuple[str, str], is_told: bool
) -> None:
    lead_id = world.lead()
    world.call(lead_id, outcome, after)
    assert (world.state(lead_id), *world.attempts(lead_id)) == states
    assert (list(world.ledger.upkeep.due_writebacks()) == [lead_id]) == is_told
    assert world.history(lead_id) == ["received", "dialing", states[0]]


def test_a_repeated_record_of_the_same_answer_changes_nothing(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    assert world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None) is not None
    before = world.ledger.reading.story(lead_id)
    assert world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None) is None
    after = world.ledger.reading.story(lead_id)
    assert before is not None
    assert after is not None
    assert (after.history, after.attempts, after.writeback) == (before.history, before.attempts, before.writeback)


def test_a_lead_that_cannot_be_placed_for_15_minutes_is_given_up(world: World) -> None:
    lead_id = world.lead()
    assert not world.take(lead_id).gave_up
    world.call(lead_id, refused(Reason.NOT_SENT), SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=3600.0))
    assert 890 < world.wait_seconds(lead_id) <= 900  # not beyond the end of its time
    world.sql("UPDATE lead SET give_up_at = give_up_at - 900000, due_at = due_at - 900000")
    work = world.take(lead_id)
    assert work.gave_up
    assert 899 < work.held_up_seconds < 910


def test_the_time_to_give_up_counts_from_the_first_delay(world: World) -> None:
    lead_id = world.lead()
    world.call(lead_id, refused(Reason.RATE_LIMITED), RETRY)
    first = world.value("SELECT give_up_at FROM lead")
    world.time_passes()
    world.call(lead_id, refused(Reason.RATE_LIMITED), RETRY)
    assert world.value("SELECT give_up_at FROM lead") == first


# ---- late answers ---------------------------------------------------------------------------


def lost(world: World) -> tuple[LeadId, AttemptId]:
    """A lead whose worker was taken for dead, and its attempt."""
    lead_id = world.lead()
    begun = world.begun(lead_id)
    assert world.ledger.upkeep.recover(alone=True).unknown == (lead_id,)
    return lead_id, begun.attempt_id


def test_a_late_clear_answer_settles_an_unknown_call(world: World) -> None:
    lead_id, attempt_id = lost(world)
    settled = world.ledger.calls.settle(lead_id, attempt_id, PLACED, None)
    assert settled is not None
    assert (settled.state, world.attempts(lead_id)) == (LeadState.CALLED, ["placed"])


def test_a_late_proof_that_nothing_was_sent_lets_the_lead_be_dialled(world: World) -> None:
    lead_id, attempt_id = lost(world)
    after = SetBack(LeadState.READY, Reason.TOO_LATE)
    settled = world.ledger.calls.settle(lead_id, attempt_id, refused(Reason.TOO_LATE), after)
    assert settled is not None
    assert settled.state is LeadState.READY
    world.call(lead_id, PLACED)
    assert world.attempts(lead_id) == ["not_placed", "placed"]


def test_a_late_doubt_leaves_a_lead_that_a_person_closed(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.give_up(lead_id, by="ann")
    assert world.ledger.calls.settle(lead_id, attempt_id, UNCLEAR, None) is None
    assert world.state(lead_id) is LeadState.FAILED
    assert world.history(lead_id)[-2:] == ["failed", "late answer"]


def test_a_late_refusal_does_not_dial_a_lead_that_a_person_closed(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.give_up(lead_id, by="ann")
    assert world.ledger.calls.settle(lead_id, attempt_id, refused(Reason.RATE_LIMITED), RETRY) is None
    assert (world.state(lead_id), world.attempts(lead_id)) == ("failed", ["not_placed"])
    assert isinstance(world.begin(world.lead()), Begun)  # and the number is free
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    told = story.history[-1]
    assert (told.what, told.detail) == ("late answer", "attempt 1: rate_limited: refused: rate_limited")


def test_a_late_call_id_reaches_a_lead_that_a_person_closed(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.give_up(lead_id, by="ann")
    settled = world.ledger.calls.settle(lead_id, attempt_id, PLACED, None)
    assert settled is not None
    assert settled.state is LeadState.CALLED


def test_a_late_call_id_is_noted_when_a_person_confirmed_the_call_without_it(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.was_rung(lead_id, by="ann", call_id=None)
    assert world.ledger.calls.settle(lead_id, attempt_id, PLACED, None) is None
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert story.history[-1].detail == "attempt 1: call call-1"


@pytest.mark.parametrize("moment", ["ready", "claimed", "waiting"])
def test_a_late_call_makes_an_order_to_ring_again_void(world: World, moment: str) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.ring_again(lead_id, by="ann")
    work = world.take(lead_id)
    epoch = work.epoch
    if moment == "claimed":
        claimed = world.ledger.calls.claim(work, world.decision(), "d", "w")
        assert isinstance(claimed, Claimed)
        epoch = claimed.epoch
    if moment == "waiting":
        world.sql("UPDATE lead SET state = 'waiting', due_at = 1")
    settled = world.ledger.calls.settle(lead_id, attempt_id, PLACED, None)
    assert settled is not None
    assert settled.state is LeadState.CALLED
    assert settled.alert == "attempt 1 was answered late, call call-1: the ordered second call is not placed"
    assert world.begin_from(work, epoch) is None
    assert world.attempts(lead_id) == ["placed"]


def test_a_late_call_after_the_second_one_began_raises_an_alert(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.ring_again(lead_id, by="ann")
    second = world.begun(lead_id)
    settled = world.ledger.calls.settle(lead_id, attempt_id, PLACED, None)
    assert settled is not None
    assert settled.alert == ("attempt 1 was answered late, call call-1: the ordered call may have been a second ring")
    assert world.attempts(lead_id) == ["released", "intent"]
    two = Outcome(OutcomeKind.PLACED, Reason.PLACED, "ok", call_id="call-2")
    assert world.ledger.calls.settle(lead_id, second.attempt_id, two, None) is not None
    assert world.attempts(lead_id) == ["released", "placed"]


def test_a_late_doubt_about_a_released_attempt_changes_nothing(world: World) -> None:
    lead_id, attempt_id = lost(world)
    world.ledger.people.ring_again(lead_id, by="ann")
    assert world.ledger.calls.settle(lead_id, attempt_id, UNCLEAR, None) is None
    assert world.ledger.calls.settle(lead_id, attempt_id, refused(Reason.TOO_LATE), RETRY) is None
    assert world.state(lead_id) is LeadState.READY


# ---- the guard of a number ------------------------------------------------------------------


def test_a_hundred_leads_with_one_number_ring_once(world: World) -> None:
    leads = [world.lead() for _ in range(100)]
    found = at_once(10, lambda n: [world.begin(lead_id) for lead_id in leads[n * 10 : n * 10 + 10]])
    everyone = [each for some in found for each in some]
    begun = [each for each in everyone if isinstance(each, Begun)]
    held = [each for each in everyone if isinstance(each, Held)]
    assert (len(begun), len(held)) == (1, 99)
    assert {(each.state, each.reason) for each in held} == {("waiting", "number_busy")}
    winner = next(lead_id for lead_id in leads if world.state(lead_id) is LeadState.DIALING)
    world.ledger.calls.settle(winner, begun[0].attempt_id, PLACED, None)
    world.time_passes()
    losers = [lead_id for lead_id in leads if lead_id != winner]
    blocked = [world.held(lead_id) for lead_id in losers]
    assert {(each.state, each.reason) for each in blocked} == {("blocked", "cooldown")}
    assert blocked[0].detail.startswith("already called at ")
    assert blocked[0].detail.endswith(f" UTC for lead {winner}, call call-1")
    assert [world.attempts(lead_id) for lead_id in losers] == [[]] * 99


def test_a_number_is_free_again_after_the_cooldown(world: World) -> None:
    world.call(world.lead(), PLACED)
    world.sql("UPDATE phone_guard SET not_before = 1")
    assert isinstance(world.begin(world.lead()), Begun)


def test_a_number_whose_call_is_unclear_stays_guarded(world: World) -> None:
    world.unknown()
    held = world.held(world.lead())
    assert (held.state, held.reason) == (LeadState.BLOCKED, Reason.COOLDOWN)
    assert held.detail.startswith("perhaps called at ")


def test_a_call_that_was_not_placed_frees_the_number(world: World) -> None:
    world.call(world.lead(), refused(Reason.RATE_LIMITED), RETRY)
    assert isinstance(world.begin(world.lead()), Begun)


@pytest.mark.parametrize("outcome", [PLACED, UNCLEAR])
def test_without_a_cooldown_a_number_rings_for_one_lead_at_a_time(world: World, outcome: Outcome) -> None:
    first, second = world.lead(), world.lead()
    begun = world.begin(first, cooldown_seconds=0.0)
    assert isinstance(begun, Begun)
    held = world.begin(second, cooldown_seconds=0.0)
    assert isinstance(held, Held)
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.NUMBER_BUSY)
    world.ledger.calls.settle(first, begun.attempt_id, outcome, None)
    world.time_passes()
    assert isinstance(world.begin(second, cooldown_seconds=0.0), Begun)


def test_without_a_cooldown_a_call_that_never_ends_guards_its_number_for_a_short_time(world: World) -> None:
    first, second = world.lead(), world.lead()
    assert isinstance(world.begin(first, cooldown_seconds=0.0), Begun)
    assert 19 < world.value("SELECT not_before - {now} FROM phone_guard") / 1000 <= 20
    assert world.ledger.upkeep.recover(alone=True).unknown == (first,)
    held = world.begin(second, cooldown_seconds=0.0)
    assert isinstance(held, Held)
    assert held.reason is Reason.NUMBER_BUSY  # not blocked: nobody asked for a cooldown
    world.time_passes()
    world.sql("UPDATE phone_guard SET not_before = 1")
    assert isinstance(world.begin(second, cooldown_seconds=0.0), Begun)


def test_the_retry_of_a_lead_passes_its_own_guard(world: World) -> None:
    lead_id = world.lead()
    world.call(lead_id, UNCLEAR)
    world.ledger.people.ring_again(lead_id, by="ann")
    assert world.begun(lead_id).n == 2


@pytest.mark.parametrize("is_claimed", [False, True])
def test_another_lead_waits_while_an_ordered_call_to_the_number_is_under_way(world: World, is_claimed: bool) -> None:
    lead_id = world.unknown()
    world.ledger.people.ring_again(lead_id, by="ann")
    if is_claimed:
        world.ledger.calls.claim(world.take(lead_id), world.decision(), "d", "w")
    held = world.held(world.lead())
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.NUMBER_BUSY)


def test_a_lead_that_the_guard_stopped_counts_no_attempt(world: World) -> None:
    first, second = world.lead(), world.lead()
    begun = world.begun(first)
    world.held(second)
    world.ledger.calls.settle(first, begun.attempt_id, refused(Reason.RATE_LIMITED), RETRY)
    world.time_passes()
    assert world.begun(second).n == 1


# ---- errors of our own ----------------------------------------------------------------------


def test_a_lead_that_stumbles_five_times_is_parked_and_told(world: World) -> None:
    lead_id = world.lead()
    for _ in range(4):
        assert world.ledger.calls.stumble(lead_id, "an error") is LeadState.WAITING
        assert world.ledger.calls.take(lead_id) is None
        world.time_passes()
    assert world.ledger.calls.stumble(lead_id, "an error") is LeadState.PARKED
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]
    assert world.ledger.calls.stumble(lead_id, "an error") is None


def test_an_error_after_the_intent_never_moves_the_lead(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id)
    assert world.ledger.calls.stumble(lead_id, "an error") is None
    assert world.state(lead_id) is LeadState.DIALING
    world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None)


def test_a_reason_of_a_newer_release_does_not_stop_a_lead(world: World) -> None:
    lead_id = world.lead()
    world.sql("UPDATE lead SET reason = 'from_a_newer_release'")
    assert world.take(lead_id).last_reason is None
