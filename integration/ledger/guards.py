"""The phone guard: while a number is being rung, and for the cooldown after, it is rung for no other lead.

Without a cooldown the guard lasts as long as the call is being placed: it ends with the attempt, and by itself
when the attempt never ends.
"""

from __future__ import annotations

from integration.ledger.database import Row, Statement, Tx
from integration.ledger.steps import milliseconds
from integration.model import LeadId

WHILE_DIALING_SECONDS = 20.0  # longer than one attempt can be on its way

# The upsert also succeeds for the lead that holds the guard: its own next attempt must pass.
_TAKE = """
    INSERT INTO phone_guard (phone, lead_id, not_before) VALUES (:phone, :lead_id, {now} + :lasts)
    ON CONFLICT (phone) DO UPDATE SET lead_id = excluded.lead_id, not_before = excluded.not_before
        WHERE phone_guard.not_before <= {now} OR phone_guard.lead_id = excluded.lead_id
    RETURNING lead_id
"""

_HOLDER = """
    SELECT lead.id, lead.state, lead.call_id, latest.intent_at,
           CASE WHEN phone_guard.not_before <= latest.intent_at + :short THEN 1 ELSE 0 END AS is_short
    FROM phone_guard JOIN lead ON lead.id = phone_guard.lead_id
         LEFT JOIN attempt latest ON latest.lead_id = lead.id
             AND latest.n = (SELECT MAX(n) FROM attempt WHERE attempt.lead_id = lead.id)
    WHERE phone_guard.phone = :phone
"""

_FREE = "DELETE FROM phone_guard WHERE phone = :phone AND lead_id = :lead_id"

_END_SHORT = f"{_FREE} AND not_before <= :intent_at + :short"

_SHORT = milliseconds(WHILE_DIALING_SECONDS)


def take_guard(tx: Tx, phone: str, lead_id: LeadId, cooldown_seconds: float) -> bool:
    """Keep a number for this lead; False when another lead has it."""
    return tx.one(*taking_guard(phone, lead_id, cooldown_seconds)) is not None


def taking_guard(phone: str, lead_id: LeadId, cooldown_seconds: float) -> Statement:
    """What `take_guard` asks."""
    lasts = milliseconds(max(cooldown_seconds, WHILE_DIALING_SECONDS))
    return _TAKE, {"phone": phone, "lead_id": lead_id, "lasts": lasts}


def holder(tx: Tx, phone: str) -> Row:
    """The lead that has the number: `id`, `state`, `call_id`, its last `intent_at`, and whether the guard `is_short`,
    which is to say that no cooldown was asked for. The failed `take_guard` holds the row, so that it is there."""
    row = tx.one(_HOLDER, {"phone": phone, "short": _SHORT})
    assert row is not None
    return row


def free_guard(tx: Tx, phone: str, lead_id: LeadId) -> None:
    """The call was surely not placed: the number may be rung for anybody."""
    tx.add(_FREE, {"phone": phone, "lead_id": lead_id})


def end_guard(tx: Tx, phone: str, lead_id: LeadId, intent_at: int) -> None:
    """The attempt of this instant has ended: where no cooldown was asked for, the number is free."""
    tx.add(_END_SHORT, {"phone": phone, "lead_id": lead_id, "intent_at": intent_at, "short": _SHORT})
