"""The instants that CRMs write: ISO 8601, the form of e-mails, and counts of seconds or milliseconds.

A date whose day and month could be swapped (03/04/2026) is not guessed at: it cannot be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

from integration.model import Tree
from integration.payload import usable_text

MAX_DATE_CHARS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT = re.compile(r"[0-9]{9,17}(\.[0-9]+)?")
_DOTNET = re.compile(r"/Date\((-?[0-9]{1,17})([+-][0-9]{4})?\)/")  # older Microsoft APIs
_TAIL = re.compile(r"\s+(UTC|GMT|Z|[+-][0-9]{2}:?[0-9]{2})$")  # `2026-11-23 12:00:00 UTC`
_ISO = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")  # not the ISO dates of weeks, which no CRM writes
# Beyond these a count of seconds would be a count of milliseconds, and so on: in the year 5138.
_MOST_SECONDS = 10**11
_MOST_MILLISECONDS = 10**14


@dataclass(frozen=True, slots=True)
class Written:
    """An instant that a record holds."""

    at: datetime  # aware UTC
    has_zone: bool  # False: no zone was written, so it was taken as UTC


def read_instant(value: Tree) -> Written | None:
    """The instant that `value` states, or None when it is none that can be read. Never raises."""
    text = usable_text(value)
    if text is None or len(text) > MAX_DATE_CHARS or not text.isascii():
        return None
    try:
        if _COUNT.fullmatch(text):
            return Written(_counted(Decimal(text)), has_zone=True)
        milliseconds = _DOTNET.fullmatch(text)
        if milliseconds is not None:
            return Written(_EPOCH + timedelta(milliseconds=int(milliseconds.group(1))), has_zone=True)
        return _dated(text)
    except (ValueError, OverflowError, InvalidOperation):
        return None


def _counted(count: Decimal) -> datetime:
    """The instant so many seconds after 1970 began, or milliseconds, or microseconds: only one of them makes sense."""
    per_second = 1 if count < _MOST_SECONDS else 1000 if count < _MOST_MILLISECONDS else 1_000_000
    return _EPOCH + timedelta(microseconds=int(count * 1_000_000 / per_second))


def _dated(text: str) -> Written:
    if _ISO.match(text):
        read = datetime.fromisoformat(_TAIL.sub(lambda tail: _offset(tail.group(1)), text.upper()))
    else:
        read = parsedate_to_datetime(text)
    if read.tzinfo is None:
        return Written(read.replace(tzinfo=UTC), has_zone=False)
    return Written(read.astimezone(UTC), has_zone=True)


def _offset(word: str) -> str:
    return "+00:00" if word.isalpha() else word
