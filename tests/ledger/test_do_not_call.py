"""Nobody on the do-not-call list is rung, and a list that cannot be read stops everything."""

from __future__ import annotations

import pytest

from integration.ledger import Begun, ListUnreadable
from integration.ledger.do_not_call import NumberKey
from integration.model import LeadState, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, World

KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "f" * 32


@pytest.fixture
def listed(world: World) -> World:
    """NUMBER is on the list."""
    world.use_key(KEY)
    assert world.ledger.do_not_call.add([NUMBER], source="Kim", note="wrote a letter") == 1
    return world


def test_a_number_on_the_list_is_not_rung(listed: World) -> None:
    lead_id = listed.lead()
    held = listed.held(lead_id)
    assert (held.state, held.reason) == (LeadState.BLOCKED, Reason.DO_NOT_CALL)
    assert held.detail.startswith("the number is on the do-not-call list since 20")
    assert listed.attempts(lead_id) == []
    assert listed.asked(lead_id)["do_not_call"][0] == "refused"
    assert list(listed.ledger.upkeep.due_writebacks()) == [lead_id]


def test_another_number_is_rung(listed: World) -> None:
    lead_id = listed.lead()
    assert isinstance(listed.begin(lead_id, OTHER_NUMBER), Begun)
    assert listed.asked(lead_id)["do_not_call"] == ("ok", {"listed": False})


def test_a_number_that_comes_onto_the_list_while_its_lead_waits_is_not_rung(world: World) -> None:
    world.use_key(KEY)
    work = world.take(world.lead())
    world.ledger.do_not_call.add([NUMBER], source="Kim")
    world.begin_from(work, work.epoch)
    assert (world.state(work.id), world.reason(work.id)) == (LeadState.BLOCKED, "do_not_call")


def test_a_number_that_was_taken_off_is_rung_again(listed: World) -> None:
    assert listed.ledger.do_not_call.remove(NUMBER)
    assert not listed.ledger.do_not_call.remove(NUMBER)
    assert isinstance(listed.begin(listed.lead()), Begun)


def test_the_list_says_since_when_and_why(listed: World) -> None:
    found = listed.ledger.do_not_call.find(NUMBER)
    assert found is not None
    assert (found.source, found.note) == ("Kim", "wrote a letter")
    assert listed.ledger.do_not_call.find(OTHER_NUMBER) is None


def test_a_number_that_is_added_twice_keeps_its_first_line(listed: World) -> None:
    assert listed.ledger.do_not_call.add([NUMBER, OTHER_NUMBER, OTHER_NUMBER], source="a file") == 1
    assert listed.ledger.do_not_call.count() == 2
    found = listed.ledger.do_not_call.find(NUMBER)
    assert found is not None
    assert found.source == "Kim"


def test_the_list_holds_no_number(listed: World) -> None:
    with listed.ledger.database.read() as tx:
        (row,) = tx.all("SELECT number FROM do_not_call")
    assert bytes(row["number"]) == NumberKey(KEY).hide(NUMBER)
    assert NUMBER.encode() not in bytes(row["number"])
    assert NumberKey(OTHER_KEY).hide(NUMBER) != NumberKey(KEY).hide(NUMBER)


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_without_the_right_key_nobody_is_rung(listed: World, key: str | None) -> None:
    listed.use_key(key)
    lead_id = listed.lead()
    held = listed.held(lead_id, OTHER_NUMBER)
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.LIST_UNREADABLE)
    assert "RINGBACK_DNC_KEY" in held.detail
    assert listed.value("SELECT COUNT(*) FROM lead WHERE give_up_at IS NOT NULL") == 0
    assert listed.ledger.do_not_call.why_unreadable() == held.detail
    for work in (
        lambda: listed.ledger.do_not_call.add([OTHER_NUMBER], source="Kim"),
        lambda: listed.ledger.do_not_call.remove(NUMBER),
        lambda: listed.ledger.do_not_call.find(NUMBER),
    ):
        with pytest.raises(ListUnreadable, match="RINGBACK_DNC_KEY"):
            work()
    assert listed.ledger.calls.take(lead_id) is None
    listed.use_key(KEY)
    listed.ledger.upkeep.clear_pauses()  # as a restart does
    assert isinstance(listed.begin(lead_id, OTHER_NUMBER), Begun)


def test_without_a_list_no_key_is_needed(world: World) -> None:
    lead_id = world.lead()
    assert isinstance(world.begin(lead_id), Begun)
    assert world.ledger.do_not_call.why_unreadable() is None
    assert world.asked(lead_id)["do_not_call"] == ("ok", {"list": "empty"})


@pytest.mark.parametrize("how", ["remove", "empty"])
def test_an_empty_list_may_begin_anew_with_another_key(listed: World, how: str) -> None:
    if how == "remove":
        listed.ledger.do_not_call.remove(NUMBER)
    else:
        listed.use_key(OTHER_KEY)
        assert listed.ledger.do_not_call.empty() == 1
    listed.use_key(OTHER_KEY)
    assert listed.ledger.do_not_call.add([NUMBER], source="Kim") == 1
    assert listed.held(listed.lead()).reason is Reason.DO_NOT_CALL
