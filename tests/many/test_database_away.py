"""PostgreSQL is restarted, cut off or frozen: webhooks get 503 in time, nobody spins, and nothing is lost."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from integration.ledger.wakeups import LONGEST_IN_HAND_SECONDS
from integration.model import LeadState
from integration.runner.local import TIDY_EVERY_SECONDS
from tests.end_to_end.rig import Cable, Sent, send_at_once, wait_until
from tests.many.fleet import Fleet, cpu_seconds, set_up_fleet, terminate
from tests.postgres import Cluster, PostgresServer

pytestmark = pytest.mark.slow

LONGEST_REFUSAL_SECONDS = 2.0
OUTAGE_SECONDS = 12.0
MOST_BUSY = 0.05  # of a processor, in each process
LONGEST_STOP_SECONDS = 10.0


@pytest.fixture
def cable(migrated_postgres_url: str) -> Iterator[Cable]:
    cable = Cable(migrated_postgres_url)
    yield cable
    cable.close()


@pytest.fixture
def far_fleet(tmp_path: Path, cable: Cable) -> Iterator[Fleet]:
    """A fleet whose PostgreSQL is at the other end of the cable."""
    with set_up_fleet(tmp_path, cable.url) as fleet:
        yield fleet


@pytest.fixture
def own_fleet(tmp_path: Path, cluster: Cluster) -> Iterator[Fleet]:
    """A fleet whose PostgreSQL may be restarted."""
    server = PostgresServer(cluster.url)
    with set_up_fleet(tmp_path, server.create_migrated()) as fleet:
        yield fleet


class PatientCrm:
    """Sends webhooks from several threads until the block ends, each again until it is taken, as a CRM does."""

    def __init__(self, fleet: Fleet, threads: int = 6) -> None:
        self.sent: list[Sent] = []
        self._fleet = fleet
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            n = next(self._numbers)
            while True:
                one = self._fleet.send(n)
                self.sent.append(one)
                if one.status == 200 or self._stop.is_set():
                    break
                time.sleep(0.1)


def test_postgresql_is_restarted_under_load(own_fleet: Fleet, cluster: Cluster) -> None:
    own_fleet.contact_centre.latency_ms = 30
    own_fleet.web()
    own_fleet.worker()
    own_fleet.worker()
    with PatientCrm(own_fleet) as crm:
        for how in (signal.SIGINT, signal.SIGQUIT):
            time.sleep(1.0)
            cluster.stop(how)
            time.sleep(1.5)
            cluster.start()
        time.sleep(1.0)
    sent = crm.sent
    assert {one.status for one in sent} == {200, 503}
    moving = {LeadState.RECEIVED, LeadState.WAITING, LeadState.READY, LeadState.CLAIMED}
    wait_until(lambda: not moving & own_fleet.states().keys(), 30)
    # For what was committed while the answer was cut off: nobody but the ledger knows of it.
    own_fleet.a_minute_passes()
    own_fleet.a_minute_passes()
    wait_until(own_fleet.is_quiet, 30)
    own_fleet.assert_nothing_was_lost(sent)
    # A job whose end could not be noted is given back and looked at once more.
    wait_until(lambda: own_fleet.jobs() == [], LONGEST_IN_HAND_SECONDS + TIDY_EVERY_SECONDS + 10)


def test_while_the_database_is_away_webhooks_are_refused_in_time_and_nobody_spins(
    far_fleet: Fleet, cable: Cable
) -> None:
    processes = [far_fleet.web(), far_fleet.worker(), far_fleet.worker()]
    sent = send_at_once(far_fleet, range(8))
    wait_until(far_fleet.is_quiet)
    cable.cut()
    used = [cpu_seconds(process) for process in processes]
    began_at = time.monotonic()
    refused = []
    while time.monotonic() - began_at < OUTAGE_SECONDS:
        refused.append(far_fleet.send(100))
        time.sleep(1.0)
    busy = [(cpu_seconds(process) - before) / OUTAGE_SECONDS for process, before in zip(processes, used, strict=True)]
    assert {one.status for one in refused} == {503}
    assert max(one.took_seconds for one in refused) < LONGEST_REFUSAL_SECONDS
    assert max(busy) < MOST_BUSY, busy
    cable.mend()
    wait_until(lambda: far_fleet.send(100).status == 200, 5)
    sent.append(far_fleet.send(100))
    wait_until(far_fleet.is_quiet, 20)
    assert far_fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 9}
    # And the jobs are fetched again, not only found by the look for forgotten leads.
    wait_until(
        lambda: far_fleet.rows("SELECT id FROM procrastinate_workers WHERE last_heartbeat > now() - INTERVAL '9 s'"), 15
    )
    sent_at = time.monotonic()
    far_fleet.send(200)
    wait_until(lambda: len(far_fleet.contact_centre.calls()) == 10)
    assert time.monotonic() - sent_at < 2.0


@pytest.mark.parametrize("trouble", ["cut", "freeze"])
def test_more_webhooks_than_web_threads_are_refused_in_time_too(far_fleet: Fleet, cable: Cable, trouble: str) -> None:
    far_fleet.web()
    assert {one.status for one in send_at_once(far_fleet, range(8))} == {200}
    cable.cut() if trouble == "cut" else cable.freeze()
    for first in (100, 200):
        refused = send_at_once(far_fleet, range(first, first + 30))
        assert {one.status for one in refused} == {503}
        assert max(one.took_seconds for one in refused) < LONGEST_REFUSAL_SECONDS
    cable.mend()
    cable.thaw()
    wait_until(lambda: far_fleet.send(300).status == 200, 5)
    assert {one.status for one in send_at_once(far_fleet, range(100, 130))} == {200}


def test_calls_under_way_while_the_database_freezes_are_recorded_when_it_is_back(
    far_fleet: Fleet, cable: Cable
) -> None:
    far_fleet.contact_centre.behave("slow:1000")
    far_fleet.web()
    far_fleet.worker()
    sent = send_at_once(far_fleet, range(5))
    wait_until(lambda: len(far_fleet.contact_centre.calls()) == 5)
    cable.freeze()
    refused = send_at_once(far_fleet, range(100, 105))
    assert {one.status for one in refused} == {503}
    assert max(one.took_seconds for one in refused) < LONGEST_REFUSAL_SECONDS
    time.sleep(3.0)
    cable.thaw()
    far_fleet.contact_centre.behave("answer")
    wait_until(lambda: {one.status for one in send_at_once(far_fleet, range(100, 105))} == {200}, 10)
    wait_until(far_fleet.is_quiet, 30)
    assert far_fleet.assert_nothing_was_lost(sent)[LeadState.UNKNOWN] == 0
    assert far_fleet.states() == {LeadState.CALLED: 10}


@pytest.mark.parametrize("trouble", ["cut", "freeze"])
def test_processes_whose_database_is_away_stop_in_time(far_fleet: Fleet, cable: Cable, trouble: str) -> None:
    far_fleet.contact_centre.behave("slow:500")
    web, worker = far_fleet.web(), far_fleet.worker()
    sent = send_at_once(far_fleet, range(8))
    wait_until(lambda: len(far_fleet.contact_centre.calls()) == 8)
    cable.cut() if trouble == "cut" else cable.freeze()
    for process in (web, worker):
        assert terminate(process, LONGEST_STOP_SECONDS) == 0
    cable.mend()
    cable.thaw()
    far_fleet.contact_centre.behave("answer")
    far_fleet.a_minute_passes()
    far_fleet.worker()
    wait_until(far_fleet.is_quiet, 30)
    far_fleet.assert_nothing_was_lost(sent)


def test_processes_that_begin_while_the_database_is_away_work_as_soon_as_it_is_there(
    far_fleet: Fleet, cable: Cable
) -> None:
    cable.cut()
    far_fleet.web()
    far_fleet.worker()
    assert far_fleet.send(0).status == 503
    cable.mend()
    wait_until(lambda: far_fleet.send(0).status == 200, 10)
    sent = [far_fleet.send(0)]
    wait_until(far_fleet.is_quiet, 20)
    assert far_fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 1}
