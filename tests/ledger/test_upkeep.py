"""What dead workers left behind is free again where nothing was sent, and shown to a person where it may have been."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.ledger import Claimed, upkeep
from integration.model import LeadId, LeadState, Reason, Verdict, VerdictKind
from tests.ledger.conftest import OTHER_NUMBER, PLACED, UNCLEAR, World
from tests.ledger.test_calls import at_once

# Every statement that looks for leads.
LOOKS = {
    name: sql
    for name, sql in vars(upkeep).items()
    if isinstance(sql, str)
    and sql.lstrip().startswith(("SELECT", "UPDATE"))
    and ("FROM lead" in sql or "JOIN lead" in sql)
}


def claimed_and_dialing(world: World) -> tuple[LeadId, LeadId]:
    claimed, dialing = world.lead(), world.lead()
    assert isinstance(world.ledger.calls.claim(world.take(claimed), world.decision(), "d", "worker"), Claimed)
    world.begun(dialing, OTHER_NUMBER)
    return claimed, dialing


def test_the_leads_of_a_living_worker_are_left_alone(world: World) -> None:
    claimed_and_dialing(world)
    world.ledger.upkeep.heartbeat("worker")
    recovered = world.ledger.upkeep.recover()
    assert (recovered.freed, recovered.unknown) == ((), ())


def test_the_leads_of_a_worker_without_a_heartbeat_are_recovered(world: World) -> None:
    claimed, dialing = claimed_and_dialing(world)
    world.ledger.upkeep.heartbeat("worker")
    world.ledger.upkeep.heartbeat("other")
    world.sql("UPDATE worker SET heartbeat_at = heartbeat_at - 44000 WHERE id = 'worker'")
    assert world.ledger.upkeep.recover().unknown == ()
    world.sql("UPDATE worker SET heartbeat_at = heartbeat_at - 2000 WHERE id = 'worker'")
    recovered = world.ledger.upkeep.recover()
    assert (recovered.freed, recovered.unknown) == ((claimed,), (dialing,))
    assert (world.state(claimed), world.state(dialing)) == (LeadState.READY, LeadState.UNKNOWN)
    assert (world.reason(dialing), world.attempts(dialing)) == (Reason.WORKER_LOST, ["unknown"])
    assert list(world.ledger.upkeep.due_writebacks()) == [dialing]


def test_the_leads_of_a_worker_that_said_goodbye_are_recovered_at_once(world: World) -> None:
    claimed, dialing = claimed_and_dialing(world)
    world.ledger.upkeep.heartbeat("worker")
    world.ledger.upkeep.leave("worker")
    recovered = world.ledger.upkeep.recover()
    assert (recovered.freed, recovered.unknown) == ((claimed,), (dialing,))


def test_a_lease_that_ran_out_is_recovered_though_its_worker_lives(world: World) -> None:
    claimed, dialing = claimed_and_dialing(world)
    world.ledger.upkeep.heartbeat("worker")
    assert 29 < float(world.value("SELECT lease_until - {now} FROM lead WHERE id = :id", id=claimed)) / 1000 <= 30
    assert 119 < float(world.value("SELECT lease_until - {now} FROM lead WHERE id = :id", id=dialing)) / 1000 <= 120
    world.sql("UPDATE lead SET lease_until = 1")
    recovered = world.ledger.upkeep.recover()
    assert (recovered.freed, recovered.unknown) == ((claimed,), (dialing,))


def test_a_dialing_lead_is_never_made_ready(world: World) -> None:
    _, dialing = claimed_and_dialing(world)
    for alone in (False, True, True):
        world.ledger.upkeep.recover(alone=alone)
    assert world.state(dialing) is LeadState.UNKNOWN
    assert world.ledger.calls.take(dialing) is None


def test_alone_everything_is_recovered_at_once_also_write_backs(world: World) -> None:
    claimed, dialing = claimed_and_dialing(world)
    told = world.lead()
    world.call(told, PLACED, to="+15551230003")
    assert world.ledger.writebacks.take(told) is not None
    world.ledger.upkeep.heartbeat("worker")
    recovered = world.ledger.upkeep.recover(alone=True)
    assert (recovered.freed, recovered.unknown) == ((claimed,), (dialing,))
    assert list(world.ledger.upkeep.due_writebacks()) == [told, dialing]


def test_many_workers_recover_at_the_same_time_without_waiting_for_each_other(world: World) -> None:
    leads = [world.lead() for _ in range(30)]
    for n, lead_id in enumerate(leads):
        world.begun(lead_id, f"+1555123{n:04}")
    found = at_once(8, lambda _: world.ledger.upkeep.recover().unknown)
    assert sorted(lead_id for each in found for lead_id in each) == leads


def test_what_is_due_comes_oldest_first_and_not_all_at_once(world: World) -> None:
    leads = [world.lead() for _ in range(5)]
    world.sql("UPDATE lead SET state = 'waiting', due_at = {now} + 60000 WHERE id = :id", id=leads[0])
    world.sql("UPDATE lead SET state = 'ready', due_at = 1 WHERE id = :id", id=leads[1])
    assert list(world.ledger.upkeep.due_leads()) == leads[1:]
    assert list(world.ledger.upkeep.due_leads(most=2)) == leads[1:3]


def test_sources_of_which_enough_is_known_are_not_looked_for(world: World) -> None:
    leads = [world.lead() for _ in range(3)]
    world.sql("UPDATE lead SET source = 'flood' WHERE id = :id", id=leads[0])
    world.sql("UPDATE lead SET source = 'other' WHERE id = :id", id=leads[1])
    upkeep = world.ledger.upkeep
    assert upkeep.due_leads(but_of=["flood"]) == {leads[1]: "other", leads[2]: "crm"}
    assert upkeep.due_leads(1, but_of=["flood", "other"]) == {leads[2]: "crm"}
    world.sql("UPDATE lead SET state = 'parked'")
    for lead_id in leads:
        world.ledger.people.give_up(lead_id, by="a person")
    assert upkeep.due_writebacks(but_of=["flood"]) == {leads[1]: "other", leads[2]: "crm"}


def test_workers_that_died_long_ago_are_forgotten(world: World) -> None:
    world.ledger.upkeep.heartbeat("old")
    world.sql("UPDATE worker SET heartbeat_at = heartbeat_at - 86400001")
    world.ledger.upkeep.heartbeat("new")
    assert world.value("SELECT COUNT(*) FROM worker") == 1


def test_a_backlog_of_one_source_does_not_hide_the_leads_of_another(world: World) -> None:
    flood = [world.lead() for _ in range(6)]
    other = [world.lead() for _ in range(2)]
    for lead_id in other:
        world.sql("UPDATE lead SET source = 'other' WHERE id = :id", id=lead_id)
    due = world.ledger.upkeep.due_leads(most=4)
    assert list(due) == [flood[0], other[0], flood[1], other[1]]
    assert list(due.values()) == ["crm", "other", "crm", "other"]


def test_results_of_one_source_do_not_hide_those_of_another(world: World) -> None:
    leads = [world.lead() for _ in range(5)]
    world.sql("UPDATE lead SET source = 'other' WHERE id = :id", id=leads[4])
    for n, lead_id in enumerate(leads):
        world.call(lead_id, UNCLEAR, to=f"+1555123{n:04}")
        world.sql("UPDATE writeback SET due_at = :n WHERE lead_id = :id", n=n + 1, id=lead_id)
    assert list(world.ledger.upkeep.due_writebacks(most=3)) == [leads[0], leads[4], leads[1]]


@pytest.mark.parametrize("name", [*LOOKS])
def test_no_look_of_the_upkeep_goes_through_every_lead_there_ever_was(sqlite_template: Path, name: str) -> None:
    """SQLite takes a partial index only when the query repeats its words; this was forgotten once."""
    sql = LOOKS[name].replace("{now}", "1").replace("{skip_locked}", "")
    connection = sqlite3.connect(sqlite_template)
    values = dict.fromkeys(("alone", "dead", "most", "overdue", "reason", "detail", "spread", "digest"), 0)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    connection.close()
    assert not [step for step in plan if step.startswith(("SCAN lead", "SCAN writeback", "SCAN history"))], plan


def test_who_waits_for_an_opening_by_other_rules_is_judged_anew_within_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = datetime.now(UTC) + timedelta(days=1)
    verdict = Verdict(VerdictKind.WAIT, opens, LeadState.WAITING, Reason.OUTSIDE_HOURS, "until tomorrow")
    leads = [world.lead() for _ in range(5)]
    for lead_id in leads:
        work = world.take(lead_id)
        assert world.ledger.calls.wait(work, work.epoch, world.decision(), verdict, "digest")
    paused = world.lead()
    world.sql(
        "UPDATE lead SET state = 'waiting', due_at = 2 * {now}, reason = 'rate_limited' WHERE id = :id", id=paused
    )
    assert world.ledger.upkeep.judge_anew("digest") == 0
    monkeypatch.setattr(upkeep, "MOST_WOKEN", 3)
    assert [world.ledger.upkeep.judge_anew("new") for _ in range(3)] == [3, 2, 0]
    waits = [world.wait_seconds(lead_id) for lead_id in leads]
    assert all(-5 < wait <= upkeep.JUDGED_WITHIN_SECONDS for wait in waits)
    assert len(set(waits)) == 5
    assert world.wait_seconds(paused) > 1000
