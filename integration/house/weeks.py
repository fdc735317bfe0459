"""A week of calling hours: how people write it, and which minutes of which day it opens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIDNIGHT = 24 * 60  # minutes; the end of a day
NOON = 12 * 60
WEEK = 7
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHORT_DAYS = tuple(name[:3] for name in DAY_NAMES)

Window = tuple[int, int]  # minutes after midnight; the end is above 1440 where the window runs over midnight


class BadHours(ValueError):
    """A text that says no days or no window. `str()` says what is wrong and what to write, without a place."""


# ---- days -------------------------------------------------------------------------------------


def read_days(text: str) -> tuple[int, ...]:
    """`mon`, `mon-fri`, `sat-mon`, `mon, wed` -> days, Monday is 0. Raises BadHours."""
    days: list[int] = []
    for piece in _plain(text).split(","):
        first, dash, last = (part.strip() for part in piece.partition("-"))
        begin = _day(first, text)
        end = _day(last, text) if dash else begin
        days += [(begin + step) % WEEK for step in range((end - begin) % WEEK + 1)]
    twice = next((day for day in days if days.count(day) > 1), None)
    if twice is not None:
        raise BadHours(f"`{_short(text)}` names {SHORT_DAYS[twice]} twice; name each day once")
    return tuple(days)


def _day(word: str, text: str) -> int:
    if len(word) >= len(SHORT_DAYS[0]):
        for day, name in enumerate(DAY_NAMES):
            if name.startswith(word):
                return day
    raise BadHours(f"`{_short(text)}` is no day; write mon, tue, wed, thu, fri, sat or sun, or a range like mon-fri")


# ---- windows ----------------------------------------------------------------------------------

_HELP = "write two times like 09:00-20:00"
_HALF_DAY_NAMED = ("m", "m.")  # am and pm
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_ROUGH_TIME = re.compile(r"([0-9]{1,2})(?:[:.h]([0-9]{2}))?(?::[0-9]{2})?\s*(?:([ap])\.?m\.?|h|uhr)?")


def read_windows(texts: Sequence[str]) -> tuple[Window, ...]:
    """`["09:00-12:00", "14:00-20:00"]` -> windows in order; `["closed"]` -> none.

    Raises BadHours, also when two overlap.
    """
    if [_plain(text) for text in texts] == ["closed"]:
        return ()
    windows = sorted((_window(text), text) for text in texts)
    for (one, told), (other, told_other) in itertools.pairwise(windows):
        if other[0] < one[1]:
            raise BadHours(f"`{_short(told)}` and `{_short(told_other)}` overlap; write one window")
    return tuple(window for window, _ in windows)


def _window(text: str) -> Window:
    plain = _plain(text)
    if plain == "closed":
        raise BadHours("`closed` stands alone; a day with windows is not closed")
    begin_text, dash, end_text = (part.strip() for part in plain.partition("-"))
    begin, end = _minutes(begin_text), _minutes(end_text)
    if not dash or begin is None or end is None:
        raise BadHours(f"`{_short(text)}` is no window; {_meant(begin_text, end_text)}")
    if begin == MIDNIGHT:
        raise BadHours(f"`{_short(text)}` begins at the end of a day; write 00:00 on the next day")
    if begin == end:
        raise BadHours(
            f"`{_short(text)}` has no length; write 00:00-24:00 for all day, or leave the day out if it is closed"
        )
    return (begin, end) if begin < end else (begin, end + MIDNIGHT)


def _minutes(text: str) -> int | None:
    """Minutes after midnight of `09:00`; 24:00 is the end of the day."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    minutes = int(match[1]) * 60 + int(match[2])
    return minutes if int(match[2]) < 60 and minutes <= MIDNIGHT else None


def _meant(begin_text: str, end_text: str) -> str:
    """What `9-20`, `9am-8pm` and `9.00-20.00` would be here; `9-5` is a day's work, and no night's."""
    begin, end = _rough(begin_text), _rough(end_text)
    if begin is None or end is None or begin == end:
        return _HELP
    if end < begin <= NOON and not end_text.endswith(_HALF_DAY_NAMED):
        end += NOON
    return f"did you mean `{clock(begin)}-{clock(end)}`?"


def _rough(text: str) -> int | None:
    match = _ROUGH_TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if match[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[3] == "p" else 0)
    minutes = hour * 60 + minute
    return minutes if minute < 60 and minutes <= MIDNIGHT else None


def _plain(text: str) -> str:
    """Lower case, with a plain dash for each kind of it."""
    return re.sub(r"[\u2010-\u2015\u2212]|\b(?:to|until|bis)\b", "-", text[:200].strip().lower())


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def clock(minutes: int) -> str:
    """Minutes after midnight as `09:00`; the end of a day is 24:00."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


# ---- the week ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Week:
    """What is open on each day, Monday first: sorted stretches of minutes that neither touch nor overlap."""

    days: tuple[tuple[Window, ...], ...]

    @staticmethod
    def of(days: Mapping[int, Sequence[Window]]) -> Week:
        """A day that is not named is closed. What runs over midnight goes on into the next day."""
        stretches: list[list[Window]] = [[] for _ in range(WEEK)]
        for day, windows in days.items():
            for begin, end in windows:
                stretches[day].append((begin, min(end, MIDNIGHT)))
                if end > MIDNIGHT:
                    stretches[(day + 1) % WEEK].append((0, end - MIDNIGHT))
        return Week(tuple(tuple(merged(day)) for day in stretches))

    def __and__(self, other: Week) -> Week:
        """What is open in both."""
        return Week(tuple(tuple(met(mine, theirs)) for mine, theirs in zip(self.days, other.days, strict=True)))

    def is_open(self, day: int, minute: int) -> bool:
        """Whether a minute of the wall clock lies in a window. Monday is 0."""
        return any(begin <= minute < end for begin, end in self.days[day])

    def __str__(self) -> str:
        """`mon-fri 09:00-20:00, sat 10:00-18:00`."""
        parts: list[str] = []
        day = 0
        while day < WEEK:
            last = day
            while last + 1 < WEEK and self.days[last + 1] == self.days[day]:
                last += 1
            if self.days[day]:
                names = SHORT_DAYS[day] if day == last else f"{SHORT_DAYS[day]}-{SHORT_DAYS[last]}"
                windows = " and ".join(f"{clock(begin)}-{clock(end)}" for begin, end in self.days[day])
                parts.append(f"{names} {windows}")
            day = last + 1
        return ", ".join(parts) or "never"


ALWAYS = Week((((0, MIDNIGHT),),) * WEEK)


def merged(stretches: Iterable[Window]) -> list[Window]:
    """Sorted; what overlaps or touches made one."""
    joined: list[Window] = []
    for begin, end in sorted(stretches):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def met(mine: Sequence[Window], theirs: Sequence[Window]) -> list[Window]:
    """What lies in both of two sorted lists of stretches."""
    common: list[Window] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        begin, end = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
        if begin < end:
            common.append((begin, end))
        if mine[i][1] < theirs[j][1]:
            i += 1
        else:
            j += 1
    return common
