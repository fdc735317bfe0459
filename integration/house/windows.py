"""When a person may be called: weekly windows of local time, and the instants at which they open and close.

A window is a stretch of the wall clock, from its first minute to just before its last. An instant lies in it when the
clocks of that zone show such a time. So a window that spans the missing hour of spring is an hour shorter that day, and
in the hour that comes twice in autumn both are inside or both are outside.

Every rule that applies is asked in every zone where the person may be: of a lead with a Florida number and a Texan
address, Florida's hours hold in Texas too. That closes more than the law asks for, and can be said in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache

from integration.house.us_states import StateRule, holiday_on
from integration.house.weeks import ALWAYS, SHORT_DAYS, Week, Window, merged, met
from integration.house.zones import Zones, load_zone
from integration.model import Tree

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
SEARCH_DAYS = 15  # two weekly windows that ever meet do so within a week; the rest is for holidays and clock changes
MAX_SHOWN = 3  # zones in a sentence; the evidence has all of them
MAX_PLANS = 1_000  # combinations of countries and states that are remembered
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH_DAY - 2  # beyond it a local time may have no date


@dataclass(frozen=True, slots=True)
class Hours:
    """The `hours:` of a rules file, as far as they decide about an instant."""

    everywhere: Week | None  # None: a country without a week of its own is never called
    countries: Mapping[str, Week]  # a country's own week replaces `everywhere`
    us_states: Mapping[str, StateRule]  # the table in force: see `us_states.in_force`; empty: off
    unknown_zone: str | None = None  # IANA name for people whose zone is unknown; None: they are held
    _plans: dict[tuple[tuple[str, ...], tuple[str, ...]], _Plan] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )


class OpeningKind(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    NEVER = "never"  # the windows of the candidates do not meet within 15 days
    NO_ZONE = "no_zone"  # nothing says where the person is, and no zone is set for that


@dataclass(frozen=True, slots=True)
class Seen:
    """What one candidate zone showed at the moment asked about."""

    zone: str
    local: datetime  # aware, in that zone
    closed_by: str | None  # the rule that is not met, e.g. "US: mon-sat 08:00-21:00"; None: open here


@dataclass(frozen=True, slots=True)
class Opening:
    """May it ring at this instant, as far as the hours are concerned? Instants are aware UTC."""

    kind: OpeningKind
    until: datetime | None  # OPEN: the first instant that is not open any more (or was not looked at: 15 days on)
    opens_at: datetime | None  # CLOSED: the first instant at which all are open
    detail: str  # a sentence for people
    seen: tuple[Seen, ...]
    rules: tuple[str, ...] = ()  # every rule that was asked

    def saw(self) -> Mapping[str, Tree]:
        """The same as evidence."""
        saw: dict[str, Tree] = {
            "hours": self.kind.value,
            "rules": list(self.rules),
            "local": {one.zone: one.local.isoformat(timespec="seconds") for one in self.seen},
        }
        closed: dict[str, Tree] = {one.zone: one.closed_by for one in self.seen if one.closed_by is not None}
        if closed:
            saw["closed_by"] = closed
        if self.until is not None:
            saw["until"] = _iso(self.until)
        if self.opens_at is not None:
            saw["opens_at"] = _iso(self.opens_at)
        return saw


def look(hours: Hours, zones: Zones, at: datetime) -> Opening:
    """Whether `at` is open in every candidate zone under every rule that applies, until when, or when next."""
    names = tuple(zones.found) or ((hours.unknown_zone,) if hours.unknown_zone is not None else ())
    plan = _plan_of(hours, tuple(zones.countries), tuple(zones.us_states))
    rules = tuple(rule.told for rule in plan.rules)
    if not names:
        detail = "nothing says in which time zone this person is; map `time_zone`, `state` or `postal_code`"
        return Opening(OpeningKind.NO_ZONE, None, None, detail, (), rules)
    seen = tuple(_see(plan, name, at) for name in names)
    if plan.missing:
        detail = f"no calling hours are set for {' or '.join(plan.missing)}; add them, or `everywhere:`, to `hours:`"
        return Opening(OpeningKind.NEVER, None, None, detail, seen, rules)
    moment = at.timestamp()
    for begin, end in _stretches(plan, names, int(moment // DAY_SECONDS)):
        if begin <= moment < end:
            until = _instant(end)
            return Opening(OpeningKind.OPEN, until, None, _open_until(plan, names, until), seen, rules)
        if begin > moment:
            opens_at = _instant(begin)
            return Opening(OpeningKind.CLOSED, None, opens_at, _closed_now(seen), seen, rules)
    where = f"in {_few(names)}{' at once' if len(names) > 1 else ''}"
    detail = f"within {SEARCH_DAYS} days the calling hours never hold {where}"
    return Opening(OpeningKind.NEVER, None, None, detail, seen, rules)


# ---- the rules that apply ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    told: str
    week: Week
    holidays: frozenset[str] = frozenset()

    def closed_by(self, local: datetime) -> str | None:
        """What closes this moment, in words; None when it is open."""
        if self.holidays and (holiday := holiday_on(local.toordinal(), self.holidays)) is not None:
            return f"{self.told}: {holiday}"
        return None if self.week.is_open(local.weekday(), local.hour * 60 + local.minute) else self.told


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity, which is quick to look up
class _Plan:
    """The rules that apply to some countries and states, and all of them in one."""

    rules: tuple[_Rule, ...]
    week: Week
    holidays: frozenset[str]
    missing: tuple[str, ...]  # countries without any hours


def _plan_of(hours: Hours, countries: tuple[str, ...], states: tuple[str, ...]) -> _Plan:
    plan = hours._plans.get((countries, states))
    if plan is None:
        if len(hours._plans) >= MAX_PLANS:
            hours._plans.clear()
        plan = hours._plans[countries, states] = _make_plan(hours, countries, states)
    return plan


def _make_plan(hours: Hours, countries: tuple[str, ...], states: tuple[str, ...]) -> _Plan:
    rules: list[_Rule] = []
    missing: list[str] = []
    for country in countries or ("everywhere",):
        own = hours.countries.get(country)
        week, name = (hours.everywhere, "everywhere") if own is None else (own, country)
        if week is None:
            missing.append(country)
            continue
        rule = _Rule(f"{name}: {week}", week)
        if rule not in rules:
            rules.append(rule)
    for state in states:
        listed = hours.us_states.get(state)
        if listed is not None:
            rules.append(_Rule(str(listed), listed.week, listed.holidays))
    week = ALWAYS
    for rule in rules:
        week &= rule.week
    holidays = frozenset(day for rule in rules for day in rule.holidays)
    return _Plan(tuple(rules), week, holidays, tuple(missing))


# ---- instants ---------------------------------------------------------------------------------


def _stretches(plan: _Plan, names: tuple[str, ...], first_day: int) -> Iterator[Window]:
    """Stretches of seconds since 1970 that are open everywhere, in order, joined over the ends of days."""
    held: Window | None = None
    for day in range(first_day, min(first_day + SEARCH_DAYS, _LAST_DAY) + 1):
        for stretch in _open_together(plan, names, day):
            if held is not None and held[1] == stretch[0]:
                held = (held[0], stretch[1])
                continue
            if held is not None:
                yield held
            held = stretch
        # Most answers lie in the first day: what ends before its last second cannot grow any more.
        if held is not None and held[1] < (day + 1) * DAY_SECONDS:
            yield held
            held = None
    if held is not None:
        yield held


@lru_cache(maxsize=8_192)
def _open_together(plan: _Plan, names: tuple[str, ...], day: int) -> tuple[Window, ...]:
    """What is open in all zones during one day of UTC, as seconds since 1970."""
    common = _open_in(plan, names[0], day)
    for name in names[1:]:
        if not common:
            break
        common = tuple(met(common, _open_in(plan, name, day)))
    return common


@lru_cache(maxsize=8_192)
def _open_in(plan: _Plan, name: str, day: int) -> tuple[Window, ...]:
    """What is open in one zone during one day of UTC.

    Between two changes of its clocks a zone is a constant distance from UTC, so there the windows are only shifted.
    """
    found: list[Window] = []
    for begin, end, offset in _constant(name, day * DAY_SECONDS, (day + 1) * DAY_SECONDS):
        for local_day in range((begin + offset) // DAY_SECONDS, (end + offset - 1) // DAY_SECONDS + 1):
            ordinal = local_day + _EPOCH_DAY
            if plan.holidays and holiday_on(ordinal, plan.holidays) is not None:
                continue
            midnight = local_day * DAY_SECONDS - offset
            windows = [
                (midnight + 60 * first, midnight + 60 * last) for first, last in plan.week.days[(ordinal - 1) % 7]
            ]
            found += met([(begin, end)], windows)
    return tuple(merged(found))


def _constant(name: str, begin: int, end: int) -> list[tuple[int, int, int]]:
    """Parts of a stretch during which the zone's clocks are not changed: begin, end, seconds ahead of UTC.

    The clocks are asked every hour, because no zone has changed them twice within one, and then to the second.
    """
    parts: list[tuple[int, int, int]] = []
    offset = _offset(name, begin)
    for probe in range(begin + HOUR_SECONDS, end + 1, HOUR_SECONDS):
        probed = _offset(name, probe)
        if probed == offset:
            continue
        before, after = probe - HOUR_SECONDS, probe
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if _offset(name, middle) == offset else (before, middle)
        parts.append((begin, after, offset))
        begin, offset = after, probed
    if begin < end:
        parts.append((begin, end, offset))
    return parts


def _offset(name: str, second: int) -> int:
    offset = datetime.fromtimestamp(second, load_zone(name)).utcoffset()
    assert offset is not None
    return offset.days * DAY_SECONDS + offset.seconds


# ---- words ------------------------------------------------------------------------------------


def _see(plan: _Plan, name: str, at: datetime) -> Seen:
    local = at.astimezone(load_zone(name))
    closed = (rule.closed_by(local) for rule in plan.rules)
    return Seen(name, local, next((told for told in closed if told is not None), None))


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MAX_SHOWN])
    return shown if len(names) <= MAX_SHOWN else f"{shown} and {len(names) - MAX_SHOWN} more zones"


def _open_until(plan: _Plan, names: tuple[str, ...], until: datetime) -> str:
    """The end as the zone sees it that closes first."""
    seen = tuple(_see(plan, name, until) for name in names)
    first = next((one for one in seen if one.closed_by is not None), seen[0])
    return f"within the calling hours until {first.local:%Y-%m-%d %H:%M} {first.zone}"


def _closed_now(seen: tuple[Seen, ...]) -> str:
    closed = next((one for one in seen if one.closed_by is not None), seen[0])
    local = f"{SHORT_DAYS[closed.local.weekday()]} {closed.local:%H:%M}"
    return f"it is {local} in {closed.zone}, outside the calling hours ({closed.closed_by})"


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
