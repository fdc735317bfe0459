"""Whether GET /readyz tells the truth: ready means that a webhook would be kept now."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.ledger import Upkeep, migrate
from integration.web import health
from tests.web.door import Answer, Caller, Door, body_of, open_door, request_of, wait_until

ASK = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
READY = {"status": "ready", "problem": None}
NO_WRITES = {"status": "not ready", "problem": "the database takes no writes"}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A server that has not been asked yet."""
    migrate(f"sqlite:///{tmp_path}/ringback.db")
    with open_door(tmp_path / "ringback.db") as door:
        yield door


@contextlib.contextmanager
def _full_disk(door: Door) -> Iterator[None]:
    """No file of this process may grow beyond what the database's log has by now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = door.path.with_name(door.path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_it_is_ready_when_the_database_takes_a_write(door: Door) -> None:
    answer = door.ask(ASK)
    assert (answer.status, answer.json) == (200, READY)


def test_it_is_not_ready_with_a_full_disk_and_ready_again_with_room(door: Door) -> None:
    assert door.ask(request_of(body_of())).status == 200
    with _full_disk(door):
        assert door.ask(request_of(body_of("e-2"))).status == 503
        answer = door.ask(ASK)
    assert (answer.status, answer.json) == (503, NO_WRITES)
    assert answer.headers["retry-after"] == "5"
    assert door.ask(ASK).json == READY
    assert door.ask(request_of(body_of("e-2"))).status == 200


def test_it_is_not_ready_with_a_disk_that_is_read_only(door: Door) -> None:
    writer = door.ledger.database._writer  # type: ignore[attr-defined]
    writer.execute("PRAGMA query_only = ON")
    assert door.ask(request_of(body_of())).status == 503
    answer = door.ask(ASK)
    writer.execute("PRAGMA query_only = OFF")
    assert (answer.status, answer.json) == (503, NO_WRITES)
    assert door.ask(ASK).json == READY


def test_it_is_not_ready_without_its_tables(door: Door) -> None:
    with contextlib.closing(sqlite3.connect(door.path)) as connection:
        connection.execute("DROP TABLE alembic_version")
    answer = door.ask(ASK)
    assert (answer.status, answer.json["problem"]) == (503, "the database is not migrated: run `ringback release`")


def test_a_good_look_holds_for_a_while_whoever_asks(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    beat = Upkeep.heartbeat

    def count(upkeep: Upkeep, worker_id: str) -> None:
        writes.append(worker_id)
        beat(upkeep, worker_id)

    monkeypatch.setattr(Upkeep, "heartbeat", count)
    with Caller(door.port) as caller:
        for _ in range(50):
            caller.send(ASK.replace(b"Connection: close\r\n", b""))
            assert caller.answer().status == 200
        assert writes == ["readyz"]
        monkeypatch.setattr(health, "WRITE_EVERY_SECONDS", 0.0)
        caller.send(ASK)
        caller.answer()
    assert writes == ["readyz", "readyz"]


def test_strangers_who_ask_while_the_database_hangs_hold_one_web_thread(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()
    free = threading.Event()

    def hang(*_: object) -> None:
        entered.set()
        free.wait(10)

    monkeypatch.setattr(Upkeep, "heartbeat", hang)
    first: list[Answer] = []
    thread = threading.Thread(target=lambda: first.append(door.ask(ASK)))
    thread.start()
    assert entered.wait(5)
    began_at = time.monotonic()
    for _ in range(10):
        assert door.ask(ASK).json["problem"] == "the database has not answered yet"
    assert time.monotonic() - began_at < 2.0
    free.set()
    wait_until(lambda: first)
    thread.join()
    assert first[0].json == READY
