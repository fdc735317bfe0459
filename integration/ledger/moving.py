"""Putting a lead off: back to ready, to a later moment, or out of the way for good. Never after a doubt."""

from __future__ import annotations

from integration.ledger.database import Tx
from integration.ledger.steps import SetBack, milliseconds
from integration.model import LeadId

GIVE_UP_SECONDS = 15 * 60.0  # a lead that cannot be placed for so long ends as failed

# A wait never goes beyond the moment at which the lead is given up, so that the CRM hears of it in time; one that the
# house orders is no failure to place the call, and the clock begins anew after it.
_SET_BACK = """
    UPDATE lead SET state = :state, epoch = epoch + 1, reason = :reason, detail = :detail, updated_at = {now},
           worker_id = NULL, lease_until = NULL, attempts = attempts - :uncounted,
           give_up_at = CASE WHEN :by_house = 1 THEN NULL ELSE COALESCE(give_up_at, {now} + :give_up) END,
           due_at = CASE WHEN :state <> 'waiting' THEN NULL
                         WHEN :by_house = 1 THEN {now} + :wait
                         WHEN {now} + :wait < COALESCE(give_up_at, {now} + :give_up) THEN {now} + :wait
                         ELSE COALESCE(give_up_at, {now} + :give_up) END
    WHERE id = :id AND epoch = :epoch
"""


def put_back(tx: Tx, lead_id: LeadId, epoch: int, after: SetBack, detail: str, *, uncounted: int = 0) -> bool:
    """Move a lead whose call was surely not placed. False when another worker was first.

    `uncounted` takes back an attempt that the lead had counted for itself in this transaction.
    """
    values = {"id": lead_id, "epoch": epoch, "state": after.state, "reason": after.reason, "detail": detail}
    waits = {"wait": milliseconds(after.wait_seconds), "give_up": milliseconds(GIVE_UP_SECONDS)}
    return tx.run(_SET_BACK, {**values, **waits, "uncounted": uncounted, "by_house": int(after.by_house)}) == 1
