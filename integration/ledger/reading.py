"""Looks into the ledger for people and doors. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integration.ledger.database import Database, Row, is_an_id
from integration.ledger.history import read_evidence
from integration.model import AttemptState, HistoryEntry, LeadId, LeadState, WritebackState


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A lead as lists show it. Numbers are whole: who prints one masks it."""

    id: LeadId
    source: str
    state: LeadState
    reason: str | None
    detail: str
    received_at: datetime
    updated_at: datetime
    due_at: datetime | None
    record_id: str | None
    to_number: str | None
    account: str | None
    rule_name: str | None
    rule_line: int | None
    rules_digest: str | None
    attempts: int
    call_id: str | None
    call_status: str | None
    writeback_state: WritebackState | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One authorised request and what came of it."""

    n: int
    state: AttemptState
    account: str
    account_id: str
    to_number: str
    caller_id: str | None
    intent_at: datetime
    settled_at: datetime | None
    call_id: str | None
    http_status: int | None
    reason: str | None
    message: str


@dataclass(frozen=True, slots=True)
class WritebackRow:
    """How far the telling of the CRM is."""

    state: WritebackState
    reason: str | None
    detail: str
    tries: int
    due_at: datetime | None
    settled_at: datetime | None
    http_status: int | None


@dataclass(frozen=True, slots=True)
class LeadStory:
    """Everything the ledger knows of one lead."""

    lead: LeadRow
    fields: Mapping[str, Any]
    body: bytes
    content_type: str | None
    attempts: tuple[AttemptRow, ...]
    writeback: WritebackRow | None
    history: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class PauseRow:
    """Why an account, or all dialling, stands still."""

    scope: str  # an account's key, or * for all dialling
    reason: str
    message: str
    since: datetime
    probe_at: datetime


PAGE = 1000  # leads that are read at once

_LEAD_COLUMNS = """lead.id, lead.source, lead.state, lead.reason, lead.detail, lead.received_at, lead.updated_at,
    lead.due_at, lead.record_id, lead.to_number, lead.account, lead.rule_name, lead.rule_line, lead.rules_digest,
    lead.attempts, lead.call_id, lead.call_status, writeback.state AS writeback_state"""

_ONE = f"SELECT {_LEAD_COLUMNS} FROM lead LEFT JOIN writeback ON writeback.lead_id = lead.id WHERE lead.id = :id"

_STORY = f"""
    SELECT {_LEAD_COLUMNS}, lead.fields, delivery.body, delivery.content_type
    FROM lead JOIN delivery ON delivery.id = lead.delivery_id
         LEFT JOIN writeback ON writeback.lead_id = lead.id
    WHERE lead.id = :id
"""

_ATTEMPTS = """
    SELECT n, state, account, account_id, to_number, caller_id, intent_at, settled_at, call_id, http_status, reason,
           message
    FROM attempt WHERE lead_id = :id ORDER BY n
"""
_WRITEBACK = """
    SELECT state, reason, detail, tries, due_at, settled_at, http_status FROM writeback WHERE lead_id = :id
"""
_STORED_HISTORY = "SELECT at, what, detail, evidence FROM history WHERE lead_id = :id ORDER BY id"
_COUNTS = "SELECT state, COUNT(*) AS n FROM lead GROUP BY state"
_PAUSES = "SELECT scope, reason, message, since, probe_at FROM pause ORDER BY scope"

# What must never be found; `ringback doctor` looks. The names are for people.
INVARIANTS: Mapping[str, str] = {
    "leads with two live attempts": """
        SELECT lead_id AS id FROM attempt WHERE state IN ('intent', 'placed', 'unknown')
        GROUP BY lead_id HAVING COUNT(*) > 1""",
    "leads dialing for more than 5 minutes after their lease": """
        SELECT id FROM lead WHERE state = 'dialing' AND lease_until < {now} - 300000""",
    "called leads without a placed attempt": """
        SELECT id FROM lead WHERE state = 'called' AND NOT EXISTS
        (SELECT 1 FROM attempt WHERE attempt.lead_id = lead.id AND attempt.state = 'placed')""",
    "second attempts whose predecessor was not proved unplaced": """
        SELECT later.lead_id AS id FROM attempt later WHERE later.n > 1 AND NOT EXISTS
        (SELECT 1 FROM attempt earlier WHERE earlier.lead_id = later.lead_id AND earlier.n = later.n - 1
         AND earlier.state IN ('not_placed', 'released'))""",
    "leads that nobody moved for 15 minutes": """
        SELECT id FROM lead WHERE state IN ('received', 'ready', 'claimed') AND updated_at < {now} - 900000""",
}


class Reading:
    """Looks. Every method raises LedgerUnavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def leads(
        self,
        *,
        states: Sequence[LeadState] = (),
        told: Sequence[WritebackState] = (),
        since: datetime | None = None,
        most: int = 50,
    ) -> Iterator[LeadRow]:
        """The newest leads first, read page by page while they are asked for.

        Each page is a look of its own: a long list holds neither memory nor a snapshot, which would keep SQLite from
        clearing its log and PostgreSQL from tidying up. A lead never changes its place, so none is missed or twice.
        """
        wheres, values = ["lead.id < :before"], dict[str, object](before=2**63 - 1)
        if states:
            names = ", ".join(f"'{LeadState(state)}'" for state in states)
            wheres.append(f"lead.state IN ({names})")
        if told:
            names = ", ".join(f"'{WritebackState(state)}'" for state in told)
            wheres.append(f"writeback.state IN ({names})")
        if since is not None:
            wheres.append("lead.received_at >= :since")
            values["since"] = int(since.timestamp() * 1000)
        sql = f"""
            SELECT {_LEAD_COLUMNS} FROM lead LEFT JOIN writeback ON writeback.lead_id = lead.id
            WHERE {" AND ".join(wheres)} ORDER BY lead.id DESC LIMIT :page
        """
        left = most
        while left > 0:
            page = min(left, PAGE)
            with self._database.snapshot() as tx:
                rows = tx.all(sql, {**values, "page": page})
            yield from map(_lead, rows)
            if len(rows) < page:
                return
            left -= page
            values["before"] = rows[-1]["id"]

    def some(self, ids: Sequence[LeadId]) -> list[LeadRow]:
        """These leads, in this order; one that is not there is left out."""
        with self._database.snapshot() as tx:
            rows = [tx.one(_ONE, {"id": lead_id}) for lead_id in ids]
        return [_lead(row) for row in rows if row is not None]

    def story(self, lead_id: LeadId) -> LeadStory | None:
        """One lead with all that happened to it, or None."""
        if not is_an_id(lead_id):
            return None
        with self._database.snapshot() as tx:
            row = tx.one(_STORY, {"id": lead_id})
            if row is None:
                return None
            attempts = tx.all(_ATTEMPTS, {"id": lead_id})
            writeback = tx.one(_WRITEBACK, {"id": lead_id})
            history = tx.all(_STORED_HISTORY, {"id": lead_id})
        received = HistoryEntry(_at(row["received_at"]), "received", f"from {row['source']}, stored and answered")
        return LeadStory(
            lead=_lead(row),
            fields=json.loads(row["fields"] or "{}"),
            body=bytes(row["body"]),
            content_type=row["content_type"],
            attempts=tuple(_attempt(one) for one in attempts),
            writeback=None if writeback is None else _writeback(writeback),
            history=(received, *map(_entry, history)),
        )

    def counts(self) -> dict[LeadState, int]:
        """How many leads stand in each state; a state with none is left out."""
        with self._database.snapshot() as tx:
            return {LeadState(row["state"]): row["n"] for row in tx.all(_COUNTS)}

    def pauses(self) -> list[PauseRow]:
        """What stands still, and why."""
        with self._database.read() as tx:
            rows = tx.all(_PAUSES)
        return [
            PauseRow(row["scope"], row["reason"], row["message"], _at(row["since"]), _at(row["probe_at"]))
            for row in rows
        ]

    def broken_invariants(self) -> dict[str, list[int]]:
        """Facts that contradict our promises: what, and which leads. Empty when all is well."""
        with self._database.snapshot() as tx:
            found = {name: [int(row["id"]) for row in tx.all(sql)] for name, sql in INVARIANTS.items()}
        return {name: ids for name, ids in found.items() if ids}

    def ping(self) -> None:
        """Ask for one row. Raises LedgerUnavailable."""
        with self._database.read() as tx:
            tx.one("SELECT 1 AS one")


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _at_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _at(milliseconds)


def _lead(row: Row) -> LeadRow:
    state = row["writeback_state"]
    return LeadRow(
        id=LeadId(row["id"]),
        source=row["source"],
        state=LeadState(row["state"]),
        reason=row["reason"],
        detail=row["detail"],
        received_at=_at(row["received_at"]),
        updated_at=_at(row["updated_at"]),
        due_at=_at_or_none(row["due_at"]),
        record_id=row["record_id"],
        to_number=row["to_number"],
        account=row["account"],
        rule_name=row["rule_name"],
        rule_line=row["rule_line"],
        rules_digest=row["rules_digest"],
        attempts=row["attempts"],
        call_id=row["call_id"],
        call_status=row["call_status"],
        writeback_state=None if state is None else WritebackState(state),
    )


def _entry(row: Row) -> HistoryEntry:
    return HistoryEntry(_at(row["at"]), row["what"], row["detail"], read_evidence(row["evidence"]))


def _attempt(row: Row) -> AttemptRow:
    return AttemptRow(
        n=row["n"],
        state=AttemptState(row["state"]),
        account=row["account"],
        account_id=row["account_id"],
        to_number=row["to_number"],
        caller_id=row["caller_id"],
        intent_at=_at(row["intent_at"]),
        settled_at=_at_or_none(row["settled_at"]),
        call_id=row["call_id"],
        http_status=row["http_status"],
        reason=row["reason"],
        message=row["message"],
    )


def _writeback(row: Row) -> WritebackRow:
    return WritebackRow(
        state=WritebackState(row["state"]),
        reason=row["reason"],
        detail=row["detail"],
        tries=row["tries"],
        due_at=_at_or_none(row["due_at"]),
        settled_at=_at_or_none(row["settled_at"]),
        http_status=row["http_status"],
    )
