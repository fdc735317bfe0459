"""Reads `when:` and `only:` into conditions, and refuses those that nothing could ever meet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from integration.countries import country_names_hint, read_country
from integration.payload import fold
from integration.rules.conditions import (
    SIZE_OPS,
    AllOf,
    AnyOf,
    Check,
    Condition,
    Not,
    Op,
    conjuncts,
    implies,
)
from integration.rules.letters import as_meant, what_is_odd
from integration.rules.reader import Reader, nearest
from integration.rules.yaml_tree import Block, Items, Node, Scalar, shorten

BUILT_IN = ("source", "number_country")
COUNTRIES = frozenset({"country", "number_country"})
# Fields that never hold a list: two different values can never both be there.
SINGLE = COUNTRIES | {"source", "phone"}
JOINS = ("any", "all", "not")
_OPERATORS = tuple(op.value for op in Op if op is not Op.IS)
# The word that is known here, what differs, and what people write instead who know another tool.
_SAID_ELSEWHERE = (
    ("at_least", "", "min minimum gte >= => ≥"),
    ("at_least", ", which includes the number itself", "more_than greater_than larger_than over above gt >"),
    ("at_most", "", "max maximum lte <= =< ≤"),
    ("at_most", ", which includes the number itself", "less_than fewer_than smaller_than under below lt <"),
    ("is_not", "", "!= <> ne neq not not_in not_equal"),
    ("contains", "", "includes has like"),
    ("starts_with", "", "begins_with prefix"),
    ("ends_with", "", "suffix domain"),
    ("exists", "", "is_there present is_set"),
)
_SYNONYMS = {word: (meant, remark) for meant, remark, words in _SAID_ELSEWHERE for word in words.split()}
_PLAIN = frozenset({"is", "equals", "equal", "eq", "=", "==", "in", "one_of", "any_of", "is_in"})
_NOT = re.compile(r"(?i)^(!=?|not |<>|-)\s*")
_BETWEEN = re.compile(r"[,;/|]| (?:or|oder|and|und) | +")


@dataclass(frozen=True, slots=True)
class Names:
    """What a condition can speak of. Without any field, which is a mistake of its own, every name will do."""

    fields: tuple[str, ...]
    sources: tuple[str, ...]


def read_when(reader: Reader, node: Node, names: Names, what: str = "`when:`") -> Condition | None:
    """The condition of a rule: every line of it must hold."""
    if isinstance(node, Block) and not node.entries:
        reader.wrong(node, f"{what} is empty; leave it out if everyone fits")
        return None
    block = reader.block(node, what)
    if block is None:
        return None
    known = (*names.fields, *BUILT_IN, *JOINS)
    parts = [part for key, value in reader.entries(block, known) for part in _read_entry(reader, key, value, names)]
    return _joined(parts) if parts else None


def _read_entry(reader: Reader, key: Scalar, value: Node, names: Names) -> Iterable[Condition]:
    name = key.text
    if name == "not":
        part = read_when(reader, value, names, "`not:`")
        return [] if part is None else [Not(part)]
    if name in JOINS:
        items = reader.items(value, f"`{name}:`")
        if items == ():
            reader.wrong(value, f"`{name}:` is an empty list; write a condition into it")
        read = [read_when(reader, item, names, f"an entry of `{name}:`") for item in items or ()]
        parts = [part for part in read if part is not None]
        return [] if not parts else [AnyOf(tuple(parts))] if name == "any" else parts
    if names.fields and name not in (*names.fields, *BUILT_IN):
        known = (*names.fields, *BUILT_IN, *JOINS)
        reader.wrong(key, f"`fields:` names no `{shorten(name)}`; {nearest(name, known)}")
        return []
    return read_checks(reader, name, value, _word_reader(name, names))


WordReader = Callable[[Reader, Node, str], str | None]


def read_checks(reader: Reader, name: str, node: Node, read_word: WordReader) -> list[Check]:
    """What is asked of one field: a value, a list of values, or a block of questions."""
    shown_name = f"`{shorten(name)}`"
    if not isinstance(node, Block):
        check = _words_check(reader, name, Op.IS, node, what=shown_name, read_word=read_word)
        return [] if check is None else [check]
    what = f"the condition on {shown_name}"
    for key, _ in node.entries:
        if key.text.casefold() in _PLAIN:
            help_ = f"write the value itself, or a list of values: `{shorten(name)}: ...`"
            reader.wrong(key, f"{what} has no key `{shorten(key.text)}`; {help_}")
            return []
    questions = reader.keys(node, what, _OPERATORS, _SYNONYMS)
    checks = []
    for word, value in (questions or {}).items():
        op = Op(word)
        what = f"`{word}` of {shown_name}"
        if read_word is country_word and op not in {Op.IS_NOT, Op.EXISTS}:
            reader.wrong(value, f"{what} makes no sense for a country; write a country, a list of them, or `is_not`")
        elif op is Op.EXISTS:
            wanted = reader.flag(value, what)
            if wanted is not None:
                checks.append(Check(name, op, wanted=wanted, line=value.line))
        elif op in SIZE_OPS:
            limit = reader.number(value, what)
            if limit is not None:
                checks.append(Check(name, op, limit=limit, shown=_plain(limit), line=value.line))
        else:
            check = _words_check(reader, name, op, value, what=what, read_word=read_word)
            checks += [] if check is None else [check]
    return checks


def _words_check(reader: Reader, name: str, op: Op, node: Node, *, what: str, read_word: WordReader) -> Check | None:
    items = reader.one_or_more(node, what)
    words = [word for item in items if (word := read_word(reader, item, what)) is not None]
    if not words:
        return None
    *first, last = words
    shown = f"{', '.join(first)} or {last}" if first else last
    return Check(name, op, tuple(sorted({fold(word) for word in words})), shown=shown, line=node.line)


def plain_word(reader: Reader, node: Node, what: str) -> str | None:
    """A text to compare with, as typed."""
    if isinstance(node, Items):
        reader.wrong(node, f"{what} has a list inside a list; write one list of values")
        return None
    text = reader.text(node, what)
    return None if text is None else text.strip()


def _word_reader(name: str, names: Names) -> WordReader:
    if name in COUNTRIES:
        return country_word
    if name != "source":
        return plain_word

    def source_word(reader: Reader, node: Node, what: str) -> str | None:
        text = plain_word(reader, node, what)
        if text is not None and fold(text) not in {fold(source) for source in names.sources}:
            reader.wrong(node, f"no source is called `{shorten(text)}`; {nearest(text, names.sources)}")
            return None
        return text

    return source_word


def country_word(reader: Reader, node: Node, what: str) -> str | None:
    """A country by its code or by its name in a common language, as its ISO code."""
    text = plain_word(reader, node, what)
    if text is None:
        return None
    country = None if text.startswith("!") else read_country(text)  # which looks at letters only
    if country is None:
        reader.wrong(node, f"`{shorten(text)}` is no country; {_help_with_country(text)}")
    return country


def _help_with_country(text: str) -> str:
    listed = [word.strip() for word in _BETWEEN.split(text[:200].strip("()[] ")) if word.strip()]
    if len(listed) > 1 and all(read_country(word) for word in listed):
        return f"a list needs brackets: `[{shorten(', '.join(listed))}]`"
    without = _NOT.sub("", text)
    if without != text and read_country(without):
        return f"in a condition `{{is_not: {without}}}` means any other"
    odd, meant = what_is_odd(text), as_meant(text)
    if odd is not None and read_country(meant):
        return f"{odd}: did you mean `{meant}`?"
    hint = country_names_hint(text)
    return f"did you mean `{hint}`?" if hint else "write a code like DE, or a name like Germany"


def _plain(number: Decimal) -> str:
    return format(number, "f")


def _joined(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


# ---- conditions that nothing can meet ---------------------------------------------------------


def contradiction(condition: Condition | None) -> str | None:
    """Which two parts of a condition can never hold together, in words; None when none are found."""
    checks = [part for part in conjuncts(condition) if isinstance(part, Check)]
    for index, one in enumerate(checks):
        for other in checks[:index]:
            if one.field == other.field and (_excludes(one, other) or _excludes(other, one)):
                return f"`{other.describe()}` and `{one.describe()}`"
    return None


def _excludes(one: Check, other: Check) -> bool:
    match one.op, other.op:
        case Op.AT_LEAST, Op.AT_MOST:
            return one.limit > other.limit
        case Op.IS, Op.IS:
            return one.field in SINGLE and not set(one.words) & set(other.words)
        case Op.IS, Op.IS_NOT:
            return set(one.words) <= set(other.words)
        case Op.EXISTS, Op.EXISTS:
            return one.wanted is not other.wanted
        case Op.EXISTS, (Op.AT_LEAST | Op.AT_MOST | Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH):
            return not one.wanted
        case Op.EXISTS, Op.IS:
            return not one.wanted and "false" not in other.words
    return False


def covers(earlier: Condition | None, later: Condition | None) -> bool:
    """Whether each lead that meets `later` surely meets `earlier`, so that a later rule is never reached."""
    if earlier is None or later is None:
        return earlier is None
    return implies(later, earlier)
