"""Telling the CRM a lead's result: at least once, the newest result last, with tries of its own.

Nothing here can reach the dialer. A write-back is leased while it is under way, so that an older result
never lands after a newer one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integration.crash_points import reach
from integration.ledger.database import Asked, Database, Params, Tx
from integration.ledger.history import WRITE_FOR, write_history
from integration.ledger.steps import LeadWork, Lease, Settled, fields_as_kept, known_reason, milliseconds
from integration.model import Decision, LeadId, LeadState, Outcome, Reason, WritebackState

LEASE_SECONDS = 60.0  # longer than any exchange with a CRM may take
_LEASE = milliseconds(LEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class WritebackJob:
    """One result to be told, with what the write-back's placeholders may ask for."""

    lead_id: LeadId
    lease: Lease
    tries: int  # this one included
    age_seconds: float  # since the result came to be
    source: str
    item: int
    body: bytes
    content_type: str | None
    state: LeadState
    reason: Reason | None
    detail: str
    record_id: str | None
    fields: Mapping[str, Any]
    account: str | None
    call_id: str | None
    call_status: str | None


_ENQUEUE = """
    INSERT INTO writeback (lead_id, version, state, detail, tries, first_at, due_at)
    VALUES (:lead_id, {now}, 'pending', '', 0, {now}, {now})
    ON CONFLICT (lead_id) DO UPDATE SET version = CASE WHEN writeback.version < excluded.version
        THEN excluded.version ELSE writeback.version + 1 END, state = 'pending', reason = NULL,
        detail = '', tries = 0, first_at = {now}, due_at = {now}, settled_at = NULL, http_status = NULL
"""

_ENQUEUE_LEASED = """
    INSERT INTO writeback (lead_id, version, state, detail, tries, first_at, due_at, lease_until)
    VALUES (:lead_id, {now}, 'pending', '', 1, {now}, {now}, {now} + :lease)
    ON CONFLICT (lead_id) DO UPDATE SET version = CASE WHEN writeback.version < excluded.version
        THEN excluded.version ELSE writeback.version + 1 END, state = 'pending', reason = NULL,
        detail = '', first_at = {now}, due_at = {now}, settled_at = NULL, http_status = NULL,
        tries = CASE WHEN writeback.lease_until > {now} THEN 0 ELSE 1 END,
        lease_until = CASE WHEN writeback.lease_until > {now} THEN writeback.lease_until ELSE excluded.lease_until END
    RETURNING version, tries, lease_until
"""

_TAKE = """
    UPDATE writeback SET tries = tries + 1, lease_until = {now} + :lease
    WHERE lead_id = :lead_id AND state = 'pending' AND due_at <= {now}
      AND (lease_until IS NULL OR lease_until <= {now})
    RETURNING version, tries, lease_until, {now} - first_at AS age
"""

_FACTS = """
    SELECT lead.source, lead.item, lead.state, lead.reason, lead.detail, lead.record_id, lead.fields, lead.account,
           lead.call_id, lead.call_status, delivery.body, delivery.content_type
    FROM lead JOIN delivery ON delivery.id = lead.delivery_id WHERE lead.id = :lead_id
"""

_SETTLE = """
    UPDATE writeback SET state = :state, reason = :reason, detail = :detail, http_status = :http_status,
           settled_at = {now}, lease_until = NULL, due_at = NULL
    WHERE lead_id = :lead_id AND version = :version AND state = 'pending'
"""

_SETTLE_IN_ONE = f"WITH settled AS ({_SETTLE} RETURNING lead_id) {WRITE_FOR.format(rows='settled')}"

_AGAIN = """
    UPDATE writeback SET due_at = {now} + :wait, lease_until = NULL, detail = :detail, http_status = :http_status
    WHERE lead_id = :lead_id AND version = :version AND state = 'pending' AND lease_until = :lease_until
"""

_RELEASE = "UPDATE writeback SET lease_until = NULL WHERE lead_id = :lead_id AND lease_until = :lease_until"

_RELEASE_UNBEGUN = """
    UPDATE writeback SET lease_until = NULL
    WHERE lead_id = :lead_id AND state = 'pending' AND tries = 1 AND lease_until IS NOT NULL
"""

_NOT_WANTED = "DELETE FROM writeback WHERE lead_id = :lead_id AND version = :version AND state = 'pending'"


def enqueue_writeback(tx: Tx, lead_id: LeadId) -> None:
    """Have the CRM told the lead's present result, whatever it was told before.

    A lease on an older result stays: the new one goes out when the old one has ended.
    """
    tx.add(_ENQUEUE, {"lead_id": lead_id})


def enqueue_leased(tx: Tx, lead_id: LeadId) -> Asked:
    """As `enqueue_writeback`, and lease it at once, which saves a transaction. `leased` reads the row."""
    return tx.ask(_ENQUEUE_LEASED, {"lead_id": lead_id, "lease": _LEASE})


def leased(asked: Asked) -> Lease | None:
    """The lease of `enqueue_leased`; None while an older result is leased. To be read after the commit."""
    assert asked.row is not None
    return Lease(asked.row["version"], asked.row["lease_until"]) if asked.row["tries"] else None


def leased_job(lead: LeadWork, decision: Decision, outcome: Outcome, settled: Settled) -> WritebackJob | None:
    """What `Writebacks.take` would give for an answer that was just settled; None when it was not leased."""
    if settled.lease is None:
        return None
    return WritebackJob(
        lead_id=lead.id,
        lease=settled.lease,
        tries=1,
        age_seconds=0.0,
        source=lead.source,
        item=lead.item,
        body=lead.body,
        content_type=lead.content_type,
        state=settled.state,
        reason=outcome.reason,
        detail=outcome.message,
        record_id=decision.record_id,
        fields=json.loads(fields_as_kept(decision)),
        account=decision.account.key if decision.account else None,
        call_id=outcome.call_id,
        call_status=outcome.call_status,
    )


class Writebacks:
    """Takes and settles write-backs. Every method raises LedgerUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, lead_id: LeadId) -> WritebackJob | None:
        """Lease the lead's write-back; None when there is none, it is not due, or another worker has it."""
        with self._database.write() as tx:
            taken = tx.one(_TAKE, {"lead_id": lead_id, "lease": _LEASE})
            if taken is None:
                return None
            row = tx.one(_FACTS, {"lead_id": lead_id})
        assert row is not None
        return WritebackJob(
            lead_id=lead_id,
            lease=Lease(taken["version"], taken["lease_until"]),
            tries=taken["tries"],
            age_seconds=taken["age"] / 1000,
            source=row["source"],
            item=row["item"],
            body=bytes(row["body"]),
            content_type=row["content_type"],
            state=LeadState(row["state"]),
            reason=known_reason(row["reason"]),
            detail=row["detail"],
            record_id=row["record_id"],
            fields=json.loads(row["fields"] or "{}"),
            account=row["account"],
            call_id=row["call_id"],
            call_status=row["call_status"],
        )

    def release(self, job: WritebackJob) -> None:
        """Give a leased write-back to whoever comes next: its request was not begun."""
        with self._database.write() as tx:
            tx.run(_RELEASE, _names(job))

    def release_unbegun(self, lead_id: LeadId) -> bool:
        """Give back the lease that a result brought along whose commit was in doubt. Whether it still stood.

        For the process that had asked for it with the result, and knows that it has begun nothing.
        """
        with self._database.write() as tx:
            return tx.run(_RELEASE_UNBEGUN, {"lead_id": lead_id}) == 1

    def done(self, job: WritebackJob, http_status: int, detail: str) -> None:
        """The CRM has taken it."""
        self._settle(job, WritebackState.DONE, None, detail, http_status)

    def park(self, job: WritebackJob, reason: Reason, detail: str, http_status: int | None = None) -> None:
        """The CRM will not take it: a person is needed."""
        self._settle(job, WritebackState.PARKED, reason, detail, http_status)

    def _settle(
        self, job: WritebackJob, state: WritebackState, reason: Reason | None, detail: str, status: int | None
    ) -> None:
        values = {**_names(job), "state": state, "reason": reason, "detail": detail, "http_status": status}
        what = f"write-back {state}"
        if not self._settle_in_one({**values, "what": what}):
            with self._database.write() as tx:
                if tx.run(_SETTLE, values) != 1 and tx.run(_RELEASE, _names(job)) != 1:
                    return  # it has been settled, here or by another worker that took it over
                write_history(tx, job.lead_id, what, detail)
                reach("writeback.before_commit")
        reach("writeback.committed")

    def _settle_in_one(self, values: Params) -> bool:
        """Settle it by one statement, where there is such a one and nothing newer waits. Whether that was so."""
        if not self._database.writes_in_one:
            return False
        reach("writeback.before_commit")
        return self._database.write_one(_SETTLE_IN_ONE, values) is not None

    def again(self, job: WritebackJob, wait_seconds: float, detail: str, http_status: int | None = None) -> None:
        """The CRM did not take it this time."""
        values = {**_names(job), "wait": round(wait_seconds * 1000), "detail": detail, "http_status": http_status}
        with self._database.write() as tx:
            if tx.run(_AGAIN, values) != 1:
                tx.run(_RELEASE, _names(job))
            else:
                write_history(tx, job.lead_id, "write-back again", detail)

    def not_wanted(self, job: WritebackJob) -> None:
        """The rules ask for no write-back of this result."""
        with self._database.write() as tx:
            if tx.run(_NOT_WANTED, _names(job)) != 1:
                tx.run(_RELEASE, _names(job))


def _names(job: WritebackJob) -> dict[str, int]:
    return {"lead_id": job.lead_id, "version": job.lease.version, "lease_until": job.lease.until_ms}
