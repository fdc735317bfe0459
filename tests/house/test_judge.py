"""May this call be made at this moment: consent and freshness. The hours have tests of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from integration.house import GRANTED, House, Stale, Terms, as_judged, judge
from integration.model import (
    GO,
    Account,
    Check,
    Decision,
    DecisionKind,
    LeadState,
    Reason,
    Tree,
    Verdict,
    VerdictKind,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EAST, NURTURE = Account("east"), Account("nurture")
TWO_DAYS = Terms(fresh_for=timedelta(days=2))


def decided(rule: str = "All", **fields: Tree) -> Decision:
    return Decision(DecisionKind.CALL, account=EAST, to="+12125552001", rule_name=rule, fields=fields)


def judged(terms: Terms, received_at: datetime = NOW, now: datetime = NOW, **fields: Tree) -> Verdict:
    return judge(House(terms), decided(**fields), lead_id=1, received_at=received_at, now=now)


def check(verdict: Verdict, name: str) -> Check:
    (found,) = [one for one in verdict.checks if one.name == name]
    return found


def test_a_house_without_rules_says_go_and_leaves_no_evidence() -> None:
    assert judge(House(), decided(created_at="1999-01-01"), lead_id=1, received_at=NOW, now=NOW) == GO


class TestConsent:
    @pytest.mark.parametrize("value", [True, "true", "Yes", " y ", 1, "1", "ON", "granted", "Opt-In", "opted in"])
    def test_these_values_are_consent(self, value: Tree) -> None:
        verdict = judged(Terms(consent=GRANTED), consent=value)
        assert verdict.kind is VerdictKind.GO
        assert check(verdict, "consent").verdict == "ok"

    @pytest.mark.parametrize(
        "value", [False, "no", "", None, 0, "2026-01-01", "unknown", "yes, but only by e-mail", [], {}, ["no"], 10**200]
    )
    def test_anything_else_is_none(self, value: Tree) -> None:
        verdict = judged(Terms(consent=GRANTED), consent=value)
        assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.STOP, "blocked", "no_consent")
        assert check(verdict, "consent").verdict == "refused"

    def test_a_record_without_the_field_has_given_none(self) -> None:
        verdict = judged(Terms(consent=GRANTED))
        assert verdict.detail == "the record holds no consent"

    def test_the_values_of_the_rules_are_the_only_ones_that_count(self) -> None:
        terms = Terms(consent=frozenset({"phone", "phone and e-mail"}))
        assert judged(terms, consent=["E-Mail", "Phone"]).kind is VerdictKind.GO
        assert judged(terms, consent=True).kind is VerdictKind.STOP

    def test_the_evidence_shows_the_value_that_was_seen_but_no_long_text(self) -> None:
        saw = check(judged(Terms(consent=GRANTED), consent=["x" * 500] * 50), "consent").saw
        assert saw["field"] == ["x" * 40] * 5


class TestFreshness:
    def test_a_fresh_lead_may_be_called_until_it_is_not(self) -> None:
        verdict = judged(TWO_DAYS, created_at="2026-11-22T12:00:00Z")
        assert (verdict.kind, verdict.until) == (VerdictKind.GO, datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def test_an_old_lead_is_held_for_a_person(self) -> None:
        verdict = judged(TWO_DAYS, created_at="2026-11-20T08:30:00Z")
        assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.STOP, "parked", "stale_lead")
        assert verdict.detail == "older than 2 days: created 2026-11-20 08:30 UTC"
        assert check(verdict, "freshness") == Check(
            "freshness",
            "held",
            {
                "counts_from": "2026-11-20T08:30:00+00:00",
                "which_is": "created_at",
                "age_seconds": 271800,
                "fresh_for_seconds": 172800,
            },
        )

    def test_or_it_is_skipped(self) -> None:
        verdict = judged(replace(TWO_DAYS, stale=Stale.SKIP), created_at="2026-11-20T08:30:00Z")
        assert (verdict.state, verdict.reason) == (LeadState.SKIPPED, Reason.STALE_LEAD)

    def test_or_it_goes_to_another_account(self) -> None:
        terms = replace(TWO_DAYS, stale=Stale.CALL, stale_account=NURTURE)
        verdict = judged(terms, created_at="2026-11-20T08:30:00Z")
        assert (verdict.kind, verdict.account, verdict.until) == (VerdictKind.GO, NURTURE, None)
        assert as_judged(decided(), verdict).account == NURTURE
        assert judged(terms).account is None

    def test_a_stale_lead_without_consent_goes_to_no_account(self) -> None:
        terms = replace(TWO_DAYS, stale=Stale.CALL, stale_account=NURTURE, consent=GRANTED)
        assert judged(terms, created_at="2026-11-20T08:30:00Z").reason is Reason.NO_CONSENT

    def test_without_a_date_the_age_counts_from_receipt(self) -> None:
        long_ago = NOW - timedelta(days=3)
        verdict = judged(TWO_DAYS, received_at=long_ago)
        assert verdict.reason is Reason.STALE_LEAD
        assert verdict.detail == "older than 2 days: received 2026-11-20 12:00 UTC"
        assert check(verdict, "freshness").saw["which_is"] == "receipt"

    @pytest.mark.parametrize(
        ("created_at", "note"),
        [
            ("11/20/2026", "`created_at` cannot be read"),
            ("2026-11-23T12:05:01Z", "`created_at` lies in the future"),
            ("2126-11-23T12:00:00Z", "`created_at` lies in the future"),
        ],
    )
    def test_a_date_that_cannot_be_believed_counts_from_receipt_and_says_so(self, created_at: str, note: str) -> None:
        verdict = judged(TWO_DAYS, created_at=created_at)
        assert verdict.until == NOW + timedelta(days=2)
        saw = check(verdict, "freshness").saw
        assert (saw["which_is"], saw["note"]) == ("receipt", note)

    def test_a_clock_that_is_ahead_by_minutes_is_believed_and_makes_nobody_fresher(self) -> None:
        verdict = judged(TWO_DAYS, created_at="2026-11-23T12:04:59Z")
        assert verdict.until == NOW + timedelta(days=2)
        assert check(verdict, "freshness").saw["which_is"] == "created_at"

    def test_a_date_without_a_zone_is_utc_and_says_so(self) -> None:
        saw = check(judged(TWO_DAYS, created_at="2026-11-23T11:00:00"), "freshness").saw
        assert saw["note"] == "`created_at` has no time zone: taken as UTC"

    def test_the_moment_at_which_it_is_judged_decides_and_not_the_one_at_which_it_came(self) -> None:
        """A backlog after an outage."""
        assert judged(TWO_DAYS).kind is VerdictKind.GO
        last = timedelta(days=2) - timedelta(microseconds=1)
        assert judged(TWO_DAYS, now=NOW + last).kind is VerdictKind.GO
        assert judged(TWO_DAYS, now=NOW + timedelta(days=2)).kind is VerdictKind.STOP


def test_a_persons_order_makes_a_lead_as_fresh_as_a_new_one() -> None:
    facts = {"lead_id": 1, "received_at": NOW - timedelta(days=9), "now": NOW}
    old = decided(created_at="2026-11-01")
    renewed_at = NOW - timedelta(hours=1)
    verdict = judge(House(TWO_DAYS), old, renewed_at=renewed_at, **facts)  # type: ignore[arg-type]
    assert (verdict.kind, verdict.until) == (VerdictKind.GO, renewed_at + timedelta(days=2))
    assert check(verdict, "freshness").saw["which_is"] == "order"
    again = judge(House(TWO_DAYS), old, renewed_at=NOW - timedelta(days=3), **facts)  # type: ignore[arg-type]
    assert (again.reason, again.detail) == ("stale_lead", "older than 2 days: ordered 2026-11-20 12:00 UTC")


def test_an_order_of_before_the_creation_says_nothing() -> None:
    facts = {"lead_id": 1, "received_at": NOW, "now": NOW}
    verdict = judge(House(TWO_DAYS), decided(), renewed_at=NOW - timedelta(days=1), **facts)  # type: ignore[arg-type]
    assert verdict.until == NOW + timedelta(days=2)


def test_a_rule_has_terms_of_its_own() -> None:
    house = House(TWO_DAYS, {"Demos": Terms(fresh_for=timedelta(minutes=30)), "Any": Terms()})
    facts = {"lead_id": 1, "received_at": NOW - timedelta(hours=1), "now": NOW}
    assert judge(house, decided("Demos"), **facts).reason is Reason.STALE_LEAD  # type: ignore[arg-type]
    assert judge(house, decided("Any"), **facts) == GO  # type: ignore[arg-type]
    assert judge(house, decided("Another"), **facts).kind is VerdictKind.GO  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "kind"), [(LeadState.PARKED, "park"), (LeadState.SKIPPED, "skip"), (LeadState.BLOCKED, "block")]
)
def test_a_verdict_that_stops_makes_a_decision_not_to_call(state: LeadState, kind: str) -> None:
    verdict = Verdict(VerdictKind.STOP, state=state, reason=Reason.STALE_LEAD, detail="why")
    decision = as_judged(decided(), verdict)
    assert (decision.kind, decision.reason, decision.detail, decision.rule_name) == (kind, "stale_lead", "why", "All")
