"""One small door to two databases: transactions, named parameters, and errors that tell ours from theirs.

Statements are written once, for SQLite 3.35 and PostgreSQL 13 and newer alike, with `:name` for values and
`{now}` for the database's own clock in milliseconds. A statement that moves many rows picks them by a
subselect ending in `{skip_locked}`, so that it never waits for rows that others hold, nor they in a circle.
Instants are stored as whole milliseconds since 1970 UTC. Nothing outside the ledger imports this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, Protocol
from urllib.parse import unquote

Row = Mapping[str, Any]
Params = Mapping[str, object]

_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")

# How long a webhook may wait for the database before the CRM is told to come again.
LOCK_WAIT_SECONDS = 2.0


class LedgerUnavailable(Exception):
    """The database cannot be reached, is locked, is full or is not migrated. Nothing was committed,
    or (on a lost connection during COMMIT) it is not known whether it was: read again before acting."""


class ConstraintHeld(Exception):
    """A unique index refused the write. The transaction was rolled back."""


def is_an_id(number: int) -> bool:
    """Whether a row may have this number: a person may type any, and a database takes 64 bits."""
    return 0 < number < 2**63


class Tx(Protocol):
    """One open transaction."""

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row, or None."""

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        """Every row."""

    def run(self, sql: str, params: Params | None = None) -> int:
        """How many rows a statement without RETURNING touched."""


class Database(Protocol):
    """Opens transactions. Safe for use from many threads."""

    dialect: Literal["sqlite", "postgresql"]
    url: str

    def write(self) -> contextlib.AbstractContextManager[Tx]:
        """A transaction that is durable when the block ends, and undone when it raises."""

    def read(self) -> contextlib.AbstractContextManager[Tx]:
        """A look at committed rows."""

    def close(self) -> None:
        """Give everything back. Calling it twice is harmless."""


def open_database(url: str, *, exclusive: bool = False, pool_size: int = 8) -> Database:
    """Open `sqlite:///path` or `postgresql://...`; also the PaaS's `postgres://` form.

    `exclusive` is for the one process that works an SQLite file: it takes the lock file beside it and
    raises `LedgerInUse` when another process holds that. PostgreSQL needs no such lock.
    """
    if url.startswith("sqlite:///"):
        return SqliteDatabase(url, exclusive=exclusive)
    from integration.ledger.postgres import PostgresDatabase  # noqa: PLC0415 - a driver of 8 MB, only where used

    return PostgresDatabase(postgres_url(url), pool_size=pool_size)


def postgres_url(url: str) -> str:
    """The PaaS's `postgres://` in the form that the driver and the migrations take."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


class LedgerInUse(LedgerUnavailable):
    """Another process works this SQLite file."""


class SqliteDatabase:
    """SQLite with full durability: one writing connection behind one lock, one reading connection.

    SQLite's own busy handler is unfair (15 threads: a worst wait of 434 ms, with one lock 108), so
    writers of this process queue here. `BEGIN IMMEDIATE` always: a transaction that starts by reading
    cannot wait for a lock when it comes to write.
    """

    dialect: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, url: str, *, exclusive: bool = False) -> None:
        self.url = url
        self.path = sqlite_path(url)
        self._lock_file = _take_lock_file(self.path) if exclusive else None
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer = self._connect()
        self._reader = self._connect()

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
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"cannot open the SQLite file {self.path}: {error}") from error
        return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        if not self._writing.acquire(timeout=LOCK_WAIT_SECONDS):
            raise LedgerUnavailable("the database stayed busy")
        try:
            with _sqlite_errors():
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield _SqliteTx(self._writer)
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
        finally:
            self._writing.release()

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        if not self._reading.acquire(timeout=LOCK_WAIT_SECONDS):
            raise LedgerUnavailable("the database stayed busy")
        try:
            with _sqlite_errors():
                yield _SqliteTx(self._reader)
        finally:
            self._reading.release()

    def close(self) -> None:
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None


class _SqliteTx:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        rows = self.all(sql, params)  # to the end: a RETURNING statement left half read holds its lock
        return rows[0] if rows else None

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._connection.execute(_sqlite_sql(sql), params or {}).fetchall()

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._connection.execute(_sqlite_sql(sql), params or {}).rowcount


_SQLITE_NOW = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
_sqlite_statements: dict[str, str] = {}


def _sqlite_sql(sql: str) -> str:
    ready = _sqlite_statements.get(sql)
    if ready is None:
        ready = _sqlite_statements[sql] = sql.replace("{now}", _SQLITE_NOW).replace("{skip_locked}", "")
    return ready


def named_to_psycopg(sql: str) -> str:
    """`:name` as psycopg's `%(name)s`, `{now}` as PostgreSQL's clock, `{skip_locked}` as its row locks."""
    now = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    # NO KEY: rows that refer to a lead may still be written, as its write-back's history is.
    skip = "FOR NO KEY UPDATE SKIP LOCKED"
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).replace("{now}", now).replace("{skip_locked}", skip)


@contextlib.contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
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


def _take_lock_file(path: Path) -> IO[str]:
    lock_path = path.with_name(path.name + ".lock")
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
