"""PostgreSQL behind the ledger's door: a small pool, short waits, and dead connections replaced.

A server that froze, or that a network swallowed, says nothing, and nothing in the driver bounds the wait for
its answer. So each transaction has a `Limit`.

What the server says may quote a row ("Key (phone)=...") or come in another language, so none of it goes on:
it is told by its class and SQLSTATE in words of our own. While a connection is being made the driver has no
SQLSTATE to give (psycopg 3.3, libpq 18, read in November 2026), and its English text is looked through.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, LiteralString, Self

import psycopg
import psycopg_pool
from psycopg.conninfo import conninfo_to_dict

from integration.ledger.database import (
    SNAPSHOT_SECONDS,
    Asked,
    CommitInDoubt,
    ConstraintHeld,
    LedgerUnavailable,
    Params,
    Row,
    Statement,
    Tx,
    Unforeseen,
)
from integration.ledger.journeys import Answer, Journeys
from integration.ledger.limit import Limit, Outage

# A webhook must answer 503 within 2 s when the database is away, so no wait may be longer.
_POOL_WAIT_SECONDS = 1.5
_SILENCE_SECONDS = 1.6
_CONNECT_SECONDS = 2
# The pool waits twice as long after each failure, up to minutes. Given up this early it begins anew with the
# next transaction, so that a server that was away for an hour is used within seconds of its return.
_RECONNECT_SECONDS = 2.0
# A batch of a thousand events needs as many answers; so long as they come, it may take so long in all.
_TRANSACTION_SECONDS = 6.0
IDLE_SECONDS = 60.0  # so often a pool closes one connection that nobody needed meanwhile, down to its smallest size
_AT_ONCE = 200  # statements in one journey, so that the server is heard of often enough


class _Connection(psycopg.Connection[Any]):
    """One of the pool's."""

    journeys: Journeys


_Pool = psycopg_pool.ConnectionPool[_Connection]


class PostgresDatabase:
    """A pool of at most `pool_size` connections, each in autocommit mode with explicit transactions."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"
    writes_in_one = True

    def __init__(self, url: str, *, pool_size: int = 8, ask_first: bool = False, works_itself: bool = False) -> None:
        self.url = url
        if ask_first:
            _ask(url)
        self._away: LedgerUnavailable | None = None  # why the last connection could not be made
        self._outage = Outage(_POOL_WAIT_SECONDS)
        self._pool = _Pool(
            url,
            connection_class=_noting(self._note),
            min_size=1,
            max_size=pool_size,
            timeout=_POOL_WAIT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            max_idle=IDLE_SECONDS,
            open=True,
            configure=_configuring(_WORKS_ITSELF if works_itself else ""),
            name="ringback",
            kwargs={
                "autocommit": True,
                "client_encoding": "utf8",
                "prepare_threshold": None,  # `Journeys` prepares
                "connect_timeout": _CONNECT_SECONDS,
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 3000,  # milliseconds
                "application_name": "ringback",
            },
        )

    def _note(self, error: psycopg.Error | None) -> None:
        self._away = None if error is None else _why_away(error, self.url)
        self._outage.heard() if error is None else self._outage.suspect(time.monotonic())

    @contextlib.contextmanager
    def write(self, *, urgent: bool = False) -> Iterator[Tx]:  # noqa: ARG002 - its writers do not queue
        limit = Limit(_SILENCE_SECONDS, _TRANSACTION_SECONDS)
        with self._errors(limit), self._transaction(limit, "BEGIN") as tx:
            yield tx

    def write_one(self, sql: str, params: Params, *, urgent: bool = False) -> Row | None:  # noqa: ARG002 - as above
        limit = Limit(_SILENCE_SECONDS, _TRANSACTION_SECONDS)
        limit.is_committing = True
        tx = _PostgresTx(self._pool, limit, self._outage)
        with self._errors(limit):
            try:
                return tx.one(sql, params)
            finally:
                tx.give_back()

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        limit = Limit(_SILENCE_SECONDS, _TRANSACTION_SECONDS)
        tx = _PostgresTx(self._pool, limit, self._outage)
        with self._errors(limit):
            try:
                yield tx
            finally:
                tx.give_back()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Tx]:
        limit = Limit(SNAPSHOT_SECONDS, SNAPSHOT_SECONDS)
        one_instant = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._errors(limit), self._transaction(limit, one_instant) as tx:
            tx.add(f"SET LOCAL statement_timeout = '{round(SNAPSHOT_SECONDS)}s'")
            yield tx

    @contextlib.contextmanager
    def _transaction(self, limit: Limit, begin: str) -> Iterator[_PostgresTx]:
        tx = _PostgresTx(self._pool, limit, self._outage, begin)
        try:
            yield tx
            limit.is_committing = True
            tx.finish()
        except BaseException:
            tx.undo()
            raise
        finally:
            tx.give_back()

    def close(self) -> None:
        self._pool.close(timeout=0.1)  # for each of four threads, one of which may hang in a connection attempt

    @contextlib.contextmanager
    def _errors(self, limit: Limit) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.UniqueViolation as error:
            raise ConstraintHeld(error.diag.constraint_name or "unique") from None
        except psycopg_pool.PoolClosed:
            raise LedgerUnavailable("the database is closed") from None
        except psycopg_pool.PoolTimeout:
            if time.monotonic() - limit.began_at >= _POOL_WAIT_SECONDS:  # the whole of it, and nobody else heard of it
                self._outage.suspect(limit.began_at)
            away = self._away  # raised as a new error: one that is shared would collect tracebacks
            if away is not None:
                raise LedgerUnavailable(str(away), lasts=away.lasts) from None
            raise LedgerUnavailable(
                f"every connection to the database stayed busy for {_POOL_WAIT_SECONDS} s"
            ) from None
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise LedgerUnavailable("the database is not migrated; run `ringback release`") from None
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.InternalError,  # a read-only standby after a failover, a transaction that the server ended
            psycopg.errors.FeatureNotSupported,  # a plan that was made before a table changed
            psycopg.errors.InvalidSqlStatementName,
            psycopg.errors.InsufficientPrivilege,
        ) as error:
            if limit.has_cut:
                self._outage.suspect(limit.began_at)
            kind = CommitInDoubt if limit.is_committing else LedgerUnavailable
            raise kind(limit.told() or _why_failed(error)) from None


_SETTINGS = """
    SET default_transaction_isolation = 'read committed';
    SET synchronous_commit = on;
    SET statement_timeout = '1500ms';
    SET lock_timeout = '1300ms';
    SET idle_in_transaction_session_timeout = '15s'
"""
# Each statement has to see what it has waited for, whatever the server's default. And it may take a little less than
# the limit of a journey, so that the server's own words mostly come first.
_WORKS_ITSELF = "; SET ringback.works_itself = 'on'"  # read by the trigger of migration 0002


def _configuring(more: LiteralString) -> Callable[[_Connection], None]:
    def configure(connection: _Connection) -> None:
        limit = Limit(_SILENCE_SECONDS, _SILENCE_SECONDS)
        limit.hold(connection)
        try:
            connection.execute(_SETTINGS + more)
            connection.journeys = Journeys(connection)
        finally:
            limit.release()

    return configure


class _PostgresTx:
    """Statements on one connection, which the first journey fetches from the pool.

    Those that nobody asks about yet wait, and travel with the next one. BEGIN is the first of them.
    """

    def __init__(self, pool: _Pool, limit: Limit, outage: Outage, begin: str | None = None) -> None:
        self._pool = pool
        self._limit = limit
        self._outage = outage
        self._connection: _Connection | None = None
        self._waiting: list[Statement] = [] if begin is None else [(begin, {})]
        self._asked: list[tuple[int, Asked]] = []  # with the number of each among those that wait
        self._foreseen: deque[tuple[Statement, Answer]] = deque()

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        return self._answer(sql, params).one()

    def all(self, sql: str, params: Params | None = None) -> Sequence[Row]:
        return self._answer(sql, params).all()

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._answer(sql, params).count()

    def add(self, sql: str, params: Params | None = None) -> None:
        self._demand_all_foreseen()
        self._waiting.append((sql, params or {}))

    def ask(self, sql: str, params: Params | None = None) -> Asked:
        asked = Asked()
        self._asked.append((len(self._waiting), asked))
        self.add(sql, params)
        return asked

    def each(self, sql: str, params: Sequence[Params]) -> list[Row | None]:
        self._demand_all_foreseen()
        journeys = _by_journeys([(sql, each) for each in params])
        return [answer.one() for some in journeys for answer in self._go(some)]  # of each only the row is kept

    def foresee(self, statements: Sequence[Statement]) -> None:
        self._foreseen.extend(zip(statements, self._go(statements), strict=True))

    def _answer(self, sql: str, params: Params | None) -> Answer:
        if self._foreseen:
            foreseen, answer = self._foreseen.popleft()
            if foreseen != (sql, params):
                raise Unforeseen
            return answer
        return self._go([(sql, params or {})])[0]

    def _demand_all_foreseen(self) -> None:
        """Nothing else may come between, nor a commit before."""
        if self._foreseen:
            raise Unforeseen

    def finish(self) -> None:
        """Commit, unless nothing was asked at all."""
        self._demand_all_foreseen()
        if self._connection is None and len(self._waiting) > 1:
            self._go([])  # apart, because the first journey may be made twice
        if self._connection is not None:
            self._go([("COMMIT", {})])

    def _go(self, statements: Sequence[Statement]) -> list[Answer]:
        """What waits, and then these, in as few journeys as may be. The answers to these."""
        waiting, self._waiting = self._waiting, []
        asked, self._asked = self._asked, []
        answers: list[Answer] = []
        for some in _by_journeys([*waiting, *statements]):
            answers += self._first(some) if self._connection is None else self._connection.journeys.go(some)
            self._limit.answered()
            self._outage.heard()
        for number, one in asked:
            one.row = answers[number].one()
        return answers[len(waiting) :]

    def _first(self, statements: Sequence[Statement]) -> list[Answer]:
        """A connection cut by a restart of the server is found out here, where nothing has been done yet, and not
        in the middle of a lead: it is thrown away and the next one asked."""
        for tries_left in range(self._pool.max_size, -1, -1):
            with self._outage.wait() as seconds:
                connection = self._pool.getconn(timeout=min(seconds, self._limit.left()))
            self._connection = connection
            self._limit.hold(connection)
            try:
                return connection.journeys.go(statements)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if not connection.closed or tries_left == 0 or self._limit.left() <= 0:
                    raise
                self.give_back()
        raise AssertionError

    def undo(self) -> None:
        """Roll back, if there is anything to roll back."""
        if self._connection is not None and not self._connection.closed:
            self._connection.rollback()

    def give_back(self) -> None:
        """The connection goes to the pool, which throws a broken one away."""
        if self._connection is not None:
            self._limit.release()
            self._pool.putconn(self._connection)
            self._connection = None


def _by_journeys(statements: Sequence[Statement]) -> Iterator[Sequence[Statement]]:
    return (statements[first : first + _AT_ONCE] for first in range(0, len(statements), _AT_ONCE))


# ---- trouble in words -----------------------------------------------------------------------


def _ask(url: str) -> None:
    """One plain connection, because the pool does not say why it has none. Raises LedgerUnavailable."""
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error as error:
        raise _why_away(error, url) from None


def let_go(error: BaseException) -> None:
    """Close what was being connected when this was raised.

    The driver (psycopg 3.3.9) leaves it in the frames of the attempt until the garbage collector comes by, which
    in an idle process is never. Half open it holds up a server that is stopping, for a minute.
    """
    traceback.clear_frames(error.__traceback__)


def _noting(note: Callable[[psycopg.Error | None], None]) -> type[_Connection]:
    """Connections that tell how the making of each came out."""

    class Noting(_Connection):
        @classmethod
        def connect(cls, conninfo: str = "", **named: Any) -> Self:
            try:
                made = super().connect(conninfo, **named)
            except psycopg.Error as error:
                note(error)
                let_go(error)
                raise
            note(None)
            return made

    return Noting


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One reason for having no connection: what the driver's text holds then, and what we say."""

    marks: tuple[str, ...]  # in small letters; any of them
    says: str
    lasts: bool = False


# The first that fits. Those that the server says (its SQLSTATE beside them) stand before those of the network:
# where a name has several addresses, one that answers tells more than one that does not.
_REFUSALS = (
    _Refusal(  # 28P01
        ("password authentication failed",),
        "{place} refuses user {user} with this password; copy user and password anew into DATABASE_URL",
        lasts=True,
    ),
    _Refusal(
        ("no password supplied",),
        "{place} wants a password of user {user}, and DATABASE_URL holds none; copy the whole address anew",
        lasts=True,
    ),
    _Refusal(  # 28000
        ("pg_hba.conf", "is not permitted to log in", "authentication failed"),
        "{place} does not let user {user} in from here; ask who runs it, or try `?sslmode=require` at the end of "
        "DATABASE_URL",
        lasts=True,
    ),
    _Refusal(  # 53300
        ("too many clients", "too many connections", "remaining connection slots"),
        "{place} has no connection free; close others, or raise its limit",
    ),
    _Refusal(  # 57P03
        ("starting up", "shutting down", "not yet accepting", "in recovery mode"),
        "{place} is just starting or stopping; try again soon",
    ),
    _Refusal(  # 42501
        ("permission denied for database",),
        "{place} does not let user {user} use the database {name}; grant CONNECT on it",
        lasts=True,
    ),
    _Refusal(  # 28000
        ('fatal:  role "',),
        "{place} has no user {user}; correct the user in DATABASE_URL",
        lasts=True,
    ),
    _Refusal(  # 3D000
        ('fatal:  database "',),
        "{place} has no database named {name}; correct the name in DATABASE_URL, or create it",
        lasts=True,
    ),
    _Refusal(
        ("certificate", "does not support ssl", "ssl error", "sslmode"),
        "{place}: no TLS could be agreed on; look at `sslmode=` in DATABASE_URL",
        lasts=True,
    ),
    _Refusal(
        ("invalid response to ssl", "expected authentication request", "invalid response to gss"),
        "{place} does not speak as PostgreSQL does; check host and port in DATABASE_URL",
    ),
    _Refusal(
        ("resolve host", "translate host name"),
        "the host {host} is not known here; check the host in DATABASE_URL",
    ),
    _Refusal(
        ("connection refused", "no such file or directory"),
        "nothing listens at {place}; check host and port in DATABASE_URL, and that PostgreSQL runs",
    ),
    _Refusal(
        ("unreachable", "no route to host"),
        "there is no way from here to {place}; check the host in DATABASE_URL, and the network",
    ),
    _Refusal(
        ("timeout", "timed out"),
        f"{{place}} did not answer within {_CONNECT_SECONDS} seconds; check host and port in DATABASE_URL, and "
        "whether a firewall stands between",
    ),
    _Refusal(
        ("closed the connection", "connection reset", "broken pipe"),
        "{place} closed the connection at once; check host and port in DATABASE_URL",
    ),
    _Refusal(("fatal:",), "{place} did not accept the connection; its own log says why"),
)
_UNREAD = _Refusal((), "{place} cannot be connected to; check DATABASE_URL")


def _why_away(error: psycopg.Error, url: str) -> LedgerUnavailable:
    """What the failure to connect says to people. Of the address: host, port, user and name, never more."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:  # its text quotes the address
        return LedgerUnavailable("DATABASE_URL cannot be read; copy the whole address anew", lasts=True)
    host, port = str(parts.get("host") or "this machine"), str(parts.get("port") or 5432)
    words = str(error).lower()
    found = next((one for one in _REFUSALS if any(mark in words for mark in one.marks)), _UNREAD)
    name = parts.get("dbname") or parts.get("user") or "(not given)"
    told = found.says.format(place=f"{host}:{port}", host=host, user=parts.get("user") or "(not given)", name=name)
    return LedgerUnavailable(told, lasts=found.lasts)


_FAILURES = {
    "0A000": "a table of the database has changed meanwhile",
    "25006": "the database is read-only: a standby after a failover?",
    "26000": "the database has forgotten a prepared statement; does a pooler that shares connections stand between?",
    "40001": "the database ended the transaction for another one",
    "40P01": "the database ended the transaction for another one",
    "42501": "the database's user may not do this; give it the rights on all tables and sequences of this schema",
    "53100": "the database's disk is full; make room",
    "53200": "the database has no memory left",
    "53300": "the database has no connection free; close others, or raise its limit",
    "55P03": "a row stayed locked for too long",
    "57014": "a statement took too long",
    "57P01": "the database is stopping",
    "57P02": "the database is stopping",
    "57P03": "the database is just starting or stopping",
}


def _why_failed(error: psycopg.Error) -> str:
    """What a failure in the middle of the work says, with class and SQLSTATE for whoever looks it up."""
    state = error.sqlstate or ""
    told = _FAILURES.get(state, "the connection broke" if not state else "the database failed")
    return f"{told} ({f'{type(error).__name__} {state}'.strip()})"
