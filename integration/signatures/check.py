"""One way in for every scheme. `verify` is total: whatever bytes come, it answers with a value."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from integration.signatures.credential import query_with_credential, sign_credential, verify_credential
from integration.signatures.jwt import sign_token, verify_token
from integration.signatures.scheme import (
    Credential,
    CredentialPlace,
    Scheme,
    SignedParts,
    TimestampSigned,
    Token,
)
from integration.signatures.signed import sign_parts, verify_parts
from integration.signatures.stamped import sign_stamped, verify_stamped
from integration.signatures.wire import Refusal
from integration.signatures.words import Cause, Refused, SchemeMistake, SignedRequest, Verified

_NO_SECRET = "these settings were read without their secret, so nothing can be signed."  # noqa: S105


def verify(scheme: Scheme, request: SignedRequest, now: datetime) -> Verified | Refused:
    """Whether this request comes from the holder of the secret. Never raises, whatever the bytes.

    `now` is an aware datetime. A signature is checked before its age, so TOO_OLD and TOO_NEW are said
    only of genuine ones.
    """
    if scheme.keys == 0:
        return Refused(Cause.NO_KEY)
    try:
        return _verified(scheme, request, now)
    except Refusal as refusal:
        return Refused(refusal.cause, refusal.age_seconds)
    except Exception:  # noqa: BLE001 - hostile bytes are read here: nothing they do may become a 500
        return Refused(Cause.UNREADABLE)


def _verified(scheme: Scheme, request: SignedRequest, now: datetime) -> Verified:
    method = scheme.method
    match method:
        case SignedParts():
            return verify_parts(method, request, now)
        case TimestampSigned():
            return verify_stamped(method, request, now)
        case Credential():
            return verify_credential(method, request)
        case Token():
            return verify_token(method, request, now)
        case _:
            assert_never(method)


def sign(scheme: Scheme, request: SignedRequest, now: datetime) -> list[tuple[str, str]]:
    """The headers that a sender adds to this request, made with the first key.

    A scheme that signs an id takes it from the request's own header, else it makes one from the time. A
    secret that stands in the address or the body must be there already (see `signed_query`). Raises
    SchemeMistake when the scheme holds no key to sign with or the request lacks a part.
    """
    if scheme.keys == 0:
        raise SchemeMistake("secret", _NO_SECRET)
    method = scheme.method
    try:
        match method:
            case SignedParts():
                return sign_parts(method, request, now)
            case TimestampSigned():
                return sign_stamped(method, request, now)
            case Credential():
                return sign_credential(method, request)
            case Token():
                return sign_token(method, now)
            case _:
                assert_never(method)
    except Refusal as refusal:
        raise SchemeMistake(None, f"this request cannot be signed: {Refused(refusal.cause).message}") from None


def signed_query(scheme: Scheme, query: str) -> str:
    """The query that a sender uses: with the secret added if the scheme has it there, else unchanged."""
    if scheme.keys == 0:
        raise SchemeMistake("secret", _NO_SECRET)
    if isinstance(scheme.method, Credential) and scheme.method.place is CredentialPlace.QUERY:
        return query_with_credential(scheme.method, query)
    return query
