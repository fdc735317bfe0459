"""When a person may be called: weekly windows of local time, and the instants at which they open and close.

A window is a stretch of the wall clock, from its first minute to just before its last. An instant lies in it when the
clocks of that zone show such a time. So a window that spans the missing hour of spring is an hour shorter that day, and
in the hour that comes twice in autumn both are inside or both are outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from integration.house.us_states import StateRule
from integration.house.weeks import Week
from integration.house.zones import Zones
from integration.model import Tree


@dataclass(frozen=True, slots=True)
class Hours:
    """The `hours:` of a rules file, as far as they decide about an instant."""

    everywhere: Week | None  # None: a country without a week of its own is never called
    countries: Mapping[str, Week]  # a country's own week replaces `everywhere`
    us_states: Mapping[str, StateRule]  # the table in force: see `us_states.in_force`; empty: off
    unknown_zone: str | None = None  # IANA name for people whose zone is unknown; None: they are held


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
        raise NotImplementedError


def look(hours: Hours, zones: Zones, at: datetime) -> Opening:
    """Whether `at` is open in every candidate zone under every rule that applies, until when, or when next."""
    raise NotImplementedError
