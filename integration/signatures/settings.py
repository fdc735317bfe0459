"""Reads the settings of a scheme strictly: each wrong key, type and value is a sentence with its key.

Numbers may come as text, because a rules file keeps what was typed until a number is wanted.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from integration.signatures.words import SchemeMistake

DEFAULT_HEADER = "X-Signature"
GOOD_HASHES = ("sha256", "sha384", "sha512")
WEAK_HASHES = ("sha1", "md5")
MIN_GOOD_SECRET = 16
MIN_WHSEC_BYTES = 24
MAX_TOLERANCE_SECONDS = 86400

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
KEY_FORMATS = ("text", "hex", "base64", "whsec")


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the nearest known name, else the names there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f' Did you mean "{close[0]}"?'
    return f" Known are: {', '.join(names)}."


class Settings:
    """The settings of one scheme, read key by key."""

    def __init__(self, values: Mapping[str, object], known: frozenset[str], kind: str) -> None:
        for key in values:
            if key not in known:
                raise SchemeMistake(str(key), f"scheme {kind} has no such setting.{nearest(str(key), known)}")
        self._values = values

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        """The text of a setting. Raises SchemeMistake if it is missing without default, or no text."""
        value = self._values.get(key)
        if value is None:
            if default is None:
                raise SchemeMistake(key, "this setting is missing; the scheme cannot work without it.")
            return default
        if not isinstance(value, str):
            raise SchemeMistake(key, "write this setting as text.")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise SchemeMistake(key, f'"{value[:40]}" is not possible here.{nearest(value[:40], allowed)}')
        return value

    def header(self, key: str, default: str | None = None) -> str:
        """The name of a header."""
        value = self.text(key, default)
        if not _HEADER_NAME.fullmatch(value):
            raise SchemeMistake(key, "this is no header name; write it like X-Signature.")
        return value

    def latin(self, key: str, default: str = "") -> bytes:
        """A text that stands in a header, as bytes."""
        value = self.text(key, default)
        if not value.isascii() or not value.isprintable():
            raise SchemeMistake(key, "only plain ASCII characters can stand in a header.")
        return value.encode("ascii")

    def seconds(self, key: str, default: float) -> float:
        """A length of time in seconds, from 1 to 86400."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise SchemeMistake(key, "write a number of seconds, like 300.")
        if not 1 <= value <= MAX_TOLERANCE_SECONDS:
            raise SchemeMistake(key, "write a number of seconds from 1 to 86400 (a day).")
        return float(value)

    def hash(self, weak_allowed: bool = False) -> str:
        """The name of a hash; an outdated one only where a preset brings it."""
        value = self.text("hash", "sha256")
        if value in WEAK_HASHES and not weak_allowed:
            raise SchemeMistake("hash", f"{value} is outdated and not offered; write sha256.")
        return self.choice("hash", GOOD_HASHES + WEAK_HASHES, "sha256")

    def flag(self, key: str) -> bool:
        """True or false; a rules file gives the words as text."""
        value = self._values.get(key)
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise SchemeMistake(key, "write true or false.")
        return value == "true"

    def texts(self, key: str) -> list[str]:
        """A text, or a list of texts, none empty."""
        found = self.items(key, [])
        if not found or not all(isinstance(item, str) and item.strip() for item in found):
            raise SchemeMistake(key, "this setting is missing or empty; write one text or a list of texts.")
        return [str(item) for item in found]

    def items(self, key: str, default: Sequence[object]) -> Sequence[object]:
        """A list, or one item standing alone."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, str | Mapping):
            return [value]
        if not isinstance(value, Sequence) or not value:
            raise SchemeMistake(key, "write a list.")
        return value

    def secrets(self, key: str = "secret") -> list[str]:
        """The secrets: a text of one or two words, or a list whose items are taken exactly as they stand."""
        value = self._values.get(key)
        if value is None:
            raise SchemeMistake(key, "this setting is missing; without a secret anyone could send leads.")
        if isinstance(value, str):
            words = value.split()
            if len(words) > 2:
                raise SchemeMistake(
                    key,
                    "more than two words: two secrets are separated by one space. "
                    'A secret that contains spaces is written as a list: ["${NAME}"].',
                )
        elif isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            words = [str(item) for item in value]
        else:
            raise SchemeMistake(key, "write the secret as text.")
        if not words or not all(word.strip() for word in words):
            raise SchemeMistake(key, "the secret is empty; is its variable set?")
        if any(word.startswith("${") and word.endswith("}") for word in words):
            raise SchemeMistake(key, "the variable in this secret was not replaced by its value.")
        return words


def key_bytes(secret: str, key_format: str) -> bytes:
    """The bytes of an HMAC key. Raises SchemeMistake, which never repeats the secret."""
    try:
        if key_format == "hex":
            return _not_empty(binascii.unhexlify(secret))
        if key_format == "base64":
            return _not_empty(base64.b64decode(secret, validate=True))
        if key_format == "whsec":
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if len(key) < MIN_WHSEC_BYTES:
                raise SchemeMistake("secret", "a whsec_ secret has at least 24 bytes; this one is cut short.")
            return key
    except ValueError as error:
        if isinstance(error, SchemeMistake):
            raise
        name = "base64" if key_format == "whsec" else key_format
        raise SchemeMistake(
            "secret",
            f"this is no {name} text, and `key: {key_format}` wants one. Copy it whole, or set `key`.",
        ) from None
    return secret.encode("utf-8")


def _not_empty(key: bytes) -> bytes:
    if not key:
        raise SchemeMistake("secret", "the secret is empty; is its variable set?")
    return key


def secret_warnings(secrets: Sequence[str]) -> list[str]:
    """A sentence if a secret is short enough to be guessed."""
    if any(len(secret) < MIN_GOOD_SECRET for secret in secrets):
        return ["The secret has under 16 characters; a longer random one is safer."]
    return []
