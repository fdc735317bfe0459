"""A contact centre that speaks the Personal Connection API to the letter, and rings nobody.

The contract is that of the tutorial "Triggering NICE CXone Personal Connection Calls via the API":
token, list, call; 400 for a number that is not E.164 or a body that is not as asked, 401 for a token
that is unknown or expired, 403 for a missing scope, 404 for an account that is unknown or inactive.
Beyond it, this one can be told to misbehave in every way known (`faults`), and it keeps the journal
of what it was asked.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from integration.sandbox.faults import BEFORE_READING, BREAKS, Behaviour, Scene, changed_reply, error_reply
from integration.sandbox.journal import Journal, Seen
from integration.sandbox.wire import Reply, Request, Wire, WireServer

API = "/api/v2/contactcenter/personalconnections"
TOKEN = "/api/v2/oauth/token"  # noqa: S105 - a path
READ, WRITE = "personalconnection:read", "personalconnection:write"
ALL_SCOPES = frozenset({"contactcenter", READ, WRITE})
_CALLS = re.compile(re.escape(API) + r"/([^/]+)/calls")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class SandboxAccount:
    id: str
    name: str
    number: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class SandboxClient:
    """An OAuth client: its secret and what it may do."""

    secret: str
    scopes: frozenset[str] = ALL_SCOPES


ACCOUNTS = (
    SandboxAccount("acc-east", "US East", "+15551230100"),
    SandboxAccount("acc-dach", "Vertrieb DACH", "+4930901820"),
    SandboxAccount("acc-closed", "Closed office", "+15551230199", active=False),
)
CLIENTS: Mapping[str, SandboxClient] = {
    "sandbox-client": SandboxClient("sandbox-secret"),
    "sandbox-read-only": SandboxClient("sandbox-secret", frozenset({"contactcenter", READ})),
    "sandbox-write-only": SandboxClient("sandbox-secret", frozenset({"contactcenter", WRITE})),
}


class ContactCentre:
    """`with ContactCentre() as cc:` serves on `cc.url` until the block ends."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        latency_ms: float = 0,
        token_seconds: float = 3600,
        accounts: Sequence[SandboxAccount] = ACCOUNTS,
        clients: Mapping[str, SandboxClient] = CLIENTS,
    ) -> None:
        self.latency_ms = latency_ms
        self.token_seconds = token_seconds
        self._accounts = {account.id: account for account in accounts}
        self._clients = dict(clients)
        self._tokens: dict[str, tuple[str, float]] = {}  # token -> client id, monotonic end
        self._tokens_lock = threading.Lock()
        self._tls = tls
        self.journal = Journal("call")
        self._server = WireServer(self._serve, host=host, port=port, tls=tls, greet=self._greet)
        self.url = f"{'https' if tls else 'http'}://{host}:{self._server.port}"

    # ---- for tests in the same process ----

    def start(self) -> Self:
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def requests(self) -> list[Seen]:
        """Every request so far, in the order of arrival."""
        return self.journal.all()

    def calls(self) -> list[Seen]:
        """Every request to ring somebody, whatever came of it."""
        return self.journal.all(lambda seen: seen.kind == "call")

    def calls_to(self, number: str) -> list[Seen]:
        """Every request to ring this number, whatever came of it."""
        return self.journal.all(lambda seen: seen.kind == "call" and seen.to == number)

    def behave(self, behaviour: str, to: str | None = None, times: int | None = None, on: str = "call") -> None:
        """Misbehave towards calls (`on`: call, token or list); see `Journal.behave` and `faults`."""
        self.journal.behave(behaviour, to=to, times=times, on=on)

    def reset(self) -> None:
        """Forget all requests and orders. Tokens stay good."""
        self.journal.reset()

    def revoke_tokens(self) -> None:
        """Every token given out so far is refused from now on."""
        with self._tokens_lock:
            self._tokens.clear()

    # ---- one connection ----

    def _greet(self, wire: Wire) -> None:
        """What happens before a byte is read. With TLS nobody can tell yet what the request will be."""
        if not self.journal.expects(BEFORE_READING):
            return
        if self._tls is None and not _is_call(wire.peek()):
            return
        behaviour = self.journal.choose("call", None, among=BEFORE_READING)
        if behaviour.name == "reset_before":
            wire.reset()
        elif behaviour.name == "slow_accept":
            self._server.stopping.wait(behaviour.milliseconds / 1000)

    def _serve(self, wire: Wire) -> None:
        while not self._server.stopping.is_set() and wire.wait():
            seen = self.journal.arrive(wire.number)
            request = wire.read_request()
            if request.path.startswith("/_sandbox/"):
                seen.control = True
                reply, broken = self.journal.control(request), None
            else:
                reply, broken = self._answer(request, seen)
            if broken is not None:
                BREAKS[broken.name](Scene(wire, reply, broken, self._server.stopping))
                return
            close = request.headers.get("connection", "").lower() == "close"
            seen.answered = reply.status
            wire.send(reply.as_bytes(close=close))
            if close:
                return

    def _answer(self, request: Request, seen: Seen) -> tuple[Reply, Behaviour | None]:
        """The reply, and the behaviour that breaks it or None."""
        seen.method, seen.path = request.method, request.path
        seen.body = request.body[:2000].decode("utf-8", "replace")
        normal = self._normal(request, seen)
        behaviour = self.journal.choose(seen.kind, seen.to)
        seen.behaviour = behaviour.name
        if seen.rang and not behaviour.rings:
            seen.rang, seen.call_id = False, None
        if seen.kind == "call" and self.latency_ms:
            self._server.stopping.wait(self.latency_ms / 1000)
        if behaviour.name in BREAKS:
            return normal, behaviour
        if behaviour.name == "slow":
            self._server.stopping.wait(behaviour.milliseconds / 1000)
        if behaviour.name == "expire_token":
            with self._tokens_lock:
                self._tokens.pop(_bearer(request), None)
        return changed_reply(behaviour, normal), None

    # ---- the contract ----

    def _normal(self, request: Request, seen: Seen) -> Reply:
        call = _CALLS.fullmatch(request.path)
        if request.path == TOKEN:
            seen.kind = "token"
            seen.body = ""  # it holds the secret
            return self._token(request) if request.method == "POST" else _not_allowed()
        if request.path == API:
            seen.kind = "list"
            return self._list(request) if request.method == "GET" else _not_allowed()
        if call is not None:
            if request.method != "POST":
                return _not_allowed()
            seen.kind = "call"
            seen.account = unquote(call.group(1))
            return self._call(request, seen)
        return error_reply(404, "not.found", "No such resource.")

    def _token(self, request: Request) -> Reply:
        fields = _token_fields(request)
        if fields is None:
            return Reply(400, {"error": "invalid_request", "error_description": "The body cannot be read."})
        if fields.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type"})
        client = self._clients.get(str(fields.get("client_id")))
        secret = str(fields.get("client_secret")).encode()
        if client is None or not secrets.compare_digest(client.secret.encode(), secret):
            return Reply(401, {"error": "invalid_client", "error_description": "Unknown client or secret."})
        token = secrets.token_urlsafe(32)
        with self._tokens_lock:
            self._tokens[token] = (str(fields["client_id"]), time.monotonic() + self.token_seconds)
        body = {"access_token": token, "token_type": "bearer", "expires_in": int(self.token_seconds)}
        return Reply(200, body, {"Cache-Control": "no-store"})

    def _refusal(self, request: Request, scope: str) -> Reply | None:
        """401 or 403, if this request may not do what it asks."""
        client_id, end = self._tokens.get(_bearer(request), ("", 0.0))
        client = self._clients.get(client_id)
        if client is None or time.monotonic() >= end:
            return error_reply(401, "bad.credentials", "The access token is missing, invalid or expired.")
        if scope not in client.scopes:
            return error_reply(403, "missing.scope", f"The client lacks the scope {scope}.")
        return None

    def _list(self, request: Request) -> Reply:
        rows = [{"id": a.id, "name": a.name, "phoneNumber": a.number} for a in self._accounts.values()]
        return self._refusal(request, READ) or Reply(200, rows)

    def _call(self, request: Request, seen: Seen) -> Reply:
        try:
            asked = request.json()
        except ValueError:
            asked = None
        if isinstance(asked, dict) and isinstance(asked.get("to"), str):
            seen.to = asked["to"]
        refusal = self._refusal(request, WRITE)
        if refusal is not None:
            return refusal
        account = self._accounts.get(seen.account or "")
        if account is None or not account.active:
            return error_reply(404, "not.found", "The personal connection account does not exist.")
        if not isinstance(asked, dict):
            return error_reply(400, "bad.request", "The body is not a JSON object.")
        if seen.to is None:
            return error_reply(400, "bad.request", "The field 'to' is required.")
        caller = asked.get("from", account.number)
        for name, number in (("to", seen.to), ("from", caller)):
            if not isinstance(number, str) or not _E164.fullmatch(number):
                return error_reply(400, "bad.request", f"The field '{name}' is not an E.164 number.")
        return self._ring(seen, account, caller)

    def _ring(self, seen: Seen, account: SandboxAccount, caller: str) -> Reply:
        seen.rang = True
        seen.call_id = str(uuid.uuid4())
        created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Reply(
            200,
            {
                "id": seen.call_id,
                "personalConnectionAccountId": account.id,
                "to": seen.to,
                "from": caller,
                "status": "initiated",
                "createdTime": created,
            },
        )


def _is_call(first_bytes: bytes) -> bool:
    line = first_bytes.partition(b"\r\n")[0]
    return line.startswith(b"POST ") and b"/calls " in line


def _not_allowed() -> Reply:
    return error_reply(405, "method.not.allowed", "This resource does not take this method.")


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _token_fields(request: Request) -> dict[str, Any] | None:
    """The fields of a token request: JSON or form, client and secret in the body or as HTTP Basic."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields: Any = {k: v[0] for k, v in parse_qs(request.body.decode("latin-1")).items()}
    else:
        try:
            fields = request.json()
        except ValueError:
            return None
    if not isinstance(fields, dict):
        return None
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        fields |= {"client_id": unquote(client_id), "client_secret": unquote(secret)}
    return fields
