"""No statement of a lead's way goes through all the leads there ever were: with a million old ones it would show."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import psycopg

from integration.ledger import ALL_DIALING, Held, Ledger, NewEvent, NumberKey, SetBack
from integration.ledger.database import Asked, Database, Params, Row, Statement, Tx
from integration.ledger.journeys import Journeys
from integration.model import Burst, LeadState, Limit, Limits, Reason
from tests.ledger.conftest import PLACED, UNCLEAR, World, refused

# Indexes over what is still under way alone, or over few rows: such a one may be read from end to end.
SMALL = ("lead_moving", "lead_movable_by_source", "writeback_pending", "pause_pkey", "worker_pkey", "procrastinate_")
GROWING = (
    "delivery", "lead", "attempt", "writeback", "history", "phone_guard", "do_not_call", "limit_use", "arrival",
)  # fmt: skip
Said = tuple[str, Params | None]


class Listening:
    """A database that notes each statement."""

    def __init__(self, database: Database, said: list[Said]) -> None:
        self.dialect: Literal["sqlite", "postgresql"] = database.dialect
        self.url = database.url
        self.writes_in_one = database.writes_in_one
        self._database = database
        self._said = said

    @contextlib.contextmanager
    def write(self, *, urgent: bool = False) -> Iterator[Tx]:
        with self._database.write(urgent=urgent) as tx:
            yield ListeningTx(tx, self._said)

    def write_one(self, sql: str, params: Params, *, urgent: bool = False) -> Row | None:
        self._said.append((sql, params))
        return self._database.write_one(sql, params, urgent=urgent)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        with self._database.read() as tx:
            yield ListeningTx(tx, self._said)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Tx]:
        with self._database.snapshot() as tx:
            yield ListeningTx(tx, self._said)

    def close(self) -> None:
        self._database.close()


class ListeningTx:
    def __init__(self, tx: Tx, said: list[Said]) -> None:
        self._tx = tx
        self._said = said

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        self._said.append((sql, params))
        return self._tx.one(sql, params)

    def all(self, sql: str, params: Params | None = None) -> Sequence[Row]:
        self._said.append((sql, params))
        return self._tx.all(sql, params)

    def run(self, sql: str, params: Params | None = None) -> int:
        self._said.append((sql, params))
        return self._tx.run(sql, params)

    def add(self, sql: str, params: Params | None = None) -> None:
        self._said.append((sql, params))
        self._tx.add(sql, params)

    def ask(self, sql: str, params: Params | None = None) -> Asked:
        self._said.append((sql, params))
        return self._tx.ask(sql, params)

    def each(self, sql: str, params: Sequence[Params]) -> list[Row | None]:
        self._said += [(sql, one) for one in params[:1]]
        return self._tx.each(sql, params)

    def foresee(self, statements: Sequence[Statement]) -> None:
        self._tx.foresee(statements)


def live(world: World) -> None:
    """Whatever can happen to a lead without a person looking through lists."""
    ledger = world.ledger
    event = [NewEvent("id:seen")]
    for body in (b"{}", b"[]"):  # the second time with another body
        ledger.intake.receive(source="crm", body=body, content_type=None, received_at_ms=1, events=event)
    ledger.upkeep.heartbeat("worker")
    called, unclear, limited, skipped, prepared, lost, again, twin = (world.lead() for _ in range(8))
    world.call(called, PLACED)
    for job in filter(None, [ledger.writebacks.take(called)]):
        ledger.writebacks.again(job, 0.0, "later")
    for job in filter(None, [ledger.writebacks.take(called)]):
        ledger.writebacks.release(job)
    for job in filter(None, [ledger.writebacks.take(called)]):
        ledger.writebacks.done(job, 200, "taken")
    assert isinstance(world.begin(twin), Held)
    world.call(unclear, UNCLEAR, to="+15551230011")
    ledger.people.ring_again(unclear, by="a person")
    begun = world.begun(unclear, to="+15551230011")
    ledger.calls.settle(unclear, begun.attempt_id, UNCLEAR, None, lease=True)
    ledger.people.was_rung(unclear, by="a person", call_id="by-hand")
    waits = SetBack(LeadState.WAITING, Reason.RATE_LIMITED, wait_seconds=60.0, pause=ALL_DIALING)
    world.call(limited, refused(Reason.RATE_LIMITED), waits, to="+15551230012")
    world.pause_is_due()
    work = world.take(prepared)
    claimed = ledger.calls.claim(work, world.decision("+15551230013"), "digest", "worker")
    assert claimed is not None
    ledger.calls.claim(world.take(again), world.decision("+15551230014"), "digest", "worker")
    ledger.calls.stumble(again, "an error")
    ledger.upkeep.clear_pauses()
    work = world.take(skipped)
    by_rule = replace(world.decision(), reason=Reason.RULE_SKIPS)
    ledger.calls.finish(work, work.epoch, LeadState.SKIPPED, by_rule, "digest")
    ledger.people.decide_again(skipped, by="a person")
    work = world.take(skipped)
    ledger.calls.set_back(work, work.epoch, waits, "no token", "east")
    ledger.people.give_up(skipped, by="a person")
    ledger.people.tell_crm_again(skipped, by="a person")
    ledger.upkeep.clear_pauses()
    world.begun(lost, to="+15551230015")
    world.sql("UPDATE lead SET lease_until = 1 WHERE id = :id", id=lost)
    ledger.upkeep.recover()
    ledger.upkeep.recover(alone=True)
    ledger.upkeep.resume()
    ledger.upkeep.due_leads(1)
    ledger.upkeep.due_leads(1, overdue_seconds=5.0)
    ledger.upkeep.due_writebacks(1)
    ledger.upkeep.due_leads(1, but_of=["flood"])
    ledger.upkeep.due_writebacks(1, but_of=["flood"])
    ledger.upkeep.somebody_works()
    under_the_house(world)
    ledger.reading.story(called)
    list(ledger.reading.leads(most=2))
    ledger.reading.pauses()
    ledger.wakeups.tidy()
    ledger.upkeep.leave("worker")


def under_the_house(world: World) -> None:
    """The same for limits, the list and brakes."""
    minute = (Limit(2, 60, "minute"), Limit(50, 86_400, "day"))
    world.limits = Limits(minute, {"crm": minute}, {"east": minute})
    world.ledger.do_not_call.add(["+15551230020"], source="a person")
    listed, first, second, third, braked = (world.lead() for _ in range(5))
    assert isinstance(world.begin(listed, "+15551230020"), Held)
    world.call(first, refused(Reason.NOT_SENT), SetBack(LeadState.WAITING, Reason.NOT_SENT, 60.0), to="+15551230021")
    world.begun(second, "+15551230022")
    world.begun(third, "+15551230023")
    assert isinstance(world.begin(braked, "+15551230024"), Held)
    world.ledger.rates.let_in(world.limits)
    world.ledger.brakes.pull("*", who="a person", why="to see")
    world.sql("UPDATE lead SET due_at = 1 WHERE id = :id", id=braked)
    assert isinstance(world.begin(braked, "+15551230024"), Held)
    world.ledger.upkeep.resume()
    list(world.ledger.brakes.let_go("*", per_minute=10, who="a person"))
    event = NewEvent("id:no more", opted_out=("+15551230025",))
    for events in ([NewEvent("id:one of many")], [event]):
        world.ledger.intake.receive(
            source="crm", body=b"", content_type=None, received_at_ms=1, events=events, burst=Burst(1, 60)
        )
    world.ledger.do_not_call.find("+15551230020")
    world.ledger.do_not_call.why_unreadable()


def plan_of(database_url: str, said: Said) -> list[str]:
    """What the database would do, step by step; PostgreSQL told to take an index wherever one can serve."""
    sql, params = said
    if database_url.startswith("sqlite"):
        plain = sql.replace("{now}", "1").replace("{skip_locked}", "").replace("{lock}", "")
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {plain}", params or {})]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        (answer,) = Journeys(connection).go([(f"EXPLAIN {sql}", params or {})])
        return [row["QUERY PLAN"].strip() for row in answer.all()]


def steps(plan: list[str]) -> Iterator[str]:
    """Each step with its conditions behind it; SQLite says both in one line."""
    yield from re.split(r"\n(?=-> |S[A-Z]+ )", "\n".join(plan))


def reads_all(plan: list[str]) -> bool:
    """Whether a step goes through a table that grows, or through an index over all of it."""
    tables = "|".join(GROWING)
    table = re.compile(rf"(SCAN|Seq Scan on) ({tables})\b")
    index = re.compile(rf"Index (Only )?Scan( Backward)? using (\w+) on ({tables})\b|Bitmap Index Scan on (\w+)")
    for step in steps(plan):
        if any(name in step for name in SMALL):
            continue
        if table.search(step) or (index.search(step) and "Index Cond" not in step):
            return True
    return False


def test_no_step_reads_a_whole_table_that_grows(world: World) -> None:
    said: list[Said] = []
    live(World(Ledger(Listening(world.ledger.database, said), NumberKey("k" * 32))))
    plans = {sql: plan_of(world.url, (sql, params)) for sql, params in dict(said).items()}
    assert len(plans) > 50
    assert {sql: plan for sql, plan in plans.items() if reads_all(plan)} == {}


def test_a_step_that_reads_a_whole_table_is_found(world: World) -> None:
    for sql in ("SELECT state FROM lead WHERE call_id = 'x'", "SELECT COUNT(*) FROM attempt WHERE state = 'placed'"):
        assert reads_all(plan_of(world.url, (sql, None))), sql
