"""The US states whose calling hours are narrower than the federal ones, as a dated table.

This supports the work of people who know the law; it is no legal advice. The table only ever narrows: each entry is
cut with the hours of the rules file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration.house.weeks import Week


@dataclass(frozen=True, slots=True)
class StateRule:
    """One state's narrower hours."""

    state: str  # "TX"
    name: str  # "Texas"
    week: Week
    closed_on_holidays: bool = False


@dataclass(frozen=True, slots=True)
class Override:
    """What the rules file says of one state instead of the table."""

    week: Week
    closed_on_holidays: bool | None = None  # None: as listed


def in_force(overrides: Mapping[str, Override]) -> Mapping[str, StateRule]:
    """The table with the file's own entries in place of the listed ones."""
    raise NotImplementedError
