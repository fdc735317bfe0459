"""What exactly is signed: the parts of a request, joined in the order of the scheme.

Only received bytes go in. A timestamp is signed as the text that came, not as the number it stands for,
and a body as it was sent, never as it would be written again.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from urllib.parse import parse_qsl

from integration.signatures.wire import Refusal
from integration.signatures.words import Cause, SignedRequest

MAX_FORM_FIELDS = 1000


class Word(StrEnum):
    """The parts that come from the request; every other part is a literal text."""

    METHOD = "method"
    URL = "url"
    TIMESTAMP = "timestamp"
    ID = "id"
    BODY = "body"
    BODY_BASE64 = "body_base64"
    FORM_SORTED = "form_sorted"  # each name and value of a form body, in the order of the names
    SECRET = "secret"  # noqa: S105 - only for `hash`, whose secret stands in the message


COVERS_BODY = frozenset({Word.BODY, Word.BODY_BASE64, Word.FORM_SORTED})


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed text in the message, e.g. the dot between timestamp and body."""

    text: bytes


Part = Word | Literal


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of one request that stand in headers, as bytes."""

    timestamp: bytes | None = None
    id: bytes | None = None


def message(
    parts: tuple[Part, ...], request: SignedRequest, received: Received, url: bytes, secret: bytes = b""
) -> bytes:
    """The signed bytes. Raises Refusal when the request lacks one of the parts."""
    return b"".join([_part_bytes(part, request, received, url, secret) for part in parts])


def _part_bytes(part: Part, request: SignedRequest, received: Received, url: bytes, secret: bytes) -> bytes:
    match part:
        case Literal():
            return part.text
        case Word.BODY:
            return request.body
        case Word.TIMESTAMP:
            return received.timestamp or b""
        case Word.ID:
            return received.id or b""
        case Word.METHOD:
            return request.method.encode("latin-1")
        case Word.URL:
            return url
        case Word.BODY_BASE64:
            return base64.b64encode(request.body)
        case Word.FORM_SORTED:
            return _sorted_form(request.body)
        case Word.SECRET:
            return secret


def _sorted_form(body: bytes) -> bytes:
    pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict")
    return "".join(name + value for name, value in sorted(set(pairs))).encode("utf-8")


def urls(request: SignedRequest, escapes: tuple[str, ...]) -> list[bytes]:
    """The forms of the public URL that the sender may have signed.

    With `escapes`, the URL with exactly these escapes decoded comes first and the URL as received second:
    one CRM documents the decoding, and its own libraries do not do it.
    """
    if request.url is None:
        raise Refusal(Cause.NO_PUBLIC_URL)
    raw = request.url.encode("latin-1")
    plain = raw
    for escape in escapes:
        character = bytes.fromhex(escape[1:])
        plain = plain.replace(escape.upper().encode("ascii"), character)
        plain = plain.replace(escape.lower().encode("ascii"), character)
    return [raw] if plain is raw or escapes == () else list(dict.fromkeys([plain, raw]))


def check_id(parts: tuple[Part, ...], message_id: bytes) -> None:
    """Raises Refusal if the id contains the separator behind it: its end could then be moved unseen."""
    for part, following in pairwise(parts):
        if part is Word.ID and isinstance(following, Literal) and following.text in message_id:
            raise Refusal(Cause.BAD_ID)
