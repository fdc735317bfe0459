"""One thread for all deadlines: each is met, none early, and what comes later wakes nobody."""

from __future__ import annotations

import itertools
import threading
import time

from integration.deadlines import GRAIN_SECONDS, Watchdog


class Wait:
    """Something that expires, and notes when."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.is_over = False
        self.at = 0.0

    def expire(self) -> None:
        self.at = time.monotonic()
        self.over.set()


def test_each_deadline_is_met_and_none_early() -> None:
    dog = Watchdog()
    began = time.monotonic()
    waits = {seconds: Wait() for seconds in (0.3, 0.05, 0.2, 0.1)}
    for seconds, wait in waits.items():
        dog.watch(wait, began + seconds)
    for seconds, wait in waits.items():
        assert wait.over.wait(5)
        assert seconds <= wait.at - began < seconds + GRAIN_SECONDS + 0.5


def test_a_deadline_that_has_passed_is_met_at_once() -> None:
    dog, late, past = Watchdog(), Wait(), Wait()
    dog.watch(late, time.monotonic() + 60)
    dog.watch(past, time.monotonic() - 1)
    assert past.over.wait(5)
    assert not late.over.is_set()


def test_it_sleeps_and_wakes_again() -> None:
    dog = Watchdog()
    for _ in range(3):
        wait = Wait()
        dog.watch(wait, time.monotonic() + 0.01)
        assert wait.over.wait(5)


def test_a_thousand_deadlines_close_together_cost_few_awakenings() -> None:
    dog, waits = Watchdog(), [Wait() for _ in range(1000)]
    began = time.monotonic() + 0.1
    for n, wait in enumerate(waits):
        dog.watch(wait, began + n / 10_000)
    assert all(wait.over.wait(5) for wait in waits)
    groups = sum(b.at - a.at > GRAIN_SECONDS / 2 for a, b in itertools.pairwise(waits))
    assert groups <= 0.1 / GRAIN_SECONDS + 1


def test_it_does_not_wake_up_for_what_has_ended() -> None:
    dog, ended, last = Watchdog(), [Wait() for _ in range(3)], Wait()
    began = time.monotonic()
    dog.watch(ended[0], began + 0.1)
    dog.watch(ended[1], began + 0.2)
    dog.watch(ended[2], began + 0.2)
    dog.watch(last, began + 0.3)
    for wait in ended[1:]:
        wait.is_over = True
    assert last.over.wait(5)
    assert [wait.over.is_set() for wait in ended] == [True, False, False]
