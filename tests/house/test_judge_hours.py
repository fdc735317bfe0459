"""The calling hours in a verdict: until when a call may be made, and when a lead that waits is looked at again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.house import Hours, House, Outside, Stale, Terms, Week, in_force, judge, read_days, read_windows
from integration.model import Account, Check, Decision, DecisionKind, LeadState, Reason, Tree, Verdict, VerdictKind

BERLIN = ZoneInfo("Europe/Berlin")
NURTURE = Account("nurture")


def week(**days: str) -> Week:
    found = {day: read_windows([text]) for names, text in days.items() for day in read_days(names.replace("_", "-"))}
    return Week.of(found)


HOURS = Hours(week(mon_fri="09:00-20:00"), {}, in_force({}))
HOUSE = House(hours=HOURS, spread=timedelta(minutes=15))
NUMBER = "+49309018201"


def berlin(day: int, clock: str) -> datetime:
    hour, minute = clock.split(":")
    return datetime(2026, 11, day, int(hour), int(minute), tzinfo=BERLIN)  # the 23rd is a Monday


def judged(
    at: datetime,
    house: House = HOUSE,
    received_at: datetime | None = None,
    *,
    to: str = NUMBER,
    lead_id: int = 1,
    **fields: Tree,
) -> Verdict:
    decision = Decision(DecisionKind.CALL, account=Account("east"), to=to, rule_name="All", fields=fields)
    now = at.astimezone(UTC)
    return judge(house, decision, lead_id=lead_id, received_at=received_at or now, now=now)


def the_check(verdict: Verdict) -> Check:
    (check,) = [one for one in verdict.checks if one.name == "hours"]
    return check


def test_within_the_hours_it_may_be_called_until_they_end() -> None:
    verdict = judged(berlin(23, "19:59"))
    assert (verdict.kind, verdict.until) == (VerdictKind.GO, berlin(23, "20:00"))
    assert verdict.detail == "within the calling hours until 2026-11-23 20:00 Europe/Berlin"
    assert the_check(verdict).verdict == "ok"


def test_outside_the_hours_it_waits_for_the_opening() -> None:
    verdict = judged(berlin(27, "20:00"))  # a Friday
    assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.WAIT, "waiting", "outside_hours")
    assert verdict.opens_at == berlin(30, "09:00")
    assert verdict.detail.startswith("until 2026-11-30 09:00 Europe/Berlin: it is ")
    assert "20:00 in Europe/Berlin, outside the calling hours (everywhere: mon-fri 09:00-20:00)" in verdict.detail
    check = the_check(verdict)
    assert (check.verdict, check.saw["opens_at"]) == ("wait", "2026-11-30T08:00:00Z")


def test_or_it_is_skipped() -> None:
    verdict = judged(berlin(27, "20:00"), replace(HOUSE, terms=Terms(outside=Outside.SKIP)))
    assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.STOP, "skipped", "outside_hours")
    assert the_check(verdict).verdict == "refused"


def test_where_no_zone_is_known_it_is_held() -> None:
    verdict = judged(berlin(23, "12:00"), to="")
    assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.STOP, "parked", "zone_unknown")
    assert the_check(verdict).verdict == "held"


def test_where_the_hours_never_open_it_is_held_even_if_others_are_skipped() -> None:
    closed = replace(HOUSE, hours=Hours(None, {"US": week(mon="09:00-10:00")}, {}), terms=Terms(outside=Outside.SKIP))
    verdict = judged(berlin(23, "12:00"), closed)
    assert (verdict.kind, verdict.state, verdict.reason) == (VerdictKind.STOP, "parked", "outside_hours")
    assert "no calling hours are set for DE" in verdict.detail


def test_every_place_where_the_person_may_be_must_be_open() -> None:
    """A number of New York and an address in California."""
    hours = replace(HOUSE, hours=Hours(week(mon_fri="09:00-20:00"), {}, {}))
    at = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)  # half past nine, half past six
    assert judged(at, hours, to="+12125552001").kind is VerdictKind.GO
    verdict = judged(at, hours, to="+12125552001", country="US", state="CA")
    assert verdict.opens_at == datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
    assert "America/Los_Angeles" in verdict.detail
    assert judged(at, hours, to="+12125552001", time_zone="Pacific Time (US & Canada)").kind is VerdictKind.WAIT


def test_the_sooner_end_is_the_end() -> None:
    fresh = replace(HOUSE, terms=Terms(fresh_for=timedelta(minutes=30)))
    assert judged(berlin(23, "12:00"), fresh).until == berlin(23, "12:30")
    assert judged(berlin(23, "12:00"), fresh).detail == "fresh until 2026-11-23 11:30 UTC"
    assert judged(berlin(23, "19:45"), fresh).until == berlin(23, "20:00")


def test_a_stale_lead_waits_for_the_opening_as_any_other_and_keeps_its_other_account() -> None:
    terms = Terms(fresh_for=timedelta(hours=1), stale=Stale.CALL, stale_account=NURTURE)
    house = replace(HOUSE, terms=terms)
    verdict = judged(berlin(23, "21:00"), house, berlin(23, "12:00"))
    assert (verdict.kind, verdict.account) == (VerdictKind.WAIT, NURTURE)
    assert judged(berlin(24, "12:00"), house, berlin(23, "12:00")).account == NURTURE


def test_all_answers_are_evidence_whichever_decides() -> None:
    terms = Terms(fresh_for=timedelta(hours=1), consent=frozenset({"yes"}))
    verdict = judged(berlin(23, "21:00"), replace(HOUSE, terms=terms), berlin(23, "12:00"))
    assert verdict.reason is Reason.NO_CONSENT
    assert [(check.name, check.verdict) for check in verdict.checks] == [
        ("consent", "refused"),
        ("freshness", "held"),
        ("hours", "wait"),
    ]


class TestSpread:
    """Leads that waited for one opening are not dialled in one moment."""

    def due(self, received_at: datetime, house: House = HOUSE, lead_id: int = 1) -> float:
        """Seconds after the opening on Tuesday."""
        verdict = judged(berlin(24, "08:59"), house, received_at, lead_id=lead_id)
        assert verdict.until is not None
        return (verdict.until - berlin(24, "09:00")).total_seconds()

    def test_the_freshest_first(self) -> None:
        assert 0 <= self.due(berlin(24, "08:59")) < 60
        assert 440 < self.due(berlin(23, "20:30")) < 520  # twelve and a half hours of twenty-four
        assert 840 < self.due(berlin(21, "12:00")) <= 900

    def test_leads_of_one_age_are_not_due_in_one_moment(self) -> None:
        due = {self.due(berlin(21, "12:00"), lead_id=n) for n in range(100)}
        assert len(due) == 100
        assert max(due) <= 900

    def test_it_can_be_switched_off(self) -> None:
        assert self.due(berlin(21, "12:00"), replace(HOUSE, spread=timedelta())) == 0

    def test_a_short_window_is_not_missed(self) -> None:
        short = replace(HOUSE, hours=Hours(week(tue="09:00-09:10"), {}, {}))
        assert self.due(berlin(21, "12:00"), short) <= 300

    def test_a_lead_does_not_turn_stale_while_it_stands_in_line(self) -> None:
        fresh = replace(HOUSE, terms=Terms(fresh_for=timedelta(hours=12, minutes=40)))
        assert 0 < self.due(berlin(23, "20:30"), fresh) <= 300  # fresh until ten past nine

    @given(
        now=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001
        age=st.timedeltas(timedelta(), timedelta(days=10)),
        lead_id=st.integers(1, 10**12),
        fresh_for=st.none() | st.timedeltas(timedelta(minutes=1), timedelta(days=5)),
        spread=st.timedeltas(timedelta(), timedelta(hours=12)),
    )
    def test_when_a_lead_is_looked_at_again_it_may_be_called_unless_it_is_stale(
        self, now: datetime, age: timedelta, lead_id: int, fresh_for: timedelta | None, spread: timedelta
    ) -> None:
        now = now.replace(tzinfo=UTC)
        house = replace(HOUSE, terms=Terms(fresh_for=fresh_for), spread=spread)
        verdict = judged(now, house, now - age, lead_id=lead_id)
        if verdict.kind is VerdictKind.STOP:
            assert verdict.reason is Reason.STALE_LEAD
            return
        if verdict.kind is VerdictKind.GO:
            assert verdict.until is not None
            assert now < verdict.until
            return
        assert verdict.until is not None
        assert verdict.opens_at is not None
        assert now < verdict.opens_at <= verdict.until
        again = judged(verdict.until, house, now - age, lead_id=lead_id)
        assert again.kind is VerdictKind.GO or again.reason is Reason.STALE_LEAD
        if again.reason is Reason.STALE_LEAD:  # and not because it stood in line
            assert fresh_for is not None
            assert now - age + fresh_for <= verdict.opens_at


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2036, 1, 1)),  # noqa: DTZ001
    number=st.sampled_from([NUMBER, "+12125552001", "+12087440000", "+61491570156", "+911123456789", "+15551234567"]),
    state=st.sampled_from(["TX", "FL", "AK", "QLD", "none", ""]),
    parts=st.lists(st.floats(0, 1), max_size=5),
)
def test_a_go_holds_until_its_end_and_a_wait_ends_at_the_first_opening(
    at: datetime, number: str, state: str, parts: list[float]
) -> None:
    """In between nothing changes, so that whoever acts before the end is right; at the end it is over."""
    at = at.replace(tzinfo=UTC)
    house = replace(HOUSE, hours=replace(HOURS, countries={"US": week(mon_sat="08:00-21:00", sun="12:00-20:00")}))
    verdict = judged(at, house, to=number, state=state)
    if verdict.kind is VerdictKind.STOP:
        return
    end = verdict.until if verdict.kind is VerdictKind.GO else verdict.opens_at
    assert end is not None
    for part in parts:
        between = at + (end - at) * part
        if between < end:
            assert judged(between, house, to=number, state=state).kind is verdict.kind
    after = judged(end, house, to=number, state=state)
    assert after.kind is not verdict.kind or end - at >= timedelta(days=14)


def test_a_verdict_needs_no_clock_of_its_own() -> None:
    assert judged(berlin(23, "12:00")) == judged(berlin(23, "12:00"))


@pytest.mark.parametrize("value", [17, 0, True, [], {}, "\0", "x" * 10_000, 10**300, None, ["Berlin"], -1])
def test_no_value_of_a_record_makes_it_fail(value: Tree) -> None:
    names = ("time_zone", "state", "postal_code", "country", "created_at", "consent")
    terms = Terms(fresh_for=timedelta(days=1), consent=frozenset({"yes"}))
    for country in ("US", "CA", "DE", "AU", "BR"):
        fields: dict[str, Tree] = {**dict.fromkeys(names, value), "country": country}
        verdict = judged(berlin(23, "12:00"), replace(HOUSE, terms=terms), **fields)
        assert verdict.state is LeadState.BLOCKED
        verdict = judged(berlin(23, "12:00"), HOUSE, **{**fields, "country": value})
        assert verdict.kind in VerdictKind
