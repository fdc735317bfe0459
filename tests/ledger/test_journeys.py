"""Statements that go to PostgreSQL together: every answer to its own, and a failure spoils nothing."""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType
from unittest.mock import patch

import psycopg
import pytest
from psycopg import pq

from integration.ledger import journeys
from integration.ledger.database import Statement
from integration.ledger.journeys import Answer, Journeys, postgres_form

_Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(postgres_url: str) -> Iterator[_Connection]:
    with psycopg.connect(postgres_url, autocommit=True, client_encoding="utf8") as connection:
        yield connection


def only(answers: list[Answer]) -> Answer:
    (answer,) = answers
    return answer


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        ("SELECT :a, :body_sha256, 'x'::text", "SELECT $1, $2, 'x'::text", ("a", "body_sha256")),
        ("LIKE '100%' AND n = :n2 AND m = :n2", "LIKE '100%' AND n = $1 AND m = $1", ("n2",)),
    ],
)
def test_named_parameters_are_written_as_the_server_wants_them(ours: str, theirs: str, names: tuple[str, ...]) -> None:
    assert postgres_form(ours) == (theirs, names)


def test_each_statement_has_its_own_answer(connection: _Connection) -> None:
    travel = Journeys(connection)
    for _ in range(2):  # the second time all of it is prepared
        made, filled, touched, read, empty = travel.go([
            ("CREATE TEMP TABLE IF NOT EXISTS one (n BIGINT, name TEXT)", {}),
            ("INSERT INTO one VALUES (:n, :name), (2, 'b') RETURNING n", {"n": 1, "name": "a"}),
            ("UPDATE one SET name = name", {}),
            ("SELECT n, name FROM one ORDER BY n LIMIT 2", {}),
            ("SELECT n FROM one WHERE n = :n", {"n": 7}),
        ])  # fmt: skip
        assert (made.count(), filled.count(), filled.one()) == (0, 2, {"n": 1})
        assert touched.count() in {2, 4}
        assert read.all() in ([{"n": 1, "name": "a"}, {"n": 2, "name": "b"}], [{"n": 1, "name": "a"}] * 2)
        assert (empty.one(), empty.all()) == (None, [])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "BIGINT"),
        (None, "TEXT"),
        (0, "BIGINT"),
        (-(2**63), "BIGINT"),
        (2**63 - 1, "BIGINT"),
        (math.pi, "DOUBLE PRECISION"),
        (True, "BOOLEAN"),
        ("", "TEXT"),
        ("Grüße, %s :name $1 \\ 'x' \U0001f4de", "TEXT"),
        (bytes(range(256)), "BYTEA"),
    ],
)
def test_values_come_back_as_they_went(connection: _Connection, value: object, kind: str) -> None:
    travel = Journeys(connection)
    for _ in range(2):
        assert only(travel.go([(f"SELECT CAST(:value AS {kind}) AS value", {"value": value})])).one() == {
            "value": value
        }


def test_what_no_database_takes_is_said_before_anything_is_sent(connection: _Connection) -> None:
    travel = Journeys(connection)
    good: Statement = ("SELECT CAST(:value AS TEXT) AS value", {"value": "x"})
    for bad in ("a\0b", "\ud800"):
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            travel.go([good, (good[0], {"value": bad})])
    assert only(travel.go([good])).one() == {"value": "x"}


def test_much_goes_both_ways_at_once(connection: _Connection) -> None:
    """Who only sends until all is sent waits for ever for a server that wants its answers taken first."""
    travel = Journeys(connection)
    long = "x" * 500_000
    statements: list[Statement] = [("SELECT CAST(:value AS TEXT) AS value", {"value": f"{n}{long}"}) for n in range(60)]
    assert [answer.one() for answer in travel.go(statements)] == [{"value": f"{n}{long}"} for n in range(60)]
    assert only(travel.go(statements[:1])).one() == {"value": f"0{long}"}


def test_nothing_behind_a_failure_is_run_and_the_connection_serves_on(connection: _Connection) -> None:
    travel = Journeys(connection)
    travel.go([("CREATE TEMP TABLE one (n BIGINT PRIMARY KEY)", {})])
    insert = "INSERT INTO one VALUES (:n)"
    for _ in range(3):
        with pytest.raises(psycopg.errors.UniqueViolation):
            travel.go([
                ("BEGIN", {}), (insert, {"n": 1}), (insert, {"n": 1}), ("SELECT 1 AS behind", {}), ("COMMIT", {}),
            ])  # fmt: skip
        travel.go([("ROLLBACK", {})])
    assert only(travel.go([("SELECT 1 AS behind", {})])).one() == {"behind": 1}
    assert only(travel.go([("SELECT COUNT(*) AS count FROM one", {})])).one() == {"count": 0}


def test_a_statement_that_cannot_be_prepared_fails_each_time(connection: _Connection) -> None:
    travel = Journeys(connection)
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            travel.go([("SELECT 1 AS one", {}), ("SELECT 1 FROM nowhere", {})])
    assert only(travel.go([("SELECT 1 AS one", {})])).one() == {"one": 1}


def test_a_failure_of_the_commit_itself_is_raised_and_the_connection_serves_on(connection: _Connection) -> None:
    """Such a one has a result of its own, behind that of the statement."""
    connection.execute("""
        CREATE TEMP TABLE one (n BIGINT);
        CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END$$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON one DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()
    """)
    travel = Journeys(connection)
    for _ in range(2):
        with pytest.raises(psycopg.errors.LockNotAvailable):
            travel.go([("INSERT INTO one VALUES (:n)", {"n": 1})])
    assert only(travel.go([("SELECT COUNT(*) AS count FROM one", {})])).one() == {"count": 0}


def test_what_the_server_no_longer_takes_is_prepared_anew(connection: _Connection) -> None:
    travel = Journeys(connection)
    connection.execute("CREATE TEMP TABLE one (n BIGINT)")
    look = ("SELECT * FROM one", dict[str, object]())
    travel.go([look])
    connection.execute("ALTER TABLE one ADD COLUMN name TEXT")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        travel.go([look])
    travel.go([look])
    connection.execute("DEALLOCATE ALL")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        travel.go([look])
    assert only(travel.go([look])).all() == []


def test_a_failure_that_no_server_told_is_a_lost_connection(connection: _Connection) -> None:
    """libpq makes a result of its own where it cannot read an answer, and it has no SQLSTATE."""
    own = connection.pgconn.make_empty_result(pq.ExecStatus.FATAL_ERROR)
    with pytest.raises(psycopg.OperationalError):
        journeys._raise_failure([own])


@pytest.mark.parametrize("kind", [b"H", b"G", b"W"])
def test_a_copy_that_nobody_asked_for_ends_the_connection(kind: bytes) -> None:
    """A result of it would come each time that one is asked for, without end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = threading.Thread(target=_answer_with, args=(listener, kind + b"\0\0\0\x07\0\0\0"))
        peer.start()
        address = f"host=127.0.0.1 port={listener.getsockname()[1]} user=u dbname=d sslmode=disable gssencmode=disable"
        with psycopg.connect(address, autocommit=True) as lost, pytest.raises(psycopg.OperationalError):
            Journeys(lost).go([("SELECT 1 AS one", {})])
        assert lost.closed
        peer.join(5)


def _answer_with(listener: socket.socket, message: bytes) -> None:
    """A server that lets anybody in, and says this to the first statement."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        status = b"client_encoding\0UTF8\0"
        ready = b"Z\0\0\0\x05I"
        connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"S" + (len(status) + 4).to_bytes(4) + status + ready)
        connection.recv(65536)
        connection.sendall(b"1\0\0\0\x04" + b"2\0\0\0\x04" + message)
        while connection.recv(65536):
            pass


@pytest.mark.parametrize("difference", [-1, 1])
def test_one_answer_too_many_or_too_few_ends_the_connection(connection: _Connection, difference: int) -> None:
    travel = Journeys(connection)
    read = travel._read
    with (
        patch.object(travel, "_read", lambda count: read(count + difference)),
        pytest.raises(psycopg.OperationalError),
    ):
        travel.go([("SELECT 1 AS one", {})])
    assert connection.closed


def test_no_more_is_prepared_than_a_number(connection: _Connection) -> None:
    with patch.object(journeys, "MOST_PREPARED", 3):
        travel = Journeys(connection)
        for n in [*range(6), *range(6)]:
            assert only(travel.go([(f"SELECT :value + {n} AS sum", {"value": 1})])).one() == {"sum": n + 1}
    assert connection.execute("SELECT COUNT(*) FROM pg_prepared_statements").fetchone() == (3,)


def test_who_was_cut_off_meanwhile_is_told_so(connection: _Connection, postgres_url: str) -> None:
    travel = Journeys(connection)
    pid = connection.info.backend_pid
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        time.sleep(0.1)
    with pytest.raises(psycopg.OperationalError):
        travel.go([("SELECT 1 AS one", {})])
    assert connection.closed


def test_who_was_cut_off_in_the_middle_is_told_why(connection: _Connection) -> None:
    travel = Journeys(connection)
    with pytest.raises(psycopg.errors.AdminShutdown):
        travel.go([("SELECT 1 AS one", {}), ("SELECT pg_terminate_backend(pg_backend_pid())", {}), ("SELECT 2", {})])
    assert connection.closed


def test_a_wait_that_is_interrupted_closes_the_connection(connection: _Connection) -> None:
    """Else the next one on it would be given these answers."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    travel = Journeys(connection)
    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGUSR1])
    began = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            travel.go([("SELECT pg_sleep(5)", {})])
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 3.0
    assert connection.closed
