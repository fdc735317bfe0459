"""One step of a lead: what is decided, dialled, recorded, and what the CRM is told of it."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from integration.crash_points import arm, disarm
from integration.ledger import LedgerUnavailable, postgres, syncing
from integration.model import LeadId, LeadState, Next, Outcome, OutcomeKind, Reason
from integration.settings import Dialing
from tests.ledger.conftest import World
from tests.pipeline.conftest import PLACED, RULES, Stage, not_placed
from tests.postgres import databases

UNCLEAR = Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, "Nobody knows whether the phone rang.")
NAMELESS = Outcome(OutcomeKind.PLACED, Reason.PLACED_WITHOUT_ID, "The dialer gave no id.", http_status=200)


def test_a_placed_call_reaches_the_crm_with_its_id(stage: Stage) -> None:
    lead_id = stage.lead(Phone="(212) 555-2001")
    assert stage.advance(lead_id) is LeadState.CALLED
    ((account, call),) = stage.dialer.calls
    assert (account.key, call.to, call.caller_id, call.reference) == ("east", "+12125552001", None, "lead 1 attempt 1")
    assert stage.told(lead_id) == {"call_id": "call-1", "result": "called", "why": None}
    lead = stage.story(lead_id).lead
    assert (lead.account, lead.rule_name, lead.rule_line, lead.call_status) == ("east", "The States", 19, "initiated")
    assert [entry.what for entry in stage.story(lead_id).history] == [
        "received",
        "dialing",
        "called",
        "write-back done",
    ]


def test_the_account_and_caller_id_are_those_of_the_rule(stage: Stage) -> None:
    stage.advance(stage.lead(Country="Germany", Phone="030 9018201"))
    ((account, call),) = stage.dialer.calls
    assert (account.key, call.to, call.caller_id) == ("dach", "+49309018201", "+4930901820")


@pytest.mark.parametrize(
    ("record", "state", "reason", "told"),
    [
        ({"Email": "qa@example.com"}, "skipped", "rule_skips", "our own test address"),
        ({"Country": "Austria", "Phone": "+4319971234"}, "parked", "no_rule", None),
        ({"Phone": "+4319971234"}, "blocked", "country_not_allowed", None),
        ({"Phone": ""}, "parked", "no_phone", None),
        ({"Country": "Narnia"}, "parked", "bad_country", None),
    ],
)
def test_a_lead_that_is_not_called_ends_with_its_reason_and_the_crm_hears_it(
    stage: Stage, record: dict[str, Any], state: str, reason: str, told: str | None
) -> None:
    lead_id = stage.lead(**record)
    assert stage.advance(lead_id) == state
    assert stage.story(lead_id).lead.reason == reason
    heard = stage.told(lead_id)
    assert (heard["call_id"], heard["result"]) == (None, state)
    assert heard["why"] == told if told else heard["why"]
    assert stage.dialer.calls == []


def test_a_source_that_the_rules_no_longer_have_parks_its_leads(stage: Stage) -> None:
    lead_id = stage.lead(source="another")
    assert stage.advance(lead_id) is LeadState.PARKED
    assert stage.story(lead_id).lead.reason == "source_gone"


def test_a_body_that_cannot_be_read_any_more_parks_its_lead(stage: Stage) -> None:
    lead_id = stage.message(b"{")
    assert stage.advance(lead_id) is LeadState.PARKED
    assert stage.story(lead_id).lead.reason == "bad_body"


def test_each_event_of_one_delivery_is_a_lead_with_its_own_record_and_write_back(stage: Stage) -> None:
    rules = RULES.replace("    record: data\n", "    items: leads\n    record: data\n").replace(
        'why: "{{ lead.reason }}"', 'why: "{{ event.kind }}"'
    )
    stage.pipeline = stage.built(rules)
    records = [stage.crm.create({"Country": "US", "Phone": f"+1212555200{n}"}) for n in (1, 2)]
    body = {"leads": [{"kind": f"kind-{n}", "data": record} for n, record in enumerate(records)]}
    leads = stage.messages(json.dumps(body).encode(), events=2)
    for n, lead_id in enumerate(leads):
        assert stage.advance(lead_id) is LeadState.CALLED
        assert stage.told(lead_id) == {"call_id": f"call-{n + 1}", "result": "called", "why": f"kind-{n}"}
    assert [call.to for _, call in stage.dialer.calls] == ["+12125552001", "+12125552002"]


# ---- each outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "where", "told"),
    [
        (UNCLEAR, ("unknown", None), ("unknown", "Nobody knows whether the phone rang.")),
        (NAMELESS, ("called", None), ("called", None)),
        (not_placed(Reason.NUMBER_REFUSED, Next.BLOCK), ("blocked", None), ("blocked", "no: number_refused")),
        (not_placed(Reason.NOT_SENT, Next.RETRY), ("waiting", 2.0), None),
        (not_placed(Reason.TOO_LATE, Next.RETRY), ("waiting", 2.0), None),
        (not_placed(Reason.RATE_LIMITED, Next.RETRY), ("waiting", 2.0), None),
        (not_placed(Reason.RATE_LIMITED, Next.RETRY, 120.0), ("waiting", 120.0), None),
        (not_placed(Reason.TOKEN_REFUSED, Next.REFRESH), ("ready", None), None),
        (not_placed(Reason.DIALER_CONFIG, Next.PAUSE_ALL), ("waiting", 60.0), None),
        (not_placed(Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT), ("waiting", 60.0), None),
        (not_placed(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT), ("waiting", 60.0), None),
    ],
)
def test_each_outcome_of_a_call(
    stage: Stage, world: World, outcome: Outcome, where: tuple[str, float | None], told: tuple[str, str] | None
) -> None:
    state, wait = where
    stage.dialer.script = [outcome]
    lead_id = stage.lead()
    assert stage.advance(lead_id) == state
    assert stage.story(lead_id).lead.reason == outcome.reason
    if wait is not None:
        assert wait - 1 < world.wait_seconds(lead_id) <= wait
    heard = stage.told(lead_id)
    assert (heard["result"], heard["why"]) == (told or (None, None))
    assert len(stage.dialer.calls) == 1


def test_the_waits_between_attempts_grow(stage: Stage, world: World) -> None:
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY)]
    lead_id = stage.lead()
    for seconds in (2, 5, 15, 30, 60, 120, 240, 240):
        world.time_passes()
        assert stage.advance(lead_id) is LeadState.WAITING
        assert seconds - 1 < world.wait_seconds(lead_id) <= seconds


def test_a_fault_of_ours_while_the_call_is_placed_is_unclear_and_never_repeated(stage: Stage) -> None:
    stage.dialer.script = [ZeroDivisionError("+12125552001")]
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.UNKNOWN
    assert stage.advance(lead_id) is None
    assert len(stage.dialer.calls) == 1
    assert "ZeroDivisionError" in stage.story(lead_id).lead.detail
    assert "+12125552001" not in stage.story(lead_id).lead.detail


def test_a_refused_token_is_refreshed_once_and_then_all_dialling_pauses(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.TOKEN_REFUSED, Next.REFRESH)]
    lead_id, other = stage.lead(), stage.lead(Country="Germany", Phone="030 9018201")
    assert stage.advance(lead_id) is LeadState.READY
    assert stage.advance(lead_id) is LeadState.WAITING
    assert [pause.scope for pause in stage.ledger.reading.pauses()] == ["*"]
    assert stage.advance(other) is LeadState.WAITING
    assert stage.story(other).lead.reason == "dialing_paused"
    assert len(stage.dialer.calls) == 2


def test_a_token_that_was_only_old_costs_one_more_attempt(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.TOKEN_REFUSED, Next.REFRESH), PLACED]
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.READY
    assert stage.advance(lead_id) is LeadState.CALLED
    assert [attempt.state for attempt in stage.story(lead_id).attempts] == ["not_placed", "placed"]


def test_a_busy_dialer_pauses_its_account_alone(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.RATE_LIMITED, Next.RETRY, 30.0), PLACED]
    first, same, other = stage.lead(), stage.lead(), stage.lead(Country="Germany", Phone="030 9018201")
    stage.advance(first)
    assert stage.advance(same) is LeadState.WAITING
    assert stage.advance(other) is LeadState.CALLED
    assert len(stage.dialer.calls) == 2


def test_a_lead_that_cannot_be_placed_for_15_minutes_fails_and_says_why(stage: Stage, world: World) -> None:
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY)]
    lead_id = stage.lead()
    stage.advance(lead_id)
    world.sql("UPDATE lead SET give_up_at = 1, due_at = 1")
    assert stage.advance(lead_id) is LeadState.FAILED
    assert stage.told(lead_id) == {
        "call_id": None,
        "result": "failed",
        "why": "the call could not be placed for 15 minutes: no: not_sent",
    }
    assert len(stage.dialer.calls) == 1


# ---- before the intent ----------------------------------------------------------------------


def test_what_is_slow_is_prepared_under_a_claim(stage: Stage) -> None:
    stage.dialer.has_ticket = False
    lead_id = stage.lead()
    assert stage.advance(lead_id) is LeadState.CALLED
    assert (stage.dialer.prepared, len(stage.dialer.calls)) == (1, 1)


def test_a_token_that_cannot_be_had_sends_nothing_and_pauses_all_dialling(stage: Stage) -> None:
    stage.dialer.has_ticket = False
    stage.dialer.preparing = [not_placed(Reason.TOKEN_REFUSED, Next.PAUSE_ALL)]
    first, second = stage.lead(), stage.lead()
    assert stage.advance(first) is LeadState.WAITING
    assert stage.advance(second) is LeadState.WAITING
    assert (stage.dialer.prepared, stage.dialer.calls, stage.story(first).attempts) == (1, [], ())


def test_a_preparation_that_fails_again_and_again_is_repeated_less_and_less_often(stage: Stage, world: World) -> None:
    stage.dialer.has_ticket = False
    stage.dialer.preparing = [not_placed(Reason.NOT_SENT, Next.RETRY)] * 3
    lead_id = stage.lead()
    stage.advance(lead_id)
    assert 1 < world.wait_seconds(lead_id) <= 2
    for held_up in (20, 500):
        world.time_passes()
        world.sql("UPDATE lead SET give_up_at = {now} + 900000 - :held", held=held_up * 1000)
        stage.advance(lead_id)
        assert min(held_up, 60) - 1 < world.wait_seconds(lead_id) <= min(held_up, 60) + 1


def test_a_lead_that_another_worker_moves_meanwhile_is_not_dialled(stage: Stage) -> None:
    lead_id = stage.lead()
    ticket = stage.dialer.ticket

    def overtaken(account: Any) -> Any:
        with patch.object(stage.dialer, "ticket", ticket):
            assert stage.built(worker_id="faster").advance(lead_id) is LeadState.CALLED
        return ticket(account)

    with patch.object(stage.dialer, "ticket", overtaken):
        assert stage.advance(lead_id) is None
    assert len(stage.dialer.calls) == 1


@pytest.mark.parametrize("rules", [RULES, RULES.replace("call: east", "skip: not now")], ids=["call", "skip"])
@pytest.mark.parametrize("has_ticket", [True, False], ids=["at once", "under a claim"])
@pytest.mark.parametrize("moved_to", [LeadState.READY, LeadState.WAITING])
def test_a_copy_of_a_lead_that_was_moved_since_moves_nothing(
    stage: Stage, world: World, rules: str, has_ticket: bool, moved_to: LeadState
) -> None:
    refused = {LeadState.READY: (Reason.TOKEN_REFUSED, Next.REFRESH), LeadState.WAITING: (Reason.NOT_SENT, Next.RETRY)}
    stage.dialer.script = [not_placed(*refused[moved_to]), PLACED]
    lead_id = stage.lead()
    known = stage.ledger.calls.take(lead_id)
    assert stage.advance(lead_id) is moved_to
    before = stage.story(lead_id)
    world.time_passes()
    stage.dialer.has_ticket = has_ticket
    assert stage.built(rules, worker_id="slower").advance(lead_id, known) is None
    assert (stage.dialer.prepared, len(stage.dialer.calls)) == (0, 1)
    assert stage.story(lead_id).lead.state is moved_to
    assert stage.story(lead_id).history == before.history


def test_two_leads_with_one_number_ring_once(stage: Stage, world: World) -> None:
    first, second = stage.lead(Phone="+12125552001"), stage.lead(Phone="212-555-2001")
    assert stage.advance(first) is LeadState.CALLED
    assert stage.advance(second) is LeadState.BLOCKED
    assert stage.told(second)["result"] == "blocked"
    assert len(stage.dialer.calls) == 1


# ---- rehearsing, and rules that change ------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "reason"), [(frozenset(), "dialing_off"), (frozenset({"+12125559999"}), "not_a_rehearsal_number")]
)
def test_a_withheld_call_is_rehearsed_and_never_dialled_later(stage: Stage, only: frozenset[str], reason: str) -> None:
    stage.pipeline = stage.built(dialing=Dialing(everybody=False, only=only))
    lead_id = stage.lead(Phone="+12125552001")
    assert stage.advance(lead_id) is LeadState.REHEARSED
    assert stage.story(lead_id).lead.reason == reason
    assert stage.told(lead_id)["result"] == "rehearsed"
    stage.pipeline = stage.built()
    assert stage.advance(lead_id) is None
    assert stage.dialer.calls == []


def test_a_listed_number_is_dialled_in_a_rehearsal(stage: Stage) -> None:
    stage.pipeline = stage.built(dialing=Dialing(everybody=False, only=frozenset({"+12125552001"})))
    assert stage.advance(stage.lead(Phone="+12125552001")) is LeadState.CALLED


def test_rules_that_changed_between_two_attempts_decide_the_next_one(stage: Stage, world: World) -> None:
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY)]
    lead_id = stage.lead()
    stage.advance(lead_id)
    before = stage.story(lead_id).lead.rules_digest
    world.time_passes()
    stage.pipeline = stage.built(RULES.replace("call: east", "skip: we no longer call there"))
    assert stage.advance(lead_id) is LeadState.SKIPPED
    assert stage.story(lead_id).lead.rules_digest not in (None, before)
    assert stage.told(lead_id)["why"] == "we no longer call there"


# ---- the database goes away -----------------------------------------------------------------


def test_an_outcome_that_could_not_be_recorded_is_offered_until_it_is(stage: Stage) -> None:
    lead_id = stage.lead()
    with patch.object(stage.ledger.calls, "settle", side_effect=LedgerUnavailable("away")):
        assert stage.advance(lead_id) is None
        with pytest.raises(LedgerUnavailable):
            stage.pipeline.record_the_unrecorded()
    assert stage.story(lead_id).lead.state is LeadState.DIALING
    assert stage.pipeline.record_the_unrecorded() == [lead_id]
    assert stage.pipeline.record_the_unrecorded() == []
    assert stage.told(lead_id)["call_id"] == "call-1"
    assert len(stage.dialer.calls) == 1


def test_outcomes_are_offered_one_at_a_time_while_the_database_is_away_because_each_refusal_costs_a_wait(
    stage: Stage,
) -> None:
    leads = [stage.lead() for n in range(3)]
    with patch.object(stage.ledger.calls, "settle", side_effect=LedgerUnavailable("away")) as settle:
        for lead_id in leads:
            stage.advance(lead_id)
        settle.reset_mock()
        with pytest.raises(LedgerUnavailable):
            stage.pipeline.record_the_unrecorded()
        assert settle.call_count == 1
    assert sorted(stage.pipeline.record_the_unrecorded()) == leads


def test_an_outcome_that_the_database_cannot_take_is_kept_and_hides_no_other(stage: Stage) -> None:
    settle = stage.ledger.calls.settle
    bad, good = stage.lead(), stage.lead()

    def refuse_one(lead_id: LeadId, *rest: Any, **named: Any) -> Any:
        if lead_id == bad:
            raise ValueError("a value that the driver cannot write")
        return settle(lead_id, *rest, **named)

    with patch.object(stage.ledger.calls, "settle", side_effect=LedgerUnavailable("away")):
        stage.advance(bad)
        stage.advance(good)
    with patch.object(stage.ledger.calls, "settle", refuse_one):
        assert stage.pipeline.record_the_unrecorded() == [good]
    assert stage.pipeline.record_the_unrecorded() == [bad]
    assert stage.story(bad).lead.state is LeadState.CALLED


def lose_one_commit(monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    """The connection is lost during the next commit, which the server has done, or has not; or a file's commit does
    not reach the disk in time."""

    def not_on_disk(*_: object) -> None:
        monkeypatch.undo()
        raise syncing.NotOnDisk("the disk did not answer in time", lasts=False)

    monkeypatch.setattr(syncing.LogSync, "wait", not_on_disk)
    finish = postgres._PostgresTx.finish

    def finish_and_lose(tx: Any) -> None:
        monkeypatch.undo()
        if done:
            finish(tx)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(postgres._PostgresTx, "finish", finish_and_lose)


def lead_whose_intent_is_in_doubt(stage: Stage, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> LeadId:
    lead_id = stage.lead()
    arm("intent.before_commit", lambda: lose_one_commit(monkeypatch, done=done))
    try:
        with pytest.raises(LedgerUnavailable):
            stage.advance(lead_id)
    finally:
        disarm()
    assert stage.dialer.calls == []
    return lead_id


over_a_network = pytest.mark.parametrize("database_url", databases()[1:], indirect=True)


@pytest.mark.parametrize(
    ("database_url", "done"),
    [(database, done) for database in databases() for done in (True, False) if done or database != "sqlite"],
    indirect=["database_url"],
)
def test_a_call_whose_intent_was_not_confirmed_is_placed_as_soon_as_the_database_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    lead_id = lead_whose_intent_is_in_doubt(stage, monkeypatch, done=done)
    assert stage.story(lead_id).lead.state is (LeadState.DIALING if done else LeadState.RECEIVED)
    assert stage.pipeline.unrecorded() == 1, "a process that stops waits for it"
    assert stage.pipeline.record_the_unrecorded() == []
    assert stage.pipeline.unrecorded() == 0
    assert stage.story(lead_id).lead.state is (LeadState.READY if done else LeadState.RECEIVED)
    assert stage.advance(lead_id) is LeadState.CALLED
    assert stage.pipeline.record_the_unrecorded() == []
    assert stage.story(lead_id).lead.state is LeadState.CALLED
    assert len(stage.dialer.calls) == 1


@over_a_network
def test_an_intent_in_doubt_is_never_taken_for_a_later_one_with_its_number(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_id = lead_whose_intent_is_in_doubt(stage, monkeypatch, done=False)
    with stage.ledger.database.write() as tx:  # as after a crash
        tx.one("SELECT setval('attempt_id_seq', (SELECT last_value FROM attempt_id_seq), false)")
    stage.dialer.script = [UNCLEAR]
    assert stage.advance(lead_id) is LeadState.UNKNOWN
    stage.pipeline.record_the_unrecorded()
    assert stage.story(lead_id).lead.state is LeadState.UNKNOWN


@pytest.mark.parametrize("done", [True, False])
def test_a_result_whose_recording_was_not_confirmed_is_told_as_soon_as_the_database_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """The commit that stood leased the write-back to this process, and nobody else has it for a minute."""
    stage.pipeline = stage.built(leases_ahead=True)
    lead_id = stage.lead()
    settle = stage.ledger.calls.settle

    def settle_and_lose(*args: Any, **named: Any) -> Any:
        monkeypatch.undo()
        if done:
            settle(*args, **named)
        raise LedgerUnavailable("the answer to COMMIT was lost")

    monkeypatch.setattr(stage.ledger.calls, "settle", settle_and_lose)
    stage.advance(lead_id)
    assert stage.pipeline.record_the_unrecorded() == [lead_id]
    assert stage.told(lead_id) == {"call_id": "call-1", "result": "called", "why": None}


def test_what_another_worker_is_telling_is_not_taken_from_it(stage: Stage) -> None:
    """The recording that was not confirmed had asked for no lease, so the one that stands is not its own."""
    lead_id = stage.lead()
    settle = stage.ledger.calls.settle

    def settle_and_lose(*args: Any, **named: Any) -> Any:
        settle(*args, **named)
        raise LedgerUnavailable("the answer to COMMIT was lost")

    with patch.object(stage.ledger.calls, "settle", settle_and_lose):
        stage.advance(lead_id)
    assert stage.ledger.writebacks.take(lead_id) is not None
    assert stage.pipeline.record_the_unrecorded() == []
    assert stage.ledger.writebacks.take(lead_id) is None


def test_an_outcome_that_was_recorded_although_the_database_went_away_changes_nothing(stage: Stage) -> None:
    lead_id = stage.lead()
    settle = stage.ledger.calls.settle

    def settle_and_lose(*args: Any, **named: Any) -> Any:
        settle(*args, **named)
        raise LedgerUnavailable("the answer to COMMIT was lost")

    with patch.object(stage.ledger.calls, "settle", settle_and_lose):
        stage.advance(lead_id)
    assert stage.pipeline.record_the_unrecorded() == []
    assert stage.story(lead_id).lead.state is LeadState.CALLED


def test_an_intent_whose_commit_is_in_doubt_sends_nothing(stage: Stage) -> None:
    lead_id = stage.lead()
    begin = stage.ledger.calls.begin

    def begin_and_lose(*args: Any, **named: Any) -> Any:
        begin(*args, **named)
        raise LedgerUnavailable("the answer to COMMIT was lost")

    with patch.object(stage.ledger.calls, "begin", begin_and_lose), pytest.raises(LedgerUnavailable):
        stage.advance(lead_id)
    assert stage.advance(lead_id) is None
    assert stage.dialer.calls == []
    assert stage.ledger.upkeep.recover(alone=True).unknown == (lead_id,)


def test_nothing_that_is_logged_holds_a_number_or_a_secret(stage: Stage) -> None:
    stage.dialer.script = [not_placed(Reason.NOT_SENT, Next.RETRY), UNCLEAR, PLACED]
    leads = [stage.lead(Phone="+12125552001"), stage.lead(Phone="+12125552002"), stage.lead(Phone="x")]
    for lead_id in leads:
        stage.advance(lead_id)
        stage.pipeline.write_back(lead_id)
    logged = stage.log.getvalue()
    assert "call.unclear" in logged
    for secret in ("2125552001", "2125552002", "crm-token", "0123456789abcdef"):
        assert secret not in logged
