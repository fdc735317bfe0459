"""Kind itsdangerous: the body signed with the library's TimestampSigner, the signature in a header.

The wire form: the header carries TIMESTAMP.SIGNATURE, that is what `TimestampSigner.sign(body)` puts
behind the body and its dot. The signed value is the body itself, byte for byte. A CRM written in Python
sends it with three lines:

    signer = TimestampSigner(secret, salt="ringback.webhook", digest_method=hashlib.sha256)
    signature = signer.sign(body)[len(body) + 1 :].decode()
    requests.post(url, data=body, headers={"X-Signature": signature})

| setting | meaning | default |
|---|---|---|
| secret | the secret; two of them, separated by a space, are both accepted (rotation) | must be there |
| header | the header with the signature | X-Signature |
| salt | the text that keeps these signatures apart from other uses of the secret | ringback.webhook |
| hash | `sha256`, `sha384` or `sha512`; the library's own default, sha1, is not offered | sha256 |
| tolerance_seconds | how far the timestamp may be from now, either way, the ends included | 300 |

Facts of itsdangerous 2.2: `unsign(max_age=...)` raises OverflowError for a genuine timestamp far in the
future and accepts every other future one, and it reads the machine's clock. So the age is checked here.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from itsdangerous import BadSignature, TimestampSigner

from integration.signatures.scheme import Kind, TimestampSigned
from integration.signatures.settings import DEFAULT_HEADER, Settings, secret_warnings
from integration.signatures.wire import Refusal, check_age, header_value, unpadded_base64url
from integration.signatures.words import Cause, SignedRequest, Verified

DEFAULT_SALT = "ringback.webhook"
KEYS = frozenset({"secret", "header", "salt", "hash", "tolerance_seconds"})


def build_stamped(
    _kind: Kind, reader: Settings, _weak_allowed: bool, without_secrets: bool
) -> tuple[TimestampSigned, list[str]]:
    """The method that these settings describe, and the warnings. Raises SchemeMistake."""
    secrets = [] if without_secrets else reader.secrets()
    method = TimestampSigned(
        header=reader.header("header", DEFAULT_HEADER),
        hash=reader.hash(),
        salt=reader.text("salt", DEFAULT_SALT).encode("utf-8"),
        tolerance_seconds=reader.seconds("tolerance_seconds", 300.0),
        keys=tuple(secret.encode("utf-8") for secret in secrets),
    )
    return method, secret_warnings(secrets)


class _SignerAt(TimestampSigner):
    """The library's signer with the instant given instead of read."""

    instant = 0

    def get_timestamp(self) -> int:
        return self.instant


def _signer(method: TimestampSigned, key: bytes) -> _SignerAt:
    return _SignerAt(key, salt=method.salt, digest_method=getattr(hashlib, method.hash))


def verify_stamped(method: TimestampSigned, request: SignedRequest, now: datetime) -> Verified:
    """Which key signed this body within the tolerance. Raises Refusal."""
    value = header_value(request, method.header.lower(), Cause.NO_SIGNATURE)
    # The library cuts at the last dots. With one more dot in the header, the end of a signed text could
    # pass as header and the rest of it as the body.
    # The library's own base64 also skips foreign characters, so both halves are checked first.
    halves = value.split(b".")
    if len(halves) != 2 or any(unpadded_base64url(half) is None for half in halves):
        raise Refusal(Cause.MALFORMED)
    signed = request.body + b"." + value
    for index, key in enumerate(method.keys):
        try:
            _, signed_at = _signer(method, key).unsign(signed, return_timestamp=True)
        except BadSignature:
            continue
        check_age(signed_at.timestamp(), now, method.tolerance_seconds)
        return Verified(index, None)
    raise Refusal(Cause.MISMATCH)


def sign_stamped(method: TimestampSigned, request: SignedRequest, now: datetime) -> list[tuple[str, str]]:
    """The header that a home-made CRM sends for this body at this instant."""
    signer = _signer(method, method.keys[0])
    signer.instant = int(now.timestamp())
    signed = signer.sign(request.body)
    return [(method.header, signed[len(request.body) + 1 :].decode("ascii"))]
