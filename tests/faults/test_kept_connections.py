"""When a connection may serve again: never while a byte of the last answer may still come. Else the next request
would be given an answer that is not its own, and a write-back count as done that the CRM refused."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.http import Answer, Client, HttpError
from integration.sandbox.certificate import self_signed

OK = b"HTTP/1.1 200 OK\r\n"
LATE_SECONDS = 0.1  # after the request that follows has been sent
CLOSE = b""
Script = list[bytes | float]  # what the answer consists of, and how long to wait between


def answer(text: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(text) + text


class Server:
    """Answers the requests as told, each on the connection on which it came, and keeps every connection."""

    def __init__(self, *answers: Script, tls: ssl.SSLContext | None = None) -> None:
        self.served_on: list[int] = []  # the number of the connection, for each request
        self._answers: queue.SimpleQueue[Script] = queue.SimpleQueue()
        for one in answers:
            self._answers.put(one)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(1, 1000):
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock if self._tls is None else self._tls.wrap_socket(sock, True) as served:
            while request := served.recv(65536):
                while b"{}" not in request:
                    request += served.recv(65536)
                self.served_on.append(number)
                for part in self._answers.get():
                    if part == CLOSE:
                        return
                    if isinstance(part, float):
                        time.sleep(part)
                    else:
                        served.sendall(part)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    return self_signed(tmp_path)


@contextlib.contextmanager
def serving(*answers: Script, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(*answers, tls=tls)
    yield server
    server.close()


def ask(client: Client, server: Server, *, scheme: str = "http", deadline: float = 5.0) -> Answer | HttpError:
    try:
        return client.request(
            "POST", f"{scheme}://127.0.0.1:{server.port}/x", headers={}, body=b"{}", deadline_seconds=deadline
        )
    except HttpError as error:
        return error


def bodies(client: Client, server: Server, count: int = 2, **how: str) -> list[bytes]:
    answers = [ask(client, server, **how) for _ in range(count)]  # type: ignore[arg-type]
    assert all(isinstance(one, Answer) for one in answers), answers
    return [one.body for one in answers if isinstance(one, Answer)]


SECOND: Script = [2 * LATE_SECONDS, answer(b"second")]

FIT = [
    ("a length", [answer(b"first")]),
    ("no body", [OK + b"Content-Length: 0\r\n\r\n"]),
    ("204", [b"HTTP/1.1 204 No Content\r\n\r\n"]),
    ("chunks", [OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nfirst\r\n0\r\nX: a trailer\r\n\r\n"]),
    ("64 KB in one chunk", [OK + b"Transfer-Encoding: chunked\r\n\r\n10000\r\n", b"x" * 65536, b"\r\n0\r\n\r\n"]),
    ("one byte at a time", [answer(b"first")[n : n + 1] for n in range(len(answer(b"first")))]),
    ("HTTP/1.0 that keeps", [b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nfirst"]),
    ("100 before it", [b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, answer(b"first")]),
    ("103 before it", [b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 0.01, answer(b"first")]),
    ("102 twice before it", [b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + answer(b"first")]),
]


@pytest.mark.parametrize("first", [row[1] for row in FIT], ids=[row[0] for row in FIT])
def test_an_answer_that_was_read_to_its_end_leaves_its_connection_to_the_next(client: Client, first: Script) -> None:
    with serving(first, [answer(b"second")]) as server:
        assert bodies(client, server)[1] == b"second"
        assert server.served_on == [1, 1]


# Of each of these something may come after its end; it comes while the next request waits for its own answer.
UNFIT = [
    ("a body that is too long", [answer(b"x" * 65537)]),
    ("a body that is another answer", [OK + b"Content-Length: 9\r\n\r\nfirst", LATE_SECONDS, answer(b"not mine")]),
    (
        "chunks without end",
        [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", LATE_SECONDS, answer(b"not mine")],
    ),
    ("a protocol that changes", [b"HTTP/1.1 101 Switching\r\n\r\n", LATE_SECONDS, answer(b"not mine")]),
    ("204 with a length", [b"HTTP/1.1 204 No\r\nContent-Length: 47\r\n\r\n", LATE_SECONDS, answer(b"not mine")]),
    ("204 with chunks", [b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", LATE_SECONDS, b"0\r\n\r\n"]),
    ("304 with a length", [b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", LATE_SECONDS, b"first"]),
    (
        "a length beside chunks",
        [OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"],
    ),
    (
        "a length beside another coding",
        [OK + b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\nfirst", LATE_SECONDS, answer(b"not mine")],
    ),
    ("a length that is no plain number", [OK + b"Content-Length: +5\r\n\r\nfirst", LATE_SECONDS, answer(b"not mine")]),
    ("close in a second header", [OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"]),
    ("close among other options", [OK + b"Connection: x, Close\r\nContent-Length: 0\r\n\r\n"]),
    ("a second answer in the same piece", [answer(b"first") + answer(b"not mine")]),
    ("an empty line behind it", [answer(b"first") + b"\r\n"]),
    ("lines that end with LF", [answer(b"first").replace(b"\r\n", b"\n"), LATE_SECONDS, answer(b"not mine")]),
    ("half of one", [answer(b"first") + OK, LATE_SECONDS, b"Content-Length: 0\r\n\r\n"]),
]


@pytest.mark.parametrize("first", [row[1] for row in UNFIT], ids=[row[0] for row in UNFIT])
def test_a_connection_on_which_something_may_still_come_serves_nobody_else(client: Client, first: Script) -> None:
    with serving(first, SECOND) as server:
        ask(client, server)
        assert bodies(client, server, 1) == [b"second"]
        assert server.served_on == [1, 2]


def test_an_answer_that_its_deadline_cut_off_leaves_no_connection_behind(client: Client) -> None:
    with serving([OK + b"Content-Length: 9\r\n\r\nfirst", 2 * LATE_SECONDS, b"last"], SECOND) as server:
        first = ask(client, server, deadline=LATE_SECONDS)
        assert isinstance(first, Answer)
        assert not first.complete
        assert bodies(client, server, 1) == [b"second"]
        assert server.served_on == [1, 2]


@pytest.mark.parametrize("first", [[b"garbage\r\n\r\n"], [OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab"]])
def test_an_answer_that_is_none_leaves_no_connection_behind(client: Client, first: Script) -> None:
    with serving(first, SECOND) as server:
        assert isinstance(ask(client, server), HttpError)
        assert bodies(client, server, 1) == [b"second"]
        assert server.served_on == [1, 2]


def test_a_connection_that_its_server_has_closed_is_not_used_again(client: Client) -> None:
    with serving([answer(b"first"), CLOSE], [answer(b"second")]) as server:
        bodies(client, server, 1)
        time.sleep(0.05)
        assert bodies(client, server, 1) == [b"second"]
        assert server.served_on == [1, 2]


def test_a_dial_has_a_connection_of_its_own_also_where_the_server_would_keep_it(client: Client) -> None:
    with serving(*[[answer(b"{}")] for _ in range(4)]) as server:
        for _ in range(3):
            client.request_once(
                "POST",
                f"http://127.0.0.1:{server.port}/x",
                headers={},
                body=b"{}",
                deadline_seconds=5.0,
                send_by=time.monotonic() + 5,
            )
        bodies(client, server, 1)
        assert server.served_on == [1, 2, 3, 4]


def test_no_more_connections_are_kept_than_were_asked_for() -> None:
    client = Client(pool_size=1)
    both: Script = [LATE_SECONDS, answer(b"{}")]
    with serving(both, both, both, both) as server, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            assert list(pool.map(lambda _: bodies(client, server, 1), range(2))) == [[b"{}"], [b"{}"]]
        assert sorted(server.served_on) in ([1, 1, 2, 3], [1, 2, 2, 3])
    client.close()


def test_what_tls_has_decrypted_beyond_an_answer_is_seen(certificate: tuple[ssl.SSLContext, Path]) -> None:
    context, trust = certificate
    client = Client(ssl_context=ssl.create_default_context(cafile=trust))
    kept: Script = [answer(b"first")]
    with serving(kept, [answer(b"first") + answer(b"not mine")], SECOND, tls=context) as server:
        assert bodies(client, server, 3, scheme="https") == [b"first", b"first", b"second"]
        assert server.served_on == [1, 1, 2]
    client.close()


def test_many_threads_share_connections_and_each_gets_its_own_answer(client: Client) -> None:
    def one(number: int) -> bytes:
        text = b"%05d" % number
        with serving([answer(text)], [0.002, answer(text)]) as server:
            return b"".join(bodies(client, server))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [b"%05d" % number * 2 for number in range(40)]


def test_closing_a_client_while_it_is_used_ends_nobody_elses_exchange(client: Client) -> None:
    with serving([answer(b"first")], [LATE_SECONDS, answer(b"second")]) as server:
        bodies(client, server, 1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(bodies, client, server, 1)
            while len(server.served_on) < 2:
                time.sleep(0.001)
            client.close()
            assert under_way.result() == [b"second"]
        assert server.served_on == [1, 1]
