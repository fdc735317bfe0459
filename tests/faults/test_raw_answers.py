"""Answers no honest server gives, byte for byte, from a server of a few lines."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration.http import Client, HttpError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(first: bytes, then: bytes, *, tls_drip: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """Answers each request with `first`, then with `then` for ever; keeps what it was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                asked.append(sock.recv(65536))
                while not tls_drip and b"{}" not in asked[-1]:
                    asked[-1] += sock.recv(65536)
                sock.sendall(first)
                while then:
                    sock.sendall(then)
                    time.sleep(0.005)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


ROWS: list[tuple[str, bytes, bytes, tuple[object, ...]]] = [
    ("a header without a colon", OK + b"no header\r\nX: 1\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("a header without end", OK + b"X: " + b"y" * 100_000, b"", ("Unclear", "protocol")),
    ("headers without end", OK, b"X: y\r\n" * 20, ("Unclear", "protocol")),
    ("a negative length", OK + b"Content-Length: -5\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("two lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("a length beyond belief", OK + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("a chunk of negative size", CHUNKED + b"-5\r\nabc\r\n", b"", (200, False, b"")),
    ("a chunk beyond belief", CHUNKED + b"f" * 16 + b"\r\nabc", b"", (200, False, b"abc")),
    ("a chunk without a size", CHUNKED + b"zz\r\nabc\r\n", b"", (200, False, b"")),
    ("chunks", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"", (200, True, b"abc")),
    ("chunks that break off", CHUNKED + b"3\r\nabc\r\n", b"", (200, False, b"abc")),
    ("a trailer without end", CHUNKED + b"3\r\nabc\r\n0\r\n", b"X: y\r\n", (200, False, b"abc")),
    ("a body that ends with the connection", b"HTTP/1.0 200 OK\r\n\r\n{}", b"", (200, True, b"{}")),
    ("a second answer behind the first", OK + b"Content-Length: 2\r\n\r\n{}" + OK, b"", (200, True, b"{}")),
    ("100, then the answer", b"HTTP/1.1 100 Go\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", b"", (200, True, b"{}")),
    ("half a status line", b"HTTP/1.1 429", b"", ("Unclear", "closed")),
    ("half a header", b"HTTP/1.1 429 No\r\nRetry-Af", b"", ("Unclear", "closed")),
    ("an answer behind an empty line", b"\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("lines that end with LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", b"", (200, True, b"{}")),
    ("a folded line", OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", b"", ("Unclear", "protocol")),
    ("more lines than anybody needs", OK + b"X: y\r\n" * 101 + b"\r\n", b"", ("Unclear", "protocol")),
    ("a trailer beyond belief", CHUNKED + b"0\r\n", b"X: " + b"y" * 500_000, (200, False, b"")),
    ("an empty line", b"\r\n\r\n", b"", ("Unclear", "protocol")),
    ("HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", b"", ("Unclear", "protocol")),
    ("a status of letters", b"HTTP/1.1 OK OK\r\n\r\n", b"", ("Unclear", "protocol")),
    ("headers that are not ASCII", OK + b"X: \xff\r\nContent-Length: 0\r\n\r\n", b"", (200, True, b"")),
]


def what_came(client: Client, url: str, once: bool, deadline: float) -> tuple[object, ...]:
    try:
        if once:
            answer = client.request_once(
                "POST", url, headers={}, body=b"{}", deadline_seconds=deadline, send_by=time.monotonic() + 5
            )
        else:
            answer = client.request("POST", url, headers={}, body=b"{}", deadline_seconds=deadline)
    except HttpError as error:
        return type(error).__name__, error.kind
    return answer.status, answer.complete, answer.body


@pytest.mark.parametrize(("first", "then", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
@pytest.mark.parametrize("once", [True, False], ids=["dial", "pooled"])
def test_it_makes_of_strange_bytes_what_can_be_made(
    first: bytes, then: bytes, expected: tuple[object, ...], once: bool
) -> None:
    client = Client()
    deadline = 0.2 if then else 5  # an answer without end needs one; the others end by themselves
    with server(first, then) as (port, asked):
        assert what_came(client, f"http://127.0.0.1:{port}/x", once, deadline) == expected
        client.close()
    assert len(asked) == 1


def test_a_tls_handshake_that_drips_ends_at_the_deadline() -> None:
    began = time.monotonic()
    with server(b"\x16\x03\x03\x40\x00", b"\x02", tls_drip=True) as (port, _):
        with pytest.raises(HttpError) as caught:
            Client().request("GET", f"https://127.0.0.1:{port}/x", headers={}, deadline_seconds=0.2)
        assert time.monotonic() - began < 0.7
    assert (type(caught.value).__name__, caught.value.kind) == ("NotSent", "connect_timeout")
