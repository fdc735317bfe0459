"""The US states whose calling hours are narrower than the federal ones, as a dated table.

This supports the work of people who know the law; it is no legal advice. The table only ever narrows: each entry is
cut with the hours of the rules file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from integration.house.weeks import Week, read_days, read_windows
from integration.house.zones import us_state_name

AS_OF: Final = date(2026, 11, 23)  # when the table below was last compared with its sources

FEDERAL_WEEK: Final = Week.of({day: read_windows(["08:00-21:00"]) for day in range(7)})  # 47 CFR 64.1200(c)(1)
_FEDERAL: Final = frozenset({"federal"})


@dataclass(frozen=True, slots=True)
class StateRule:
    """One state's narrower hours."""

    state: str  # "TX"
    name: str  # "Texas"
    week: Week
    holidays: frozenset[str] = frozenset()  # groups and names of days on which nobody is called; empty: as usual
    source: str = ""  # what was read
    overridden: bool = False  # from the rules file instead of the table

    def __str__(self) -> str:
        return f"{self.state}: {self.week}{', no holidays' if self.holidays else ''}"


@dataclass(frozen=True, slots=True)
class Override:
    """What the rules file says of one state instead of the table."""

    week: Week
    closed_on_holidays: bool | None = None  # None: as listed


def in_force(overrides: Mapping[str, Override]) -> Mapping[str, StateRule]:
    """The table with the file's own entries in place of the listed ones, by the state's two letters."""
    rules = dict(_table())
    for state, own in overrides.items():
        listed = rules.get(state) or StateRule(state, us_state_name(state), own.week)
        holidays = listed.holidays
        if own.closed_on_holidays is not None:
            holidays = (holidays or _FEDERAL) if own.closed_on_holidays else frozenset()
        rules[state] = replace(listed, week=own.week, holidays=holidays, source="the rules file", overridden=True)
    return {state: rules[state] for state in sorted(rules)}


# ---- the table ----------------------------------------------------------------------------------

_LISTS = "secondary lists of 2025"
_EVENING = {"mon-sun": "08:00-20:00"}
_NO_SUNDAYS = {"mon-sat": "08:00-20:00"}
_NINE = {"mon-sun": "09:00-21:00"}
_NINE_TO_EIGHT = {"mon-sun": "09:00-20:00"}

# State -> hours, holidays beside the federal ones (None: holidays are days like others), and what was read. What
# follows `see` was not read: it is where a lawyer will begin.
_LISTED: Final[Mapping[str, tuple[Mapping[str, str], tuple[str, ...] | None, str]]] = {
    "AL": (
        _NO_SUNDAYS,
        ("Mardi Gras", "Confederate Memorial Day in Alabama", "Jefferson Davis's birthday", "Rosa Parks Day"),
        f"{_LISTS}; see Code 1-3-8 and the Public Service Commission's rules",
    ),
    "CT": (_NINE_TO_EIGHT, None, f"{_LISTS}; see Gen. Stat. 42-288a"),
    "FL": (_EVENING, None, f"{_LISTS}; see Stat. 501.616(6)(a)"),
    "KY": ({"mon-sun": "10:00-21:00"}, None, f"{_LISTS}; see Rev. Stat. 367.46955"),
    "LA": (
        _NO_SUNDAYS,
        ("Mardi Gras", "Good Friday", "the day after Thanksgiving"),
        f"{_LISTS}; a summary of PSC General Order R-29617; see Rev. Stat. 45:811",
    ),
    "MA": (_EVENING, None, f"{_LISTS}; see Gen. Laws 159C"),
    "MD": (_EVENING, None, f"{_LISTS}; see Com. Law 14-4502"),
    "MI": (_NINE, None, _LISTS),
    "MN": (_NINE, None, f"{_LISTS}; see Stat. 325E.30"),
    "MS": (_NO_SUNDAYS, ("Confederate Memorial Day in Mississippi",), f"{_LISTS}; see Code 77-3-723"),
    "NM": (_NINE, None, f"{_LISTS}; see Stat. 57-12-22"),
    "NV": (_NINE_TO_EIGHT, None, f"{_LISTS}; see Rev. Stat. 599B"),
    "OK": (_EVENING, None, f"{_LISTS}; see Stat. 15-775C"),
    "PA": (
        {"mon-sat": "08:00-21:00"},
        ("Good Friday", "Flag Day", "Election Day"),
        "summaries of 73 P.S. 2245(a)(10) for holidays; Sundays, from 2026-10-18, by one secondary source",
    ),
    "RI": (
        {"mon-fri": "09:00-18:00", "sat": "10:00-17:00"},
        ("Rhode Island Independence Day", "Victory Day", "Election Day"),
        f"{_LISTS}; see Gen. Laws 5-61-3.6",
    ),
    "TX": ({"mon-sat": "09:00-21:00", "sun": "12:00-21:00"}, None, f"{_LISTS}; see Bus. & Com. Code 301.051"),
    "UT": ({"mon-sat": "08:00-21:00"}, ("Pioneer Day",), "Code 13-25a-103(3) as of 2025-01-01, read"),
    "WA": (_EVENING, None, f"{_LISTS}; see Rev. Code 80.36.390"),
    "WY": (_EVENING, None, f"{_LISTS}; see Stat. 40-12-302"),
}


@lru_cache(maxsize=1)
def _table() -> Mapping[str, StateRule]:
    table = {}
    for state, (hours, holidays, source) in _LISTED.items():
        days = {day: read_windows([text]) for names, text in hours.items() for day in read_days(names)}
        closed = frozenset() if holidays is None else _FEDERAL | frozenset(holidays)
        table[state] = StateRule(state, us_state_name(state), Week.of(days), closed, source)
    return table


# ---- holidays -----------------------------------------------------------------------------------


def holiday_on(ordinal: int, holidays: frozenset[str]) -> str | None:
    """The name of the holiday that a day (`date.toordinal()`) is, among some holidays of a state; None when it is none.

    A holiday on a Saturday or Sunday is kept on that day and on the Friday before or the Monday after it: states
    differ, and both are closed.
    """
    day = date.fromordinal(ordinal)
    for group, name in _holidays(day.year).get(ordinal, ()):
        if group in holidays:
            return name
    return None


@lru_cache(maxsize=64)
def _holidays(year: int) -> Mapping[int, tuple[tuple[str, str], ...]]:
    """Days of one year -> group and name; the group is the name, or `federal`."""
    found: dict[int, tuple[tuple[str, str], ...]] = {}
    for near in (year - 1, year, year + 1):  # New Year's Day may be kept on 31 December
        for group, name, day in (*_federal(near), *_of_states(near)):
            for kept in {day, _observed(day)}:
                if kept.year == year:
                    found[kept.toordinal()] = (*found.get(kept.toordinal(), ()), (group, name))
    return found


def _federal(year: int) -> Iterator[tuple[str, str, date]]:
    """5 U.S.C. 6103."""
    for name, day in (
        ("New Year's Day", date(year, 1, 1)),
        ("Martin Luther King Jr. Day", _nth(year, 1, 0, 3)),
        ("Washington's Birthday", _nth(year, 2, 0, 3)),
        ("Memorial Day", _nth(year, 6, 0, 1) - timedelta(7)),
        ("Juneteenth", date(year, 6, 19)),
        ("Independence Day", date(year, 7, 4)),
        ("Labor Day", _nth(year, 9, 0, 1)),
        ("Columbus Day", _nth(year, 10, 0, 2)),
        ("Veterans Day", date(year, 11, 11)),
        ("Thanksgiving Day", _nth(year, 11, 3, 4)),
        ("Christmas Day", date(year, 12, 25)),
    ):
        yield "federal", name, day


def _of_states(year: int) -> Iterator[tuple[str, str, date]]:
    for name, day in (
        ("Mardi Gras", _easter(year) - timedelta(47)),
        ("Good Friday", _easter(year) - timedelta(2)),
        ("Confederate Memorial Day in Alabama", _nth(year, 4, 0, 4)),
        ("Confederate Memorial Day in Mississippi", _nth(year, 5, 0, 1) - timedelta(7)),
        ("Rhode Island Independence Day", date(year, 5, 4)),
        ("Jefferson Davis's birthday", _nth(year, 6, 0, 1)),
        ("Flag Day", date(year, 6, 14)),
        ("Pioneer Day", date(year, 7, 24)),
        ("Victory Day", _nth(year, 8, 0, 2)),
        ("Election Day", _nth(year, 11, 0, 1) + timedelta(1)),
        ("the day after Thanksgiving", _nth(year, 11, 3, 4) + timedelta(1)),
        ("Rosa Parks Day", date(year, 12, 1)),
    ):
        yield name, name, day


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """The nth such weekday of a month; Monday is 0."""
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _observed(day: date) -> date:
    return day + timedelta({5: -1, 6: 1}.get(day.weekday(), 0))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the algorithm of Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    rest = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * rest) // 451
    month, day = divmod(h + rest - 7 * m + 114, 31)
    return date(year, month, day + 1)
