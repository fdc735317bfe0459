"""Conditions that can be read and most likely never fit: doubts about what the admin meant, never a mistake.

The rules file compares text as it stands. Some texts are such that nobody would write them if that were
known: `*@example.com`, `500-1000`, a `phone` that begins with 030. A doubt about a text is dropped when a
test of the file has a record with exactly this text, because then somebody has looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from integration.countries import read_country
from integration.model import Tree
from integration.payload import fold, usable_text
from integration.rules.conditions import SIZE_OPS, Op
from integration.rules.letters import as_latin, in_typographic_quotes, is_mixed
from integration.rules.load_conditions import COUNTRIES, JOINS
from integration.rules.scope import MessagePath
from integration.rules.shapes import RulesTest, Source
from integration.rules.yaml_lines import size
from integration.rules.yaml_tree import Block, Items, Node, Scalar, shorten

_COMPARISON = re.compile(r"([<>]=?|=[<>]|[≥≤])\s*([0-9][0-9.,]*)")
_RANGE = re.compile(r"([1-9][0-9]*|0)\s*(?:[-\u2013\u2014]|to|\.\.+)\s*([1-9][0-9]*)")
_OR_MORE = re.compile(r"([1-9][0-9]*)\s*(?:\+|or more|and more|and above)")
_NUMBER = re.compile(r"0|[1-9][0-9]*(\.[0-9]+)?")
_DOMAIN = re.compile(r"@?([\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,})")
# Numbers that are names: nobody asks whether a stage is at least 3.
_NAMED = ("id", "code", "zip", "stage", "status", "type")
_SPACES = re.compile(r"[\s()/.-]+")
MAX_WORD_CHARS = 200
_WORDS = frozenset(op.value for op in Op)
_PHONE = {
    Op.IS: re.compile(r"\+[0-9]+"),
    Op.IS_NOT: re.compile(r"\+[0-9]+"),
    Op.STARTS_WITH: re.compile(r"\+[0-9]*"),
    Op.CONTAINS: re.compile(r"\+?[0-9]+"),
    Op.ENDS_WITH: re.compile(r"\+?[0-9]+"),
}


class Kind(StrEnum):
    """What decides whether a doubt is worth a warning."""

    ALWAYS = "always"
    TEXT = "text"  # dropped when a test record has this text
    EXACT_NUMBER = "exact_number"  # worth it only where the field is a size: see `worth_telling`
    COUNTRY = "country"  # worth it where the rule calls, and `word` is not among `may_call:`


@dataclass(frozen=True, slots=True)
class Doubt:
    """One value of a condition. `word` is folded, or the code of a country."""

    line: int
    column: int
    kind: Kind
    field: str
    word: str
    message: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of the file says of the fields."""

    texts: Mapping[str, frozenset[str]]  # the folded texts of each field in the test records
    sizes: frozenset[str]  # fields of which some rule asks the size


def known_of(sources: Mapping[str, Source], tests: Sequence[RulesTest], conditions: Sequence[Node]) -> Known:
    """Gathered once for a file."""
    texts: dict[str, set[str]] = {}
    for test in tests:
        source = sources.get(test.source)
        for name, where in source.fields.items() if source is not None else ():
            for path in where.paths:
                if not isinstance(path, MessagePath):
                    texts.setdefault(name, set()).update(_texts(path.find(test.record)))
    sizes = {name for node in conditions for name, op, _, _ in _questions(node) if op in SIZE_OPS}
    return Known({name: frozenset(found) for name, found in texts.items()}, frozenset(sizes))


def _texts(value: Tree) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        text = usable_text(item)
        if text is not None:
            yield fold(text)


def worth_telling(doubt: Doubt, known: Known) -> bool:
    """Whether a doubt stands when the rest of the file is known."""
    seen = known.texts.get(doubt.field, frozenset())
    match doubt.kind:
        case Kind.TEXT:
            return doubt.word not in seen
        case Kind.EXACT_NUMBER:
            is_size = doubt.field in known.sizes or any(_NUMBER.fullmatch(text) for text in seen)
            return is_size and doubt.word not in seen
    return True


def doubts_of(when: Node) -> Iterator[Doubt]:
    """The doubts about a `when:` that was read without a mistake."""
    for name, op, node, positive in _questions(when):
        values = _scalars(node)
        for value in values:
            if name in COUNTRIES:
                if positive and op is Op.IS:
                    yield from _of_country(name, value)
                continue
            told = _of_phone(op, value.text.strip()) if name == "phone" else None
            if told is not None:
                yield Doubt(value.line, value.column, Kind.ALWAYS, name, fold(value.text), told)
            elif name not in ("phone", "source"):
                yield from _of_text(name, op, value, alone=len(values) == 1)


def of_message(path: str, node: Node) -> Iterator[Doubt]:
    """The doubts about one line of `only:`."""
    for op, values in _asked(node):
        for value in _scalars(values):
            told = _wildcard(path, op, value.text.strip())
            if told is not None:
                yield Doubt(value.line, value.column, Kind.ALWAYS, path, fold(value.text), told)


# ---- walking ----------------------------------------------------------------------------------


def _questions(when: Node, positive: bool = True) -> Iterator[tuple[str, Op, Node, bool]]:
    """Field, question and values of each line, and whether it must hold; False inside `not:`."""
    for key, value in when.entries if isinstance(when, Block) else ():
        if key.text == "not":
            yield from _questions(value, not positive)
        elif key.text in JOINS:
            for item in value.nodes if isinstance(value, Items) else ():
                yield from _questions(item, positive)
        else:
            for op, values in _asked(value):
                yield key.text, op, values, positive


def _asked(node: Node) -> Iterator[tuple[Op, Node]]:
    if not isinstance(node, Block):
        yield Op.IS, node
        return
    for word, value in node.entries:
        if word.text in _WORDS:
            yield Op(word.text), value


def _scalars(node: Node) -> list[Scalar]:
    nodes = node.nodes if isinstance(node, Items) else (node,)
    return [one for one in nodes if isinstance(one, Scalar) and len(one.text) <= MAX_WORD_CHARS]


# ---- doubting ---------------------------------------------------------------------------------


def _of_country(name: str, value: Scalar) -> Iterator[Doubt]:
    code = read_country(value.text)
    if code is not None:
        message = (
            f"this rule calls, and `may_call:` does not list {code}: a number there is always blocked;"
            f" add {code} to `may_call:`, or take it out here"
        )
        yield Doubt(value.line, value.column, Kind.COUNTRY, name, code, message)


def _of_phone(op: Op, word: str) -> str | None:
    wanted = _PHONE.get(op)
    if wanted is None or wanted.fullmatch(word):
        return None
    bare = _SPACES.sub("", word)
    help_ = "write it without spaces and signs" if wanted.fullmatch(bare) else "begin with `+` and the country code"
    if op in {Op.CONTAINS, Op.ENDS_WITH} and not wanted.fullmatch(bare):
        help_ = "write digits"
    return f"`phone` is always a number like +4930901820, so `{shorten(word)}` cannot stand there; {help_}"


def _of_text(name: str, op: Op, value: Scalar, *, alone: bool) -> Iterator[Doubt]:
    if op in SIZE_OPS or op is Op.EXISTS:
        return
    word = value.text.strip()
    kind, told = Kind.TEXT, _wildcard(name, op, word)
    if told is None and op in {Op.IS, Op.IS_NOT}:
        told = _address_part(name, op, word) or _size(word) or _negation(op, word)
    if told is None and is_mixed(word):
        told = f"`{shorten(word)}` holds letters of another alphabet; type it again as `{shorten(as_latin(word))}`"
    if told is None and op is Op.IS and alone and _NUMBER.fullmatch(word) and not fold(name).endswith(_NAMED):
        kind = Kind.EXACT_NUMBER
        told = f"exactly {word} is meant here; did you mean `{{at_least: {word}}}` or `{{at_most: {word}}}`?"
    if told is not None and not (value.plain and in_typographic_quotes(word)):
        told += " (A test whose record has exactly this ends the warning.)"
        yield Doubt(value.line, value.column, kind, name, fold(word), told)


def _condition(name: str, op: Op, word: Op, text: str) -> str:
    """A condition with another question, negated where the first was."""
    asked = f'{{{word}: "{shorten(text)}"}}'
    return f"`not: {{{shorten(name)}: {asked}}}`" if op is Op.IS_NOT else f"`{asked}`"


def _wildcard(name: str, op: Op, word: str) -> str | None:
    bare = word.strip("*")
    if "*" not in word:
        return None
    what = "`*` is no wildcard here but a character"
    if not bare:
        return f"{what}; did you mean `{{exists: true}}`?"
    if "*" in bare or op not in {Op.IS, Op.IS_NOT}:
        return f"{what}; take it out"
    both = word.startswith("*") and word.endswith("*")
    meant = Op.CONTAINS if both else Op.ENDS_WITH if word.startswith("*") else Op.STARTS_WITH
    return f"{what}; did you mean {_condition(name, op, meant, bare)}?"


def _address_part(name: str, op: Op, word: str) -> str | None:
    """A domain where a field of addresses is asked for a whole one."""
    domain = _DOMAIN.fullmatch(word)
    if domain is None or "mail" not in name.casefold():
        return None
    meant = _condition(name, op, Op.ENDS_WITH, f"@{domain.group(1)}")
    return f"`{shorten(word)}` is no whole address; did you mean {meant}?"


def _size(word: str) -> str | None:
    compared, ranged, more = (pattern.fullmatch(word) for pattern in (_COMPARISON, _RANGE, _OR_MORE))
    meant = None
    if compared is not None:
        meant = size(compared.group(1), compared.group(2))
    elif ranged is not None and len(ranged.group(2)) <= 15 and int(ranged.group(1)) < int(ranged.group(2)):
        meant = f"`{{at_least: {ranged.group(1)}, at_most: {ranged.group(2)}}}`"
    elif more is not None:
        meant = size(">=", more.group(1))
    return None if meant is None else f"`{shorten(word)}` is compared as a text; did you mean {meant}?"


def _negation(op: Op, word: str) -> str | None:
    if op is not Op.IS or not word.startswith("!") or len(word) < 2:
        return None
    return f"`!` does not mean `not` here; did you mean `{{is_not: {shorten(word.lstrip('!= '))}}}`?"
