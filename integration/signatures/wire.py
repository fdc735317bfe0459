"""How a signature, a timestamp and an id stand in the headers, and how they are read without trusting them.

Hostile text is handled as bytes: `hmac.compare_digest` raises TypeError for text that is not ASCII, and
`str.split` knows more blanks than HTTP does. Every function here refuses by raising `Refusal`, which
`verify` turns into a value.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from enum import StrEnum

from integration.signatures.words import Cause, SignedRequest

MAX_HEADER_BYTES = 8192
MAX_SIGNATURES = 10
_MAX_ELEMENTS = 100

_DIGITS = re.compile(rb"[0-9]{1,13}")
_ISO = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_HEX = re.compile(rb"([0-9A-Fa-f]{2})+")


class Form(StrEnum):
    """How signatures stand in their header."""

    PLAIN = "plain"  # one signature behind the prefix
    PAIRS = "pairs"  # t=1700000000,v1=SIGNATURE,v1=SIGNATURE
    LIST = "list"  # v1,SIGNATURE v1,SIGNATURE
    WRAPPED = "wrapped"  # base64 of ID:SIGNATURE


class Encoding(StrEnum):
    """How the bytes of a signature are written."""

    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"
    RAW = "raw"  # only inside the wrapped form


class Unit(StrEnum):
    """How a timestamp is written. It is part of the scheme and never guessed."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    ISO = "iso"  # 2026-01-01T00:00:00Z


class Refusal(Exception):
    """A verdict that ends the reading."""

    def __init__(self, cause: Cause, age_seconds: float | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.age_seconds = age_seconds


def header_value(request: SignedRequest, lower_name: str, missing: Cause) -> bytes:
    """The one value of a header without outer blanks. Raises Refusal if it is not there once.

    A WSGI server joins repeated headers with a comma before we see them; no encoding and no timestamp
    contains a comma, so a joined value fails where it is decoded.
    """
    found = [value for name, value in request.headers if name.lower() == lower_name]
    if not found:
        raise Refusal(missing)
    if len(found) > 1:
        raise Refusal(Cause.REPEATED_HEADER)
    if len(found[0]) > MAX_HEADER_BYTES:
        raise Refusal(Cause.MALFORMED)
    try:
        value = found[0].encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raise Refusal(Cause.MALFORMED) from None
    if not value:
        raise Refusal(missing)
    return value


def decoded(text: bytes, encoding: Encoding) -> bytes | None:
    """The bytes of one signature, or None if it is not written strictly in this encoding.

    Hex is read without case. Base64 must be canonical: its own alphabet, exact padding, no stray bits.
    """
    match encoding:
        case Encoding.RAW:
            return text
        case Encoding.HEX:
            return bytes.fromhex(text.decode("ascii")) if _HEX.fullmatch(text) else None
        case Encoding.BASE64:
            return strict_base64(text)
        case Encoding.BASE64URL:
            if b"+" in text or b"/" in text:
                return None
            return strict_base64(text.replace(b"-", b"+").replace(b"_", b"/"))


def encoded(signature: bytes, encoding: Encoding) -> bytes:
    """The signature as it is written in a header."""
    match encoding:
        case Encoding.RAW:
            return signature
        case Encoding.HEX:
            return signature.hex().encode("ascii")
        case Encoding.BASE64:
            return base64.b64encode(signature)
        case Encoding.BASE64URL:
            return base64.urlsafe_b64encode(signature)


def strict_base64(text: bytes) -> bytes | None:
    """The bytes behind canonical base64, or None."""
    try:
        plain = binascii.a2b_base64(text)
    except binascii.Error:
        return None
    # The decoder skips foreign characters and surplus padding; only canonical text comes back the same.
    return plain if binascii.b2a_base64(plain, newline=False) == text and text else None


def unpadded_base64url(text: bytes) -> bytes | None:
    """The bytes behind canonical URL-safe base64 without padding, or None."""
    return None if b"=" in text else decoded(text + b"=" * (-len(text) % 4), Encoding.BASE64URL)


def plain_signatures(value: bytes, prefix: bytes) -> list[bytes]:
    """The one signature behind its prefix."""
    if not value.startswith(prefix):
        raise Refusal(Cause.MALFORMED)
    return [value[len(prefix) :]]


def list_signatures(value: bytes, prefix: bytes) -> list[bytes]:
    """The signatures of a list with blanks between; elements without the prefix are skipped."""
    return _capped([element[len(prefix) :] for element in _elements(value, None) if element.startswith(prefix)])


def pair_values(value: bytes, signature_key: bytes, timestamp_key: bytes | None) -> tuple[list[bytes], bytes | None]:
    """The signatures and the timestamp of a list of pairs; other pairs and junk are skipped.

    Two timestamps are refused: they come from two headers joined into one.
    """
    pairs = [element.strip(b" \t").partition(b"=") for element in _elements(value, b",")]
    signatures = _capped([text for name, _, text in pairs if name == signature_key])
    if timestamp_key is None:
        return signatures, None
    stamps = [text for name, _, text in pairs if name == timestamp_key]
    if len(stamps) > 1:
        raise Refusal(Cause.REPEATED_HEADER)
    if not stamps or not stamps[0]:
        raise Refusal(Cause.NO_TIMESTAMP)
    return signatures, stamps[0]


def wrapped_signatures(value: bytes) -> list[bytes]:
    """The signature behind the first colon of a base64 text; the id before it is unsigned and dropped."""
    plain = strict_base64(value)
    if plain is None:
        raise Refusal(Cause.MALFORMED)
    _, colon, signature = plain.partition(b":")
    if not colon:
        raise Refusal(Cause.MALFORMED)
    return [signature]


def _elements(value: bytes, separator: bytes | None) -> list[bytes]:
    elements = value.split(separator, _MAX_ELEMENTS)
    if len(elements) > _MAX_ELEMENTS:
        raise Refusal(Cause.TOO_MANY_SIGNATURES)
    return elements


def _capped(signatures: list[bytes]) -> list[bytes]:
    if len(signatures) > MAX_SIGNATURES:
        raise Refusal(Cause.TOO_MANY_SIGNATURES)
    if not signatures:
        raise Refusal(Cause.NO_SIGNATURE)
    return signatures


def instant(text: bytes, unit: Unit) -> float:
    """The seconds since 1970 that a timestamp stands for. Raises Refusal unless strictly written."""
    if unit is Unit.ISO:
        if not _ISO.fullmatch(text):
            raise Refusal(Cause.BAD_TIMESTAMP)
        try:
            return datetime.fromisoformat(text.decode("ascii")).timestamp()
        except (ValueError, OverflowError):
            raise Refusal(Cause.BAD_TIMESTAMP) from None
    # int() alone accepts blanks, signs, underscores and the digits of every script.
    if not _DIGITS.fullmatch(text):
        raise Refusal(Cause.BAD_TIMESTAMP)
    return int(text) / (1000 if unit is Unit.MILLISECONDS else 1)


def timestamp_text(now: datetime, unit: Unit) -> bytes:
    """This instant as a sender writes it."""
    match unit:
        case Unit.SECONDS:
            return str(int(now.timestamp())).encode("ascii")
        case Unit.MILLISECONDS:
            return str(round(now.timestamp() * 1000)).encode("ascii")
        case Unit.ISO:
            return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")


def check_age(signed_at: float, now: datetime, tolerance_seconds: float) -> None:
    """Raises Refusal unless the instant lies within the tolerance, both ways and both ends included."""
    age = now.timestamp() - signed_at
    if age > tolerance_seconds:
        raise Refusal(Cause.TOO_OLD, age)
    if age < -tolerance_seconds:
        raise Refusal(Cause.TOO_NEW, age)
