"""No instant that is called open lies outside any candidate's window, and no opening is missed, for ten years."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.house import Hours, OpeningKind, Week, look, windows
from integration.house.us_states import in_force
from integration.house.zones import _country_zones, load_zone
from tests.house.hours import TEN_YEARS, days, in_zones, judge_slowly, transitions

ALL_ZONES = sorted({name for names in _country_zones().values() for name in names} | {"UTC", "EST5EDT"})
STEP = timedelta(minutes=15)  # of all that is generated here, and of every zone's distance from UTC
QUARTERS = 24 * 4

quarters = st.tuples(st.integers(0, QUARTERS - 1), st.integers(1, QUARTERS)).map(
    lambda q: (q[0] * 15, (q[0] + q[1]) * 15)
)


def apart(list_of_windows):
    """Windows of one day that do not overlap; each may run over midnight."""
    kept = []
    for begin, end in sorted(list_of_windows):
        if not kept or kept[-1][1] <= begin:
            kept.append((begin, end))
    return kept


a_week = st.dictionaries(st.integers(0, 6), st.lists(quarters, min_size=1, max_size=2).map(apart), min_size=2)
office = st.sampled_from(
    [
        days(mon_fri="09:00-20:00", sat="10:00-18:00"),
        days(mon_sun="08:00-21:00"),
        days(mon_fri=["10:00-13:00", "14:00-20:00"]),
    ]
)
some_zones = st.lists(st.sampled_from(ALL_ZONES), min_size=1, max_size=3, unique=True)
any_moment = st.datetimes(TEN_YEARS[0].replace(tzinfo=None), TEN_YEARS[1].replace(tzinfo=None)).map(
    lambda at: at.replace(tzinfo=TEN_YEARS[0].tzinfo)
)


@st.composite
def moments(draw, names):
    """Any moment of ten years; half of them within a day of a change of clocks in one of the zones."""
    near = [change for name in names for change in transitions(name)]
    if not near or draw(st.booleans()):
        return draw(any_moment)
    return draw(st.sampled_from(near)) + draw(st.timedeltas(timedelta(days=-1), timedelta(days=1)))


def hours_for(weeks) -> Hours:
    """Each week is that of a country of its own."""
    return Hours(None, {f"X{number}": Week.of(one) for number, one in enumerate(weeks)}, {})


def zones_for(names, weeks):
    return in_zones(*names, countries=[f"X{number}" for number in range(len(weeks))])


@cache
def one_of_each_clock() -> tuple[str, ...]:
    """Zones that differ in what their clocks show; those of Berlin, Paris and Rome are one."""
    clocks = {}
    for name in ALL_ZONES:
        moments = (*transitions(name), *TEN_YEARS)
        clocks[transitions(name), tuple(at.astimezone(load_zone(name)).utcoffset() for at in moments)] = name
    return tuple(clocks.values())


def ceil(at: datetime) -> datetime:
    return at + (TEN_YEARS[0] - at) % STEP


@pytest.mark.parametrize(
    "one", [days(mon_fri="09:00-20:00", sat="10:00-18:00"), days(mon_sun="22:00-02:30"), days(sun="01:30-03:15")]
)
def test_around_every_change_of_clocks_the_answer_is_the_wall_clocks(one):
    hours = hours_for([one])
    for name in one_of_each_clock():
        zones = zones_for([name], [one])
        for change in transitions(name):
            for minutes in (-61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 119):
                at = change + timedelta(minutes=minutes)
                assert (look(hours, zones, at).kind is OpeningKind.OPEN) == judge_slowly([one], [name], at), (name, at)


@settings(max_examples=300, deadline=None)
@given(st.data(), some_zones, st.lists(st.one_of(office, a_week), min_size=1, max_size=2))
def test_open_is_open_in_every_zone_under_every_rule(data, names, weeks):
    at = data.draw(moments(names))
    opening = look(hours_for(weeks), zones_for(names, weeks), at)
    assert (opening.kind is OpeningKind.OPEN) == judge_slowly(weeks, names, at)
    assert all(one.closed_by is None for one in opening.seen) == (opening.kind is OpeningKind.OPEN)


@settings(max_examples=200, deadline=None)
@given(st.data(), some_zones, st.lists(st.one_of(office, a_week), min_size=1, max_size=2))
def test_openings_and_ends_are_the_earliest(data, names, weeks):
    at = data.draw(moments(names))
    opening = look(hours_for(weeks), zones_for(names, weeks), at)
    last = at + timedelta(days=windows.SEARCH_DAYS)
    change = opening.until or opening.opens_at or last
    is_open = opening.kind is OpeningKind.OPEN
    step = ceil(at)
    while step < min(change, last):
        assert judge_slowly(weeks, names, step) == is_open, step
        step += STEP
    if opening.kind is not OpeningKind.NEVER and change < last:
        assert judge_slowly(weeks, names, change) != is_open


@settings(max_examples=100, deadline=None)
@given(st.data(), some_zones, st.lists(office, min_size=1, max_size=2))
def test_what_was_said_stays_true_until_the_instant_it_names(data, names, weeks):
    hours, zones = hours_for(weeks), zones_for(names, weeks)
    at = data.draw(moments(names))
    first = look(hours, zones, at)
    change = first.until or first.opens_at
    if change is None or change - at < timedelta(seconds=2):
        return
    later = at + data.draw(st.timedeltas(timedelta(0), change - at - timedelta(seconds=1)))
    again = look(hours, zones, later)
    assert (again.kind, again.until, again.opens_at) == (first.kind, first.until, first.opens_at)


american = st.lists(
    st.sampled_from(["America/New_York", "America/Denver", "Pacific/Honolulu"]), min_size=1, unique=True
)


@settings(max_examples=200, deadline=None)
@given(
    st.data(),
    american,
    st.one_of(office, a_week),
    st.lists(st.sampled_from(["AL", "PA", "RI", "TX", "UT"]), unique=True, max_size=3),
)
def test_states_and_their_holidays_only_ever_narrow(data, names, country, states):
    at = data.draw(moments(names))
    table = in_force({})
    hours = Hours(None, {"US": Week.of(country)}, table)
    without = look(hours, in_zones(*names, countries=["US"]), at)
    narrowed = look(hours, in_zones(*names, countries=["US"], us_states=states), at)
    assert narrowed.kind is not OpeningKind.OPEN or without.kind is OpeningKind.OPEN
    listed = [dict(enumerate(table[state].week.days)) for state in states]
    holidays = frozenset(day for state in states for day in table[state].holidays)
    assert (narrowed.kind is OpeningKind.OPEN) == judge_slowly([country, *listed], names, at, holidays)


def test_the_same_question_has_the_same_answer_without_any_memory():
    names, weeks = ["Europe/Berlin", "America/New_York", "Asia/Kolkata"], [days(mon_fri="09:00-20:00")]
    questions = [TEN_YEARS[0] + timedelta(hours=7 * number) for number in range(500)]
    first = [look(hours_for(weeks), zones_for(names, weeks), at) for at in questions]
    windows._open_in.cache_clear()
    windows._open_together.cache_clear()
    hours = hours_for(weeks)
    assert [look(hours, zones_for(names, weeks), at) for at in reversed(questions)] == first[::-1]
