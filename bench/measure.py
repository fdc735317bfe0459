"""What is measured of a system, by witnesses outside it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.leads import number_of
from bench.processes import BenchError
from bench.stand import Load, Sandbox, System

END_SECONDS = 120.0
SENDERS = 8


@dataclass(frozen=True, slots=True)
class Spread:
    """Three points of a distribution, in milliseconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Paced:
    """Leads that came evenly spaced."""

    ack_ms: Spread  # from the moment before the connection to the whole answer
    dial_ms: Spread  # from the same moment to the first byte at the contact centre


@dataclass(frozen=True, slots=True)
class Burst:
    """Leads that came as fast as the senders could send them."""

    acks_per_second: float
    leads_per_second: float  # until the last of them was told to the CRM
    cpu_ms_per_lead: float


class Bench:
    """Sends leads to a system and reads the witnesses. No lead is used twice."""

    def __init__(self, sandbox: Sandbox, load: Load) -> None:
        self._sandbox = sandbox
        self._load = load
        self._next = itertools.count()
        self._first = 0

    def paced(self, system: System, rate: int, count: int) -> Paced:
        """`count` leads at `rate` per second."""
        sent = self._run(system, count, 0, rate=rate)
        rung = {call["to"]: call["monotonic"] for call in self._sandbox.calls()}
        acks = [answered - begun for _, _, begun, answered in sent]
        dials = [rung[number_of(n)] - begun for n, _, begun, _ in sent]
        return Paced(_spread(acks), _spread(dials))

    def burst(self, system: System, count: int, latency_ms: int = 0) -> Burst:
        """`count` leads from 8 senders, with a dialer that takes so long for a call."""
        cpu = system.process.cpu_seconds()
        sent = self._run(system, count, latency_ms, senders=SENDERS)
        cpu = system.process.cpu_seconds() - cpu
        began_at = min(begun for _, _, begun, _ in sent)
        answered_at = max(answered for _, _, _, answered in sent)
        told_at = max(told["monotonic"] for told in self._sandbox.write_backs())
        return Burst(
            acks_per_second=count / (answered_at - began_at),
            leads_per_second=count / (told_at - began_at),
            cpu_ms_per_lead=cpu / count * 1000,
        )

    def _run(
        self, system: System, count: int, latency_ms: int, **how: object
    ) -> Sequence[tuple[int, int, float, float]]:
        """Send leads and wait until the CRM knows all. Raises BenchError when one of them comes to nothing."""
        numbers = range(self._first, self._first + count)
        self._first += count
        self._sandbox.create_records(numbers)
        self._sandbox.reset(latency_ms)
        sent = self._load.fire(system, numbers, **how)
        refused = [status for _, status, _, _ in sent if status != 200]
        if refused:
            raise BenchError(f"{system.name} answered {refused[0]} to {len(refused)} of {count} webhooks")
        until = time.monotonic() + END_SECONDS
        while self._sandbox.told() < count:
            if time.monotonic() > until:
                raise BenchError(f"{system.name} told the CRM of {self._sandbox.told()} of {count} leads only")
            time.sleep(0.05)
        rung = sorted(call["to"] for call in self._sandbox.calls())
        if rung != sorted(number_of(n) for n in numbers):
            raise BenchError(f"{system.name} placed {len(rung)} calls for {count} leads, or wrong ones")
        return sent


def idle_percent(systems: Sequence[System], seconds: float) -> dict[str, float]:
    """Share of one processor that each system uses while nothing happens."""
    before = {system.name: system.process.cpu_seconds() for system in systems}
    time.sleep(seconds)
    return {system.name: (system.process.cpu_seconds() - before[system.name]) / seconds * 100 for system in systems}


def _spread(seconds: Sequence[float]) -> Spread:
    """The points between which a share of the values lies, by the nearest rank below."""
    ordered = sorted(value * 1000 for value in seconds)
    p90, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.9, 0.99))
    return Spread(statistics.median(ordered), p90, p99)
