"""What only a person may order, who ordered it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.ledger import NewEvent, NotPossible, SetBack
from integration.model import LeadId, LeadState, Next, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, World, refused


def parked(world: World) -> LeadId:
    event = NewEvent("sha256:1", parked=(Reason.BAD_BODY, "no JSON"))
    receipt = world.ledger.intake.receive(source="crm", body=b"?", content_type=None, received_at_ms=1, events=[event])
    return receipt.created[0]


def blocked(world: World) -> LeadId:
    lead_id = world.lead()
    after = SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED)
    world.call(lead_id, refused(Reason.NUMBER_REFUSED, Next.BLOCK), after)
    return lead_id


def called(world: World) -> LeadId:
    lead_id = world.lead()
    world.call(lead_id, PLACED)
    return lead_id


def waiting(world: World) -> LeadId:
    lead_id = world.lead()
    world.call(lead_id, refused(Reason.NOT_SENT), SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=60.0))
    return lead_id


def test_a_person_confirms_an_unknown_call(world: World) -> None:
    lead_id = world.unknown()
    world.ledger.people.was_rung(lead_id, by="ann", call_id="call-9", note="found it in the log")
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert (story.lead.state, story.lead.reason, story.lead.call_id) == ("called", "confirmed_by_person", "call-9")
    assert (story.attempts[0].state, story.attempts[0].call_id) == ("placed", "call-9")
    assert story.history[-1].detail == "confirmed as placed by ann: found it in the log"
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]


def test_a_call_id_that_belongs_to_another_lead_is_refused(world: World) -> None:
    called(world)
    lead_id = world.lead()
    begun = world.begun(lead_id, OTHER_NUMBER)
    world.ledger.upkeep.recover(alone=True)
    with pytest.raises(NotPossible, match="call id call-1 belongs to another lead already"):
        world.ledger.people.was_rung(lead_id, by="ann", call_id="call-1")
    assert world.state(lead_id) is LeadState.UNKNOWN
    world.ledger.calls.settle(
        lead_id, begun.attempt_id, refused(Reason.TOO_LATE), SetBack(LeadState.READY, Reason.TOO_LATE)
    )


@pytest.mark.parametrize("make", [World.unknown, parked, waiting])
def test_a_person_closes_a_lead(world: World, make: Callable[[World], LeadId]) -> None:
    lead_id = make(world)
    world.ledger.people.give_up(lead_id, by="ann")
    assert (world.state(lead_id), world.reason(lead_id)) == ("failed", "closed_by_person")
    assert lead_id in world.ledger.upkeep.due_writebacks()


def test_a_person_orders_another_call_and_the_ledger_keeps_both(world: World) -> None:
    lead_id = world.unknown()
    world.ledger.people.ring_again(lead_id, by="ann", note="nobody was rung")
    assert world.state(lead_id) is LeadState.READY
    assert world.take(lead_id).held_up_seconds == 0.0
    world.call(lead_id, PLACED)
    assert world.attempts(lead_id) == ["released", "placed"]


def test_a_second_order_to_ring_again_is_refused(world: World) -> None:
    lead_id = world.unknown()
    world.ledger.people.ring_again(lead_id, by="ann")
    with pytest.raises(NotPossible, match="lead 1 is ready; this is for a lead that is unknown"):
        world.ledger.people.ring_again(lead_id, by="bob")


@pytest.mark.parametrize("make", [parked, blocked])
def test_a_person_gives_a_lead_to_the_rules_once_more(world: World, make: Callable[[World], LeadId]) -> None:
    lead_id = make(world)
    world.ledger.people.decide_again(lead_id, by="ann")
    assert world.state(lead_id) is LeadState.RECEIVED
    assert list(world.ledger.upkeep.due_leads()) == [lead_id]


def test_a_lead_that_may_have_been_rung_is_not_decided_again(world: World) -> None:
    lead_id = world.unknown()
    world.ledger.people.give_up(lead_id, by="ann")
    with pytest.raises(NotPossible, match="may have been rung"):
        world.ledger.people.decide_again(lead_id, by="ann")


def test_a_rehearsed_lead_is_never_dialled_later(world: World) -> None:
    lead_id = world.lead()
    work = world.take(lead_id)
    decision = world.decision()
    world.sql("UPDATE lead SET state = 'rehearsed'")
    with pytest.raises(NotPossible):
        world.ledger.people.decide_again(lead_id, by="ann")
    assert world.ledger.calls.claim(work, decision, "d", "w") is None


def test_the_crm_is_told_again(world: World) -> None:
    lead_id = called(world)
    job = world.ledger.writebacks.take(lead_id)
    assert job is not None
    world.ledger.writebacks.park(job, Reason.CRM_REFUSED, "403", 403)
    world.ledger.people.tell_crm_again(lead_id, by="ann")
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]
    assert world.state(lead_id) is LeadState.CALLED


def test_a_lead_without_a_result_has_nothing_to_tell(world: World) -> None:
    with pytest.raises(NotPossible, match="lead 1 is received: there is no result to tell yet"):
        world.ledger.people.tell_crm_again(world.lead(), by="ann")


Order = Callable[[World, LeadId], None]
ORDERS: dict[str, Order] = {
    "was_rung": lambda world, lead_id: world.ledger.people.was_rung(lead_id, by="ann", call_id=None),
    "give_up": lambda world, lead_id: world.ledger.people.give_up(lead_id, by="ann"),
    "ring_again": lambda world, lead_id: world.ledger.people.ring_again(lead_id, by="ann"),
    "decide_again": lambda world, lead_id: world.ledger.people.decide_again(lead_id, by="ann"),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_called_lead_takes_no_order_that_could_ring_it(world: World, order: Order) -> None:
    lead_id = called(world)
    with pytest.raises(NotPossible, match="lead 1 is called, call call-1; this is for a lead that is"):
        order(world, lead_id)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_lead_on_its_way_takes_no_order(world: World, order: Order) -> None:
    lead_id = world.lead()
    begun = world.begun(lead_id, NUMBER)
    with pytest.raises(NotPossible):
        order(world, lead_id)
    world.ledger.calls.settle(lead_id, begun.attempt_id, PLACED, None)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("number", [0, -1, 999, 10**30])
def test_a_lead_that_does_not_exist_is_named(world: World, order: Order, number: int) -> None:
    with pytest.raises(NotPossible, match=f"there is no lead {number}"):
        order(world, LeadId(number))
