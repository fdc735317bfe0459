"""Verifying and signing with a signature over parts of a request.

Digests meet only in `hmac.compare_digest`, as bytes, after a check of their public length.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from integration.signatures.message import Received, Word, check_id, message, urls
from integration.signatures.scheme import Kind, SignedParts
from integration.signatures.wire import (
    Encoding,
    Form,
    Refusal,
    check_age,
    decoded,
    encoded,
    header_value,
    instant,
    list_signatures,
    pair_values,
    plain_signatures,
    timestamp_text,
    wrapped_signatures,
)
from integration.signatures.words import Cause, SchemeMistake, SignedRequest, Verified

_DEMO_ID = "msg_ringback"
_DIGEST_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64, "sha1": 20, "md5": 16}


def verify_parts(method: SignedParts, request: SignedRequest, now: datetime) -> Verified:
    signatures, received = _read(method, request)
    signed_at = None
    if method.clock is not None:
        signed_at = instant(received.timestamp or b"", method.clock.unit)
    index = _matching_key(method, request, received, signatures)
    if index is None:
        raise Refusal(Cause.MISMATCH)
    if method.clock is not None and signed_at is not None:
        check_age(signed_at, now, method.clock.tolerance_seconds)
    return Verified(index, _signed_id(method, received))


def _matching_key(
    method: SignedParts, request: SignedRequest, received: Received, signatures: list[bytes]
) -> int | None:
    possible = urls(request, method.url_decode) if Word.URL in method.parts else [b""]
    for index, check in enumerate(method.public_checks):
        signed = [message(method.parts, request, received, url) for url in possible]
        if any(check(text, signature) for text in signed for signature in signatures):
            return index
    for index, key in enumerate(method.keys):
        expected = [_digest(method, request, received, url, key) for url in possible]
        if any(hmac.compare_digest(digest, signature) for digest in expected for signature in signatures):
            return index
    return None


def _digest(method: SignedParts, request: SignedRequest, received: Received, url: bytes, key: bytes) -> bytes:
    if method.kind is Kind.HASH:
        return hashlib.new(method.hash, message(method.parts, request, received, url, key)).digest()
    return hmac.digest(key, message(method.parts, request, received, url), method.hash)


def _signed_id(method: SignedParts, received: Received) -> str | None:
    return received.id.decode("latin-1") if method.signs_id and received.id is not None else None


def _read(method: SignedParts, request: SignedRequest) -> tuple[list[bytes], Received]:
    """The decoded signatures of a possible length, and what else stands in headers."""
    place = method.place
    value = header_value(request, place.lower_header, Cause.NO_SIGNATURE)
    stamp: bytes | None = None
    match place.form:
        case Form.PLAIN:
            texts = plain_signatures(value, place.prefix)
        case Form.LIST:
            texts = list_signatures(value, place.prefix)
        case Form.PAIRS:
            texts, stamp = pair_values(value, place.signature_key, place.timestamp_key)
        case Form.WRAPPED:
            texts = wrapped_signatures(value)
    read = [decoded(text, place.encoding) for text in texts]
    signatures = [signature for signature in read if signature is not None and _possible(method, signature)]
    if not signatures:
        raise Refusal(Cause.MALFORMED)
    if method.clock is not None and method.clock.header is not None:
        stamp = header_value(request, method.clock.header.lower(), Cause.NO_TIMESTAMP)
    return signatures, Received(stamp, _message_id(method, request))


def _possible(method: SignedParts, signature: bytes) -> bool:
    return bool(method.public_checks) or len(signature) == _DIGEST_BYTES[method.hash]


def _message_id(method: SignedParts, request: SignedRequest) -> bytes | None:
    if not method.signs_id or method.id_header is None:
        return None
    message_id = header_value(request, method.id_header.lower(), Cause.NO_ID)
    if any(byte < 0x20 or byte == 0x7F for byte in message_id):
        raise Refusal(Cause.BAD_ID)
    check_id(method.parts, message_id)
    return message_id


# ---- signing ----------------------------------------------------------------------------------


def sign_parts(method: SignedParts, request: SignedRequest, now: datetime) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    stamp = None if method.clock is None else timestamp_text(now, method.clock.unit)
    message_id: bytes | None = None
    if method.signs_id and method.id_header is not None:
        message_id, added = _id_to_sign(method.id_header, request, now)
        headers += added
    if stamp is not None and method.clock is not None and method.clock.header is not None:
        headers.append((method.clock.header, stamp.decode("ascii")))
    received = Received(stamp, message_id)
    check_id(method.parts, message_id or b"")
    url = urls(request, method.url_decode)[0] if Word.URL in method.parts else b""
    if method.public_checks:
        signature = _public_signature(method, message(method.parts, request, received, url))
    else:
        signature = _digest(method, request, received, url, method.keys[0])
    signature = encoded(signature, method.place.encoding)
    return [*headers, (method.place.header, _written(method, signature, stamp).decode("ascii"))]


def _public_signature(method: SignedParts, text: bytes) -> bytes:
    if method.signer is None:
        raise SchemeMistake(
            "private_key", "only the sender can sign with this scheme; give a `private_key` to make a rehearsal."
        )
    return method.signer(text)


def _id_to_sign(header: str, request: SignedRequest, now: datetime) -> tuple[bytes, list[tuple[str, str]]]:
    try:
        return header_value(request, header.lower(), Cause.NO_ID), []
    except Refusal as refusal:
        if refusal.cause is not Cause.NO_ID:
            raise
    made = f"{_DEMO_ID}_{round(now.timestamp() * 1_000_000)}"
    return made.encode("ascii"), [(header, made)]


def _written(method: SignedParts, signature: bytes, stamp: bytes | None) -> bytes:
    place = method.place
    match place.form:
        case Form.PLAIN | Form.LIST:
            return place.prefix + signature
        case Form.PAIRS:
            pair = place.signature_key + b"=" + signature
            return pair if place.timestamp_key is None else place.timestamp_key + b"=" + (stamp or b"") + b"," + pair
        case Form.WRAPPED:
            return encoded(b"ringback:" + signature, Encoding.BASE64)
