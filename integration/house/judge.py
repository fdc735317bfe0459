"""From a decision to a verdict: may this call be made at this moment?

The decision is a function of rules and event alone; the verdict adds the clock. It is made anew at each step of
a lead, so that a backlog is judged by the moment at which it moves, and not by the one at which it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from integration.house.freshness import Age, age_of, check_freshness, in_words, stamp
from integration.model import GO, Account, Check, Decision, LeadState, Reason, Tree, Verdict, VerdictKind
from integration.payload import folded_texts

GRANTED = frozenset({"true", "yes", "y", "1", "on", "granted", "given", "opt-in", "opted in", "opted-in", "opted_in"})


class Stale(StrEnum):
    """What becomes of a lead that is too old."""

    HOLD = "hold"  # parked until a person looks
    SKIP = "skip"
    CALL = "call"  # it goes to another account


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a lead before it is called, apart from the hours."""

    fresh_for: timedelta | None = None
    stale: Stale = Stale.HOLD
    stale_account: Account | None = None  # set for CALL
    consent: frozenset[str] | None = None  # the values that count, folded; None: consent is not asked for

    @property
    def ask_nothing(self) -> bool:
        return self.fresh_for is None and self.consent is None


@dataclass(frozen=True, slots=True)
class House:
    """The rules of the house, as a rules file states them."""

    terms: Terms = Terms()
    by_rule: Mapping[str, Terms] = field(default_factory=dict)  # by the name of a rule that has terms of its own

    def terms_of(self, rule_name: str | None) -> Terms:
        return self.terms if rule_name is None else self.by_rule.get(rule_name, self.terms)


def judge(
    house: House,
    decision: Decision,
    *,
    lead_id: int,  # noqa: ARG001 - for the hours, which come next
    received_at: datetime,
    now: datetime,
) -> Verdict:
    """Whether the call of this decision may be made at `now`, until when, or when to look again. Never raises.

    What the CRM says of the person (`created_at`, `consent`, `time_zone`, `state`, `postal_code`, `country`) is
    read from the decision's fields. `lead_id` spreads leads out that wait for the same opening.
    """
    terms = house.terms_of(decision.rule_name)
    if terms.ask_nothing:
        return GO
    judging = _Judging(terms, decision, age_of(decision.fields.get("created_at"), received_at), now)
    return judging.verdict()


@dataclass(frozen=True, slots=True)
class _Judging:
    """One lead at one moment. Every question is asked, whatever the others answer: the evidence has them all."""

    terms: Terms
    decision: Decision
    age: Age
    now: datetime

    def verdict(self) -> Verdict:
        consent, fresh = self._consent(), self._freshness()
        checks = (consent, fresh)
        if consent.verdict == "refused":
            return self._no_consent(checks)
        if fresh.verdict == "held" and self.terms.stale is not Stale.CALL:
            return self._stale(checks)
        return self._go(fresh, checks)

    # ---- consent ------------------------------------------------------------------------------

    def _consent(self) -> Check:
        if self.terms.consent is None:
            return Check("consent", "not asked")
        given = self.decision.fields.get("consent")
        texts = folded_texts(given)
        granted = any(text in self.terms.consent for text in texts)
        saw: list[Tree] = [text[:MAX_SHOWN] for text in texts[:MAX_SHOWN_VALUES]]
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
        assert self.terms.fresh_for is not None
        state = LeadState.SKIPPED if self.terms.stale is Stale.SKIP else LeadState.PARKED
        since = "created" if self.age.source == "created_at" else "received"
        detail = f"older than {in_words(self.terms.fresh_for)}: {since} {stamp(self.age.counts_from)}"
        return Verdict(VerdictKind.STOP, None, state, Reason.STALE_LEAD, detail, checks=checks)

    # ---- it may be called ---------------------------------------------------------------------

    def _go(self, fresh: Check, checks: tuple[Check, ...]) -> Verdict:
        if fresh.verdict == "held":
            return Verdict(VerdictKind.GO, account=self.terms.stale_account, checks=checks)
        until = None if self.terms.fresh_for is None else self.age.counts_from + self.terms.fresh_for
        return Verdict(VerdictKind.GO, until, checks=checks)


MAX_SHOWN = 40  # characters of a value in the evidence
MAX_SHOWN_VALUES = 5
