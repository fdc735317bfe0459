"""A lead's append-only history: one line for each thing that happened, written where it becomes true.

A line may carry evidence: the checks that led to it with what each saw, and the version of the rules. The database
itself refuses to change a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from integration.ledger.database import Tx
from integration.model import Check, LeadId

_WRITE = """
    INSERT INTO history (lead_id, at, what, detail, evidence) VALUES (:lead_id, {now}, :what, :detail, :evidence)
"""

# The same for each lead that `rows` names, as part of a statement that writes more.
WRITE_FOR = """
    INSERT INTO history (lead_id, at, what, detail)
    SELECT lead_id, {{now}}, :what, :detail FROM {rows} RETURNING lead_id
"""


def write_history(tx: Tx, lead_id: LeadId, what: str, detail: str, evidence: str | None = None) -> None:
    """Add one line, in the transaction that makes it true. No full number, no secret."""
    tx.add(_WRITE, {"lead_id": lead_id, "what": what, "detail": detail, "evidence": evidence})


def evidence_of(checks: Sequence[Check], rules_digest: str) -> str | None:
    """Checks as a line keeps them; None when nothing was asked."""
    if not checks:
        return None
    listed = [{"name": check.name, "verdict": check.verdict, "saw": dict(check.saw)} for check in checks]
    return json.dumps({"rules": rules_digest, "checks": listed}, default=str, ensure_ascii=False)


def read_evidence(kept: str | None) -> Mapping[str, Any] | None:
    """What `evidence_of` kept: `rules` and `checks`."""
    if kept is None:
        return None
    found: Mapping[str, Any] = json.loads(kept)
    return found
