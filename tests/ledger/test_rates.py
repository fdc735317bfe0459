"""Never more calls than the rules allow, and never fewer than there is room for; the freshest goes first."""

from __future__ import annotations

import itertools
import queue
import random
import threading
import time
from typing import Any, cast

import pytest

from integration import crash_points
from integration.ledger import Begun, SetBack, rates
from integration.ledger.database import Params, Row, Tx, open_database
from integration.model import AttemptId, LeadId, LeadState, Limit, Limits, Outcome, Reason
from tests.ledger.conftest import EAST, PLACED, UNCLEAR, WEST, World, refused
from tests.ledger.test_calls import at_once

MINUTE = Limit(3, 60, "minute")
NUMBERS = itertools.count(1)


def number() -> str:
    return f"+1555{next(NUMBERS):07}"


def used_up(world: World, limits: Limits) -> list[AttemptId]:
    """Three calls, which is all that `limits` allows."""
    world.limits = limits
    return [world.begun(world.lead(), number()).attempt_id for _ in range(3)]


def an_hour_ago(world: World) -> None:
    world.sql("UPDATE limit_use SET at = at - 3600000")


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(everything=(MINUTE,)), "everything"),
        (Limits(sources={"crm": (MINUTE,)}), "source crm"),
        (Limits(accounts={"east": (MINUTE,)}), "account east"),
        (Limits(everything=(Limit(9, 60, "minute"), Limit(3, 3600, "hour"))), "everything"),
    ],
)
def test_one_call_more_waits_until_there_is_room(world: World, limits: Limits, named: str) -> None:
    used_up(world, limits)
    lead_id = world.lead()
    held = world.held(lead_id, number())
    assert (held.state, held.reason) == (LeadState.WAITING, Reason.LIMIT_REACHED)
    assert f"of {named}; there is room again from" in held.detail
    assert world.attempts(lead_id) == []
    assert world.asked(lead_id)["limits"][0] == "wait"
    assert world.value("SELECT COUNT(*) FROM lead WHERE give_up_at IS NOT NULL") == 0
    an_hour_ago(world)
    world.time_passes()
    assert isinstance(world.begin(lead_id, number()), Begun)


def test_a_call_that_is_taken_out_while_a_full_limit_is_looked_at_is_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = used_up(world, Limits(everything=(MINUTE,)))
    room_at = rates._room_at

    def another_process_settles(tx: Tx, *rest: Any) -> int:
        tx.run("DELETE FROM limit_use WHERE attempt_id = :id", {"id": first})
        return room_at(tx, *rest)

    monkeypatch.setattr(rates, "_room_at", another_process_settles)
    lead_id = world.lead()
    assert world.held(lead_id, number()).reason is Reason.LIMIT_REACHED
    assert let_in(world) == [lead_id]


@pytest.mark.parametrize("limits", [Limits(sources={"crm": (MINUTE,)}), Limits(accounts={"east": (MINUTE,)})])
def test_other_sources_and_accounts_have_their_own(world: World, limits: Limits) -> None:
    used_up(world, limits)
    assert isinstance(world.begin(world.lead("other"), number(), WEST), Begun)


def test_what_is_used_up_is_said_in_the_evidence(world: World) -> None:
    world.limits = Limits(everything=(MINUTE, Limit(50, 3600, "hour")), accounts={"east": (Limit(9, 60, "minute"),)})
    world.begun(world.lead(), number())
    lead_id = world.lead()
    world.begun(lead_id, number())
    assert world.asked(lead_id)["limits"] == (
        "ok",
        {"everything, minute": "1 of 3 a minute", "everything, hour": "1 of 50 an hour",
         "account east, minute": "1 of 9 a minute"},
    )  # fmt: skip


@pytest.mark.parametrize(("outcome", "is_free"), [(PLACED, False), (UNCLEAR, False), ("refused", True)])
def test_only_a_call_that_was_surely_not_placed_counts_no_longer(
    world: World, outcome: Outcome | str, is_free: bool
) -> None:
    world.limits = Limits(everything=(Limit(1, 60, "minute"),), sources={"crm": (MINUTE,)})
    lead_id = world.lead()
    begun = world.begun(lead_id, number())
    later = SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=60.0)
    said = outcome if isinstance(outcome, Outcome) else refused(Reason.NOT_SENT)
    world.ledger.calls.settle(lead_id, begun.attempt_id, said, None if isinstance(outcome, Outcome) else later)
    assert isinstance(world.begin(world.lead(), number()), Begun) is is_free


def test_a_worker_that_died_after_its_intent_has_used_its_place(world: World) -> None:
    world.limits = Limits(everything=(Limit(1, 60, "minute"),))
    world.begun(world.lead(), number())
    world.ledger.upkeep.recover(alone=True)
    assert world.held(world.lead(), number()).reason is Reason.LIMIT_REACHED


def test_an_intent_that_was_not_committed_uses_no_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    world.limits = Limits(everything=(Limit(1, 60, "minute"),))
    crash_points.arm("intent.before_commit", die)
    with pytest.raises(Died):
        world.begin(world.lead(), number())
    crash_points.disarm()
    assert isinstance(world.begin(world.lead(), number()), Begun)


def test_of_many_at_once_exactly_as_many_as_allowed_are_called(world: World) -> None:
    world.limits = Limits(everything=(Limit(7, 3600, "hour"),), accounts={"east": (Limit(5, 60, "minute"),)})
    leads = [world.lead() for _ in range(16)]
    numbers = [number() for _ in leads]
    found = at_once(16, lambda n: world.begin(leads[n], numbers[n], WEST if n % 2 else EAST))
    called = sum(isinstance(each, Begun) for each in found)
    assert called == 7


def test_of_two_that_count_at_once_the_second_sees_the_first(world: World) -> None:
    """The first is held up before its commit; on PostgreSQL only the scope's row keeps the second from counting."""
    world.limits = Limits(everything=(Limit(1, 60, "minute"),))
    world.begun(world.lead(), number())
    an_hour_ago(world)
    leads, numbers = [world.lead(), world.lead()], [number(), number()]
    crash_points.arm("intent.before_commit", lambda: time.sleep(0.3))
    try:
        found = at_once(2, lambda n: world.begin(leads[n], numbers[n]))
    finally:
        crash_points.disarm()
    assert sorted(isinstance(each, Begun) for each in found) == [False, True]


class Halting:
    """A transaction that halts once after its first look."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.has_looked, self.may_go_on = threading.Event(), threading.Event()

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        rows = self._tx.all(sql, params)
        self.has_looked.set()
        assert self.may_go_on.wait(5)
        return rows

    def add(self, sql: str, params: Params | None = None) -> None:
        self._tx.add(sql, params)

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        return self._tx.one(sql, params)


@pytest.mark.parametrize("there", [[], ["source:crm"]])
def test_the_first_calls_ever_of_two_scopes_do_not_wait_for_each_other_in_a_circle(
    migrated_postgres_url: str, there: list[str]
) -> None:
    """One has not seen both scopes. Before it makes what is missing another one has the first of them."""
    database = open_database(migrated_postgres_url)
    both, ended, halting = ["account:east", "source:crm"], [], queue.SimpleQueue[Halting]()
    with database.write() as tx:
        for scope in there:
            rates._keep(tx, [scope])

    def keep() -> None:
        with database.write() as tx:
            own = Halting(tx)
            halting.put(own)
            rates._keep(cast("Tx", own), both)
            own.one("SELECT 1 AS n")  # what waits goes out with it
            time.sleep(0.1)
        ended.append(own)

    threads = [threading.Thread(target=keep) for _ in range(2)]
    threads[0].start()
    sees_not_both = halting.get(timeout=5)
    assert sees_not_both.has_looked.wait(5)
    with database.write() as tx:
        rates._keep(tx, both[:1])
    threads[1].start()
    comes_later = halting.get(timeout=5)
    comes_later.has_looked.wait(0.3)  # if it need not wait for the other one
    sees_not_both.may_go_on.set()
    time.sleep(0.2)
    comes_later.may_go_on.set()
    for thread in threads:
        thread.join(10)
    database.close()
    assert len(ended) == 2


# ---- letting in -------------------------------------------------------------------------------


def waiting(world: World, leads: int, source: str = "crm") -> list[LeadId]:
    """So many leads that wait for room; the last is the freshest."""
    found = [world.lead(source, received_at_ms=n) for n in range(1, leads + 1)]
    for lead_id in found:
        assert world.held(lead_id, number()).reason is Reason.LIMIT_REACHED
    return found


def let_in(world: World) -> list[LeadId]:
    """Who is due after one look for room."""
    left = world.ledger.rates.let_in(world.limits)
    queue = world.ledger.rates.waiting()
    due = list(world.ledger.upkeep.due_leads())
    assert left == (
        0 if queue is None else queue.count - len([one for one in due if world.reason(one) == "limit_reached"])
    )
    return due


def test_nobody_is_let_in_while_there_is_no_room(world: World) -> None:
    used_up(world, Limits(everything=(MINUTE,)))
    waiting(world, 5)
    assert let_in(world) == []


def test_as_many_as_fit_are_let_in_the_freshest_first(world: World) -> None:
    used_up(world, Limits(everything=(MINUTE, Limit(5, 86400, "day"))))
    leads = waiting(world, 5)
    an_hour_ago(world)
    assert let_in(world) == leads[-2:]  # the day has room for two more
    assert let_in(world) == leads[-2:]  # a second look, as of another process, lets nobody else in
    for lead_id in leads[-2:]:
        world.begun(lead_id, number())
    assert let_in(world) == []


def test_who_comes_meanwhile_and_is_fresher_goes_first(world: World) -> None:
    used_up(world, Limits(everything=(MINUTE,)))
    (old,) = waiting(world, 1)
    an_hour_ago(world)
    fresh = [world.lead() for _ in range(3)]
    assert all(isinstance(world.begin(lead_id, number()), Begun) for lead_id in fresh)
    assert let_in(world) == []
    assert world.reason(old) == "limit_reached"


def test_a_source_without_room_keeps_nobody_else_out(world: World) -> None:
    limits = Limits(everything=(Limit(4, 60, "minute"),), sources={"crm": (Limit(1, 3600, "hour"),)})
    world.limits = limits
    world.begun(world.lead(), number())
    for _ in range(3):
        world.begun(world.lead("other"), number())
    waiting(world, 4)
    others = waiting(world, 3, "other")
    world.sql("UPDATE limit_use SET at = at - 120000")
    assert sorted(let_in(world)) == others
    assert world.sql("UPDATE lead SET due_at = due_at + 1000000 WHERE source = 'other'") == 6


def test_when_the_limit_is_gone_from_the_rules_everybody_goes(world: World) -> None:
    used_up(world, Limits(everything=(MINUTE,)))
    leads = waiting(world, 5)
    world.limits = Limits()
    assert let_in(world) == leads


# ---- any window -------------------------------------------------------------------------------


def test_no_window_ever_holds_more_and_the_rate_is_used(world: World) -> None:
    """Attempts of random instants over many windows, the clock moved by moving what was used."""
    limit = Limit(4, 60, "minute")
    world.limits = Limits(everything=(limit,))
    chance = random.Random(7)
    clock, began = 0, []
    for _ in range(120):
        step = chance.choice([0, 500, 4000, 15_000, 61_000])
        world.sql("UPDATE limit_use SET at = at - :step", step=step)
        clock += step
        if isinstance(world.begin(world.lead(), number()), Begun):
            began.append(clock)
        else:  # refused only when the window is full
            assert sum(clock - 60_000 - 5_000 < at for at in began) >= limit.most
    for first, last in zip(began, began[limit.most :], strict=False):
        assert last - first >= 60_000 - 5_000  # what the test itself took
