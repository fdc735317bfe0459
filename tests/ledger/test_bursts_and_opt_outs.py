"""What the intake holds of a burst, and what it does with those who want no calls. In the delivery's transaction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from integration.ledger import NewEvent, Receipt
from integration.model import Burst, DeliveryState, LeadId, LeadState, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, World
from tests.ledger.test_brakes import let_go
from tests.ledger.test_calls import at_once
from tests.ledger.test_do_not_call import KEY, OTHER_KEY
from tests.ledger.test_intake import delivery

BURST = Burst(more_than=3, within_seconds=600)
MINUTE_MS = 60_000
KEYS = itertools.count(1)


def receive(
    world: World, *, leads: int = 1, at_minute: float = 1000, source: str = "crm", events: Sequence[NewEvent] = ()
) -> Receipt:
    return world.ledger.intake.receive(
        source=source,
        body=b"{}",
        content_type=None,
        received_at_ms=round(at_minute * MINUTE_MS),
        events=events or [NewEvent(f"id:{next(KEYS):05}") for _ in range(leads)],
        burst=BURST,
    )


# ---- bursts -----------------------------------------------------------------------------------


def test_what_is_beyond_the_normal_number_is_parked(world: World) -> None:
    normal = [receive(world) for _ in range(3)]
    assert all(not receipt.held and len(receipt.work) == 1 for receipt in normal)
    beyond = receive(world)
    assert (beyond.work, beyond.held, beyond.parked) == ((), beyond.created, beyond.created)
    (lead_id,) = beyond.held
    assert (world.state(lead_id), world.reason(lead_id)) == (LeadState.PARKED, "burst_held")
    assert "`ringback resume burst:crm`" in world.detail(lead_id)
    assert list(world.ledger.upkeep.due_writebacks()) == [lead_id]
    assert lead_id not in world.ledger.upkeep.due_leads()


def test_of_one_large_delivery_the_first_go(world: World) -> None:
    receive(world)
    receipt = receive(world, leads=5)
    assert (len(receipt.work), len(receipt.held), len(receipt.created)) == (2, 3, 5)
    assert [work.id for work in receipt.work] == [lead_id for lead_id in receipt.created if lead_id not in receipt.held]


def test_another_source_has_its_own_count(world: World) -> None:
    receive(world, leads=4)
    assert receive(world, source="form").held == ()


def test_after_that_time_leads_are_normal_again(world: World) -> None:
    receive(world, leads=4, at_minute=1000)
    assert receive(world, at_minute=1009.9).held
    assert receive(world, at_minute=1020).held == ()


def test_a_long_import_does_not_trickle_through(world: World) -> None:
    receipts = [receive(world, at_minute=1000 + n) for n in range(60)]
    assert [bool(receipt.held) for receipt in receipts] == [False] * 3 + [True] * 57


def test_three_leads_in_ten_minutes_are_normal_for_ever(world: World) -> None:
    receipts = [receive(world, at_minute=1000 + 3.4 * n) for n in range(60)]
    assert not any(receipt.held for receipt in receipts)


def test_a_repetition_is_no_new_lead(world: World) -> None:
    events = [NewEvent("id:same")]
    for _ in range(5):
        receive(world, events=events)
    assert receive(world).held == ()


def test_a_held_lead_goes_when_a_person_lets_it_go(world: World) -> None:
    receive(world, leads=2)
    receipts = [receive(world, at_minute=1000 + n) for n in range(4)]
    held = [lead_id for receipt in receipts for lead_id in receipt.held]
    (burst,) = world.ledger.brakes.bursts()
    assert (burst.scope, burst.count) == ("burst:crm", 3)
    assert list(world.ledger.brakes.withheld("burst:crm").freshest) == held[::-1]
    assert world.ledger.brakes.withheld("burst:form").count == 0
    assert let_go(world, "burst:crm", per_minute=6) == 3
    assert [round(world.wait_seconds(lead_id) / 10) for lead_id in held] == [2, 1, 0]
    assert {world.reason(lead_id) for lead_id in held} == {"let_go"}
    assert held[-1] in world.ledger.upkeep.due_leads()
    assert world.ledger.brakes.bursts() == []


# ---- opt-outs ---------------------------------------------------------------------------------


def opt_out(numbers: Sequence[str] = (NUMBER,), problem: str = "") -> NewEvent:
    parked = (Reason.OPT_OUT_UNREAD, problem) if problem else None
    return NewEvent(f"id:{next(KEYS)}", parked, opted_out=tuple(numbers))


def test_an_opt_out_puts_its_numbers_on_the_list_and_makes_no_lead(world: World) -> None:
    world.use_key(KEY)
    receipt = receive(world, events=[opt_out([NUMBER, OTHER_NUMBER])])
    assert (receipt.created, receipt.opted_out, receipt.state) == ((), 2, DeliveryState.STORED)
    assert delivery(world, receipt)[:2] == ("stored", "opt-out: 2 on the do-not-call list")
    found = world.ledger.do_not_call.find(NUMBER)
    assert found is not None
    assert found.source == "source crm"


def test_an_opt_out_that_comes_again_changes_nothing(world: World) -> None:
    world.use_key(KEY)
    event = opt_out()
    for _ in range(2):
        assert receive(world, events=[event]).created == ()
    assert world.ledger.do_not_call.count() == 1


def test_a_lead_that_waits_with_that_number_is_blocked(world: World) -> None:
    world.use_key(KEY)
    lead_id = world.lead()
    receive(world, events=[opt_out(), NewEvent("id:new lead")])
    assert world.held(lead_id).reason is Reason.DO_NOT_CALL


def test_an_opt_out_that_cannot_be_read_is_shown_and_what_was_read_is_listed(world: World) -> None:
    world.use_key(KEY)
    receipt = receive(world, events=[opt_out([NUMBER], "the number holds letters")])
    (lead_id,) = receipt.parked
    assert (world.state(lead_id), world.reason(lead_id)) == (LeadState.PARKED, "opt_out_unread")
    assert world.ledger.do_not_call.count() == 1


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_an_opt_out_that_cannot_be_listed_is_shown(world: World, key: str | None) -> None:
    world.use_key(KEY)
    world.ledger.do_not_call.add([OTHER_NUMBER], source="Kim")
    world.use_key(key)
    receipt = receive(world, events=[opt_out()])
    (lead_id,) = receipt.parked
    assert world.reason(lead_id) == "opt_out_unread"
    assert "RINGBACK_DNC_KEY" in world.detail(lead_id)


def test_many_opt_outs_and_leads_at_once_wait_for_nobody_in_a_circle(world: World) -> None:
    world.use_key(KEY)
    numbers = [f"+1555124{n:04}" for n in range(40)]

    def deliver(n: int) -> list[LeadId]:
        mixed = numbers if n % 2 else numbers[::-1]
        return list(receive(world, events=[opt_out([number]) for number in mixed], source=f"crm{n}").created)

    assert at_once(6, deliver) == [[]] * 6
    assert world.ledger.do_not_call.count() == 40
