"""The moments that people ask about: how they are written, and the verdict on a lead that comes in at one."""

from __future__ import annotations

from datetime import UTC, datetime

from integration.house import judge
from integration.model import GO, Decision, DecisionKind, Verdict
from integration.rules.shapes import Rules
from integration.rules.yaml_tree import shorten

_ANY = datetime(2000, 1, 1, tzinfo=UTC)  # nothing is asked that depends on it
_YEARS = range(1970, 2101)  # elsewhere calendars and rules of time zones are guesses
_DATE_CHARS = len("2026-12-24")


def moment_of(text: str) -> datetime:
    """The instant that a person wrote. Raises ValueError with what is wrong, as the end of a sentence."""
    try:
        at = datetime.fromisoformat(text.strip())
        at.astimezone(UTC)
        is_read = len(text.strip()) > _DATE_CHARS and at.year in _YEARS
    except (ValueError, OverflowError):
        is_read = False
    if not is_read:
        raise ValueError(f"wants a moment like 2026-12-24T18:30+01:00, not `{shorten(text, 30)}`")
    if at.tzinfo is None:
        raise ValueError(f"needs a time zone; write {shorten(text.strip(), 30)}+01:00, or Z for UTC")
    return at


def verdict_at(rules: Rules, decision: Decision, at: datetime | None) -> Verdict:
    """The verdict on a lead that comes in at `at`; without a moment, on what does not depend on one."""
    if decision.kind is not DecisionKind.CALL:
        return GO
    moment = _ANY if at is None else at.astimezone(UTC)
    house = rules.house.at_any_moment() if at is None else rules.house
    return judge(house, decision, lead_id=0, received_at=moment, now=moment)
