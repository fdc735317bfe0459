"""What a sender of test events needs to know of a scheme, beside `sign` and `signed_query`.

A secret that stands in the body is part of the message, so it must be there before anything is signed.
"""

from __future__ import annotations

from dataclasses import replace

from integration.signatures.message import Word
from integration.signatures.scheme import (
    BodyFormat,
    Credential,
    CredentialPlace,
    Scheme,
    SignedParts,
    TimestampSigned,
    Token,
)


def body_format(scheme: Scheme) -> BodyFormat:
    """How a body must be written for this scheme to find in it what it needs."""
    method = scheme.method
    if isinstance(method, Credential) and method.place is CredentialPlace.BODY:
        return method.body_format
    is_form = isinstance(method, SignedParts) and Word.FORM_SORTED in method.parts
    return BodyFormat.FORM if is_form else BodyFormat.JSON


def secret_in_body(scheme: Scheme) -> tuple[tuple[str, ...], str] | None:
    """Where in the body the first secret belongs, and the secret; None for a scheme that has none there."""
    method = scheme.method
    if not isinstance(method, Credential) or method.place is not CredentialPlace.BODY or not method.keys:
        return None
    return tuple(method.name.split(".")), method.keys[0].decode("utf-8")


def forged(scheme: Scheme, noise: bytes) -> Scheme:
    """The scheme as somebody has it who does not know the key: its signatures have the right form and are wrong.

    `noise` is 64 random bytes or more. Works for a scheme whose keys are not held as well.
    """
    method = scheme.method
    secret = noise.hex()[:64].encode("ascii")
    match method:
        case SignedParts(public_checks=()):
            wrong: SignedParts | Credential | Token | TimestampSigned = replace(method, keys=(secret,))
        case SignedParts():
            wrong = replace(method, signer=lambda _text: noise)
        case Credential():
            is_basic = method.place is CredentialPlace.BASIC
            wrong = replace(method, keys=(b"forger:" + secret if is_basic else secret,))
        case Token():
            wrong = replace(method, keys=(secret,))
        case TimestampSigned():
            wrong = replace(method, keys=(secret,))
    return replace(scheme, method=wrong)
