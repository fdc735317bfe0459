"""HTTP/1.1 by hand on sockets, so that every way of breaking it can be played.

A server here is threads that each serve one connection at a time: waiting ones are used again, new
ones are started when none waits, so that hundreds of hanging connections are no trouble. Faults need
the socket itself, so whoever answers a request is given the `Wire`, not just a place for a status.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 4 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Malformed(Exception):
    """What came is no HTTP request this server understands."""


@dataclass(slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str  # without the query
    query: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


@dataclass(slots=True)
class Reply:
    """What to answer in an orderly way."""

    status: int
    body: Any = None  # None: empty; bytes as they are; anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def as_bytes(self, *, close: bool = False) -> bytes:
        """The whole answer as it goes over the wire."""
        body = b"" if self.body is None else self.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        head = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unnamed')}"]
        if body:
            head.append(f"Content-Type: {self.content_type}")
        head.append(f"Content-Length: {len(body)}")
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if close:
            head.append("Connection: close")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Wire:
    """One connection as the server sees it."""

    def __init__(self, sock: socket.socket, number: int = 0) -> None:
        self.sock = sock
        self.number = number  # of the connection, in the order of their acceptance
        self._buffer = bytearray()

    def peek(self) -> bytes:
        """The first bytes that lie ready, without taking them; waits for some. Not with TLS."""
        return self.sock.recv(1024, socket.MSG_PEEK)

    def wait(self) -> bool:
        """Wait for the first byte of the next request; False at the end of the connection."""
        if not self._buffer:
            self._buffer += self.sock.recv(64 * 1024)
        return bool(self._buffer)

    def read_request(self) -> Request:
        """One request. Raises Malformed or OSError."""
        end = self._find(b"\r\n\r\n", HEAD_LIMIT)
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        first, *lines = head.split("\r\n")
        try:
            method, target, _ = first.split(" ")
            headers = {}
            for line in lines:
                name, value = line.split(":", 1)
                headers[name.strip().lower()] = value.strip()
            parts = urlsplit(target)
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise Malformed("no HTTP request") from None
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        body = self._chunks() if chunked else self._take(length)
        return Request(method, parts.path, parts.query, headers, body)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def _more(self) -> None:
        piece = self.sock.recv(64 * 1024)
        if not piece:
            raise Malformed("the request broke off")
        self._buffer += piece

    def _find(self, mark: bytes, limit: int) -> int:
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > limit:
                raise Malformed("longer than this server reads")
            self._more()
        return at

    def _take(self, length: int) -> bytes:
        if not 0 <= length <= BODY_LIMIT:
            raise Malformed("a body of this length is not read")
        while len(self._buffer) < length:
            self._more()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            end = self._find(b"\r\n", HEAD_LIMIT)
            try:
                size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            except ValueError:
                raise Malformed("a chunk without a size") from None
            del self._buffer[: end + 2]
            body += self._take(size)
            self._take(2)
            if size == 0:
                return bytes(body)
            if len(body) > BODY_LIMIT:
                raise Malformed("longer than this server reads")


class WireServer:
    """Accepts connections on `host`:`port` (0: any free one) and gives each to `serve` in a thread.

    `serve` owns the connection until it returns; what it raises ends that connection only. With
    `tls` the handshake is done in the thread, so that a client that stalls in it holds up nobody.
    `greet` sees each connection first, before TLS and before a byte is read.
    `stop` may be called twice; it closes every connection, also those that hang.
    """

    def __init__(
        self,
        serve: Callable[[Wire], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        greet: Callable[[Wire], None] | None = None,
    ) -> None:
        self._serve = serve
        self._greet = greet
        self._tls = tls
        self._listener = socket.create_server((host, port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0  # connections so far
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._work: queue.SimpleQueue[tuple[socket.socket, int] | None] = queue.SimpleQueue()
        self._acceptor = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)

    def start(self) -> Self:
        self._acceptor.start()
        return self

    def stop(self) -> None:
        if self.stopping.is_set():
            return
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor; close alone would not
        self._listener.close()
        if self._acceptor.is_alive():
            self._acceptor.join(5)
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(sock)
                if self._idle > 0:
                    self._idle -= 1
                else:
                    thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
                    self._threads.append(thread)
                    thread.start()
            self._work.put((sock, self.accepted))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._connection(*work)
            with self._lock:
                self._idle += 1

    def _connection(self, sock: socket.socket, number: int) -> None:
        inner = sock
        try:
            if self._greet is not None:
                self._greet(Wire(sock, number))
            if self._tls is not None:
                inner = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.add(inner)
            self._serve(Wire(inner, number))
        except (OSError, ValueError, Malformed):
            pass  # the other side's end of it, or a fault that was asked for
        finally:
            with self._lock:
                self._open -= {sock, inner}
            with contextlib.suppress(OSError):
                inner.close()
            sock.close()
