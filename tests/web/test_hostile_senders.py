"""Senders that want the server to burn, fill up or stand still. None needs a secret for what is done here."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import struct
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.ledger import Intake, LedgerUnavailable, migrate
from integration.web.server import BODY_BUDGET, CONNECTION_LIMIT
from tests.web.door import Answer, Caller, Door, body_of, open_door, request_of, wait_until

MEGABYTE = 1024 * 1024
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
NOT_STORED = b'{"error": "Not stored: please send this again later."}\n'
HALF = request_of(b"[" * 500_000, signature="0" * 64, length="1000000")


def _reset(caller: Caller) -> None:
    """Close with a reset, as a process does that is killed with unread bytes."""
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.sock.close()


def _busy_seconds(seconds: float) -> float:
    """The CPU time that this process takes while the test does nothing."""
    before = time.process_time()
    threading.Event().wait(seconds)
    return time.process_time() - before


# ---- urgent bytes ---------------------------------------------------------------------------------


def test_an_urgent_byte_does_not_make_the_server_spin(door: Door) -> None:
    with Caller(door.port) as caller:
        caller.sock.send(b"x", socket.MSG_OOB)
        assert _busy_seconds(1.0) < 0.25


def test_an_urgent_byte_on_a_kept_connection_does_not_make_the_server_spin(door: Door) -> None:
    with Caller(door.port) as caller:
        caller.send(HEALTH)
        assert caller.answer().status == 200
        caller.sock.send(b"!", socket.MSG_OOB)
        assert _busy_seconds(1.0) < 0.25


def test_an_urgent_byte_after_the_last_answer_does_not_make_the_server_spin(door: Door) -> None:
    with Caller(door.port) as caller:
        caller.send(b"nonsense\r\n\r\n")
        assert caller.answer().status == 400
        caller.sock.send(b"!", socket.MSG_OOB)
        assert _busy_seconds(0.5) < 0.15


def test_an_urgent_byte_is_a_byte_like_any_other(door: Door) -> None:
    with Caller(door.port) as caller:
        caller.send(HEALTH[:10])
        caller.sock.send(HEALTH[10:11], socket.MSG_OOB)
        caller.send(HEALTH[11:])
        assert caller.answer().status == 200


# ---- senders that leave ---------------------------------------------------------------------------


class _Complaints(logging.Handler):
    """What the server's library says that would come into our log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "waitress":  # and not waitress.queue, which says how long its queue is
            self.said.append(record.getMessage())


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    handler = _Complaints()
    logger = logging.getLogger("waitress")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield handler.said
    logger.setLevel(level)
    logger.removeHandler(handler)


def _all_gone(door: Door) -> None:
    wait_until(lambda: not door.server._channels())


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "part of a head": HALF[:30],
        "a head": HALF[: HALF.index(b"\r\n\r\n") + 4],
        "part of a body": HALF[:200_000],
        "part of a chunk": request_of(b"ff\r\nxx", "Transfer-Encoding: chunked", length=None),
        "a head that waits to be asked": request_of(b"", "Expect: 100-continue", length="7"),
        "a whole request": request_of(b"{}", signature="0" * 64),
        "many requests": HEALTH * 100,
        "a wrong head and more": b"nonsense\r\n\r\n" + b"x" * 50_000,
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("with_reset", [False, True])
def test_a_sender_that_leaves_fills_no_log(
    door: Door, complaints: list[str], data: tuple[str, bytes], with_reset: bool
) -> None:
    for _ in range(20):
        with Caller(door.port) as caller:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                caller.send(data[1])
            if with_reset:
                _reset(caller)
    assert door.ask(HEALTH).status == 200
    _all_gone(door)
    assert complaints == []


def test_no_way_of_leaving_fills_the_log(door: Door, complaints: list[str]) -> None:
    chance = random.Random(7)
    whole = [HALF, HEALTH * 3, request_of(b"x" * 3 * MEGABYTE), request_of(b"{}", signature="0" * 64, close=False)]
    for _ in range(200):
        data = chance.choice(whole)
        with Caller(door.port, 0.2) as caller, contextlib.suppress(OSError):
            caller.send(data[: chance.choice([5, 60, 300, 9_000, len(data)])])
            if chance.random() < 0.3:
                caller.end_of_input()
            if chance.random() < 0.3:
                caller.has_news(0.02)
            if caller.has_news(0.0):
                caller.sock.recv(chance.choice([1, 4096]))
            if chance.random() < 0.5:
                _reset(caller)
    _all_gone(door)
    assert door.ask(request_of(body_of())).status == 200
    assert complaints == []


# ---- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def small_door(tmp_path: Path) -> Iterator[Door]:
    """A server whose bodies may hold 2 MB in all."""
    migrate(f"sqlite:///{tmp_path}/ringback.db")
    with open_door(tmp_path / "ringback.db", body_budget=2 * MEGABYTE) as door:
        yield door


def test_all_bodies_together_may_hold_64_megabytes() -> None:
    assert BODY_BUDGET == 64 * MEGABYTE


def test_bodies_in_arrival_hold_no_more_than_their_budget(small_door: Door) -> None:
    tracemalloc.start()
    try:
        at_first = tracemalloc.get_traced_memory()[0]
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(Caller(small_door.port)) for _ in range(30)]
            for caller in callers:
                caller.send(HALF)
            refused = [caller.answer() for caller in callers[:26]]  # 30 halves are 15 MB, four of them 2 MB
            assert small_door.ask(request_of(body_of())).status == 200
            _, most = tracemalloc.get_traced_memory()
        _all_gone(small_door)
        at_last = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert {(answer.status, answer.body) for answer in refused} == {(503, NOT_STORED)}
    assert refused[0].headers["retry-after"] == "30"
    assert most - at_first < 5 * MEGABYTE
    assert at_last - at_first < MEGABYTE


def test_the_longest_in_arrival_makes_room_and_a_small_body_never_does(small_door: Door) -> None:
    assert 2 * MEGABYTE // CONNECTION_LIMIT == 2621
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(Caller(small_door.port))
        whole = request_of(body_of(Note="x" * 2000))
        small.send(whole[:-1])
        callers = [stack.enter_context(Caller(small_door.port)) for _ in range(4)]
        for caller in callers:
            caller.send(HALF)
            assert not caller.has_news(0.1)
        late = stack.enter_context(Caller(small_door.port))
        late.send(HALF)
        assert callers[0].answer().status == 503
        assert not any(caller.has_news(0.1) for caller in [small, *callers[1:], late])
        small.send(whole[-1:])
        assert small.answer().status == 200


def test_a_large_webhook_arrives_in_the_middle_of_a_flood(small_door: Door) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Caller(small_door.port)).send(HALF)
        assert small_door.ask(request_of(body_of(Note="x" * 900_000))).status == 200


def test_whole_bodies_that_wait_for_a_thread_count_as_well(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with _held(small_door, monkeypatch), contextlib.ExitStack() as stack:
        body = body_of(Note="x" * 900_000)
        callers = [stack.enter_context(Caller(small_door.port)) for _ in range(4)]
        for caller in callers[:2]:
            caller.send(request_of(body))
            assert not caller.has_news(0.1)
        for caller in callers[2:]:
            caller.send(request_of(body))
            assert caller.answer().status == 503
        assert small_door.kept() == (0, 0)


def test_no_body_is_written_to_a_file(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert door.ask(request_of(body_of(Note="x" * 1_000_000))).status == 200


# ---- web threads ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _held(door: Door, monkeypatch: pytest.MonkeyPatch, threads: int = 4) -> Iterator[None]:
    """All web threads that these requests may have wait for a database that does not answer, until the block ends."""
    entered = threading.Semaphore(0)
    free = threading.Event()

    def hang(*_: object, **__: object) -> None:
        entered.release()
        free.wait(10)
        raise LedgerUnavailable("the database stayed busy")

    monkeypatch.setattr(Intake, "receive", hang)
    with contextlib.ExitStack() as stack:
        for n in range(threads):
            stack.enter_context(Caller(door.port)).send(request_of(body_of(f"held-{n}")))
        try:
            for _ in range(threads):
                assert entered.acquire(timeout=5)
            yield
        finally:
            free.set()


def test_health_answers_while_the_database_holds_every_web_thread(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with _held(door, monkeypatch):
        answer = door.ask(HEALTH)
        assert (answer.status, answer.body) == (200, b'{"status":"alive"}\n')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert door.ask(HEALTH.replace(b"GET", b"HEAD"), has_body=False).headers["content-length"] == "19"
        assert door.ask(HEALTH.replace(b"healthz", b"healthz?from=probe")).status == 200


def test_a_request_that_cannot_be_read_is_refused_while_every_web_thread_is_held(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _held(door, monkeypatch):
        assert door.ask(b"nonsense\r\n\r\n").status == 400
        assert door.ask(request_of(b"", length=str(2 * MEGABYTE))).status == 413


def test_health_is_answered_in_its_order(door: Door) -> None:
    requests = [HEALTH, request_of(body_of(), close=False), HEALTH, request_of(body_of("e-2"), close=False), HEALTH]
    with Caller(door.port) as caller:
        caller.send(b"".join(requests))
        said = [caller.answer().json["status"] for _ in requests]
        assert said == ["alive", "accepted", "alive", "accepted", "alive"]


def test_a_flood_of_questions_for_health_keeps_nobody_out(door: Door) -> None:
    answers: list[Answer] = []
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Caller(door.port)).send(HEALTH * 200)
        answers.append(door.ask(request_of(body_of())))
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("DELETE", 405), ("OPTIONS", 200)])
def test_health_is_asked_for_by_get(door: Door, method: str, status: int) -> None:
    assert door.ask(request_of(b"", line=f"{method} /healthz HTTP/1.1")).status == status


def test_a_busy_connection_does_not_count_as_one_that_waits(door: Door) -> None:
    with Caller(door.port) as caller:
        caller.send(HEALTH)
        caller.answer()
        ours = caller.sock.getsockname()  # connections of an earlier test may still be closing
        (channel,) = [one for one in door.server._channels() if one.addr == ours]
        before = channel.waits_since
        caller.send(HEALTH)
        caller.answer()
        assert channel.waits_since > before
