"""The runner within one process: dial threads, write-back threads and one thread that looks after the ledger.

Queues hold ids only and may be lost at any moment: whatever is due is found again in the ledger once a second.
Dials and write-backs have crews of their own, so that a CRM that hangs never delays a call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from integration.crew import NO_SOURCE, Crew, Ended, Manners, Step, join
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
DIALS = Manners(at_once=3, most_waiting=MOST_WAITING)  # with more a burst takes a sixth longer on PostgreSQL
WRITEBACKS = Manners(at_once=1, most_waiting=MOST_WAITING)
GOODBYE_SECONDS = 0.5  # of the time to stop, kept for what is written last
TIDY_EVERY_SECONDS = 10.0  # the wake-ups of workers that died
OVERDUE_SECONDS = 5.0  # where others wake the leads: how long one is left to them


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
        self._dials = Crew("dial", dial_threads, DIALS, self._guarded(self._advance))
        self._writebacks = Crew("write-back", writeback_threads, WRITEBACKS, self._guarded(self._write_back))
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
            ended = self._dials.join(soon) and self._writebacks.join(soon) and join(self._upkeep, soon)
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

    def _guarded(self, work: Callable[[LeadId, Step], None]) -> Callable[[LeadId, Step], bool]:
        """The same, with every trouble told; whether there was none."""

        def guarded(lead_id: LeadId, step: Step) -> bool:
            try:
                work(lead_id, step)
            except LedgerUnavailable as error:  # the lead is found again when the database is back
                get_log().error("database.unavailable", lead=lead_id, detail=str(error))
                self._stopping.wait(1.0)
            except Exception as error:  # noqa: BLE001 - the border of a worker's step
                get_log().error("step.failed", lead=lead_id, error=describe_error(error))
            else:
                return True
            return False

        return guarded

    def _advance(self, lead_id: LeadId, step: Step) -> None:
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

    def _write_back(self, lead_id: LeadId, step: Step) -> None:
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
        for lead_id, source in self._ledger.upkeep.due_writebacks(
            but_of=self._writebacks.filled(ENOUGH_WAITING)
        ).items():
            self._writebacks.add(lead_id, source)

    def _due_leads(self) -> dict[LeadId, str]:
        if not self._is_woken:
            return self._ledger.upkeep.due_leads(but_of=self._dials.filled(ENOUGH_WAITING))
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
