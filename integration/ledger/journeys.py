"""Several statements in one journey to PostgreSQL and back.

Each journey is a wait for another process, and often for a network. And each statement that is given to the driver's
`execute` costs 40 microseconds of processor time, 25 in the driver's own pipeline mode. Here they go together through
libpq's (PostgreSQL's manual, "Pipeline Mode"), which the driver opens to all as `psycopg.pq`, and cost 10. Each is
prepared once for a connection. Values go and come through the driver's own adapters.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import select
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import psycopg.abc
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import Int8Dumper

from integration.ledger.database import PARAMETER, Params, Statement

# Those that come after so many are sent whole each time. A process has fewer, but for a look that names the sources
# that flood: each number of them is a statement of its own.
MOST_PREPARED = 400

_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
_LOCK = "FOR NO KEY UPDATE"  # NO KEY: rows that refer to a lead may still be written, as its write-back's history is
_LOOK_AGAIN_MS = 100  # under TLS bytes may be here already that the socket does not tell of
_STALE = (b"0A000", b"26000")  # the plan does not fit the table any more, or the server has forgotten the statement
_COPIES = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_WENT_WELL = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


@functools.cache
def postgres_form(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` as PostgreSQL's `$1`, `{now}` as its clock, the locks as its row locks; and the names by number."""
    names: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return names.setdefault(found[1], f"${len(names) + 1}")

    text = PARAMETER.sub(numbered, sql).replace("{now}", _NOW)
    return text.replace("{skip_locked}", f"{_LOCK} SKIP LOCKED").replace("{lock}", _LOCK), tuple(names)


class Answer:
    """What the server said to one statement."""

    __slots__ = ("_adapt", "_result")

    def __init__(self, result: pq.abc.PGresult, adapt: psycopg.abc.Transformer) -> None:
        self._result = result
        self._adapt = adapt

    def count(self) -> int:
        """How many rows it touched."""
        return self._result.command_tuples or 0

    def one(self) -> dict[str, Any] | None:
        """The first row, or None."""
        return self._rows(1)[0] if self._result.ntuples else None

    def all(self) -> list[dict[str, Any]]:
        """Every row."""
        return self._rows(self._result.ntuples)

    def _rows(self, count: int) -> list[dict[str, Any]]:
        result = self._result
        names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
        self._adapt.set_pgresult(result)
        rows = self._adapt.load_rows(0, count, lambda values: dict(zip(names, values, strict=True)))
        self._adapt.set_pgresult(None)  # a connection that nobody needs would keep it
        return rows


_Key = tuple[str, tuple[int, ...]]  # a statement is prepared for values of certain types


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A statement as libpq takes it."""

    text: str
    types: tuple[int, ...]
    values: Sequence[Any]
    formats: Sequence[int]

    @property
    def key(self) -> _Key:
        return self.text, self.types


class Journeys:
    """Those of one connection, which nobody else uses meanwhile."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.adapters.register_dumper(int, Int8Dumper)  # else small and large numbers would be prepared for apart
        self._connection = connection
        self._pg = connection.pgconn
        self._adapt = Transformer(connection)
        self._names = itertools.count()
        self._prepared: dict[_Key, bytes] = {}
        self._ready = select.poll()
        self._ready.register(self._pg.socket, select.POLLIN)

    def go(self, statements: Iterable[Statement]) -> list[Answer]:
        """Run these statements one after the other, and none behind one that failed, which is raised.

        Raises psycopg.Error. When the connection is lost, or the wait for the answers is interrupted, it is closed.
        """
        parcels = [self._pack(sql, params) for sql, params in statements]
        try:
            self._pg.enter_pipeline_mode()
            sent = [(parcel, is_preparing) for parcel in parcels for is_preparing in self._send(parcel)]
            self._pg.pipeline_sync()
            self._flush()
            results = self._read(len(sent))
            self._pg.exit_pipeline_mode()
        except BaseException:
            self._connection.close()  # with answers still to come it is of no use to anybody
            raise
        for (parcel, is_preparing), result in zip(sent, results, strict=False):
            if not _went_well(result) and (is_preparing or _sqlstate(result) in _STALE):
                self._prepared.pop(parcel.key, None)
        _raise_failure(results)
        return [
            Answer(one, self._adapt) for (_, is_preparing), one in zip(sent, results, strict=True) if not is_preparing
        ]

    def _pack(self, sql: str, params: Params) -> _Parcel:
        text, names = postgres_form(sql)
        values = self._adapt.dump_sequence([params[name] for name in names], [PyFormat.AUTO] * len(names))
        return _Parcel(text, self._adapt.types or (), values, self._adapt.formats or ())

    def _send(self, parcel: _Parcel) -> Iterator[bool]:
        """Put a statement on its way. For each result to come: whether it is that of preparing it."""
        name = self._prepared.get(parcel.key)
        if name is None and len(self._prepared) < MOST_PREPARED:
            name = self._prepared[parcel.key] = b"ringback_%d" % next(self._names)
            self._pg.send_prepare(name, parcel.text.encode(), parcel.types)
            yield True
        if name is None:
            self._pg.send_query_params(parcel.text.encode(), parcel.values, parcel.types, parcel.formats)
        else:
            self._pg.send_query_prepared(name, parcel.values, parcel.formats)
        yield False

    def _flush(self) -> None:
        """Send what is still here. The server may have to be read from before it takes more."""
        pg = self._pg
        if not pg.flush():
            return
        self._ready.modify(pg.socket, select.POLLIN | select.POLLOUT)
        while pg.flush():
            self._ready.poll()
            pg.consume_input()
        self._ready.modify(pg.socket, select.POLLIN)

    def _read(self, count: int) -> list[pq.abc.PGresult]:
        """Every result of the journey, `count` of them, and one more where the commit itself failed.

        Raises psycopg.Error where the connection is lost, of which the server may have said why, or of no more use.
        """
        pg = self._pg
        results: list[pq.abc.PGresult] = []
        with contextlib.suppress(psycopg.OperationalError):  # there is nothing more to read
            while True:
                if pg.is_busy():
                    self._ready.poll(_LOOK_AGAIN_MS)
                    pg.consume_input()
                    continue
                result = pg.get_result()
                if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                    if len(results) == count or (len(results) > count and not all(map(_went_well, results))):
                        return results
                    break  # these are not the answers to these statements
                if result is not None and result.status in _COPIES:  # which was never asked for, and has no end
                    break
                if result is not None:
                    results.append(result)
                elif pg.status == pq.ConnStatus.BAD:
                    break
        _raise_failure(results)
        raise psycopg.OperationalError("the connection is lost")


def _raise_failure(results: Iterable[pq.abc.PGresult]) -> None:
    """Raise the first failure among these; what stood behind it was not run."""
    for result in results:
        if not _went_well(result):
            if not _sqlstate(result):  # libpq's own word: an answer that it could not read, or no memory
                raise psycopg.OperationalError("the connection failed")
            raise psycopg.errors.error_from_result(result)


def _went_well(result: pq.abc.PGresult) -> bool:
    return result.status in _WENT_WELL


def _sqlstate(result: pq.abc.PGresult) -> bytes:
    return result.error_field(pq.DiagnosticField.SQLSTATE) or b""
