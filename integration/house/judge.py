"""From a decision to a verdict: may this call be made at this moment?

The decision is a function of rules and event alone; the verdict adds the clock. It is made anew at each step of
a lead, so that a backlog is judged by the moment at which it moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from integration.model import Account, Decision, Verdict, VerdictKind


class Stale(StrEnum):
    """What becomes of a lead that is too old."""

    HOLD = "hold"  # parked until a person looks
    SKIP = "skip"
    CALL = "call"  # it goes to another account


@dataclass(frozen=True, slots=True)
class Terms:
    """What one rule asks of a lead before it is called, apart from the hours."""

    fresh_for: timedelta | None = None
    stale: Stale = Stale.HOLD
    stale_account: Account | None = None  # set for CALL
    consent: frozenset[str] | None = None  # the values that count, folded; None: consent is not asked for


@dataclass(frozen=True, slots=True)
class House:
    """The rules of the house, as a rules file states them."""

    terms: Terms = Terms()
    by_rule: Mapping[str, Terms] = field(default_factory=dict)  # by the name of a rule that has terms of its own


def judge(
    house: House,  # noqa: ARG001 - the types come first, what they mean comes next
    decision: Decision,  # noqa: ARG001
    *,
    lead_id: int,  # noqa: ARG001
    received_at: datetime,  # noqa: ARG001
    now: datetime,  # noqa: ARG001
) -> Verdict:
    """Whether the call of this decision may be made at `now`, until when, or when to look again.

    What the CRM says of the person (`created_at`, `consent`, `time_zone`, `state`, `postal_code`, `country`) is
    read from the decision's fields. `lead_id` spreads leads out that wait for the same opening.
    """
    return Verdict(VerdictKind.GO)
