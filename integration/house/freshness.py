"""How old a lead is, and what becomes of one that is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from integration.house.dates import read_instant
from integration.model import Check, Tree

SKEW = timedelta(minutes=5)  # by so much a CRM's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Age:
    """Since when a lead counts as known, and how that was found."""

    counts_from: datetime
    source: Literal["created_at", "receipt", "order"]  # "order": a person's
    note: str = ""  # what was odd about `created_at`, for people


def age_of(created_at: Tree, received_at: datetime) -> Age:
    """From the CRM's own time of creation; from receipt where there is none that can be believed."""
    if created_at is None:
        return Age(received_at, "receipt")
    written = read_instant(created_at)
    if written is None:
        return Age(received_at, "receipt", "`created_at` cannot be read")
    if written.at > received_at + SKEW:
        return Age(received_at, "receipt", "`created_at` lies in the future")
    note = "" if written.has_zone else "`created_at` has no time zone: taken as UTC"
    return Age(min(written.at, received_at), "created_at", note)


def renewed(age: Age, renewed_at: datetime | None) -> Age:
    """The same, unless a person has ordered since that the lead be called: then it counts from the order."""
    if renewed_at is None or renewed_at <= age.counts_from:
        return age
    return Age(renewed_at, "order", age.note)


def check_freshness(age: Age, fresh_for: timedelta, now: datetime) -> Check:
    """Whether the lead is fresh at `now`, with what was seen."""
    saw: dict[str, Tree] = {
        "counts_from": stamp(age.counts_from),
        "which_is": age.source,
        "age_seconds": int((now - age.counts_from).total_seconds()),
        "fresh_for_seconds": int(fresh_for.total_seconds()),
    }
    if age.note:
        saw["note"] = age.note
    return Check("freshness", "ok" if now < age.counts_from + fresh_for else "held", saw)


def stamp(at: datetime) -> str:
    """An instant as the evidence shows it."""
    return at.isoformat(timespec="seconds")


def in_words(span: timedelta) -> str:
    """A length of time in the largest unit that states it exactly: `2 days`, `90 minutes`."""
    seconds = int(span.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return f"{seconds} second" + ("" if seconds == 1 else "s")
