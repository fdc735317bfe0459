"""Senders that are slow, stop, or only sit there: each is cut off, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Iterator

import pytest

from integration.ledger import migrate
from integration.web.server import CONNECTION_LIMIT, REQUEST_SECONDS
from tests.web.door import Caller, Door, body_of, open_door, request_of

DEADLINE = 0.6


@pytest.fixture(scope="module")
def running_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """As everywhere else, but a request must arrive within 0.6 s."""
    path = tmp_path_factory.mktemp("door") / "ringback.db"
    migrate(f"sqlite:///{path}")
    with open_door(path, request_seconds=DEADLINE) as door:
        yield door


def test_the_deadline_of_the_real_server_is_ten_seconds() -> None:
    assert REQUEST_SECONDS == 10.0


WHOLE = request_of(body_of(Note="x" * 200), close=False)
HEAD_END = WHOLE.index(b"\r\n\r\n") + 4


@pytest.mark.parametrize(
    ("at_once", "dripped"),
    [
        (b"", WHOLE[: HEAD_END - 10]),
        (WHOLE[:HEAD_END], WHOLE[HEAD_END:-10]),
        (request_of(b"", "Transfer-Encoding: chunked", length=None), b"1\r\nx\r\n" * 30),
    ],
    ids=["head", "body", "chunks"],
)
def test_a_sender_that_drips_is_cut_off(door: Door, at_once: bytes, dripped: bytes) -> None:
    began_at = time.monotonic()
    with Caller(door.port) as caller:
        caller.send(at_once)
        caller.sock.settimeout(0.02)  # the pause between two bytes
        for at in range(len(dripped)):
            try:
                caller.send(dripped[at : at + 1])
                assert caller.sock.recv(1) == b""
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        took = time.monotonic() - began_at
    assert took < DEADLINE + 2.0
    assert took > DEADLINE - 0.1
    assert door.kept() == (0, 0)


@pytest.mark.parametrize("begun", [b"P", WHOLE[: HEAD_END - 2], WHOLE[:HEAD_END], WHOLE[:-1]])
def test_a_sender_that_stops_is_cut_off(door: Door, begun: bytes) -> None:
    with Caller(door.port) as caller:
        caller.send(begun)
        assert caller.is_closed()
    assert door.kept() == (0, 0)


def test_others_are_served_while_slow_ones_are_waited_for(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(Caller(door.port)).send(WHOLE[:-1])
        began_at = time.monotonic()
        assert door.ask(request_of(body_of())).status == 200
        assert time.monotonic() - began_at < DEADLINE


def test_a_kept_connection_may_wait_longer_than_a_request(door: Door) -> None:
    with Caller(door.port) as caller:
        for n in range(2):
            caller.send(request_of(body_of(f"e-{n}"), close=False))
            assert caller.answer().status == 200
            threading.Event().wait(DEADLINE + 0.4)
        caller.send(request_of(body_of("e-3"), close=False))
        assert caller.answer().status == 200


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of the connections are in this process: more files than many systems allow at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_idle_connections_keep_nobody_out(door: Door) -> None:
    assert CONNECTION_LIMIT < 1000
    with contextlib.ExitStack() as stack:
        for n in range(1000):
            caller = stack.enter_context(Caller(door.port))
            if n % 2:
                caller.send(b"POST ")
        began_at = time.monotonic()
        assert door.ask(request_of(body_of())).status == 200
        assert time.monotonic() - began_at < 2.0


def test_a_sender_that_leaves_before_the_answer_has_left_its_lead(door: Door) -> None:
    """Row T17: what was kept stays, and the same webhook sent again is a duplicate."""
    body = body_of()
    with Caller(door.port) as caller:
        caller.send(request_of(body))
    again = door.ask(request_of(body))
    while again.json["status"] == "accepted":  # the first one had not been read yet: it is the duplicate then
        again = door.ask(request_of(body))
    assert again.json["status"] == "duplicate"
    assert door.kept()[1] == 1
    assert len(door.woken) == 1
