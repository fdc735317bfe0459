"""Why a signature does not fit: tries the usual mistakes one by one and names the one that explains it.

This is for a person at a terminal, with a request that was refused. It is slow on purpose compared with
`verify` and must never be offered to a sender: its answers help whoever searches for a signature. No
sentence holds a secret, an expected signature or a part of the body.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from integration.signatures.check import verify
from integration.signatures.message import Literal, Part, Word
from integration.signatures.scheme import Credential, Kind, Method, Scheme, SignedParts, TimestampSigned, Token
from integration.signatures.wire import Encoding
from integration.signatures.words import Cause, Refused, SignedRequest, Verified

MAX_TRIED_HEADERS = 100
MAX_LOGGED_BODY = 32 * 1024
MAX_LOGGED_HEADERS = 50
MAX_TRIED_HOSTS = 8
_HOST_HEADERS = {"host", "x-forwarded-host", "x-original-host", "x-forwarded-server"}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
# `Forwarded: host=x.example`, or an address anywhere in a header, as in `Referer` and `X-Original-URL`.
_HOST_WITHIN = re.compile(r"(?:\bhost=\"?|\bhttps?://)([A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)", re.IGNORECASE)
_LOOK = "`ringback doctor signature` tells more of a captured request."


class Suspect(StrEnum):
    """The likely reason of a refusal."""

    NOTHING = "nothing"
    CLOCK = "clock"
    WRONG_HEADER = "wrong_header"
    NO_SIGNATURE = "no_signature"
    ENCODING = "encoding"
    PREFIX = "prefix"
    BODY_ALTERED = "body_altered"
    PUBLIC_URL = "public_url"
    SECRET_BLANKS = "secret_blanks"  # noqa: S105 - the name of a mistake
    KEY_FORMAT = "key_format"
    RETIRED_SECRET = "retired_secret"  # noqa: S105
    HASH = "hash"
    PARTS = "parts"
    SALT = "salt"
    FORM = "form"
    SETTINGS = "settings"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What explains a refusal. `is_proved`: with this one change the signature fits."""

    suspect: Suspect
    message: str
    is_proved: bool


@dataclass(frozen=True, slots=True)
class _Trial:
    suspect: Suspect
    message: str
    scheme: Scheme
    request: SignedRequest


def diagnose(scheme: Scheme, request: SignedRequest, now: datetime, retired: Sequence[str] = ()) -> Diagnosis:
    """The likely cause why `verify` refuses this request, in a sentence for the person who set it up.

    `retired` are secrets that were in use before, as text. Never raises for the bytes of a request.
    """
    verdict = verify(scheme, request, now)
    if isinstance(verdict, Verified):
        return Diagnosis(Suspect.NOTHING, "The signature is right.", is_proved=True)
    known = _from_cause(verdict)
    if known is not None:
        return known
    for trial in _trials(scheme, request, retired):
        if _fits(trial, now):
            fitting = f" {_address(trial.request)} fits." if trial.suspect is Suspect.PUBLIC_URL else ""
            return Diagnosis(trial.suspect, trial.message + fitting, is_proved=True)
    return _unproved(scheme, request, verdict)


def likely_cause(scheme: Scheme, request: SignedRequest, now: datetime) -> Diagnosis:
    """`diagnose` for a line in the log of a running server: little work, and constant words alone.

    A stranger's request must neither cost much nor write into the log, so a large body or many headers are not
    tried at all, and no header is named. The caller limits how often. Never raises.
    """
    if len(request.body) > MAX_LOGGED_BODY or len(request.headers) > MAX_LOGGED_HEADERS:
        return Diagnosis(Suspect.UNKNOWN, f"The request is too large to be looked into here. {_LOOK}", is_proved=False)
    try:
        found = diagnose(scheme, request, now)
    except Exception:  # noqa: BLE001 - hostile bytes are read here: the answer to the sender must not change
        return Diagnosis(Suspect.UNKNOWN, f"The request could not be looked into. {_LOOK}", is_proved=False)
    if found.suspect is Suspect.WRONG_HEADER:
        said = "The signature seems to stand in another header than the settings say."
        return Diagnosis(found.suspect, f"{said} {_LOOK}", found.is_proved)
    if found.suspect is Suspect.PUBLIC_URL:
        said = f"The CRM calls another address than PUBLIC_URL; {_address(request)} was checked."
        return Diagnosis(found.suspect, f"{said} {_LOOK}", found.is_proved)
    return found


def _fits(trial: _Trial, now: datetime) -> bool:
    verdict = verify(trial.scheme, trial.request, now)
    # The age is judged only after the signature: too old and too new are matches as well.
    return isinstance(verdict, Verified) or verdict.cause in {Cause.TOO_OLD, Cause.TOO_NEW}


def _from_cause(verdict: Refused) -> Diagnosis | None:
    """What needs no trial: our own settings, and clocks."""
    if verdict.cause.is_ours:
        return Diagnosis(Suspect.SETTINGS, verdict.message, is_proved=True)
    if verdict.cause in {Cause.TOO_OLD, Cause.TOO_NEW} and verdict.age_seconds is not None:
        seconds = round(abs(verdict.age_seconds))
        way = "old" if verdict.cause is Cause.TOO_OLD else "ahead of this machine's clock"
        more = "It is a late repetition, or a clock is wrong." if verdict.cause is Cause.TOO_OLD else ""
        text = f"The signature is right and {seconds} s {way}. {more} Compare the clocks of both machines."
        return Diagnosis(Suspect.CLOCK, " ".join(text.split()), is_proved=True)
    return None


def _unproved(scheme: Scheme, request: SignedRequest, verdict: Refused) -> Diagnosis:
    if verdict.cause is Cause.NO_SIGNATURE:
        candidates = [_shown(name) for name, _ in request.headers if _looks_signed(name)]
        hint = f" Headers that look like one: {', '.join(candidates[:5])}." if candidates else ""
        suspect = Suspect.WRONG_HEADER if candidates else Suspect.NO_SIGNATURE
        ask = "Does the CRM sign at all?" if scheme.has_public_key else "Is the secret set on the CRM's side?"
        return Diagnosis(suspect, f"{verdict.message}{hint} {ask}", is_proved=False)
    if verdict.cause is Cause.MISMATCH:
        return Diagnosis(Suspect.UNKNOWN, _several_causes(scheme, request), is_proved=False)
    return Diagnosis(
        Suspect.FORM, f"{verdict.message} Compare `{scheme.name}` with what the CRM sends.", is_proved=False
    )


def _several_causes(scheme: Scheme, request: SignedRequest) -> str:
    likely = "the secret is another one: copy it anew on both sides"
    if scheme.has_public_key:
        likely = "the sender's key is another one than the public key set here, or the message is not from that sender"
    if scheme.signs_url:
        likely += f"; or the CRM calls another address than PUBLIC_URL: {_address(request)} was checked"
    return (
        f"No usual mistake explains it. Most likely {likely}. Else something between the CRM and here changes the body."
    )


def _address(request: SignedRequest) -> str:
    """The address that a signature covers, without the query, in which a secret may stand."""
    return _shown((request.url or "").partition("?")[0], 300)


def _looks_signed(name: str) -> bool:
    return any(word in name.lower() for word in ("signature", "sig-", "hmac", "digest", "authorization", "token"))


def _shown(name: str, most: int = 60) -> str:
    return "".join(character for character in name[:most] if character.isascii() and character.isprintable())


# ---- one changed thing at a time ----------------------------------------------------------------------


def _trials(scheme: Scheme, request: SignedRequest, retired: Sequence[str]) -> Iterator[_Trial]:
    for method, suspect, message in _methods(scheme.method, retired):
        yield _Trial(suspect, message, replace(scheme, method=method), request)
    yield from _headers(scheme, request)
    if isinstance(scheme.method, SignedParts | TimestampSigned):
        for body, what in _bodies(request.body):
            yield _Trial(Suspect.BODY_ALTERED, what, scheme, replace(request, body=body))
    if isinstance(scheme.method, SignedParts) and Word.URL in scheme.method.parts:
        for url, what in _urls(request):
            yield _Trial(Suspect.PUBLIC_URL, what, scheme, replace(request, url=url))


def _methods(method: Method, retired: Sequence[str]) -> Iterator[tuple[Method, Suspect, str]]:
    for keys, suspect, message in _keys(method.keys, retired):
        yield _with_keys(method, keys), suspect, message
    match method:
        case SignedParts():
            yield from _signed_variants(method)
        case TimestampSigned():
            for name in ("sha1", "sha384", "sha512", "sha256"):
                text = f"The sender signs with {name}. Give its signer digest_method=hashlib.{method.hash}."
                yield replace(method, hash=name), Suspect.HASH, text
                text = (
                    f"The sender uses the library's own salt{f' and {name}' * (name != method.hash)}; set both alike."
                )
                yield replace(method, hash=name, salt=b"itsdangerous.Signer"), Suspect.SALT, text
        case Credential() | Token():
            return


def _with_keys(method: Method, keys: tuple[bytes, ...]) -> Method:
    match method:
        case SignedParts():
            return replace(method, keys=keys)
        case TimestampSigned():
            return replace(method, keys=keys)
        case Credential():
            return replace(method, keys=keys)
        case Token():
            return replace(method, keys=keys)


def _keys(keys: tuple[bytes, ...], retired: Sequence[str]) -> Iterator[tuple[tuple[bytes, ...], Suspect, str]]:
    texts = [secret.strip().encode("utf-8") for secret in retired if secret.strip()]
    old = [key for text in texts for key in (text, _from_hex(text), _from_base64(text), _from_whsec(text)) if key]
    if old:
        yield tuple(old), Suspect.RETIRED_SECRET, "It was signed with a retired secret: the CRM still uses the old one."
    blanks = [key + end for key in keys for end in (b"\n", b"\r\n", b" ")] + [b" " + key for key in keys]
    yield (
        tuple(blanks),
        Suspect.SECRET_BLANKS,
        "The CRM's secret has a blank or line end at its edge: paste it there anew without one.",
    )
    stripped = tuple(key.strip() for key in keys if key.strip() != key and key.strip())
    yield stripped, Suspect.SECRET_BLANKS, "Our secret has a blank or line end at its edge: remove it."
    for name, read in (("hex", _from_hex), ("base64", _from_base64), ("whsec", _from_whsec)):
        other = tuple(key for key in (read(key) for key in keys) if key)
        yield other, Suspect.KEY_FORMAT, f"The CRM reads the secret as {name}: set `key: {name}`."
    written = [key.hex().encode() for key in keys] + [key.hex().upper().encode() for key in keys]
    written += [text for key in keys for text in (base64.b64encode(key), b"whsec_" + base64.b64encode(key))]
    yield tuple(written), Suspect.KEY_FORMAT, "The CRM uses the secret as the text it is: set `key: text`."


def _from_hex(key: bytes) -> bytes | None:
    try:
        return bytes.fromhex(key.decode("ascii"))
    except ValueError:
        return None


def _from_base64(key: bytes) -> bytes | None:
    try:
        return base64.b64decode(key, validate=True)
    except ValueError:
        return None


def _from_whsec(key: bytes) -> bytes | None:
    return _from_base64(key.removeprefix(b"whsec_")) if key.startswith(b"whsec_") else None


def _signed_variants(method: SignedParts) -> Iterator[tuple[SignedParts, Suspect, str]]:
    place = method.place
    for encoding in (Encoding.HEX, Encoding.BASE64, Encoding.BASE64URL):
        text = f"The signature is written as {encoding}: set `encoding: {encoding}`."
        yield replace(method, place=replace(place, encoding=encoding)), Suspect.ENCODING, text
    for prefix in (b"", b"sha256=", b"sha512=", b"sha1=", b"v0=", b"v1=", b"v1,"):
        shown = prefix.decode("ascii")
        text = f'The signature has the prefix "{shown}": set it.' if shown else "The signature has no prefix."
        yield replace(method, place=replace(place, prefix=prefix)), Suspect.PREFIX, text
    if method.kind in {Kind.HMAC, Kind.HASH}:
        for name in ("sha256", "sha384", "sha512", "sha1", "md5"):
            yield (
                replace(method, hash=name),
                Suspect.HASH,
                f"The CRM signs with {name}, the settings say {method.hash}.",
            )
    for parts, what in _parts_variants(method):
        yield replace(method, parts=parts), Suspect.PARTS, what


def _parts_variants(method: SignedParts) -> Iterator[tuple[tuple[Part, ...], str]]:
    body = (Word.BODY,)
    yield body, "The CRM signs the body alone: set `parts: [body]`."
    yield (Word.BODY_BASE64,), "The CRM signs the base64 of the body: set `parts: [body_base64]`."
    if method.clock is not None:
        for separator in ("", ".", ":"):
            between = (Literal(separator.encode("ascii")),) if separator else ()
            what = f'"{separator}" between' if separator else "nothing between"
            text = f"The CRM signs timestamp and body with {what}: set `parts`."
            yield (Word.TIMESTAMP, *between, *body), text
            yield (*body, *between, Word.TIMESTAMP), text.replace("timestamp and body", "body and timestamp")


def _headers(scheme: Scheme, request: SignedRequest) -> Iterator[_Trial]:
    """Each other header in the place of the signature's."""
    method = scheme.method
    wanted = method.place.header if isinstance(method, SignedParts) else getattr(method, "header", None)
    if isinstance(method, Credential):
        wanted = method.name
    if wanted is None:
        return
    for name, value in request.headers[:MAX_TRIED_HEADERS]:
        if name.lower() == wanted.lower():
            continue
        others = [pair for pair in request.headers if pair[0].lower() != wanted.lower()]
        text = f"The signature stands in the header {_shown(name)}: set `header`."
        yield _Trial(Suspect.WRONG_HEADER, text, scheme, replace(request, headers=[*others, (wanted, value)]))


_ALTERED = "The body was changed on its way: "


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    yield body + b"\n", _ALTERED + "its last line end was removed."
    yield body + b"\r\n", _ALTERED + "its last line end was removed."
    yield body.rstrip(b"\r\n"), _ALTERED + "a line end was added."
    yield body.strip(), _ALTERED + "blanks were added."
    yield body.replace(b"\r\n", b"\n"), _ALTERED + "its line ends became CRLF."
    yield body.replace(b"\n", b"\r\n"), _ALTERED + "its line ends were CRLF."
    yield body.removeprefix(b"\xef\xbb\xbf"), _ALTERED + "a byte order mark was added."
    yield b"\xef\xbb\xbf" + body, _ALTERED + "its byte order mark was removed."
    yield b"", "The CRM signs an empty body."
    try:
        tree = json.loads(body)
        for sort in (False, True):
            for ascii_only in (False, True):
                for separators in ((",", ":"), (", ", ": ")):
                    text = json.dumps(tree, sort_keys=sort, ensure_ascii=ascii_only, separators=separators)
                    yield text.encode("utf-8"), _ALTERED + "the JSON was parsed and written again."
    except (ValueError, RecursionError, TypeError):
        return


def _urls(request: SignedRequest) -> Iterator[tuple[str, str]]:
    try:
        url = urlsplit(request.url or "")
    except ValueError:
        return
    schemes = {"https": "http", "http": "https"}
    for host in dict.fromkeys([url.netloc, url.netloc.partition(":")[0], *_hosts(request)]):
        for scheme in (url.scheme, schemes.get(url.scheme, "https")):
            for path in (url.path, url.path.rstrip("/"), url.path.rstrip("/") + "/"):
                for query in dict.fromkeys((url.query, "")):
                    made = urlunsplit((scheme, host, path, query, ""))
                    yield made, f"The CRM calls another address, {_difference(url.scheme, scheme, host == url.netloc)}"


def _hosts(request: SignedRequest) -> list[str]:
    """The hosts that the headers name, those first that proxies write."""
    headers = request.headers[:MAX_TRIED_HEADERS]
    named = [value.strip() for name, value in headers if name.lower() in _HOST_HEADERS]
    within = [host for _, value in headers for host in _HOST_WITHIN.findall(value[:2000])]
    return [host for host in dict.fromkeys(named + within) if _HOST.fullmatch(host)][:MAX_TRIED_HOSTS]


def _difference(ours: str, theirs: str, same_host: bool) -> str:
    if ours != theirs:
        return f"one with {theirs}: correct PUBLIC_URL, or the address in the CRM."
    if not same_host:
        return "on another host: correct PUBLIC_URL, or the address in the CRM."
    return "with another trailing slash or query: make the address in the CRM the same as ours."
