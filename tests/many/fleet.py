"""Several processes of ours on one PostgreSQL, between one contact centre and one CRM: `web`, `worker` and `serve`.

As in `tests/end_to_end`, everything is seen from outside: the contact centre counts at its socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from integration.demo.stage import SERVE, Child, find_port
from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.crm import Crm
from tests.end_to_end.rig import TOKEN, Rig

WEB = ("-m", "integration", "web", "--host", "127.0.0.1", "--port", "0")
WORKER = ("-m", "integration", "worker")


@dataclass
class Fleet(Rig):
    """Start and stop as many processes as wanted; the one that began to listen last gets the webhooks."""

    children: list[Child] = field(default_factory=list)

    def web(self) -> Child:
        return self._listens("A web process", WEB)

    def serve(self) -> Child:
        return self._listens("A server", SERVE)

    def worker(self) -> Child:
        child = self._child("A worker", WORKER)
        child.wait_for(lambda line: "event=worker.started" in line or None)
        return child

    def _listens(self, name: str, arguments: tuple[str, ...]) -> Child:
        child = self._child(name, arguments)
        self.port = child.wait_for(find_port)
        return child

    def _child(self, name: str, arguments: tuple[str, ...]) -> Child:
        child = Child(name, arguments, self.folder, self.environ())
        self.children.append(child)
        return child

    def sweep(self) -> None:
        """Kill whatever still runs."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGCONT)
                child.process.kill()
            child.process.wait()
            child.stop()
        self.children = []
        self.port = 0

    # ---- looks into the database ------------------------------------------------------------------

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a statement of this test finds. It is no connection of ours, and counted as none."""
        with psycopg.connect(self.database_url, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def run(self, sql: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def a_minute_passes(self) -> None:
        """For whatever a worker holds: it is for the test to see that no living one is hurt by that."""
        self.run("UPDATE worker SET heartbeat_at = heartbeat_at - 60000")
        self.run("UPDATE lead SET lease_until = lease_until - 60000")
        self.run("UPDATE writeback SET lease_until = lease_until - 60000")
        self.run("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - INTERVAL '60 seconds'")

    def jobs(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM procrastinate_jobs ORDER BY id")

    def connections(self) -> int:
        """How many connections our processes have at this moment."""
        count = self.rows(
            "SELECT count(*) AS n FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'ringback%'"
        )
        return int(count[0]["n"])


def kill(child: Child) -> None:
    """kill -9."""
    child.process.kill()
    child.process.wait()


def terminate(child: Child, within_seconds: float = 10.0) -> int:
    """SIGTERM, and the exit code; fails when it does not come in time."""
    child.process.send_signal(signal.SIGTERM)
    return child.process.wait(within_seconds)


def cpu_seconds(child: Child) -> float:
    """What the process has used of a processor so far."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def set_up_fleet(folder: Path, database_url: str) -> Iterator[Fleet]:
    """Contact centre and CRM run; at the end whatever still runs is killed."""
    with ContactCentre() as contact_centre, Crm(token=TOKEN) as crm:
        fleet = Fleet(folder, database_url, contact_centre, crm)
        try:
            yield fleet
        finally:
            fleet.sweep()
