"""The settings of a signature over parts of a request: kinds hmac, hash, ed25519 and rsa-sha256.

| setting | meaning | default |
|---|---|---|
| secret | the secret; two of them, separated by a space, are both accepted (rotation). A list takes each item exactly as it stands, so that a secret may contain spaces | must be there (hmac, hash) |
| public_key | PEM, its base64, or a list of such (ed25519, rsa-sha256) | must be there |
| private_key | PEM; only needed to sign (ed25519, rsa-sha256) | none |
| key | how the secret is written: `text`, `hex`, `base64`, or `whsec` (base64, perhaps behind `whsec_`) | text |
| hash | `sha256`, `sha384` or `sha512` (hmac, hash) | sha256 |
| header | the header with the signature | X-Signature |
| form | `plain`: one signature behind `prefix`. `pairs`: `t=TIME,v1=SIGNATURE`. `list`: `v1,SIGNATURE v1,SIGNATURE`. `wrapped`: base64 of `ID:SIGNATURE` | plain |
| prefix | what stands before each signature, e.g. "sha256=" | nothing; `v1,` for `list` |
| encoding | `hex` (any case), `base64`, `base64url`, or `raw` (only in `wrapped`) | hex; base64 for public keys |
| signature_key | the name of the signature in `pairs` | v1 |
| timestamp_key | the name of the timestamp in `pairs` | t |
| parts | what is signed, in order: `method`, `url`, `timestamp`, `id`, `body`, `body_base64`, `form_sorted`, `secret` (only hash); separators like "." as they are; any other text as {text: "v0:"} | [body]; [secret, body] for hash |
| timestamp_header | the header with the timestamp | the pair `timestamp_key` |
| timestamp_unit | `s`, `ms`, or `iso` (2026-01-01T00:00:00Z) | s |
| tolerance_seconds | how far the timestamp may be from now, either way, the ends included | 300 |
| id_header | the header with the message id, for the part `id` | none |
| url_decode | escapes that the sender decodes before it signs the URL; the URL as received counts too | none |
"""  # noqa: E501 - a table has no line breaks

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from integration.signatures.message import COVERS_BODY, Literal, Part, Word
from integration.signatures.public_key import Check, private_signer, public_check
from integration.signatures.scheme import Clock, Kind, Place, SignedParts
from integration.signatures.settings import (
    DEFAULT_HEADER,
    KEY_FORMATS,
    WEAK_HASHES,
    Settings,
    key_bytes,
    nearest,
    secret_warnings,
)
from integration.signatures.wire import Encoding, Form, Unit
from integration.signatures.words import SchemeMistake

_COMMON = frozenset(
    {
        "header", "form", "encoding", "prefix", "signature_key", "timestamp_key", "parts", "id_header",
        "url_decode", "timestamp_header", "timestamp_unit", "tolerance_seconds",
    }
)  # fmt: skip
HMAC_KEYS = _COMMON | {"secret", "hash", "key"}
HASH_KEYS = _COMMON | {"secret", "hash"}
PUBLIC_KEYS = _COMMON | {"public_key", "private_key"}
_PUBLIC = (Kind.ED25519, Kind.RSA_SHA256)


def build_parts(
    kind: Kind, reader: Settings, weak_allowed: bool, without_secrets: bool
) -> tuple[SignedParts, list[str]]:
    """The method that these settings describe, and the warnings. Raises SchemeMistake."""
    parts = _parts(kind, reader)
    place = _place(kind, reader, parts)
    is_public = kind in _PUBLIC
    secrets = [] if without_secrets or is_public else reader.secrets()
    key_format = reader.choice("key", KEY_FORMATS, "text")
    can_sign = is_public and reader.has("private_key") and not without_secrets
    method = SignedParts(
        kind=kind,
        hash="sha256" if is_public else reader.hash(weak_allowed),
        place=place,
        parts=parts,
        clock=_clock(reader, parts, place),
        id_header=_id_header(reader, parts),
        url_decode=_url_decode(reader),
        keys=tuple(key_bytes(secret, key_format) for secret in secrets),
        public_checks=_public_checks(kind, reader) if is_public and not without_secrets else (),
        signer=private_signer(kind, reader.text("private_key")) if can_sign else None,
    )
    return method, secret_warnings(secrets) + _warnings(method)


def _warnings(method: SignedParts) -> list[str]:
    warnings = []
    if method.kind is Kind.HASH:
        warnings.append("A plain hash is weaker than an HMAC: use the CRM's HMAC scheme if it has one.")
    if method.hash in WEAK_HASHES:
        warnings.append(f"{method.hash} is outdated; this sender offers nothing better.")
    if method.id_header is not None and not method.signs_id:
        warnings.append("The id is not among the signed parts, so it does not count as the event's id.")
    return warnings


def _public_checks(kind: Kind, reader: Settings) -> tuple[Check, ...]:
    return tuple(public_check(kind, text) for text in reader.texts("public_key"))


def _parts(kind: Kind, reader: Settings) -> tuple[Part, ...]:
    default = [Word.SECRET, Word.BODY] if kind is Kind.HASH else [Word.BODY]
    parts = tuple(_part(item) for item in reader.items("parts", default))
    if not COVERS_BODY.intersection(parts):
        raise SchemeMistake("parts", "the signature must cover the body; add `body`.")
    if kind is Kind.HASH and Word.SECRET not in parts:
        raise SchemeMistake("parts", "a plain hash proves nothing without `secret` among its parts.")
    if kind is not Kind.HASH and Word.SECRET in parts:
        raise SchemeMistake("parts", "only the scheme hash has the secret in the message; leave `secret` out.")
    for word in Word:
        if parts.count(word) > 1:
            raise SchemeMistake("parts", f"`{word}` stands there twice.")
    if (Word.ID, Word.TIMESTAMP) in pairwise(parts) or (Word.TIMESTAMP, Word.ID) in pairwise(parts):
        raise SchemeMistake("parts", 'id and timestamp run into each other; write "." between them.')
    return parts


def _part(item: object) -> Part:
    """A word, a separator without letters or digits, or `{text: ...}` for any other literal."""
    words = [str(word) for word in Word]
    if isinstance(item, Mapping):
        text = item.get("text")
        if len(item) != 1 or not isinstance(text, str) or not text:
            raise SchemeMistake("parts", 'a literal part is written {text: "v0:"}.')
        return Literal(text.encode("utf-8"))
    if not isinstance(item, str) or not item:
        raise SchemeMistake("parts", "each part is a word or a text.")
    if item in words:
        return Word(item)
    if any(character.isalnum() for character in item):
        raise SchemeMistake(
            "parts",
            f'"{item[:40]}" is no part of a request.{nearest(item[:40], words)} '
            'A fixed text with letters or digits is written {text: "v0:"}.',
        )
    return Literal(item.encode("utf-8"))


def _place(kind: Kind, reader: Settings, parts: tuple[Part, ...]) -> Place:
    form = Form(reader.choice("form", list(Form), Form.PLAIN))
    usual = Encoding.BASE64 if kind in _PUBLIC else Encoding.HEX
    encoding = Encoding(reader.choice("encoding", list(Encoding), usual))
    if encoding is Encoding.RAW and form is not Form.WRAPPED:
        raise SchemeMistake("encoding", "raw bytes cannot stand in a header; write hex or base64.")
    prefix = reader.latin("prefix", "v1," if form is Form.LIST else "")
    if form in {Form.PAIRS, Form.WRAPPED} and prefix:
        raise SchemeMistake("prefix", f"the form {form} has no prefix.")
    if form is not Form.PAIRS and (reader.has("signature_key") or reader.has("timestamp_key")):
        raise SchemeMistake("form", "signature_key and timestamp_key belong to `form: pairs`.")
    in_pairs = form is Form.PAIRS and Word.TIMESTAMP in parts and not reader.has("timestamp_header")
    return Place(
        header=reader.header("header", DEFAULT_HEADER),
        form=form,
        encoding=encoding,
        prefix=prefix,
        signature_key=reader.latin("signature_key", "v1"),
        timestamp_key=reader.latin("timestamp_key", "t") if in_pairs else None,
    )


def _clock(reader: Settings, parts: tuple[Part, ...], place: Place) -> Clock | None:
    header = reader.header("timestamp_header") if reader.has("timestamp_header") else None
    if Word.TIMESTAMP not in parts:
        for key in ("timestamp_header", "timestamp_unit", "tolerance_seconds", "timestamp_key"):
            if reader.has(key):
                raise SchemeMistake(key, "the timestamp is not signed; add `timestamp` to `parts`.")
        return None
    if header is None and place.timestamp_key is None:
        raise SchemeMistake("timestamp_header", "`parts` has a timestamp; name the header that carries it.")
    unit = Unit(reader.choice("timestamp_unit", list(Unit), Unit.SECONDS))
    return Clock(unit, reader.seconds("tolerance_seconds", 300.0), header)


def _id_header(reader: Settings, parts: tuple[Part, ...]) -> str | None:
    if Word.ID in parts and not reader.has("id_header"):
        raise SchemeMistake("id_header", "`parts` has an id; name the header that carries it.")
    return reader.header("id_header") if reader.has("id_header") else None


def _url_decode(reader: Settings) -> tuple[str, ...]:
    escapes = reader.items("url_decode", [])
    for escape in escapes:
        if not isinstance(escape, str) or not _is_escape(escape):
            raise SchemeMistake("url_decode", 'write a list of escapes, like ["%3A", "%2F"].')
    return tuple(str(escape) for escape in escapes)


def _is_escape(text: str) -> bool:
    return len(text) == 3 and text[0] == "%" and all(c in "0123456789abcdefABCDEF" for c in text[1:])
