"""The words of verification: the request as it was signed, the verdict on it, and a mistake in the settings.

A verdict is a value. It never holds a secret, a signature or a part of the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request of a CRM, as far as a signature can cover it.

    `url` is the public address as the CRM called it: the configured public base, the path and the query
    exactly as received. It is never made from a Host or X-Forwarded header, because their sender chooses
    them. None means that no public base is configured. `headers` are pairs whose names are compared
    without case and whose values are latin-1 text, as WSGI gives them. `query` is the raw query string
    without its question mark. `body` is the body as received, byte for byte.
    """

    method: str
    url: str | None
    headers: Sequence[tuple[str, str]] = field(repr=False)
    query: str = field(repr=False)
    body: bytes = field(repr=False)


class Cause(StrEnum):
    """Why a request was refused. `Refused.message` is the sentence for people."""

    NO_SIGNATURE = "no_signature"
    REPEATED_HEADER = "repeated_header"
    MALFORMED = "malformed"
    TOO_MANY_SIGNATURES = "too_many_signatures"
    NO_TIMESTAMP = "no_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    NO_ID = "no_id"
    BAD_ID = "bad_id"
    MISMATCH = "mismatch"
    NO_PUBLIC_URL = "no_public_url"
    NO_KEY = "no_key"
    UNREADABLE = "unreadable"

    @property
    def is_ours(self) -> bool:
        """Whether our own settings are at fault: answer 503, so that the CRM sends again, and alert."""
        return self in {Cause.NO_PUBLIC_URL, Cause.NO_KEY}


_MESSAGES = {
    Cause.NO_SIGNATURE: "The request carries no signature where the settings expect one.",
    Cause.REPEATED_HEADER: "A header that belongs to the signature came twice.",
    Cause.MALFORMED: "The signature does not have the form that the settings describe.",
    Cause.TOO_MANY_SIGNATURES: "The request carries more than 10 signatures.",
    Cause.NO_TIMESTAMP: "The request carries no timestamp where the settings expect one.",
    Cause.BAD_TIMESTAMP: "The timestamp does not have the form that the settings describe.",
    Cause.TOO_OLD: "The signature is right, and it is older than the settings allow.",
    Cause.TOO_NEW: "The signature is right, and it comes from the future: one of the two clocks is wrong.",
    Cause.NO_ID: "The request carries no message id where the settings expect one.",
    Cause.BAD_ID: "The message id contains a control character or the separator that stands behind it.",
    Cause.MISMATCH: "The signature was made with another secret or over another message.",
    Cause.NO_PUBLIC_URL: "The signature covers the address, and PUBLIC_URL is not set.",
    Cause.NO_KEY: "These settings were read without their secrets, so nothing can be verified.",
    Cause.UNREADABLE: "The request could not be read for verification.",
}


@dataclass(frozen=True, slots=True)
class Verified:
    """The request is authentic.

    `key_index` counts from 0 in the order of the settings: a name for logs that says nothing of the
    secret. `signed_id` is the message id if the signature covers one; an unsigned id is never given.
    """

    key_index: int
    signed_id: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not proved authentic. `age_seconds` is set for TOO_OLD and TOO_NEW (then negative)."""

    cause: Cause
    age_seconds: float | None = None

    @property
    def message(self) -> str:
        """One sentence for the log and the operator; it says nothing of secret, signature or body."""
        return _MESSAGES[self.cause]


class SchemeMistake(ValueError):
    """The settings describe no scheme that can be used.

    `key` is the setting at fault, or None when it is the whole block. `message` says what is wrong and
    what to do, and never repeats a secret.
    """

    def __init__(self, key: str | None, message: str) -> None:
        super().__init__(message if key is None else f"{key}: {message}")
        self.key = key
        self.message = message
