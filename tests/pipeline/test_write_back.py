"""Telling the CRM: tried for days, parked when it will not take it, never a way to the dialer."""

from __future__ import annotations

import json
import re
import time
from unittest.mock import patch

import pytest

from integration.http import NotSent
from integration.ledger import NewEvent, WritebackRow
from integration.model import Burst, LeadId, LeadState, Next, Outcome, OutcomeKind, Reason, WritebackState
from tests.ledger.conftest import World
from tests.pipeline.conftest import PLACED, RULES, Stage, not_placed


def called(stage: Stage) -> LeadId:
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.CALLED
    return lead_id


def row(stage: Stage, lead_id: LeadId) -> WritebackRow:
    found = stage.story(lead_id).writeback
    assert found is not None
    return found


@pytest.mark.parametrize(
    "behaviour", ["status_500", "status_503", "status_429", "status_408", "reset_after", "garbage"]
)
def test_trouble_of_the_crm_is_tried_again(stage: Stage, world: World, behaviour: str) -> None:
    lead_id = called(stage)
    stage.crm.behave(behaviour, times=1)
    stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).tries) == (WritebackState.PENDING, 1)
    world.time_passes()
    assert stage.told(lead_id)["call_id"] == "call-1"
    assert (row(stage, lead_id).state, row(stage, lead_id).http_status) == (WritebackState.DONE, 200)
    assert len(stage.dialer.calls) == 1


def test_a_crm_that_asks_to_wait_is_given_that_time(stage: Stage, world: World) -> None:
    lead_id = called(stage)
    stage.crm.behave("status_429:77", times=1)
    stage.pipeline.write_back(lead_id)
    assert 75 < world.value("SELECT due_at - {now} FROM writeback") / 1000 <= 77


def test_the_waits_between_tries_grow_to_an_hour(stage: Stage, world: World) -> None:
    lead_id = called(stage)
    stage.crm.behave("status_500")
    for seconds in (1, 5, 15, 60, 300, 900, 3600, 3600):
        world.time_passes()
        stage.pipeline.write_back(lead_id)
        assert seconds - 1 < world.value("SELECT due_at - {now} FROM writeback") / 1000 <= seconds


def test_a_crm_that_is_away_for_three_days_is_a_persons_business(stage: Stage, world: World) -> None:
    lead_id = called(stage)
    stage.crm.behave("status_500")
    world.sql("UPDATE writeback SET first_at = first_at - 3 * 86400000 - 1000")
    stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).reason) == ("parked", "crm_unreachable")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "see `request:`"),
        (401, "credentials"),
        (403, "permission"),
        (404, "no such record"),
        (409, "see"),
        (301, "see"),
    ],
)
def test_a_refusal_of_the_crm_is_parked_with_advice(stage: Stage, status: int, advice: str) -> None:
    lead_id = called(stage)
    stage.crm.behave(f"status_{status}", times=1)
    stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).reason) == ("parked", "crm_refused")
    assert f"the CRM answered {status}: " in row(stage, lead_id).detail
    assert advice in row(stage, lead_id).detail
    assert stage.story(lead_id).lead.state is LeadState.CALLED


def test_a_parked_write_back_goes_out_when_a_person_says_so(stage: Stage) -> None:
    lead_id = called(stage)
    stage.crm.behave("status_404", times=1)
    stage.pipeline.write_back(lead_id)
    stage.pipeline.write_back(lead_id)
    assert stage.crm.write_backs(stage.story(lead_id).lead.record_id) != []
    assert row(stage, lead_id).state is WritebackState.PARKED
    stage.ledger.people.tell_crm_again(lead_id, by="ann")
    assert stage.told(lead_id)["result"] == "called"
    assert len(stage.dialer.calls) == 1


@pytest.mark.parametrize("record_id", ["..", "."])
def test_a_record_id_that_would_change_the_address_is_parked(stage: Stage, record_id: str) -> None:
    lead_id = stage.lead(Id=record_id)
    stage.advance(lead_id)
    stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).reason) == ("parked", "bad_writeback")
    assert stage.crm.requests() == []


def test_an_address_that_cannot_be_used_is_parked(stage: Stage) -> None:
    lead_id = called(stage)
    with patch.object(stage.client, "request", side_effect=NotSent("bad_address", "crm.example.com")):
        stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).reason) == ("parked", "bad_writeback")


def test_a_host_from_the_message_that_leads_into_the_own_network_is_parked(stage: Stage) -> None:
    port = stage.crm.url.rsplit(":", 1)[1]
    lines = 'request: "PATCH {{ event.data.Callback }}"\n      allow_hosts: ["localhost:' + port + '"]'
    stage.pipeline = stage.built(RULES.replace("request: PATCH ${CRM_URL}/leads/{{ lead.id }}", lines))
    lead_id = stage.lead(Callback=f"https://localhost:{port}/x")
    stage.advance(lead_id)
    stage.pipeline.write_back(lead_id)
    parked = row(stage, lead_id)
    assert (parked.state, parked.reason) == ("parked", "bad_writeback")
    assert "an address that is not public" in (parked.detail or "")
    assert stage.crm.requests() == []


def test_results_that_the_rules_leave_out_are_not_told(stage: Stage) -> None:
    stage.pipeline = stage.built(RULES.replace("    write_back:", "    write_back:\n      on: [called]"))
    skipped = stage.lead(Email="qa@example.com")
    stage.advance(skipped)
    stage.pipeline.write_back(skipped)
    assert stage.story(skipped).writeback is None
    assert stage.crm.requests() == []
    assert stage.told(called(stage))["result"] == "called"


def test_a_source_without_a_write_back_tells_nobody(stage: Stage) -> None:
    stage.pipeline = stage.built(RULES[: RULES.index("    write_back:")])
    lead_id = called(stage)
    stage.pipeline.write_back(lead_id)
    assert (stage.story(lead_id).writeback, stage.crm.requests()) == (None, [])


@pytest.mark.parametrize("reason", [Reason.BURST_HELD, Reason.OPT_OUT_UNREAD])
def test_the_crm_is_told_of_a_lead_that_was_parked_before_anything_was_decided(stage: Stage, reason: Reason) -> None:
    rules = RULES.replace('result: "{{ lead.result }}"', 'result: "{{ lead.result }} {{ lead.email }}"')
    stage.pipeline = stage.built(rules)
    record = stage.crm.create({"Country": "US", "Phone": "+12125552368", "Email": "ann@example.org"})
    receipt = stage.ledger.intake.receive(
        source="crm",
        body=json.dumps({"data": record}).encode(),
        content_type="application/json",
        received_at_ms=1,
        events=[NewEvent("id:1", parked=None if reason is Reason.BURST_HELD else (reason, "why"))],
        burst=Burst(0, 60) if reason is Reason.BURST_HELD else None,
    )
    (lead_id,) = receipt.parked
    stage.pipeline.write_back(lead_id)
    assert row(stage, lead_id).state == "done"
    told = stage.crm.lead(record["Id"])
    assert told is not None
    assert told["result"] == "parked ann@example.org"


def test_of_a_message_that_cannot_be_read_nobody_knows_whom_to_tell(stage: Stage) -> None:
    (lead_id,) = stage.messages(b"{")
    assert stage.advance(lead_id) is LeadState.PARKED
    stage.pipeline.write_back(lead_id)
    assert (row(stage, lead_id).state, row(stage, lead_id).reason) == ("parked", "bad_writeback")


def test_the_newest_result_is_what_the_crm_ends_with(stage: Stage, world: World) -> None:
    unclear = Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, "Nobody knows.")
    stage.dialer.script = [unclear, PLACED]
    lead_id = stage.lead()
    stage.advance(lead_id)
    stage.crm.behave("status_500", times=1)
    stage.pipeline.write_back(lead_id)
    stage.ledger.people.ring_again(lead_id, by="ann")
    world.time_passes()
    stage.pipeline.write_back(lead_id)  # what was to be told is no longer so
    assert len(stage.crm.requests()) == 1
    stage.advance(lead_id)
    assert stage.told(lead_id) == {"call_id": "call-2", "result": "called", "why": None}
    assert len(stage.dialer.calls) == 2


def test_an_error_of_our_own_is_tried_again_and_parked_in_the_end(stage: Stage, world: World) -> None:
    lead_id = called(stage)
    with patch("integration.pipeline.render_writeback", side_effect=ZeroDivisionError("secret")):
        stage.pipeline.write_back(lead_id)
        assert row(stage, lead_id).state is WritebackState.PENDING
        assert "secret" not in row(stage, lead_id).detail
        world.time_passes()
        world.sql("UPDATE writeback SET first_at = first_at - 4 * 86400000")
        stage.pipeline.write_back(lead_id)
    assert row(stage, lead_id).state is WritebackState.PARKED


def test_a_write_back_is_tried_by_one_worker_at_a_time(stage: Stage) -> None:
    lead_id = called(stage)
    assert stage.ledger.writebacks.take(lead_id) is not None
    stage.pipeline.write_back(lead_id)
    assert stage.crm.requests() == []


def test_a_crm_that_never_answers_does_not_touch_the_lead(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.NUMBER_REFUSED, Next.BLOCK)]
    lead_id = stage.lead()
    stage.advance(lead_id)
    stage.crm.behave("hang")
    with patch("integration.pipeline.WRITEBACK_DEADLINE_SECONDS", 0.2):
        stage.pipeline.write_back(lead_id)
    assert "no answer from the CRM" in row(stage, lead_id).detail
    assert stage.story(lead_id).lead.state is LeadState.BLOCKED


# ---- leased with its result -----------------------------------------------------------------------


def test_a_write_back_that_was_leased_with_its_result_is_told_and_nobody_else_takes_it(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    lead_id = called(stage)
    assert list(stage.ledger.upkeep.due_writebacks()) == []
    stage.built(worker_id="another").write_back(lead_id)
    assert stage.crm.write_backs() == []
    assert stage.told(lead_id)["call_id"] == "call-1"
    assert (row(stage, lead_id).state, row(stage, lead_id).tries) == (WritebackState.DONE, 1)
    stage.pipeline.write_back(lead_id)
    assert len(stage.crm.write_backs()) == 1


def test_a_write_back_that_was_not_begun_at_the_end_is_left_to_the_next_worker(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    lead_id = called(stage)
    stage.pipeline.release_leased()
    assert list(stage.ledger.upkeep.due_writebacks()) == [lead_id]


def test_a_lease_that_has_waited_too_long_is_taken_anew(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    lead_id = called(stage)
    with patch("integration.pipeline.LEASED_SECONDS", 0.5):
        time.sleep(0.6)
        assert stage.told(lead_id)["call_id"] == "call-1"
    assert row(stage, lead_id).tries == 2


def test_while_a_crm_hangs_only_some_write_backs_are_leased_ahead(stage: Stage) -> None:
    stage.pipeline = stage.built(leases_ahead=True)
    with patch("integration.pipeline.MOST_LEASED", 2):
        leads = [called(stage) for _ in range(4)]
    assert list(stage.ledger.upkeep.due_writebacks()) == leads[2:]


def test_the_crm_hears_when_its_leads_number_was_called_already_and_by_which_call(stage: Stage) -> None:
    first, second = stage.lead(Phone="+12125552999"), stage.lead(Phone="+12125552999")
    stage.advance(first)
    assert stage.advance(second) is LeadState.BLOCKED
    told = stage.told(second)
    assert told["result"] == "blocked"
    assert re.fullmatch(rf"already called at \d\d:\d\d UTC for lead {first}, call call-1", str(told["why"]))
