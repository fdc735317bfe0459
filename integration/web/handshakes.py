"""What a CRM asks before its first message: whether the address expects it. Nothing is kept of it.

The answer repeats a value of a stranger before any signature has been looked at. So it is short, it has no
character that a browser, a shell or a header could read as more than text, and it is answered only where the
request is nothing but the question.

Meta (developers.facebook.com, webhooks getting started), monday (developer.monday.com, webhooks) and Keap
(developer.infusionsoft.com, REST hooks), read in November 2026.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from urllib.parse import unquote_plus

from flask import Response

from integration.payload import parse_body
from integration.rules import Handshake, HandshakeKind
from integration.web.app import refusal

_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}")
_LARGEST_QUESTION = 1024  # bytes of a body that is nothing but a question
_MOST_FIELDS = 20


def answer_get(handshake: Handshake | None, query: str) -> Response | None:
    """The answer to a GET, None when it is no question that this source answers."""
    if handshake is None or handshake.kind is not HandshakeKind.GET_CHALLENGE:
        return None
    fields = _fields(query)
    if "hub.mode" not in fields:
        return None
    given = fields.get("hub.verify_token", "").encode("utf-8", "replace")
    challenge = fields.get("hub.challenge", "")
    is_right = _same(given, handshake.token) and fields["hub.mode"] == "subscribe"
    if not is_right or not _VALUE.fullmatch(challenge):
        return refusal(403)
    return Response(challenge, 200, content_type="text/plain; charset=utf-8")


def answer_post(handshake: Handshake | None, body: bytes, header: str | None) -> Response | None:
    """The answer to a POST that is nothing but the question; None when it is none. `header` is the one to echo."""
    if handshake is None or len(body) > _LARGEST_QUESTION:
        return None
    match handshake.kind:
        case HandshakeKind.POST_CHALLENGE:
            return _challenge(body)
        case HandshakeKind.ECHO_HEADER if body.strip() in (b"", b"{}"):
            response = Response(b"{}\n", 200, content_type="application/json")
            return response if echo(handshake, response, header) else None
    return None


def echo(handshake: Handshake | None, response: Response, header: str | None) -> bool:
    """Put the CRM's header into an answer, where the handshake asks for that. Whether it stands there now."""
    if handshake is None or handshake.kind is not HandshakeKind.ECHO_HEADER or header is None:
        return False
    if not _VALUE.fullmatch(header):
        return False
    response.headers[handshake.header] = header
    return True


def _challenge(body: bytes) -> Response | None:
    tree = parse_body(body, "application/json", form="json")
    if not isinstance(tree, dict) or set(tree) != {"challenge"}:
        return None
    challenge = tree["challenge"]
    if not isinstance(challenge, str) or not _VALUE.fullmatch(challenge):
        return None
    return Response(json.dumps({"challenge": challenge}), 200, content_type="application/json")


def _fields(query: str) -> dict[str, str]:
    """The query's fields; none at all when one comes twice, because two readers could see different ones."""
    found: dict[str, str] = {}
    for pair in query.split("&")[:_MOST_FIELDS]:
        name, _, value = pair.partition("=")
        name = unquote_plus(name)
        if name in found:
            return {}
        found[name] = unquote_plus(value)
    return found


def _same(given: bytes, token: bytes) -> bool:
    """Hashed first, so that the time tells nothing of the token's length. Without a token nothing is the same."""
    hashes = [hashlib.sha256(one).digest() for one in (given, token)]
    return hmac.compare_digest(*hashes) and bool(token)
