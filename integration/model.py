"""The words of this program: what a lead, a decision, a call and an outcome are.

Everything here is a value. Nothing here reads a clock, a disk, a network or the environment, and
every room may import it. Instants are aware UTC datetimes and end in `_at`; lengths of time are
floats of seconds and end in `_seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NewType

LeadId = NewType("LeadId", int)
AttemptId = NewType("AttemptId", int)
DeliveryId = NewType("DeliveryId", int)

# What a body becomes: JSON's own shapes. A number keeps its digits (int or Decimal, never float).
Tree = dict[str, "Tree"] | list["Tree"] | str | int | Decimal | bool | None


class DeliveryState(StrEnum):
    """What became of one HTTP request of a CRM."""

    STORED = "stored"  # it made at least one lead, or put numbers onto the do-not-call list
    IGNORED = "ignored"  # authentic, but `only:` says that its events are not for us
    DUPLICATE = "duplicate"  # its event had been received before


class LeadState(StrEnum):
    """Where a lead stands. `docs/states.md` has a paragraph for each."""

    RECEIVED = "received"  # stored and acknowledged; nothing decided yet
    WAITING = "waiting"  # may not be dialled before `due_at`: backoff, a paused account
    READY = "ready"  # free to be dialled by the next worker
    CLAIMED = "claimed"  # a worker prepares the call; nothing was sent
    DIALING = "dialing"  # the intent is committed; the request may have been sent
    CALLED = "called"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    PARKED = "parked"
    UNKNOWN = "unknown"
    FAILED = "failed"
    REHEARSED = "rehearsed"

    @property
    def is_result(self) -> bool:
        """Whether the program itself moves this lead no further."""
        return self not in MOVING_STATES


MOVING_STATES = frozenset(
    {LeadState.RECEIVED, LeadState.WAITING, LeadState.READY, LeadState.CLAIMED, LeadState.DIALING}
)


class AttemptState(StrEnum):
    """What one authorisation to send one request came to."""

    INTENT = "intent"  # committed before the request is sent
    PLACED = "placed"
    UNKNOWN = "unknown"
    NOT_PLACED = "not_placed"  # proved: never sent, or refused by the dialer
    RELEASED = "released"  # a person ordered another call after an unclear one


class WritebackState(StrEnum):
    """Whether the CRM has been told a lead's result. Nothing here can reach the dialer."""

    PENDING = "pending"
    DONE = "done"
    PARKED = "parked"  # the CRM refused for good, or the request cannot be made: a person is needed


class Reason(StrEnum):
    """Why a lead is where it is, as a constant that scripts can match. `docs/states.md` lists them all."""

    # parked: a person is needed, nothing was dialled
    EMPTY_BODY = "empty_body"
    BAD_BODY = "bad_body"
    NO_RECORD = "no_record"
    NO_RECORD_ID = "no_record_id"
    NEEDS_FETCH = "needs_fetch"
    TOO_MANY_ITEMS = "too_many_items"
    NO_PHONE = "no_phone"
    BAD_PHONE = "bad_phone"
    NO_REGION = "no_region"
    BAD_COUNTRY = "bad_country"
    NO_RULE = "no_rule"
    SOURCE_GONE = "source_gone"
    POISON = "poison"
    ZONE_UNKNOWN = "zone_unknown"
    STALE_LEAD = "stale_lead"  # also skipped, where the rules say so
    OUTSIDE_HOURS = "outside_hours"  # parked where they never open; else waiting, or skipped where the rules say so
    BURST_HELD = "burst_held"  # one of far more leads of its source than is normal
    OPT_OUT_UNREAD = "opt_out_unread"  # somebody wants no calls, and it is not clear who
    # skipped
    RULE_SKIPS = "rule_skips"
    # blocked: this number is not dialled
    COUNTRY_NOT_ALLOWED = "country_not_allowed"
    EMERGENCY_NUMBER = "emergency_number"
    SHORT_NUMBER = "short_number"
    PREMIUM_NUMBER = "premium_number"
    SATELLITE_NUMBER = "satellite_number"
    TOLL_FREE_NUMBER = "toll_free_number"
    SERVICE_NUMBER = "service_number"  # shared cost, personal, pager, UAN, voicemail
    FICTIONAL_NUMBER = "fictional_number"
    OWN_NUMBER = "own_number"
    COOLDOWN = "cooldown"
    NUMBER_REFUSED = "number_refused"  # the dialer answered 400 or 422
    NO_CONSENT = "no_consent"
    DO_NOT_CALL = "do_not_call"
    # waiting
    NUMBER_BUSY = "number_busy"  # another lead with this number is being dialled at this moment
    RATE_LIMITED = "rate_limited"
    NOT_SENT = "not_sent"
    ACCOUNT_PAUSED = "account_paused"
    DIALING_PAUSED = "dialing_paused"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a reason, no secret
    SCOPE_MISSING = "scope_missing"
    ACCOUNT_NOT_FOUND = "account_not_found"
    DIALER_CONFIG = "dialer_config"  # a redirect, 405, 410: this address does not speak the API
    DIALER_REFUSED = "dialer_refused"  # another answer that proves that no call was placed
    TOO_LATE = "too_late"  # the worker was held up beyond `send_by`; nothing was sent
    LIMIT_REACHED = "limit_reached"
    PAUSED_BY_PERSON = "paused_by_person"
    LET_GO = "let_go"  # a person let a withheld lead go, at a rate
    LIST_UNREADABLE = "list_unreadable"  # the do-not-call list was made with another key
    # failed
    NOT_PLACED_IN_TIME = "not_placed_in_time"
    CLOSED_BY_PERSON = "closed_by_person"
    # unknown
    ANSWER_UNCLEAR = "answer_unclear"
    WORKER_LOST = "worker_lost"
    # called
    PLACED = "placed"
    PLACED_WITHOUT_ID = "placed_without_id"
    CONFIRMED_BY_PERSON = "confirmed_by_person"
    # rehearsed
    DIALING_OFF = "dialing_off"
    NOT_A_REHEARSAL_NUMBER = "not_a_rehearsal_number"
    # write-back parked
    CRM_REFUSED = "crm_refused"
    CRM_UNREACHABLE = "crm_unreachable"
    BAD_WRITEBACK = "bad_writeback"


# ---- deciding -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """A phone account of the dialer as the rules name it: found by id, or by name or number."""

    key: str  # the admin's name for it, the key under `accounts:`
    id: str | None = None
    name: str | None = None
    number: str | None = None
    caller_id: str | None = None  # E.164; sent as `from`; None: the account's primary number


class DecisionKind(StrEnum):
    CALL = "call"
    SKIP = "skip"
    BLOCK = "block"
    PARK = "park"


ENDS: Mapping[DecisionKind, LeadState] = {  # as what a lead ends that is not to be called
    DecisionKind.SKIP: LeadState.SKIPPED,
    DecisionKind.BLOCK: LeadState.BLOCKED,
    DecisionKind.PARK: LeadState.PARKED,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of one lead. A function of rules, source and event alone."""

    kind: DecisionKind
    reason: Reason | None = None  # None only for CALL
    detail: str = ""  # for people: the `skip:` text, or what is wrong and where; never a full number
    account: Account | None = None  # set for CALL
    to: str | None = None  # E.164; set for CALL, and elsewhere when a number was understood
    rule_name: str | None = None
    rule_line: int | None = None  # 1-based line of the rules file
    record_id: str | None = None  # the CRM's own id of the lead
    # The lead as the rules see it: our field names, E.164 in `phone`, ISO code in `country`, and the
    # built-in fields `source` and `number_country`.
    fields: Mapping[str, Tree] = field(default_factory=dict)


# ---- may this call be made at this moment? ----------------------------------------------------


class VerdictKind(StrEnum):
    GO = "go"
    WAIT = "wait"
    STOP = "stop"


CheckVerdict = Literal["ok", "refused", "wait", "held", "not asked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question that was asked before a call, and what was seen: evidence. Numbers masked, no names."""

    name: str  # "hours", "freshness", "consent", "do_not_call", "limits", "cooldown"
    verdict: CheckVerdict
    saw: Mapping[str, Tree] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a decided call may be made at one moment. `integration.house.judge` makes it."""

    kind: VerdictKind
    # GO: the first instant at which it holds no longer; None: nothing ends it. WAIT: when to look again.
    until: datetime | None = None
    state: LeadState | None = None  # of the lead; set for WAIT and STOP
    reason: Reason | None = None  # set for WAIT and STOP
    detail: str = ""  # for people; never a full number
    account: Account | None = None  # another account than the decision's: a stale lead goes there
    checks: tuple[Check, ...] = ()
    opens_at: datetime | None = None  # set for WAIT: when the hours begin; `until` is spread out after it


GO = Verdict(VerdictKind.GO)  # nothing was asked, and nothing ends it


# ---- how many ---------------------------------------------------------------------------------

SCOPE_OF_ALL = "*"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` calls within any `seconds`."""

    most: int
    seconds: int
    word: str  # what the admin calls that time: minute, hour or day

    def __str__(self) -> str:
        return f"{self.most} {'an' if self.word == 'hour' else 'a'} {self.word}"


@dataclass(frozen=True, slots=True)
class Burst:
    """More new leads of one source than this are held until a person has looked."""

    more_than: int
    within_seconds: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls the rules allow: of everything, of a source, of an account."""

    everything: tuple[Limit, ...] = ()
    sources: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    accounts: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    burst: Burst | None = None

    def of(self, source: str, account: str) -> tuple[tuple[str, tuple[Limit, ...]], ...]:
        """The scopes with limits that a call of this source and account counts in, in the order of their names."""
        scopes = (
            (SCOPE_OF_ALL, self.everything),
            (f"account:{account}", self.accounts.get(account, ())),
            (f"source:{source}", self.sources.get(source, ())),
        )
        return tuple((scope, limits) for scope, limits in scopes if limits)


# ---- dialling -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One request to ring one person, authorised by one attempt."""

    to: str  # E.164
    caller_id: str | None  # E.164
    reference: str  # ours, for the log: "lead 12 attempt 1"


class OutcomeKind(StrEnum):
    """What is known of a call after its request. Only the first proves that a phone rings."""

    PLACED = "placed"
    NOT_PLACED = "not_placed"  # proved: no byte was sent, or the dialer refused
    UNCLEAR = "unclear"  # sent, and no clear answer: never sent again by the program


class Next(StrEnum):
    """What a NOT_PLACED outcome asks of the pipeline."""

    RETRY = "retry"  # with backoff, or after `retry_after_seconds`
    REFRESH = "refresh"  # the token was refused and has been dropped: one more attempt with a new one
    BLOCK = "block"  # this number will never be accepted
    PAUSE_ACCOUNT = "pause_account"
    PAUSE_ALL = "pause_all"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to, in the words an operator needs."""

    kind: OutcomeKind
    reason: Reason
    message: str  # what happened and what to do; numbers masked, no secrets
    call_id: str | None = None
    call_status: str | None = None  # the provider's own word, e.g. "initiated"
    http_status: int | None = None
    next: Next | None = None  # set exactly when kind is NOT_PLACED
    retry_after_seconds: float | None = None  # as the dialer asked, clamped to [1, 3600]


# ---- people ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a lead's append-only history."""

    at: datetime
    what: str
    detail: str
    evidence: Mapping[str, Any] | None = None  # `rules`, their version, and `checks`: name, verdict, what was seen
