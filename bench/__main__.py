"""`python -m bench [--quick] [--json FILE]`: measure, and print a table and JSON.

Exit code 0 whether or not the aims are met (a busy machine meets none), 1 when a system could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from bench.measure import Bench, idle_percent
from bench.processes import BenchError
from bench.report import RATES, Rounds, aims, figures, table
from bench.stand import LETTER, OURS, OURS_POSTGRES, Stand, System, commit_ms, json_line

SLOW_MS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    paced_seconds: float = 3.5
    burst: int = 1000  # also with the slow dialer
    slow_burst_references: int = 120  # a steady state by then; 1,000 would take the tutorial a minute
    quiet_seconds: float = 10.0
    idle_seconds: float = 10.0


QUICK = Plan(1, paced_seconds=1.5, burst=250, slow_burst_references=60, quiet_seconds=0.0, idle_seconds=4.0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; for a look, not for a claim")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON there and not to the output")
    parser.add_argument("--only", metavar="NAME", help="only systems whose names hold this text")
    options = parser.parse_args()
    try:
        result = run(QUICK if options.quick else Plan(), options.only)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    sys.stdout.write(table(result) + "\n")
    written = json.dumps(result, indent=1) + "\n"
    if options.json is None:
        sys.stdout.write("\n" + written)
    else:
        options.json.write_text(written)
    return 0


def run(plan: Plan, only: str | None) -> dict[str, Any]:
    """All that is measured, as it is written out. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as name, Stand(Path(name)) as stand:
        for line in stand.left_out:
            _say(line)
        systems = [system for system in stand.systems if only is None or only in system.name]
        load_before = os.getloadavg()[0]
        disk_ms = commit_ms(stand.folder)
        bench = Bench(stand.sandbox, stand.load)
        seen = {system.name: Rounds() for system in systems}
        for system in systems:
            bench.burst(system, 40)  # tokens, caches and lazily loaded code
        for number in range(1, plan.rounds + 1):
            _say(f"round {number} of {plan.rounds}")
            _one_round(bench, plan, systems, seen, number)
        tls = _tls(stand)
        _say("idle")
        time.sleep(plan.quiet_seconds)
        for name_, percent in idle_percent(systems, plan.idle_seconds).items():
            seen[name_].idle_percent = percent
    return {
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "fsync_ms": disk_ms,
            "load_before": load_before,
        },
        "plan": {name: getattr(plan, name) for name in Plan.__slots__},
        "left_out": stand.left_out,
        "systems": {name: figures(rounds) for name, rounds in seen.items()},
        "tls_connection": tls,
        "aims": aims(seen, tls["ringback_ms"]) if OURS in seen else [],
    }


def _one_round(bench: Bench, plan: Plan, systems: Sequence[System], seen: dict[str, Rounds], number: int) -> None:
    """Everything once, the systems in turns; each round begins with another one."""
    turn = number % len(systems)
    order = [*systems[turn:], *systems[:turn]]
    whole = [system for system in order if system.name != LETTER]
    for rate in RATES:
        for system in whole if rate != 10 else order:
            count = max(10, round(rate * plan.paced_seconds))
            seen[system.name].paced.setdefault(rate, []).append(bench.paced(system, rate, count))
    for system in whole:
        seen[system.name].fast.append(bench.burst(system, plan.burst))
    for system in order:
        count = plan.burst if system.name in (OURS, OURS_POSTGRES) else plan.slow_burst_references
        seen[system.name].slow.append(bench.burst(system, count, SLOW_MS))
    for system in order:
        seen[system.name].memory_mb = max(seen[system.name].memory_mb, system.process.resident_mb())


def _tls(stand: Stand) -> dict[str, float]:
    """What a new connection to a TLS dialer costs, with our client and with plain requests."""
    said = stand.start("TLS contact centre", ["-m", "integration.sandbox", "contact-centre", "--tls"]).wait_for(
        json_line
    )
    bundle = stand.folder / "authorities.pem"
    bundle.write_text(Path(certifi.where()).read_text() + Path(said["certificate"]).read_text())
    trust = {"SSL_CERT_FILE": said["certificate"], "REQUESTS_CA_BUNDLE": str(bundle)}
    costs = stand.start("connecting", ["-m", "bench.connecting", said["url"]], trust).wait_for(json_line)
    return {name: float(value) for name, value in costs.items()}


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
