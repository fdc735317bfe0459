"""The table of stricter states, and the holidays that some of them keep."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from integration.house import Override, in_force
from integration.house.us_states import AS_OF, holiday_on
from tests.house.hours import week

DOCS = (Path(__file__).parents[2] / "docs/calling-hours.md").read_text(encoding="utf-8")
FEDERAL_HOURS = week(mon_sun="08:00-21:00")


def test_no_entry_is_wider_than_the_federal_hours():
    assert AS_OF.year >= 2026
    for state, rule in in_force({}).items():
        assert rule.week & FEDERAL_HOURS == rule.week, state
        assert rule.week != FEDERAL_HOURS or rule.holidays, state
        assert rule.source
        assert not rule.overridden


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("AL", "AL: mon-sat 08:00-20:00, no holidays"),
        ("CT", "CT: mon-sun 09:00-20:00"),
        ("FL", "FL: mon-sun 08:00-20:00"),
        ("KY", "KY: mon-sun 10:00-21:00"),
        ("PA", "PA: mon-sat 08:00-21:00, no holidays"),
        ("RI", "RI: mon-fri 09:00-18:00, sat 10:00-17:00, no holidays"),
        ("TX", "TX: mon-sat 09:00-21:00, sun 12:00-21:00"),
        ("UT", "UT: mon-sat 08:00-21:00, no holidays"),
    ],
)
def test_what_the_table_says(state, told):
    assert str(in_force({})[state]) == told


def test_the_documents_say_what_the_table_says():
    assert f"**{AS_OF}**" in DOCS
    rules = in_force({})
    rows = [
        f"| {state} | {rule.name}: {rule.week} | {'yes' if rule.holidays else '-'} | {rule.source} |"
        for state, rule in rules.items()
    ]
    assert "\n".join(rows) in DOCS
    own = {state: sorted(rule.holidays - {"federal"}) for state, rule in rules.items()}
    assert "\n".join(f"| {state} | {', '.join(days)} |" for state, days in own.items() if days) in DOCS


def test_the_files_own_entry_replaces_the_hours_and_keeps_the_holidays_unless_it_says_so():
    own = week(mon_fri="09:00-17:00")
    rules = in_force({"UT": Override(own), "AL": Override(own, closed_on_holidays=False)})
    assert str(rules["UT"]) == "UT: mon-fri 09:00-17:00, no holidays"
    assert str(rules["AL"]) == "AL: mon-fri 09:00-17:00"
    assert rules["UT"].overridden
    assert not rules["TX"].overridden


def test_a_state_that_is_not_listed_can_be_added():
    rules = in_force({"CA": Override(week(mon_fri="09:00-17:00"), closed_on_holidays=True)})
    assert str(rules["CA"]) == "CA: mon-fri 09:00-17:00, no holidays"
    assert (rules["CA"].name, rules["CA"].source) == ("California", "the rules file")
    assert holiday_on(date(2026, 12, 25).toordinal(), rules["CA"].holidays) == "Christmas Day"


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 1, 1), "New Year's Day"),
        (date(2026, 1, 19), "Martin Luther King Jr. Day"),
        (date(2026, 2, 16), "Washington's Birthday"),
        (date(2026, 5, 25), "Memorial Day"),
        (date(2027, 5, 31), "Memorial Day"),
        (date(2026, 6, 19), "Juneteenth"),
        (date(2026, 7, 3), "Independence Day"),  # observed: the 4th is a Saturday
        (date(2026, 7, 4), "Independence Day"),
        (date(2026, 9, 7), "Labor Day"),
        (date(2026, 10, 12), "Columbus Day"),
        (date(2026, 11, 11), "Veterans Day"),
        (date(2026, 11, 26), "Thanksgiving Day"),
        (date(2026, 12, 25), "Christmas Day"),
        (date(2027, 12, 24), "Christmas Day"),  # observed
        (date(2027, 12, 31), "New Year's Day"),  # of 2028, a Saturday, observed in the year before
        (date(2028, 1, 1), "New Year's Day"),
        (date(2033, 1, 1), "New Year's Day"),
        (date(2034, 1, 2), "New Year's Day"),  # observed: the 1st is a Sunday
        (date(2026, 11, 27), None),
        (date(2026, 7, 5), None),
        (date(2026, 2, 17), None),
    ],
)
def test_federal_holidays(day, name):
    assert holiday_on(day.toordinal(), frozenset({"federal"})) == name


@pytest.mark.parametrize(
    ("state", "day", "name"),
    [
        ("LA", date(2026, 2, 17), "Mardi Gras"),
        ("LA", date(2027, 3, 26), "Good Friday"),
        ("PA", date(2026, 4, 3), "Good Friday"),
        ("PA", date(2038, 4, 23), "Good Friday"),  # the latest Easter
        ("LA", date(2026, 11, 27), "the day after Thanksgiving"),
        ("AL", date(2026, 4, 27), "Confederate Memorial Day in Alabama"),
        ("MS", date(2026, 4, 27), "Confederate Memorial Day in Mississippi"),
        ("AL", date(2026, 6, 1), "Jefferson Davis's birthday"),
        ("PA", date(2026, 6, 14), "Flag Day"),
        ("PA", date(2026, 11, 3), "Election Day"),
        ("RI", date(2026, 8, 10), "Victory Day"),
        ("UT", date(2027, 7, 23), "Pioneer Day"),  # observed: the 24th is a Saturday
        ("UT", date(2026, 2, 17), None),
    ],
)
def test_holidays_of_single_states(state, day, name):
    assert holiday_on(day.toordinal(), in_force({})[state].holidays) == name
