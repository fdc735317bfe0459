"""The only place that talks HTTP outwards, and the only one that knows when a request was sent.

    HttpError
    ├── NotSent   no byte of the request was handed to the socket: sending again cannot do it twice
    └── Unclear   some of it was, and no answer came back: it may have been acted upon

The line between the two is drawn by the connection itself, which notes the moment before the first
byte leaves, and not by the class of an exception: `requests` says `ConnectionError` for both. Once
status and headers are here there is an `Answer`, even if its body breaks off (`complete` is then False).

What callers can rely on:

- one call is at most one request: no redirect is followed, nothing is resent, no proxy, `.netrc` or
  cookie of the environment takes part (the adapter is used without a Session, which has those);
- the deadline covers all of it: name lookup, connecting, TLS, each dripped byte of the answer;
- at most 64 KB of a body are read, undecoded;
- `request_once` uses a connection of its own, never one out of a pool, and sends nothing after
  `send_by`;
- no error holds a path, a query, a header or a body: only the host.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import certifi
import httptools
import requests
import urllib3
from requests.utils import requote_uri

from integration.deadlines import watchdog
from integration.http.connections import Adapter, Exchange, here
from integration.http.errors import HttpError, NotSent, NotSentKind, Unclear, UnclearKind
from integration.http.incoming import BODY_LIMIT

__all__ = [
    "BODY_LIMIT",
    "Answer",
    "Client",
    "HttpError",
    "NotSent",
    "Unclear",
    "default_ssl_context",
    "retry_after_seconds",
]

LONGEST_RETRY_AFTER = 100  # characters; anything longer says nothing
LONGEST_CHAIN = 30  # wrapped errors that are looked at


@dataclass(frozen=True, slots=True)
class Answer:
    """A status line and what followed it."""

    status: int
    headers: Mapping[str, str]  # names without regard to case
    body: bytes  # at most 64 KB, as sent (never decompressed)
    complete: bool  # False: the body broke off, ran into the deadline or is longer than 64 KB


class Client:
    """Sends requests; safe for many threads.

    `ssl_context` replaces the shared one, which trusts the system's and certifi's authorities
    (OpenSSL's SSL_CERT_FILE adds a private one).
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None, pool_size: int = 20) -> None:
        context = ssl_context or default_ssl_context()
        self._kept = Adapter(context, pool_size)
        self._fresh = Adapter(context, 0)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline_seconds: float,
        named: frozenset[str] | None = None,
        send_by: float | None = None,
    ) -> Answer:
        """One exchange over a kept connection if there is one. Raises NotSent or Unclear.

        `named` is given where data chose the host, and holds what the admin lists. Then every address that the host
        leads to must be public or stand in the list itself; else it is NotSent("not_public").

        For requests that do no harm when sent again: a server may drop a kept connection just as it
        is used, which comes out as Unclear. `send_by` is that of `request_once`. Not for HEAD, whose
        answers announce a body that does not come.
        """
        return _exchange(self._kept, method, url, headers, body, deadline_seconds, send_by, named)

    def request_once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline_seconds: float,
        send_by: float,
    ) -> Answer:
        """One exchange over a new connection, begun before `send_by` (time.monotonic()) or not at all.

        `send_by` is looked at when the connection stands, after name lookup, TCP and TLS, and before
        the first byte of the request: later than that is NotSent("too_late").
        Raises NotSent or Unclear.
        """
        closing = {**headers, "Connection": "close"}
        return _exchange(self._fresh, method, url, closing, body, deadline_seconds, send_by)

    def close(self) -> None:
        """Close all kept connections."""
        self._kept.close()
        self._fresh.close()


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """One context for the whole process: reading the authorities costs 20 ms, which `requests` spends
    on each new connection (measured with 2.34)."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE]\+?[0-9]{1,3})?")


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for, held within [1, 3600] seconds; None if it says nothing.

    Seconds or an HTTP date (RFC 9110, 10.2.3). `now` is aware.
    """
    text = (value or "").strip()
    if len(text) > LONGEST_RETRY_AFTER:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        try:
            at = email.utils.parsedate_to_datetime(text)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            seconds = (at - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 1.0), 3600.0)


# ---- one exchange ---------------------------------------------------------------------------


def _exchange(  # noqa: PLR0917 - called in two places, with names that match
    adapter: Adapter,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline_seconds: float,
    send_by: float | None,
    named: frozenset[str] | None = None,
) -> Answer:
    prepared, host = _prepare(method, url, headers, body)
    exchange = Exchange(host, deadline_seconds, send_by, named)
    here.exchange = exchange
    watchdog.watch(exchange, exchange.deadline)
    try:
        response = adapter.send(prepared, stream=True, timeout=max(deadline_seconds, 0.001))
        return _answer(response, exchange)
    except NotSent:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes are read here; what they raise is open
        failure = _failure(error, exchange)
    finally:
        exchange.release()
        here.exchange = None
    # Outside the handler, so that the library's exception, whose text holds the URL, is not chained.
    raise failure


def _prepare(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> tuple[requests.PreparedRequest, str]:
    """The request, and the host as the URL names it. Raises NotSent for what may not or cannot be sent."""
    host, address = _address(url)
    plain = {"Accept-Encoding": "identity", "User-Agent": "ringback", **headers}
    prepared = requests.PreparedRequest()
    try:
        "".join([*plain, *plain.values()]).encode("latin-1")  # what HTTP takes; said while it is harmless
        # Not `prepare`: it looks for cookies, hooks and passwords as well, for twice the time.
        prepared.prepare_method(method)
        prepared.url = address
        prepared.prepare_headers(plain)
        prepared.prepare_body(body, None)
    except (requests.RequestException, ValueError):
        raise NotSent("bad_request", host, "the address or a header holds what HTTP does not take") from None
    return prepared, host


@functools.lru_cache(maxsize=256)
def _address(url: str) -> tuple[str, str]:
    """Host and port of a URL that may be used, and the URL as it is sent. Raises NotSent for all others."""
    try:
        parts = urlsplit(url)
        port, name = parts.port, parts.hostname or ""
    except ValueError:
        raise NotSent("bad_address", "the dialled address", "it is not a URL") from None
    host = f"{name}:{port}" if port is not None else name
    if parts.scheme not in {"http", "https"} or not name:
        raise NotSent("bad_address", host or "the address", "it must begin with https:// and a host name")
    if "@" in parts.netloc:
        raise NotSent("bad_address", host, "a user name or password in an address is not sent")
    if "\\" in url or any(c <= " " or c == "\x7f" for c in url):
        raise NotSent("bad_address", host, "it holds a space, a backslash or a control character")
    if any(unquote(segment) in {".", ".."} for segment in parts.path.split("/")):
        raise NotSent("bad_address", host, "its path holds a segment . or .. and would change")
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(url, None)
    except (requests.RequestException, ValueError):
        raise NotSent("bad_request", host, "the address or a header holds what HTTP does not take") from None
    address = prepared.url or ""
    if urlsplit(address).path != requote_uri(parts.path or "/"):
        raise NotSent("bad_address", host, "its path would change on the way")
    return host, address


def _answer(response: requests.Response, exchange: Exchange) -> Answer:
    raw: Any = response.raw
    if exchange.began:
        return Answer(response.status_code, response.headers, bytes(raw.body[:BODY_LIMIT]), raw.complete)
    # No real connection took part (tests with `responses`).
    body = raw.read(BODY_LIMIT + 1, decode_content=False)
    return Answer(response.status_code, response.headers, body[:BODY_LIMIT], len(body) <= BODY_LIMIT)


# ---- what went wrong ------------------------------------------------------------------------

_NOT_SENT_CAUSES: tuple[tuple[tuple[type[BaseException], ...], NotSentKind], ...] = (
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "dns"),
    ((ConnectionRefusedError,), "refused"),
    ((ssl.SSLError, urllib3.exceptions.SSLError, requests.exceptions.SSLError), "tls"),
    ((requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader), "bad_request"),
    ((urllib3.exceptions.NewConnectionError, requests.exceptions.ProxyError), "unreachable"),
    ((urllib3.exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout), "connect_timeout"),
)


def _failure(error: BaseException, exchange: Exchange) -> HttpError:
    causes = _causes(error)
    if exchange.began:
        # Before sending, the connection names its own failures; the rest is a request unfit for HTTP.
        if not exchange.sent:
            return NotSent("bad_request", exchange.host)
        return Unclear(_unclear_kind(causes, exchange), exchange.host)
    # No real connection took part (tests with `responses`): only what cannot happen after sending.
    for kinds, kind in _NOT_SENT_CAUSES:
        if any(isinstance(each, kinds) for each in causes):
            return NotSent(kind, exchange.host)
    return Unclear(_unclear_kind(causes, exchange), exchange.host)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and all that it wraps, outermost first."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < LONGEST_CHAIN:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return found


def _unclear_kind(causes: list[BaseException], exchange: Exchange) -> UnclearKind:
    timeouts = (TimeoutError, urllib3.exceptions.TimeoutError, requests.exceptions.Timeout)
    if exchange.expired or any(isinstance(each, timeouts) for each in causes):
        return "timeout"
    if any(isinstance(each, http.client.RemoteDisconnected) for each in causes):
        return "closed"
    if any(isinstance(each, OSError) and each.errno is not None for each in causes):
        return "reset"
    if any(isinstance(each, http.client.HTTPException | httptools.HttpParserError | ValueError) for each in causes):
        return "protocol"
    return "closed"
