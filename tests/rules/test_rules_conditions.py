"""How values compare, row by row, and what a rule never reached is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.model import Tree
from integration.rules import RulesError, load_rules
from integration.rules.conditions import FieldValues, Separators, holds, read_number, separators_of, why_not
from integration.rules.load_conditions import Names, read_when
from integration.rules.reader import Reader
from integration.rules.yaml_tree import read_yaml

POINT, COMMA, UNKNOWN = Separators.POINT_DECIMAL, Separators.COMMA_DECIMAL, Separators.UNKNOWN
NAMES = Names(("a", "b", "country"), ("crm",))


def fits(when: str, fields: dict[str, Tree], separators: Separators = POINT) -> bool:
    reader = Reader({}, None)
    node, mistakes = read_yaml(when.encode())
    assert node is not None
    condition = read_when(reader, node, NAMES)
    assert not mistakes
    assert not reader.mistakes
    assert condition is not None
    return holds(condition, FieldValues(fields, separators))


ROWS: list[tuple[str, Tree, bool]] = [
    # a value
    ("{a: Web}", "web", True),
    ("{a: Web}", "  WEB \n", True),
    ("{a: Web}", "website", False),
    ("{a: straße}", "STRASSE", True),
    ("{a: café}", "cafe\u0301", True),
    ("{a: 5}", 5, True),
    ("{a: 5}", "5", True),
    ('{a: "5"}', Decimal("5.0"), True),
    ("{a: 5}", "5.0", False),
    ("{a: 0}", 0, True),
    ("{a: true}", True, True),
    ("{a: true}", "TRUE", True),
    ('{a: "true"}', True, True),
    ("{a: true}", 1, False),
    ("{a: false}", False, True),
    ("{a: false}", "false", True),
    ("{a: false}", None, False),
    ("{a: NO}", "no", True),
    ("{a: NO}", False, False),
    # a list on either side
    ("{a: [x, y]}", "Y", True),
    ("{a: [x, y]}", "z", False),
    ("{a: x}", ["z", "X"], True),
    ("{a: x}", [], False),
    ("{a: x}", [["x"]], False),
    ("{a: x}", {"x": "x"}, False),
    # is_not
    ("{a: {is_not: x}}", "y", True),
    ("{a: {is_not: x}}", "X", False),
    ("{a: {is_not: [x, y]}}", "y", False),
    ("{a: {is_not: x}}", None, True),
    ("{a: {is_not: x}}", ["y", "x"], False),
    ("{a: {is_not: true}}", False, True),
    # sizes
    ("{a: {at_least: 500}}", 500, True),
    ("{a: {at_least: 500}}", "499", False),
    ("{a: {at_least: 500}}", "1,000", True),
    ("{a: {at_least: 500}}", "1.000", False),
    ("{a: {at_least: 500}}", "many", False),
    ("{a: {at_least: 500}}", None, False),
    ("{a: {at_least: 0}}", False, False),
    ("{a: {at_least: 1}}", True, False),
    ("{a: {at_least: 500}}", [1, 600], True),
    ("{a: {at_most: 500}}", "12.5", True),
    ("{a: {at_most: 500}}", "", False),
    ("{a: {at_most: 500}}", "ten", False),
    ("{a: {at_least: 10, at_most: 20}}", 15, True),
    ("{a: {at_least: 10, at_most: 20}}", 21, False),
    ("{a: {at_least: -5}}", "-4", True),
    # parts of a text
    ("{a: {contains: CEO}}", "the ceo of it", True),
    ("{a: {contains: [cto, ceo]}}", "Ceo", True),
    ("{a: {contains: x}}", None, False),
    ("{a: {contains: al}}", False, False),
    ("{a: {starts_with: +49}}", "+4930", True),
    ("{a: {starts_with: [+43, +41]}}", "+4930", False),
    ('{a: {ends_with: "@example.com"}}', " QA@Example.COM ", True),
    ("{a: {ends_with: m}}", ["a", "em"], True),
    # there or not
    ("{a: {exists: true}}", "x", True),
    ("{a: {exists: true}}", 0, True),
    ("{a: {exists: true}}", "  ", False),
    ("{a: {exists: true}}", False, False),
    ("{a: {exists: false}}", None, True),
    ("{a: {exists: false}}", "x", False),
    ("{a: {exists: false}}", [], True),
    # joined
    ("{any: [{a: x}, {a: y}]}", "y", True),
    ("{any: [{a: x}, {a: y}]}", "z", False),
    ("{all: [{a: {starts_with: x}}, {a: {ends_with: y}}]}", "x y", True),
    ("{not: {a: x}}", "x", False),
    ("{not: {a: x}}", None, True),
    ("{not: {a: [x, y], b: z}}", "x", True),
]


@pytest.mark.parametrize(("when", "value", "expected"), ROWS, ids=[f"{row[0]} {row[1]!r}" for row in ROWS])
def test_a_condition_holds_as_written(when: str, value: Tree, expected: bool) -> None:
    assert fits(when, {} if value is None else {"a": value}) is expected


NUMBERS: list[tuple[Tree, Separators, str | None]] = [
    ("1,000", POINT, "1000"),
    ("1,000", COMMA, None),
    ("1,000", UNKNOWN, None),
    ("1.000", POINT, None),
    ("1.000", COMMA, "1000"),
    ("1.000", UNKNOWN, None),
    ("1.000,50", COMMA, "1000.50"),
    ("1,000.50", POINT, "1000.50"),
    ("1,000.50", COMMA, None),
    ("12,5", COMMA, "12.5"),
    ("12,5", POINT, None),
    ("1500.00", POINT, "1500.00"),
    ("1500.00", COMMA, "1500.00"),
    ("1500.00", UNKNOWN, "1500.00"),
    ("1.000.000", COMMA, "1000000"),
    ("0.125", POINT, "0.125"),
    ("1,00", POINT, None),
    ("1,0000", POINT, None),
    ("01,000", POINT, None),
    ("-3", POINT, "-3"),
    ("+3", POINT, "3"),
    (" 7 ", POINT, "7"),
    ("", POINT, None),
    ("-", POINT, None),
    (".5", POINT, None),
    ("5.", POINT, None),
    ("5,", COMMA, None),
    ("1e3", POINT, None),
    ("0x10", POINT, None),
    ("1_000", POINT, None),
    ("\u0665", POINT, None),
    ("500+", POINT, None),
    ("200-500", POINT, None),
    ("NaN", POINT, None),
    ("Infinity", POINT, None),
    ("9" * 41, POINT, None),
    (10**100, POINT, None),
    (Decimal("NaN"), POINT, None),
    (Decimal("1.000"), COMMA, "1.000"),
    (True, POINT, None),
    (None, POINT, None),
    (["5"], POINT, None),
]


@pytest.mark.parametrize(("value", "separators", "expected"), NUMBERS)
def test_a_number_counts_only_where_it_has_one_meaning(
    value: Tree, separators: Separators, expected: str | None
) -> None:
    assert read_number(value, separators) == (None if expected is None else Decimal(expected))


@given(st.text(alphabet="0123456789.,+- '", max_size=12), st.sampled_from(list(Separators)))
def test_reading_a_number_never_fails(text: str, separators: Separators) -> None:
    found = read_number(text, separators)
    assert found is None or found.is_finite()


def test_the_separators_are_those_of_the_country() -> None:
    assert [separators_of(country) for country in ("US", "DE", "CH", None)] == [POINT, COMMA, UNKNOWN, UNKNOWN]


def test_a_country_in_a_rule_may_be_written_as_a_name() -> None:
    assert fits("{country: [Germany, Österreich]}", {"country": "AT"})
    assert fits("{number_country: USA}", {"number_country": "US"})
    assert not fits("{country: {is_not: Germany}}", {"country": "DE"})


def test_the_first_part_that_fails_is_named() -> None:
    node, _ = read_yaml(b"{a: x, any: [{b: 1}, {b: {at_least: 5}}]}")
    assert node is not None
    condition = read_when(Reader({}, None), node, NAMES)
    assert condition is not None
    words, check = why_not(condition, FieldValues({"a": "x", "b": 2}, POINT))
    assert words == "none of: b is 1; b at least 5"
    assert check is None


RULES = """\
accounts: {{us: {{id: acc-us}}}}
phones: {{may_call: [US]}}
fields: {{phone: Phone, country: Country, size: Size, kind: Kind}}
rules:
  - {{name: First, when: {first}, call: us}}
  - {{name: Second, when: {second}, call: us}}
sources:
  crm: {{verify: {{scheme: hmac, secret: a-long-enough-secret}}}}
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{country: [DE, AT]}", "{country: DE}"),
        ("{country: [Germany]}", "{country: de, size: 5}"),
        ("{size: {at_least: 5}}", "{size: {at_least: 6}}"),
        ("{size: {at_most: 5}}", "{size: {at_most: 5, at_least: 1}}"),
        ("{kind: {is_not: a}}", "{kind: {is_not: [a, b]}}"),
        ("{kind: {exists: true}}", "{kind: {contains: a}}"),
        ("{any: [{kind: a}, {kind: b}]}", "{kind: b}"),
        ("{kind: [a, b]}", "{any: [{kind: a}, {kind: b}]}"),
        ("{not: {kind: a}}", "{all: [{not: {kind: A}}, {size: 1}]}"),
    ],
)
def test_a_rule_that_is_never_reached_is_a_mistake(first: str, second: str) -> None:
    with pytest.raises(RulesError) as caught:
        load_rules(RULES.format(first=first, second=second), name="r", environ={})
    assert [mistake.message for mistake in caught.value.mistakes] == [
        "rule `Second` is never reached: `First` in line 5 takes every lead that it could take; move it up or delete it"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{country: DE}", "{country: [DE, AT]}"),
        ("{size: {at_least: 6}}", "{size: {at_least: 5}}"),
        ("{kind: a, size: 1}", "{kind: a}"),
        ("{kind: {is_not: [a, b]}}", "{kind: {is_not: a}}"),
        ("{kind: {exists: true}}", "{kind: {is_not: a}}"),
        ("{not: {kind: a}}", "{kind: b}"),
        # Impossible for a single value, but a list of values can hold both.
        ("{kind: x}", "{all: [{kind: a}, {kind: b}]}"),
        ("{kind: x}", "{kind: {exists: false, is_not: a}}"),
    ],
)
def test_a_rule_that_can_still_fit_is_not_complained_about(first: str, second: str) -> None:
    assert len(load_rules(RULES.format(first=first, second=second), name="r", environ={}).rules) == 2
