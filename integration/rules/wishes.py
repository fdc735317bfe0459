"""What a lead would need for a condition to come out one way or the other: conditions run backwards.

A wish is a guess at one value for a field. Whoever makes a message of wishes lets `decide` judge it, so nothing here
has to be complete: a condition whose guess fails costs a sample message, never a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from integration.model import Tree
from integration.payload import fold
from integration.rules.conditions import AllOf, AnyOf, Check, Condition, Not, Op

# What must hold together: questions, and whether the answer is to be yes.
Way = tuple[tuple[Check, bool], ...]


def ways(condition: Condition | None, wanted: bool) -> Iterator[Way]:
    """The ways in which a condition can come out as wanted, one by one."""
    match condition:
        case None:
            yield ()
        case Check():
            yield ((condition, wanted),)
        case Not(part):
            yield from ways(part, not wanted)
        case AllOf(parts) | AnyOf(parts):
            if isinstance(condition, AllOf) is wanted:
                yield from _together(parts, wanted)
            else:
                for part in parts:
                    yield from ways(part, wanted)


def _together(parts: tuple[Condition, ...], wanted: bool) -> Iterator[Way]:
    if not parts:
        yield ()
        return
    for first in ways(parts[0], wanted):
        for rest in _together(parts[1:], wanted):
            yield (*first, *rest)


def wishes_of(way: Way, country: str = "") -> dict[str, Tree]:
    """A value for each field that needs one. The others are best left out."""
    wishes: dict[str, Tree] = {}
    for name in dict.fromkeys(check.field for check, _ in way):
        value = _wish([(check, wanted) for check, wanted in way if check.field == name], country)
        if value is not None:
            wishes[name] = value
    return wishes


def _wish(asked: list[tuple[Check, bool]], country: str) -> Tree:
    """One value that answers all these questions about one field, or None when it is best left out."""
    yes = [check for check, wanted in asked if wanted]
    same = [set(one.words) for one in yes if one.op is Op.IS]
    same += [set(one.words) for one, wanted in asked if one.op is Op.IS_NOT and not wanted]
    if same:
        words = set.intersection(*same) - _refused(asked)
        word = fold(country) if fold(country) in words else min(words, default=None)
        return None if word is None else _as_written(asked, word)
    least = [one.limit for one in yes if one.op is Op.AT_LEAST]
    most = [one.limit for one in yes if one.op is Op.AT_MOST]
    if least or most:
        return _plain(max(least) if least else min(most))
    pieces = [
        one.words[0] for op in (Op.STARTS_WITH, Op.CONTAINS, Op.ENDS_WITH) for one in yes if one.op is op and one.words
    ]
    if pieces:
        return "".join(pieces)
    must_exist = any(one.op is Op.EXISTS and one.wanted is wanted for one, wanted in asked)
    return "made up" if must_exist else None


def _refused(asked: Iterable[tuple[Check, bool]]) -> set[str]:
    return {
        word
        for check, wanted in asked
        for word in check.words
        if (check.op is Op.IS and not wanted) or (check.op is Op.IS_NOT and wanted)
    }


def _as_written(asked: Iterable[tuple[Check, bool]], word: str) -> str:
    """The word in the admin's own spelling, where the rules show it."""
    for check, _ in asked:
        if check.field in ("country", "number_country"):
            return word.upper()
        if fold(check.shown) == word:
            return check.shown.strip()
    return word


def _plain(number: Decimal) -> Tree:
    return int(number) if number == number.to_integral_value() else str(number)
