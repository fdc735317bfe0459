"""From a decision to a verdict: may this call be made at this moment?

The decision is a function of rules and event alone; the verdict adds the clock. It is made anew at each step of
a lead, so that a backlog is judged by the moment at which it moves, and not by the one at which it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from integration.house.freshness import Age, age_of, check_freshness, in_words, renewed
from integration.house.windows import Hours, Opening, OpeningKind, look
from integration.house.zones import Zones, find_zones
from integration.model import (
    ENDS,
    GO,
    Account,
    Check,
    CheckVerdict,
    Decision,
    LeadState,
    Reason,
    Tree,
    Verdict,
    VerdictKind,
)
from integration.payload import folded_texts

GRANTED = frozenset({"true", "yes", "y", "1", "on", "granted", "given", "opt-in", "opted in", "opted-in", "opted_in"})


class Outside(StrEnum):
    """What becomes of a lead outside the calling hours."""

    WAIT = "wait"
    SKIP = "skip"


class Stale(StrEnum):
    """What becomes of a lead that is too old."""

    HOLD = "hold"  # parked until a person looks
    SKIP = "skip"
    CALL = "call"  # it goes to another account


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a lead before it is called, and what becomes of one that does not meet it."""

    fresh_for: timedelta | None = None
    stale: Stale = Stale.HOLD
    stale_account: Account | None = None  # set for CALL
    consent: frozenset[str] | None = None  # the values that count, folded; None: consent is not asked for
    outside: Outside = Outside.WAIT

    @property
    def ask_nothing(self) -> bool:
        return self.fresh_for is None and self.consent is None


@dataclass(frozen=True, slots=True)
class House:
    """The rules of the house, as a rules file states them."""

    terms: Terms = Terms()
    by_rule: Mapping[str, Terms] = field(default_factory=dict)  # by the name of a rule that has terms of its own
    hours: Hours | None = None  # None: at any hour
    spread: timedelta = timedelta()  # over which the leads that waited for an opening are dialled, the freshest first

    def at_any_moment(self) -> House:
        """The same without what the clock decides."""
        by_rule = {name: replace(terms, fresh_for=None) for name, terms in self.by_rule.items()}
        return House(replace(self.terms, fresh_for=None), by_rule)

    def terms_of(self, rule_name: str | None) -> Terms:
        return self.terms if rule_name is None else self.by_rule.get(rule_name, self.terms)


def judge(
    house: House,
    decision: Decision,
    *,
    lead_id: int,
    received_at: datetime,
    now: datetime,
    renewed_at: datetime | None = None,
) -> Verdict:
    """Whether the call of this decision may be made at `now`, until when, or when to look again. Never raises.

    What the CRM says of the person (`created_at`, `consent`, `time_zone`, `state`, `postal_code`, `country`) is
    read from the decision's fields. `lead_id` spreads leads out that wait for the same opening. `renewed_at` is when a
    person ordered the call: an order makes a lead as fresh as one that comes in, and opens no hours.
    """
    terms = house.terms_of(decision.rule_name)
    if house.hours is None and terms.ask_nothing:
        return GO
    age = renewed(age_of(decision.fields.get("created_at"), received_at), renewed_at)
    zones = _NOWHERE if house.hours is None else _zones_of(decision)
    return _Judging(house, terms, decision, age, zones, now, lead_id).verdict()


def _zones_of(decision: Decision) -> Zones:
    fields, country = decision.fields, decision.fields.get("country")
    return find_zones(
        decision.to or "",
        time_zone=fields.get("time_zone"),
        country=country if isinstance(country, str) else None,
        state=fields.get("state"),
        postal_code=fields.get("postal_code"),
    )


_NOWHERE = Zones({}, {}, {})


def as_judged(decision: Decision, verdict: Verdict) -> Decision:
    """The decision as the verdict leaves it: another account, or no call."""
    if verdict.kind is not VerdictKind.STOP:
        return decision if verdict.account is None else replace(decision, account=verdict.account)
    assert verdict.state is not None
    return replace(decision, kind=_KINDS[verdict.state], reason=verdict.reason, detail=verdict.detail)


_KINDS = {state: kind for kind, state in ENDS.items()}


@dataclass(frozen=True, slots=True)
class _Judging:
    """One lead at one moment. Every question is asked, whatever the others answer: the evidence has them all."""

    house: House
    terms: Terms
    decision: Decision
    age: Age
    zones: Zones
    now: datetime
    lead_id: int

    def verdict(self) -> Verdict:
        consent, fresh = self._consent(), self._freshness()
        hours, opening = self._hours()
        checks = (consent, fresh, hours)
        if consent.verdict == "refused":
            return self._no_consent(checks)
        if fresh.verdict == "held" and self.terms.stale is not Stale.CALL:
            return self._stale(checks)
        if opening is not None and opening.kind is not OpeningKind.OPEN:
            return self._outside(opening, fresh, checks)
        return self._go(opening, fresh, checks)

    # ---- consent ------------------------------------------------------------------------------

    def _consent(self) -> Check:
        if self.terms.consent is None:
            return Check("consent", "not asked")
        texts = folded_texts(self.decision.fields.get("consent"))
        granted = any(text in self.terms.consent for text in texts)
        saw: list[Tree] = [text[:MAX_SHOWN_CHARS] for text in texts[:MAX_SHOWN_VALUES]]
        counts: list[Tree] = [*sorted(self.terms.consent)]
        return Check("consent", "ok" if granted else "refused", {"field": saw, "counts": counts})

    def _no_consent(self, checks: tuple[Check, ...]) -> Verdict:
        given = self.decision.fields.get("consent")
        what = "the record holds no consent" if given is None else "what the record holds is no consent that counts"
        return Verdict(VerdictKind.STOP, None, LeadState.BLOCKED, Reason.NO_CONSENT, what, checks=checks)

    # ---- freshness ----------------------------------------------------------------------------

    def _freshness(self) -> Check:
        if self.terms.fresh_for is None:
            return Check("freshness", "not asked")
        return check_freshness(self.age, self.terms.fresh_for, self.now)

    def _stale(self, checks: tuple[Check, ...]) -> Verdict:
        state = LeadState.SKIPPED if self.terms.stale is Stale.SKIP else LeadState.PARKED
        return Verdict(VerdictKind.STOP, None, state, Reason.STALE_LEAD, self._how_old(), checks=checks)

    def _how_old(self) -> str:
        assert self.terms.fresh_for is not None
        since = {"created_at": "created", "receipt": "received", "order": "ordered"}[self.age.source]
        return f"older than {in_words(self.terms.fresh_for)}: {since} {_shown(self.age.counts_from)}"

    # ---- the calling hours --------------------------------------------------------------------

    def _hours(self) -> tuple[Check, Opening | None]:
        if self.house.hours is None:
            return Check("hours", "not asked"), None
        opening = look(self.house.hours, self.zones, self.now)
        match opening.kind:
            case OpeningKind.OPEN:
                verdict: CheckVerdict = "ok"
            case OpeningKind.CLOSED:
                verdict = "refused" if self.terms.outside is Outside.SKIP else "wait"
            case OpeningKind.NEVER | OpeningKind.NO_ZONE:
                verdict = "held"
        return Check("hours", verdict, {**self.zones.saw(), **opening.saw()}), opening

    def _outside(self, opening: Opening, fresh: Check, checks: tuple[Check, ...]) -> Verdict:
        opens_at, detail = opening.opens_at, opening.detail
        if opens_at is None:
            reason = Reason.ZONE_UNKNOWN if opening.kind is OpeningKind.NO_ZONE else Reason.OUTSIDE_HOURS
            return Verdict(VerdictKind.STOP, None, LeadState.PARKED, reason, detail, checks=checks)
        if self.terms.outside is Outside.SKIP:
            return Verdict(VerdictKind.STOP, None, LeadState.SKIPPED, Reason.OUTSIDE_HOURS, detail, checks=checks)
        seen = next((one for one in opening.seen if one.closed_by is not None), opening.seen[0])
        detail = f"until {opens_at.astimezone(seen.local.tzinfo):%Y-%m-%d %H:%M} {seen.zone}: {detail}"
        return Verdict(
            VerdictKind.WAIT,
            self._due(opens_at),
            LeadState.WAITING,
            Reason.OUTSIDE_HOURS,
            detail,
            account=self._account(fresh),
            checks=checks,
            opens_at=opens_at,
        )

    def _due(self, opens_at: datetime) -> datetime:
        """When to look again: the freshest first, and well before the hours or the lead's freshness end."""
        assert self.house.hours is not None
        ends = [look(self.house.hours, self.zones, opens_at).until]
        if self.terms.fresh_for is not None and self.terms.stale is not Stale.CALL:
            ends.append(self.age.counts_from + self.terms.fresh_for)
        rooms = [(end - opens_at) / 2 for end in ends if end is not None and end > opens_at]
        spread = min([self.house.spread, *rooms])
        older = min(1.0, max(0.0, (opens_at - self.age.counts_from) / timedelta(days=1)))
        return opens_at + spread * (older + JITTER * _chance_of(self.lead_id)) / (1 + JITTER)

    # ---- it may be called ---------------------------------------------------------------------

    def _account(self, fresh: Check) -> Account | None:
        return self.terms.stale_account if fresh.verdict == "held" else None

    def _go(self, opening: Opening | None, fresh: Check, checks: tuple[Check, ...]) -> Verdict:
        until, detail = (None, "") if opening is None else (opening.until, opening.detail)
        if fresh.verdict == "held":
            detail = self._how_old()
        elif self.terms.fresh_for is not None:
            ends = self.age.counts_from + self.terms.fresh_for
            if until is None or ends < until:
                until, detail = ends, f"fresh until {_shown(ends)}"
        return Verdict(VerdictKind.GO, until, detail=detail, account=self._account(fresh), checks=checks)


MAX_SHOWN_CHARS = 40  # of a value in the evidence
MAX_SHOWN_VALUES = 5
JITTER = 0.05  # of the spread: so that leads of one age are not dialled in one moment


def _chance_of(lead_id: int) -> float:
    """A number from 0 to 1 that looks random and is always the same for one lead."""
    return (lead_id * 2654435761 % 2**32) / 2**32


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
