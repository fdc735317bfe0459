"""The door to both databases: what is committed, what is undone, and how trouble is told."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import psycopg
import pytest

from integration.ledger import (
    Begun,
    ConstraintHeld,
    Held,
    Ledger,
    LedgerInUse,
    LedgerUnavailable,
    NewEvent,
    NumberKey,
    Receipt,
    database,
    open_database,
    postgres,
)
from integration.ledger.database import CommitInDoubt, Statement, Tx, Unforeseen, postgres_url, sqlite_path
from integration.ledger.journeys import Answer, Journeys
from integration.ledger.writebacks import leased_job
from integration.model import LeadId, LeadState, Limit, Limits, Reason
from tests.end_to_end.rig import Cable
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, World


def test_what_raises_within_a_transaction_is_undone(world: World) -> None:
    lead_id = world.lead()

    def stumble() -> None:
        with world.ledger.database.write() as tx:
            tx.run("UPDATE lead SET state = 'parked'")
            raise KeyError

    with pytest.raises(KeyError):
        stumble()
    assert world.state(lead_id) == "received"


def test_one_statement_may_be_a_transaction(world: World) -> None:
    beat = "INSERT INTO worker (id, started_at, heartbeat_at) VALUES (:id, 1, 1) RETURNING id"
    row = world.ledger.database.write_one(beat, {"id": "w"})
    assert row is not None
    assert row["id"] == "w"
    with pytest.raises(ConstraintHeld):
        world.ledger.database.write_one(beat, {"id": "w"})
    assert world.value("SELECT COUNT(*) FROM worker") == 1


def test_a_unique_index_that_refuses_is_told_apart_from_trouble(world: World) -> None:
    with pytest.raises(ConstraintHeld):
        world.sql("INSERT INTO worker (id, started_at, heartbeat_at) VALUES ('w', 1, 1), ('w', 1, 1)")
    world.ledger.reading.ping()


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO worker (id, started_at, heartbeat_at) VALUES ('w', NULL, 1)",
        "INSERT INTO phone_guard (phone, lead_id, not_before) VALUES ('+15551230001', 999, 1)",
        "INSERT INTO writeback (lead_id, version, state, detail) VALUES (1, 1, 'nonsense', '')",
    ],
)
def test_any_other_broken_rule_of_the_schema_is_a_fault_of_ours(world: World, insert: str) -> None:
    world.lead()
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        world.sql(insert)
    world.ledger.reading.ping()


def test_the_statements_of_a_snapshot_see_the_same_instant(world: World) -> None:
    world.lead()
    count = "SELECT COUNT(*) AS n FROM lead"
    with world.ledger.database.snapshot() as tx:
        before = tx.one(count)
        world.lead()
        after = tx.one(count)
    assert before is not None
    assert after is not None
    assert (before["n"], after["n"], world.value("SELECT COUNT(*) FROM lead")) == (1, 1, 2)


def test_the_clock_is_the_databases_and_counts_milliseconds(world: World) -> None:
    here = time.time() * 1000
    assert abs(world.value("SELECT {now} FROM (SELECT 1 AS one) AS lone_row") - here) < 2000


def test_a_closed_ledger_says_so(database_url: str) -> None:
    ledger = Ledger(open_database(database_url))
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.reading.ping()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_many_threads_write_at_once(world: World) -> None:
    def write() -> None:
        for _ in range(10):
            world.ledger.upkeep.heartbeat(threading.current_thread().name)

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.value("SELECT COUNT(*) FROM worker") == 16


# ---- SQLite ---------------------------------------------------------------------------------


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "ringback.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


def test_an_sqlite_file_that_another_process_holds_is_unavailable_and_then_works_again(sqlite_url: str) -> None:
    ledger = Ledger(open_database(sqlite_url))
    other = sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)
    ledger.database._writer.execute("PRAGMA busy_timeout = 50")  # type: ignore[attr-defined]
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="database is locked"):
        ledger.upkeep.heartbeat("worker")
    other.execute("ROLLBACK")
    other.close()
    ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_an_sqlite_file_is_kept_as_it_must_be(sqlite_url: str) -> None:
    """Commits are brought to the disk by `LogSync`, and what SQLite reuses of its log by SQLite (`synchronous` 1)."""
    database = open_database(sqlite_url)
    with database.read() as tx:
        found = [tx.one(f"SELECT * FROM pragma_{name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert [tuple(row) for row in found if row is not None] == [("wal",), (1,), (1,)]
    database.close()


def test_a_second_server_on_one_sqlite_file_is_refused(sqlite_url: str) -> None:
    database = open_database(sqlite_url, exclusive=True)
    code = f"from integration.ledger import open_database\nopen_database({sqlite_url!r}, exclusive=True)"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "LedgerInUse: another `ringback serve` works" in refused.stderr
    with pytest.raises(LedgerInUse):
        open_database(sqlite_url, exclusive=True)
    open_database(sqlite_url).close()  # a look from outside is welcome
    database.close()
    open_database(sqlite_url, exclusive=True).close()


def test_an_sqlite_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"cannot open the SQLite file .*/missing/ringback\.db"):
        open_database(f"sqlite:///{tmp_path}/missing/ringback.db")
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"this is no database, and long enough to be looked at" * 50)
    with pytest.raises(LedgerUnavailable, match="file is not a database"):
        open_database(f"sqlite:///{junk}")


def test_threads_that_queue_for_a_locked_sqlite_file_all_give_up_in_time(sqlite_url: str) -> None:
    with patch.object(database, "LOCK_WAIT_SECONDS", 0.5):
        ledger = Ledger(open_database(sqlite_url))
        other = sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        waits: list[float] = []

        def write() -> None:
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                ledger.upkeep.heartbeat("worker")
            waits.append(time.monotonic() - began)

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
            time.sleep(0.03)  # so that each comes a little later than the one that waits before it
        for thread in threads:
            thread.join()
        assert len(waits) == 8
        assert max(waits) < 0.8
        other.execute("ROLLBACK")
        other.close()
        ledger.upkeep.heartbeat("worker")
        ledger.close()


REMOVALS = {
    "the database": lambda path: path.unlink(),
    "the database for another": lambda path: shutil.copy(path, path.with_name("copy")).replace(path),
    "its newest pages": lambda path: path.with_name(path.name + "-wal").unlink(),
    "its lock": lambda path: path.with_name(path.name + ".lock").unlink(),
    "everything": lambda path: [each.unlink() for each in path.parent.iterdir()],
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_a_file_that_was_removed_or_replaced_while_in_use_is_noticed(
    sqlite_url: str, remove: Callable[[Path], object]
) -> None:
    ledger = Ledger(open_database(sqlite_url, exclusive=True))
    ledger.upkeep.heartbeat("worker")
    remove(sqlite_path(sqlite_url))
    ledger.database._looked_at = 0.0  # type: ignore[attr-defined]  # a second has passed
    with pytest.raises(LedgerUnavailable, match="was removed or replaced while in use; restart"):
        ledger.upkeep.heartbeat("worker")
    with pytest.raises(LedgerUnavailable, match="was removed or replaced while in use; restart"):
        ledger.reading.ping()
    ledger.close()


def test_another_name_of_the_same_sqlite_file_has_the_same_lock(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(open_database(sqlite_url, exclusive=True))
    (tmp_path / "link.db").symlink_to(sqlite_path(sqlite_url))
    with pytest.raises(LedgerInUse):
        open_database(f"sqlite:///{tmp_path / 'link.db'}", exclusive=True)
    ledger.close()


def test_closing_waits_for_nobody_who_is_stuck(sqlite_url: str) -> None:
    ledger = Ledger(open_database(sqlite_url, exclusive=True))
    inside, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with ledger.database.write() as tx:
            inside.set()
            assert may_end.wait(5)
            tx.run("INSERT INTO worker (id, started_at, heartbeat_at) VALUES ('w', 1, 1)")

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(5)
    began = time.monotonic()
    ledger.close()
    assert time.monotonic() - began < 1.0
    with pytest.raises(LedgerInUse):  # somebody still writes
        open_database(sqlite_url, exclusive=True)
    may_end.set()
    thread.join()
    ledger.close()
    open_database(sqlite_url, exclusive=True).close()


# ---- PostgreSQL -----------------------------------------------------------------------------


def test_the_address_that_a_paas_gives_is_understood() -> None:
    assert postgres_url("postgres://u:p@h/d") == "postgresql://u:p@h/d"
    assert postgres_url("postgresql://u:p@h/d") == "postgresql://u:p@h/d"


EVENTS = itertools.count(1)


def receive(ledger: Ledger, key: str | None = None) -> Receipt:
    event = NewEvent(key or f"id:{next(EVENTS)}")
    return ledger.intake.receive(source="crm", body=b"{}", content_type=None, received_at_ms=1, events=[event])


def test_connections_that_the_server_cut_are_replaced(migrated_postgres_url: str) -> None:
    ledger = Ledger(open_database(migrated_postgres_url, pool_size=3))
    ledger.reading.ping()
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        for _ in range(3):
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringback'"
                " AND datname = current_database()"
            )
            ledger.upkeep.heartbeat("worker")
            receive(ledger)
    assert ledger.reading.counts() == {LeadState.RECEIVED: 3}
    ledger.close()


def test_a_connection_cut_within_a_transaction_is_unavailable_and_leaks_nothing(migrated_postgres_url: str) -> None:
    ledger = Ledger(open_database(migrated_postgres_url, pool_size=1))
    for _ in range(3):
        with pytest.raises(LedgerUnavailable, match=r"stopping \(AdminShutdown 57P01"), ledger.database.write() as tx:
            tx.one("SELECT pg_terminate_backend(pg_backend_pid())")
        ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_a_failure_among_statements_that_travel_together_spoils_no_connection(migrated_postgres_url: str) -> None:
    """A statement is prepared when it is first sent, and the server never hears of one behind a failure."""
    db = open_database(migrated_postgres_url, pool_size=1)
    beat = "INSERT INTO worker (id, started_at, heartbeat_at) VALUES (:id, 1, 1)"
    often = "UPDATE worker SET heartbeat_at = heartbeat_at + 1 WHERE id = :id"
    with db.write() as tx:
        tx.run(beat, {"id": "w"})

    def fail() -> None:
        with db.write() as tx:
            tx.add(beat, {"id": "w"})
            tx.add(often, {"id": "w"})

    for _ in range(3):
        with pytest.raises(ConstraintHeld):
            fail()
        with db.write() as tx:
            tx.add(often, {"id": "w"})
    with db.read() as tx:
        assert tx.one("SELECT heartbeat_at FROM worker") == {"heartbeat_at": 4}
    db.close()


@contextlib.contextmanager
def losing(count: int, *, done: bool) -> Iterator[list[list[str]]]:
    """The first `count` journeys lose their connection, when the server has done what they asked, or before. All that
    was asked."""
    go, asked = Journeys.go, list[list[str]]()

    def lose(self: Journeys, statements: Iterable[Statement]) -> list[Answer]:
        statements = list(statements)
        asked.append([sql.split()[0] for sql, _ in statements])
        if len(asked) > count:
            return go(self, statements)
        if done:
            go(self, statements)
        self._connection.close()
        raise psycopg.OperationalError

    with patch.object(Journeys, "go", lose):
        yield asked


BEAT = "INSERT INTO worker (id, started_at, heartbeat_at) VALUES (:id, 1, 1)"


@pytest.mark.parametrize("done", [True, False])
def test_the_first_journey_is_made_again_and_never_holds_a_commit(migrated_postgres_url: str, done: bool) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    with losing(1, done=done) as asked, world.ledger.database.write() as tx:
        tx.add(BEAT, {"id": "w"})
    assert asked == [["BEGIN", "INSERT"], ["BEGIN", "INSERT"], ["COMMIT"]]
    assert world.value("SELECT COUNT(*) FROM worker") == 1
    world.ledger.close()


@pytest.mark.parametrize("done", [True, False])
def test_a_commit_whose_answer_was_lost_is_in_doubt_and_not_made_again(migrated_postgres_url: str, done: bool) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))

    def write() -> None:
        with world.ledger.database.write() as tx:
            tx.run(BEAT, {"id": "w"})
            lost.enter_context(losing(1, done=done))

    with contextlib.ExitStack() as lost, pytest.raises(CommitInDoubt):
        write()
    assert world.value("SELECT COUNT(*) FROM worker") == int(done)
    world.ledger.close()


def test_an_intent_is_asked_for_again_where_the_connection_was_cut(migrated_postgres_url: str) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    work = world.take(world.lead())
    with losing(1, done=True) as asked:
        begun = world.begin_from(work, work.epoch)
    assert isinstance(begun, Begun)
    assert asked[0] == asked[1] == ["BEGIN", "UPDATE", "INSERT", "INSERT"]
    assert world.attempts(work.id) == ["intent"]
    world.ledger.close()


def test_much_that_nobody_asks_about_goes_in_several_journeys(migrated_postgres_url: str) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    with listening() as journeys, world.ledger.database.write() as tx:
        for n in range(450):
            tx.add(BEAT, {"id": f"{n}"})
        asked = tx.ask("SELECT COUNT(*) AS count FROM worker")
    assert asked.row == {"count": 450}
    assert all(count <= 200 for count in journeys)
    world.ledger.close()


def test_a_server_that_is_away_is_unavailable_within_two_seconds() -> None:
    ledger = Ledger(open_database("postgres://postgres@127.0.0.1:1/none"))
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        ledger.reading.ping()
    assert time.monotonic() - began < 2.0
    ledger.close()


@pytest.fixture
def cable(migrated_postgres_url: str) -> Iterator[Cable]:
    cable = Cable(migrated_postgres_url)
    yield cable
    cable.close()


def through(cable: Cable, pool_size: int = 2) -> Ledger:
    return Ledger(open_database(cable.url, pool_size=pool_size))


USES: dict[str, Callable[[Ledger], object]] = {
    "a write": lambda ledger: ledger.upkeep.heartbeat("worker"),
    "a read": lambda ledger: ledger.reading.ping(),
    "a snapshot": lambda ledger: ledger.reading.counts(),
    "a webhook": receive,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_server_that_froze_is_unavailable_in_time_and_then_works_again(
    cable: Cable, use: Callable[[Ledger], object]
) -> None:
    with patch.object(postgres, "_SILENCE_SECONDS", 0.4), patch.object(postgres, "SNAPSHOT_SECONDS", 0.4):
        ledger = through(cable)
        use(ledger)
        cable.freeze()
        for _ in range(3):  # the connections of the pool, then none
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                use(ledger)
            assert time.monotonic() - began < 0.8
    cable.thaw()
    use(ledger)
    ledger.close()


def test_a_server_that_freezes_within_a_transaction_is_unavailable_in_time(cable: Cable) -> None:
    """Here before COMMIT. Nobody can say whether that came through, so it is never taken for done."""
    with patch.object(postgres, "_SILENCE_SECONDS", 0.4):
        ledger = through(cable)

        def freeze_in_between() -> None:
            with ledger.database.write() as tx:
                tx.run("DELETE FROM worker")
                cable.freeze()

        began = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            freeze_in_between()
        assert time.monotonic() - began < 0.8
    cable.thaw()
    ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_a_long_transaction_goes_on_while_the_server_answers(migrated_postgres_url: str) -> None:
    ledger = Ledger(open_database(migrated_postgres_url))

    def take(times: int) -> None:
        with ledger.database.write() as tx:
            for _ in range(times):
                tx.one("SELECT pg_sleep(0.1)")

    with patch.object(postgres, "_SILENCE_SECONDS", 0.3):
        take(5)
        with (
            patch.object(postgres, "_TRANSACTION_SECONDS", 0.35),
            pytest.raises(LedgerUnavailable, match="did not answer in time"),
        ):
            take(10)
    ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_closing_a_frozen_database_takes_no_time(cable: Cable) -> None:
    ledger = through(cable)
    ledger.reading.ping()
    cable.freeze()
    with patch.object(postgres, "_SILENCE_SECONDS", 0.3), pytest.raises(LedgerUnavailable):
        ledger.reading.ping()  # the pool tries to connect anew, in vain
    began = time.monotonic()
    ledger.close()
    assert time.monotonic() - began < 1.0


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
    """How many statements go with each journey of this thread meanwhile."""
    here, journeys = threading.current_thread(), list[int]()
    go = Journeys.go

    def listen(self: Journeys, statements: Iterable[Statement]) -> list[Answer]:
        statements = list(statements)
        if threading.current_thread() is here:
            journeys.append(len(statements))
        return go(self, statements)

    with patch.object(Journeys, "go", listen):
        yield journeys


def test_a_look_costs_one_journey(migrated_postgres_url: str) -> None:
    ledger = Ledger(open_database(migrated_postgres_url))
    ledger.reading.ping()
    with listening() as journeys:
        ledger.reading.ping()
    assert journeys == [1]
    ledger.close()


@pytest.mark.parametrize("limits", [Limits(), Limits(everything=(Limit(3, 60, "minute"),))])
def test_a_lead_costs_six_journeys(migrated_postgres_url: str, limits: Limits) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    world.limits = limits
    world.call(world.lead(), PLACED, to=OTHER_NUMBER)  # the first call ever of a scope takes the long way
    with listening() as journeys:
        lead_id = world.lead()
    assert len(journeys) == 1
    work = world.take(lead_id)
    with listening() as journeys:
        begun = world.begin_from(work, work.epoch)
    assert isinstance(begun, Begun)
    assert len(journeys) == 2
    answer = replace(PLACED, call_id="call-2")
    with listening() as journeys:
        settled = world.ledger.calls.settle(lead_id, begun.attempt_id, answer, None, lease=True)
    assert settled is not None
    assert len(journeys) == 2
    job = leased_job(work, world.decision(), answer, settled)
    assert job is not None
    with listening() as journeys:
        world.ledger.writebacks.done(job, 200, "taken")
    assert len(journeys) == 1
    story = world.ledger.reading.story(lead_id)
    assert story is not None
    assert (story.lead.writeback_state, story.history[-1].what) == ("done", "write-back done")
    world.ledger.close()


def test_what_was_foreseen_and_did_not_come_is_undone(world: World) -> None:
    """SQLite has no journeys to save, and foresees nothing."""
    beat = "INSERT INTO worker (id, started_at, heartbeat_at) VALUES (:id, 1, 1)"
    statements = [(beat, {"id": name}) for name in ("a", "b")]
    db = world.ledger.database

    def act(act: Callable[[Tx], object]) -> None:
        with db.write() as tx:
            tx.foresee(statements)
            assert tx.run(*statements[0]) == 1
            act(tx)

    others: list[Callable[[Tx], object]] = [
        lambda tx: tx.run(beat, {"id": "c"}),
        lambda tx: tx.one("SELECT 1 AS one"),
        lambda tx: tx.add(beat, {"id": "c"}),
        lambda tx: tx.ask("SELECT 1 AS one"),
        lambda tx: tx.each(beat, [{"id": "c"}]),
        lambda tx: None,
    ]
    if db.dialect == "postgresql":
        for other in others:
            with pytest.raises(Unforeseen):
                act(other)
        assert world.value("SELECT COUNT(*) FROM worker") == 0
    act(lambda tx: tx.run(*statements[1]))
    assert world.value("SELECT COUNT(*) FROM worker") == 2


def test_each_statement_sees_what_others_have_committed_whatever_the_default(migrated_postgres_url: str) -> None:
    """Who waited for a scope of limits has to count the call that it waited for."""
    name = urlsplit(migrated_postgres_url).path[1:]
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
        database = open_database(migrated_postgres_url)
        count = "SELECT COUNT(*) AS count FROM worker"
        with database.write() as tx:
            assert tx.one(count) == {"count": 0}
            other.execute("INSERT INTO worker (id, started_at, heartbeat_at) VALUES ('w', 1, 1)")
            assert tx.one(count) == {"count": 1}
    database.close()


def test_a_read_only_server_is_unavailable(migrated_postgres_url: str) -> None:
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        name = urlsplit(migrated_postgres_url).path[1:]
        other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    ledger = Ledger(open_database(migrated_postgres_url))
    with pytest.raises(LedgerUnavailable, match="ReadOnlySqlTransaction 25006"):
        ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_what_postgresql_says_of_a_row_is_not_passed_on(migrated_postgres_url: str) -> None:
    ledger = Ledger(open_database(migrated_postgres_url))
    insert = "INSERT INTO phone_guard (phone, lead_id, not_before) VALUES ('+15551234567', 1, 1)"
    with ledger.database.write() as tx:
        tx.run("ALTER TABLE phone_guard DROP CONSTRAINT phone_guard_lead_id_fkey")
        tx.run(insert)
    with pytest.raises(ConstraintHeld) as caught, ledger.database.write() as tx:
        tx.run(insert)
    assert str(caught.value) == "phone_guard_pkey"
    assert ledger.reading.story(LeadId(1)) is None
    ledger.close()


def test_a_second_claim_waits_for_the_first_and_then_loses(migrated_postgres_url: str) -> None:
    """READ COMMITTED: the loser's UPDATE waits for the winner's row lock and then looks at the new row."""
    world = World(Ledger(open_database(migrated_postgres_url)))
    work = world.take(world.lead())
    outcome: list[object] = []
    with world.ledger.database.write() as tx:
        tx.run("UPDATE lead SET epoch = epoch + 1, state = 'claimed', worker_id = 'w' WHERE id = 1")
        thread = threading.Thread(target=lambda: outcome.append(world.begin_from(work, work.epoch)))
        thread.start()
        _wait_for_a_lock(world)
    thread.join()
    assert outcome == [None]
    world.ledger.close()


@pytest.mark.parametrize("order", ["a brake", "an opt-out"])
def test_an_order_that_came_while_a_call_waited_for_a_lock_stops_it(migrated_postgres_url: str, order: str) -> None:
    """READ COMMITTED: the statement that waited sees the new row of the lead, and of all others what was before."""
    world = World(Ledger(open_database(migrated_postgres_url), NumberKey("a key for this test alone")))
    work = world.take(world.lead())
    outcome: list[object] = []
    with world.ledger.database.write() as tx:
        tx.run("UPDATE lead SET updated_at = updated_at")
        thread = threading.Thread(target=lambda: outcome.append(world.begin_from(work, work.epoch)))
        thread.start()
        _wait_for_a_lock(world)
        if order == "a brake":
            world.ledger.brakes.pull("*", who="ann", why="a test")
        else:
            world.ledger.do_not_call.add([NUMBER], source="ann")
    thread.join()
    assert outcome == [None]
    assert world.attempts(work.id) == []
    held = world.begin_from(work, work.epoch)
    assert isinstance(held, Held)
    assert held.reason in (Reason.PAUSED_BY_PERSON, Reason.DO_NOT_CALL)
    world.ledger.close()


def test_an_answer_waits_for_the_recovery_and_then_settles_what_it_left(migrated_postgres_url: str) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    lead_id = world.lead()
    begun = world.begun(lead_id)
    with world.ledger.database.write() as tx:
        tx.run("UPDATE lead SET state = 'unknown', epoch = epoch + 1")
        tx.run("UPDATE attempt SET state = 'unknown'")
        thread = threading.Thread(target=world.ledger.calls.settle, args=(lead_id, begun.attempt_id, PLACED, None))
        thread.start()
        _wait_for_a_lock(world)
    thread.join()
    assert (world.state(lead_id), world.attempts(lead_id)) == ("called", ["placed"])
    world.ledger.close()


def test_recovery_passes_over_a_lead_whose_answer_is_being_recorded(migrated_postgres_url: str) -> None:
    world = World(Ledger(open_database(migrated_postgres_url)))
    lead_id = world.lead()
    world.begun(lead_id)
    with world.ledger.database.write() as tx:
        tx.run("UPDATE lead SET updated_at = updated_at WHERE id = :id", {"id": lead_id})
        assert world.ledger.upkeep.recover(alone=True).unknown == ()
    assert world.ledger.upkeep.recover(alone=True).unknown == (lead_id,)
    world.ledger.close()


def _wait_for_a_lock(world: World) -> None:
    until = time.monotonic() + 5
    with psycopg.connect(world.url, autocommit=True) as other:
        while time.monotonic() < until:
            row = other.execute(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchone()
            if row is not None and row[0] > 0:
                return
    raise AssertionError("nobody waits")
