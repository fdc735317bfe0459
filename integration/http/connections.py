"""When the first byte of a request leaves, and how its waiting ends: the moments that decide what is known.

`requests` and `urllib3` keep these moments to themselves, so the connections here are subclasses of
theirs (written against urllib3 2.8). An exchange is bound to its thread; the connection that serves
it finds it there, reports to it, and asks it whether it may still send.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from integration.http.errors import NotSent

IDLE_SECONDS = 4.0  # a pooled connection that was idle for longer is not used again: servers drop at 5
LOOKUPS_AT_ONCE = 64  # name lookups cannot be stopped; hanging ones must not pile up


class Exchange:
    """One request under way: its deadline, its socket, and whether a byte of it has left."""

    def __init__(self, host: str, deadline_seconds: float, send_by: float | None) -> None:
        self.host = host
        self.deadline = time.monotonic() + deadline_seconds
        self.send_by = send_by
        self.began = False  # a real connection took part (not so in tests with `responses`)
        self.sent = False
        self.expired = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False

    def connect_seconds(self) -> float:
        """How long a connection may still take; raises NotSent when there is no time left."""
        until = self.deadline if self.send_by is None else min(self.deadline, self.send_by)
        left = until - time.monotonic()
        if left <= 0:
            raise NotSent("connect_timeout" if until == self.deadline else "too_late", self.host)
        return left

    def about_to_send(self, sock: socket.socket) -> None:
        """The last moment before the first byte; raises NotSent when it has come too late."""
        if self.sent:
            return
        now = time.monotonic()
        if self.send_by is not None and now > self.send_by:
            raise NotSent("too_late", self.host)
        with self._lock:
            if self.expired or now > self.deadline:
                raise NotSent("connect_timeout", self.host)
            self._socket = sock
        self.sent = True

    def expire(self) -> None:
        """Called by the watchdog at the deadline: end the waiting of the thread that reads.

        The plain socket's `shutdown` is called on purpose: the TLS socket's own would first forget
        its TLS state, and a write at that moment would go out in clear.
        """
        with self._lock:
            if self._over:
                return
            self.expired = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def release(self) -> None:
        """The connection goes back to a pool, or the exchange is over: the deadline lets go of it."""
        with self._lock:
            self._over = True
            self._socket = None


here = threading.local()  # .exchange: the one this thread is busy with; connections look it up


class _LastLine:
    """A reader that remembers its last line."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._reader.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class _WholeHead(http.client.HTTPResponse):
    """An answer whose head must be whole: the library takes an end of the stream for the head's end,
    so that half a status line before a crash would count as an answer without a body."""

    def begin(self) -> None:
        reader: Any = self.fp
        watched: Any = _LastLine(reader)
        self.fp = watched
        try:
            super().begin()
        finally:
            self.fp = reader
        if not watched.last:
            raise http.client.RemoteDisconnected("the head of the answer broke off")


class _Watched(HTTPConnection):
    """A connection that knows the exchange it serves."""

    response_class = _WholeHead
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        """A TCP connection within the time that is left, shared among the host's addresses."""
        exchange: Exchange = here.exchange
        addresses = _lookup(self._dns_host, self.port, exchange)
        problem: OSError | None = None
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            seconds = exchange.connect_seconds() / (len(addresses) - number)
            sock: socket.socket | None = None
            try:
                sock = socket.socket(family, kind, protocol)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(seconds)
                sock.connect(address)
            except OSError as error:
                problem = error
                if sock is not None:
                    sock.close()
            else:
                sock.settimeout(max(exchange.deadline - time.monotonic(), 0.001))  # all of a TLS handshake
                return sock
        raise _no_connection(problem, exchange.host)

    def connect(self) -> None:
        exchange: Exchange = here.exchange
        exchange.began = True
        if exchange.sent:  # the library connects by itself when it finds no socket; never for a second half
            raise http.client.NotConnected
        try:
            super().connect()
            if isinstance(self.sock, ssl.SSLSocket) and self.sock.version() is None:
                # Reset between TCP and TLS: `ssl` then skips the handshake and raises nothing.
                raise ConnectionResetError
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            # TCP stands by now: its own failures are NotSent already. What is left is TLS. OpenSSL's
            # reason, e.g. "self-signed certificate", names no more than hosts and dates.
            late = isinstance(error, TimeoutError)
            detail = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
        else:
            self.timeout = max(exchange.deadline - time.monotonic(), 0.001)
            self.sock.settimeout(self.timeout)
            return
        raise NotSent("connect_timeout" if late else "tls", exchange.host, detail)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange: Exchange = here.exchange
        exchange.began = True
        exchange.about_to_send(self.sock)
        super().send(data)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


def _no_connection(problem: OSError | None, host: str) -> NotSent:
    if isinstance(problem, TimeoutError):
        return NotSent("connect_timeout", host)
    if isinstance(problem, ConnectionRefusedError):
        return NotSent("refused", host)
    return NotSent("unreachable", host, (problem.strerror or "") if problem is not None else "")


_Addresses = list[tuple[Any, Any, int, str, Any]]
_lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)


def _lookup(name: str, port: int, exchange: Exchange) -> _Addresses:
    """The addresses of a host. A lookup cannot be stopped, so it happens in a thread that is left
    behind when the time is up; a literal address needs none."""
    with contextlib.suppress(OSError, UnicodeError):
        return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    if not _lookups.acquire(timeout=exchange.connect_seconds()):
        raise NotSent("dns", exchange.host, "too many name lookups hang")
    found: queue.SimpleQueue[_Addresses] = queue.SimpleQueue()

    def look() -> None:
        addresses: _Addresses = []
        try:
            with contextlib.suppress(OSError, UnicodeError):
                addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        finally:
            _lookups.release()
            found.put(addresses)

    threading.Thread(target=look, name="name-lookup", daemon=True).start()
    try:
        addresses = found.get(timeout=exchange.connect_seconds())
    except queue.Empty:
        raise NotSent("dns", exchange.host, "the name server did not answer in time") from None
    if not addresses:
        raise NotSent("dns", exchange.host)
    return addresses


class _KeptPool(HTTPConnectionPool):
    ConnectionCls = _Watched

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        if not connection.is_closed and time.monotonic() - connection.idle_since > IDLE_SECONDS:
            connection.close()
        return connection

    def _put_conn(self, conn: Any) -> None:
        here.exchange.release()  # from now on it may serve another thread
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _KeptTlsPool(_KeptPool, HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class _FreshPool(HTTPConnectionPool):
    """No pool at all: each connection is new, serves once and is closed.

    `Connection: close` alone would not do: an answer without that header sends the connection back
    into the pool, and a stale one makes an answer unclear that need not be.
    """

    ConnectionCls = _Watched

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        return self._new_conn()

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()


class _FreshTlsPool(_FreshPool, HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


KEPT_POOLS = {"http": _KeptPool, "https": _KeptTlsPool}
FRESH_POOLS = {"http": _FreshPool, "https": _FreshTlsPool}


class Adapter(HTTPAdapter):
    """The library's adapter with one shared SSL context, our connections, and no retry of any kind.

    `send` is the library's own, where `responses` steps in.
    """

    def __init__(self, context: ssl.SSLContext, pool_size: int, pools: Mapping[str, Any]) -> None:
        self._context = context
        super().__init__(pool_connections=32, pool_maxsize=pool_size, max_retries=urllib3.Retry(0, read=False))
        self.poolmanager.pool_classes_by_scheme = dict(pools)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        tls = {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}
        return host, tls if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the shared context has its authorities, and verifying is never off."""
