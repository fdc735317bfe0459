"""What the ledger and the pipeline hand each other while a lead is on its way to a call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from integration.model import AttemptId, Decision, LeadId, LeadState, Reason


@dataclass(frozen=True, slots=True)
class LeadWork:
    """What one step needs to know of a lead."""

    id: LeadId
    epoch: int
    source: str
    item: int
    body: bytes
    content_type: str | None
    received_at_ms: int
    looked_at_ms: int  # the database's clock when this was read
    attempts: int = 0
    last_reason: Reason | None = None
    last_detail: str = ""
    held_up_seconds: float = 0.0  # since it was put off for the first time
    gave_up: bool = False  # it could not be placed for GIVE_UP_SECONDS
    renewed_at_ms: int | None = None  # when a person ordered that it be called, or decided anew


@dataclass(frozen=True, slots=True)
class Claimed:
    """Other workers keep away while the call is prepared. Nothing may be sent yet."""

    epoch: int
    # The pauses that this lead alone may pass, to try whether they can end: scope and the `probe_at` it set.
    passes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """The intent is committed: one request may be sent."""

    attempt_id: AttemptId
    n: int
    at_ms: int  # the database's clock at the intent


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing may be sent; the lead has been moved to `state`."""

    state: LeadState
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class SetBack:
    """Where a lead goes whose call was surely not placed."""

    state: LeadState  # READY, WAITING or BLOCKED
    reason: Reason
    wait_seconds: float = 0.0
    pause: str | None = None  # an account's key, or ALL_DIALING
    by_house: bool = False  # rules of the house or a person want it to wait: its time to be placed does not run


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to tell the CRM one result, for a while."""

    version: int  # of the result; grows with each and is never used again
    until_ms: int  # by the database's clock; tells this lease from a later one


@dataclass(frozen=True, slots=True)
class Settled:
    """Where a lead stands after its attempt was settled."""

    state: LeadState
    alert: str | None = None  # a sentence for an operator when the facts contradict each other
    lease: Lease | None = None  # of the write-back, where it was asked for and to be had


def milliseconds(seconds: float) -> int:
    """Seconds as the ledger counts them."""
    return round(seconds * 1000)


def known_reason(text: str | None) -> Reason | None:
    """A stored reason. None for one that a newer release wrote: while both run, this one leaves it alone."""
    return Reason(text) if text in _REASONS else None


_REASONS = frozenset(Reason)


def fields_as_kept(decision: Decision) -> str:
    """The lead as the rules saw it, as JSON; numbers with all their digits, as text."""
    return json.dumps(decision.fields, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)
