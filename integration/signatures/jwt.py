"""Kind jwt: a token signed with HS256 in a header; it proves the sender and not the body.

The algorithm is never taken from the token: anything but HS256 is refused before a key is touched. A
token must say when it was made or when it ends.

| setting | meaning | default |
|---|---|---|
| secret | the signing secret; two of them are separated by a space | must be there |
| header | the header; `Bearer ` before the token is allowed | Authorization |
| audience | the `aud` that the token must name | any |
| tolerance_seconds | how far the clocks may differ; without `exp` also the greatest age | 60 |
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from integration.signatures.scheme import Kind, Token
from integration.signatures.settings import Settings, secret_warnings
from integration.signatures.wire import Refusal, header_value, unpadded_base64url
from integration.signatures.words import Cause, SignedRequest, Verified

KEYS = frozenset({"secret", "header", "audience", "tolerance_seconds"})
_SIGNED_SECONDS = 300
_SEGMENTS = 3
_UNSIGNED_BODY = "The token does not cover the body: whoever sees one request can send another lead until it ends."


def build_token(_kind: Kind, reader: Settings, _weak_allowed: bool, without_secrets: bool) -> tuple[Token, list[str]]:
    """The method that these settings describe, and the warnings. Raises SchemeMistake."""
    secrets = [] if without_secrets else reader.secrets()
    method = Token(
        header=reader.header("header", "Authorization"),
        tolerance_seconds=reader.seconds("tolerance_seconds", 60.0),
        audience=reader.text("audience") if reader.has("audience") else None,
        keys=tuple(secret.encode("utf-8") for secret in secrets),
    )
    return method, [*secret_warnings(secrets), _UNSIGNED_BODY]


def verify_token(method: Token, request: SignedRequest, now: datetime) -> Verified:
    """Which secret signed the token of this request. Raises Refusal."""
    segments = _token(method, request).split(b".", _SEGMENTS)
    decoded = [unpadded_base64url(segment) for segment in segments]
    if len(segments) != _SEGMENTS or None in decoded:
        raise Refusal(Cause.MALFORMED)
    head, claims, signature = [part for part in decoded if part is not None]
    described = _object(head)
    if described.get("alg") != "HS256" or "crit" in described:
        raise Refusal(Cause.MALFORMED)
    signed = segments[0] + b"." + segments[1]
    for index, key in enumerate(method.keys):
        if hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature):
            _check_claims(method, _object(claims), now)
            return Verified(index, None)
    raise Refusal(Cause.MISMATCH)


def sign_token(method: Token, now: datetime) -> list[tuple[str, str]]:
    """A header with a token that ends in 300 seconds."""
    made_at = int(now.timestamp())
    claims: dict[str, object] = {"iat": made_at, "exp": made_at + _SIGNED_SECONDS}
    if method.audience is not None:
        claims["aud"] = method.audience
    signed = b".".join(_segment(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(method.keys[0], signed, hashlib.sha256).digest()
    return [(method.header, (signed + b"." + _segment(signature)).decode("ascii"))]


def _segment(plain: bytes) -> bytes:
    return base64.urlsafe_b64encode(plain).rstrip(b"=")


def _token(method: Token, request: SignedRequest) -> bytes:
    value = header_value(request, method.header.lower(), Cause.NO_SIGNATURE)
    word, blank, token = value.partition(b" ")
    if not blank:
        return word
    if word.lower() != b"bearer":
        raise Refusal(Cause.MALFORMED)
    return token


def _object(text: bytes) -> Mapping[str, object]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(Cause.MALFORMED) from None
    if not isinstance(read, dict):
        raise Refusal(Cause.MALFORMED)
    return read


def _check_claims(method: Token, claims: Mapping[str, object], now: datetime) -> None:
    at = now.timestamp()
    ends, made, begins = (_instant(claims, name) for name in ("exp", "iat", "nbf"))
    latest = ends if ends is not None else made
    if latest is None:
        raise Refusal(Cause.NO_TIMESTAMP)
    if at - latest > method.tolerance_seconds:
        raise Refusal(Cause.TOO_OLD, at - latest)
    for earliest in (made, begins):
        if earliest is not None and earliest - at > method.tolerance_seconds:
            raise Refusal(Cause.TOO_NEW, at - earliest)
    if method.audience is not None:
        named = claims.get("aud")
        if method.audience not in (named if isinstance(named, list) else [named]):
            raise Refusal(Cause.MISMATCH)


def _instant(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # NaN compares false with everything and would pass each check.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Refusal(Cause.BAD_TIMESTAMP)
    return float(value)
