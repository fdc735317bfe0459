"""Threads that take from each source in turn, and begin few things at once.

The web door and the runner work with such crews: what one source sends must hold up neither another's webhooks nor its
calls. Nothing here survives the process.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from integration.log import describe_error, get_log

MORE_THREADS_SHARE = 4  # one thread in so many, beyond those that any source may have
COURTESY_SECONDS = 60.0  # so long after another source's item a flood leaves room for the next one
LONGEST_COURTESY_SECONDS = 0.03  # without one item of the flood: others may be busy for ever
PATIENCE_SECONDS = 0.02  # while somebody takes longer than usual to answer, another item is begun
QUICK_SECONDS = 0.01  # of one that always takes longer it is known beforehand, and another item is begun at once
LATEST = 16  # waits, from which that is known
NO_SOURCE = ""  # of items of which the source is not at hand; they have their turn as a source has, and are no flood

Item = TypeVar("Item")
Ended = Callable[[bool], None]  # told whether an item was done; not when we stop first, or it could not be


@dataclass(frozen=True, slots=True)
class Manners:
    """How a crew treats those who have much for it."""

    at_once: int  # items of one source that are begun, as long as nobody is waited for
    most_waiting: float = math.inf  # of one source, those aside of whose end somebody is told
    longest_busy_seconds: float = 0.03  # an item takes less for itself; the rest is waiting, as for a distant database
    flood: float = 10  # items of one source that wait to be begun
    courtesy_share: int = 4  # one part in so many is what a flood takes of the time while others come
    rests_up_to: float = math.inf  # items of one source that wait; with more a flood no longer rests


class Step:
    """One item in the hands of one thread. It is entered while somebody else is waited for."""

    __slots__ = ("_busy_until", "_let_in", "_patience_seconds", "_waits_since", "of_flood", "source", "waited_seconds")

    def __init__(self, source: str, busy_until: float, patience_seconds: float, let_in: Callable[[], None]) -> None:
        self.source = source
        self.of_flood = False
        self.waited_seconds: float | None = None
        self._patience_seconds = patience_seconds
        self._let_in = let_in  # tells that another may begin, where there is no patience
        self._busy_until = busy_until
        self._waits_since: float | None = None

    def __enter__(self) -> None:
        self._waits_since = time.monotonic()
        if not self._patience_seconds:
            self._let_in()

    def __exit__(self, *_: object) -> None:
        assert self._waits_since is not None
        self.waited_seconds = time.monotonic() - self._waits_since
        self._waits_since = None

    @property
    def counts_until(self) -> float:
        """Until when it keeps others from beginning, as far as is known now."""
        since = self._waits_since
        return self._busy_until if since is None else min(since + self._patience_seconds, self._busy_until)


class Crew(Generic[Item]):
    """Threads that take items from each source in turn; one that waits already is not queued again.

    Beyond `size` there are some more, for sources of which little is under way: else a source that floods would have
    all threads at work, and another's item would wait as long as a dialer, a CRM or the database takes.

    Most of them are there to wait for somebody else. Where nobody has to be waited for, a few get more done than all,
    who would pull the interpreter's lock and the database from each other's hands. So of a flood only a few items are
    begun, and the next when one of them has ended, or waits; one of a source of which nothing is under way is begun at
    once. While such items come, a flood is worked off one by one and rests: else it takes the whole machine, and the
    next quiet item, its database and its sender wait for a processor.
    """

    def __init__(
        self, name: str, size: int, manners: Manners, work: Callable[[Item, Step], bool], *, more: int | None = None
    ) -> None:
        """`work` tells whether the item was done. `more` threads beyond `size`, if not a quarter as many."""
        self._name = name
        self._size = size
        self._more = max(1, size // MORE_THREADS_SHARE if more is None else more)
        self._manners = manners
        self._lanes: OrderedDict[str, deque[Item]] = OrderedDict()  # of sources with items; the next in turn first
        self._waiting: dict[Item, list[Ended]] = {}  # and whom to tell
        self._at_work: set[Step] = set()
        self._flood_at: dict[str, float] = {}  # when an item of a source's flood was begun
        self._latest_cost = 0.0  # seconds of processor time that an item of a flood took here
        self._latest_waits: deque[float] = deque(maxlen=LATEST)
        self._seen_quiet: dict[str, float] = {}  # when a source's last waiting item was begun, and no other was at work
        self._is_watched = False  # a thread looks from time to time whether another item may be begun
        self._changed = threading.Condition(threading.Lock())
        self._work = work
        self._stopping = False
        count = size + self._more
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(count)]

    def add(self, item: Item, source: str, ended: Ended | None = None) -> bool:
        """Whether the item waits here now. Without `ended` there may be no room."""
        told = [] if ended is None else [ended]
        with self._changed:
            is_late = self._stopping
            if not is_late and item in self._waiting:
                self._waiting[item] += told
            elif not is_late:
                self._queue(item, source, told)
            waits = item in self._waiting
        if is_late:
            _tell(told, done=False)
        return waits

    def _queue(self, item: Item, source: str, told: list[Ended]) -> None:
        lane = self._lanes.setdefault(source, deque())
        if len(lane) < self._manners.most_waiting or told:
            lane.append(item)
            self._waiting[item] = told
            if not self._is_watched or self._next_source(time.monotonic()) is not None:
                self._changed.notify()

    def filled(self, enough: int) -> list[str]:
        """The sources of which so many items wait here."""
        with self._changed:
            return [one for one, lane in self._lanes.items() if len(lane) >= enough]

    def free_threads(self) -> int:
        """How many threads have nothing to do, and nothing waits for."""
        with self._changed:
            return self._size - len(self._at_work) - len(self._waiting)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def hurry(self) -> None:
        """From now on as many items are begun as there are threads: it is time to go soon."""
        with self._changed:
            self._manners = replace(self._manners, at_once=self._size, flood=math.inf)
            self._changed.notify_all()

    def release(self) -> list[Item]:
        """Begin nothing more, and wake everybody, so that they see that it is time to go. What waited."""
        with self._changed:
            self._stopping = True
            left, self._waiting = self._waiting, {}
            self._lanes.clear()
            self._changed.notify_all()
        for told in left.values():
            _tell(told, done=False)
        return list(left)

    def join(self, until: float) -> bool:
        """Wait for what is under way until then, `time.monotonic()`. Whether all of it has ended."""
        for thread in self._threads:
            join(thread, until)
        return not self.are_at_work()

    def are_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            item, step, told = taken
            done = False
            began = time.thread_time()
            try:
                done = self._work(item, step)
            except Exception as error:  # noqa: BLE001 - the border of a thread's work
                get_log().error("crew.failed", crew=self._name, error=describe_error(error))
            finally:
                with self._changed:
                    self._at_work.remove(step)
                    if step.of_flood:
                        self._latest_cost = time.thread_time() - began
                    if step.waited_seconds is not None:
                        self._latest_waits.append(step.waited_seconds)
                _tell(told, done=done)

    def _take(self) -> tuple[Item, Step, list[Ended]] | None:
        """Wait for the next item. None when it is time to go.

        Whoever ends an item looks here next, so that only a new one need wake a thread.
        """
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                source = self._next_source(now)
                if source is None:
                    self._wait(now)
                    continue
                lane = self._lanes.pop(source)
                is_flood = len(lane) >= self._manners.flood
                if is_flood:
                    self._flood_at[source] = now
                item = lane.popleft()
                if lane:
                    self._lanes[source] = lane  # to the end
                elif source != NO_SOURCE and all(step.source != source for step in self._at_work):
                    self._seen_quiet[source] = now
                step = Step(source, now + self._manners.longest_busy_seconds, self._patience_seconds(), self._let_in)
                step.of_flood = is_flood
                self._at_work.add(step)
                if self._lanes and not self._is_watched:
                    self._changed.notify()
                return item, step, self._waiting.pop(item)
            return None

    def _wait(self, now: float) -> None:
        """Until something has changed; for one thread, while items wait because others are busy, until time does."""
        if self._is_watched or not self._lanes or len(self._at_work) >= self._size:
            self._changed.wait()
        else:
            coming = [step.counts_until for step in self._at_work] + [self._rests_until(one) for one in self._lanes]
            changes_at = min((at for at in coming if at > now), default=now)
            self._is_watched = True
            self._changed.wait(min(changes_at - now, PATIENCE_SECONDS))  # who begins to wait now does so for longer
            self._is_watched = False

    def _let_in(self) -> None:
        with self._changed:
            if self._lanes:
                self._changed.notify()

    def _patience_seconds(self) -> float:
        """How long another item is not begun while one waits."""
        return 0.0 if min(self._latest_waits, default=0.0) > QUICK_SECONDS else PATIENCE_SECONDS

    def _next_source(self, now: float) -> str | None:
        """Whose turn it is, if an item may be begun now."""
        if not self._lanes:
            return None
        if len(self._at_work) >= self._size:
            return self._quiet_source(below=self._more)
        busy = sum(step.counts_until > now for step in self._at_work)
        for source in self._lanes:
            if busy < self._most_busy(source, now):
                return source
        return self._quiet_source(below=1, now=now)

    def _most_busy(self, source: str, now: float) -> int:
        """How many items may be busy, one of this source included."""
        lane, manners = self._lanes[source], self._manners
        if source == NO_SOURCE or len(lane) < manners.flood or not self._may_wait(source, now):
            return manners.at_once
        others = (
            at
            for other, at in self._seen_quiet.items()
            if other != source and len(self._lanes.get(other, ())) < manners.flood  # which is quiet no more
        )
        if now - max(others, default=-math.inf) >= COURTESY_SECONDS:
            return manners.at_once
        return 0 if now < self._rests_until(source) and len(lane) <= manners.rests_up_to else 1

    def _may_wait(self, source: str, now: float) -> bool:
        """Whether this source's flood has had an item begun lately."""
        return now - self._flood_at.get(source, -math.inf) < LONGEST_COURTESY_SECONDS

    def _rests_until(self, source: str) -> float:
        rest = min(self._manners.courtesy_share * self._latest_cost, LONGEST_COURTESY_SECONDS)
        return self._flood_at.get(source, -math.inf) + rest

    def _quiet_source(self, below: int, now: float | None = None) -> str | None:
        """One of which fewer items are under way than so many; with `now`, and that is no flood that may wait."""
        under_way = Counter(step.source for step in self._at_work)
        for one, lane in self._lanes.items():
            if one == NO_SOURCE or under_way[one] >= below:
                continue
            if now is None or len(lane) < self._manners.flood or not self._may_wait(one, now):
                return one
        return None


def join(thread: threading.Thread, until: float) -> bool:
    """Wait for a thread, which may never have been started, until then, `time.monotonic()`. Whether it has ended."""
    if thread.is_alive():
        thread.join(max(0.0, until - time.monotonic()))
    return not thread.is_alive()


def _tell(told: list[Ended], *, done: bool) -> None:
    for ended in told:
        ended(done)
