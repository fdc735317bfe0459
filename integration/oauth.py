"""Tokens by the client-credentials grant: fetched by one thread while the others wait, kept, refreshed early.

How long a token may be used: until the smaller of 60 s and half its lifetime before its end, so that
a token that lives 30 s is still kept for 15. A lifetime that is missing or makes no sense counts as
3600 s; if that was too long, the first 401 has the token dropped.

`Kept` is the same for any value of that kind; the dialer's list of accounts uses it too.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

from cachetools import TLRUCache, cached

from integration.http import Answer, Client, HttpError, retry_after_seconds
from integration.model import Tree
from integration.payload import BadBody, parse_body

DEFAULT_LIFETIME_SECONDS = 3600.0
LONGEST_LIFETIME_SECONDS = 86_400.0
EARLY_SECONDS = 60.0
FAILURE_SECONDS = 1.0  # a failure is kept this long, else each waiting thread would try in its turn
LONGEST_TOKEN = 16_384

TokenEncoding = Literal["json", "form"]
ClientAuth = Literal["body", "basic"]
TokenTrouble = Literal["refused", "wrong_host", "rate_limited", "not_reached"]

V = TypeVar("V")


class TokenError(Exception):
    """No token. `trouble` says what kind of remedy there is:

    - refused: the credentials are wrong; nothing helps but a person
    - wrong_host: what answered is no token endpoint; a person
    - rate_limited: later, see `retry_after_seconds`
    - not_reached: the network or the server; later
    """

    def __init__(
        self,
        trouble: TokenTrouble,
        message: str,
        *,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message
        self.http_status = http_status
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Held(Generic[V]):
    """A value or the failure to get one, and for how long it stands."""

    value: V | None
    failure: Exception | None
    seconds: float


class Kept(Generic[V]):
    """A value that one thread fetches while the others wait for it, kept for as long as `fetch` says.

    `fetch` returns the value and its seconds (above zero). An exception of the type `failures` is
    kept for a second and raised to every thread that asks meanwhile.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[V, float]],
        failures: type[Exception],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._failures = failures
        self._condition = threading.Condition()
        self._cache: TLRUCache[str, _Held[V]] = TLRUCache(
            maxsize=1, ttu=lambda _, held, now: now + held.seconds, timer=monotonic
        )
        self._single_flight = cached(self._cache, key=lambda: "", condition=self._condition)(self._ask)

    def get(self) -> V:
        """The value, fetched if need be. Raises the kept failure."""
        held = self._single_flight()
        if held.failure is not None:
            raise held.failure.with_traceback(None)
        assert held.value is not None
        return held.value

    def peek(self) -> V | None:
        """The value if it is there; never fetches and never waits for a fetch."""
        with self._condition:
            held = self._cache.get("")
        return None if held is None else held.value

    def put(self, value: V, seconds: float) -> None:
        """Keep a value that was fetched by other means."""
        with self._condition:
            self._cache[""] = _Held(value, None, seconds)

    def drop(self, only: Callable[[V], bool] | None = None) -> None:
        """Forget the value, or only one that `only` picks out; a kept failure goes too."""
        with self._condition:
            held = self._cache.get("")
            if held is not None and (held.value is None or only is None or only(held.value)):
                self._cache.pop("", None)

    def _ask(self) -> _Held[V]:
        try:
            value, seconds = self._fetch()
        except self._failures as failure:
            return _Held(None, failure, FAILURE_SECONDS)
        return _Held(value, None, seconds)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Where tokens come from and who asks for them."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    names: str = "the client id and secret"  # what an operator has to check, e.g. names of settings
    token_encoding: TokenEncoding = "json"  # noqa: S105 - a format
    client_auth: ClientAuth = "body"


class TokenSource:
    """The current token of one client. Safe for many threads."""

    def __init__(
        self,
        client: Client,
        credentials: ClientCredentials,
        *,
        deadline_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._deadline_seconds = deadline_seconds
        self._kept: Kept[str] = Kept(self._fetch, TokenError, monotonic)

    def token(self) -> str:
        """A token that should still be good, fetched if need be. Raises TokenError."""
        return self._kept.get()

    def cached_token(self) -> str | None:
        """The token if one is at hand; never touches the network."""
        return self._kept.peek()

    def drop(self, token: str) -> None:
        """Forget this token, which was refused. A newer one stays."""
        self._kept.drop(lambda current: current == token)

    def forget(self) -> None:
        """Forget whatever is kept, also a failure."""
        self._kept.drop()

    def _fetch(self) -> tuple[str, float]:
        headers, body = _token_request(self._credentials)
        try:
            answer = self._client.request(
                "POST",
                self._credentials.token_url,
                headers=headers,
                body=body,
                deadline_seconds=self._deadline_seconds,
            )
        except HttpError as error:
            trouble: TokenTrouble = "wrong_host" if error.kind in {"bad_address", "bad_request"} else "not_reached"
            message = f"No access token could be fetched. {error}."
        else:
            return self._read(answer)
        raise TokenError(trouble, message)

    def _read(self, answer: Answer) -> tuple[str, float]:
        status = answer.status
        if status in {400, 401, 403}:
            message = f"The dialer refused client id and secret ({status}): check {self._credentials.names}."
            raise TokenError("refused", message, http_status=status)
        if status in {425, 429}:
            wait = retry_after_seconds(answer.headers.get("Retry-After"), datetime.now(UTC))
            message = f"The dialer gives out no more tokens for now ({status}): it asks to wait."
            raise TokenError("rate_limited", message, http_status=status, retry_after_seconds=wait)
        if status == 408 or status // 100 == 5:
            message = f"The dialer could not give out a token ({status}); it is asked again."
            raise TokenError("not_reached", message, http_status=status)
        fields = parse_body(answer.body, None, form="json") if status // 100 == 2 else None
        token = fields.get("access_token") if isinstance(fields, dict) else None
        if isinstance(fields, dict) and isinstance(token, str) and _is_sendable(token):
            return token, _usable_seconds(fields.get("expires_in"))
        if status // 100 == 2 and not answer.complete:
            raise TokenError("not_reached", "The answer with the token broke off; it is asked again.")
        what = "with no JSON" if isinstance(fields, BadBody) else "without a token"
        message = (
            f"This host does not speak this API: it answered {status} {what}, where a token was asked for. "
            "Check the address of the dialer."
        )
        raise TokenError("wrong_host", message, http_status=status)


def _token_request(credentials: ClientCredentials) -> tuple[dict[str, str], bytes]:
    headers = {"Accept": "application/json"}
    fields = {"grant_type": "client_credentials"}
    if credentials.client_auth == "basic":
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote(credentials.client_id, safe='')}:{quote(credentials.client_secret, safe='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        fields |= {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    if credentials.token_encoding == "form":  # noqa: S105 - a format
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return headers, urlencode(fields).encode()
    headers["Content-Type"] = "application/json"
    return headers, json.dumps(fields).encode()


def _is_sendable(token: str) -> bool:
    """Whether a header can carry it: visible ASCII, of a length that servers take."""
    return 0 < len(token) <= LONGEST_TOKEN and all("!" <= c <= "~" for c in token)


def _usable_seconds(expires_in: Tree) -> float:
    """For how long a token with this `expires_in` is used; see the module's docstring."""
    lifetime = math.nan
    if isinstance(expires_in, int | Decimal | str) and not isinstance(expires_in, bool):
        try:
            lifetime = float(expires_in)
        except (ValueError, OverflowError):
            lifetime = math.nan
    if not lifetime > 0:  # also not a number
        lifetime = DEFAULT_LIFETIME_SECONDS
    lifetime = min(lifetime, LONGEST_LIFETIME_SECONDS)
    return lifetime - min(EARLY_SECONDS, lifetime / 2)
