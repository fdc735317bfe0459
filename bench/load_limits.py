"""`python -m bench.load_limits [--quick] [--database sqlite|postgresql]`: what a flood, neighbours that hang, a backlog
and old age do to the server.

No two machines are equally fast, and none is so at all times: each figure stands beside the same one of the same run
without the burden, and where it can be, the two servers are asked in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from bench import postgres
from bench.leads import number_of, record_of
from bench.measure import idle_percent
from bench.processes import BenchError, Process
from bench.stand import Load, Sandbox, System, json_line
from integration.demo.stage import SERVE, clean_environment, find_port, rules_at_any_hour
from integration.ledger import Ledger, migrate, open_database
from integration.model import LeadState

CHUNK = 5000  # old leads in one transaction, which must not take long
BATCH = 1000  # the most events that one message may bring
QUIET_FIRST = 50_000  # of the numbers: from here on the quiet sources' own
DIAL_MS = 60
FLOOD_SENDERS = 20
PACE_SECONDS = 0.04  # between two leads of quiet sources
WAITING = "SELECT COUNT(*) AS n FROM lead WHERE state IN ('received', 'waiting', 'ready', 'claimed', 'dialing')"

_SOURCES = """
  quiet:
    verify: {scheme: hmac, header: X-Signature, prefix: "sha256=", secret: "${OUR_CRM_SECRET}"}
    event_id: meta.id
    record: data
    id: Id
  flood:
    verify: {scheme: hmac, header: X-Signature, prefix: "sha256=", secret: "${OUR_CRM_SECRET}"}
    items: leads
    event_id: Id
    id: Id
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of each."""

    flood: int = 10_000
    webhooks_beside: int = 200  # leads of a quiet source while a flood comes in
    backlog: int = 100_000
    old: int = 1_000_000
    quiet: int = 300  # leads of a quiet source, for each figure
    paced: int = 400


QUICK = Plan(flood=2000, webhooks_beside=40, backlog=10_000, old=100_000, quiet=60, paced=100)


class Stand:
    """The sandbox, and servers that are started as they are needed. All end with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count(QUIET_FIRST)
        self._stack = contextlib.ExitStack()
        self._environ = clean_environment()
        self._secret = secrets.token_hex(24)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            contact_centre = self._start("contact centre", ["-m", "integration.sandbox", "contact-centre"], {})
            crm = self._start("CRM", ["-m", "integration.sandbox", "crm"], {}).wait_for(json_line)
            self.sandbox = Sandbox(contact_centre.wait_for(json_line)["url"], crm["url"], crm["token"])
            self.load = Load(self._secret, self._environ)
            stack.callback(self.load.stop)
            rules = self.folder / "limits.yaml"
            shipped, _, rest = rules_at_any_hour(self.folder).read_text().partition("\ntests:")
            rules.write_text(shipped + rest[rest.index("\nsources:") :] + _SOURCES)  # its tests know one source only
            self._settings = {
                "RINGBACK_RULES": str(rules),
                "CXONE_BASE_URL": self.sandbox.contact_centre_url,
                "CXONE_CLIENT_ID": "sandbox-client",
                "CXONE_CLIENT_SECRET": "sandbox-secret",
                "CRM_URL": self.sandbox.crm_url,
                "OUR_CRM_TOKEN": crm["token"],
                "OUR_CRM_SECRET": self._secret,
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> Process:
        process = Process(name, arguments, self.folder, {**self._environ, **environ})
        self._stack.callback(process.stop)
        return process

    def serve(self, name: str, database_url: str) -> Server:
        process = self._start(name, list(SERVE), {**self._settings, "DATABASE_URL": database_url})
        system = System(name, process, process.wait_for(find_port))
        ledger = Ledger(open_database(database_url, pool_size=2))
        self._stack.callback(ledger.close)
        server = Server(system, ledger, self._secret)
        for _ in range(20):  # its warm-up
            server.one(next(self.numbers))
        return server

    def hang(self) -> None:
        """From now on neither dialer nor CRM answers."""
        for url, kind in ((self.sandbox.contact_centre_url, "call"), (self.sandbox.crm_url, "lead")):
            ask(f"{url}/_sandbox/behaviour", json.dumps({"behaviour": "hang", "on": kind}).encode(), {})

    def in_turns(self, servers: Sequence[Server], count: int) -> list[dict[str, float]]:
        """A quiet source's leads to each of the servers in turns: how long until the answer and until the call."""
        sent: list[dict[str, tuple[float, float]]] = [{} for _ in servers]
        for _ in range(count):
            for server, its in zip(servers, sent, strict=True):
                n = next(self.numbers)
                its[number_of(n)] = server.one(n)
                time.sleep(PACE_SECONDS)
        wanted = set().union(*sent)
        until = time.monotonic() + 60
        rung: dict[str, float] = {}
        while len(rung) < len(wanted) and time.monotonic() < until:
            time.sleep(1.0)  # to read its journal costs the contact centre time
            rung = {call["to"]: call["monotonic"] for call in self.sandbox.calls() if call["to"] in wanted}
        if len(rung) < len(wanted):
            raise BenchError(f"{len(wanted) - len(rung)} leads of the quiet source were not called within a minute")
        return [
            {
                **points("ack", [took for _, took in its.values()]),
                **points("dial", [rung[number] - sent_at for number, (sent_at, _) in its.items()]),
            }
            for its in sent
        ]


@dataclass(frozen=True, slots=True)
class Server:
    """One of ours, with a database of its own."""

    system: System
    ledger: Ledger
    secret: str

    def one(self, n: int) -> tuple[float, float]:
        """A lead of the quiet source: when it was sent, and how long its answer took, in seconds."""
        return self._post("quiet", {"type": "lead.created", "meta": {"id": f"quiet-{n}"}, "data": record_of(n)})

    def batches(self, numbers: range) -> list[float]:
        """Messages of the source that floods, a thousand leads in each: how long each answer took."""
        return [
            self._post("flood", {"leads": [_flood_lead(n) for n in numbers[at : at + BATCH]]})[1]
            for at in range(0, len(numbers), BATCH)
        ]

    def _post(self, source: str, message: object) -> tuple[float, float]:
        body = json.dumps(message).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
        sent_at = time.monotonic()
        status = ask(f"http://127.0.0.1:{self.system.port}/hooks/{source}", body, headers)
        if status // 100 != 2:
            raise BenchError(f"the server answered {status}")
        return sent_at, time.monotonic() - sent_at

    def waiting(self) -> int:
        with self.ledger.database.snapshot() as tx:
            row = tx.one(WAITING)
            return int(row["n"]) if row is not None else 0


def _flood_lead(n: int) -> dict[str, str]:
    return {"Id": f"f{n}", "Country": "USA", "Phone": number_of(n % QUIET_FIRST)}


def ask(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of a POST over a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request("POST", parts.path, body, dict(headers))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def points(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and longest, in milliseconds."""
    ordered = sorted(1000 * value for value in seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {f"{name}_p50_ms": statistics.median(ordered), f"{name}_p99_ms": p99, f"{name}_max_ms": ordered[-1]}


def named(name: str, found: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_{what}": value for what, value in found.items()}


# ---- what is measured -----------------------------------------------------------------------------


def a_flood(stand: Stand, urls: Iterator[str], plan: Plan) -> dict[str, float]:
    """A quiet source alone; then while another one's flood is called; and at the same time at a server without it.

    The last tells what the flood does inside its server from what it does to a machine that is too small for it.
    """
    flooded, calm = stand.serve("flooded server", next(urls)), stand.serve("calm server", next(urls))
    stand.sandbox.reset(DIAL_MS)
    (alone,) = stand.in_turns([calm], plan.quiet)
    flooded.batches(range(plan.flood))
    before = flooded.waiting()
    under, beside = stand.in_turns([flooded, calm], plan.quiet)
    states = flooded.ledger.reading.counts()
    if states.get(LeadState.PARKED) or states.get(LeadState.BLOCKED):
        raise BenchError(f"the flood was not called: {states}")
    return {
        **named("alone", alone),
        **named("flooded", under),
        **named("beside", beside),
        "waiting_before": before,
        "waiting_after": flooded.waiting(),
        "dial_p99_times_alone": under["dial_p99_ms"] / alone["dial_p99_ms"],
        "dial_p99_times_beside": under["dial_p99_ms"] / beside["dial_p99_ms"],
    }


def a_flood_of_webhooks(stand: Stand, urls: Iterator[str], plan: Plan) -> dict[str, float]:
    """The same while the flood comes in, a webhook for each lead, from senders that wait for their answers alone."""
    flooded, calm = stand.serve("flooded server", next(urls)), stand.serve("calm server", next(urls))
    stand.sandbox.reset(DIAL_MS)
    (alone,) = stand.in_turns([calm], plan.quiet)
    came: list[tuple[int, int, float, float]] = []
    order = {"senders": FLOOD_SENDERS}
    flood = threading.Thread(target=lambda: came.extend(stand.load.fire(flooded.system, range(plan.flood), **order)))
    flood.start()
    under, beside = stand.in_turns([flooded, calm], plan.webhooks_beside)
    is_over = not flood.is_alive()
    flood.join()
    if is_over:
        raise BenchError("the flood was over before the quiet source's leads were")
    if len(came) != plan.flood or any(status != 200 for _, status, _, _ in came):
        raise BenchError("a webhook of the flood was not answered or refused")
    return {
        **named("alone", alone),
        **named("flooded", under),
        **named("beside", beside),
        **named("flood", points("ack", [answered - begun for _, _, begun, answered in came])),
        "dial_p99_times_alone": under["dial_p99_ms"] / alone["dial_p99_ms"],
        "dial_p99_times_beside": under["dial_p99_ms"] / beside["dial_p99_ms"],
    }


def hanging(stand: Stand, server: Server, plan: Plan) -> dict[str, float]:
    """Acknowledgements at 50/s while dialer and CRM take every request and answer none."""
    stand.sandbox.reset(0)
    stand.hang()
    sent = stand.load.fire(server.system, range(20_000, 20_000 + plan.paced), rate=50)
    if any(status != 200 for _, status, _, _ in sent):
        raise BenchError("a webhook was refused")
    return points("ack", [answered - begun for _, _, begun, answered in sent])


def a_backlog(server: Server, plan: Plan) -> dict[str, float]:
    """Memory and processor time while leads pile up, because the dialer still hangs."""
    process = server.system.process
    small = process.resident_mb()
    some = BATCH * 5
    server.batches(range(100_000, 100_000 + some))
    time.sleep(3.0)
    with_some = process.resident_mb()
    took = server.batches(range(100_000 + some, 100_000 + plan.backlog))
    time.sleep(3.0)
    return {
        "waiting": server.waiting(),
        "memory_mb": small,
        "memory_with_5000_mb": with_some,
        "memory_with_all_mb": process.resident_mb(),
        "cpu_percent_with_all": idle_percent([server.system], 5.0)[server.system.name],
        **points("ack_of_1000_leads", took),
    }


def old_age(stand: Stand, urls: Iterator[str], plan: Plan) -> dict[str, float]:
    """An empty ledger, and one with a million finished leads, in turns."""
    stand.sandbox.reset(0)
    young_url, old_url = next(urls), next(urls)
    grow_old(old_url, plan.old)
    servers = [stand.serve("young server", young_url), stand.serve("old server", old_url)]
    young, old = stand.in_turns(servers, plan.quiet)
    idle = idle_percent([server.system for server in servers], 4.0)
    return {
        **named("young", young),
        **named("old", old),
        "young_idle_percent": idle["young server"],
        "old_idle_percent": idle["old server"],
        "ack_p50_times_young": old["ack_p50_ms"] / young["ack_p50_ms"],
        "dial_p50_times_young": old["dial_p50_ms"] / young["dial_p50_ms"],
    }


_OLD_DELIVERY = """
    INSERT INTO delivery (source, received_at, state, note, body_sha256) VALUES ('old', 1, 'stored', '', 'x')
"""
_OLD_LEADS = """
    WITH RECURSIVE n(i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    INSERT INTO lead (delivery_id, item, source, dedupe_key, state, reason, detail, received_at, updated_at, attempts,
                      record_id)
    SELECT 1, 0, 'quiet', 'id:' || i, 'called', 'placed', '', 1, 1, 1, 'old-' || i FROM n
"""
_THEIRS = (
    """INSERT INTO attempt (lead_id, n, state, account, account_id, to_number, worker_id, intent_at, message, call_id)
        SELECT id, 1, 'placed', 'us-east', 'acc-east', '+15550000000', 'old', 1, '', 'old-' || id FROM lead""",
    "INSERT INTO phone_guard (phone, lead_id, not_before) SELECT '+1999' || id, id, 1 FROM lead",
    """INSERT INTO writeback (lead_id, version, state, detail, tries, first_at)
        SELECT id, 1, 'done', '', 1, 1 FROM lead""",
    "INSERT INTO history (lead_id, at, what, detail) SELECT id, 1, 'called', '' FROM lead",
)


def grow_old(url: str, count: int) -> None:
    """Finished leads of long ago, by SQL, into an empty ledger."""
    ledger = Ledger(open_database(url, pool_size=2))
    try:
        with ledger.database.write() as tx:
            tx.run(_OLD_DELIVERY)
        for first in range(1, count + 1, CHUNK):
            values = {"first": first, "last": min(first + CHUNK - 1, count)}
            with ledger.database.write() as tx:
                tx.run(_OLD_LEADS, values)
            for statement in _THEIRS:
                with ledger.database.write() as tx:
                    tx.run(f"{statement} WHERE id BETWEEN :first AND :last", values)
    finally:
        ledger.close()


@contextlib.contextmanager
def databases(kind: str, folder: Path) -> Iterator[Iterator[str]]:
    """Empty ledgers, one after the other."""
    names = [f"ledger{n}" for n in range(7)]
    if kind == "sqlite":
        urls = {name: f"sqlite:///{folder / name}.db" for name in names}
        for url in urls.values():
            migrate(url)
        yield iter(urls.values())
        return
    programs = postgres.programs()
    if programs is None:
        raise BenchError("PostgreSQL is not installed")
    with postgres.cluster(programs, names) as urls:
        for url in urls.values():
            migrate(url)
        yield iter(urls.values())


# ---- what is wanted -------------------------------------------------------------------------------


def aims(result: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What was wanted, what was reached, and whether that is enough."""
    flood, webhooks, hang, backlog, age = (
        result[name] for name in ("flood", "webhooks", "hanging", "backlog", "old_age")
    )
    grown = backlog["memory_with_all_mb"] / backlog["memory_with_5000_mb"]
    wanted = [
        ("a lead beside a flood, p99 until its call, times its normal", 2.0, flood["dial_p99_times_alone"]),
        ("the same, times that of a server beside it without the flood", 2.0, flood["dial_p99_times_beside"]),
        ("a lead while a flood comes in, p99 until its call, times its normal", 2.0, webhooks["dial_p99_times_alone"]),
        ("the same, times that of a server beside it", 2.0, webhooks["dial_p99_times_beside"]),
        ("an answer while dialer and CRM hang, p99, ms", 250.0, hang["ack_p99_ms"]),
        ("memory with the whole backlog, times that with 5,000 leads", 1.15, grown),
        ("an answer of an old ledger, p50, times that of an empty one", 1.25, age["ack_p50_times_young"]),
        ("a call of an old ledger, p50, times that of an empty one", 1.25, age["dial_p50_times_young"]),
    ]
    return [
        {"aim": aim, "at_most": most, "reached": round(reached, 2), "met": reached <= most}
        for aim, most, reached in wanted
    ]


def measure(kind: str, plan: Plan) -> dict[str, Any]:
    """All of it over one kind of database."""
    with tempfile.TemporaryDirectory(prefix="ringback-limits-") as name:
        folder = Path(name)
        with databases(kind, folder) as urls:
            with Stand(folder) as stand:
                flood = a_flood(stand, urls, plan)
            with Stand(folder) as stand:
                webhooks = a_flood_of_webhooks(stand, urls, plan)
            with Stand(folder) as stand:
                server = stand.serve("server", next(urls))
                hang, backlog = hanging(stand, server, plan), a_backlog(server, plan)
            with Stand(folder) as stand:
                age = old_age(stand, urls, plan)
        return {"flood": flood, "webhooks": webhooks, "hanging": hang, "backlog": backlog, "old_age": age}


def main() -> int:
    """Measure and print. 0 whether or not the aims are met: a busy machine meets none."""
    parser = argparse.ArgumentParser(prog="python -m bench.load_limits", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of each; for a look, not for a claim")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    try:
        result = measure(options.database, QUICK if options.quick else Plan())
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    rounded = {what: {name: round(value, 2) for name, value in found.items()} for what, found in result.items()}
    sys.stdout.write(json.dumps({"database": options.database, **rounded, "aims": aims(result)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
