"""Brings SQLite's commits to the disk: one `fdatasync` for all threads that wait for one.

SQLite's own `synchronous = FULL` does it within each commit, while the writers' lock is held, so that a burst spends
most of its time waiting for a disk that could have taken many commits at once. Here a commit goes to the log, the next
writer has its turn, and whoever committed waits until the log is on the disk up to its own commit. The log is read in
order after a loss of power, so a commit is never there without those before it.

The file of the log stays while a connection is open: SQLite begins anew in the same file after a checkpoint, for which
it brings log and database to the disk by itself (`synchronous = NORMAL`).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

# macOS has no fdatasync, and SQLite itself is content with fsync there.
_to_disk = getattr(os, "fdatasync", os.fsync)


class NotOnDisk(Exception):
    """A commit may be lost with the power. `lasts`: the disk refused, and nothing more can be promised."""

    def __init__(self, message: str, *, lasts: bool) -> None:
        super().__init__(message)
        self.lasts = lasts


class LogSync:
    """The log of one SQLite file, which must be there. Safe for many threads. Raises OSError where it cannot be opened.

    It is opened before anything is written: Linux tells a failure only to those who had the file open then.
    """

    def __init__(self, log: Path) -> None:
        self._path = log
        self._log: int | None = os.open(log, os.O_RDONLY)
        self._state = threading.Lock()
        self._committed = 0  # commits so far; who counts one holds the writers' lock
        self._on_disk = 0  # those of them that nothing can take away
        self._is_syncing = False
        self._waiting: list[_Waiter] = []
        self._refusal: str | None = None

    def demand_trust(self) -> None:
        """Raises NotOnDisk once the disk has refused: what it took before that may be gone, and asking again would
        say that all is well (Linux forgets the pages that it could not write)."""
        if self._refusal is not None:
            raise NotOnDisk(self._refusal, lasts=True)

    def count(self) -> int:
        """One more commit stands in the log. Its number, for `wait`. The caller holds the writers' lock."""
        self._committed += 1
        return self._committed

    def wait(self, number: int, within_seconds: float) -> None:
        """Return when this commit is on the disk. Raises NotOnDisk."""
        waiter = None
        with self._state:
            if self._on_disk >= number:
                return
            if self._is_syncing:  # that one may have begun before our commit: the next one is ours
                waiter = _Waiter()
                self._waiting.append(waiter)
            self._is_syncing = True
        if waiter is None or self._is_called(waiter, within_seconds):
            self._sync()
        if self._on_disk < number:
            self.demand_trust()

    def close(self) -> None:
        """Let go of the log, unless somebody waits for it: then the end of the process does."""
        with self._state:
            if self._log is not None and not self._is_syncing:
                os.close(self._log)
                self._log = None

    def _is_called(self, waiter: _Waiter, within_seconds: float) -> bool:
        """Wait for the sync that another thread makes. True: it is for the waiter to make one."""
        if not waiter.gate.acquire(timeout=max(0.0, within_seconds)):
            with self._state:
                if waiter.gate.locked():  # else its turn came just now
                    if waiter in self._waiting:
                        self._waiting.remove(waiter)
                    raise NotOnDisk("the disk did not answer in time", lasts=False)
        return waiter.is_called

    def _sync(self) -> None:
        """Bring to the disk all that has been committed, wake those who waited for it, and call the next one."""
        with self._state:
            covered, self._waiting = self._waiting, []
            committed = self._committed
            log = self._log
        if self._refusal is None:  # for good
            self._refusal = "the database is closed" if log is None else self._problem_with(log)
        with self._state:
            if self._refusal is None:
                self._on_disk = committed
            if self._waiting:
                following = self._waiting.pop(0)
                following.is_called = True
                covered.append(following)
            else:
                self._is_syncing = False
            for waiter in covered:
                waiter.gate.release()

    def _problem_with(self, log: int) -> str | None:
        try:
            _to_disk(log)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody knows what is on the disk
            why = getattr(error, "strerror", None) or error
            return (
                f"the disk refused what was written to {self._path}: {why}; look at the disk, then restart, "
                "and let no other command write before that"
            )
        return None


class _Waiter:
    def __init__(self) -> None:
        self.gate = threading.Lock()  # closed until the waiter's commit is on the disk, or it is called
        self.gate.acquire()
        self.is_called = False
