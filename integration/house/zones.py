"""In which time zones a person may be, from what a record and its number say.

No source is trusted alone: a mobile number is kept through three moves, an address is where the bill goes, and a CRM's
field may be its own default. So every zone that one of them names is a candidate, and a call must be within the hours
of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration.model import Tree


@dataclass(frozen=True, slots=True)
class Zones:
    """Where the called person may be. Each name maps to how it was found, in words without personal data."""

    found: Mapping[str, tuple[str, ...]]  # IANA name -> e.g. ("area code 212", "state NY"); empty: nothing is known
    countries: Mapping[str, tuple[str, ...]]  # ISO codes whose hours apply -> how they were found
    us_states: Mapping[str, tuple[str, ...]]  # "TX" -> how it was found; from the address and from the area code
    doubts: tuple[str, ...] = ()  # what was given and not understood, e.g. "the field `time_zone` names no zone"

    def saw(self) -> Mapping[str, Tree]:
        """The same as evidence."""
        raise NotImplementedError


def find_zones(
    number: str,
    *,
    time_zone: Tree = None,
    country: str | None = None,
    state: Tree = None,
    postal_code: Tree = None,
) -> Zones:
    """The candidates for one lead. Never raises: what cannot be read is a doubt.

    `number` is E.164; `country` the record's ISO code; the others are the record's fields as they came.
    """
    raise NotImplementedError


def read_zone(text: str) -> str | None:
    """The IANA name of one zone, for settings such as `unknown_zone:`. None when it is none."""
    raise NotImplementedError
