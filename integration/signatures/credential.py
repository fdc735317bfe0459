"""Kind static: a fixed secret that the sender repeats, in a header, as Basic, in the address or in the body.

It proves that the sender knows the secret, and nothing of the body. Both sides of the comparison are
hashed first, so that its time does not tell the secret's length.

| setting | meaning | default |
|---|---|---|
| secret | the secret; for `basic` USER:PASSWORD; two of them are separated by a space | must be there |
| header | the header that carries it | one of header, basic, query and body must be there |
| prefix | what stands before it in the header, e.g. "Bearer " | nothing |
| basic | `true`: HTTP Basic in the header Authorization | |
| query | the name of the query field that carries it | |
| body | the path in the body, e.g. `auth.token`; names are joined by dots | |
| body_format | `json`, `form` (PHP brackets count as dots) or `xml` (names without namespace) | json |
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, unquote_to_bytes
from xml.parsers import expat

from integration.signatures.scheme import BodyFormat, Credential, CredentialPlace, Kind
from integration.signatures.settings import Settings, secret_warnings
from integration.signatures.wire import Refusal, header_value, strict_base64
from integration.signatures.words import Cause, SchemeMistake, SignedRequest, Verified

PLACE_KEYS = frozenset({"header", "prefix", "basic", "query", "body", "body_format"})
KEYS = PLACE_KEYS | {"secret"}
_MAX_FIELDS = 1000
_UNSIGNED_BODY = "The body is not signed: whoever learns this secret can send any lead."
_IN_ADDRESS = "The secret stands in the address, which proxies and logs keep; change it now and then."


# ---- settings -----------------------------------------------------------------------------------


def build_credential(
    _kind: Kind, reader: Settings, _weak_allowed: bool, without_secrets: bool
) -> tuple[Credential, list[str]]:
    """The method that these settings describe, and the warnings. Raises SchemeMistake."""
    place, name = _place(reader)
    if place is not CredentialPlace.HEADER and reader.has("prefix"):
        raise SchemeMistake("prefix", "only a secret in `header` has a prefix.")
    if place is not CredentialPlace.BODY and reader.has("body_format"):
        raise SchemeMistake("body_format", "this belongs to a secret in `body`.")
    secrets = [] if without_secrets else reader.secrets()
    if place is CredentialPlace.BASIC and not all(":" in secret for secret in secrets):
        raise SchemeMistake("secret", "write user and password with a colon between them: USER:PASSWORD.")
    method = Credential(
        place=place,
        name=name,
        prefix=reader.latin("prefix"),
        body_format=BodyFormat(reader.choice("body_format", list(BodyFormat), BodyFormat.JSON)),
        keys=tuple(secret.encode("utf-8") for secret in secrets),
    )
    warnings = [_UNSIGNED_BODY] + [_IN_ADDRESS] * (place is CredentialPlace.QUERY)
    return method, secret_warnings(secrets) + warnings


def _place(reader: Settings) -> tuple[CredentialPlace, str]:
    places = [place for place in CredentialPlace if reader.has(place)]
    if len(places) != 1:
        raise SchemeMistake(
            places[1] if places else None,
            "say in one way where the secret stands: `header: NAME`, `basic: true`, `query: NAME` or `body: PATH`.",
        )
    place = places[0]
    if place is CredentialPlace.BASIC:
        if not reader.flag(place):
            raise SchemeMistake("basic", "write `basic: true`, or say where else the secret stands.")
        return place, "Authorization"
    name = reader.header(place) if place is CredentialPlace.HEADER else reader.text(place)
    if not all(name.split(".")):
        raise SchemeMistake(place, "this name is empty or has an empty part.")
    return place, name


# ---- verifying and signing ------------------------------------------------------------------------


def verify_credential(method: Credential, request: SignedRequest) -> Verified:
    """Which secret the request carries. Raises Refusal."""
    given = hashlib.sha256(_given(method, request)).digest()
    for index, key in enumerate(method.keys):
        if hmac.compare_digest(hashlib.sha256(key).digest(), given):
            return Verified(index, None)
    raise Refusal(Cause.MISMATCH)


def sign_credential(method: Credential, request: SignedRequest) -> list[tuple[str, str]]:
    """The header with the first secret; no header where the secret stands in the address or the body.

    Raises SchemeMistake if the secret belongs there and the request does not carry it.
    """
    match method.place:
        case CredentialPlace.HEADER:
            return [(method.name, (method.prefix + method.keys[0]).decode("latin-1"))]
        case CredentialPlace.BASIC:
            basic = binascii.b2a_base64(method.keys[0], newline=False).decode("ascii")
            return [(method.name, f"Basic {basic}")]
        case CredentialPlace.QUERY | CredentialPlace.BODY:
            try:
                verify_credential(method, request)
            except Refusal:
                where = "address" if method.place is CredentialPlace.QUERY else "body"
                raise SchemeMistake(
                    str(method.place), f"the secret belongs in the {where}, under `{method.name}`; no header holds it."
                ) from None
            return []


def query_with_credential(method: Credential, query: str) -> str:
    """The query with the first secret added, for a scheme whose secret stands there."""
    field = f"{quote(method.name, safe='')}={quote(method.keys[0], safe='')}"
    return f"{query}&{field}" if query else field


def _given(method: Credential, request: SignedRequest) -> bytes:
    match method.place:
        case CredentialPlace.HEADER:
            value = header_value(request, method.name.lower(), Cause.NO_SIGNATURE)
            if not value.startswith(method.prefix):
                raise Refusal(Cause.MALFORMED)
            return value[len(method.prefix) :]
        case CredentialPlace.BASIC:
            return _basic(header_value(request, "authorization", Cause.NO_SIGNATURE))
        case CredentialPlace.QUERY:
            return _only(_query_values(request.query, method.name))
        case CredentialPlace.BODY:
            return _only(_body_values(method, request.body))


def _basic(value: bytes) -> bytes:
    word, _, text = value.partition(b" ")
    plain = strict_base64(text) if word.lower() == b"basic" else None
    if plain is None:
        raise Refusal(Cause.MALFORMED)
    return plain


def _only(values: list[bytes]) -> bytes:
    """The one value. Two of them would let a proxy and us read different ones."""
    if len(values) > 1:
        raise Refusal(Cause.REPEATED_HEADER)
    if not values or not values[0]:
        raise Refusal(Cause.NO_SIGNATURE)
    return values[0]


def _query_values(query: str, name: str) -> list[bytes]:
    # A plus stays a plus: people paste secrets into an address as they are.
    fields = query.split("&", _MAX_FIELDS)
    wanted = name.encode("utf-8")
    pairs = [field.partition("=") for field in fields]
    return [unquote_to_bytes(value) for field, _, value in pairs if unquote_to_bytes(field) == wanted]


def _body_values(method: Credential, body: bytes) -> list[bytes]:
    match method.body_format:
        case BodyFormat.JSON:
            return _json_values(body, method.name)
        case BodyFormat.FORM:
            return [value.encode("utf-8") for name, value in _form_pairs(body) if _dotted(name) == method.name]
        case BodyFormat.XML:
            return list(_xml_values(body, method.name))


def _json_values(body: bytes, path: str) -> list[bytes]:
    node = json.loads(body)
    for step in path.split("."):
        if isinstance(node, list) and step.isascii() and step.isdigit():
            node = node[int(step)] if int(step) < len(node) else None
        else:
            node = node.get(step) if isinstance(node, dict) else None
    return [node.encode("utf-8")] if isinstance(node, str) else []


def _form_pairs(body: bytes) -> list[tuple[str, str]]:
    text = body.decode("utf-8")
    return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")


def _dotted(name: str) -> str:
    return name.replace("][", ".").replace("[", ".").removesuffix("]")


def _xml_values(body: bytes, path: str) -> Iterator[bytes]:
    """The texts of the elements at this path. A document type is refused: it can define entities that explode."""
    wanted = path.split(".")
    here: list[str] = []
    found: list[list[str]] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        here.append(name.rpartition(":")[2])
        if here == wanted:
            found.append([])

    def end(_name: str) -> None:
        here.pop()

    def text(piece: str) -> None:
        if here == wanted:
            found[-1].append(piece)

    def doctype(*_about: object) -> None:
        raise Refusal(Cause.MALFORMED)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(body, True)
    return ("".join(pieces).encode("utf-8") for pieces in found)
