"""What only a person may order: settling an unknown call, ringing again, deciding anew, telling the CRM again."""

from __future__ import annotations

from integration.ledger.database import ConstraintHeld, Database, Row, Tx, is_an_id
from integration.ledger.history import write_history
from integration.ledger.writebacks import enqueue_writeback
from integration.model import AttemptState, LeadId, LeadState, Reason


class NotPossible(Exception):
    """The lead's state does not allow this order. The message is for the person who gave it."""


_LEAD = "UPDATE lead SET updated_at = updated_at WHERE id = :id RETURNING state, epoch, call_id, updated_at"

_SET = """
    UPDATE lead SET state = :state, epoch = epoch + 1, reason = :reason, detail = :detail, updated_at = {now},
           call_id = COALESCE(:call_id, call_id), worker_id = NULL, lease_until = NULL, due_at = NULL,
           give_up_at = NULL, stumbles = 0, renewed_at = CASE WHEN :renews = 1 THEN {now} ELSE renewed_at END
    WHERE id = :id
"""

_SET_UNKNOWN_ATTEMPT = """
    UPDATE attempt SET state = :state, settled_at = {now}, call_id = COALESCE(:call_id, call_id), message = :message
    WHERE lead_id = :id AND state = 'unknown'
"""

_LIVE_ATTEMPT = "SELECT id FROM attempt WHERE lead_id = :id AND state IN ('intent', 'placed', 'unknown')"


class People:
    """Orders of people. Each names who gave it; the lead's history keeps that."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def was_rung(self, lead_id: LeadId, *, by: str, call_id: str | None, note: str = "") -> None:
        """An unknown call did take place. Raises NotPossible."""
        message = _signed("confirmed as placed", by, note)
        try:
            with self._database.write() as tx:
                _demand(tx, lead_id, LeadState.UNKNOWN)
                _settle_unknown(tx, lead_id, AttemptState.PLACED, call_id, message)
                _set(tx, lead_id, LeadState.CALLED, Reason.CONFIRMED_BY_PERSON, message, call_id=call_id)
                enqueue_writeback(tx, lead_id)
        except ConstraintHeld:
            raise NotPossible(f"call id {call_id} belongs to another lead already") from None

    def give_up(self, lead_id: LeadId, *, by: str, note: str = "") -> None:
        """Close a lead that nobody will call. Raises NotPossible."""
        with self._database.write() as tx:
            _demand(tx, lead_id, LeadState.UNKNOWN, LeadState.PARKED, LeadState.WAITING)
            _set(tx, lead_id, LeadState.FAILED, Reason.CLOSED_BY_PERSON, _signed("closed", by, note))
            enqueue_writeback(tx, lead_id)

    def ring_again(self, lead_id: LeadId, *, by: str, note: str = "") -> None:
        """Order another call after an unclear one. The person takes the risk of a second ring. Raises NotPossible."""
        with self._database.write() as tx:
            _demand(tx, lead_id, LeadState.UNKNOWN)
            message = _signed("another call ordered", by, note)
            _settle_unknown(tx, lead_id, AttemptState.RELEASED, None, message)
            _set(tx, lead_id, LeadState.READY, None, message, renews=True)

    def decide_again(self, lead_id: LeadId, *, by: str, note: str = "") -> None:
        """Give a lead that was never rung to the rules once more. Raises NotPossible."""
        with self._database.write() as tx:
            _demand(tx, lead_id, LeadState.PARKED, LeadState.FAILED, LeadState.BLOCKED, LeadState.SKIPPED)
            if tx.one(_LIVE_ATTEMPT, {"id": lead_id}) is not None:
                raise NotPossible(f"lead {lead_id} may have been rung: use --ring-again on an unknown lead only")
            _set(tx, lead_id, LeadState.RECEIVED, None, _signed("decided anew", by, note), renews=True)

    def tell_crm_again(self, lead_id: LeadId, *, by: str, note: str = "") -> None:
        """Send the write-back of a lead's result once more. Raises NotPossible."""
        with self._database.write() as tx:
            lead = _read(tx, lead_id)
            if not LeadState(lead["state"]).is_result:
                raise NotPossible(f"lead {lead_id} is {lead['state']}: there is no result to tell yet")
            write_history(tx, lead_id, "write-back ordered", _signed("told again", by, note))
            enqueue_writeback(tx, lead_id)


def _read(tx: Tx, lead_id: LeadId) -> Row:
    lead = tx.one(_LEAD, {"id": lead_id}) if is_an_id(lead_id) else None
    if lead is None:
        raise NotPossible(f"there is no lead {lead_id}")
    return lead


def _demand(tx: Tx, lead_id: LeadId, *states: LeadState) -> None:
    lead = _read(tx, lead_id)
    if lead["state"] not in states:
        call = f", call {lead['call_id']}" if lead["call_id"] else ""
        wanted = " or ".join(states)
        raise NotPossible(f"lead {lead_id} is {lead['state']}{call}; this is for a lead that is {wanted}")


def _settle_unknown(tx: Tx, lead_id: LeadId, state: AttemptState, call_id: str | None, message: str) -> None:
    tx.run(_SET_UNKNOWN_ATTEMPT, {"id": lead_id, "state": state, "call_id": call_id, "message": message})


def _set(
    tx: Tx,
    lead_id: LeadId,
    state: LeadState,
    reason: Reason | None,
    detail: str,
    *,
    call_id: str | None = None,
    renews: bool = False,
) -> None:
    """`renews`: somebody has just looked at the lead and wants it called, so it is as fresh as one that comes in."""
    values = {"id": lead_id, "state": state, "reason": reason, "detail": detail, "call_id": call_id}
    tx.run(_SET, {**values, "renews": int(renews)})
    write_history(tx, lead_id, state, detail)


def _signed(what: str, by: str, note: str) -> str:
    return f"{what} by {by}: {note}" if note else f"{what} by {by}"
