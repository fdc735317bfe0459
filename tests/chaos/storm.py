"""A storm: processes are struck, dialer and CRM misbehave, and a CRM sends on until it is answered.

What falls when is drawn from one seed; what it hits depends on the machine, so that a seed repeats the weather and not
each drop. At the end the sky clears: nobody misbehaves any more, what waits is made due, and all must come to rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from integration.demo.stage import Child, StageError
from integration.ledger import LedgerUnavailable, migrate
from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.crm import Crm
from integration.sandbox.journal import Seen
from tests.chaos.judge import Call, Evidence, Kind, Lead, Person, judge
from tests.end_to_end.rig import SECRET, TOKEN
from tests.many.fleet import Fleet
from tests.postgres import Cluster, PostgresServer

STOP_SECONDS = 10.0
REST_SECONDS = 90.0
SENDERS = 8
AREAS = (212, 213, 312, 415, 617, 718)
KINDS: dict[Kind, int] = {"call": 85, "skip": 5, "block": 5, "park": 5}

# What a dialer may do to one request, with how likely each is. Most are answered well, or nothing would be learned.
CALL_FAULTS = (
    *("slow:200", "status_429:1", "status_400", "status_422", "status_500", "status_503", "no_id", "garbage", "hang"),
    *("reset_before", "reset_after", "close_after", "cut_body", "cut_headers", "empty_200", "html_200"),
    *("status_403", "status_404", "redirect_307", "expire_token", "status_408", "status_409"),
)
TOKEN_FAULTS = ("slow:300", "status_503", "status_429:1", "reset_after", "garbage", "empty_200", "status_401")
CRM_FAULTS = ("slow:100", "status_500", "status_503", "status_429:1", "reset_after", "garbage", "hang", "status_403")

Start = Callable[[Fleet], Child]
ONE: tuple[Start, ...] = (Fleet.serve,)
MANY: tuple[Start, ...] = (Fleet.web, Fleet.worker, Fleet.worker)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard."""

    seconds: float
    seed: int
    starts: tuple[Start, ...] = ONE
    pause_seconds: tuple[float, float] = (0.3, 1.2)  # between two blows
    # How long a process sleeps: the last is longer than a call may wait to be sent.
    asleep_seconds: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 1.5, 6.5)


@dataclass(slots=True)
class Verdict:
    """What the judge found, and figures for people."""

    promises: dict[str, list[str]]
    told: list[str]

    @property
    def is_good(self) -> bool:
        return not any(self.promises.values())

    def __str__(self) -> str:
        lines = list(self.told)
        for promise, problems in self.promises.items():
            lines.append(f"{'✗' if problems else '✓'} {promise}")
            lines += [f"    {problem}" for problem in problems[:10]]
            lines += [f"    and {len(problems) - 10} more"] if len(problems) > 10 else []
        return "\n".join(lines)


class StormFleet(Fleet):
    """A number is not rung again for as long as any storm lasts."""

    def environ(self) -> dict[str, str]:
        return {**super().environ(), "RINGBACK_COOLDOWN_MINUTES": "1440"}


class Crowd:
    """A CRM with ever new leads, which sends each until it is taken: out of order, some twice, some changed."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.people: list[Person] = []
        self.answers: Counter[int | None] = Counter()
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._to_send: list[Person] = []  # not taken yet, or to be sent once more
        self._lock = threading.Lock()
        self._grows = True
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def end(self, until: float) -> None:
        """No new leads; wait until those that there are have been taken."""
        with self._lock:
            self._grows = False
        while not all(person.acked for person in self.people) and time.monotonic() < until:
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            with self._lock:
                person, changed = self._next()
            if person is None:
                continue
            lead_id = self._send(person, changed=changed)
            with self._lock:
                if lead_id is not None:
                    person.acked.add(lead_id)
                if lead_id is None or self._chance.random() < 0.1:
                    self._to_send.append(person)

    def _next(self) -> tuple[Person | None, bool]:
        """Any of those that wait, or somebody new."""
        if self._to_send and (not self._grows or self._chance.random() < 0.3):
            person = self._to_send.pop(self._chance.randrange(len(self._to_send)))
            return person, self._chance.random() < 0.2
        return (self._new(), False) if self._grows else (None, False)

    def _new(self) -> Person:
        n = next(self._numbers)
        (kind,) = self._chance.choices([*KINDS], weights=[*KINDS.values()])
        number = f"+1{AREAS[n // 9800]}555{n % 9800 + 200:04}"  # not 555-01.., which is set aside for fiction
        if kind == "block":
            number = f"+331990{n:05}"
        twins = [one for one in self.people[-50:] if one.kind == "call"]
        if kind == "call" and twins and self._chance.random() < 0.05:
            number = self._chance.choice(twins).number
        person = Person(str(n + 1), number, kind)
        email = "qa@example.com" if kind == "skip" else "jo@example.org"
        phone = "call me" if kind == "park" else number
        self._fleet.crm.create({"Id": person.record_id, "Country": "", "Phone": phone, "Email": email})
        self.people.append(person)
        return person

    def _send(self, person: Person, *, changed: bool) -> int | None:
        """The lead that the answer names; None when it was not taken."""
        record = dict(self._fleet.crm.lead(person.record_id) or {})
        record = {name: value for name, value in record.items() if not name.startswith("ringback_")}
        if changed:
            record["LastName"] = "Changed"
        body = json.dumps(
            {"type": "lead.created", "meta": {"id": f"event-{person.record_id}"}, "data": record}
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection("127.0.0.1", self._fleet.port, timeout=3)
        status, lead_id = None, None
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("POST", "/hooks/our-crm", body, {"X-Signature": f"sha256={signature}"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
            status = answer.status
            lead_id = said.get("lead") if status == 200 else None
        connection.close()
        self.answers[status] += 1
        return lead_id


@dataclass
class Storm:
    """Strikes what runs."""

    fleet: Fleet
    plan: Plan
    cluster: Cluster | None = None  # a PostgreSQL of our own, which may be struck as well
    blows: Counter[str] = field(default_factory=Counter)
    slow_stops: int = 0
    _running: list[tuple[Start, Child]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.plan.seed)
        self._is_clear = threading.Event()
        self.crowd = Crowd(self.fleet, self.plan.seed)

    @property
    def _is_postgres(self) -> bool:
        return not self.fleet.database_url.startswith("sqlite")

    def rage(self) -> Evidence:
        """The whole of it, and what was seen."""
        for start in self.plan.starts:
            self._start(start)
        weather = threading.Thread(target=self._misbehave, daemon=True)
        weather.start()
        with self.crowd:
            until = time.monotonic() + self.plan.seconds
            while time.monotonic() < until:
                time.sleep(self._chance.uniform(*self.plan.pause_seconds))
                self._strike()
            self._is_clear.set()
            weather.join()
            self._clear_up()
            self.crowd.end(time.monotonic() + REST_SECONDS)
        self._come_to_rest()
        for _, child in self._running:
            self._terminate(child)
        return self._evidence()

    # ---- blows ------------------------------------------------------------------------------------

    def _strike(self) -> None:
        blows: dict[Callable[[], None], int] = {self._kill: 8, self._stop: 2, self._suspend: 2}
        if self._is_postgres:
            blows[self._let_a_minute_pass] = 2
        if self.cluster is not None:
            blows[self._restart_the_database] = 1
        (blow,) = self._chance.choices([*blows], weights=[*blows.values()])
        self.blows[blow.__name__.strip("_").replace("_", " ")] += 1
        blow()

    def _pick(self) -> tuple[Start, Child]:
        return self._running.pop(self._chance.randrange(len(self._running)))

    def _kill(self) -> None:
        start, child = self._pick()
        self._end(child)
        if self._is_postgres and self._chance.random() < 0.5:
            self._let_a_minute_pass()
        self._start(start)

    def _stop(self) -> None:
        """SIGTERM; every other time somebody loses patience, and kills in the midst of it."""
        start, child = self._pick()
        if self._chance.random() < 0.5:
            child.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(self._chance.uniform(0.05, 1.0))
        else:
            self._terminate(child)
        self._end(child)
        self._start(start)

    def _terminate(self, child: Child) -> None:
        child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.slow_stops += 1

    def _suspend(self) -> None:
        """It sleeps, and does not notice; its leases may run out meanwhile, and others take over."""
        _, child = self._chance.choice(self._running)
        child.process.send_signal(signal.SIGSTOP)
        if self._is_postgres and self._chance.random() < 0.5:
            self._let_a_minute_pass()
        time.sleep(self._chance.choice(self.plan.asleep_seconds))
        child.process.send_signal(signal.SIGCONT)

    def _let_a_minute_pass(self) -> None:
        """For leases and heartbeats: also of those who are alive, which must hurt nobody."""
        self._try("UPDATE worker SET heartbeat_at = heartbeat_at - 60000")
        self._try("UPDATE lead SET lease_until = lease_until - 60000 WHERE lease_until IS NOT NULL")
        self._try("UPDATE writeback SET lease_until = lease_until - 60000 WHERE lease_until IS NOT NULL")
        self._try("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - INTERVAL '60 seconds'")

    def _restart_the_database(self) -> None:
        assert self.cluster is not None
        self.cluster.stop(self._chance.choice([signal.SIGINT, signal.SIGQUIT]))
        time.sleep(self._chance.uniform(0.1, 1.5))
        self.cluster.start()

    def _start(self, start: Start) -> None:
        for patience in (3, 2, 1):
            try:
                self._running.append((start, start(self.fleet)))
            except StageError:
                for child in self.fleet.children[-1:]:
                    self._end(child)
                if patience == 1:
                    raise
            else:
                return

    def _end(self, child: Child) -> None:
        child.process.kill()
        child.process.wait()
        child.stop()
        self.fleet.children.remove(child)

    # ---- weather ----------------------------------------------------------------------------------

    def _misbehave(self) -> None:
        chance = random.Random(self.plan.seed + 1)
        centre, crm = self.fleet.contact_centre, self.fleet.crm
        while not self._is_clear.wait(chance.uniform(0.1, 0.4)):
            centre.latency_ms = chance.choice([0, 5, 30])
            for _ in range(chance.randrange(1, 4)):
                centre.behave(chance.choice(CALL_FAULTS), times=1)
            if chance.random() < 0.2:
                centre.behave(chance.choice(TOKEN_FAULTS), times=1, on=chance.choice(["token", "list"]))
            if chance.random() < 0.05:
                centre.revoke_tokens()
            crm.behave(chance.choice(CRM_FAULTS), times=chance.randrange(1, 3))

    def _clear_up(self) -> None:
        """Nobody misbehaves any more; every process is a new one."""
        for kind in ("call", "token", "list"):
            self.fleet.contact_centre.behave("answer", on=kind)
        self.fleet.crm.behave("answer")
        starts = [start for start, _ in self._running]
        for _, child in self._running:
            self._end(child)
        self._running = []
        if self._is_postgres:
            self._let_a_minute_pass()
        for start in starts:
            self._start(start)

    def _come_to_rest(self) -> None:
        """Nobody waits for hours in a storm: what is put off is made due until nothing is left."""
        until = time.monotonic() + REST_SECONDS
        while self._unfinished() and time.monotonic() < until:
            self._try("UPDATE lead SET due_at = 1 WHERE due_at IS NOT NULL")
            self._try("UPDATE pause SET probe_at = 1")
            self._try("UPDATE writeback SET due_at = 1 WHERE state = 'pending' AND lease_until IS NULL")
            time.sleep(0.5)

    def _unfinished(self) -> int:
        moving = "SELECT COUNT(*) AS n FROM lead WHERE state IN ('received', 'waiting', 'ready', 'claimed', 'dialing')"
        pending = "SELECT COUNT(*) AS n FROM writeback WHERE state = 'pending'"
        ledger = self.fleet.open_ledger()
        try:
            with ledger.database.read() as tx:
                return sum(int(row["n"]) for sql in (moving, pending) for row in tx.all(sql))
        except LedgerUnavailable:
            return 1
        finally:
            ledger.close()

    def _try(self, sql: str) -> None:
        ledger = self.fleet.open_ledger()
        try:
            with contextlib.suppress(LedgerUnavailable), ledger.database.write() as tx:
                tx.run(sql)
        finally:
            ledger.close()

    # ---- what was seen ----------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        ledger = self.fleet.open_ledger()
        try:
            rows = list(ledger.reading.leads(most=10_000_000))
            invariants = ledger.reading.broken_invariants()
        finally:
            ledger.close()
        return Evidence(
            people=self.crowd.people,
            calls=[_call(one) for one in self.fleet.contact_centre.calls()],
            leads={row.id: Lead(row.id, row.record_id, row.state, row.writeback_state, row.call_id) for row in rows},
            records={str(record["Id"]): record for record in self.fleet.crm.leads()},
            invariants=invariants,
            blows=sum(self.blows.values()),
            slow_stops=self.slow_stops,
        )


def _call(seen: Seen) -> Call:
    # Of a body that is cut off the status went out before, and a refusal's status is the proof. A 2xx says that it
    # rang, also where an empty one stands in place of the refusal of a token.
    answered = seen.answered is not None or seen.behaviour == "cut_body"
    says_yes = seen.answered is not None and seen.answered // 100 == 2
    return Call(seen.to, seen.rang or says_yes, answered, seen.call_id)


def weather(folder: Path, plan: Plan, database_url: str, cluster: Cluster | None = None) -> Verdict:
    """One storm over a migrated database."""
    with ContactCentre() as centre, Crm(token=TOKEN) as crm:
        fleet = StormFleet(folder, database_url, centre, crm)
        storm = Storm(fleet, plan, cluster)
        try:
            seen = storm.rage()
        finally:
            fleet.sweep()
    states = Counter(str(lead.state) for lead in seen.leads.values())
    acked = sum(bool(person.acked) for person in seen.people)
    answers = storm.crowd.answers
    told = [
        f"{sum(answers.values())} webhooks for {len(seen.people)} records, {acked} acknowledged",
        f"answers: {_listed({str(status or 'none'): n for status, n in answers.items()})}",
        f"{len(seen.calls)} requests to ring; leads: {_listed(states)}",
        f"blows: {_listed(storm.blows)}",
    ]
    return Verdict(judge(seen), told)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in sorted(counts.items(), key=lambda pair: -pair[1]))


def sqlite(folder: Path) -> str:
    """The URL of a migrated file."""
    url = f"sqlite:///{folder / 'ringback.db'}"
    migrate(url)
    return url


def postgresql(cluster: Cluster) -> str:
    """The URL of a migrated database in this cluster."""
    return PostgresServer(cluster.url).create_migrated()
