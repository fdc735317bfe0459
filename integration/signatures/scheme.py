"""A scheme: what `verify` needs to know of a sender, read once from the settings.

Secrets stand only in fields that `repr` leaves out, so that a scheme may appear in a log or a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from integration.signatures.message import Part, Word
from integration.signatures.wire import Encoding, Form, Unit

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(StrEnum):
    """The primitives. Everything that is particular to a sender is a setting of one of them."""

    HMAC = "hmac"
    HASH = "hash"
    ED25519 = "ed25519"
    RSA_SHA256 = "rsa-sha256"
    STATIC = "static"
    JWT = "jwt"
    ITSDANGEROUS = "itsdangerous"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the signature stands and how it is written."""

    header: str
    form: Form = Form.PLAIN
    encoding: Encoding = Encoding.HEX
    prefix: bytes = b""
    signature_key: bytes = b"v1"  # form PAIRS
    timestamp_key: bytes | None = None  # form PAIRS

    @property
    def lower_header(self) -> str:
        return self.header.lower()


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the timestamp stands and how far it may be from now."""

    unit: Unit = Unit.SECONDS
    tolerance_seconds: float = 300.0
    header: str | None = None  # None: the timestamp stands in the pairs of the signature header


@dataclass(frozen=True, slots=True)
class SignedParts:
    """A signature over parts of the request: kinds hmac, hash, ed25519 and rsa-sha256."""

    kind: Kind
    hash: str
    place: Place
    parts: tuple[Part, ...]
    clock: Clock | None
    id_header: str | None
    url_decode: tuple[str, ...]
    keys: tuple[bytes, ...] = field(repr=False)
    public_checks: tuple[Callable[[bytes, bytes], bool], ...] = field(default=(), repr=False)
    signer: Callable[[bytes], bytes] | None = field(default=None, repr=False)

    @property
    def signs_id(self) -> bool:
        return Word.ID in self.parts


class CredentialPlace(StrEnum):
    """Where a fixed secret stands."""

    HEADER = "header"
    BASIC = "basic"
    QUERY = "query"
    BODY = "body"


class BodyFormat(StrEnum):
    """How a body is read to find a secret in it."""

    JSON = "json"
    FORM = "form"
    XML = "xml"


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret that the sender repeats in each request: kind static."""

    place: CredentialPlace
    name: str  # of the header or query field; the path in the body
    prefix: bytes
    body_format: BodyFormat
    keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A JWT signed with HS256 that does not cover the body: kind jwt."""

    header: str
    tolerance_seconds: float
    audience: str | None
    keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TimestampSigned:
    """The body signed with the TimestampSigner of the library itsdangerous: kind itsdangerous."""

    header: str
    hash: str
    salt: bytes
    tolerance_seconds: float
    keys: tuple[bytes, ...] = field(repr=False)


Method = SignedParts | Credential | Token | TimestampSigned


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one source proves that a request is its own.

    `name` is the word of the settings: a kind or a preset. `warnings` are sentences for the person who
    set it up; they never stop anything.
    """

    name: str
    kind: Kind
    method: Method
    warnings: tuple[str, ...] = ()

    @property
    def signs_url(self) -> bool:
        """Whether the public address is signed: without it every request is refused."""
        return isinstance(self.method, SignedParts) and Word.URL in self.method.parts

    @property
    def has_public_key(self) -> bool:
        """Whether the signature is checked with a public key: then there is no secret to copy."""
        return self.kind in {Kind.ED25519, Kind.RSA_SHA256}

    @property
    def keys(self) -> int:
        """How many keys are accepted; 0 when the settings were read without their secrets."""
        if isinstance(self.method, SignedParts) and self.method.public_checks:
            return len(self.method.public_checks)
        return len(self.method.keys)
