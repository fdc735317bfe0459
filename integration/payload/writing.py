"""How a tree becomes a body again: the reverse of `parse_body`, for messages that this program makes itself.

Only what `parse_body` reads alike is written. Comments, namespaces and the order of attributes of an XML
document are not kept, because the tree never had them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal
from urllib.parse import quote_plus

from integration.model import Tree
from integration.payload.paths import as_text

Steps = tuple[str, ...]
WrittenForm = Literal["json", "form", "xml"]

CONTENT_TYPES: dict[WrittenForm, str] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "text/xml; charset=utf-8",
}
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,200}")
_FORM_BODY = re.compile(rb"[^\s={}<>\"]{1,200}=")


class CannotWrite(Exception):
    """The tree has no such body, or a value no such place. The message is a sentence."""


def form_of_body(raw: bytes) -> WrittenForm:
    """What a body looks like, for one that came without its Content-Type."""
    body = raw.lstrip(b" \t\r\n\xef\xbb\xbf")
    if body.startswith(b"<"):
        return "xml"
    return "form" if _FORM_BODY.match(body) and not body.startswith((b"{", b"[")) else "json"


def put(tree: Tree, steps: Steps, value: Tree) -> Tree:
    """A copy of the tree with `value` at these steps. What is missing on the way is made. Raises CannotWrite."""
    if not steps:
        return value
    first, rest = steps[0], steps[1:]
    if tree is None and first == "0":
        return [put(None, rest, value)]
    if isinstance(tree, list):
        index = int(first) if first.isascii() and first.isdigit() and len(first) < 10 else -1
        if not 0 <= index <= len(tree):
            raise CannotWrite(f"the list has no place {first[:40]!r}")
        inner = tree[index] if index < len(tree) else None
        return [*tree[:index], put(inner, rest, value), *tree[index + 1 :]]
    if tree is not None and not isinstance(tree, dict):
        raise CannotWrite(f"a single value stands where {first[:40]!r} should be found")
    known = tree or {}
    return {**known, first: put(known.get(first), rest, value)}


def write_body(tree: Tree, form: WrittenForm) -> bytes:
    """The tree as JSON, as a form with PHP's brackets, or as XML. Raises CannotWrite."""
    match form:
        case "json":
            return json.dumps(tree, ensure_ascii=False, default=_plain_number).encode("utf-8")
        case "form":
            if not isinstance(tree, dict):
                raise CannotWrite("a form is made of named fields")
            pairs = [pair for name, value in tree.items() for pair in _form_pairs(name, value)]
            return "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in pairs).encode("ascii")
        case "xml":
            if not isinstance(tree, dict) or len(tree) != 1 or isinstance(next(iter(tree.values())), list):
                raise CannotWrite("XML has exactly one outermost element")
            ((name, value),) = tree.items()
            return ('<?xml version="1.0" encoding="UTF-8"?>' + "".join(_elements(name, value))).encode("utf-8")


def _plain_number(value: object) -> int | float:
    if not isinstance(value, Decimal):
        raise CannotWrite(f"JSON has no {type(value).__name__}")
    return int(value) if value == value.to_integral_value() else float(value)


def _text(value: Tree) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else as_text(value) or ""


def _escaped(text: str) -> str:
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, entity)
    return text


def _form_pairs(name: str, value: Tree) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _form_pairs(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for item in value:
            yield from _form_pairs(f"{name}[]", item)
    else:
        yield name, _text(value)


def _elements(name: str, value: Tree) -> Iterator[str]:
    if not _XML_NAME.fullmatch(name):
        raise CannotWrite(f"{name[:40]!r} cannot name an XML element")
    if isinstance(value, list):
        for item in value:
            yield from _elements(name, item)
    elif isinstance(value, dict):
        attributes = {key[1:]: _text(inner) for key, inner in value.items() if key.startswith("@")}
        if not all(_XML_NAME.fullmatch(key) for key in attributes):
            raise CannotWrite(f"an attribute of {name!r} has a name that XML does not take")
        yield "<" + "".join([name, *(f' {key}="{_escaped(text)}"' for key, text in attributes.items())]) + ">"
        for key, inner in value.items():
            if key == "#text":
                yield _escaped(_text(inner))
            elif not key.startswith("@"):
                yield from _elements(key, inner)
        yield f"</{name}>"
    elif value is None:
        yield f'<{name} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
    else:
        yield f"<{name}>{_escaped(_text(value))}</{name}>"
