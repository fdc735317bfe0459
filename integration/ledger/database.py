"""One small door to two databases: transactions, named parameters, and errors that tell ours from theirs.

Statements are written once, for SQLite 3.35 and PostgreSQL 13 and newer alike, with `:name` for values and
`{now}` for the database's own clock in milliseconds. A statement that moves many rows picks them by a
subselect ending in `{skip_locked}`, so that it never waits for rows that others hold, nor they in a circle.
One that reads rows in order to change them ends in `{lock}`; SQLite's writers have the whole file to themselves.
Instants are stored as whole milliseconds since 1970 UTC. Nothing outside the ledger imports this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, Protocol
from urllib.parse import unquote

from integration.ledger.syncing import LogSync, NotOnDisk
from integration.ledger.turns import TurnLock

Row = Mapping[str, Any]
Params = Mapping[str, object]
Statement = tuple[str, Params]

PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")

# How long a webhook may wait for the database before the CRM is told to come again.
LOCK_WAIT_SECONDS = 2.0
# How long a look over many rows may take: a person waits for it, no webhook and no call.
SNAPSHOT_SECONDS = 30.0
_DISK_WAIT_SECONDS = 0.5  # for what was committed to reach the disk, even when the wait for a turn took all of the time
_CLOSE_WAIT_SECONDS = 0.3
_LOOK_AT_FILES_SECONDS = 1.0  # at those beside the database


class LedgerUnavailable(Exception):
    """The database cannot be reached, is locked, is full or is not migrated. Nothing was committed, or
    (`CommitInDoubt`) it is not known whether it was: read again before acting.

    `lasts`: it will not come right by itself, as after a wrong password: a person must act.
    """

    def __init__(self, message: str, *, lasts: bool = False) -> None:
        super().__init__(message)
        self.lasts = lasts


class CommitInDoubt(LedgerUnavailable):
    """What was to be committed may stand, and may not: the connection was lost during COMMIT, or the disk did not
    take what a file's log says."""


class ConstraintHeld(Exception):
    """A unique index refused the write. The transaction was rolled back."""


class Unforeseen(Exception):
    """Another statement came than was foreseen. Begin anew, without foresight; nothing was kept."""


class Asked:
    """A row that was asked for. It is there after the next statement, or after the end of the transaction."""

    __slots__ = ("row",)
    row: Row | None


def is_an_id(number: int) -> bool:
    """Whether a row may have this number: a person may type any, and a database takes 64 bits."""
    return 0 < number < 2**63


class Tx(Protocol):
    """One open transaction."""

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row, or None."""

    def all(self, sql: str, params: Params | None = None) -> Sequence[Row]:
        """Every row."""

    def run(self, sql: str, params: Params | None = None) -> int:
        """How many rows a statement without RETURNING touched."""

    def add(self, sql: str, params: Params | None = None) -> None:
        """Run a statement that nobody asks about, before the next one at the latest. A failure is raised there, or
        at the end of the transaction. So a distant database is not waited for once more."""

    def ask(self, sql: str, params: Params | None = None) -> Asked:
        """As `add`, for a statement whose first row is wanted later."""

    def each(self, sql: str, params: Sequence[Params]) -> list[Row | None]:
        """Run one statement many times: the first row of each, or None."""

    def foresee(self, statements: Sequence[Statement]) -> None:
        """Say which statements `one`, `all` and `run` will most likely be given next, so that a distant database is
        waited for once and not for each. When another one is given, or a commit comes before the last, Unforeseen is
        raised. A failure of any of them, ConstraintHeld for one, may be raised here."""


class Database(Protocol):
    """Opens transactions. Safe for use from many threads."""

    dialect: Literal["sqlite", "postgresql"]
    url: str
    writes_in_one: bool  # one statement may write several tables, which saves journeys: PostgreSQL's WITH

    def write(self, *, urgent: bool = False) -> contextlib.AbstractContextManager[Tx]:
        """A transaction that is durable when the block ends, and undone when it raises.

        `urgent`: a webhook or a call waits for it. Where writers queue, it goes before others, though not for ever.
        """

    def write_one(self, sql: str, params: Params, *, urgent: bool = False) -> Row | None:
        """One statement that is a whole transaction: its first row, or None.

        It must do no harm when it comes twice. Where a connection turns out to have been cut, it is sent once more.
        """

    def read(self) -> contextlib.AbstractContextManager[Tx]:
        """A look at committed rows. Of two statements the second may see more."""

    def snapshot(self) -> contextlib.AbstractContextManager[Tx]:
        """A look at many rows, or with several statements, which all see the same instant."""

    def close(self) -> None:
        """Give back what nobody uses, within half a second. Calling it twice is harmless."""


def open_database(
    url: str, *, exclusive: bool = False, pool_size: int = 8, ask_first: bool = False, works_itself: bool = False
) -> Database:
    """Open `sqlite:///path` or `postgresql://...`; also the PaaS's `postgres://` form.

    `exclusive` is for the one process that works an SQLite file: it takes the lock file beside it and
    raises `LedgerInUse` when another process holds that. PostgreSQL needs no such lock.
    With `ask_first` a PostgreSQL that does not answer, or says no, raises LedgerUnavailable here; without,
    the first transaction does. `works_itself` says that this process moves the leads that it writes, so that no
    job need wake anybody unless other workers are there.
    """
    if url.startswith("sqlite:///"):
        return SqliteDatabase(url, exclusive=exclusive)
    from integration.ledger.postgres import PostgresDatabase  # noqa: PLC0415 - a driver of 8 MB, only where used

    return PostgresDatabase(postgres_url(url), pool_size=pool_size, ask_first=ask_first, works_itself=works_itself)


def postgres_url(url: str) -> str:
    """The PaaS's `postgres://` in the form that the driver and the migrations take."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


class LedgerInUse(LedgerUnavailable):
    """Another process works this SQLite file."""


class SqliteDatabase:
    """SQLite with full durability: one writing connection behind one lock, one reading connection.

    SQLite's own busy handler is unfair (15 threads: a worst wait of 434 ms, with one lock 108), and so is a
    plain lock; writers of this process queue here and take turns. `BEGIN IMMEDIATE` always: a transaction that
    starts by reading cannot wait for a lock when it comes to write.
    """

    dialect: Literal["sqlite", "postgresql"] = "sqlite"
    writes_in_one = False

    def __init__(self, url: str, *, exclusive: bool = False) -> None:
        self.url = url
        _demand_sqlite(sqlite_path(url))
        self.path = sqlite_path(url).resolve()  # two names of one file have one lock
        self._writing = TurnLock()
        self._reading = TurnLock()
        with contextlib.ExitStack() as undo:
            self._lock_file = _take_lock_file(self.path) if exclusive else None
            if self._lock_file is not None:
                undo.callback(self._lock_file.close)
            self._writer = self._connect()
            undo.callback(self._writer.close)
            self._reader = self._connect()
            undo.callback(self._reader.close)
            if exclusive:
                self._carry_over()
            self._log = self._open_log()
            undo.pop_all()
        self._patience_seconds = LOCK_WAIT_SECONDS
        self._files = self._in_use()
        self._looked_at = 0.0

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=LOCK_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # `LogSync` does the rest
            connection.execute("PRAGMA foreign_keys = ON")
            # 16 MB. The less often the log is carried over, the more writes of one page become one.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"cannot open the SQLite file {self.path}: {error}") from error
        return connection

    def _carry_over(self) -> None:
        """Bring what an earlier process left in the log into the database, and that to the disk.

        If the disk had refused the log, these pages would be read from memory, and never be written again: all that is
        kept behind them would go with the power.
        """
        with _sqlite_errors():
            is_blocked, pages, carried_over = self._writer.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if is_blocked or pages != carried_over:
            raise LedgerUnavailable(f"another process reads {self.path}; let it end, and start again")

    def _open_log(self) -> LogSync:
        with _sqlite_errors():
            self._writer.execute("SELECT 1 FROM sqlite_schema").fetchone()  # makes the log, where there is none
        log = Path(f"{self.path}-wal")
        try:
            return LogSync(log)
        except OSError as error:
            raise LedgerUnavailable(f"cannot open {log}: {error.strerror}") from error

    @contextlib.contextmanager
    def write(self, *, urgent: bool = False) -> Iterator[Tx]:
        until = time.monotonic() + LOCK_WAIT_SECONDS
        with _turn(self._writing, urgent=urgent), _sqlite_errors():
            self._demand_the_files()
            self._log.demand_trust()
            self._be_patient(until)
            before = self._writer.total_changes
            self._writer.execute("BEGIN IMMEDIATE")
            with _ending(self._writer):
                yield _SqliteTx(self._writer)
            number = self._log.count() if self._writer.total_changes != before else None
        if number is not None:
            self._reach_the_disk(number, max(_DISK_WAIT_SECONDS, until - time.monotonic()))

    def write_one(self, sql: str, params: Params, *, urgent: bool = False) -> Row | None:
        with self.write(urgent=urgent) as tx:
            return tx.one(sql, params)

    def _reach_the_disk(self, number: int, within_seconds: float) -> None:
        try:
            self._log.wait(number, within_seconds)
        except NotOnDisk as error:
            raise CommitInDoubt(str(error), lasts=error.lasts) from None

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        with _turn(self._reading), _sqlite_errors():
            self._demand_the_files()
            yield _SqliteTx(self._reader)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Tx]:
        with _turn(self._reading), _sqlite_errors():
            self._demand_the_files()
            self._reader.execute("BEGIN")
            with _ending(self._reader):
                yield _SqliteTx(self._reader)

    def close(self) -> None:
        connections = ((self._writing, self._writer), (self._reading, self._reader))
        closed = [_close(lock, connection) for lock, connection in connections]
        if all(closed):
            self._log.close()
        if self._lock_file is not None and all(closed):  # else somebody still writes: locked until the process ends
            self._lock_file.close()
            self._lock_file = None

    def _be_patient(self, until: float) -> None:
        """Have SQLite wait for other processes as long as is left after the wait for our own threads."""
        left = until - time.monotonic()
        wanted = LOCK_WAIT_SECONDS if left > 0.95 * LOCK_WAIT_SECONDS else max(left, 0.0)
        if wanted != self._patience_seconds:
            self._writer.execute(f"PRAGMA busy_timeout = {round(wanted * 1000)}")
            self._patience_seconds = wanted

    def _in_use(self) -> list[tuple[str, tuple[int, int]]]:
        """The files by name, the database first, and what tells each from another file of the same name."""
        paths = [str(self.path), f"{self.path}-wal"]
        if self._lock_file is not None:
            paths.append(str(_lock_path(self.path)))
        return [(path, found) for path in paths if (found := _identity(path)) is not None]

    def _demand_the_files(self) -> None:
        """Raises LedgerUnavailable when a file was deleted or replaced while we use it.

        A deleted file can still be written to, and is gone with the process: what the CRM would be told is kept
        would be lost, and without the lock's file a second server may start. Costs 2 microseconds.
        """
        now = time.monotonic()
        is_due = now - self._looked_at >= _LOOK_AT_FILES_SECONDS
        for path, identity in self._files if is_due else self._files[:1]:
            if _identity(path) != identity:
                raise LedgerUnavailable(f"{path} was removed or replaced while in use; restart", lasts=True)
        if is_due:
            self._looked_at = now


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - before each transaction; Path.stat costs twice as much
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _turn(lock: TurnLock, *, urgent: bool = False) -> Iterator[None]:
    if not lock.acquire(timeout=LOCK_WAIT_SECONDS, urgent=urgent):
        raise LedgerUnavailable("the database stayed busy")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _ending(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end of the block; undo everything when it raises."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _close(lock: TurnLock, connection: sqlite3.Connection) -> bool:
    if not lock.acquire(timeout=_CLOSE_WAIT_SECONDS):
        return False
    try:
        connection.close()
    finally:
        lock.release()
    return True


class _SqliteTx:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        rows = self.all(sql, params)  # to the end: a RETURNING statement left half read holds its lock
        return rows[0] if rows else None

    def all(self, sql: str, params: Params | None = None) -> Sequence[Row]:
        return self._connection.execute(_sqlite_sql(sql), params or {}).fetchall()

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._connection.execute(_sqlite_sql(sql), params or {}).rowcount

    def add(self, sql: str, params: Params | None = None) -> None:
        self.run(sql, params)

    def ask(self, sql: str, params: Params | None = None) -> Asked:
        asked = Asked()
        asked.row = self.one(sql, params)
        return asked

    def each(self, sql: str, params: Sequence[Params]) -> list[Row | None]:
        return [self.one(sql, each) for each in params]

    def foresee(self, statements: Sequence[Statement]) -> None:
        """There is no distance here."""


_SQLITE_NOW = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
_sqlite_statements: dict[str, str] = {}


def _sqlite_sql(sql: str) -> str:
    ready = _sqlite_statements.get(sql)
    if ready is None:
        ready = _sqlite_statements[sql] = (
            sql.replace("{now}", _SQLITE_NOW).replace("{skip_locked}", "").replace("{lock}", "")
        )
    return ready


_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


@contextlib.contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except NotOnDisk as error:
        raise LedgerUnavailable(str(error), lasts=error.lasts) from None
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode not in _UNIQUE:  # a fault of ours
            raise
        raise ConstraintHeld(str(error)) from None
    except sqlite3.ProgrammingError as error:
        if "closed database" in str(error):
            raise LedgerUnavailable("the database is closed") from None
        raise
    except sqlite3.Error as error:  # locked, full, read-only, corrupt
        if str(error).startswith(("no such table", "no such column")):
            raise LedgerUnavailable("the database is not migrated; run `ringback release`") from None
        raise LedgerUnavailable(str(error)) from None


def sqlite_path(url: str) -> Path:
    """`sqlite:///ringback.db` is relative to the working directory, `sqlite:////var/x.db` is not."""
    return Path(unquote(url.removeprefix("sqlite:///")))


def _demand_sqlite(path: Path) -> None:
    """Refuse what is no SQLite database, before a file is made beside it. One that is not there yet is fine."""
    problem = _why_not_sqlite(path)
    if problem is not None:
        raise LedgerUnavailable(f"cannot open the SQLite file {path}: {problem}; correct DATABASE_URL", lasts=True)


def _why_not_sqlite(path: Path) -> str | None:
    try:
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        if not path.exists():
            return None
        if not path.is_file():
            return "it is no ordinary file"
        with path.open("rb") as file:
            head = file.read(len(_SQLITE_HEAD))
    except OSError as error:
        return (error.strerror or "it cannot be read").lower()
    except ValueError:  # a zero byte in the path
        return "this is no name of a file"
    return None if head in (b"", _SQLITE_HEAD) else "the file is not a database"


_SQLITE_HEAD = b"SQLite format 3\0"


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _take_lock_file(path: Path) -> IO[str]:
    lock_path = _lock_path(path)
    try:
        handle = os.fdopen(os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise LedgerUnavailable(f"cannot create {lock_path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise LedgerInUse(
            f"another `ringback serve` works {path}; stop it first, or give this one its own DATABASE_URL"
        ) from None
    return handle
