"""Web processes and workers on one PostgreSQL: each lead is called once, by whoever comes first, and within seconds."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.demo.stage import clean_environment
from integration.model import LeadId, LeadState
from integration.runner.local import OVERDUE_SECONDS
from tests.end_to_end.rig import Burst, number_of, wait_until
from tests.many.fleet import Fleet, terminate

pytestmark = pytest.mark.slow

MOST_CONNECTIONS = 14


def calls(fleet: Fleet) -> int:
    return len(fleet.contact_centre.calls())


def callers(fleet: Fleet) -> dict[str, int]:
    """How many calls each worker has placed."""
    rows = fleet.rows("SELECT worker_id, count(*) AS n FROM attempt GROUP BY worker_id")
    return {row["worker_id"]: row["n"] for row in rows}


def defer(fleet: Fleet, lead_id: LeadId, times: int = 1) -> None:
    """Jobs that nobody needs."""
    fleet.run(
        "SELECT procrastinate_defer_jobs_v1(array_agg(ROW('leads', 'ringback.wake', 0, NULL, NULL, "
        f"'{{\"lead_id\": {lead_id}}}'::jsonb, NULL)::procrastinate_job_to_defer_v1)) FROM generate_series(1, {times})"
    )


def ready(fleet: Fleet) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", fleet.port, timeout=10)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    said = answer.status, json.loads(answer.read())
    connection.close()
    return said


def test_two_workers_share_what_one_web_process_keeps(fleet: Fleet) -> None:
    fleet.contact_centre.latency_ms = 20
    fleet.web()
    fleet.worker()
    fleet.worker()
    with Burst(fleet, range(200)) as burst:
        sent = burst.join()
    assert {one.status for one in sent} == {200}
    wait_until(fleet.is_quiet, 30)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 200}
    assert len(callers(fleet)) == 2
    wait_until(lambda: fleet.jobs() == [])
    assert fleet.rows("SELECT count(*) AS n FROM procrastinate_events") == [{"n": 0}]


def test_a_lead_is_called_within_a_moment(fleet: Fleet) -> None:
    fleet.web()
    fleet.worker()
    for n in range(5):
        sent_at = time.monotonic()
        assert fleet.send(n).status == 200
        wait_until(lambda n=n: fleet.contact_centre.calls_to(number_of(n)))
        # It was woken: a look leaves it longer to others.
        assert time.monotonic() - sent_at < OVERDUE_SECONDS / 2


def test_serve_web_and_worker_work_beside_each_other(fleet: Fleet) -> None:
    fleet.contact_centre.latency_ms = 20
    fleet.serve()
    serving = fleet.port
    fleet.web()
    fleet.worker()
    sent = []
    with Burst(fleet, range(100)) as at_web:
        fleet.port = serving
        with Burst(fleet, range(100, 200)) as at_serve:
            sent += at_serve.join()
        sent += at_web.join()
    assert {one.status for one in sent} == {200}
    wait_until(fleet.is_quiet, 30)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 200}
    assert len(callers(fleet)) == 2
    wait_until(lambda: fleet.jobs() == [], 15)


def test_serve_alone_leaves_no_jobs_and_takes_over_what_a_web_process_kept(fleet: Fleet) -> None:
    fleet.serve()
    sent = [fleet.send(n) for n in range(5)]
    assert fleet.jobs() == []
    fleet.web()
    sent += [fleet.send(n) for n in range(5, 10)]
    wait_until(fleet.is_quiet)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 10}
    wait_until(lambda: fleet.jobs() == [], 15)  # nobody fetches them, and they are deleted all the same


def test_one_web_process_and_one_worker_take_fewer_than_15_connections(fleet: Fleet) -> None:
    fleet.contact_centre.latency_ms = 50
    fleet.web()
    fleet.worker()
    most = 0
    with Burst(fleet, range(300), threads=24) as burst:
        while calls(fleet) < 300:
            most = max(most, fleet.connections())
            time.sleep(0.05)
        burst.join()
    most = max(most, fleet.connections())
    assert 5 < most <= MOST_CONNECTIONS


def test_a_lead_that_must_wait_is_woken_when_its_time_has_come(fleet: Fleet) -> None:
    fleet.contact_centre.behave("status_429:2", times=1)
    fleet.web()
    fleet.worker()
    fleet.worker()
    sent = [fleet.send(0)]
    wait_until(lambda: calls(fleet) == 1)
    wait_until(lambda: [job["scheduled_at"] is not None for job in fleet.jobs()] == [True])
    refused_at = time.monotonic()
    wait_until(lambda: calls(fleet) == 2)
    assert 1.5 < time.monotonic() - refused_at < 4.0
    wait_until(fleet.is_quiet)
    assert fleet.states() == {LeadState.CALLED: 1}
    assert sent[0].status == 200


def test_jobs_that_come_twice_or_late_ring_nobody_again(fleet: Fleet) -> None:
    fleet.contact_centre.behave("hang", to=number_of(1))
    fleet.contact_centre.behave("status_500", to=number_of(2))
    fleet.web()
    fleet.worker()
    fleet.worker()
    sent = [fleet.send(n) for n in range(3)]
    wait_until(lambda: calls(fleet) == 3)
    for lead_id in fleet.leads():  # one is called, one is being dialled, one is unknown
        defer(fleet, lead_id, times=40)
    wait_until(lambda: len(fleet.jobs()) == 1)  # the one of the call that hangs
    # Procrastinate's own recipe for jobs whose worker is taken for dead.
    fleet.run("SELECT procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL) FROM procrastinate_jobs")
    wait_until(lambda: fleet.jobs() == [])
    wait_until(fleet.is_quiet, 15)
    assert fleet.asked() == {number_of(n): 1 for n in range(3)}
    assert fleet.states() == {LeadState.CALLED: 1, LeadState.UNKNOWN: 2}
    assert {one.status for one in sent} == {200}


def test_a_lead_whose_job_was_lost_is_found(fleet: Fleet) -> None:
    fleet.web()
    sent = [fleet.send(0)]
    fleet.run("DELETE FROM procrastinate_jobs")
    fleet.worker()
    wait_until(fleet.is_quiet, 15)
    assert fleet.assert_nothing_was_lost(sent) == {LeadState.CALLED: 1}


def test_readiness_tells_when_nobody_works_the_queue(fleet: Fleet) -> None:
    fleet.web()
    status, said = ready(fleet)
    assert (status, said["status"]) == (200, "ready")  # a webhook would be kept
    assert "nobody works the queue" in said["problem"]
    assert fleet.send(0).status == 200
    worker = fleet.worker()
    wait_until(lambda: ready(fleet) == (200, {"status": "ready", "problem": None}))
    wait_until(fleet.is_quiet)
    terminate(worker)
    wait_until(lambda: "nobody works the queue" in str(ready(fleet)[1]["problem"]))


def test_a_web_process_needs_no_settings_of_the_contact_centre(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {name: value for name, value in fleet.environ().items() if not name.startswith("CXONE_")}
    monkeypatch.setattr(fleet, "environ", lambda: environ)
    fleet.web()
    assert fleet.send(0).status == 200


@pytest.mark.parametrize("command", ["web", "worker"])
def test_sqlite_is_refused_with_a_sentence(fleet: Fleet, tmp_path: Path, command: str) -> None:
    environ = {**fleet.environ(), **clean_environment(), "DATABASE_URL": f"sqlite:///{tmp_path / 'ringback.db'}"}
    done = subprocess.run(
        [sys.executable, "-m", "integration", command],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: DATABASE_URL: `ringback {command}` is for several processes on one Postgre")
    assert "run `ringback serve`" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rules.yaml"]  # which the test itself laid down
