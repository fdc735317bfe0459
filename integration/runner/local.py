"""The runner within one process: dial threads, write-back threads and one thread that looks after the ledger.

Queues hold ids only and may be lost at any moment: whatever is due is found again in the ledger once a second.
Dials and write-backs have threads of their own, so that a CRM that hangs never delays a call.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
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
GOODBYE_SECONDS = 0.5  # of the time to stop, kept for what is written last


class LocalRunner:
    """Threads around a pipeline. `alone` says that no other process works this ledger (SQLite)."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        *,
        worker_id: str,
        alone: bool,
        dial_threads: int,
        writeback_threads: int,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._worker_id = worker_id
        self._alone = alone
        self._stopping = threading.Event()
        self._said_goodbye = False
        self._known: dict[LeadId, LeadWork] = {}  # leads just received; the others are read from the ledger
        self._dials = _Crew("dial", dial_threads, self._advance, self._stopping)
        self._writebacks = _Crew("write-back", writeback_threads, self._write_back, self._stopping)
        self._upkeep = threading.Thread(target=self._look_after, name="upkeep", daemon=True)

    def wake(self, lead: LeadWork) -> None:
        if len(self._known) < MOST_KNOWN:
            self._known[lead.id] = lead
        self._dials.add(lead.id)

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

    def _advance(self, lead_id: LeadId) -> None:
        try:
            state = self._pipeline.advance(lead_id, self._known.pop(lead_id, None))
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the border of a worker's step: one lead's trouble stays its own
            state = self._pipeline.stumbled(lead_id, error)
        if state is LeadState.READY:
            self._dials.add(lead_id)
        elif state is not None and state.is_result:
            self._writebacks.add(lead_id)

    def _write_back(self, lead_id: LeadId) -> None:
        self._pipeline.write_back(lead_id)

    # ---- upkeep -------------------------------------------------------------------------------

    def _look_after(self) -> None:
        beat_at = time.monotonic() + HEARTBEAT_EVERY_SECONDS
        pause = LOOK_EVERY_SECONDS
        while not self._stopping.wait(pause):
            try:
                if time.monotonic() >= beat_at:
                    self._ledger.upkeep.heartbeat(self._worker_id)
                    beat_at = time.monotonic() + HEARTBEAT_EVERY_SECONDS
                self._look_once()
                pause = LOOK_EVERY_SECONDS
            except LedgerUnavailable as error:
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                get_log().error("database.unavailable", detail=str(error), next_look_seconds=pause)
            except Exception as error:  # noqa: BLE001 - the thread that finds lost leads must not die
                get_log().error("upkeep.failed", error=describe_error(error))

    def _look_once(self) -> None:
        for lead_id in self._pipeline.record_the_unrecorded():
            self._writebacks.add(lead_id)
        self._recover(alone=False)
        if self._ledger.upkeep.resume():
            get_log().info("dialing.resumed", why="a call was taken again")
        for lead_id in self._ledger.upkeep.due_leads():
            self._dials.add(lead_id)
        for lead_id in self._ledger.upkeep.due_writebacks():
            self._writebacks.add(lead_id)

    def _recover(self, *, alone: bool) -> None:
        recovered = self._ledger.upkeep.recover(alone=alone)
        for lead_id in recovered.freed:
            get_log().info("lead.freed", lead=lead_id)
            self._dials.add(lead_id)
        for lead_id in recovered.unknown:
            get_log().error("lead.unknown", lead=lead_id, reason="worker_lost")
            self._writebacks.add(lead_id)


def _join(thread: threading.Thread, until: float) -> bool:
    """Wait for a thread, which may never have been started. Whether it has ended."""
    if thread.is_alive():
        thread.join(max(0.0, until - time.monotonic()))
    return not thread.is_alive()


class _Crew:
    """Threads that take ids off one queue; an id that waits already is not queued again."""

    def __init__(self, name: str, size: int, work: Callable[[LeadId], None], stopping: threading.Event) -> None:
        self._queue: queue.SimpleQueue[LeadId | None] = queue.SimpleQueue()
        self._waiting: set[LeadId] = set()
        self._lock = threading.Lock()
        self._work = work
        self._stopping = stopping
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(size)]

    def add(self, lead_id: LeadId) -> None:
        with self._lock:
            if lead_id in self._waiting:
                return
            self._waiting.add(lead_id)
        self._queue.put(lead_id)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def release(self) -> None:
        """Wake everybody, so that they see that it is time to go."""
        for _ in self._threads:
            self._queue.put(None)

    def join(self, until: float) -> bool:
        for thread in self._threads:
            _join(thread, until)
        return not self.are_at_work()

    def are_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            lead_id = self._queue.get()
            if self._stopping.is_set():
                return
            if lead_id is None:
                continue
            with self._lock:
                self._waiting.discard(lead_id)
            try:
                self._work(lead_id)
            except LedgerUnavailable as error:  # the lead is found again when the database is back
                get_log().error("database.unavailable", lead=lead_id, detail=str(error))
                self._stopping.wait(1.0)
            except Exception as error:  # noqa: BLE001 - the border of a worker's step
                get_log().error("step.failed", lead=lead_id, error=describe_error(error))
