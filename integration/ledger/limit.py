"""How long PostgreSQL may take, and what ends the wait for a server that says nothing.

Nothing in the driver bounds the wait for an answer: with a frozen server, or a network that swallows every packet,
it lasts for ever. So at the limit the connection's socket is shut down, which the waiting driver notices at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any

import psycopg

from integration.deadlines import watchdog


class Limit:
    """How long a transaction may take, the wait for a connection included.

    The server must answer within `silence_seconds`, each time anew, and all must be over in `all_seconds`.
    Costs 10 microseconds.
    """

    __slots__ = ("_connection", "_ends_at", "_lock", "_silence_seconds", "_until", "has_cut")

    def __init__(self, silence_seconds: float, all_seconds: float) -> None:
        now = time.monotonic()
        self._silence_seconds = silence_seconds
        self._until = now + silence_seconds
        self._ends_at = now + all_seconds
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.has_cut = False

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
