"""Real processes that die where they are told to: a server of forks, spoken to in lines of JSON.

Starting an interpreter costs half a second; forking this one, which has everything loaded and neither a thread
nor a connection, costs a few milliseconds. Each child receives one lead as the web door does, and takes it as far
as it goes, as the runner does. It is no test itself: `test_crash_points` starts it with `python -m`.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import sys
import time
from typing import Any

import psycopg
from psycopg.rows import dict_row

from integration import crash_points, pipeline
from integration.dialers.personal_connection import PersonalConnection
from integration.http import Client, default_ssl_context
from integration.ledger import LeadWork, Ledger, NewEvent, open_database
from integration.ledger.postgres import PostgresDatabase
from integration.log import set_up_logging
from integration.model import LeadId, LeadState
from integration.pipeline import Pipeline, Services
from integration.rules import decide, load_rules
from integration.settings import Dialing

KILLED = 137

RULES = """
accounts:
  east: {id: acc-east}
phones:
  may_call: [US]
  read_as: US
fields:
  phone: Phone
  email: Email
rules:
  - name: Our own
    when: {email: {ends_with: "@example.com"}}
    skip: our own test address
  - name: Everyone else
    call: east
sources:
  crm:
    verify: {scheme: hmac, header: X-Signature, secret: "${SECRET}"}
    id: Id
    write_back:
      request: PATCH ${CRM_URL}/leads/{{ lead.id }}
      bearer: ${CRM_TOKEN}
      json: {call_id: "{{ call.id }}", result: "{{ lead.result }}"}
"""


class Child:
    """One process's life, from the webhook to the write-back."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.ledger = Ledger(open_database(order["database_url"], pool_size=2))
        client = Client()
        environ = {"SECRET": "0123456789abcdef", "CRM_URL": order["crm_url"], "CRM_TOKEN": order["crm_token"]}
        services = Services(
            ledger=self.ledger,
            rules=load_rules(RULES + order.get("more_rules", ""), name="rules.yaml", environ=environ),
            dialer=PersonalConnection(
                client,
                base_url=order["centre_url"],
                client_id="sandbox-client",
                client_secret="sandbox-secret",
                deadline_seconds=order.get("deadline_seconds", 0.2),
            ),
            client=client,
            dialing=Dialing(),
            cooldown_seconds=600.0,
            worker_id=f"worker-{os.getpid()}",
        )
        self.pipeline = Pipeline(services, leases_ahead=True)

    def live(self) -> None:
        """Recover what an earlier process left, then do all there is to do."""
        self.ledger.upkeep.heartbeat(f"worker-{os.getpid()}")
        self.recover()
        if self.order["is_sent"]:
            self.receive()
        for _ in range(10):
            self.time_passes()
            leads, told = self.ledger.upkeep.due_leads(), self.ledger.upkeep.due_writebacks()
            if not leads and not told:
                break
            for lead_id in leads:
                self.advance(lead_id)
            for lead_id in self.ledger.upkeep.due_writebacks():
                self.pipeline.write_back(lead_id)

    def recover(self) -> None:
        """As the runner, which looks again and again: a dead process's connection may hold its row a moment longer."""
        until = time.monotonic() + 3.0
        self.ledger.upkeep.recover(alone=True)
        while {LeadState.CLAIMED, LeadState.DIALING} & set(self.ledger.reading.counts()) and time.monotonic() < until:
            time.sleep(0.02)
            self.ledger.upkeep.recover(alone=True)

    def receive(self) -> None:
        """As the web door: kept first, acknowledged then."""
        receipt = self.ledger.intake.receive(
            source="crm",
            body=self.order["body"].encode(),
            content_type="application/json",
            received_at_ms=time.time_ns() // 1_000_000,
            events=[NewEvent("id:1")],
        )
        say({"acknowledged": True})
        for lead in receipt.work:
            self.advance(lead.id, lead)

    def advance(self, lead_id: LeadId, known: LeadWork | None = None) -> None:
        """As the runner: a result is told at once."""
        while (state := self.pipeline.advance(lead_id, known)) == "ready":
            known = None
        if state is not None and state.is_result:
            self.pipeline.write_back(lead_id)

    def time_passes(self) -> None:
        """Nobody waits in a test: what waits is due."""
        with self.ledger.database.write() as tx:
            tx.run("UPDATE lead SET due_at = 1 WHERE due_at IS NOT NULL")
            tx.run("UPDATE pause SET probe_at = 1")
            tx.run("UPDATE writeback SET due_at = 1 WHERE due_at IS NOT NULL")


def say(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def die() -> None:
    os._exit(KILLED)


def stop() -> None:
    """Sleep once, as on a machine that is suspended; the process itself does not notice."""
    crash_points.disarm()
    os.kill(os.getpid(), signal.SIGSTOP)


def child(order: dict[str, Any]) -> None:
    """What a forked process does; it never returns."""
    code = 1
    try:
        if order.get("send_by_seconds") is not None:
            pipeline.SEND_BY_SECONDS = order["send_by_seconds"]
        if order.get("leased_seconds") is not None:
            pipeline.LEASED_SECONDS = order["leased_seconds"]
        if order.get("point") is not None:
            crash_points.arm(order["point"], stop if order.get("stops") else die)
        Child(order).live()
        code = 0
    except BaseException as error:
        say({"error": repr(error)})
        raise
    finally:
        os._exit(code)


@functools.cache
def warm_up(database_url: str) -> None:
    """A first connection loads much; a child that finds it loaded lives ten times shorter."""
    if not database_url.startswith("sqlite"):
        with psycopg.connect(database_url, row_factory=dict_row) as connection:
            connection.execute("SELECT %(a)s, %(b)s::text, %(c)s::bytea", {"a": 1, "b": "x", "c": b"x"}).fetchall()
    gc.freeze()  # a child that collects would copy every page


def main() -> None:
    """Fork a child for each line that comes; say its process id, then how it ended."""
    assert PostgresDatabase.dialect == "postgresql"  # loaded, though SQLite alone would leave it out
    set_up_logging("error", sys.stderr)
    default_ssl_context()
    warm = load_rules(RULES, name="r", environ={"SECRET": "0" * 16, "CRM_URL": "http://127.0.0.1", "CRM_TOKEN": "t"})
    decide(warm, "crm", {"Id": "1", "Phone": "+12125552001"})
    say({"ready": True})
    children = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" not in order:
            warm_up(order["database_url"])
            pid = os.fork()
            if pid == 0:
                child(order)
            children[pid] = order
            say({"pid": pid})
        else:
            _, status = os.waitpid(order["wait"], 0)
            say({"exit": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
