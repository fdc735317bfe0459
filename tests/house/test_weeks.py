"""How people write days and windows, and what they are told when it is none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.house.weeks import ALWAYS, MIDNIGHT, BadHours, Week, merged, met, read_days, read_windows


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon", (0,)),
        ("Sunday", (6,)),
        ("thurs", (3,)),
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("mon - fri", (0, 1, 2, 3, 4)),
        ("mon\u2013fri", (0, 1, 2, 3, 4)),
        ("mon to wed", (0, 1, 2)),
        ("sat-mon", (5, 6, 0)),
        ("mon-sun", (0, 1, 2, 3, 4, 5, 6)),
        ("mon, wed", (0, 2)),
        ("mon-tue,sat", (0, 1, 5)),
        ("wed-wed", (2,)),
    ],
)
def test_days_are_read(text, days):
    assert read_days(text) == days


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mo", "`mo` is no day; write mon, tue, wed, thu, fri, sat or sun, or a range like mon-fri"),
        ("weekdays", "`weekdays` is no day; write mon, tue, wed, thu, fri, sat or sun, or a range like mon-fri"),
        ("", "`` is no day; write mon, tue, wed, thu, fri, sat or sun, or a range like mon-fri"),
        ("mon-", "`mon-` is no day; write mon, tue, wed, thu, fri, sat or sun, or a range like mon-fri"),
        ("mon-wed, tue", "`mon-wed, tue` names tue twice; name each day once"),
    ],
)
def test_what_is_no_day_is_told(text, message):
    with pytest.raises(BadHours) as caught:
        read_days(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("texts", "windows"),
    [
        (["09:00-20:00"], ((540, 1200),)),
        (["9:00 - 20:00"], ((540, 1200),)),
        (["09:00\u201320:00"], ((540, 1200),)),
        (["09:00 to 20:00"], ((540, 1200),)),
        (["00:00-24:00"], ((0, 1440),)),
        (["20:00-02:00"], ((1200, 1560),)),
        (["20:00-00:00"], ((1200, 1440),)),
        (["14:00-20:00", "10:00-13:00"], ((600, 780), (840, 1200))),
        (["10:00-13:00", "13:00-14:00"], ((600, 780), (780, 840))),
        (["closed"], ()),
        ([" Closed "], ()),
        ([], ()),
    ],
)
def test_windows_are_read(texts, windows):
    assert read_windows(texts) == windows


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["9-20"], "`9-20` is no window; did you mean `09:00-20:00`?"),
        (["9am-8pm"], "`9am-8pm` is no window; did you mean `09:00-20:00`?"),
        (["9.30-20.00"], "`9.30-20.00` is no window; did you mean `09:30-20:00`?"),
        (["9 Uhr bis 20 Uhr"], "`9 Uhr bis 20 Uhr` is no window; did you mean `09:00-20:00`?"),
        (["9-5"], "`9-5` is no window; did you mean `09:00-17:00`?"),
        (["9am-5"], "`9am-5` is no window; did you mean `09:00-17:00`?"),
        (["22.00-6.00"], "`22.00-6.00` is no window; did you mean `22:00-06:00`?"),
        (["10pm-6am"], "`10pm-6am` is no window; did you mean `22:00-06:00`?"),
        (["12am-12pm"], "`12am-12pm` is no window; did you mean `00:00-12:00`?"),
        (["09:00"], "`09:00` is no window; write two times like 09:00-20:00"),
        (["09:00-25:00"], "`09:00-25:00` is no window; write two times like 09:00-20:00"),
        (["09:60-20:00"], "`09:60-20:00` is no window; write two times like 09:00-20:00"),
        (["open"], "`open` is no window; write two times like 09:00-20:00"),
        (["24:00-08:00"], "`24:00-08:00` begins at the end of a day; write 00:00 on the next day"),
        (
            ["09:00-09:00"],
            "`09:00-09:00` has no length; write 00:00-24:00 for all day, or leave the day out if it is closed",
        ),
        (["09:00-13:00", "12:00-20:00"], "`09:00-13:00` and `12:00-20:00` overlap; write one window"),
        (["09:00-13:00", "closed"], "`closed` stands alone; a day with windows is not closed"),
        (["9" * 300], f"`{'9' * 39}…` is no window; write two times like 09:00-20:00"),
    ],
)
def test_what_is_no_window_is_told(texts, message):
    with pytest.raises(BadHours) as caught:
        read_windows(texts)
    assert str(caught.value) == message


def test_a_window_over_midnight_goes_on_into_the_next_day():
    week = Week.of({4: read_windows(["20:00-02:00"]), 6: read_windows(["22:00-01:00"])})
    assert [week.is_open(day, minute) for day, minute in ((4, 1199), (4, 1200), (5, 119), (5, 120))] == [0, 1, 1, 0]
    assert week.is_open(6, 1439)
    assert week.is_open(0, 59)
    assert str(week) == "mon 00:00-01:00, fri 20:00-24:00, sat 00:00-02:00, sun 22:00-24:00"


def test_a_week_is_told_in_ranges():
    workdays = {day: read_windows(["10:00-13:00", "14:00-20:00"]) for day in range(5)}
    assert str(Week.of({**workdays, 5: read_windows(["10:00-18:00"])})) == (
        "mon-fri 10:00-13:00 and 14:00-20:00, sat 10:00-18:00"
    )
    assert str(Week.of({})) == "never"
    assert str(ALWAYS) == "mon-sun 00:00-24:00"


def test_all_day_is_every_minute():
    assert Week.of({day: read_windows(["00:00-24:00"]) for day in range(7)}) == ALWAYS


STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(lambda s: s[0] < s[1]), max_size=6)


@settings(deadline=None)
@given(STRETCHES, STRETCHES)
def test_stretches_are_joined_and_cut_minute_by_minute(one, other):
    def minutes(stretches):
        return {minute for begin, end in stretches for minute in range(begin, end)}

    assert minutes(merged(one)) == minutes(one)
    assert minutes(met(merged(one), merged(other))) == minutes(one) & minutes(other)
    joined = merged(one)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(joined))


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 6), STRETCHES), st.dictionaries(st.integers(0, 6), STRETCHES))
def test_two_weeks_are_open_where_both_are(one, other):
    mine, theirs = Week.of(one), Week.of(other)
    both = mine & theirs
    for day in range(7):
        for minute in range(0, MIDNIGHT, 7):
            assert both.is_open(day, minute) == (mine.is_open(day, minute) and theirs.is_open(day, minute))
