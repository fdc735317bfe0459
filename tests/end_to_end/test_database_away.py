"""A database that freezes, is away, is locked or is deleted: the CRM is told to come again, and nobody rings twice."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Cable, Rig, send_at_once, set_up_rig, wait_until

pytestmark = pytest.mark.slow

LONGEST_REFUSAL_SECONDS = 2.0
LONGEST_STOP_SECONDS = 10.0


@pytest.fixture
def cable(migrated_postgres_url: str) -> Iterator[Cable]:
    cable = Cable(migrated_postgres_url)
    yield cable
    cable.close()


@pytest.fixture
def far_rig(tmp_path: Path, cable: Cable) -> Iterator[Rig]:
    """A server whose PostgreSQL is at the other end of the cable."""
    with set_up_rig(tmp_path, cable.url) as rig:
        yield rig


def locked(rig: Rig) -> sqlite3.Connection:
    """The SQLite file in the hands of another process, until its ROLLBACK."""
    other = sqlite3.connect(rig.database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def assert_it_stops_in_time(rig: Rig, *, finished: bool) -> None:
    server = rig.server
    assert server is not None
    began_at = time.monotonic()
    rig.terminate()
    assert rig.wait_for_exit(LONGEST_STOP_SECONDS + 5) == 0
    assert time.monotonic() - began_at < LONGEST_STOP_SECONDS
    assert any(f"everything_finished={str(finished).lower()}" in line for line in server.last_lines())


def test_webhooks_at_a_frozen_postgresql_are_refused_in_time_and_taken_when_it_is_back(
    far_rig: Rig, cable: Cable
) -> None:
    far_rig.start()
    sent = send_at_once(far_rig, range(8))  # so that the pool has its connections
    wait_until(far_rig.is_quiet)
    cable.freeze()
    refused = send_at_once(far_rig, range(100, 108))  # as many as there are web threads
    assert {one.status for one in refused} == {503}
    assert max(one.took_seconds for one in refused) < LONGEST_REFUSAL_SECONDS
    cable.thaw()
    began_at = time.monotonic()
    wait_until(lambda: far_rig.send(100).status == 200, 5)
    assert time.monotonic() - began_at < 2.0
    again = send_at_once(far_rig, range(100, 108))
    wait_until(far_rig.is_quiet, 20)
    assert far_rig.assert_nothing_was_lost(sent + again) == {LeadState.CALLED: 16}


def test_a_postgresql_that_was_away_for_long_is_used_as_soon_as_it_is_back(far_rig: Rig, cable: Cable) -> None:
    far_rig.start()
    sent = [far_rig.send(0)]
    wait_until(far_rig.is_quiet)
    cable.cut()
    until = time.monotonic() + 6
    while time.monotonic() < until:
        refused = far_rig.send(1)
        assert refused.status == 503
        assert refused.took_seconds < LONGEST_REFUSAL_SECONDS
    cable.mend()
    began_at = time.monotonic()
    wait_until(lambda: far_rig.send(1).status == 200, 5)
    assert time.monotonic() - began_at < 2.0
    sent.append(far_rig.send(1))
    wait_until(far_rig.is_quiet, 20)
    assert far_rig.assert_nothing_was_lost(sent) == {LeadState.CALLED: 2}


def test_a_server_with_a_frozen_postgresql_stops_in_time(far_rig: Rig, cable: Cable) -> None:
    far_rig.contact_centre.behave("slow:500")
    far_rig.start()
    sent = send_at_once(far_rig, range(16))
    wait_until(lambda: len(far_rig.contact_centre.calls()) == 16)
    cable.freeze()
    assert_it_stops_in_time(far_rig, finished=False)
    cable.thaw()
    ledger = far_rig.open_ledger()
    with ledger.database.write() as tx:
        tx.run("UPDATE worker SET heartbeat_at = 1")  # 45 seconds have passed
    ledger.close()
    far_rig.contact_centre.behave("answer")
    far_rig.start()
    wait_until(far_rig.is_quiet, 60)
    far_rig.assert_nothing_was_lost(sent)


def test_a_server_with_a_locked_sqlite_file_stops_in_time_and_rings_nobody_again(sqlite_rig: Rig) -> None:
    sqlite_rig.contact_centre.behave("slow:500")
    sqlite_rig.start()
    sent = send_at_once(sqlite_rig, range(16))
    wait_until(lambda: len(sqlite_rig.contact_centre.calls()) == 16)
    other = locked(sqlite_rig)
    assert_it_stops_in_time(sqlite_rig, finished=False)
    other.execute("ROLLBACK")
    other.close()
    assert sqlite_rig.states() == {LeadState.DIALING: 16}
    sqlite_rig.start()
    wait_until(sqlite_rig.is_quiet)
    assert sqlite_rig.assert_nothing_was_lost(sent) == {LeadState.UNKNOWN: 16}


def test_outcomes_that_could_not_be_recorded_are_recorded_when_the_lock_ends_while_stopping(sqlite_rig: Rig) -> None:
    sqlite_rig.contact_centre.behave("slow:500")
    sqlite_rig.start()
    server = sqlite_rig.server
    assert server is not None
    send_at_once(sqlite_rig, range(8))
    wait_until(lambda: len(sqlite_rig.contact_centre.calls()) == 8)
    other = locked(sqlite_rig)
    server.wait_for(lambda line: "call.not_recorded" in line or None)
    sqlite_rig.terminate()
    server.wait_for(lambda line: "server.stopping" in line or None)
    other.execute("ROLLBACK")
    other.close()
    assert sqlite_rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
    assert "everything_finished=true" in server.last_lines()[-1]
    assert sqlite_rig.states() == {LeadState.CALLED: 8}


def test_a_deleted_sqlite_file_takes_no_more_webhooks_and_rings_nobody_more(sqlite_rig: Rig) -> None:
    sqlite_rig.start()
    assert sqlite_rig.send(0).status == 200
    wait_until(sqlite_rig.is_quiet)
    path = Path(sqlite_rig.database_url.removeprefix("sqlite:///"))
    for each in path.parent.glob(path.name + "*"):
        each.unlink()
    assert [sqlite_rig.send(n).status for n in range(1, 4)] == [503, 503, 503]
    assert_it_stops_in_time(sqlite_rig, finished=True)
    assert len(sqlite_rig.contact_centre.calls()) == 1
