"""One thread that ends waits which have lasted too long.

A thread that waits in the kernel, for an answer of a server or of a database, cannot look at a clock. So it says
beforehand until when it will wait, and this thread comes and breaks the wait off. All deadlines of the process
share it: a thread for each wait would cost more than most waits take.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Protocol

# Deadlines that fall so close together are met by one awakening; each may be so late.
GRAIN_SECONDS = 0.02


class Expiring(Protocol):
    """Something that may last too long."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, so that nobody need wake up for it. Read at any moment, without a lock."""

    def expire(self) -> None:
        """Its time is up, or it ended long ago and has nothing to do here. Must neither block nor raise."""


class Watchdog:
    """Sleeps until the earliest deadline and is not woken by later ones."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Expiring]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, what: Expiring, until: float) -> None:
        """Call `what.expire()` at `until`, a reading of the monotonic clock. Costs a few microseconds.

        There is no way back: what has ended meanwhile finds nothing to do in its `expire`.
        """
        with self._wake:
            heapq.heappush(self._due, (until, next(self._count), what))
            if self._thread is None or not self._thread.is_alive():  # not alive: after a fork
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._due[0][2] is what:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._due and self._due[0][2].is_over:  # nearly all end in time
                    heapq.heappop(self._due)
                if not self._due:
                    self._wake.wait()
                    continue
                left = self._due[0][0] - time.monotonic()
                if left > 0:
                    self._wake.wait(max(left, GRAIN_SECONDS))
                    continue
                what = heapq.heappop(self._due)[2]
            what.expire()


watchdog = Watchdog()
