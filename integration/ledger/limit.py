"""How long PostgreSQL may take, what ends the wait for a server that says nothing, and when not to wait at all.

Nothing in the driver bounds the wait for an answer: with a frozen server, or a network that swallows every packet,
it lasts for ever. So at the limit the connection's socket is shut down, which the waiting driver notices at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from integration.deadlines import watchdog


class Limit:
    """How long a transaction may take, the wait for a connection included.

    The server must answer within `silence_seconds`, each time anew, and all must be over in `all_seconds`.
    Costs 10 microseconds.
    """

    __slots__ = (
        "_connection",
        "_ends_at",
        "_lock",
        "_silence_seconds",
        "_until",
        "began_at",
        "has_cut",
        "is_committing",
    )

    def __init__(self, silence_seconds: float, all_seconds: float) -> None:
        self.began_at = now = time.monotonic()
        self._silence_seconds = silence_seconds
        self._until = now + silence_seconds
        self._ends_at = now + all_seconds
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.has_cut = False
        self.is_committing = False  # from then on a failure leaves open what became of the transaction

    def left(self) -> float:
        return self._until - time.monotonic()

    def hold(self, connection: psycopg.Connection[Any]) -> None:
        """From now on this connection is cut when the time is up."""
        with self._lock:
            self._connection = connection
        watchdog.watch(self, self._until)

    def answered(self) -> None:
        """The server lives."""
        self._until = min(time.monotonic() + self._silence_seconds, self._ends_at)

    def release(self) -> None:
        """The connection may serve others."""
        with self._lock:
            self._connection = None

    @property
    def is_over(self) -> bool:
        return self._connection is None

    def expire(self) -> None:
        with self._lock:
            if self._connection is None:
                return
            is_up = self.left() <= 0
            if is_up:
                self.has_cut = True
                _cut(self._connection)
        if not is_up:  # the server has answered meanwhile
            watchdog.watch(self, self._until)

    def told(self) -> str | None:
        """What to say of a transaction that was cut."""
        return "the database did not answer in time" if self.has_cut else None


class Outage:
    """How long to wait for a connection: hardly at all while the server is known to be away.

    Else every web thread would wait to find it out once more, and the webhooks behind them would be refused ever later.
    Those that come in the first `longest_wait_seconds` do wait, because most outages are a restart.
    """

    __slots__ = ("_heard_at", "_last_at", "_longest_wait_seconds", "_since", "_watchers")

    HOLDS_SECONDS = 5.0  # while somebody asks, a connection is tried each second, and a silent server takes 2 to fail
    WATCHERS = 2  # who wait a little, so that the first ones after the server's return are not refused
    WATCH_SECONDS = 0.25
    GLANCE_SECONDS = 0.02

    def __init__(self, longest_wait_seconds: float) -> None:
        self._longest_wait_seconds = longest_wait_seconds
        self._heard_at = self._since = self._last_at = -math.inf
        self._watchers = threading.BoundedSemaphore(self.WATCHERS)

    def heard(self) -> None:
        """The server has answered."""
        self._heard_at = time.monotonic()

    def suspect(self, since: float) -> None:
        """It has refused a connection, or has not answered since then, `time.monotonic()`."""
        self._last_at = time.monotonic()
        since = max(since, math.nextafter(self._heard_at, math.inf))
        self._since = since if self._since <= self._heard_at else min(self._since, since)

    @contextlib.contextmanager
    def wait(self) -> Iterator[float]:
        """For how many seconds to wait for a connection, which is done within the block."""
        if not self._is_known():
            yield self._longest_wait_seconds
        elif self._watchers.acquire(blocking=False):
            try:
                yield self.WATCH_SECONDS
            finally:
                self._watchers.release()
        else:
            yield self.GLANCE_SECONDS

    def _is_known(self) -> bool:
        now = time.monotonic()
        is_away = self._since > self._heard_at and now - self._since >= self._longest_wait_seconds
        return is_away and now - self._last_at < self.HOLDS_SECONDS


def _cut(connection: psycopg.Connection[Any]) -> None:
    """End whatever waits for this connection's server.

    The driver may close its socket at any moment, and the number then goes to another one. So a duplicate is
    taken, and used only if the connection had the number before and after.
    """
    with contextlib.suppress(OSError, psycopg.Error):
        number = connection.fileno()
        with socket.socket(fileno=os.dup(number)) as sock:
            if connection.fileno() == number:
                sock.shutdown(socket.SHUT_RDWR)
