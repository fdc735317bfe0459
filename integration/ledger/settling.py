"""Recording what an attempt came to, also when the answer comes late.

Lead and attempt are locked first, so that an answer, a person's order and the recovery of dead workers' leads
come one after the other. A clear answer beats a doubt whenever it comes; a doubt never undoes what a person
or a clear answer has settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from integration.crash_points import reach
from integration.ledger.database import Asked, ConstraintHeld, Database, Row, Tx
from integration.ledger.guards import end_guard, free_guard
from integration.ledger.history import write_history
from integration.ledger.moving import put_back
from integration.ledger.pauses import COUNT, learn, pause_if_asked
from integration.ledger.rates import take_out
from integration.ledger.steps import Begun, SetBack, Settled
from integration.ledger.writebacks import enqueue_leased, enqueue_writeback, leased
from integration.model import AttemptId, AttemptState, LeadId, LeadState, Outcome, OutcomeKind, Reason

_LOOK = f"""
    SELECT attempt.id, attempt.n, attempt.state, attempt.account, attempt.to_number, attempt.intent_at, attempt.call_id,
           lead.epoch, lead.source, lead.state AS lead_state, lead.attempts,
           {COUNT.format(account="attempt.account")} AS pauses
    FROM lead JOIN attempt ON attempt.lead_id = lead.id
    WHERE lead.id = :lead_id AND attempt.id = :id {{lock}}
"""

_SETTLE_ATTEMPT = """
    UPDATE attempt SET state = :state, settled_at = {now}, call_id = :call_id, call_status = :call_status,
           http_status = :http_status, reason = :reason, message = :message
    WHERE id = :id
"""

_SETTLE_LEAD = """
    UPDATE lead SET state = :state, epoch = epoch + 1, reason = :reason, detail = :detail, call_id = :call_id,
           call_status = :call_status, updated_at = {now}, worker_id = NULL, lease_until = NULL, due_at = NULL
    WHERE id = :id AND epoch = :epoch
"""

_ATTEMPT_STATES: Mapping[OutcomeKind, AttemptState] = {
    OutcomeKind.PLACED: AttemptState.PLACED,
    OutcomeKind.NOT_PLACED: AttemptState.NOT_PLACED,
    OutcomeKind.UNCLEAR: AttemptState.UNKNOWN,
}


def settle(
    database: Database, lead_id: LeadId, attempt_id: AttemptId, outcome: Outcome, after: SetBack | None, *, lease: bool
) -> Settled | None:
    """See `Calls.settle`."""
    leases: list[Asked] = []
    try:
        with database.write() as tx:
            settled = _settle(tx, lead_id, attempt_id, outcome, after, leases=leases if lease else None)
            reach("settle.before_commit")
    except ConstraintHeld:  # the dialer gave an id that another call has: one of the two is wrong
        alert = f"the dialer answered with a call id that another call has already: {outcome.call_id}"
        doubtful = Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, alert, http_status=outcome.http_status)
        with database.write() as tx:
            settled = _settle(tx, lead_id, attempt_id, doubtful, None)
        return None if settled is None else Settled(settled.state, alert)
    reach("settle.committed")
    return settled if settled is None or not leases else replace(settled, lease=leased(leases[0]))


# Waits for a transaction that is still in doubt: it holds the lead until it is committed or rolled back.
_HOLD = "SELECT id FROM lead WHERE id = :lead_id {lock}"

# The id alone could be another attempt's: after a crash a sequence may give those once more that were not committed.
_STANDS = "SELECT id FROM attempt WHERE id = :id AND lead_id = :lead_id AND n = :n AND intent_at = :intent_at"

_NEVER_SENT = Outcome(
    OutcomeKind.NOT_PLACED, Reason.NOT_SENT, "the database did not confirm the intent in time, so nothing was sent"
)


def withdraw(database: Database, lead_id: LeadId, begun: Begun) -> bool:
    """See `Calls.withdraw`."""
    names = {"id": begun.attempt_id, "lead_id": lead_id, "n": begun.n, "intent_at": begun.at_ms}
    with database.write() as tx:
        tx.one(_HOLD, {"lead_id": lead_id})
        if tx.one(_STANDS, names) is None:
            return False
        settled = _settle(tx, lead_id, begun.attempt_id, _NEVER_SENT, SetBack(LeadState.READY, Reason.NOT_SENT))
    return settled is not None


def _settle(
    tx: Tx,
    lead_id: LeadId,
    attempt_id: AttemptId,
    outcome: Outcome,
    after: SetBack | None,
    *,
    leases: list[Asked] | None = None,
) -> Settled | None:
    """Where `leases` is given, the write-back of what the answer says is leased, and it gets the lease."""
    attempt = tx.one(_LOOK, {"id": attempt_id, "lead_id": lead_id})
    assert attempt is not None
    if attempt["state"] == AttemptState.RELEASED:
        return _after_an_order(tx, lead_id, attempt, outcome)
    if attempt["state"] not in (AttemptState.INTENT, AttemptState.UNKNOWN):
        if outcome.call_id not in (None, attempt["call_id"]):
            write_history(tx, lead_id, "late answer", f"attempt {attempt['n']}: call {outcome.call_id}")
        return None
    _write_attempt(tx, attempt_id, outcome)
    if outcome.kind is OutcomeKind.NOT_PLACED:
        free_guard(tx, attempt["to_number"], lead_id)
        take_out(tx, attempt["source"], attempt["account"], attempt["intent_at"], attempt_id)
    else:
        end_guard(tx, attempt["to_number"], lead_id, attempt["intent_at"])
    if attempt["pauses"]:
        learn(tx, outcome, after, attempt["account"], attempt["intent_at"])
    is_open = attempt["lead_state"] in (LeadState.DIALING, LeadState.UNKNOWN)
    if outcome.kind is OutcomeKind.PLACED:
        state = _rest(tx, lead_id, attempt["epoch"], LeadState.CALLED, outcome)
    elif not is_open:  # a person has closed it meanwhile: neither a doubt nor a refusal opens it again
        write_history(tx, lead_id, "late answer", _told(attempt, outcome))
        return None
    elif outcome.kind is OutcomeKind.UNCLEAR:
        state = _rest(tx, lead_id, attempt["epoch"], LeadState.UNKNOWN, outcome)
    else:
        assert after is not None
        state = after.state
        put_back(tx, lead_id, attempt["epoch"], after, outcome.message)
        pause_if_asked(tx, after, outcome.message)
    write_history(tx, lead_id, state, _told(attempt, outcome))
    if leases is not None and outcome.kind is not OutcomeKind.NOT_PLACED:
        leases.append(enqueue_leased(tx, lead_id))
    elif state.is_result:
        enqueue_writeback(tx, lead_id)
    return Settled(state)


def _after_an_order(tx: Tx, lead_id: LeadId, attempt: Row, outcome: Outcome) -> Settled | None:
    """The answer came after a person had ordered another call. Only a call that did take place matters now."""
    if outcome.kind is not OutcomeKind.PLACED:
        return None
    call = f"call {outcome.call_id}" if outcome.call_id else "a call without an id"
    if attempt["n"] == attempt["attempts"]:  # nothing was begun since: the order has become needless
        alert = f"attempt {attempt['n']} was answered late, {call}: the ordered second call is not placed"
        _write_attempt(tx, attempt["id"], outcome)
        state = _rest(tx, lead_id, attempt["epoch"], LeadState.CALLED, outcome)
        enqueue_writeback(tx, lead_id)
    else:
        alert = f"attempt {attempt['n']} was answered late, {call}: the ordered call may have been a second ring"
        state = LeadState(attempt["lead_state"])
    write_history(tx, lead_id, "late answer", alert)
    return Settled(state, alert)


def _told(attempt: Row, outcome: Outcome) -> str:
    return f"attempt {attempt['n']}: {outcome.reason}: {outcome.message}"


def _write_attempt(tx: Tx, attempt_id: AttemptId, outcome: Outcome) -> None:
    values = {"id": attempt_id, "state": _ATTEMPT_STATES[outcome.kind], "http_status": outcome.http_status}
    values |= {"call_id": outcome.call_id, "call_status": outcome.call_status}
    tx.add(_SETTLE_ATTEMPT, {**values, "reason": outcome.reason, "message": outcome.message})


def _rest(tx: Tx, lead_id: LeadId, epoch: int, state: LeadState, outcome: Outcome) -> LeadState:
    """Bring the lead to a result that an answer gave."""
    values = {"id": lead_id, "epoch": epoch, "state": state, "reason": outcome.reason, "detail": outcome.message}
    tx.add(_SETTLE_LEAD, {**values, "call_id": outcome.call_id, "call_status": outcome.call_status})
    return state
