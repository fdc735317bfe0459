"""The lock before SQLite's connections: everybody has a turn, in the order of coming, and may give up waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from integration.ledger.turns import TurnLock


def waiting(lock: TurnLock, count: int) -> None:
    """Until so many wait."""
    until = time.monotonic() + 5
    while lock.waiting() != count:
        assert time.monotonic() < until
        time.sleep(0.001)


def in_line(lock: TurnLock, go: Callable[[Any], None], names: Iterable[object]) -> None:
    """Let them come one after the other to the held lock, then release it, and wait until all have gone."""
    threads = [threading.Thread(target=go, args=(name,)) for name in names]
    for n, thread in enumerate(threads):
        thread.start()
        waiting(lock, n + 1)
    lock.release()
    for thread in threads:
        thread.join()


def test_who_comes_first_goes_first() -> None:
    lock = TurnLock()
    assert lock.acquire(timeout=1)
    went: list[int] = []

    def go(n: int) -> None:
        assert lock.acquire(timeout=5)
        went.append(n)
        lock.release()

    in_line(lock, go, range(8))
    assert went == list(range(8))
    assert lock.acquire(timeout=0)


def test_who_asks_again_and_again_does_not_keep_another_waiting() -> None:
    lock, had = TurnLock(), threading.Event()
    turns = 0
    assert lock.acquire(timeout=1)

    def wait_once() -> None:
        assert lock.acquire(timeout=5)
        had.set()
        lock.release()

    thread = threading.Thread(target=wait_once)
    thread.start()
    waiting(lock, 1)
    while not had.is_set() and turns < 1000:
        lock.release()
        assert lock.acquire(timeout=5)
        turns += 1
    lock.release()
    thread.join()
    assert turns == 1


def test_the_urgent_go_first_and_never_keep_the_others_out() -> None:
    lock = TurnLock()
    assert lock.acquire(timeout=1)
    went: list[str] = []

    def go(name: str) -> None:
        assert lock.acquire(timeout=5, urgent=name.startswith("urgent"))
        went.append(name)
        lock.release()

    names = ["other 1", "other 2", *(f"urgent {n}" for n in range(1, 8))]
    in_line(lock, go, names)
    first, then, rest = (names[2 + 3 * n : 5 + 3 * n] for n in range(3))
    assert went == [*first, "other 1", *then, "other 2", *rest]


def test_who_gives_up_is_passed_over() -> None:
    lock = TurnLock()
    assert lock.acquire(timeout=1)
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(timeout=0)
    lock.release()
    assert lock.acquire(timeout=0)


def test_two_never_have_it_though_many_give_up_just_as_their_turn_comes() -> None:
    lock, inside, most = TurnLock(), 0, 0

    def hurry() -> None:
        nonlocal inside, most
        for _ in range(300):
            if lock.acquire(timeout=0.0002):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1
                lock.release()

    threads = [threading.Thread(target=hurry) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert lock.acquire(timeout=0)
