"""A lead that may be moved has its job, committed with it; what a job can bring about is a look, and nothing more."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate.schema import SchemaManager

from integration.crash_points import arm, disarm
from integration.ledger import ALL_DIALING, Begun, Claimed, Ledger, NewEvent, SetBack, open_database, wakeups
from integration.ledger.wakeups import QUEUE, TASK
from integration.model import AttemptId, Decision, DecisionKind, LeadId, LeadState, Reason
from tests.ledger.conftest import OTHER_NUMBER, UNCLEAR, World, refused

WAIT = SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=60.0)
AT_ONCE = SetBack(LeadState.READY, Reason.TOKEN_REFUSED)
PAUSE = SetBack(LeadState.WAITING, Reason.TOKEN_REFUSED, wait_seconds=60.0, pause=ALL_DIALING)
NOT_SENT = refused(Reason.NOT_SENT)


@pytest.fixture
def world(migrated_postgres_url: str) -> Iterator[World]:
    ledger = Ledger(open_database(migrated_postgres_url))
    yield World(ledger)
    ledger.close()


def jobs(world: World, columns: str = "args, scheduled_at") -> list[dict[str, Any]]:
    with psycopg.connect(world.url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(f"SELECT {columns} FROM procrastinate_jobs ORDER BY id".encode()).fetchall()


def forget_jobs(world: World) -> None:
    world.sql("DELETE FROM procrastinate_jobs")


def woken(world: World) -> list[LeadId]:
    return [LeadId(job["args"]["lead_id"]) for job in jobs(world)]


# ---- when a job is deferred -------------------------------------------------------------------------


def claimed(world: World) -> LeadId:
    lead_id = world.lead()
    assert isinstance(world.ledger.calls.claim(world.take(lead_id), world.decision(), "d", "worker"), Claimed)
    return lead_id


def dialing(world: World) -> tuple[LeadId, AttemptId]:
    lead_id = world.lead()
    return lead_id, world.begun(lead_id).attempt_id


def received(world: World) -> LeadId:
    return world.lead()


def put_off(world: World) -> LeadId:
    lead_id = world.lead()
    assert world.ledger.calls.set_back(world.take(lead_id), 0, WAIT, "not sent", "east")
    return lead_id


def refused_by_the_dialer(world: World) -> LeadId:
    lead_id, attempt_id = dialing(world)
    assert world.ledger.calls.settle(lead_id, attempt_id, NOT_SENT, WAIT) is not None
    return lead_id


def sent_back_for_another_token(world: World) -> LeadId:
    lead_id, attempt_id = dialing(world)
    assert world.ledger.calls.settle(lead_id, attempt_id, NOT_SENT, AT_ONCE) is not None
    return lead_id


def held_because_its_number_is_busy(world: World) -> LeadId:
    dialing(world)
    forget_jobs(world)
    lead_id = world.lead()
    forget_jobs(world)
    world.held(lead_id)
    return lead_id


def stumbled(world: World) -> LeadId:
    lead_id = world.lead()
    world.ledger.calls.stumble(lead_id, "an error of ours")
    return lead_id


def freed(world: World) -> LeadId:
    lead_id = claimed(world)
    forget_jobs(world)
    assert world.ledger.upkeep.recover().freed == (lead_id,)
    return lead_id


def ordered_again(world: World) -> LeadId:
    lead_id = world.unknown()
    forget_jobs(world)
    world.ledger.people.ring_again(lead_id, by="a tester")
    return lead_id


def decided_again(world: World) -> LeadId:
    lead_id = world.lead()
    parked = Decision(DecisionKind.PARK, Reason.NO_RULE, "no rule fits")
    assert world.ledger.calls.finish(world.take(lead_id), 0, LeadState.PARKED, parked, "digest")
    forget_jobs(world)
    world.ledger.people.decide_again(lead_id, by="a tester")
    return lead_id


def resumed_after_a_pause(world: World) -> LeadId:
    first, attempt_id = dialing(world)
    world.ledger.calls.settle(first, attempt_id, NOT_SENT, PAUSE)
    lead_id = world.lead()
    world.held(lead_id, OTHER_NUMBER)
    forget_jobs(world)
    world.sql("DELETE FROM pause")
    assert world.ledger.upkeep.resume() == 1
    return lead_id


NOW: list[Callable[[World], LeadId]] = [
    received,
    sent_back_for_another_token,
    freed,
    ordered_again,
    decided_again,
    resumed_after_a_pause,
]
LATER: list[Callable[[World], LeadId]] = [
    put_off,
    refused_by_the_dialer,
    held_because_its_number_is_busy,
    stumbled,
]


@pytest.mark.parametrize("come_to_be", NOW, ids=lambda step: step.__name__)
def test_a_lead_that_may_be_moved_at_once_wakes_a_worker_at_once(
    world: World, come_to_be: Callable[[World], LeadId]
) -> None:
    lead_id = come_to_be(world)
    assert jobs(world, "queue_name, task_name, args, priority, scheduled_at, status")[-1] == {
        "queue_name": QUEUE,
        "task_name": TASK,
        "args": {"lead_id": lead_id},
        "priority": 0,
        "scheduled_at": None,
        "status": "todo",
    }
    assert world.ledger.calls.take(lead_id) is not None


@pytest.mark.parametrize("come_to_be", LATER, ids=lambda step: step.__name__)
def test_a_lead_that_waits_wakes_a_worker_when_its_time_has_come(
    world: World, come_to_be: Callable[[World], LeadId]
) -> None:
    lead_id = come_to_be(world)
    due_at = datetime.fromtimestamp(int(world.value("SELECT due_at FROM lead WHERE id = :id", id=lead_id)) / 1000, UTC)
    job = jobs(world, "args, priority, scheduled_at")[-1]
    assert job["args"] == {"lead_id": lead_id}
    assert 0 < (job["scheduled_at"] - due_at).total_seconds() <= 0.002  # never before: it would look in vain
    assert job["priority"] == -1  # behind those that may be moved now


def test_what_was_not_committed_has_no_job(world: World) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    arm("intake.before_commit", fail)
    with pytest.raises(ZeroDivisionError):
        world.lead()
    disarm()
    assert jobs(world) == []


def test_a_batch_has_a_job_for_each_of_its_leads_and_none_for_what_was_known(world: World) -> None:
    def keep(*keys: str) -> None:
        events = [NewEvent(f"id:{key}") for key in keys]
        world.ledger.intake.receive(
            source="crm", body=b"{}", content_type=None, received_at_ms=1, events=events, note=""
        )

    keep("a", "b", "c")
    keep("b", "d")
    assert len(set(woken(world))) == 4
    assert len(jobs(world)) == 4


def test_what_nobody_has_to_move_has_no_job(world: World) -> None:
    parked = NewEvent("id:p", parked=(Reason.BAD_BODY, "no JSON"))
    world.ledger.intake.receive(source="crm", body=b"x", content_type=None, received_at_ms=1, events=[parked])
    assert jobs(world) == []
    lead_id, attempt_id = dialing(world)
    forget_jobs(world)
    assert world.ledger.calls.settle(lead_id, attempt_id, UNCLEAR, None) is not None
    world.ledger.people.give_up(lead_id, by="a tester")
    assert jobs(world) == []


def test_a_flood_of_one_source_does_not_hold_up_the_lead_of_another(world: World) -> None:
    def keep(source: str, key: str) -> LeadId:
        receipt = world.ledger.intake.receive(
            source=source, body=b"{}", content_type=None, received_at_ms=1, events=[NewEvent(f"id:{key}")]
        )
        return receipt.created[0]

    flood = [keep("flood", str(n)) for n in range(100)]
    other = keep("other", "one")
    late = keep("flood", "late")
    with psycopg.connect(world.url, autocommit=True) as connection:
        worker = connection.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone()
        fetch = "SELECT args FROM procrastinate_fetch_job_v2(ARRAY['leads'], %s)"
        fetched = [connection.execute(fetch, worker).fetchone() for _ in range(102)]
    order = [args["lead_id"] for (args,) in fetched if args]
    assert order.index(other) < 8
    assert [lead_id for lead_id in order if lead_id != other] == [*flood, late]


# ---- where `serve` works its leads itself -----------------------------------------------------------


def test_serve_defers_jobs_only_while_a_worker_lives(world: World) -> None:
    serving = World(Ledger(open_database(world.url, works_itself=True)))
    serving.lead()
    assert jobs(world) == []
    world.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")
    beside_a_worker = serving.lead()
    assert woken(world) == [beside_a_worker]
    world.sql("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - INTERVAL '61 seconds'")
    serving.lead()
    assert woken(world) == [beside_a_worker]
    serving.ledger.close()


@pytest.mark.parametrize("statistics", ["none", "of a flood"])
def test_a_job_costs_no_look_through_all_leads_whatever_the_statistics_say(world: World, statistics: str) -> None:
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE lead DISABLE TRIGGER USER")
        world.lead()
        connection.execute(
            "INSERT INTO lead (delivery_id, source, dedupe_key, state, detail, received_at, updated_at)"
            " SELECT 1, 'crm', n::text, 'received', '', 1, 1 FROM generate_series(1, 5000) n"
        )
        if statistics == "of a flood":
            connection.execute("ANALYZE")
        connection.execute("UPDATE lead SET state = 'called'")
        connection.execute("ALTER TABLE lead ENABLE TRIGGER USER")
    with psycopg.connect(world.url) as connection:  # a new one: plans are kept by connection
        connection.execute("UPDATE lead SET state = 'received' WHERE id = 7")
        looked = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'lead'"
        assert connection.execute(looked).fetchone() < (100,)  # type: ignore[operator]
    assert len(jobs(world)) == 1


# ---- the library's side -------------------------------------------------------------------------------


def test_the_trigger_defers_what_the_documented_call_would(world: World) -> None:
    lead_id = world.lead()
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=world.url))
    with psycopg.connect(world.url) as connection:
        app.configure_task(TASK, queue=QUEUE, connection=connection).defer(lead_id=lead_id)
    columns = "queue_name, task_name, priority, lock, queueing_lock, args, status, scheduled_at, attempts, worker_id"
    ours, theirs = jobs(world, columns)
    assert ours == theirs


def test_the_migration_fits_the_version_of_the_library_that_is_installed() -> None:
    newest = max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    migration = importlib.import_module("integration.ledger.migrations.versions.0002_wake_ups")
    assert newest == migration.SCHEMA


@pytest.mark.slow
@pytest.mark.parametrize("room", ["integration.web.hooks", "integration.runner.local", "integration.ledger.postgres"])
def test_only_a_worker_loads_the_library(room: str) -> None:
    code = f"import sys, {room}, integration.serving; print('procrastinate' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- upkeep -------------------------------------------------------------------------------------------


def fetched(world: World, heartbeat: str) -> None:
    """Every job is in the hands of a worker that beat at this instant."""
    world.sql(f"INSERT INTO procrastinate_workers (last_heartbeat) VALUES ({heartbeat})")
    world.sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)")


def test_what_a_dead_worker_had_fetched_goes_back_and_keeps_its_place(world: World) -> None:
    world.lead()
    world.lead()
    before = jobs(world, "id, args, priority")
    fetched(world, "now() - INTERVAL '31 seconds'")
    world.ledger.wakeups.tidy()
    assert jobs(world, "id, args, priority") == before
    assert [job["status"] for job in jobs(world, "status")] == ["todo", "todo"]


def test_what_a_worker_had_fetched_that_is_known_no_more_goes_back(world: World) -> None:
    world.lead()
    fetched(world, "now()")
    world.sql("DELETE FROM procrastinate_workers")
    world.ledger.wakeups.tidy()
    assert jobs(world, "status") == [{"status": "todo"}]


def test_what_a_living_worker_has_fetched_is_left_to_it(world: World) -> None:
    world.lead()
    fetched(world, "now() - INTERVAL '29 seconds'")
    world.ledger.wakeups.tidy()
    assert jobs(world, "status") == [{"status": "doing"}]


def test_a_job_whose_end_a_living_worker_could_not_note_goes_back(world: World) -> None:
    world.lead()
    fetched(world, "now()")
    world.sql("UPDATE procrastinate_events SET at = now() - INTERVAL '61 seconds' WHERE type = 'started'")
    world.ledger.wakeups.tidy()
    assert jobs(world, "status") == [{"status": "todo"}]


def test_jobs_that_no_lead_waits_for_are_deleted_and_the_others_kept(world: World) -> None:
    done, attempt_id = dialing(world)
    world.ledger.calls.settle(done, attempt_id, UNCLEAR, None)
    under_way = world.lead()
    assert isinstance(world.begin(under_way, OTHER_NUMBER), Begun)
    waiting, new = put_off(world), world.lead()
    every_job = woken(world)
    world.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")
    world.ledger.wakeups.tidy()
    assert woken(world) == every_job  # a living worker fetches them, and finds out
    world.sql("DELETE FROM procrastinate_workers")
    world.ledger.wakeups.tidy()
    assert set(woken(world)) == {waiting, new}


def test_a_backlog_of_needless_jobs_is_deleted_little_by_little(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would take longer than a statement may, each time, and none would ever go."""
    monkeypatch.setattr(wakeups, "MOST_DELETED", 2)
    leads = [world.lead() for _ in range(3)]
    world.sql("UPDATE lead SET state = 'skipped'")
    assert woken(world) == leads
    world.ledger.wakeups.tidy()
    assert woken(world) == leads[2:]
    world.ledger.wakeups.tidy()
    assert woken(world) == []


# ---- leads that nobody woke -----------------------------------------------------------------------------


def test_a_lead_is_overdue_when_it_might_have_been_moved_long_ago(world: World) -> None:
    lead_id = world.lead()
    later = put_off(world)
    upkeep = world.ledger.upkeep
    assert list(upkeep.due_leads()) == [lead_id]
    assert list(upkeep.due_leads(overdue_seconds=5.0)) == []
    world.sql("UPDATE lead SET updated_at = updated_at - 5100")
    assert list(upkeep.due_leads(overdue_seconds=5.0)) == [lead_id]
    world.sql("UPDATE lead SET due_at = due_at - 64000 WHERE due_at IS NOT NULL")
    assert list(upkeep.due_leads(overdue_seconds=5.0)) == [lead_id]
    world.sql("UPDATE lead SET due_at = due_at - 2000 WHERE due_at IS NOT NULL")
    assert list(upkeep.due_leads(overdue_seconds=5.0)) == [lead_id, later]
