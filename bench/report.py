"""Rounds become one figure with its spread, and figures a table and the verdict on the aims."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Burst, Paced
from bench.stand import LETTER, OURS, OURS_POSTGRES, TUTORIAL

RATES = (5, 10, 20)

Figure = tuple[float, float, float]  # median over the rounds, lowest, highest


@dataclass
class Rounds:
    """What one system showed, round by round."""

    paced: dict[int, list[Paced]] = field(default_factory=dict)
    fast: list[Burst] = field(default_factory=list)
    slow: list[Burst] = field(default_factory=list)
    memory_mb: float = 0.0
    idle_percent: float = 0.0


def figures(rounds: Rounds) -> dict[str, Figure]:
    """Every figure of a system, by name; the name ends in its unit."""
    found: dict[str, Figure] = {}
    for rate, seen in rounds.paced.items():
        for point in ("p50", "p90", "p99"):
            found[f"ack_{rate}_per_s_{point}_ms"] = _over([getattr(one.ack_ms, point) for one in seen])
            found[f"dial_{rate}_per_s_{point}_ms"] = _over([getattr(one.dial_ms, point) for one in seen])
    if rounds.fast:
        found["acks_per_s"] = _over([one.acks_per_second for one in rounds.fast])
        found["burst_leads_per_s"] = _over([one.leads_per_second for one in rounds.fast])
        found["burst_cpu_ms_per_lead"] = _over([one.cpu_ms_per_lead for one in rounds.fast])
    found["slow_dialer_leads_per_s"] = _over([one.leads_per_second for one in rounds.slow])
    found["memory_mb"] = (rounds.memory_mb,) * 3
    found["idle_cpu_percent"] = (rounds.idle_percent,) * 3
    return found


def aims(systems: Mapping[str, Rounds], tls_ms: float) -> list[dict[str, Any]]:
    """Each aim with what was reached, for each of our databases."""
    found = []
    for name in (OURS, OURS_POSTGRES):
        if name not in systems:
            continue
        seen = figures(systems[name])
        found += _beside_the_tutorial(name, systems)
        found += [
            _aim(name, "leads/s to the end in a burst", seen["burst_leads_per_s"], least=250),
            _aim(name, "memory, MB", seen["memory_mb"], most=100),
            _aim(name, "idle CPU, %", seen["idle_cpu_percent"], most=0.5),
        ]
    return [*found, _aim("Ringback", "a connection to a TLS dialer, ms", (tls_ms,) * 3, most=5)]


def _beside_the_tutorial(name: str, systems: Mapping[str, Rounds]) -> list[dict[str, Any]]:
    """Ratios within each round, so that a disturbance of one round touches both alike."""
    found = []
    ours = systems[name]
    for reference in (TUTORIAL, LETTER):
        if reference in systems:
            pairs = zip(ours.paced[10], systems[reference].paced[10], strict=True)
            dial = [one.dial_ms.p50 / other.dial_ms.p50 for one, other in pairs]
            found.append(_aim(name, f"webhook to dial p50 at 10/s, times {reference}", _over(dial), most=1.3))
    for reference in (TUTORIAL, LETTER):
        if reference in systems:
            bursts = zip(ours.slow, systems[reference].slow, strict=True)
            slow = [one.leads_per_second / other.leads_per_second for one, other in bursts]
            what = f"leads/s with the slow dialer, times {reference}"
            found.append(_aim(name, what, _over(slow), least=12))
    return found


def _aim(system: str, what: str, reached: Figure, *, most: float | None = None, least: float | None = None) -> Any:
    met = reached[0] <= most if most is not None else least is not None and reached[0] >= least
    return {"system": system, "aim": what, "most": most, "least": least, "reached": reached, "met": met}


def _over(values: Sequence[float]) -> Figure:
    return statistics.median(values), min(values), max(values)


# ---- for people -----------------------------------------------------------------------------------

_ROWS = (
    ("acks/s in a burst", "acks_per_s", 0),
    *(
        (f"ack at {rate}/s {point}, ms", f"ack_{rate}_per_s_{point}_ms", 1)
        for rate in RATES
        for point in ("p50", "p90", "p99")
    ),
    *(
        (f"webhook to dial at {rate}/s {point}, ms", f"dial_{rate}_per_s_{point}_ms", 1)
        for rate in RATES
        for point in ("p50", "p90", "p99")
    ),
    ("leads/s to the end, dialer at once", "burst_leads_per_s", 0),
    ("leads/s to the end, dialer takes 60 ms", "slow_dialer_leads_per_s", 0),
    ("CPU per lead in a burst, ms", "burst_cpu_ms_per_lead", 2),
    ("memory, MB", "memory_mb", 0),
    ("idle CPU, %", "idle_cpu_percent", 2),
)


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    systems = result["systems"]
    lines = [f"| | {' | '.join(systems)} |", "| --- |" + " --- |" * len(systems)]
    for label, name, digits in _ROWS:
        cells = [_cell(seen[name], digits) if name in seen else "" for seen in systems.values()]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    tls = result["tls_connection"]
    lines += [
        "",
        f"A new TLS connection: {tls['ringback_ms']:.1f} ms; with plain requests {tls['requests_ms']:.1f} ms.",
    ]
    lines += ["", "| aim | | reached | |", "| --- | --- | --- | --- |"]
    for aim in result["aims"]:
        bound = f"at most {aim['most']:g}" if aim["most"] is not None else f"at least {aim['least']:g}"
        met = "met" if aim["met"] else "MISSED"
        lines.append(f"| {aim['system']}: {aim['aim']} | {bound} | {_cell(aim['reached'], 2)} | {met} |")
    return "\n".join(lines)


def _cell(figure: Figure, digits: int) -> str:
    """The median, and the range where there is one: `4.1 (3.9-4.4)`."""
    middle, low, high = (f"{value:.{digits}f}" for value in figure)
    return middle if low == high else f"{middle} ({low}-{high})"
