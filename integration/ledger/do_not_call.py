"""The do-not-call list: whom nobody may ring, whatever the rules say. Asked in the transaction right before a call.

It holds no number, only the HMAC-SHA256 of each under a key that the database does not have: who steals the database
cannot try out all numbers. The key's own mark stands beside the list while there is something in it. A process with
another key, or none, cannot read the list, so it rings nobody.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from integration.ledger.database import Database, Row, Tx
from integration.ledger.steps import SetBack
from integration.model import Check, LeadState, Reason

AT_ONCE = 1000  # numbers of one transaction
LOOK_AGAIN_SECONDS = 3600.0  # while the list cannot be read; a restart, which a new key needs, wakes the leads
_MARK = b"Ringback do-not-call list"  # which is no number

# What `listed` needs of the statement that begins a call.
ASKED = """(SELECT key_check FROM do_not_call_key) AS list_key,
           (SELECT added_at FROM do_not_call WHERE number = :hidden) AS listed_at"""

# Also locks the row, so that the list is not emptied meanwhile and begun anew with another key.
_TAKE_KEY = """
    INSERT INTO do_not_call_key (id, key_check) VALUES (1, :key_check) ON CONFLICT (id) DO UPDATE SET id = 1
    RETURNING key_check
"""

_LOCK_KEY = "SELECT key_check FROM do_not_call_key WHERE id = 1 {lock}"

_ADD = """
    INSERT INTO do_not_call (number, added_at, source, note) VALUES (:number, {now}, :source, :note)
    ON CONFLICT (number) DO NOTHING RETURNING added_at
"""

_REMOVE = "DELETE FROM do_not_call WHERE number = :number"
_EMPTY = "DELETE FROM do_not_call"
_FORGET_KEY = "DELETE FROM do_not_call_key WHERE NOT EXISTS (SELECT 1 FROM do_not_call)"
_FIND = "SELECT added_at, source, note FROM do_not_call WHERE number = :number"
_LOOK = "SELECT key_check FROM do_not_call_key WHERE id = 1"
_COUNT = "SELECT COUNT(*) AS numbers FROM do_not_call"

NO_KEY = (
    "RINGBACK_DNC_KEY is not set, and without it the do-not-call list can neither be written nor read; set it to the "
    "same long random text everywhere"
)
OTHER_KEY = "the do-not-call list was made with another RINGBACK_DNC_KEY; set the key with which it was made"


class ListUnreadable(Exception):
    """The list cannot be used with this process's key. The message is for people."""


class NumberKey:
    """Hides numbers. The secret leaves it in no form that could be read."""

    __slots__ = ("_secret", "mark")

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.mark = self._digest(_MARK)

    def hide(self, number: str) -> bytes:
        """What stands for this E.164 number in the list."""
        return self._digest(number.encode())

    def _digest(self, message: bytes) -> bytes:
        return hmac.digest(self._secret, message, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Listing:
    """One number of the list."""

    added_at: datetime
    source: str  # who put it there: a person, a file, a source of the rules
    note: str


def add_numbers(tx: Tx, key: NumberKey | None, numbers: Sequence[str], source: str, note: str = "") -> int:
    """Put numbers on the list. How many of them are new. Raises ListUnreadable."""
    if key is None:
        raise ListUnreadable(NO_KEY)
    row = tx.one(_TAKE_KEY, {"key_check": key.mark})
    assert row is not None
    if bytes(row["key_check"]) != key.mark:
        raise ListUnreadable(OTHER_KEY)
    said = {"source": source, "note": note}
    hidden = sorted({key.hide(number) for number in numbers})
    return sum(one is not None for one in tx.each(_ADD, [{"number": number, **said} for number in hidden]))


def listed(row: Row, key: NumberKey | None, asked: list[Check]) -> tuple[SetBack, str] | None:
    """Why the list forbids this call, or None; `asked` gets the check. `row` has what `ASKED` asked for."""
    if row["list_key"] is None:
        asked.append(Check("do_not_call", "ok", {"list": "empty"}))
        return None
    if key is None or bytes(row["list_key"]) != key.mark:
        asked.append(Check("do_not_call", "wait", {"list": "cannot be read"}))
        after = SetBack(LeadState.WAITING, Reason.LIST_UNREADABLE, wait_seconds=LOOK_AGAIN_SECONDS, by_house=True)
        return after, NO_KEY if key is None else OTHER_KEY
    if row["listed_at"] is None:
        asked.append(Check("do_not_call", "ok", {"listed": False}))
        return None
    since = datetime.fromtimestamp(row["listed_at"] / 1000, UTC)
    asked.append(Check("do_not_call", "refused", {"listed": True, "since": since.isoformat(timespec="seconds")}))
    detail = f"the number is on the do-not-call list since {since:%Y-%m-%d %H:%M} UTC"
    return SetBack(LeadState.BLOCKED, Reason.DO_NOT_CALL), detail


class DoNotCall:
    """The list for people. Every method raises LedgerUnavailable, and those that need the key ListUnreadable."""

    def __init__(self, database: Database, key: NumberKey | None) -> None:
        self._database = database
        self._key = key

    def add(self, numbers: Sequence[str], *, source: str, note: str = "") -> int:
        """Put numbers on the list, at most AT_ONCE. How many of them are new; the others stay as they are."""
        with self._database.write() as tx:
            return add_numbers(tx, self._key, numbers, source, note)

    def remove(self, number: str) -> bool:
        """Take a number off the list. Whether it was there."""
        with self._database.write() as tx:
            key = self._usable(tx.one(_LOCK_KEY))
            was_there = tx.run(_REMOVE, {"number": key.hide(number)}) == 1
            tx.run(_FORGET_KEY)
        return was_there

    def empty(self) -> int:
        """Take every number off the list; the next one may come with another key. How many there were."""
        with self._database.write() as tx:
            tx.one(_LOCK_KEY)
            count = tx.run(_EMPTY)
            tx.run(_FORGET_KEY)
        return count

    def find(self, number: str) -> Listing | None:
        """Since when a number is on the list, and who put it there."""
        with self._database.read() as tx:
            key = self._usable(tx.one(_LOOK))
            row = tx.one(_FIND, {"number": key.hide(number)})
        if row is None:
            return None
        return Listing(datetime.fromtimestamp(row["added_at"] / 1000, UTC), row["source"], row["note"])

    def count(self) -> int:
        """How many numbers the list holds."""
        with self._database.read() as tx:
            row = tx.one(_COUNT)
        assert row is not None
        return int(row["numbers"])

    def demand_key(self) -> None:
        """Raises ListUnreadable when this process cannot use the list, also an empty one."""
        with self._database.read() as tx:
            self._usable(tx.one(_LOOK))

    def why_unreadable(self) -> str | None:
        """Why this process cannot read the list and so rings nobody, in words; None when it can, or it is empty."""
        with self._database.read() as tx:
            row = tx.one(_LOOK)
        try:
            if row is not None:
                self._usable(row)
        except ListUnreadable as error:
            return str(error)
        return None

    def _usable(self, row: Row | None) -> NumberKey:
        if self._key is None:
            raise ListUnreadable(NO_KEY)
        if row is not None and bytes(row["key_check"]) != self._key.mark:
            raise ListUnreadable(OTHER_KEY)
        return self._key
