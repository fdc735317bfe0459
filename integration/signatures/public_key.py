"""Kinds ed25519 and rsa-sha256: the sender keeps a private key, the settings hold the public one.

The library `cryptography` is imported only when such a scheme is set up; no other source pays for it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

from integration.signatures.scheme import Kind
from integration.signatures.words import SchemeMistake

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

MIN_RSA_BITS = 2048
_RAW_ED25519_BYTES = 32

Check = Callable[[bytes, bytes], bool]
Signer = Callable[[bytes], bytes]


def public_check(kind: Kind, text: str) -> Check:
    """A function that says whether a signature (second) is right for a message (first).

    `text` is a PEM block, the base64 of its inside, or for Ed25519 the base64 of the 32 raw bytes, which
    may begin with `whpk_`. Raises SchemeMistake.
    """
    _need_library()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see the module's docstring

    verify = _ed25519_verify(text) if kind is Kind.ED25519 else _rsa_verify(text)

    def check(message: bytes, signature: bytes) -> bool:
        try:
            verify(message, signature)
        except InvalidSignature:
            return False
        return True

    return check


def private_signer(kind: Kind, text: str) -> Signer:
    """A function that signs a message with a private key in PEM without a password. Raises SchemeMistake."""
    _need_library()
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(_pem(text), password=None)
    except (ValueError, TypeError):
        raise SchemeMistake("private_key", "this is no private key in PEM without a password.") from None
    if kind is Kind.ED25519 and isinstance(key, ed25519.Ed25519PrivateKey):
        return _ed25519_signer(key)
    if kind is Kind.RSA_SHA256 and isinstance(key, rsa.RSAPrivateKey):
        return _rsa_signer(key)
    raise SchemeMistake("private_key", f"this key is not of the kind {kind}.")


def _need_library() -> None:
    try:
        import cryptography  # noqa: F401, PLC0415
    except ImportError:
        raise SchemeMistake(
            "scheme", "this scheme needs the package `cryptography`; install it beside this program."
        ) from None


def _ed25519_verify(text: str) -> Callable[[bytes, bytes], None]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    raw = _base64(text.removeprefix("whpk_"))
    is_raw = raw is not None and len(raw) == _RAW_ED25519_BYTES
    key = Ed25519PublicKey.from_public_bytes(raw) if raw is not None and is_raw else _loaded(text)
    if not isinstance(key, Ed25519PublicKey):
        raise SchemeMistake("public_key", "this public key is not an Ed25519 key.")
    found: Ed25519PublicKey = key
    return lambda message, signature: found.verify(signature, message)


def _rsa_verify(text: str) -> Callable[[bytes, bytes], None]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    key = _loaded(text)
    if not isinstance(key, RSAPublicKey):
        raise SchemeMistake("public_key", "this public key is not an RSA key.")
    if key.key_size < MIN_RSA_BITS:
        raise SchemeMistake("public_key", "this RSA key has under 2048 bits, which is not safe any more.")
    found: RSAPublicKey = key
    return lambda message, signature: found.verify(signature, message, PKCS1v15(), SHA256())


def _loaded(text: str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_der_public_key,
        load_pem_public_key,
    )

    der = _base64(text)
    try:
        return load_pem_public_key(_pem(text)) if der is None else load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise SchemeMistake(
            "public_key", "this is no public key; paste the whole block with its BEGIN and END lines."
        ) from None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None


def _pem(text: str) -> bytes:
    """The block with real line ends: environment variables often carry them as the two characters `\\n`."""
    return text.replace("\\n", "\n").strip().encode("utf-8")


def _ed25519_signer(key: Ed25519PrivateKey) -> Signer:
    return key.sign


def _rsa_signer(key: RSAPrivateKey) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    return lambda message: key.sign(message, PKCS1v15(), SHA256())
