"""A week of calling hours: how people write it, and which minutes of which day it opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Window = tuple[int, int]  # minutes after midnight; the end is above 1440 where the window runs over midnight


class BadHours(ValueError):
    """A text that says no days or no window. `str()` says what is wrong and what to write, without a place."""


def read_days(text: str) -> tuple[int, ...]:
    """`mon`, `mon-fri`, `sat-mon`, `mon, wed` -> days, Monday is 0. Raises BadHours."""
    raise NotImplementedError


def read_windows(texts: Sequence[str]) -> tuple[Window, ...]:
    """`["09:00-12:00", "14:00-20:00"]` -> windows in order; `["closed"]` -> none.

    Raises BadHours, also when two overlap.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Week:
    """What is open on each day, Monday first: sorted stretches of minutes that neither touch nor overlap."""

    days: tuple[tuple[Window, ...], ...]

    @staticmethod
    def of(days: Mapping[int, Sequence[Window]]) -> Week:
        """A day that is not named is closed. What runs over midnight goes on into the next day."""
        raise NotImplementedError

    def __str__(self) -> str:
        """`mon-fri 09:00-20:00, sat 10:00-18:00`."""
        raise NotImplementedError
