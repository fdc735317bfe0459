"""A person orders to wait, on every machine at once, and lets go what waits, the freshest first."""

from __future__ import annotations

import pytest

from integration.ledger import Begun, Claimed
from integration.model import LeadId, LeadState, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, WEST, World
from tests.ledger.test_pauses import paused

ALL = ("*", "source:crm", "account:east", "rule:Everyone")


def pull(world: World, scope: str = "*") -> None:
    world.ledger.brakes.pull(scope, who="Kim", why="the script is wrong")


def let_go(world: World, scope: str = "*", per_minute: int = 10) -> int:
    return max(world.ledger.brakes.let_go(scope, per_minute=per_minute, who="Kim"), default=0)


def number(n: int) -> str:
    return f"+15551231{n:03}"


def withheld(world: World, leads: int) -> list[LeadId]:
    """So many leads that wait for a person; the last is the freshest."""
    found = [world.lead(received_at_ms=n) for n in range(1, leads + 1)]
    for n, lead_id in enumerate(found):
        assert world.held(lead_id, number(n)).reason is Reason.PAUSED_BY_PERSON
    return found


@pytest.mark.parametrize("scope", ALL)
def test_nobody_of_the_scope_is_dialled(world: World, scope: str) -> None:
    pull(world, scope)
    lead_id = world.lead()
    held = world.held(lead_id)
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.PAUSED_BY_PERSON)
    assert "paused by Kim since 20" in held.detail
    assert "the script is wrong" in held.detail
    assert world.attempts(lead_id) == []
    assert world.asked(lead_id)["pause"][0] == "wait"
    assert world.ledger.calls.take(lead_id) is None


@pytest.mark.parametrize("scope", ["source:other", "account:west", "rule:Another", "rule:", "source:", "everything"])
def test_others_are_dialled(world: World, scope: str) -> None:
    pull(world, scope)
    assert isinstance(world.begin(world.lead()), Begun)


def test_a_brake_that_came_after_the_lead_was_claimed_holds_it(world: World) -> None:
    work = world.take(world.lead())
    claimed = world.ledger.calls.claim(work, world.decision(), "d", "w")
    assert isinstance(claimed, Claimed)
    pull(world)
    world.begin_from(work, claimed.epoch)
    assert world.reason(work.id) == "paused_by_person"


def test_a_lead_that_was_to_try_a_paused_dialer_gives_its_turn_back(world: World) -> None:
    other = paused(world)
    world.pause_is_due()
    work = world.take(world.lead())
    claimed = world.ledger.calls.claim(work, world.decision(OTHER_NUMBER), "d", "w")
    assert isinstance(claimed, Claimed)
    pull(world)
    world.ledger.calls.begin(
        work, claimed.epoch, world.decision(OTHER_NUMBER),
        account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, passes=claimed.passes,
    )  # fmt: skip
    let_go(world)
    world.time_passes()
    assert isinstance(world.begin(other), Begun)


def test_while_a_person_wants_it_to_wait_a_lead_is_not_given_up(world: World) -> None:
    pull(world)
    (lead_id,) = withheld(world, 1)
    assert world.value("SELECT COUNT(*) FROM lead WHERE give_up_at IS NOT NULL") == 0
    world.sql("UPDATE lead SET received_at = 1, updated_at = 1, due_at = 1")
    assert not world.take(lead_id).gave_up


def test_a_second_order_keeps_the_instant_of_the_first(world: World) -> None:
    pull(world)
    world.sql("UPDATE brake SET since = 1000")
    world.ledger.brakes.pull("*", who="Alex", why="still wrong")
    (brake,) = world.ledger.brakes.standing()
    assert (brake.since.timestamp(), brake.who, brake.why) == (1.0, "Alex", "still wrong")


def test_what_waits_is_listed_before_it_is_let_go(world: World) -> None:
    pull(world)
    leads = withheld(world, 25)
    found = world.ledger.brakes.withheld("*")
    assert found.count == 25
    assert found.oldest is not None
    assert found.oldest.timestamp() == 0.001
    assert list(found.freshest) == leads[:-21:-1]
    assert world.ledger.brakes.withheld("source:crm").count == 0  # the other brake would hold them still


def test_what_is_let_go_goes_the_freshest_first_at_a_rate(world: World) -> None:
    pull(world)
    leads = withheld(world, 3)
    assert let_go(world, per_minute=10) == 3
    assert world.ledger.brakes.standing() == []
    waits = [world.wait_seconds(lead_id) for lead_id in leads]
    assert [round(wait / 6) for wait in waits] == [2, 1, 0]
    assert {world.reason(lead_id) for lead_id in leads} == {"let_go"}
    assert world.ledger.upkeep.resume() == 0  # they keep their times
    assert isinstance(world.begin(leads[-1]), Begun)


def test_a_lead_that_another_brake_holds_stays(world: World) -> None:
    pull(world)
    pull(world, "account:east")
    world.held(world.lead())
    west = world.lead()
    world.held(west, OTHER_NUMBER, WEST)
    assert let_go(world) == 1
    assert world.reason(west) == "let_go"
    assert [brake.scope for brake in world.ledger.brakes.standing()] == ["account:east"]
    assert let_go(world, "account:east") == 1


def test_after_a_crash_in_the_middle_the_brake_still_holds_and_the_order_can_be_given_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.ledger.brakes.AT_ONCE", 2)
    pull(world)
    leads = withheld(world, 5)
    steps = world.ledger.brakes.let_go("*", per_minute=10, who="Kim")
    assert [next(steps), next(steps)] == [1, 3]  # the oldest three, and no step more
    assert len(world.ledger.brakes.standing()) == 1
    world.time_passes()
    assert world.held(leads[0]).reason is Reason.PAUSED_BY_PERSON
    assert let_go(world) == 3
    assert {world.reason(lead_id) for lead_id in leads} == {"let_go"}


def test_a_lead_that_was_put_off_just_while_the_brake_went_is_woken(world: World) -> None:
    pull(world)
    (lead_id,) = withheld(world, 1)
    world.sql("DELETE FROM brake")
    assert world.ledger.upkeep.resume() == 1
    assert isinstance(world.begin(lead_id, number(0)), Begun)


def test_a_call_under_way_goes_on(world: World) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id, NUMBER)
    pull(world)
    assert world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None) is not None
    assert world.state(lead_id) is LeadState.CALLED


def test_nobody_is_due_while_the_brake_still_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be put off once more, and go all at once as soon as it has gone."""
    monkeypatch.setattr("integration.ledger.brakes.AT_ONCE", 2)
    pull(world)
    leads = withheld(world, 5)
    for _ in world.ledger.brakes.let_go("*", per_minute=10, who="Kim"):
        if world.ledger.brakes.standing():
            assert not world.ledger.upkeep.due_leads()
    assert list(world.ledger.upkeep.due_leads()) == [leads[-1]]
