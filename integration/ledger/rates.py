"""How many calls: never more than the rules allow in any minute, hour or day, whichever process places them.

Each intent is noted under every scope that has limits: everything, its account, its source. Who counts a scope holds
its row in `limit_scope` until its own intent is committed, so that of two calls the second sees the first. An attempt
that was surely not placed is taken out again; one that is unclear counts.

A lead that finds no room waits, and is let in when there is room: the freshest first, and no more of them than fit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from integration.ledger.database import Database, Row, Statement, Tx
from integration.ledger.steps import SetBack, milliseconds
from integration.model import SCOPE_OF_ALL, Check, LeadState, Limit, Limits, Reason

Scopes = Sequence[tuple[str, tuple[Limit, ...]]]

DAY_MS = milliseconds(86_400.0)
# Who lets leads in looks each second. Should nobody do so, as in the release before, they look for themselves.
LOOK_AGAIN_SECONDS = 30 * 60.0
MOST_AT_ONCE = 500  # leads that are let in by one look

# Of everybody who lets leads in one at a time does: a scope of its own, which no call counts in.
_DOORKEEPER = "doorkeeper"

_IS_ONE = "scope IN (:scope_0, :scope_1, :scope_2)"
# All of them or none: who has one and makes another could wait for somebody who waits for it.
_LOCK = f"""
    SELECT scope FROM limit_scope WHERE {_IS_ONE} AND (SELECT COUNT(*) FROM limit_scope WHERE {_IS_ONE}) = :count
    ORDER BY scope {{lock}}
"""
# Keeps a scope that is there already as `_LOCK` does.
_MAKE = "INSERT INTO limit_scope (scope) VALUES (:scope) ON CONFLICT (scope) DO UPDATE SET scope = excluded.scope"
_LATEST = "SELECT at FROM limit_use WHERE scope = :scope ORDER BY at DESC LIMIT 1 OFFSET :others"
_NOTE = "INSERT INTO limit_use (scope, at, attempt_id) VALUES (:scope, :at, :attempt_id)"
_FORGET_OLD = "DELETE FROM limit_use WHERE scope = :scope AND at <= :old"
_TAKE_OUT = """
    DELETE FROM limit_use WHERE scope IN ('*', :account, :source) AND at = :at AND attempt_id = :attempt_id
"""

_WAITING = "state IN ('received', 'waiting', 'ready', 'claimed', 'dialing') AND state = 'waiting'"  # for the index

_SOMEBODY_WAITS = f"SELECT id FROM lead WHERE {_WAITING} AND reason = 'limit_reached' AND due_at > {{now}} LIMIT 1"

_QUEUES = f"""
    SELECT source, account, SUM(CASE WHEN due_at > {{now}} THEN 1 ELSE 0 END) AS waiting,
           SUM(CASE WHEN due_at > {{now}} THEN 0 ELSE 1 END) AS let_in
    FROM lead WHERE {_WAITING} AND reason = 'limit_reached' GROUP BY source, account
"""

_FRESHEST = f"""
    SELECT id, received_at FROM lead
    WHERE {_WAITING} AND reason = 'limit_reached' AND due_at > {{now}} AND source = :source AND account = :account
    ORDER BY received_at DESC, id DESC LIMIT :most
"""

_HOW_MANY = f"""
    SELECT COUNT(*) AS count, MIN(received_at) AS oldest FROM lead WHERE {_WAITING} AND reason = 'limit_reached'
"""

_LET_IN = f"UPDATE lead SET due_at = {{now}} WHERE id = :id AND {_WAITING} AND reason = 'limit_reached' RETURNING id"


@dataclass(frozen=True, slots=True)
class _Use:
    """How much of one limit is used up."""

    scope: str
    limit: Limit
    used: int

    @property
    def room(self) -> int:
        return self.limit.most - self.used


# ---- in the transaction that begins a call --------------------------------------------------------


def full(tx: Tx, scopes: Scopes, asked: list[Check]) -> tuple[SetBack, str] | None:
    """Why there is no room for one more call, or None; `asked` gets the check. Keeps the scopes to this
    transaction, so that the room that was found is there until its end."""
    if not scopes:
        asked.append(Check("limits", "not asked"))
        return None
    _keep(tx, [scope for scope, _ in scopes])
    uses, now = _count(tx, scopes)
    reached = [use for use in uses if use.room <= 0]
    asked.append(Check("limits", "wait" if reached else "ok", _seen(uses)))
    if not reached:
        return None
    room_at, worst = max(((_room_at(tx, use, now), use) for use in reached), key=lambda found: found[0])
    wait_seconds = max(0, room_at - now) / 1000 + LOOK_AGAIN_SECONDS
    again = f"{datetime.fromtimestamp(room_at / 1000, UTC):%H:%M:%S} UTC"
    after = SetBack(LeadState.WAITING, Reason.LIMIT_REACHED, wait_seconds=wait_seconds, by_house=True)
    limit = f"`limits:` allows {worst.limit} of {_named(worst.scope)}"
    return after, f"{limit}; there is room again from {again} on"


def asking_for_room(scopes: Scopes) -> Sequence[Statement]:
    """What `full` asks where there is room, and no scope has its first call ever."""
    return [_locking([scope for scope, _ in scopes]), _counting(scopes)] if scopes else []


def note(tx: Tx, scopes: Scopes, at: int, attempt_id: int) -> None:
    """One more call: this intent counts from now on."""
    for scope, _ in scopes:
        tx.add(_NOTE, {"scope": scope, "at": at, "attempt_id": attempt_id})
        tx.add(_FORGET_OLD, {"scope": scope, "old": at - DAY_MS})


def take_out(tx: Tx, source: str, account: str, at: int, attempt_id: int) -> None:
    """The call was surely not placed: it counts no longer."""
    scopes = {"source": f"source:{source}", "account": f"account:{account}"}
    tx.add(_TAKE_OUT, {**scopes, "at": at, "attempt_id": attempt_id})


def _keep(tx: Tx, scopes: Sequence[str]) -> None:
    if not tx.all(*_locking(scopes)):  # the first call ever of one of them
        for scope in sorted(scopes):
            tx.add(_MAKE, {"scope": scope})


def _locking(scopes: Sequence[str]) -> Statement:
    padded = [*scopes, "", ""][:3]
    names = {f"scope_{n}": scope for n, scope in enumerate(padded)}
    return _LOCK, {**names, "count": len(scopes)}


@functools.cache
def _counts(limits: int) -> str:
    counts = (
        f"(SELECT COUNT(*) FROM limit_use WHERE scope = :scope_{n} AND at > {{now}} - :window_{n}) AS used_{n}"
        for n in range(limits)
    )
    return f"SELECT {{now}} AS now, {', '.join(counts)}"


def _count(tx: Tx, scopes: Scopes) -> tuple[list[_Use], int]:
    row = tx.one(*_counting(scopes))
    assert row is not None
    return [_Use(scope, limit, row[f"used_{n}"]) for n, (scope, limit) in enumerate(_each(scopes))], row["now"]


def _counting(scopes: Scopes) -> Statement:
    values: dict[str, object] = {}
    for n, (scope, limit) in enumerate(_each(scopes)):
        values |= {f"scope_{n}": scope, f"window_{n}": milliseconds(limit.seconds)}
    return _counts(len(values) // 2), values


def _each(scopes: Scopes) -> Iterator[tuple[str, Limit]]:
    return ((scope, limit) for scope, limits in scopes for limit in limits)


def _room_at(tx: Tx, use: _Use, now: int) -> int:
    """When so many calls of a full scope are old enough that one more fits. Another call of them may just have been
    taken out: whoever settles one does not wait for the scope."""
    row = tx.one(_LATEST, {"scope": use.scope, "others": use.limit.most - 1})
    return now if row is None else int(row["at"]) + milliseconds(use.limit.seconds)


def _seen(uses: Iterable[_Use]) -> dict[str, str]:
    return {f"{_named(use.scope)}, {use.limit.word}": f"{use.used} of {use.limit}" for use in uses}


def _named(scope: str) -> str:
    return "everything" if scope == SCOPE_OF_ALL else scope.replace(":", " ", 1)


# ---- letting in those that wait -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queue:
    """The leads that wait for room."""

    count: int
    oldest: datetime  # when it was received


class Rates:
    """Lets waiting leads in. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> Queue | None:
        """Who waits for room; None when nobody does."""
        with self._database.read() as tx:
            row = tx.one(_HOW_MANY)
        if row is None or row["oldest"] is None:
            return None
        return Queue(row["count"], datetime.fromtimestamp(row["oldest"] / 1000, UTC))

    def let_in(self, limits: Limits) -> int:
        """Make due as many of those that wait for room as there is room for, the freshest first. How many are left."""
        with self._database.read() as tx:
            if tx.one(_SOMEBODY_WAITS) is None:
                return 0
        with self._database.write() as tx:
            _keep(tx, [_DOORKEEPER])
            queues = [queue for queue in tx.all(_QUEUES) if queue["account"] is not None]
            room = _Room(tx, limits, queues)
            found = [
                (row["received_at"], row["id"], queue)
                for queue in queues
                if queue["waiting"]
                for row in tx.all(_FRESHEST, {**_of(queue), "most": room.of(queue)})
            ]
            chosen = []
            for _, lead_id, queue in sorted(found, key=lambda one: one[:2], reverse=True):
                if room.take(queue):
                    chosen.append({"id": lead_id})
            gone = sum(row is not None for row in tx.each(_LET_IN, chosen[:MOST_AT_ONCE]))
            return sum(int(queue["waiting"]) for queue in queues) - gone


class _Room:
    """How many more calls fit at this moment, in each scope. Those let in before have their place already."""

    def __init__(self, tx: Tx, limits: Limits, queues: Sequence[Row]) -> None:
        self._limits = limits
        self._left: dict[str, int] = {}
        for queue in queues:
            for scope, of_scope in self._scopes(queue):
                if scope not in self._left:
                    uses, _ = _count(tx, [(scope, of_scope)])
                    self._left[scope] = min(use.room for use in uses)
        for queue in queues:
            for scope, _ in self._scopes(queue):
                self._left[scope] -= queue["let_in"]

    def _scopes(self, queue: Row) -> Scopes:
        return self._limits.of(queue["source"], queue["account"])

    def of(self, queue: Row) -> int:
        return max(0, min((self._left[scope] for scope, _ in self._scopes(queue)), default=MOST_AT_ONCE))

    def take(self, queue: Row) -> bool:
        if self.of(queue) <= 0:
            return False
        for scope, _ in self._scopes(queue):
            self._left[scope] -= 1
        return True


def _of(queue: Row) -> dict[str, object]:
    return {"source": queue["source"], "account": queue["account"]}
