"""From a result to the request that tells the CRM, as a value. Nothing is sent here, and nothing raises.

Names and notes of strangers go into the address, headers and body of a request, so each value is
escaped for its place and the outcome is looked at again: a lead's id may be `..`, and HTTP libraries
resolve that into another path without a word.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import SplitResult, quote, urlsplit

from integration.model import Tree
from integration.payload import usable_text
from integration.rules.addresses import HOLE, host_is_open, is_dots, shape_of
from integration.rules.placeholders import (
    JsonList,
    JsonLiteral,
    JsonObject,
    JsonTemplate,
    JsonText,
    Placeholder,
    Template,
    WritebackFacts,
    value_of,
    whole,
)
from integration.rules.shapes import WriteBack

MAX_URL_CHARS = 4_000
MAX_HEADER_CHARS = 4_000
MAX_BODY_BYTES = 256_000
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """A request ready to be sent as it is: the address is escaped, header values are ASCII."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    listed_hosts: frozenset[str] | None = field(
        default=None, repr=False
    )  # `allow_hosts:` without ports, where data chose the host


@dataclass(frozen=True, slots=True)
class BadWriteback:
    """The request cannot be made for this lead: park it. `detail` says why, without the lead's data."""

    detail: str


class _BadError(Exception):
    """Leaves the rendering from within; goes no further than `render_writeback`."""


def render_writeback(wb: WriteBack, facts: WritebackFacts) -> RenderedRequest | BadWriteback:
    """The request for one lead, or why there can be none. Never raises."""
    try:
        url = _address(wb, facts)
        body = None if wb.json is None else _body(wb.json, facts)
        headers = {name: _header(name, template, facts) for name, template in wb.headers}
        if wb.sign_keys:
            headers |= _signature(wb.sign_keys, facts, body or b"")
    except _BadError as error:
        return BadWriteback(str(error))
    return RenderedRequest(wb.method, url, headers, body, _listed_hosts(wb))


def _text(placeholder: Placeholder, facts: WritebackFacts) -> str:
    """The value as text; empty when there is none."""
    value = value_of(placeholder, facts)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list) and value:
        raise _BadError(f"{placeholder} is a list or an object, which is no text; choose a path to one value")
    return usable_text(value) or ""


# ---- the address ------------------------------------------------------------------------------


def _address(wb: WriteBack, facts: WritebackFacts) -> str:
    template = wb.address
    first = template[0]
    if isinstance(first, Placeholder):
        base = _given_address(_text(first, facts), first, wb.allow_hosts)
        url = _joined(base, "".join(_escaped(part, facts) for part in template[1:]))
    else:
        url = "".join(_escaped(part, facts) for part in template)
        if host_is_open(template):
            url = _given_address(url, None, wb.allow_hosts)
    if len(url) > MAX_URL_CHARS:
        raise _BadError(f"the address has more than {MAX_URL_CHARS:,} characters; take a placeholder out of it")
    _check_segments(shape_of(template), url)
    return url


def _escaped(part: str | Placeholder, facts: WritebackFacts) -> str:
    """A literal as it stands; a value so that it stays within its path segment or query value."""
    return part if isinstance(part, str) else quote(_text(part, facts).encode("utf-8", "replace"), safe="")


def _joined(base: str, rest: str) -> str:
    if "?" in base and rest:
        raise _BadError("the address from the message has a query already; nothing can be added to it")
    return base.rstrip("/") + rest if rest.startswith("/") else base + rest


def _check_segments(shape: str, url: str) -> None:
    """Refuses an address whose path an HTTP library would resolve into another one."""
    wanted, made = _segments(shape), _segments(url)
    for segment in made:
        if is_dots(segment):
            raise _BadError("a part of the path would be `.` or `..`, which is another address; correct the id")
    if shape.startswith(HOLE):
        made = made[-len(wanted) :] if wanted else []
        wanted = wanted[-len(made) :] if made else []
    for hole, segment in zip(wanted, made, strict=False):
        if HOLE in hole and not segment:
            raise _BadError("a part of the path would be empty, which is another address; the lead has no such value")


def _segments(url: str) -> list[str]:
    """The parts of the path between slashes."""
    rest = url.partition("://")[2] or url
    return rest.partition("?")[0].split("/")[1:]


def _given_address(text: str, placeholder: Placeholder | None, allowed: frozenset[str]) -> str:
    """An address whose host data chose, rebuilt from its checked parts."""
    what = "the address" if placeholder is None else f"{placeholder}"
    if not text or not text.isascii() or not text.isprintable() or any(char in ' \\"<>^`{|}' for char in text):
        raise _BadError(f"{what} is no address that can be called")
    try:
        split = urlsplit(text)
        port = split.port
    except ValueError:
        raise _BadError(f"{what} is no address that can be called") from None
    if split.scheme != "https" or split.fragment or "@" in split.netloc or not split.hostname:
        raise _BadError(f"{what} is no plain https:// address")
    host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    named = host if port in (None, HTTPS_PORT) else f"{host}:{port}"
    if named not in allowed:
        raise _BadError(f"{what} leads to a host that `allow_hosts:` does not list")
    return SplitResult("https", named, split.path, split.query, "").geturl()


def _listed_hosts(wb: WriteBack) -> frozenset[str] | None:
    """What whoever sends the request needs to know of a host that data chose: names say nothing of addresses."""
    if not host_is_open(wb.address):
        return None
    return frozenset(urlsplit(f"//{host}").hostname or "" for host in wb.allow_hosts)


# ---- headers ----------------------------------------------------------------------------------


def _header(name: str, template: Template, facts: WritebackFacts) -> str:
    """The value with everything that is not ASCII percent-encoded as UTF-8."""
    value = ""
    for part in template:
        if isinstance(part, str):
            value += part
            continue
        text = _text(part, facts)
        if any(ord(char) < ord(" ") or char == "\x7f" for char in text):
            raise _BadError(f"header {name} would hold a line break or control character of {part}")
        value += "".join(char if char.isascii() else quote(char.encode("utf-8", "replace")) for char in text)
    if len(value) > MAX_HEADER_CHARS:
        raise _BadError(f"header {name} has more than {MAX_HEADER_CHARS:,} characters")
    return value.strip()


def _signature(keys: tuple[bytes, ...], facts: WritebackFacts, body: bytes) -> dict[str, str]:
    """Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`, one signature for each key."""
    if not facts.message_id or facts.now is None:
        raise _BadError("a signed write-back needs a message id and the time")
    stamp = str(int(facts.now.timestamp()))
    message = f"{facts.message_id}.{stamp}.".encode() + body
    made = [base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode("ascii") for key in keys]
    return {
        "webhook-id": facts.message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in made),
    }


# ---- the body ---------------------------------------------------------------------------------


def _body(template: JsonTemplate, facts: WritebackFacts) -> bytes:
    body = _json(template, facts).encode("ascii")
    if len(body) > MAX_BODY_BYTES:
        raise _BadError(f"the body has more than {MAX_BODY_BYTES:,} bytes; take a placeholder out of it")
    return body


def _json(template: JsonTemplate, facts: WritebackFacts) -> str:
    match template:
        case JsonLiteral(value):
            return _json_value(value)
        case JsonList(items):
            return "[" + ", ".join(_json(item, facts) for item in items) + "]"
        case JsonObject(entries):
            return "{" + ", ".join(f"{json.dumps(key)}: {_json(value, facts)}" for key, value in entries) + "}"
        case JsonText(parts):
            alone = whole(parts)
            if alone is not None:
                return _json_value(value_of(alone, facts))
            return json.dumps("".join(part if isinstance(part, str) else _text(part, facts) for part in parts))


def _json_value(value: Tree) -> str:
    """A value as JSON, numbers with the digits they came with, everything beyond ASCII escaped."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, int | Decimal):
        text = usable_text(value)
        if text is None:
            raise _BadError("a number of the lead is too large to be sent")
        return format(value, "f") if isinstance(value, Decimal) else text
    if isinstance(value, list):
        return "[" + ", ".join(_json_value(item) for item in value) + "]"
    return "{" + ", ".join(f"{json.dumps(key)}: {_json_value(item)}" for key, item in value.items()) + "}"
