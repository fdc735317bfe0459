"""A lead's append-only history: one line for each thing that happened, written where it becomes true."""

from __future__ import annotations

from integration.ledger.database import Tx
from integration.model import LeadId

_WRITE = "INSERT INTO history (lead_id, at, what, detail) VALUES (:lead_id, {now}, :what, :detail)"


def write_history(tx: Tx, lead_id: LeadId, what: str, detail: str) -> None:
    """Add one line, in the transaction that makes it true. No full number, no secret."""
    tx.add(_WRITE, {"lead_id": lead_id, "what": what, "detail": detail})
