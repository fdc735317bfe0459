"""POST /hooks/<source>: read, verify, keep, answer. What is slow comes after the answer.

The body is read by this module and not by the framework, whose own reading lets truncated bodies through.
The signature covers exactly those bytes. A 2xx says that they are on disk. A GET is answered only where a
CRM asks in this way whether the address is the right one.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from flask import Blueprint, Request, Response, g, request

from integration.ledger import NewEvent, Receipt
from integration.ledger.intake import body_digest
from integration.log import get_log
from integration.model import DeliveryState, Reason, Tree
from integration.payload import BadBody
from integration.rules import Event, Ignored, Rules, Source, Unusable, read_events, read_message, read_opt_out
from integration.signatures import Refused, SignedRequest, likely_cause, verify
from integration.web.answers import taken
from integration.web.app import WebServices, refusal
from integration.web.handshakes import answer_get, answer_post, echo

BODY_LIMIT = 1024 * 1024
_SOURCE_NAME_LIMIT = 100


def blueprint(services: WebServices) -> Blueprint:
    """The webhook door."""
    hooks = Blueprint("hooks", __name__)
    refused = _Seldom()
    burst = services.rules.limits.burst
    held = _Seldom(10.0 if burst is None else float(burst.within_seconds))

    @hooks.get("/hooks/<source_name>", provide_automatic_options=False)
    def ask(source_name: str) -> Response:
        source = _source(services, source_name)
        query = _target(request).partition("?")[2]
        answer = answer_get(source.handshake, query) if source is not None and request.method == "GET" else None
        return refusal(405) if answer is None else answer

    @hooks.post("/hooks/<source_name>", provide_automatic_options=False)
    def receive(source_name: str) -> Response:
        received_at_ms = time.time_ns() // 1_000_000
        source = _source(services, source_name)
        if source is None:
            return refusal(404)
        g.trouble_status = source.answers.trouble
        body = _read_body(request)
        if isinstance(body, int):
            return refusal(body)
        echoed = None if source.handshake is None else request.headers.get(source.handshake.header)
        handshake = answer_post(source.handshake, body, echoed)
        if handshake is not None:
            return handshake
        url = None if services.public_url is None else services.public_url + _target(request)
        query = _target(request).partition("?")[2]
        signed = SignedRequest(request.method, url, tuple(request.headers.items()), query, body)
        verdict = verify(source.scheme, signed, datetime.now(UTC))
        if isinstance(verdict, Refused):
            if refused.may_say(source.name, is_ours=verdict.cause.is_ours):
                _log_refusal(source, signed, verdict)
            return refusal(source.answers.trouble if verdict.cause.is_ours else 401)
        receipt = _keep(services, source, body, received_at_ms)
        if receipt.held and held.may_say(source.name, is_ours=False):
            _log_burst(services, source)
        response = taken(source, receipt)
        echo(source.handshake, response, echoed)
        return response

    return hooks


def _source(services: WebServices, name: str) -> Source | None:
    """The source of this address, which has one spelling only, also where others are routed alike."""
    source = services.rules.sources.get(name) if len(name) <= _SOURCE_NAME_LIMIT else None
    return source if source is not None and _target(request).partition("?")[0] == source.path else None


def _read_body(incoming: Request) -> bytes | int:
    """The exact bytes, or the status to refuse with."""
    if incoming.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return 415
    length = incoming.content_length
    if length is not None and length > BODY_LIMIT:
        return 413
    try:
        raw = incoming.stream.read(BODY_LIMIT + 1)
    except Exception:  # noqa: BLE001 - hostile bytes: a bad chunk, a client that went away
        return 400
    if len(raw) > BODY_LIMIT:
        return 413
    if length is not None and len(raw) != length:
        return 400
    return raw


def _target(incoming: Request) -> str:
    """Path and query exactly as they came, which is what a signature of the address covers."""
    given = incoming.environ.get("REQUEST_URI")
    if isinstance(given, str):
        return given
    query = incoming.environ.get("QUERY_STRING", "")
    return incoming.path + (f"?{query}" if query else "")


def _log_refusal(source: Source, signed: SignedRequest, verdict: Refused) -> None:
    """Tell the admin why, as far as it can be guessed; the sender is told nothing of it."""
    likely = likely_cause(source.scheme, signed, datetime.now(UTC))
    say = get_log().error if verdict.cause.is_ours else get_log().warning
    say(
        "webhook.refused",
        source=source.name,
        cause=str(verdict.cause),
        likely=str(likely.suspect),
        detail=likely.message,
    )


def _keep(services: WebServices, source: Source, body: bytes, received_at_ms: int) -> Receipt:
    """Commit the delivery and what it holds; then, and only then, wake who works on it."""
    content_type = request.content_type
    events, note = _new_events(services.rules, source, body, content_type)
    receipt = services.ledger.intake.receive(
        source=source.name,
        body=body,
        content_type=content_type,
        received_at_ms=received_at_ms,
        events=events,
        note=note,
        burst=services.rules.limits.burst,
    )
    for lead in receipt.work:
        services.wake(lead)
    _log_receipt(source, receipt, note, received_at_ms)
    return receipt


def _new_events(rules: Rules, source: Source, body: bytes, content_type: str | None) -> tuple[list[NewEvent], str]:
    """What the body holds for us, or why there is nothing."""
    digest_key = f"sha256:{body_digest(body)}"
    tree = read_message(source, body, content_type)
    if isinstance(tree, BadBody):
        return [NewEvent(digest_key, parked=(tree.reason, tree.detail))], ""
    match read_events(source, tree):
        case Ignored(why):
            return [], why
        case Unusable(reason, detail):
            return [NewEvent(digest_key, parked=(reason, detail))], ""
        case events:
            return [_new_event(rules, source, tree, event, event.key or digest_key) for event in events], ""


def _new_event(rules: Rules, source: Source, tree: Tree, event: Event, key: str) -> NewEvent:
    if not event.opts_out:
        return NewEvent(key, item=event.item)
    found = read_opt_out(rules, source, tree, event.item)
    problem = (Reason.OPT_OUT_UNREAD, found.problem) if found.problem else None
    return NewEvent(key, problem, event.item, found.numbers)


def _log_burst(services: WebServices, source: Source) -> None:
    """One line for a whole burst, and one more each time that it has lasted as long again."""
    burst = services.rules.limits.burst
    assert burst is not None
    get_log().error(
        "burst.held",
        source=source.name,
        detail=f"more than {burst.more_than} new leads within {burst.within_seconds / 60:g} minutes: those beyond are "
        f"held until a person has looked; `ringback resume burst:{source.name}` lists them",
    )


def _log_receipt(source: Source, receipt: Receipt, note: str, received_at_ms: int) -> None:
    if receipt.opted_out:
        get_log().info(
            "delivery.opted_out", source=source.name, delivery=receipt.delivery_id, numbers=receipt.opted_out
        )
    for lead_id in receipt.created:
        if lead_id in receipt.held:
            continue
        event = "lead.parked" if lead_id in receipt.parked else "lead.received"
        took_ms = time.time_ns() // 1_000_000 - received_at_ms
        get_log().info(event, lead=lead_id, source=source.name, delivery=receipt.delivery_id, stored_after_ms=took_ms)
    for lead_id in receipt.repeated:
        get_log().info("lead.duplicate", lead=lead_id, source=source.name, delivery=receipt.delivery_id)
    if receipt.state is DeliveryState.IGNORED:
        get_log().info("delivery.ignored", source=source.name, delivery=receipt.delivery_id, why=note)


class _Seldom:
    """Lets a source complain in the log at most once in 10 s: a stranger cannot fill the disk with lines.

    What is wrong with our own settings has its own turn, so that strangers cannot hide it.
    """

    def __init__(self, every_seconds: float = 10.0) -> None:
        self._every = every_seconds
        self._said: dict[tuple[str, bool], float] = {}
        self._lock = threading.Lock()

    def may_say(self, name: str, *, is_ours: bool) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._said.get((name, is_ours), float("-inf")) < self._every:
                return False
            self._said[name, is_ours] = now
            return True
