"""What a rule asks of a lead, and how values compare.

Text is equal when it is equal without case and outer spaces. A list fits when any item does. `true`
and `false` are also these words. A missing value meets only `is_not` and `exists: false`. A number
written with separators counts only in the form of the country that `phones.read_as` names; where
`1.000` could be a thousand or one, it is no number at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from integration.model import Tree
from integration.payload import TOO_LARGE, folded_texts, is_nothing

MAX_NUMBER_CHARS = 40


class Separators(StrEnum):
    """Which of `1,000` and `1.000` is a thousand."""

    UNKNOWN = "unknown"  # neither
    POINT_DECIMAL = "point_decimal"  # 1,000.5
    COMMA_DECIMAL = "comma_decimal"  # 1.000,5


# How the main languages of each country write numbers, after CLDR (Babel 2.18, November 2026). A country
# in neither list separates thousands with a space, or differs between its languages.
_POINT = frozenset(
    """AE AU BD CA CN DO EG GB GH GT HK HN IE IL IN JM JO JP KE KR KW LK MT MX MY NG NI NP NZ OM PA PE PH
    PK PR QA SA SG SV TH TT TW TZ UG US ZM ZW""".split()  # noqa: SIM905 - a list of 45 quoted codes reads worse
)
_COMMA = frozenset("AR AT BE BO BR CL CO DE DK EC ES GR HR ID IS IT LU NL RO RS SI TR UY VE VN".split())  # noqa: SIM905


def separators_of(country: str | None) -> Separators:
    """How people in `country` (ISO alpha-2) write large numbers."""
    if country in _POINT:
        return Separators.POINT_DECIMAL
    return Separators.COMMA_DECIMAL if country in _COMMA else Separators.UNKNOWN


def read_number(value: Tree, separators: Separators) -> Decimal | None:
    """The number that `value` is, or None. Never raises."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, int):
        return Decimal(value) if abs(value) < TOO_LARGE else None
    if not isinstance(value, str) or len(value) > MAX_NUMBER_CHARS * 2:
        return None
    text = value.strip()
    sign = text[:1] if text[:1] in ("+", "-") else ""
    digits = _plain_digits(text[len(sign) :], separators)
    return None if digits is None else Decimal(sign + digits)


def _plain_digits(text: str, separators: Separators) -> str | None:
    """`text` without a sign as digits with at most one point, or None."""
    if not text.isascii() or not 0 < len(text) <= MAX_NUMBER_CHARS:
        return None
    if text.isdigit():
        return text
    group, decimal = (".", ",") if separators is Separators.COMMA_DECIMAL else (",", ".")
    whole, point, rest = text.partition(decimal)
    if point and not rest.isdigit():
        return _machine_decimal(text)
    if whole.isdigit():
        known = separators is not Separators.UNKNOWN
        return f"{whole}.{rest}" if known and not _is_grouped(text, decimal) else _machine_decimal(text)
    if separators is not Separators.UNKNOWN and _is_grouped(whole, group):
        return whole.replace(group, "") + (f".{rest}" if point else "")
    return _machine_decimal(text)


def _machine_decimal(text: str) -> str | None:
    """`1500.00`, as programs write it everywhere; not `1.500`, which people may mean as a thousand."""
    whole, _, rest = text.partition(".")
    return text if whole.isdigit() and rest.isdigit() and not _is_grouped(text, ".") else None


def _is_grouped(text: str, group: str) -> bool:
    """Whether `text` looks like thousands: `1.000`, `12.000.000`, but not `0.125`."""
    first, *others = text.split(group)
    return bool(others) and (
        0 < len(first) <= 3
        and first.isdigit()
        and not first.startswith("0")
        and all(len(part) == 3 and part.isdigit() for part in others)
    )


class FieldValues:
    """A lead's fields, made ready for comparing; each at most once however many rules ask."""

    __slots__ = ("_fields", "_numbers", "_separators", "_texts")

    def __init__(self, fields: Mapping[str, Tree], separators: Separators) -> None:
        self._fields = fields
        self._separators = separators
        self._texts: dict[str, tuple[str, ...]] = {}
        self._numbers: dict[str, tuple[Decimal, ...]] = {}

    def raw(self, name: str) -> Tree:
        """The value itself; None when it is missing."""
        return self._fields.get(name)

    def is_there(self, name: str) -> bool:
        """Whether the field holds something usable."""
        return not is_nothing(self._fields.get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """The folded texts that a condition can equal: one, or one for each item of a list."""
        known = self._texts.get(name)
        if known is None:
            known = folded_texts(self._fields.get(name))
            self._texts[name] = known
        return known

    def numbers(self, name: str) -> tuple[Decimal, ...]:
        """The numbers that a size condition can use."""
        known = self._numbers.get(name)
        if known is None:
            read = (read_number(item, self._separators) for item in self._each(name))
            known = tuple(number for number in read if number is not None)
            self._numbers[name] = known
        return known

    def _each(self, name: str) -> list[Tree]:
        value = self._fields.get(name)
        return value if isinstance(value, list) else [value]


class Op(StrEnum):
    """The words that an admin writes; `is` is a bare value."""

    IS = "is"
    IS_NOT = "is_not"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    EXISTS = "exists"


SIZE_OPS = frozenset({Op.AT_LEAST, Op.AT_MOST})


@dataclass(frozen=True, slots=True)
class Check:
    """One question about one field. Two checks that ask the same are equal, wherever they stand."""

    field: str
    op: Op
    words: tuple[str, ...] = ()  # folded; for the text questions: any one of these
    limit: Decimal = Decimal(0)  # for at_least and at_most
    wanted: bool = True  # for exists
    shown: str = dataclasses.field(default="", compare=False)  # what the admin wrote, for explaining
    line: int = dataclasses.field(default=0, compare=False)

    def describe(self) -> str:
        """The condition in words: `country is DE, AT or CH`."""
        if self.op is Op.EXISTS:
            return f"{self.field} is there" if self.wanted else f"{self.field} is not there"
        return f"{self.field} {self.op.value.replace('_', ' ')} {self.shown}"


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


Condition = Check | AllOf | AnyOf | Not


def holds(condition: Condition, values: FieldValues) -> bool:
    """Whether the lead meets `condition`."""
    # The hot path of a file with thousands of rules: `isinstance` is twice as fast as `match` here.
    if isinstance(condition, Check):
        return _check_holds(condition, values)
    if isinstance(condition, AllOf):
        return all(holds(part, values) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(holds(part, values) for part in condition.parts)
    return not holds(condition.part, values)


def _check_holds(check: Check, values: FieldValues) -> bool:
    name, words, op = check.field, check.words, check.op
    if op is Op.IS or op is Op.IS_NOT:
        for text in values.texts(name):
            if text in words:
                return op is Op.IS
        return op is Op.IS_NOT
    if op is Op.AT_LEAST:
        return any(number >= check.limit for number in values.numbers(name))
    if op is Op.AT_MOST:
        return any(number <= check.limit for number in values.numbers(name))
    if op is Op.EXISTS:
        return values.is_there(name) is check.wanted
    texts = values.texts(name) if values.is_there(name) else ()
    if op is Op.CONTAINS:
        return any(word in text for text in texts for word in words)
    if op is Op.STARTS_WITH:
        return any(text.startswith(words) for text in texts)
    return any(text.endswith(words) for text in texts)


def why_not(condition: Condition, values: FieldValues) -> tuple[str, Check | None]:
    """For a condition that does not hold: which part failed, in words, and its check if it is a single one."""
    match condition:
        case Check():
            return condition.describe(), condition
        case AllOf(parts):
            return why_not(next(part for part in parts if not holds(part, values)), values)
        case AnyOf(parts):
            return "none of: " + "; ".join(describe(part) for part in parts), None
        case Not(part):
            return f"not ({describe(part)})", part if isinstance(part, Check) else None


def describe(condition: Condition) -> str:
    """The condition in words."""
    match condition:
        case Check():
            return condition.describe()
        case AllOf(parts):
            return " and ".join(describe(part) for part in parts)
        case AnyOf(parts):
            return "any of (" + "; ".join(describe(part) for part in parts) + ")"
        case Not(part):
            return f"not ({describe(part)})"


def conjuncts(condition: Condition | None) -> tuple[Condition, ...]:
    """The parts that must all hold, `all:` flattened."""
    if condition is None:
        return ()
    if isinstance(condition, AllOf):
        return tuple(inner for part in condition.parts for inner in conjuncts(part))
    return (condition,)


def implies(one: Condition, other: Condition) -> bool:
    """Whether every lead that meets `one` surely meets `other`. False where it cannot be told simply."""
    if one == other:
        return True
    if isinstance(other, AllOf):
        return all(implies(one, part) for part in other.parts)
    if isinstance(one, AnyOf):
        return all(implies(part, other) for part in one.parts)
    if isinstance(other, AnyOf):
        return any(implies(one, part) for part in other.parts)
    if isinstance(one, AllOf):
        return any(implies(part, other) for part in one.parts)
    if isinstance(one, Not) or isinstance(other, Not) or one.field != other.field:
        return False
    match one.op, other.op:
        case Op.IS, Op.IS:
            return set(one.words) <= set(other.words)
        case Op.IS_NOT, Op.IS_NOT:
            return set(one.words) >= set(other.words)
        case Op.AT_LEAST, Op.AT_LEAST:
            return one.limit >= other.limit
        case Op.AT_MOST, Op.AT_MOST:
            return one.limit <= other.limit
        case ((Op.AT_LEAST | Op.AT_MOST | Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH), Op.EXISTS):
            return other.wanted
    return False
