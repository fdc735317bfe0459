"""Lists of leads: the newest first, narrowed by the database, and read page by page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from integration.ledger import reading
from integration.model import LeadState, WritebackState
from tests.ledger.conftest import World

PENDING, DONE, PARKED = WritebackState.PENDING, WritebackState.DONE, WritebackState.PARKED


@pytest.fixture
def filled(world: World) -> World:
    """Ten leads, received in the milliseconds 1000 to 10000, whose ids are 1 to 10 in this order."""
    ids = [world.lead() for _ in range(10)]
    world.sql("UPDATE lead SET received_at = (id - :first + 1) * 1000", first=ids[0])
    world.sql("UPDATE lead SET state = 'rehearsed' WHERE id - :first IN (1, 3, 5)", first=ids[0])
    for n, told in ((1, "done"), (3, "parked"), (5, "parked"), (7, "pending")):
        world.sql(
            "INSERT INTO writeback (lead_id, version, state, detail, tries, first_at) VALUES (:id, 1, :told, '', 0, 1)",
            id=ids[n],
            told=told,
        )
    return world


def listed(world: World, **narrowed: object) -> list[int]:
    """The places, from 0, of the leads that are listed."""
    rows = list(world.ledger.reading.leads(**narrowed))  # type: ignore[arg-type]
    return [int(row.received_at.timestamp()) - 1 for row in rows]


@pytest.mark.parametrize("page", [1, 2, 3, 10, 11])
def test_the_newest_come_first_whatever_the_size_of_a_page(
    filled: World, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(reading, "PAGE", page)
    for most in (1, 2, 3, 9, 10, 11, 100_000):
        assert listed(filled, most=most) == list(range(9, -1, -1))[:most]
        assert listed(filled, told=[PARKED, DONE], most=most) == [5, 3, 1][:most]


def test_what_is_asked_for_is_narrowed_by_the_database(filled: World) -> None:
    assert listed(filled, told=[PARKED]) == [5, 3]
    assert listed(filled, told=[PENDING]) == [7]
    assert listed(filled, told=list(WritebackState)) == [7, 5, 3, 1]  # a lead of which nothing is told is in none
    assert listed(filled, states=[LeadState.REHEARSED]) == [5, 3, 1]
    assert listed(filled, states=[LeadState.RECEIVED], told=[PENDING, DONE]) == [7]
    assert listed(filled, since=datetime.fromtimestamp(6, UTC), told=[PARKED, PENDING]) == [7, 5]
    assert listed(filled, states=[LeadState.UNKNOWN]) == []


def test_a_lead_that_comes_while_a_list_is_read_moves_nothing(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    rows = filled.ledger.reading.leads()
    seen = [next(rows).id, next(rows).id]
    newest = filled.lead()
    filled.sql("UPDATE lead SET state = 'skipped' WHERE id = :id", id=newest)
    seen += [row.id for row in rows]
    assert len(seen) == len(set(seen)) == 10
    assert newest not in seen
