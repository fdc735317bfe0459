"""Who is alive, what the dead left behind, and what is due. Nothing here ever makes a `dialing` lead ready."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from integration.crash_points import reach
from integration.ledger.brakes import OF_LEAD
from integration.ledger.database import Database, Params
from integration.ledger.history import write_history
from integration.ledger.pauses import clear
from integration.ledger.steps import milliseconds
from integration.ledger.writebacks import enqueue_writeback
from integration.model import LeadId, Reason

DEAD_AFTER_SECONDS = 45.0  # a worker whose heartbeat is older is taken for dead
MOST_WOKEN = 500  # leads in one statement: on PostgreSQL a job is written for each, and a statement has 2 s
JUDGED_WITHIN_SECONDS = 60.0  # after new rules, leads that wait for an opening
READINESS = "readyz"  # in this name a web process beats to see whether it can write; it works nothing

_LOST = (
    "the program was stopped while the call was being placed: the phone may have rung. "
    "Look in the contact centre, then settle it with `ringback resolve`"
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was left behind and by now is safe again or shown to a person."""

    freed: tuple[LeadId, ...] = ()  # claimed, nothing sent: ready again
    unknown: tuple[LeadId, ...] = ()  # dialing: perhaps sent, never again by the program


# The words of the index `lead_moving`. SQLite takes a partial index only where a query repeats its words; without
# them each look, and there are three in a second, goes through every lead there ever was.
_MOVING = "state IN ('received', 'waiting', 'ready', 'claimed', 'dialing')"

_HEARTBEAT = """
    INSERT INTO worker (id, started_at, heartbeat_at) VALUES (:id, {now}, {now})
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = {now}
"""

_GONE = "DELETE FROM worker WHERE id = :id"

_FORGET_DEAD = "DELETE FROM worker WHERE heartbeat_at < {now} - 86400000"

_LIVING = "SELECT id FROM worker WHERE heartbeat_at > {now} - :dead"

_SOMEBODY = f"{_LIVING} AND id <> :web LIMIT 1"

_ABANDONED = f"(:alone = 1 OR lease_until <= {{now}} OR worker_id IS NULL OR worker_id NOT IN ({_LIVING}))"

_FREE = f"""
    UPDATE lead SET state = 'ready', epoch = epoch + 1, worker_id = NULL, lease_until = NULL, due_at = NULL,
           updated_at = {{now}}
    WHERE id IN (SELECT id FROM lead WHERE {_MOVING} AND state = 'claimed' AND {_ABANDONED} ORDER BY id {{skip_locked}})
    RETURNING id
"""

_LOSE = f"""
    UPDATE lead SET state = 'unknown', epoch = epoch + 1, worker_id = NULL, lease_until = NULL, due_at = NULL,
           reason = :reason, detail = :detail, updated_at = {{now}}
    WHERE id IN (SELECT id FROM lead WHERE {_MOVING} AND state = 'dialing' AND {_ABANDONED} ORDER BY id {{skip_locked}})
    RETURNING id
"""

_SOMETHING_IS_LOST = f"""
    SELECT id FROM lead WHERE {_MOVING} AND state IN ('claimed', 'dialing') AND {_ABANDONED} LIMIT 1
"""

_LOSE_ATTEMPT = """
    UPDATE attempt SET state = 'unknown', settled_at = {now}, reason = :reason, message = :detail
    WHERE lead_id = :lead_id AND state = 'intent'
"""

_FREE_WRITEBACKS = "UPDATE writeback SET lease_until = NULL WHERE state = 'pending' AND lease_until IS NOT NULL"

_LEADS_DUE = f"""
    SELECT id, source, id AS place FROM lead
    WHERE {_MOVING} AND state IN ('received', 'waiting', 'ready') AND (due_at IS NULL OR due_at <= {{now}})
"""

_LEADS_OVERDUE = f"{_LEADS_DUE} AND COALESCE(due_at, updated_at) <= {{now}} - :overdue"

_WRITEBACKS_DUE = """
    SELECT lead.id, lead.source, writeback.due_at AS place FROM writeback JOIN lead ON lead.id = writeback.lead_id
    WHERE writeback.state = 'pending' AND writeback.due_at <= {now}
      AND (writeback.lease_until IS NULL OR writeback.lease_until <= {now})
"""

# Every source's first, every source's second, and so on.
_IN_TURNS = """
    SELECT id, source FROM (
        SELECT due.*, ROW_NUMBER() OVER (PARTITION BY source ORDER BY place, id) AS turn FROM ({due}) due) ranked
    ORDER BY turn, place, id LIMIT :most
"""

# Leads that a pause or a brake put off, and it is no more. Looked for from outside, because a lead may be put off
# just while the pause ends.
_RESUME = f"""
    UPDATE lead SET due_at = {{now}} WHERE id IN (
        SELECT id FROM lead WHERE {_MOVING} AND state = 'waiting' AND due_at > {{now}}
        AND (reason = 'dialing_paused' AND NOT EXISTS (SELECT 1 FROM pause WHERE scope = '*')
             OR reason = 'account_paused' AND NOT EXISTS (SELECT 1 FROM pause WHERE scope = lead.account)
             OR reason = 'paused_by_person' AND NOT EXISTS (SELECT 1 FROM brake WHERE scope IN {OF_LEAD}))
        ORDER BY id LIMIT :most {{skip_locked}})
"""

# Over some time, because to judge ten thousand leads takes a minute that fresh ones would have to wait.
_JUDGE_ANEW = f"""
    UPDATE lead SET due_at = {{now}} + id * 7919 % :spread WHERE id IN (
        SELECT id FROM lead WHERE {_MOVING} AND state = 'waiting' AND due_at > {{now}} + :spread
        AND reason = 'outside_hours' AND rules_digest <> :digest
        ORDER BY id LIMIT :most {{skip_locked}})
"""

_SOMETHING_IS_PAUSED = f"""
    SELECT id FROM lead WHERE {_MOVING} AND state = 'waiting'
    AND reason IN ('dialing_paused', 'account_paused', 'paused_by_person') LIMIT 1
"""

_WAKE_THE_REFUSED = f"""
    UPDATE lead SET due_at = {{now}} WHERE id IN (
        SELECT id FROM lead WHERE {_MOVING} AND state = 'waiting' AND due_at > {{now}}
        AND reason IN ('token_refused', 'scope_missing', 'account_not_found', 'dialer_config', 'dialer_refused')
        ORDER BY id LIMIT :most {{skip_locked}})
"""


_WAKE_FOR_THE_LIST = f"""
    UPDATE lead SET due_at = {{now}} WHERE id IN (
        SELECT id FROM lead WHERE {_MOVING} AND state = 'waiting' AND due_at > {{now}} AND reason = 'list_unreadable'
        ORDER BY id {{skip_locked}})
"""


class Upkeep:
    """Keeps the ledger whole. Every method raises LedgerUnavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heartbeat(self, worker_id: str) -> None:
        """Say that this worker lives; at least every 15 s."""
        with self._database.write() as tx:
            tx.run(_HEARTBEAT, {"id": worker_id})
            tx.run(_FORGET_DEAD)

    def leave(self, worker_id: str) -> None:
        """Say that this worker has stopped: what it still held is recovered at once by the others."""
        with self._database.write() as tx:
            tx.run(_GONE, {"id": worker_id})

    def somebody_works(self) -> bool:
        """Whether a worker lives that could take the next lead."""
        return self._finds(_SOMEBODY, {"dead": round(DEAD_AFTER_SECONDS * 1000), "web": READINESS})

    def recover(self, *, alone: bool = False) -> Recovered:
        """Free or surface what dead workers held. `alone`: no other worker can exist, so all of it, now."""
        values = {"alone": int(alone), "dead": round(DEAD_AFTER_SECONDS * 1000)}
        told = {"reason": Reason.WORKER_LOST, "detail": _LOST}
        if not alone and not self._finds(_SOMETHING_IS_LOST, values):  # once a second, and nearly always nothing
            return Recovered()
        with self._database.write() as tx:
            freed = tuple(LeadId(row["id"]) for row in tx.all(_FREE, values))
            unknown = tuple(LeadId(row["id"]) for row in tx.all(_LOSE, {**values, **told}))
            for lead_id in freed:
                write_history(tx, lead_id, "ready", "its worker stopped before anything was sent")
            for lead_id in unknown:
                tx.run(_LOSE_ATTEMPT, {"lead_id": lead_id, **told})
                write_history(tx, lead_id, "unknown", f"{Reason.WORKER_LOST}: {_LOST}")
                enqueue_writeback(tx, lead_id)
            if alone:
                tx.run(_FREE_WRITEBACKS)
            reach("recover.before_commit")
        reach("recover.committed")
        return Recovered(freed, unknown)

    def due_leads(
        self, most: int = 1000, *, overdue_seconds: float = 0.0, but_of: Collection[str] = ()
    ) -> dict[LeadId, str]:
        """Leads that may be moved now, with their sources: the oldest first, and of a long list each source's oldest.

        With `overdue_seconds` only those that might have been moved so long ago; none of the sources `but_of`.
        """
        due = _LEADS_OVERDUE if overdue_seconds else _LEADS_DUE
        return self._due(due, most, but_of, milliseconds(overdue_seconds))

    def due_writebacks(self, most: int = 1000, *, but_of: Collection[str] = ()) -> dict[LeadId, str]:
        """Leads whose result the CRM may be told now, with their sources, chosen in the same way."""
        return self._due(_WRITEBACKS_DUE, most, but_of)

    def _due(self, due: str, most: int, but_of: Collection[str], overdue: int = 0) -> dict[LeadId, str]:
        without = {f"but_{n}": source for n, source in enumerate(but_of)}
        if without:
            due += f" AND source NOT IN ({', '.join(f':{name}' for name in without)})"
        values = {"most": most, "overdue": overdue, **without}
        with self._database.read() as tx:
            rows = tx.all(f"{due} ORDER BY place LIMIT :most", values)
            if len(rows) == most:  # one source's backlog may hide another's lead; to look for it costs ten times more
                rows = tx.all(_IN_TURNS.format(due=due), values)
        return {LeadId(row["id"]): row["source"] for row in rows}

    def resume(self) -> int:
        """Wake the leads that waited for a pause which is over. How many."""
        if not self._finds(_SOMETHING_IS_PAUSED):
            return 0
        with self._database.write() as tx:
            return tx.run(_RESUME, {"most": MOST_WOKEN})

    def judge_anew(self, rules_digest: str) -> int:
        """Let leads that wait for an opening be judged by these rules, if others put them off. How many; the rest when
        it is asked again."""
        values = {"digest": rules_digest, "most": MOST_WOKEN, "spread": milliseconds(JUDGED_WITHIN_SECONDS)}
        with self._database.write() as tx:
            return tx.run(_JUDGE_ANEW, values)

    def clear_pauses(self) -> int:
        """Let dialling start anew: after a restart, or when a person says that the cause is mended. How many."""
        with self._database.write() as tx:
            tx.run(_WAKE_FOR_THE_LIST)  # the settings may have the right key now
            cleared = clear(tx)
            if cleared:
                tx.run(_WAKE_THE_REFUSED, {"most": MOST_WOKEN})
                tx.run(_RESUME, {"most": MOST_WOKEN})
            return cleared

    def _finds(self, sql: str, params: Params | None = None) -> bool:
        """Whether there is such a row. A look costs a tenth of a transaction that changes nothing."""
        with self._database.read() as tx:
            return tx.one(sql, params) is not None
