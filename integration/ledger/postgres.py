"""PostgreSQL behind the ledger's door: a small pool, short waits, and dead connections replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, cast

import psycopg
import psycopg_pool
from psycopg.rows import DictRow, dict_row

from integration.ledger.database import (
    ConstraintHeld,
    LedgerUnavailable,
    Params,
    Row,
    Tx,
    named_to_psycopg,
)

_Connection = psycopg.Connection[DictRow]

# A webhook must answer 503 within 2 s when the database is away, so no wait may be longer.
_POOL_WAIT_SECONDS = 1.5
_statements: dict[str, str] = {}


class PostgresDatabase:
    """A pool of at most `pool_size` connections, each in autocommit mode with explicit transactions."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self._pool: psycopg_pool.ConnectionPool[_Connection] = psycopg_pool.ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=_POOL_WAIT_SECONDS,
            open=True,
            configure=_configure,
            name="ringback",
            kwargs={
                "row_factory": dict_row,
                "autocommit": True,
                "connect_timeout": 2,
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "application_name": "ringback",
            },
        )

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        with _postgres_errors():
            connection = self._begin()
            try:
                try:
                    yield _PostgresTx(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if not connection.closed:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                self._pool.putconn(connection)

    def _begin(self) -> _Connection:
        """A connection that has just answered: one cut by a restart of the server is thrown away here,
        where nothing has been done yet, and not in the middle of a lead."""
        for last in (False, False, False, True):
            connection = self._pool.getconn()
            try:
                connection.execute("BEGIN")
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._pool.putconn(connection)
                if last:
                    raise
                self._pool.check()
            else:
                return connection
        raise AssertionError

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        with self.write() as tx:
            yield tx

    def close(self) -> None:
        self._pool.close(timeout=1.0)


def _configure(connection: _Connection) -> None:
    connection.execute("SET synchronous_commit = on")
    connection.execute("SET statement_timeout = '5s'")
    connection.execute("SET lock_timeout = '3s'")
    connection.execute("SET idle_in_transaction_session_timeout = '15s'")


class _PostgresTx:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def _execute(self, sql: str, params: Params | None) -> psycopg.Cursor[DictRow]:
        ready = _statements.get(sql)
        if ready is None:
            ready = _statements[sql] = named_to_psycopg(sql)
        return self._connection.execute(cast("Any", ready), params or {})

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        return self._execute(sql, params).fetchone()

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        return cast("list[Row]", self._execute(sql, params).fetchall())

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._execute(sql, params).rowcount


@contextlib.contextmanager
def _postgres_errors() -> Iterator[None]:
    """The driver's text may quote a row ("Key (phone)=..."), so only the class and SQLSTATE go on."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise ConstraintHeld(error.diag.constraint_name or "unique") from None
    except psycopg_pool.PoolClosed:
        raise LedgerUnavailable("the database is closed") from None
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
        # InternalError: a read-only standby after a failover, a transaction that the server ended.
        raise LedgerUnavailable(f"{type(error).__name__} {getattr(error, 'sqlstate', '') or ''}".strip()) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise LedgerUnavailable("the database is not migrated; run `ringback release`") from None
