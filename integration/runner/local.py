"""The runner within one process: dial threads, write-back threads and one thread that looks after the ledger.

Queues hold ids only and may be lost at any moment: whatever is due is found again in the ledger once a second.
Dials and write-backs have threads of their own, so that a CRM that hangs never delays a call.
Both take from each source in turn, so that a source that floods delays the others by one lead each time, not by all.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from integration.ledger import LeadWork, Ledger, LedgerUnavailable
from integration.log import describe_error, get_log
from integration.model import LeadId, LeadState
from integration.pipeline import Pipeline

LOOK_EVERY_SECONDS = 1.0
HEARTBEAT_EVERY_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 10.0  # between two looks while the database is away
RECORD_EVERY_SECONDS = 0.1  # while stopping
MOST_KNOWN = 64  # leads that are held with their bodies: a backlog stays in the database
MOST_WAITING = 2000  # of one source: what comes beyond is found in the ledger when its turn is near
ENOUGH_WAITING = 500  # of one source: as long as so many wait, no more of them are looked for
MORE_THREADS_SHARE = 4  # one thread in so many, beyond those that any source may have
DIALS_AT_ONCE = 3  # of one source that nobody is waited for; with more a burst takes longer, on PostgreSQL by a sixth
WRITEBACKS_AT_ONCE = 1
A_FLOOD = 10  # leads of one source that wait to be begun
COURTESY_SECONDS = 60.0  # so long after another source's lead a flood leaves room for the next one
COURTESY_SHARE = 4  # one part in so many is what a flood's leads then take of the time, and the rest is left free
LONGEST_COURTESY_SECONDS = 1.0  # without one lead of the flood
PATIENCE_SECONDS = 0.02  # while a dialer or a CRM takes longer for once, another lead is begun
QUICK_SECONDS = 0.01  # of one that always takes longer it is known beforehand, and another lead is begun at once
LATEST = 16  # waits, from which that is known
LONGEST_BUSY_SECONDS = 0.03  # for itself a lead takes milliseconds; the rest is waiting, as for a distant database
NO_SOURCE = ""  # of a lead of which only the id is at hand; such leads have their turn as a source has
GOODBYE_SECONDS = 0.5  # of the time to stop, kept for what is written last
TIDY_EVERY_SECONDS = 10.0  # the wake-ups of workers that died
OVERDUE_SECONDS = 5.0  # where others wake the leads: how long one is left to them

Ended = Callable[[bool], None]  # told whether a step was done; not when we stop first, or the database is away


class LocalRunner:
    """Threads around a pipeline. `alone` says that no other process works this ledger (SQLite).

    With `is_woken` somebody else finds what is due and calls `work`; what is found here is only what was forgotten.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        *,
        worker_id: str,
        alone: bool,
        dial_threads: int,
        writeback_threads: int,
        is_woken: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._worker_id = worker_id
        self._alone = alone
        self._is_woken = is_woken
        self._stopping = threading.Event()
        self._said_goodbye = False
        self._may_wait_by_other_rules = True
        self._known: dict[LeadId, LeadWork] = {}  # leads just received; the others are read from the ledger
        self._dials = _Crew("dial", dial_threads, DIALS_AT_ONCE, self._advance, self._stopping)
        self._writebacks = _Crew("write-back", writeback_threads, WRITEBACKS_AT_ONCE, self._write_back, self._stopping)
        self._upkeep = threading.Thread(target=self._look_after, name="upkeep", daemon=True)

    def wake(self, lead: LeadWork) -> None:
        if len(self._known) < MOST_KNOWN:
            self._known[lead.id] = lead
        if not self._dials.add(lead.id, lead.source):  # whoever finds it in the ledger may be another process
            self._known.pop(lead.id, None)

    def work(self, lead_id: LeadId, ended: Ended) -> None:
        """The same, and `ended` is told from another thread when the lead's step is over. Returns at once."""
        self._dials.add(lead_id, NO_SOURCE, ended)

    def start(self) -> None:
        """Recover what an earlier process left behind, then work. Raises LedgerUnavailable."""
        self._ledger.upkeep.heartbeat(self._worker_id)
        self._recover(alone=self._alone)
        if self._ledger.upkeep.clear_pauses():
            get_log().info("dialing.resumed", why="restart")
        self._dials.start()
        self._writebacks.start()
        self._upkeep.start()

    def halt(self) -> None:
        self._stopping.set()
        self._dials.release()
        self._writebacks.release()

    def stop(self, within_seconds: float) -> bool:
        self.halt()
        # A database that is away answers late or never, so what asks it does so in a thread that can be left behind.
        until = time.monotonic() + within_seconds - min(GOODBYE_SECONDS, within_seconds / 2)
        ending = threading.Thread(target=self._end, args=(until,), name="ending", daemon=True)
        ending.start()
        ending.join(within_seconds)
        if not self._said_goodbye:
            get_log().warning("worker.could_not_say_goodbye", worker=self._worker_id)
        left = self._pipeline.unrecorded()
        if left:
            get_log().error("calls.left_unrecorded", count=left)  # each was logged with its call id before
        return not (left or self._dials.are_at_work() or self._writebacks.are_at_work())

    def _end(self, until: float) -> None:
        """Wait for what is under way, and have every outcome recorded that is known; then say goodbye."""
        while time.monotonic() < until:
            soon = min(until, time.monotonic() + RECORD_EVERY_SECONDS)
            ended = self._dials.join(soon) and self._writebacks.join(soon) and _join(self._upkeep, soon)
            with contextlib.suppress(LedgerUnavailable):
                self._pipeline.record_the_unrecorded()
            if ended and not self._pipeline.unrecorded():
                break
            if ended:
                time.sleep(max(0.0, soon - time.monotonic()))
        with contextlib.suppress(LedgerUnavailable):
            self._pipeline.release_leased()
            self._ledger.upkeep.leave(self._worker_id)
            self._said_goodbye = True

    # ---- steps --------------------------------------------------------------------------------

    def _advance(self, lead_id: LeadId, step: _Step) -> None:
        try:
            state = self._pipeline.advance(lead_id, self._known.pop(lead_id, None), step)
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the border of a worker's step: one lead's trouble stays its own
            state = self._pipeline.stumbled(lead_id, error)
        if state is LeadState.READY:
            self._dials.add(lead_id, step.source)
        elif state is not None and state.is_result and not self._writebacks.add(lead_id, step.source):
            self._pipeline.release(lead_id)  # there is no room for it here

    def _write_back(self, lead_id: LeadId, step: _Step) -> None:
        self._pipeline.write_back(lead_id, step)

    # ---- upkeep -------------------------------------------------------------------------------

    def _look_after(self) -> None:
        beat_at = time.monotonic() + HEARTBEAT_EVERY_SECONDS
        tidy_at = time.monotonic()
        pause = LOOK_EVERY_SECONDS
        while not self._stopping.wait(pause):
            try:
                if time.monotonic() >= beat_at:
                    self._ledger.upkeep.heartbeat(self._worker_id)
                    beat_at = time.monotonic() + HEARTBEAT_EVERY_SECONDS
                self._look_once()
                if time.monotonic() >= tidy_at:  # last, and not at once again: its failure must not hide a lead
                    tidy_at = time.monotonic() + TIDY_EVERY_SECONDS
                    self._ledger.wakeups.tidy()
                pause = LOOK_EVERY_SECONDS
            except LedgerUnavailable as error:
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                get_log().error("database.unavailable", detail=str(error), next_look_seconds=pause)
            except Exception as error:  # noqa: BLE001 - the thread that finds lost leads must not die
                get_log().error("upkeep.failed", error=describe_error(error))

    def _look_once(self) -> None:
        for lead_id in self._pipeline.record_the_unrecorded():
            self._writebacks.add(lead_id, NO_SOURCE)
        self._recover(alone=False)
        if self._ledger.upkeep.resume():
            get_log().info("dialing.resumed", why="a pause has ended")
        self._pipeline.let_in()
        if self._may_wait_by_other_rules and self._pipeline.judge_anew() == 0:
            self._may_wait_by_other_rules = False
        for lead_id, source in self._due_leads().items():
            self._dials.add(lead_id, source)
        for lead_id, source in self._ledger.upkeep.due_writebacks(but_of=self._writebacks.well_filled()).items():
            self._writebacks.add(lead_id, source)

    def _due_leads(self) -> dict[LeadId, str]:
        if not self._is_woken:
            return self._ledger.upkeep.due_leads(but_of=self._dials.well_filled())
        # A queue that is full keeps every thread at work, and its leads are overdue without being forgotten.
        free = self._dials.free_threads()
        return self._ledger.upkeep.due_leads(free, overdue_seconds=OVERDUE_SECONDS) if free > 0 else {}

    def _recover(self, *, alone: bool) -> None:
        recovered = self._ledger.upkeep.recover(alone=alone)
        for lead_id in recovered.freed:
            get_log().info("lead.freed", lead=lead_id)
            self._dials.add(lead_id, NO_SOURCE)
        for lead_id in recovered.unknown:
            get_log().error("lead.unknown", lead=lead_id, reason="worker_lost")
            self._writebacks.add(lead_id, NO_SOURCE)


def _join(thread: threading.Thread, until: float) -> bool:
    """Wait for a thread, which may never have been started. Whether it has ended."""
    if thread.is_alive():
        thread.join(max(0.0, until - time.monotonic()))
    return not thread.is_alive()


class _Step:
    """One lead in the hands of one thread. It is entered while somebody else is waited for."""

    __slots__ = ("_busy_until", "_let_in", "_patience_seconds", "_waits_since", "source", "waited_seconds")

    def __init__(self, source: str, now: float, patience_seconds: float, let_in: Callable[[], None]) -> None:
        self.source = source
        self.waited_seconds: float | None = None
        self._patience_seconds = patience_seconds
        self._let_in = let_in  # tells that another may begin, where there is no patience
        self._busy_until = now + LONGEST_BUSY_SECONDS
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


class _Crew:
    """Threads that take leads from each source in turn; one that waits already is not queued again.

    Beyond `size` there are some more, for sources of which little is under way: else a source that floods would have
    all threads at work, and another's lead would wait as long as a dialer or a CRM takes.

    Most of them are there to wait for somebody else. Where nobody has to be waited for, a few get more done than all,
    who would pull the interpreter's lock and the database from each other's hands. So of a flood only `busy_at_once`
    leads are begun, and the next when one of them has ended, or waits; one of a source of which nothing is under way
    is begun at once. While such leads come, a flood is worked off one by one and rests, else it takes the whole machine
    and the next quiet lead, its database and its sender wait for a processor.
    """

    def __init__(
        self,
        name: str,
        size: int,
        busy_at_once: int,
        work: Callable[[LeadId, _Step], None],
        stopping: threading.Event,
    ) -> None:
        self._size = size
        self._more = max(1, size // MORE_THREADS_SHARE)
        self._busy_at_once = busy_at_once
        self._lanes: OrderedDict[str, deque[LeadId]] = OrderedDict()  # of sources with leads; the next in turn first
        self._waiting: dict[LeadId, list[Ended]] = {}  # and whom to tell
        self._at_work: set[_Step] = set()
        self._flood_at = 0.0  # when a lead of a flood was begun
        self._latest_cost = 0.0  # seconds of processor time that a lead took here
        self._latest_waits: deque[float] = deque(maxlen=LATEST)
        self._seen_quiet: dict[str, float] = {}  # when a source's last waiting lead was begun, and no other was at work
        self._is_watched = False  # a thread looks from time to time whether another lead may be begun
        self._changed = threading.Condition(threading.Lock())
        self._work = work
        self._stopping = stopping
        count = size + self._more
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(count)]

    def add(self, lead_id: LeadId, source: str, ended: Ended | None = None) -> bool:
        """Whether the lead waits here now; without `ended` there may be no room."""
        told = [] if ended is None else [ended]
        with self._changed:
            is_late = self._stopping.is_set()
            if not is_late and lead_id in self._waiting:
                self._waiting[lead_id] += told
            elif not is_late:
                self._queue(lead_id, source, told)
            waits = lead_id in self._waiting
        if is_late:
            _tell(told, done=False)
        return waits

    def _queue(self, lead_id: LeadId, source: str, told: list[Ended]) -> None:
        lane = self._lanes.setdefault(source, deque())
        if len(lane) < MOST_WAITING or told:
            lane.append(lead_id)
            self._waiting[lead_id] = told
            if not self._is_watched or self._next_source(time.monotonic()) is not None:
                self._changed.notify()

    def well_filled(self) -> list[str]:
        """The sources of which enough leads wait here. To find the same ones again in a long backlog takes long."""
        with self._changed:
            return [one for one, lane in self._lanes.items() if len(lane) >= ENOUGH_WAITING]

    def free_threads(self) -> int:
        """How many threads have nothing to do, and nothing waits for."""
        with self._changed:
            return self._size - len(self._at_work) - len(self._waiting)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def release(self) -> None:
        """Wake everybody, so that they see that it is time to go. What waits will not be begun."""
        with self._changed:
            left, self._waiting = self._waiting, {}
            self._lanes.clear()
            self._changed.notify_all()
        for told in left.values():
            _tell(told, done=False)

    def join(self, until: float) -> bool:
        for thread in self._threads:
            _join(thread, until)
        return not self.are_at_work()

    def are_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            lead_id, step, told = taken
            done = False
            began = time.thread_time()
            try:
                self._work(lead_id, step)
                done = True
            except LedgerUnavailable as error:  # the lead is found again when the database is back
                get_log().error("database.unavailable", lead=lead_id, detail=str(error))
                self._stopping.wait(1.0)
            except Exception as error:  # noqa: BLE001 - the border of a worker's step
                get_log().error("step.failed", lead=lead_id, error=describe_error(error))
            finally:
                with self._changed:
                    self._at_work.remove(step)
                    self._latest_cost = time.thread_time() - began
                    if step.waited_seconds is not None:
                        self._latest_waits.append(step.waited_seconds)
                _tell(told, done=done)

    def _take(self) -> tuple[LeadId, _Step, list[Ended]] | None:
        """Wait for the next lead. None when it is time to go.

        Whoever ends a lead looks here next, so that only a new lead need wake a thread.
        """
        with self._changed:
            while not self._stopping.is_set():
                now = time.monotonic()
                source = self._next_source(now)
                if source is None:
                    self._wait(now)
                    continue
                lane = self._lanes.pop(source)
                if len(lane) >= A_FLOOD:
                    self._flood_at = now
                lead_id = lane.popleft()
                if lane:
                    self._lanes[source] = lane  # to the end
                elif source != NO_SOURCE and all(step.source != source for step in self._at_work):
                    self._seen_quiet[source] = now
                step = _Step(source, now, self._patience_seconds(), self._let_in)
                self._at_work.add(step)
                if self._lanes and not self._is_watched:
                    self._changed.notify()
                return lead_id, step, self._waiting.pop(lead_id)
            return None

    def _wait(self, now: float) -> None:
        """Until something has changed; for one thread, while leads wait because others are busy, until time does."""
        if self._is_watched or not self._lanes or len(self._at_work) >= self._size:
            self._changed.wait()
        else:
            coming = [step.counts_until for step in self._at_work] + [self._flood_rests_until()]
            changes_at = min((at for at in coming if at > now), default=now)
            self._is_watched = True
            self._changed.wait(min(changes_at - now, PATIENCE_SECONDS))  # who begins to wait now does so for longer
            self._is_watched = False

    def _let_in(self) -> None:
        with self._changed:
            if self._lanes:
                self._changed.notify()

    def _patience_seconds(self) -> float:
        """How long another lead is not begun while one waits."""
        return 0.0 if min(self._latest_waits, default=0.0) > QUICK_SECONDS else PATIENCE_SECONDS

    def _next_source(self, now: float) -> str | None:
        """Whose turn it is, if a lead may be begun now."""
        if not self._lanes:
            return None
        if len(self._at_work) >= self._size:
            return self._quiet_source(below=self._more)
        busy = sum(step.counts_until > now for step in self._at_work)
        for source in self._lanes:
            if busy < self._most_busy(source, now):
                return source
        return self._quiet_source(below=1, longest=A_FLOOD - 1 if self._may_wait(now) else MOST_WAITING)

    def _most_busy(self, source: str, now: float) -> int:
        """How many leads may be busy, one of this source included."""
        if source == NO_SOURCE or len(self._lanes[source]) < A_FLOOD or not self._may_wait(now):
            return self._busy_at_once
        others = (
            at
            for other, at in self._seen_quiet.items()
            if other != source and len(self._lanes.get(other, ())) < A_FLOOD  # which is quiet no more
        )
        if now - max(others, default=-math.inf) >= COURTESY_SECONDS:
            return self._busy_at_once
        return 0 if now < self._flood_rests_until() else 1

    def _may_wait(self, now: float) -> bool:
        """Whether a flood has had a lead begun lately."""
        return now - self._flood_at < LONGEST_COURTESY_SECONDS

    def _flood_rests_until(self) -> float:
        return self._flood_at + min(COURTESY_SHARE * self._latest_cost, LONGEST_COURTESY_SECONDS)

    def _quiet_source(self, below: int, longest: int = MOST_WAITING) -> str | None:
        """One of which fewer leads are under way than so many, and no more wait."""
        under_way = Counter(step.source for step in self._at_work)
        named = ((one, lane) for one, lane in self._lanes.items() if one != NO_SOURCE)
        return next((one for one, lane in named if len(lane) <= longest and under_way[one] < below), None)


def _tell(told: list[Ended], *, done: bool) -> None:
    for ended in told:
        ended(done)
