"""Threads that take from each source in turn: whose turn it is, how many are begun, and who waits."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest

from integration import crew
from integration.crew import NO_SOURCE, Crew, Manners, Step
from tests.pipeline.test_local_runner import until

MANNERS = Manners(at_once=2, longest_busy_seconds=60.0)  # nobody is thought to wait merely because of the time
FLOOD = MANNERS.flood


def end(crew: Crew[int]) -> None:
    crew.release()
    assert crew.join(time.monotonic() + 5)


def test_a_source_that_floods_delays_another_by_one_lead_each_time() -> None:
    taken: list[int] = []

    def work(number: int, _: Step) -> bool:
        taken.append(number)
        return True

    one = Crew("test", 1, Manners(at_once=1), work)
    for n in range(1, 1001):
        one.add(n, "flood")
    for n in (2001, 2002):
        one.add(n, "other")
    one.add(3001, "third")
    one.start()
    until(lambda: len(taken) == 1003)
    assert taken[:7] == [1, 2001, 3001, 2, 2002, 3, 4]
    end(one)


def test_a_source_whose_calls_all_hang_does_not_hold_up_another() -> None:
    taken: list[int] = []
    may_end = threading.Event()

    def work(number: int, step: Step) -> bool:
        taken.append(number)
        if step.source != "other":
            with step:
                assert may_end.wait(5)
        return True

    one = Crew("test", 4, Manners(at_once=2), work)
    one.start()
    for n in range(1, 11):
        one.add(n, "flood")
        one.add(10 + n, NO_SOURCE)
    until(lambda: len(taken) == 4)
    for n in (2001, 2002, 2003):
        one.add(n, "other")
    until(lambda: len(taken) == 7)
    assert taken[4:] == [2001, 2002, 2003]
    assert one.free_threads() < 0
    may_end.set()
    until(lambda: len(taken) == 23)
    assert one.free_threads() == 4
    end(one)


class Workshop:
    """A crew whose steps end, or begin to wait for somebody, when the test says so."""

    def __init__(self, size: int, manners: Manners = MANNERS, *, start: bool = True) -> None:
        self.taken: list[int] = []
        self.steps: dict[int, Step] = {}
        self.may_end: dict[int, threading.Event] = {}
        self.crew = Crew("test", size, manners, self._work)
        if start:
            self.crew.start()

    def _work(self, number: int, step: Step) -> bool:
        self.steps[number] = step
        self.may_end[number] = threading.Event()
        self.taken.append(number)
        assert self.may_end[number].wait(5)
        return True

    def add(self, numbers: Iterable[int], source: str) -> None:
        for n in numbers:
            self.crew.add(n, source)

    def close(self) -> None:
        self.crew.release()
        for event in self.may_end.values():
            event.set()
        assert self.crew.join(time.monotonic() + 5)


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """Eight threads, two of which may be busy."""
    shop = Workshop(8)
    yield shop
    shop.close()


def test_of_a_flood_no_more_leads_are_begun_than_can_be_worked_on(workshop: Workshop) -> None:
    workshop.add(range(1, 11), "flood")
    until(lambda: len(workshop.taken) == 2)
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert workshop.taken == [1, 2]
    workshop.may_end[1].set()
    until(lambda: workshop.taken == [1, 2, 3])
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert workshop.taken == [1, 2, 3]


def test_while_somebody_else_is_waited_for_the_next_lead_is_begun(workshop: Workshop) -> None:
    workshop.add(range(1, 11), "flood")
    until(lambda: len(workshop.taken) == 2)
    workshop.steps[1].__enter__()
    until(lambda: workshop.taken == [1, 2, 3])
    for n in (2, 3):
        workshop.steps[n].__enter__()
    until(lambda: workshop.taken == [1, 2, 3, 4, 5])
    for n in (4, 5):
        workshop.steps[n].__enter__()
    until(lambda: workshop.taken == [1, 2, 3, 4, 5, 6, 7])
    workshop.steps[4].__exit__()  # is busy again, and so are 6 and 7
    workshop.steps[6].__enter__()
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert len(workshop.taken) == 7


def test_for_a_dialer_that_is_always_slow_nobody_has_patience(workshop: Workshop) -> None:
    workshop.crew._latest_waits.extend([0.06] * crew.LATEST)
    workshop.add(range(1, 31), "flood")
    until(lambda: len(workshop.taken) == 2)
    with patch.object(crew, "PATIENCE_SECONDS", 60.0):
        for n in (1, 2, 3):
            workshop.steps[n].__enter__()
            until(lambda n=n: len(workshop.taken) == 2 + n)  # type: ignore[misc]
    time.sleep(0.03)
    workshop.steps[1].__exit__()
    workshop.may_end[1].set()
    until(lambda: len(workshop.crew._at_work) == 4)
    assert 0.03 <= workshop.crew._latest_waits[-1] < 5.0


def test_one_quick_answer_brings_the_patience_back(workshop: Workshop) -> None:
    workshop.crew._latest_waits.extend([0.06] * crew.LATEST)
    assert workshop.crew._patience_seconds() == 0.0
    workshop.add([1], "crm")
    until(lambda: workshop.taken == [1])
    with workshop.steps[1]:
        pass
    workshop.may_end[1].set()
    until(lambda: not workshop.crew._at_work)
    assert workshop.crew._patience_seconds() == crew.PATIENCE_SECONDS


def test_a_wait_that_is_over_soon_lets_nobody_in(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", 0.4)
    workshop.add(range(1, 11), "flood")
    until(lambda: len(workshop.taken) == 2)
    for _ in range(10):
        with workshop.steps[1]:
            time.sleep(0.06)
    assert workshop.taken == [1, 2]


def test_a_single_lead_is_noted_as_one_of_a_quiet_source(workshop: Workshop) -> None:
    workshop.add([101], "quiet")
    workshop.add([201], NO_SOURCE)
    until(lambda: len(workshop.taken) == 2)
    assert list(workshop.crew._seen_quiet) == ["quiet"]


def test_a_quiet_sources_lead_is_begun_beside_a_flood_at_once(workshop: Workshop) -> None:
    workshop.add(range(1, 11), "flood")
    until(lambda: len(workshop.taken) == 2)
    workshop.add([101, 102], "quiet")
    workshop.add([201], "third")
    until(lambda: workshop.taken == [1, 2, 101, 201])
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert workshop.taken == [1, 2, 101, 201]
    workshop.may_end[101].set()
    until(lambda: workshop.taken == [1, 2, 101, 201, 102])


@pytest.fixture
def flooded() -> Iterator[Workshop]:
    """The same, where a flood waits before anybody begins."""
    shop = Workshop(8, start=False)
    shop.add(range(1, FLOOD + 2), "flood")
    yield shop
    shop.close()


def test_a_flood_beside_a_source_that_is_heard_of_now_and_then_is_worked_off_one_by_one(
    flooded: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "LONGEST_COURTESY_SECONDS", 60.0)
    flooded.crew._seen_quiet["quiet"] = time.monotonic()
    flooded.crew.start()
    until(lambda: flooded.taken == [1])
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert flooded.taken == [1]
    flooded.add([102], "quiet")
    until(lambda: flooded.taken == [1, 102])
    flooded.may_end[1].set()
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert flooded.taken == [1, 102], "while the quiet source's lead is busy, nothing of the flood is begun"
    flooded.may_end[102].set()
    until(lambda: flooded.taken == [1, 102, 2, 3])  # what is left is no flood any more


def test_a_flood_rests_after_each_lead_while_others_are_heard_of(
    flooded: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests as often as long as a lead costs of the processor's time."""
    cost = 0.1
    monkeypatch.setattr(crew, "LONGEST_COURTESY_SECONDS", 60.0)
    clock = itertools.count(step=cost)
    monkeypatch.setattr(crew.time, "thread_time", lambda: next(clock))
    flooded.add(range(201, 221), "flood")
    flooded.crew._seen_quiet["quiet"] = time.monotonic()
    flooded.crew.start()
    until(lambda: flooded.taken == [1])
    flooded.may_end[1].set()
    until(lambda: not flooded.crew._at_work)
    rests_until = flooded.crew._flood_at["flood"] + MANNERS.courtesy_share * cost
    flooded.add([101], "quiet")
    until(lambda: flooded.taken == [1, 101])
    flooded.may_end[101].set()
    flooded.add([301], "third")
    until(lambda: flooded.taken == [1, 101, 301])
    flooded.may_end[301].set()
    assert time.monotonic() < rests_until
    until(lambda: flooded.taken == [1, 101, 301, 2])
    assert time.monotonic() >= rests_until


def test_a_flood_rests_no_longer_than_a_while(flooded: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LONGEST_COURTESY_SECONDS", 0.2)
    flooded.crew._latest_cost = 60.0
    flooded.crew._flood_at["flood"] = time.monotonic()
    flooded.crew._seen_quiet["quiet"] = time.monotonic()
    flooded.crew.start()
    until(lambda: flooded.taken == [1])


def test_a_flood_that_grows_too_long_does_not_rest(flooded: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=60)
    monkeypatch.setattr(crew.time, "thread_time", lambda: next(clock))
    monkeypatch.setattr(crew, "LONGEST_COURTESY_SECONDS", 60.0)
    flooded.crew._manners = replace(MANNERS, rests_up_to=FLOOD)
    flooded.crew._latest_cost = 60.0
    flooded.crew._flood_at["flood"] = flooded.crew._seen_quiet["quiet"] = time.monotonic()
    flooded.crew.start()
    until(lambda: flooded.taken == [1])
    flooded.may_end[1].set()
    until(lambda: not flooded.crew._at_work)
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert flooded.taken == [1], "now it is short enough to rest"


def test_a_few_items_beside_a_source_that_is_always_busy_are_soon_done() -> None:
    """Who sends again at each answer never has many that wait, and is no flood; a burst of another one is."""
    done: Counter[str] = Counter()
    begun: defaultdict[int, threading.Event] = defaultdict(threading.Event)
    is_over = threading.Event()

    def work(number: int, step: Step) -> bool:
        if step.source == "busy":  # there is always one under way
            begun[number].set()
            one.add(number + 1, "busy")
            while not begun[number + 1].wait(0.01) and not is_over.is_set():
                pass
        time.sleep(0.002)
        done[step.source] += 1
        return True

    one = Crew("test", 8, Manners(at_once=2, flood=4), work)
    one.add(1001, "busy")
    one.start()
    until(lambda: done["busy"] > 20)
    for number in range(1, 41):
        one.add(number, "burst")
    until(lambda: done["burst"] == 40)
    is_over.set()
    end(one)


def test_when_it_is_time_to_go_soon_all_threads_take_what_waits(workshop: Workshop) -> None:
    workshop.add(range(1, 21), "flood")
    until(lambda: workshop.taken == [1, 2])
    time.sleep(5 * crew.PATIENCE_SECONDS)
    assert workshop.taken == [1, 2]
    workshop.crew.hurry()
    until(lambda: workshop.taken == [1, 2, 3, 4, 5, 6, 7, 8])


def test_a_flood_has_all_the_room_when_nobody_else_was_heard_of_for_a_while(flooded: Workshop) -> None:
    flooded.crew._seen_quiet["quiet"] = time.monotonic() - crew.COURTESY_SECONDS
    flooded.crew._seen_quiet["flood"] = time.monotonic()
    flooded.crew.start()
    until(lambda: flooded.taken == [1, 2])


def test_of_two_floods_neither_leaves_room_for_the_other(flooded: Workshop) -> None:
    flooded.crew._seen_quiet.update(flood=time.monotonic(), another=time.monotonic())
    flooded.add(range(101, 101 + 2 * FLOOD), "another")
    flooded.crew.start()
    until(lambda: flooded.taken == [1, 101])


def test_a_flood_waits_for_others_for_a_while_and_no_longer(flooded: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LONGEST_COURTESY_SECONDS", 0.2)
    flooded.crew._flood_at["flood"] = time.monotonic()
    flooded.crew._seen_quiet["quiet"] = time.monotonic()
    flooded.add([101], "quiet")
    flooded.crew._lanes.move_to_end("quiet", last=False)
    flooded.crew.start()
    until(lambda: flooded.taken == [101])
    assert flooded.crew._next_source(time.monotonic()) is None
    until(lambda: flooded.taken == [101, 1])


@pytest.mark.parametrize("seed", range(4))
def test_no_lead_is_left_waiting_whatever_comes_when(seed: int) -> None:
    """Leads of several sources come in bursts, wait for somebody for some time or none: all of them are begun."""
    chance = random.Random(seed)
    done = Counter[int]()
    plan = {n: (chance.choice([0, 0, 0.001, 0.03]), chance.random() < 0.3) for n in range(400)}

    def work(number: int, step: Step) -> bool:
        seconds, is_busy = plan[number]
        with contextlib.nullcontext() if is_busy else step:
            time.sleep(seconds)
        done[number] += 1
        return True

    one = Crew("test", 6, Manners(at_once=2), work)
    one.start()
    for number in plan:
        one.add(number, chance.choice(["a", "a", "a", "b", "c", NO_SOURCE]))
        if chance.random() < 0.05:
            time.sleep(chance.choice([0.001, 0.05]))
    until(lambda: len(done) == len(plan))
    assert set(done.values()) == {1}
    end(one)


def test_a_lead_that_has_been_at_work_for_long_must_be_waiting() -> None:
    workshop = Workshop(4, Manners(at_once=1, longest_busy_seconds=0.05))
    workshop.add(range(1, 11), "flood")
    until(lambda: len(workshop.taken) == 4)
    time.sleep(0.1)
    assert workshop.taken == [1, 2, 3, 4], "as many as there are threads"
    workshop.close()


def test_trouble_with_one_item_is_told_and_stays_its_own() -> None:
    done: list[tuple[int, bool]] = []

    def work(number: int, _: Step) -> bool:
        if number == 1:
            raise ValueError("a surprise")
        return number == 3

    one = Crew("test", 1, Manners(at_once=1), work)
    for number in (1, 2, 3):
        one.add(number, "crm", lambda was_done, number=number: done.append((number, was_done)))  # type: ignore[misc]
    one.start()
    until(lambda: len(done) == 3)
    assert done == [(1, False), (2, False), (3, True)]
    end(one)


def test_what_waits_when_it_is_time_to_go_is_handed_back_and_told() -> None:
    told: list[bool] = []
    one = Crew[int]("test", 1, Manners(at_once=1, most_waiting=1), lambda _number, _step: True)
    assert one.add(1, "crm")
    assert not one.add(2, "crm"), "there is no room"
    assert one.add(3, "crm", told.append), "somebody is told of its end"
    assert one.filled(2) == ["crm"]
    assert one.release() == [1, 3]
    assert not one.add(4, "crm", told.append)
    assert told == [False, False]
