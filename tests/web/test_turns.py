"""Whose webhook is answered next: a source that floods the door holds up neither another one nor the stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from integration.web import server
from integration.web.server import WebServer
from tests.web.door import Caller, wait_until

THREADS = 5
OF_ONE_SOURCE = 4  # and one more for those of which nothing is under way
FLOOD = 30


class Counter:
    """A server whose answers at /hooks/flood, and at addresses that nobody knows, take until `may_end`."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = threading.Event()
        app = Flask("counter")

        @app.get("/<path:path>")
        def answer(path: str) -> str:
            self.begun.append(path)
            if path != "hooks/quiet":
                assert self.may_end.wait(10)
            return path

        self.server = WebServer(app, "127.0.0.1", 0, THREADS, doors=["/hooks/flood", "/hooks/quiet"])
        self.thread = threading.Thread(target=self.server.run, name="server")
        self.thread.start()
        self.callers = contextlib.ExitStack()

    def call(self, path: str) -> Caller:
        caller = self.callers.enter_context(Caller(self.server.port))
        caller.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return caller

    def close(self) -> None:
        self.may_end.set()
        self.server.stop()
        self.thread.join(5)
        self.server.drain(1.0)
        self.callers.close()


@pytest.fixture
def counter() -> Iterator[Counter]:
    one = Counter()
    yield one
    one.close()


@pytest.mark.parametrize("paths", [["/hooks/flood"], [f"/{n}" for n in range(FLOOD)], ["/hooks/flood", "/unknown"]])
def test_a_source_is_answered_beside_a_flood_at_once(counter: Counter, paths: list[str]) -> None:
    for n in range(FLOOD):
        counter.call(paths[n % len(paths)])
    wait_until(lambda: len(counter.begun) == OF_ONE_SOURCE)
    for _ in range(3):
        assert counter.call("/hooks/quiet").answer().status == 200
    assert counter.begun[OF_ONE_SOURCE:] == ["hooks/quiet"] * 3


def test_there_are_as_many_threads_as_were_asked_for(counter: Counter) -> None:
    counter.call("/hooks/quiet").answer()
    assert sum(thread.name.startswith("web-") for thread in threading.enumerate()) == THREADS


def test_every_one_of_a_flood_is_answered(counter: Counter) -> None:
    counter.call("/hooks/quiet").answer()
    callers = [counter.call("/hooks/flood") for _ in range(FLOOD)]
    counter.may_end.set()
    assert [caller.answer().status for caller in callers] == [200] * FLOOD


def test_the_stop_does_not_wait_for_what_was_not_begun(counter: Counter) -> None:
    callers = [counter.call("/hooks/flood") for _ in range(FLOOD)]
    wait_until(lambda: len(counter.begun) == OF_ONE_SOURCE)
    counter.server.stop()
    counter.thread.join(5)
    begun = list(counter.begun)
    ending = threading.Thread(target=counter.server.drain, args=(0.5,))
    ending.start()
    ending.join(5)
    assert not ending.is_alive()
    assert counter.begun == begun
    assert callers[-1].is_closed()


def test_as_long_as_the_port_is_open_nobody_is_told_that_a_connection_ends(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told so connects anew, and what connects in the instant in which the port is closed is cut off."""
    said: list[bool] = []
    has_news = server._has_news

    def listen(one: object) -> bool:
        if one is counter.server._server:
            said.append(counter.server._server.last_answers)
        return has_news(one)

    monkeypatch.setattr(server, "_has_news", listen)
    kept = counter.call("/hooks/quiet")
    assert "connection" not in kept.answer().headers
    counter.server.stop()
    counter.thread.join(5)
    ending = threading.Thread(target=counter.server.drain, args=(1.0,))
    ending.start()
    kept.send(b"GET /hooks/quiet HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.answer().headers["connection"] == "close"
    ending.join(5)
    assert said
    assert not any(said)
