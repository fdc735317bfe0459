"""The design of the ledger, searched to the end: two workers, pauses of any length, crashes, lost and late answers.

A design is a set of choices. Ours never rings twice (or once more for each order of a person); each simpler
design that somebody might think good enough does, and the search finds the shortest way to it. The search is
bounded: so many claims, so many crashes. It takes a compare-and-set to be atomic, and looking at `send_by` and
then sending as one step, which the connection comes close to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

LeadIs = Literal["ready", "claimed", "dialing", "unknown", "called"]
WorkerIs = Literal["idle", "claimed", "may_send", "sent"]
AnswerIs = Literal["", "clear", "lost", "refused"]


@dataclass(frozen=True)
class Design:
    """What a design does where designs differ. The defaults are ours."""

    has_intent: bool = True  # an intent is committed before the request is sent
    checks_epoch: bool = True  # the intent is a compare-and-set, and refuses a second live attempt
    stalled_becomes: LeadIs = "unknown"  # what a lead becomes whose worker was lost between intent and record
    lost_answer_becomes: LeadIs = "unknown"
    asks_the_dialer: Literal["never", "at_once", "after_the_horizon"] = "never"
    has_send_by: bool = True
    orders: int = 0  # how often a person may order another call


@dataclass(frozen=True)
class Worker:
    state: WorkerIs = "idle"
    epoch: int = 0
    attempt: int = 0
    answer: AnswerIs = ""
    is_late: bool = False  # its `send_by` has passed


@dataclass(frozen=True)
class World:
    lead: LeadIs = "ready"
    epoch: int = 0
    attempt: int = 0  # the newest
    is_live: bool = False  # whether that one may be, or is, a call
    is_released: bool = False  # a person gave it up for another one
    rang: bool = False  # whether that one rang
    is_past_horizon: bool = False
    rings: int = 0
    orders: int = 0
    crashes: int = 0
    workers: tuple[Worker, Worker] = (Worker(), Worker())

    def with_worker(self, index: int, worker: Worker) -> World:
        first, second = self.workers
        return replace(self, workers=(worker, second) if index == 0 else (first, worker))


CLAIMS, CRASHES = 4, 2


def steps(world: World, design: Design) -> Iterator[tuple[str, World]]:
    """All that may happen next."""
    for index, worker in enumerate(world.workers):
        for name, then in worker_steps(world, design, index, worker):
            yield f"w{index} {name}", then
        if worker.state != "idle" and world.crashes < CRASHES:
            yield f"w{index} dies", replace(world, crashes=world.crashes + 1).with_worker(index, Worker())
    yield from other_steps(world, design)


def worker_steps(world: World, design: Design, index: int, worker: Worker) -> Iterator[tuple[str, World]]:
    match worker.state:
        case "idle":
            if world.lead == "ready" and world.epoch < CLAIMS:
                epoch = world.epoch + 1
                claimed = replace(world, lead="claimed", epoch=epoch)
                attempt = 0 if design.has_intent else epoch
                state: WorkerIs = "claimed" if design.has_intent else "may_send"
                yield "claims", claimed.with_worker(index, Worker(state, epoch, attempt))
        case "claimed":
            yield "commits its intent", intent(world, design, index, worker)
        case "may_send":
            if worker.is_late and design.has_send_by:
                yield "sees that it is too late", record(world, design, index, replace(worker, answer="refused"))
                return
            rang = replace(world, rings=world.rings + 1, rang=world.rang or worker.attempt == world.attempt)
            ends: list[tuple[AnswerIs, World]] = [("clear", rang), ("lost", rang), ("lost", world), ("refused", world)]
            for answer, then in ends:
                sent = replace(worker, state="sent", answer=answer)
                yield f"sends ({answer})", then.with_worker(index, sent)
        case "sent":
            yield f"records ({worker.answer})", record(world, design, index, worker)


def intent(world: World, design: Design, index: int, worker: Worker) -> World:
    if design.checks_epoch and (world.lead != "claimed" or world.epoch != worker.epoch or world.is_live):
        return world.with_worker(index, Worker())
    attempt = world.attempt + 1
    made = replace(
        world, lead="dialing", attempt=attempt, is_live=True, is_released=False, rang=False, is_past_horizon=False
    )
    return made.with_worker(index, replace(worker, state="may_send", attempt=attempt))


def record(world: World, design: Design, index: int, worker: Worker) -> World:
    """An answer counts, also a late one, as long as nothing newer contradicts it."""
    done = world.with_worker(index, Worker())
    if not design.has_intent:
        return replace(done, lead="called" if worker.answer == "clear" else "ready")
    if worker.attempt != world.attempt:
        return done
    if world.is_released:
        return replace(done, lead="called", is_live=True, is_released=False) if worker.answer == "clear" else done
    if not world.is_live or world.lead == "called":
        return done
    if worker.answer == "clear":
        return replace(done, lead="called")
    if worker.answer == "refused":
        return replace(done, lead="ready", is_live=False)
    return replace(done, lead=design.lost_answer_becomes, is_live=design.lost_answer_becomes == "unknown")


def other_steps(world: World, design: Design) -> Iterator[tuple[str, World]]:
    if world.lead == "claimed":
        yield "the claim's lease runs out", replace(world, lead="ready")
    if world.lead == "dialing":
        is_live = design.stalled_becomes == "unknown"
        yield "the worker is taken for dead", replace(world, lead=design.stalled_becomes, is_live=is_live)
    if world.is_live and not world.is_past_horizon:
        late = tuple(
            replace(worker, is_late=True) if worker.state == "may_send" and worker.attempt == world.attempt else worker
            for worker in world.workers
        )
        yield "the horizon passes", replace(world, is_past_horizon=True, workers=(late[0], late[1]))
    may_ask = design.asks_the_dialer == "at_once" or (
        design.asks_the_dialer == "after_the_horizon" and world.is_past_horizon
    )
    if world.lead == "unknown" and may_ask:
        answer = replace(world, lead="called") if world.rang else replace(world, lead="ready", is_live=False)
        yield "the dialer is asked", answer
    if world.lead == "unknown" and world.orders < design.orders:
        ordered = replace(world, lead="ready", is_live=False, is_released=True, orders=world.orders + 1)
        yield "a person orders another call", ordered


def search(design: Design) -> tuple[list[str] | None, int]:
    """The shortest way to a ring too many, or None; and how many states there are."""
    start = World()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        world = waiting.popleft()
        if world.rings > 1 + world.orders:
            return way_to(world, came_from), len(came_from)
        for name, then in steps(world, design):
            if then not in came_from:
                came_from[then] = (world, name)
                waiting.append(then)
    return None, len(came_from)


def way_to(world: World, came_from: dict[World, tuple[World, str] | None]) -> list[str]:
    way = []
    before = came_from[world]
    while before is not None:
        way.append(before[1])
        before = came_from[before[0]]
    return way[::-1]


GOOD = {
    "ours": Design(),
    "ours, without send_by": Design(has_send_by=False),
    "ours, with a person's order": Design(orders=1),
    "asking the dialer after the horizon": Design(asks_the_dialer="after_the_horizon"),
}

# Each differs from a good one in a single choice.
BAD = {
    "A: a lease and no intent": Design(has_intent=False),
    "B: stalled work is done again": Design(stalled_becomes="ready"),
    "C: the intent does not look at the epoch": Design(checks_epoch=False),
    "D: sent again when the answer is lost": Design(lost_answer_becomes="ready"),
    "F: the dialer is asked at once": Design(asks_the_dialer="at_once", has_send_by=False),
    "F: the dialer is asked at once, with send_by": Design(asks_the_dialer="at_once"),
    "G: the dialer is asked after the horizon, without send_by": Design(
        asks_the_dialer="after_the_horizon", has_send_by=False
    ),
}


@pytest.mark.parametrize("design", GOOD.values(), ids=GOOD)
def test_this_design_never_rings_twice(design: Design) -> None:
    way, states = search(design)
    assert way is None
    assert states > 500  # it did look


@pytest.mark.parametrize("design", BAD.values(), ids=BAD)
def test_this_design_rings_twice(design: Design) -> None:
    way, _ = search(design)
    assert way is not None
    assert sum("sends" in step for step in way) == 2


def test_the_shortest_way_to_a_second_ring_under_a_lease() -> None:
    assert search(BAD["A: a lease and no intent"])[0] == [
        "w0 claims",
        "w0 sends (clear)",
        "the claim's lease runs out",
        "w1 claims",
        "w1 sends (clear)",
    ]
