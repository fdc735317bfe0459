"""Whom we may call, and when: what a verdict makes of a lead, and what the CRM hears of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integration.model import LeadState, Next, Reason
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
    """Our clock is behind: the database's decides."""
    now = datetime.now(UTC)
    stage.pipeline = stage.built(ruled("fresh_for: 10 minutes"), clock=lambda: now - timedelta(minutes=1))
    lead_id = stage.lead(Created=(now - timedelta(minutes=10, seconds=1)).isoformat())
    assert stage.advance(lead_id) is None
    assert stage.story(lead_id).lead.state == "received"
    assert stage.dialer.calls == []


def test_a_refusal_comes_before_a_rehearsal(stage: Stage) -> None:
    stage.pipeline = stage.built(ruled("consent: required"), Dialing(everybody=False))
    assert stage.advance(stage.lead()) is LeadState.BLOCKED
    assert stage.advance(stage.lead(Consent="yes")) is LeadState.REHEARSED
