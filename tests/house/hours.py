"""Weeks, hours and zones as the tests write them, and a slow judge that shares no arithmetic with the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from integration.house import Hours, StateRule, Week, Window, Zones, in_force, read_days, read_windows
from integration.house.us_states import holiday_on
from integration.house.zones import load_zone

Windows = Mapping[int, Sequence[Window]]  # by day, as written: they may run over midnight
TEN_YEARS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC))


def days(**texts: str | list[str]) -> Windows:
    """`days(mon_fri="09:00-20:00", sat=["10:00-12:00", "14:00-16:00"])`."""
    return {
        day: read_windows([text] if isinstance(text, str) else text)
        for names, text in texts.items()
        for day in read_days(names.replace("_", "-"))
    }


def week(**texts: str | list[str]) -> Week:
    return Week.of(days(**texts))


def hours_of(everywhere: Week | None = None, us: Week | None = None, **more: object) -> Hours:
    states: Mapping[str, StateRule] = more.get("states", in_force({}))
    countries = {} if us is None else {"US": us}
    return Hours(everywhere, countries | more.get("countries", {}), states, more.get("unknown_zone"))


def in_zones(*names: str, countries: Sequence[str] = ("XX",), us_states: Sequence[str] = ()) -> Zones:
    how = ("a test",)
    return Zones(dict.fromkeys(names, how), dict.fromkeys(countries, how), dict.fromkeys(us_states, how))


def is_open(windows: Windows, local: datetime) -> bool:
    """Whether a wall clock shows a time within one of the windows, also one that began the day before."""
    minute = local.hour * 60 + local.minute
    today = windows.get(local.weekday(), ())
    yesterday = windows.get((local.weekday() - 1) % 7, ())
    return any(begin <= minute < end for begin, end in today) or any(minute + 1440 < end for _, end in yesterday)


def judge_slowly(all_windows: Sequence[Windows], names: Sequence[str], at: datetime, holidays=frozenset()) -> bool:
    """Whether `at` lies in every window in every zone."""
    for name in names:
        local = at.astimezone(load_zone(name))
        if holidays and holiday_on(local.toordinal(), holidays):
            return False
        if not all(is_open(windows, local) for windows in all_windows):
            return False
    return True


@cache
def transitions(name: str) -> tuple[datetime, ...]:
    """The instants of ten years at which a zone's clocks are changed."""
    zone, (at, end) = load_zone(name), TEN_YEARS
    found = []
    while at < end:
        later = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            before, after = at, later
            while after - before > timedelta(seconds=1):
                middle = before + (after - before) / 2
                same = middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset()
                before, after = (middle, after) if same else (before, middle)
            found.append((after + timedelta(seconds=30)).replace(second=0, microsecond=0))
        at = later
    return tuple(found)
