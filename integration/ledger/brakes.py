"""Brakes: a person has ordered to wait, and what waits is let go by a person, who has seen it first.

A brake is read in the transaction that begins a call, so that it holds on every machine at once. Calls that were
begun before it go on. What it withholds waits, and so does a burst, which the intake has held (`intake`): both are let
go in the same way, the freshest first, each at its own time, so that a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from integration.ledger.database import Database, Row, Tx
from integration.ledger.history import write_history
from integration.ledger.steps import SetBack, milliseconds
from integration.model import SCOPE_OF_ALL, Check, LeadId, LeadState, Reason

BURST = "burst:"  # and a source's name: what is no brake, and can be let go as what a brake withholds
AT_ONCE = 200  # leads of one transaction
# A lead that waits for a person looks for itself only in case that nobody woke it when the brake went.
LOOK_AGAIN_SECONDS = 24 * 3600.0

# How many brakes hold a lead, for the statement that begins its call.
COUNT = "(SELECT COUNT(*) FROM brake WHERE scope IN ('*', :brake_source, :brake_account, :brake_rule))"

_READ = """
    SELECT scope, since, who, why FROM brake WHERE scope IN ('*', :brake_source, :brake_account, :brake_rule)
    ORDER BY since, scope
"""

_PULL = """
    INSERT INTO brake (scope, since, who, why) VALUES (:scope, {now}, :who, :why)
    ON CONFLICT (scope) DO UPDATE SET who = excluded.who, why = excluded.why
"""

_RELEASE = "DELETE FROM brake WHERE scope = :scope"
_STANDING = "SELECT scope, since, who, why FROM brake ORDER BY since, scope"
_NOW = "SELECT {now} AS now"

OF_LEAD = "('*', 'source:' || lead.source, 'account:' || lead.account, 'rule:' || lead.rule_name)"

# The state stands twice for the index `lead_moving`, whose words a query must repeat.
_PAUSED = """
    lead.state IN ('received', 'waiting', 'ready', 'claimed', 'dialing') AND lead.state = 'waiting'
    AND lead.reason = 'paused_by_person'
"""
_HELD = "lead.state = 'parked' AND lead.reason = 'burst_held'"

# What a brake withholds and no other brake.
_BY_BRAKE = f"""
    {_PAUSED} AND :scope IN {OF_LEAD}
    AND NOT EXISTS (SELECT 1 FROM brake WHERE brake.scope <> :scope AND brake.scope IN {OF_LEAD})
"""
_BY_BURST = f"{_HELD} AND lead.source = :source"

_HOW_MANY = "SELECT COUNT(*) AS count, MIN(lead.received_at) AS oldest FROM lead WHERE {which}"
_FRESHEST = "SELECT lead.id FROM lead WHERE {which} ORDER BY lead.received_at DESC, lead.id DESC"

_LET_GO = """
    UPDATE lead SET state = 'waiting', epoch = epoch + 1, reason = 'let_go', detail = :detail, updated_at = {now},
           due_at = :due_at, give_up_at = NULL, worker_id = NULL, lease_until = NULL
    WHERE id = :id AND state = :state AND reason = :reason
    RETURNING id
"""

_BURSTS = f"SELECT lead.source, COUNT(*) AS count, MIN(lead.received_at) AS oldest FROM lead WHERE {_HELD} GROUP BY 1"


@dataclass(frozen=True, slots=True)
class Brake:
    """One order to wait."""

    scope: str  # `*`, `source:x`, `account:x` or `rule:name`
    since: datetime
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """What a brake withholds, or what was held of a burst."""

    scope: str
    count: int
    oldest: datetime | None  # when it was received
    freshest: tuple[LeadId, ...]  # the first of them, in the order in which they would go


# ---- in the transaction that begins a call --------------------------------------------------------


def scopes_of(source: str, account: str, rule_name: str | None) -> dict[str, str]:
    """The scopes of a lead's call, as `COUNT` names them."""
    return {
        "brake_source": f"source:{source}",
        "brake_account": f"account:{account}",
        "brake_rule": f"rule:{rule_name or ''}",
    }


def braked(tx: Tx, count: int, scopes: Mapping[str, str], asked: list[Check]) -> tuple[SetBack, str] | None:
    """Why a person wants this call to wait, or None; `asked` gets the check."""
    found = tx.all(_READ, scopes) if count else []
    if not found:
        asked.append(Check("pause", "ok"))
        return None
    brake = _brake(found[0])
    asked.append(Check("pause", "wait", {"scope": named(brake.scope), "since": f"{brake.since:%Y-%m-%dT%H:%M:%SZ}"}))
    after = SetBack(LeadState.WAITING, Reason.PAUSED_BY_PERSON, wait_seconds=LOOK_AGAIN_SECONDS, by_house=True)
    return after, f"{named(brake.scope)} is paused by {brake.who} since {brake.since:%Y-%m-%d %H:%M} UTC: {brake.why}"


def named(scope: str) -> str:
    """A scope for people: `everything`, `source our-crm`."""
    return "everything" if scope == SCOPE_OF_ALL else scope.replace(":", " ", 1)


def _brake(row: Row) -> Brake:
    return Brake(row["scope"], _at(row["since"]), row["who"], row["why"])


def _at(milliseconds_: int) -> datetime:
    return datetime.fromtimestamp(milliseconds_ / 1000, UTC)


# ---- for people -----------------------------------------------------------------------------------


class Brakes:
    """Orders to wait and to go on. Every method raises LedgerUnavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pull(self, scope: str, *, who: str, why: str) -> None:
        """From now on no call of this scope begins. A second order keeps the instant of the first."""
        with self._database.write() as tx:
            tx.run(_PULL, {"scope": scope, "who": who, "why": why})

    def standing(self) -> list[Brake]:
        """Every brake, the oldest first."""
        with self._database.read() as tx:
            return [_brake(row) for row in tx.all(_STANDING)]

    def bursts(self) -> list[Withheld]:
        """What is held of bursts, by source. Of the leads themselves nothing."""
        with self._database.snapshot() as tx:
            rows = tx.all(_BURSTS)
        return [Withheld(f"{BURST}{row['source']}", row["count"], _at(row["oldest"]), ()) for row in rows]

    def withheld(self, scope: str, most: int = 20) -> Withheld:
        """What would go if this scope were let go."""
        which, values = _which(scope)
        with self._database.snapshot() as tx:
            found = tx.one(_HOW_MANY.format(which=which), values)
            rows = tx.all(f"{_FRESHEST.format(which=which)} LIMIT :most", {**values, "most": most})
        assert found is not None
        oldest = None if found["oldest"] is None else _at(found["oldest"])
        return Withheld(scope, found["count"], oldest, tuple(LeadId(row["id"]) for row in rows))

    def let_go(self, scope: str, *, per_minute: int, who: str) -> Iterator[int]:
        """Give each lead that is withheld its time, the freshest first, and then end the brake.

        Yields how many there were, step by step; the work is done while it is asked for. The brake goes last and with
        the freshest, so that nobody is due while it holds: those would be put off again, and go all at once when it
        has gone. After a crash in the middle it still holds, and the order can be given again.
        """
        which, values = _which(scope)
        with self._database.snapshot() as tx:
            now = tx.one(_NOW)
            ids = [LeadId(row["id"]) for row in tx.all(_FRESHEST.format(which=which), values)]
        assert now is not None
        detail = f"{named(scope)} was let go by {who}, {per_minute} a minute"
        gone = 0
        for first in reversed(range(0, max(1, len(ids)), AT_ONCE)):
            dues = [
                (lead_id, now["now"] + round((first + n) * milliseconds(60.0) / per_minute))
                for n, lead_id in enumerate(ids[first : first + AT_ONCE])
            ]
            with self._database.write() as tx:
                gone += _let_go(tx, dues, detail, is_burst=scope.startswith(BURST))
                if first == 0:
                    tx.run(_RELEASE, {"scope": scope})
            yield gone


def _let_go(tx: Tx, dues: Sequence[tuple[LeadId, int]], detail: str, *, is_burst: bool) -> int:
    """Give these leads their times. How many still waited."""
    state, reason = (LeadState.PARKED, Reason.BURST_HELD) if is_burst else (LeadState.WAITING, Reason.PAUSED_BY_PERSON)
    was = {"state": state, "reason": reason, "detail": detail}
    # In the order of their numbers, as everybody takes several leads.
    moved = tx.each(_LET_GO, [{"id": lead_id, "due_at": due_at, **was} for lead_id, due_at in sorted(dues)])
    found = [row["id"] for row in moved if row is not None]
    for lead_id in found:
        write_history(tx, lead_id, LeadState.WAITING, f"{Reason.LET_GO}: {detail}")
    return len(found)


def _which(scope: str) -> tuple[str, dict[str, object]]:
    if scope.startswith(BURST):
        return _BY_BURST, {"source": scope.removeprefix(BURST)}
    return _BY_BRAKE, {"scope": scope}
