"""JSON, read more strictly than Python's default reads it.

Python accepts UTF-16, a byte order mark at times, a key twice, NaN, half of a surrogate pair, NUL, an
integer of 4,000 digits and `1e1000000`. Each fails later, in a database or in a rule. The depth is
counted before parsing, so that no body can reach the parser's recursion limit.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from integration.model import Tree
from integration.payload.paths import path_text, walk
from integration.payload.refusal import MAX_DEPTH, BodyRefusedError, show

MAX_NUMBER_LENGTH = 100  # characters
MAX_EXPONENT = 308  # powers of ten, either way: what a double can hold


def decode(raw: bytes) -> str:
    """The text of a UTF-8 body. Raises BodyRefusedError, also for a byte order mark."""
    if raw.startswith(b"\xef\xbb\xbf"):
        raise BodyRefusedError("The body starts with a byte order mark; send UTF-8 without one.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        raise BodyRefusedError("The body looks like UTF-16 or UTF-32; send it as UTF-8.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyRefusedError(f"The body is not UTF-8 at byte {error.start + 1}; send it as UTF-8.") from None


def parse_json(raw: bytes) -> Tree:
    """Read one JSON document that is an object or a list. Raises BodyRefusedError.

    Numbers keep their digits: they become int, or Decimal when written with a point or an exponent.
    """
    text = decode(raw)
    # It cannot be deeper than it has brackets, so most bodies need no scan.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(raw):
        where = _place(raw, _is_first_too_deep)
        raise BodyRefusedError(f"The body is nested deeper than {MAX_DEPTH} levels at {where}; send it flatter.")
    try:
        tree: Tree = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BodyRefusedError(_complaint(error)) from None
    except _BadNumberError:
        where = _place(raw, _is_bad_number)
        raise BodyRefusedError(f"A number is too long or too large at {where}; send it as text in quotes.") from None
    if not isinstance(tree, dict | list):
        raise BodyRefusedError("The body is a single value; an object in braces or a list is needed.")
    if _SUSPECT_ESCAPE.search(text):
        _refuse_unstorable_text(tree)
    return tree


# ---- what the parser calls back ---------------------------------------------------------------


class _BadNumberError(Exception):
    """A number that no lead has; its place is found afterwards."""


def _read_int(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise _BadNumberError
    return int(text)


def _read_decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_LENGTH:
        raise _BadNumberError
    try:
        number = Decimal(text)
    except ArithmeticError:  # an exponent beyond what Decimal holds
        raise _BadNumberError from None
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise _BadNumberError
    return number


def _refuse_constant(_: str) -> None:
    raise BodyRefusedError("The body holds NaN or Infinity, which JSON does not know; send null or a number.")


def _read_object(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise BodyRefusedError(f"The key {show(twice)} stands twice in one object; send each key once.")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_int=_read_int,
    parse_float=_read_decimal,
    parse_constant=_refuse_constant,
)

# ---- depth and places -------------------------------------------------------------------------

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Texts, brackets and numbers. Each alternative ends in one way only, so that a scan of hostile bytes
# is linear: a text without an end is one token up to the body's end.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{\]}]|[-+0-9][-+.0-9eE]*+', re.DOTALL)


def _is_too_deep(raw: bytes) -> bool:
    """Whether a parser would go too deep. Brackets within texts do not count."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = 0
    for byte in b"".join(raw.split(b'"')[::2]).translate(None, _NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False


def _is_first_too_deep(token: bytes, depth: int) -> bool:
    return depth > MAX_DEPTH and token in (b"[", b"{")


def _is_bad_number(token: bytes, _: int) -> bool:
    if token[:1] in (b'"', b"[", b"{", b"]", b"}"):
        return False
    try:
        _read_decimal(token.decode("ascii"))
    except _BadNumberError:
        return True
    return False


def _place(raw: bytes, is_it: Callable[[bytes, int], bool]) -> str:
    """Line and column of the first token that answers to `is_it(token, depth)`."""
    depth = offset = 0
    for token in _TOKEN.finditer(raw):
        depth += (token[0] in (b"[", b"{")) - (token[0] in (b"]", b"}"))
        offset = token.start()
        if is_it(token[0], depth):
            break
    start = raw.rfind(b"\n", 0, offset) + 1
    column = len(raw[start:offset].decode("utf-8", "replace")) + 1
    line = raw.count(b"\n", 0, offset) + 1
    return f"line {line}, column {column}"


_COMPLAINTS = {
    "Extra data": "something follows the end of the document; send one document and nothing after it",
    "Expecting value": "a value is missing, or is no JSON value",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Expecting ':' delimiter": "a colon is missing after a key",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Illegal trailing comma before end of object": "there is a comma before a closing brace; take it out",
    "Illegal trailing comma before end of array": "there is a comma before a closing bracket; take it out",
    "Unterminated string starting at": "a text has no closing quote (was the body cut off?)",
    "Invalid control character at": "a text holds a raw control character; send it escaped",
    "Invalid \\escape": "a text holds a backslash that escapes nothing; send it doubled",
    "Invalid \\uXXXX escape": "a text holds a \\u without four hexadecimal digits",
}


def _complaint(error: json.JSONDecodeError) -> str:
    start = error.doc.lstrip()[:2]
    what = _COMPLAINTS.get(error.msg.removesuffix(": "), "this is no JSON")
    if start.startswith("<"):
        what = "this looks like XML or HTML; send JSON, or XML with its own Content-Type"
    elif start == "--":
        what = "this looks like a multipart form; send JSON, or a form as application/x-www-form-urlencoded"
    return f"The body is no valid JSON at line {error.lineno}, column {error.colno}: {what}."


# ---- text that no database stores ---------------------------------------------------------------

# Raw ones are refused by the decoder and the parser; only an escape can smuggle them in.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _refuse_unstorable_text(tree: Tree) -> None:
    for path, value in walk(tree, ()):
        for text in (*path, value if isinstance(value, str) else ""):
            if (found := _UNSTORABLE.search(text)) is not None:
                what = "A NUL character" if found[0] == "\0" else "Half of a surrogate pair"
                raise BodyRefusedError(f"{what} stands at {show(path_text(path))}; leave it out.")
