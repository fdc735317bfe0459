"""Reads `answers:` and `handshake:`: what a CRM is told at the door, besides that its signature is right."""

from __future__ import annotations

import re

from integration.rules.reader import Reader, nearest
from integration.rules.shapes import Answers, Handshake, HandshakeKind
from integration.rules.yaml_tree import Node, shorten

ANSWERS = ("taken", "trouble", "soap_ack")
HANDSHAKE = ("kind", "token", "header")
TAKEN = (200, 202, 204)
TROUBLE = (429, 500, 502, 503, 504)
# Follow Up Boss, Keap, ActiveCampaign, EspoCRM and Standard Webhooks delete or stop a webhook after these.
_FATAL = ("406", "410")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
# Headers that say something else in an answer; echoing one would change what the answer means.
_NOT_ECHOED = re.compile(
    r"(?i)(access-control-.*|allow|authorization|cache-control|connection|content-.*|cookie|date|host|link|location"
    r"|proxy-.*|refresh|retry-after|server|set-cookie|te|trailer|transfer-encoding|upgrade|www-authenticate)"
)


def read_answers(reader: Reader, node: Node | None) -> Answers:
    """The answers of a source; what is not said, or wrong, is as usual."""
    usual = Answers()
    found = reader.keys(node, "`answers:`", ANSWERS)
    if found is None:
        return usual
    taken = _status(reader, found.get("taken"), "`taken:`", TAKEN) or usual.taken
    trouble = _status(reader, found.get("trouble"), "`trouble:`", TROUBLE) or usual.trouble
    soap = found.get("soap_ack")
    soap_ack = soap is not None and bool(reader.flag(soap, "`soap_ack:`"))
    if soap is not None and soap_ack and taken != usual.taken:
        reader.wrong(soap, f"`soap_ack:` is an answer with status 200, and `taken:` says {taken}; keep one of them")
    return Answers(taken, trouble, soap_ack)


def _status(reader: Reader, node: Node | None, what: str, allowed: tuple[int, ...]) -> int | None:
    text = reader.text(node, what)
    if node is None or text is None:
        return None
    known = ", ".join(str(status) for status in allowed)
    if text.strip() in _FATAL:
        reader.wrong(node, f"{what} can never be {text.strip()}: CRMs delete a webhook for it; write one of {known}")
    elif text.strip() not in known.split(", "):
        reader.wrong(node, f"{what} wants one of {known}, not `{shorten(text, 20)}`")
    else:
        return int(text)
    return None


def read_handshake(reader: Reader, node: Node) -> Handshake | None:
    """The handshake of a source, or None when it cannot be used."""
    before = len(reader.mistakes)
    found = reader.keys(node, "`handshake:`", HANDSHAKE)
    if found is None:
        return None
    kinds = [kind.value for kind in HandshakeKind]
    if "kind" not in found:
        reader.wrong(node, f"`handshake:` has no `kind:`; {nearest('', kinds)}")
        return None
    word = reader.text(found["kind"], "`kind:` of `handshake:`")
    if word is None or word.strip() not in kinds:
        if word is not None:
            reader.wrong(found["kind"], f"no handshake is called `{shorten(word)}`; {nearest(word, kinds)}")
        return None
    kind = HandshakeKind(word.strip())
    _note_misplaced(reader, node, found, kind)
    handshake = Handshake(kind, _header(reader, found.get("header")), _token(reader, found.get("token")))
    return handshake if len(reader.mistakes) == before else None


_WANTED = {HandshakeKind.GET_CHALLENGE: "token", HandshakeKind.ECHO_HEADER: "header"}


def _note_misplaced(reader: Reader, node: Node, found: dict[str, Node], kind: HandshakeKind) -> None:
    for key, example in (("token", "${NAME}"), ("header", "X-Hook-Secret")):
        if _WANTED.get(kind) == key and key not in found:
            reader.wrong(node, f"the handshake {kind} has no `{key}:`; add a line like `{key}: {example}`")
        elif _WANTED.get(kind) != key and key in found:
            reader.wrong(found[key], f"the handshake {kind} has no use for `{key}:`; take it out")


def _header(reader: Reader, node: Node | None) -> str:
    text = reader.text(node, "`header:` of `handshake:`")
    if node is None or text is None:
        return ""
    if not _HEADER_NAME.fullmatch(text.strip()) or _NOT_ECHOED.fullmatch(text.strip()):
        reader.wrong(node, f"`{shorten(text)}` is no header that can be echoed; write it like X-Hook-Secret")
    return text.strip()


def _token(reader: Reader, node: Node | None) -> bytes:
    expanded = reader.secret(node, "`token:` of `handshake:`")
    if node is None or expanded is None:
        return b""
    if not expanded.from_variable:
        reader.warn_of_written_secret(node, "`token:`")
    return b"" if expanded.stood_in else expanded.text.strip().encode("utf-8")
