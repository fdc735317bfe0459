"""Whom we may call, and when: what a verdict makes of a lead, and what the CRM hears of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from unittest.mock import patch

import pytest

from integration import pipeline
from integration.dialers import Ticket
from integration.log import flush_log
from integration.model import CallRequest, LeadState, Next, Outcome, OutcomeKind, Reason
from integration.settings import Dialing
from tests.ledger.conftest import World
from tests.pipeline.conftest import PLACED, RULES, Stage, not_placed

FIELDS = """
fields:
  phone: [Mobile, Phone]
  country: Country
  email: Email
  created_at: Created
  consent: Consent
"""


def ruled(*lines: str) -> str:
    """The rules with these lines at the top."""
    head, _, tail = RULES.partition("\nfields:")
    rest = tail.partition("\nrules:")[2]
    return f"{head}{FIELDS}" + "".join(f"{line}\n" for line in lines) + f"rules:{rest}"


def ago(**lengths: float) -> str:
    return (datetime.now(UTC) - timedelta(**lengths)).isoformat()


@pytest.mark.parametrize(
    ("line", "record", "ends", "told"),
    [
        ("fresh_for: 2 days", {"Created": ago(days=3)}, ("parked", "stale_lead"), "older than 2 days: created "),
        ("fresh_for: 2 days\nstale: skip", {"Created": ago(days=3)}, ("skipped", "stale_lead"), "older than 2 days"),
        ("consent: required", {}, ("blocked", "no_consent"), "the record holds no consent"),
        ("consent: required", {"Consent": "no"}, ("blocked", "no_consent"), "what the record holds is no consent"),
    ],
)
def test_a_refusal_is_the_leads_result_and_the_crm_hears_it(
    stage: Stage, line: str, record: dict[str, object], ends: tuple[str, str], told: str
) -> None:
    stage.pipeline = stage.built(ruled(line))
    lead_id = stage.lead(**record)
    state, reason = ends
    assert stage.advance(lead_id) == state
    assert stage.story(lead_id).lead.reason == reason
    heard = stage.told(lead_id)
    assert (heard["call_id"], heard["result"]) == (None, state)
    assert str(heard["why"]).startswith(told)
    assert stage.dialer.calls == []


def test_a_lead_that_meets_them_is_called(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled("fresh_for: 2 days", "consent: required"))
    assert stage.advance(stage.lead(Created=ago(hours=1), Consent="yes")) is LeadState.CALLED


def test_a_stale_lead_goes_to_the_other_account(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled("fresh_for: 2 days", "stale: {call: dach}"))
    lead_id = stage.lead(Created=ago(days=3))
    assert stage.advance(lead_id) is LeadState.CALLED
    assert [account.key for account, _ in stage.dialer.calls] == ["dach"]
    assert stage.story(lead_id).lead.account == "dach"


def test_a_lead_that_waits_for_the_dialer_is_judged_anew_at_each_attempt(stage: Stage, world: World) -> None:
    now = datetime.now(UTC)
    clock = [now]
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"), clock=lambda: clock[0])
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY), PLACED]
    lead_id = stage.lead(Created=now.isoformat())
    assert stage.advance(lead_id) is LeadState.WAITING
    world.time_passes()
    clock[0] = now + timedelta(minutes=11)
    assert stage.advance(lead_id) is LeadState.PARKED
    assert stage.story(lead_id).lead.reason == "stale_lead"
    assert len(stage.dialer.calls) == 1


def test_a_lead_that_turns_stale_between_verdict_and_intent_is_not_called(stage: Stage) -> None:
    """The verdict was made a minute ago, as of a lead that stood in a queue: the database's clock decides."""
    now = datetime.now(UTC)
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"), clock=lambda: now - timedelta(minutes=1))
    lead_id = stage.lead(Created=(now - timedelta(minutes=10, seconds=1)).isoformat())
    assert stage.advance(lead_id) is None
    assert stage.story(lead_id).lead.state == "received"
    assert stage.dialer.calls == []
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"))
    assert stage.advance(lead_id) is LeadState.PARKED


def test_a_refusal_comes_before_a_rehearsal(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled("consent: required"), Dialing(everybody=False))
    assert stage.advance(stage.lead()) is LeadState.BLOCKED
    assert stage.advance(stage.lead(Consent="yes")) is LeadState.REHEARSED


def test_a_stale_lead_is_called_when_a_person_orders_that_it_be_decided_again(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled("fresh_for: 2 days"))
    lead_id = stage.lead(Created=ago(days=3))
    assert stage.advance(lead_id) is LeadState.PARKED
    stage.ledger.people.decide_again(lead_id, by="Kim")
    assert stage.advance(lead_id) is LeadState.CALLED


def test_a_person_who_orders_another_call_need_not_hurry(stage: Stage) -> None:
    clock = [datetime.now(UTC)]
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"), clock=lambda: clock[0])
    stage.dialer.script = [Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, "Nobody knows."), PLACED]
    lead_id = stage.lead(Created=ago(minutes=9))
    assert stage.advance(lead_id) is LeadState.UNKNOWN
    stage.ledger.people.ring_again(lead_id, by="Kim")
    clock[0] += timedelta(minutes=5)
    assert stage.advance(lead_id) is LeadState.CALLED


def test_an_order_opens_no_hours(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled(HOURS[:-1] + ", outside: skip}"), clock=lambda: NIGHT)
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.SKIPPED
    stage.ledger.people.decide_again(lead_id, by="Kim")
    assert stage.advance(lead_id) is LeadState.SKIPPED


# ---- the calling hours --------------------------------------------------------------------------

HOURS = "hours: {everywhere: {mon-fri: 09:00-20:00}}"
MORNING = datetime(2050, 11, 21, 16, 0, tzinfo=UTC)  # a Monday, eleven o'clock in New York
NIGHT = datetime(2050, 11, 22, 4, 0, tzinfo=UTC)  # eleven at night there
# So far ahead that the clock of the database, which is the real one, is always before the end of a verdict.


def test_outside_the_hours_a_lead_waits_and_is_called_when_they_open(stage: Stage, world: World) -> None:
    clock = [NIGHT]
    stage.pipeline = stage.built(ruled(HOURS), clock=lambda: clock[0])
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.WAITING
    lead = stage.story(lead_id).lead
    assert (lead.reason, lead.detail.partition(": ")[0]) == ("outside_hours", "until 2050-11-22 09:00 America/New_York")
    opens = datetime(2050, 11, 22, 14, 0, tzinfo=UTC)
    due = datetime.fromtimestamp(world.value("SELECT due_at FROM lead") / 1000, UTC)
    assert opens <= due < opens + timedelta(minutes=15)
    assert stage.told(lead_id) == {"call_id": None, "result": None, "why": None}  # waiting is no result
    assert stage.dialer.calls == []
    clock[0] = due
    world.time_passes()
    assert stage.advance(lead_id) is LeadState.CALLED
    assert [entry.what for entry in stage.story(lead_id).history][:4] == ["received", "waiting", "dialing", "called"]


def test_a_lead_that_came_at_night_has_its_fifteen_minutes_in_the_morning(stage: Stage, world: World) -> None:
    clock = [MORNING]
    stage.pipeline = stage.built(ruled(HOURS), clock=lambda: clock[0])
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY), not_placed(Reason.NOT_SENT, Next.RETRY), PLACED]
    lead_id = stage.lead()
    stage.advance(lead_id)
    clock[0] = NIGHT
    world.time_passes()
    assert stage.advance(lead_id) is LeadState.WAITING
    assert world.value("SELECT COUNT(*) FROM lead WHERE give_up_at IS NULL") == 1
    clock[0] = MORNING + timedelta(days=1)
    for state in (LeadState.WAITING, LeadState.CALLED):
        world.time_passes()
        assert stage.advance(lead_id) is state


def test_a_call_that_failed_at_the_last_minute_is_not_tried_again_at_night(stage: Stage, world: World) -> None:
    clock = [datetime(2050, 11, 22, 0, 59, 59, tzinfo=UTC)]
    stage.pipeline = stage.built(ruled(HOURS), clock=lambda: clock[0])
    stage.dialer.script = [not_placed(Reason.RATE_LIMITED, Next.RETRY, 30.0), PLACED]
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.WAITING
    clock[0] += timedelta(seconds=30)
    world.time_passes()
    world.pause_is_due()
    assert stage.advance(lead_id) is LeadState.WAITING
    assert stage.story(lead_id).lead.reason == "outside_hours"
    assert len(stage.dialer.calls) == 1


@pytest.mark.parametrize(
    ("line", "record", "ends", "told"),
    [
        (f"{HOURS[:-1]}, outside: skip}}", {}, ("skipped", "outside_hours"), "it is mon 23:00 in America/New_York"),
        (HOURS, {"Country": "Germany", "Phone": "+49 800 0000000"}, ("blocked", "toll_free_number"), ""),
        ("hours: {DE: {mon: 09:00-10:00}}", {}, ("parked", "outside_hours"), "no calling hours are set for US"),
    ],
)
def test_what_does_not_wait_is_told_to_the_crm(
    stage: Stage, line: str, record: dict[str, object], ends: tuple[str, str], told: str
) -> None:
    stage.pipeline = stage.built(ruled(line), clock=lambda: NIGHT)
    lead_id = stage.lead(**record)
    state, reason = ends
    assert stage.advance(lead_id) == state
    assert stage.story(lead_id).lead.reason == reason
    heard = stage.told(lead_id)
    assert heard["result"] == state
    assert str(heard["why"]).startswith(told)


def test_a_rehearsal_does_not_wait_and_says_for_what_it_would(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled(HOURS), Dialing(everybody=False), clock=lambda: NIGHT)
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.REHEARSED
    assert "only rehearsed; it would wait until 2050-11-22 09:00 America/New_York: it is " in str(
        stage.told(lead_id)["why"]
    )


def test_a_request_does_not_leave_after_the_verdict_has_ended(stage: Stage) -> None:
    """Its end bounds the time to send, so that a slow connection rings nobody a moment too late."""
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"))
    given: list[float] = []
    place = stage.dialer.place

    def remember(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        given.append(send_by - time.monotonic())
        return place(ticket, call, send_by)

    with patch.object(stage.dialer, "place", remember):
        stage.advance(stage.lead(Created=ago(minutes=9, seconds=55.5)))
    (left,) = given
    assert left <= 4.5


class SlowClock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> SlowClock:
        return super().now(tz) - timedelta(days=3)


def test_a_lead_is_judged_by_the_clock_of_the_database(stage: Stage) -> None:
    """The machine's own clock is three days behind; the lead came two days ago."""
    stage.pipeline = stage.built(ruled("fresh_for: 1 day"))
    lead_id = stage.lead(Created=ago(days=2))
    with patch.object(pipeline, "datetime", SlowClock):
        assert stage.advance(lead_id) is LeadState.PARKED


def test_a_backlog_after_an_outage_is_no_night_of_calls(stage: Stage, world: World) -> None:
    """Leads of two days were acknowledged while nothing moved them; at night it goes on."""
    clock = [NIGHT]
    stage.pipeline = stage.built(ruled(HOURS, "fresh_for: 36 hours"), clock=lambda: clock[0])
    created = [(NIGHT - timedelta(hours=hours)).isoformat() for hours in range(0, 48, 2)]
    leads = [stage.lead(Created=at) for at in created]
    world.sql("UPDATE lead SET received_at = :at", at=int(NIGHT.timestamp() * 1000))
    states = [stage.advance(lead_id) for lead_id in leads]
    assert stage.dialer.calls == []
    assert states == [LeadState.WAITING] * 18 + [LeadState.PARKED] * 6
    due = [world.value("SELECT due_at FROM lead WHERE id = :id", id=lead_id) for lead_id in leads[:18]]
    assert due[:7] == sorted(due[:7])  # the freshest first; those of a day ago and more share the end
    assert due[6] <= min(due[7:])
    assert len(set(due)) == 18
    assert max(due) - min(due) <= 15 * 60 * 1000
    clock[0] = datetime.fromtimestamp(max(due) / 1000, UTC)
    world.time_passes()
    states = [stage.advance(lead_id) for lead_id in leads[:18]]
    assert set(states) == {LeadState.CALLED, LeadState.PARKED}  # some grew stale before the hours opened


def test_each_step_keeps_what_was_asked_and_seen(stage: Stage, world: World) -> None:
    stage.pipeline = stage.built(ruled("fresh_for: 2 days", "consent: required"))
    stale, called = stage.lead(Created=ago(days=3), Consent="yes"), stage.lead(Created=ago(days=1), Consent="yes")
    stage.advance(stale)
    stage.advance(called)
    asked = world.asked(stale)
    assert {name: verdict for name, (verdict, _) in asked.items()}["freshness"] == "held"
    assert "do_not_call" not in asked  # the row ends with the first no
    verdicts = [verdict for verdict, _ in world.asked(called).values()]
    names = ["consent", "freshness", "hours", "pause", "do_not_call", "limits", "cooldown"]
    assert list(world.asked(called)) == names
    assert verdicts == ["ok", "ok", "not asked", "ok", "ok", "not asked", "ok"]
    (line,) = [entry for entry in stage.story(called).history if entry.evidence is not None]
    assert (line.what, line.evidence and line.evidence["rules"]) == ("dialing", stage.story(called).lead.rules_digest)


def test_a_step_that_the_dialer_stopped_keeps_what_was_asked_before(stage: Stage, world: World) -> None:
    stage.pipeline = stage.built(ruled("fresh_for: 2 days"))
    refused, held = stage.lead(), stage.lead()
    stage.dialer.has_ticket = False
    stage.dialer.preparing = [not_placed(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT)]
    assert [stage.advance(refused), stage.advance(held)] == [LeadState.WAITING, LeadState.WAITING]
    for lead_id, said in ((refused, "not_ready"), (held, "paused")):
        asked = world.asked(lead_id)
        assert asked["freshness"][0] == "ok"
        assert (asked["dialer"][0], list(asked["dialer"][1])) == ("wait", [said])


def test_leads_that_wait_for_room_are_one_line_a_minute(stage: Stage, world: World) -> None:
    stage.pipeline = stage.built(ruled("limits: {everything: {per_minute: 1}}"))
    leads = [stage.lead() for _ in range(3)]
    assert [stage.advance(lead_id) for lead_id in leads] == ["called", "waiting", "waiting"]
    for _ in range(5):
        stage.pipeline.let_in()
    flush_log()
    assert stage.log.getvalue().count("event=limits.reached waiting=2") == 1
    world.sql("UPDATE limit_use SET at = at - 60000")
    stage.pipeline.let_in()
    assert [stage.advance(lead_id) for lead_id in reversed(leads)] == ["called", None, None]
