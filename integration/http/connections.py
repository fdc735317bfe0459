"""When the first byte of a request leaves, and how its waiting ends: the moments that decide what is known.

`requests` and `urllib3` keep these moments to themselves, and spend on what is not wanted here (redirects, retries,
proxies, cookies) more than on the exchange. So below requests' adapter the connections are our own: a socket, one
write, and llhttp as the reader of answers. An exchange is bound to its thread, because the adapter's interface has
no place for it.
"""

from __future__ import annotations

import contextlib
import queue
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import cachetools
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from integration.http.errors import NotSent
from integration.http.incoming import Incoming
from integration.http.public import is_public, plain_address

IDLE_SECONDS = 4.0  # a kept connection that was idle for longer is not used again: servers drop at 5
HOSTS = 32  # whose connections are kept
PIECE_BYTES = 16 * 1024  # a whole TLS record, so that nothing that was received is left where nobody sees it
LOOKUPS_AT_ONCE = 64  # name lookups cannot be stopped; hanging ones must not pile up


class Exchange:
    """One request under way: its deadline, its socket, and whether a byte of it has left."""

    def __init__(
        self, host: str, deadline_seconds: float, send_by: float | None, named: frozenset[str] | None = None
    ) -> None:
        self.host = host
        # None: every address will do. Else the public ones, and these.
        self.named = None if named is None else frozenset(map(plain_address, named)) - {""}
        self.deadline = time.monotonic() + deadline_seconds
        self.send_by = send_by
        self.began = False  # a real connection took part (not so in tests with `responses`)
        self.sent = False
        self.expired = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_over = False

    def connect_seconds(self) -> float:
        """How long a connection may still take; raises NotSent when there is no time left."""
        until = self.deadline if self.send_by is None else min(self.deadline, self.send_by)
        left = until - time.monotonic()
        if left <= 0:
            raise NotSent("connect_timeout" if until == self.deadline else "too_late", self.host)
        return left

    def about_to_send(self, sock: socket.socket) -> None:
        """The last moment before the first byte; raises NotSent when it has come too late."""
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
            if self.is_over:
                return
            self.expired = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def release(self) -> None:
        """The connection goes back to a pool, or the exchange is over: the deadline lets go of it."""
        with self._lock:
            self.is_over = True
            self._socket = None


here = threading.local()  # .exchange: the one this thread is busy with; connections look it up


class _Connection:
    """A socket to one host, or none yet."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.idle_since = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it has waited for too long, or its server has said something, which can only be goodbye."""
        if self.sock is None or time.monotonic() - self.idle_since > IDLE_SECONDS:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def open(self, host: _Host, exchange: Exchange) -> None:
        """Connect, within the exchange's time. Raises NotSent."""
        sock = _connect(host.name, host.port, exchange)
        if host.context is not None:
            try:
                sock = host.context.wrap_socket(sock, server_hostname=host.name.rstrip("."))
                if sock.version() is None:
                    # Reset between TCP and TLS: `ssl` then skips the handshake and raises nothing.
                    raise ConnectionResetError
            except (OSError, ValueError) as error:
                sock.close()
                late = isinstance(error, TimeoutError)
                # OpenSSL's reason, e.g. "self-signed certificate", names no more than hosts and dates.
                detail = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
                raise NotSent("connect_timeout" if late else "tls", exchange.host, detail) from None
        self.sock = sock

    def ask(self, exchange: Exchange, request: bytes) -> None:
        """Send a whole request in one piece: one system call, and one waking of the other side."""
        assert self.sock is not None
        exchange.about_to_send(self.sock)
        self.sock.settimeout(max(exchange.deadline - time.monotonic(), 0.001))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer may have come before
            self.sock.sendall(request)

    def answer(self, exchange: Exchange) -> Incoming:
        """Wait for the answer. Raises where its head is broken or breaks off; of a body it has what came."""
        assert self.sock is not None
        incoming = Incoming()
        try:
            while incoming.wants_more:
                if not exchange.expired and (piece := self.sock.recv(PIECE_BYTES)):
                    incoming.take(piece)
                else:
                    incoming.end(cut=exchange.expired)
                    break
        except Exception:  # a hostile body: the status is known, and that decides
            if not incoming.status:
                raise
        finally:
            incoming.let_go()
        return incoming

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def __del__(self) -> None:
        self.close()  # of a client that nobody closed


def _connect(name: str, port: int, exchange: Exchange) -> socket.socket:
    """A TCP connection within the time that is left, shared among the host's addresses."""
    addresses = _lookup(name, port, exchange)
    if exchange.named is not None:
        # All of them, and those that are connected to below: a second lookup might answer otherwise.
        found = {plain_address(str(address[0])) for *_, address in addresses}
        if not all(each in exchange.named or is_public(each) for each in found):
            raise NotSent("not_public", exchange.host)
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

    try:
        threading.Thread(target=look, name="name-lookup", daemon=True).start()
    except RuntimeError:
        _lookups.release()
        raise NotSent("dns", exchange.host, "no thread is left for the name lookup") from None
    try:
        addresses = found.get(timeout=exchange.connect_seconds())
    except queue.Empty:
        raise NotSent("dns", exchange.host, "the name server did not answer in time") from None
    if not addresses:
        raise NotSent("dns", exchange.host)
    return addresses


# What the library would let through: a control character in the middle of a head begins a line of its own.
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _written(method: str, path: str, authority: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it goes over the wire. Raises ValueError for what HTTP does not take."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}", *(f"{name}: {headers[name]}" for name in headers)]
    if any(_UNFIT.search(line) for line in lines):
        raise ValueError("a control character")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class _Host:
    """Where requests go, and the connections to it that wait for the next one.

    With `keep` 0 there are none: each connection is new, serves once and is closed. `Connection: close` alone
    would not do: an answer without that header would leave the connection to the next request, and a stale one
    makes an answer unclear that need not be.
    """

    def __init__(self, address: tuple[str, str], context: ssl.SSLContext, keep: int) -> None:
        scheme, self._authority = address
        parts = urlsplit(f"//{self._authority}")
        self.name = parts.hostname or ""
        self.port = parts.port or (443 if scheme == "https" else 80)
        self.context = context if scheme == "https" else None
        self._keep = keep
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, **_: Any) -> Incoming:
        """One request and its answer; for requests' adapter."""
        exchange: Exchange = here.exchange
        exchange.began = True
        request = _written(method, url, self._authority, headers, body)
        connection = self._waiting() or _Connection()
        try:
            if connection.sock is None:
                connection.open(self, exchange)
            connection.ask(exchange, request)
            answer = connection.answer(exchange)
        except BaseException:
            exchange.release()  # first: the number of a closed socket may be another one's at once
            connection.close()
            raise
        exchange.release()  # the same; or the connection serves another thread at once
        self._take_back(connection, fit=answer.fit)
        return answer

    def _waiting(self) -> _Connection | None:
        while self._idle:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is not None and not connection.is_stale:
                return connection
            if connection is not None:
                connection.close()
        return None

    def _take_back(self, connection: _Connection, *, fit: bool) -> None:
        """A connection whose answer has been read to its end, and whose exchange has let go of it."""
        connection.idle_since = time.monotonic()
        with self._lock:
            fit = fit and len(self._idle) < self._keep
            if fit:
                self._idle.append(connection)
        if not fit:
            connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Adapter(HTTPAdapter):
    """The library's adapter over connections of ours: one shared SSL context, no proxy, no retry of any kind.

    `send` is the library's own, where `responses` steps in.
    """

    def __init__(self, context: ssl.SSLContext, keep: int) -> None:
        super().__init__(max_retries=0)
        context.check_hostname = True
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["http/1.1"])
        self._hosts: cachetools.LRUCache[tuple[tuple[str, str], frozenset[str] | None], _Host]
        self._hosts = cachetools.LRUCache(HOSTS)
        self._lock = threading.Lock()
        self._context = context
        self._keep = keep

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:  # noqa: ARG002
        address = urlsplit(request.url)[:2]
        # A connection that was made without the check of its address never serves a request that needs it.
        key = address, here.exchange.named
        with self._lock:
            host = self._hosts.get(key)
            if host is None:
                host = self._hosts[key] = _Host(address, self._context, self._keep)
        return host

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002
        path: str = request.path_url
        return path

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the shared context has its authorities, and verifying is never off."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """The library's, without cookies and the guess at an encoding, which nobody asks for."""
        response = requests.Response()
        response.status_code, response.raw = resp.status, resp
        response.headers = CaseInsensitiveDict(resp.headers)
        response.url, response.request = req.url, req
        return response

    def close(self) -> None:
        with self._lock:
            hosts = list(self._hosts.values())
        for host in hosts:
            host.close()
