"""POST /hooks/<source>: read, verify, keep, answer. What is slow comes after the answer.

The body is read by this module and not by the framework, whose own reading lets truncated bodies through.
The signature covers exactly those bytes. A 2xx says that they are on disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Blueprint, Request, Response, jsonify, request

from integration.ledger import NewEvent, Receipt
from integration.ledger.intake import body_digest
from integration.log import get_log
from integration.model import DeliveryState
from integration.payload import BadBody, parse_body
from integration.rules import Ignored, Source, read_event
from integration.signatures import Refused, SignedRequest, verify
from integration.web.app import WebServices, refusal

BODY_LIMIT = 1024 * 1024
_SOURCE_NAME_LIMIT = 100


def blueprint(services: WebServices) -> Blueprint:
    """The webhook door."""
    hooks = Blueprint("hooks", __name__)
    refused = _Seldom()

    @hooks.post("/hooks/<source_name>", provide_automatic_options=False)
    def receive(source_name: str) -> Response:
        received_at_ms = time.time_ns() // 1_000_000
        source = services.rules.sources.get(source_name) if len(source_name) <= _SOURCE_NAME_LIMIT else None
        path, _, query = _target(request).partition("?")
        if source is None or path != f"/hooks/{source_name}":  # one spelling only, also for what routes alike
            return refusal(404)
        body = _read_body(request)
        if isinstance(body, int):
            return refusal(body)
        url = None if services.public_url is None else services.public_url + _target(request)
        signed = SignedRequest(request.method, url, tuple(request.headers.items()), query, body)
        verdict = verify(source.scheme, signed, datetime.now(UTC))
        if isinstance(verdict, Refused):
            if refused.may_say(source.name):
                get_log().warning("webhook.refused", source=source.name, cause=str(verdict.cause))
            return refusal(503 if verdict.cause.is_ours else 401)
        receipt = _keep(services, source, body, received_at_ms)
        return _answer(source, receipt)

    return hooks


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


def _keep(services: WebServices, source: Source, body: bytes, received_at_ms: int) -> Receipt:
    """Commit the delivery and what it holds; then, and only then, wake who works on it."""
    digest_key = f"sha256:{body_digest(body)}"
    content_type = request.content_type
    tree = parse_body(body, content_type)
    note = ""
    events: list[NewEvent] = []
    if isinstance(tree, BadBody):
        events.append(NewEvent(digest_key, parked=(tree.reason, tree.detail)))
    else:
        event = read_event(source, tree)
        if isinstance(event, Ignored):
            note = event.why
        else:
            events.append(NewEvent(event.key or digest_key))
    receipt = services.ledger.intake.receive(
        source=source.name,
        body=body,
        content_type=content_type,
        received_at_ms=received_at_ms,
        events=events,
        note=note,
    )
    _log_receipt(source, receipt, note, received_at_ms)
    for lead_id in receipt.created:
        if lead_id not in receipt.parked:
            services.wake(lead_id)
    return receipt


def _log_receipt(source: Source, receipt: Receipt, note: str, received_at_ms: int) -> None:
    for lead_id in receipt.created:
        event = "lead.parked" if lead_id in receipt.parked else "lead.received"
        took_ms = time.time_ns() // 1_000_000 - received_at_ms
        get_log().info(event, lead=lead_id, source=source.name, delivery=receipt.delivery_id, stored_after_ms=took_ms)
    for lead_id in receipt.repeated:
        get_log().info("lead.duplicate", lead=lead_id, source=source.name, delivery=receipt.delivery_id)
    if receipt.state is DeliveryState.IGNORED:
        get_log().info("delivery.ignored", source=source.name, delivery=receipt.delivery_id, why=note)


def _answer(source: Source, receipt: Receipt) -> Response:
    status = "parked" if receipt.parked else _WORDS[receipt.state]
    leads = [*receipt.created, *receipt.repeated]
    response = jsonify(status=status, lead=leads[0] if leads else None)
    response.status_code = source.answers.taken
    return response


_WORDS: Mapping[DeliveryState, str] = {
    DeliveryState.STORED: "accepted",
    DeliveryState.DUPLICATE: "duplicate",
    DeliveryState.IGNORED: "ignored",
}


class _Seldom:
    """Lets a source complain in the log at most once in 10 s: a stranger cannot fill the disk with lines."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self._every = every_seconds
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def may_say(self, name: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._said.get(name, float("-inf")) < self._every:
                return False
            self._said[name] = now
            return True
