"""What was acknowledged is kept, once."""

from __future__ import annotations

import threading

from integration.ledger import NewEvent, Receipt
from integration.model import DeliveryState, LeadState, Reason
from tests.ledger.conftest import World


def receive(world: World, *events: NewEvent, body: bytes = b"{}", source: str = "crm", note: str = "") -> Receipt:
    return world.ledger.intake.receive(
        source=source, body=body, content_type=None, received_at_ms=1_700_000_000_000, events=events, note=note
    )


def delivery(world: World, receipt: Receipt) -> tuple[str, str, bytes | None]:
    with world.ledger.database.read() as tx:
        row = tx.one("SELECT state, note, body FROM delivery WHERE id = :id", {"id": receipt.delivery_id})
    assert row is not None
    return row["state"], row["note"], None if row["body"] is None else bytes(row["body"])


def test_a_new_event_becomes_one_lead_with_its_exact_bytes(world: World) -> None:
    receipt = receive(world, NewEvent("id:1"), body=b'\xff\x00{"a":1}\r\n')
    assert receipt.state is DeliveryState.STORED
    story = world.ledger.reading.story(receipt.created[0])
    assert story is not None
    assert (story.lead.state, story.body) == (LeadState.RECEIVED, b'\xff\x00{"a":1}\r\n')
    assert story.lead.received_at.isoformat() == "2023-11-14T22:13:20+00:00"


def test_the_same_body_again_is_a_duplicate_and_kept_once(world: World) -> None:
    first = receive(world, NewEvent("id:1"), body=b"one")
    again = receive(world, NewEvent("id:1"), body=b"one")
    assert (again.state, again.created, again.repeated) == (DeliveryState.DUPLICATE, (), first.created)
    assert delivery(world, again) == ("duplicate", "the same body again", None)


def test_the_same_event_with_another_body_is_flagged_and_its_body_kept(world: World) -> None:
    first = receive(world, NewEvent("id:1"), body=b"one")
    again = receive(world, NewEvent("id:1"), body=b"two")
    assert again.state is DeliveryState.DUPLICATE
    assert delivery(world, again) == ("duplicate", "the same event with another body", b"two")
    assert world.history(first.created[0]) == ["received", "duplicate"]


def test_the_same_key_from_another_source_is_another_lead(world: World) -> None:
    receive(world, NewEvent("id:1"))
    assert receive(world, NewEvent("id:1"), source="other").state is DeliveryState.STORED


def test_a_delivery_without_events_is_ignored_and_kept(world: World) -> None:
    receipt = receive(world, note="type is no lead.created", body=b"x")
    assert receipt.state is DeliveryState.IGNORED
    assert delivery(world, receipt) == ("ignored", "type is no lead.created", b"x")


def test_a_lead_that_cannot_be_decided_is_parked_at_once(world: World) -> None:
    receipt = receive(world, NewEvent("sha256:0", parked=(Reason.BAD_BODY, "The body is no JSON.")))
    assert receipt.parked == receipt.created
    assert (world.state(receipt.created[0]), world.reason(receipt.created[0])) == ("parked", "bad_body")
    assert list(world.ledger.upkeep.due_writebacks()) == list(receipt.parked)  # every result is told


def test_the_same_event_twice_in_one_delivery_is_one_lead(world: World) -> None:
    receipt = receive(world, NewEvent("id:1"), NewEvent("id:1"), NewEvent("id:2"))
    assert (receipt.state, len(receipt.created)) == (DeliveryState.STORED, 2)


def test_many_deliveries_of_one_event_at_once_make_one_lead(world: World) -> None:
    receipts: list[Receipt] = []
    start = threading.Barrier(8)

    def deliver() -> None:
        start.wait()
        receipts.append(receive(world, NewEvent("id:1")))

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 8
    assert sum(len(receipt.created) for receipt in receipts) == 1
    assert sum(receipt.state is DeliveryState.DUPLICATE for receipt in receipts) == 7


def test_deliveries_of_the_same_events_in_another_order_do_not_wait_for_each_other(world: World) -> None:
    keys = [f"id:{n:03}" for n in range(100)]
    receipts: list[Receipt] = []
    start = threading.Barrier(4)

    def deliver(order: list[str]) -> None:
        start.wait()
        receipts.append(receive(world, *(NewEvent(key, item=n) for n, key in enumerate(order))))

    orders = [keys, keys[::-1], keys[50:] + keys[:50], keys[::-1]]
    threads = [threading.Thread(target=deliver, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 4
    assert sum(len(receipt.created) for receipt in receipts) == 100
