"""A connection that is not made in time is closed at once: half open it would hold up a server that is stopping."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator

import psycopg_pool
import pytest

from integration.ledger import open_database
from integration.ledger.wakeups import make_fetching_pool


class SilentServer:
    """Takes connections, says that it knows no TLS, and then nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://somebody@127.0.0.1:{self._listener.getsockname()[1]}/none"
        self.taken = 0
        self.closed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.taken += 1
                threading.Thread(target=self._listen, args=(sock,), daemon=True).start()

    def _listen(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.recv(100)
            sock.sendall(b"N")
            while sock.recv(100):
                pass
        self.closed += 1

    def wait_until_all_are_closed(self) -> None:
        until = time.monotonic() + 10
        while not 0 < self.taken == self.closed:
            assert time.monotonic() < until, f"{self.taken - self.closed} of {self.taken} are open"
            time.sleep(0.02)


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    server = SilentServer()
    gc.disable()  # it would close them too, sooner or later
    yield server
    gc.enable()
    server.close()


@pytest.mark.slow
def test_attempts_of_the_ledger_are_closed(silent_server: SilentServer) -> None:
    database = open_database(silent_server.url)
    silent_server.wait_until_all_are_closed()
    database.close()


@pytest.mark.slow
def test_attempts_of_the_queue_are_closed_also_when_they_are_broken_off(silent_server: SilentServer) -> None:
    async def attempt(timeout: float) -> None:
        pool = make_fetching_pool(silent_server.url)
        with contextlib.suppress(psycopg_pool.PoolTimeout):
            await pool.open(wait=True, timeout=timeout)
        await pool.close(timeout=0.5)

    asyncio.run(attempt(2.5))
    asyncio.run(attempt(0.5))
    assert silent_server.taken >= 2
    silent_server.wait_until_all_are_closed()
