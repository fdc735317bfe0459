"""`python -m tests.chaos`: minutes of bad luck for Ringback, and whether its promises held.

Exit code 1 when one was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from integration.demo.stage import Interrupts
from tests.chaos.storm import MANY, ONE, Plan, Verdict, postgresql, sqlite, weather
from tests.postgres import own_cluster, programs


def main() -> int:
    """Storm after storm; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long each storm lasts (120)")
    parser.add_argument("--seed", type=int, help="repeat the weather of an earlier storm")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="left out: one after the other")
    parser.add_argument("--many", action="store_true", help="a web process and two workers, on PostgreSQL")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
    storms = ["sqlite", "postgresql", "many"] if options.database is None else [options.database]
    if options.many:
        storms = ["many"]
    if programs() is None and storms != ["sqlite"]:
        sys.stderr.write("PostgreSQL is not installed: only SQLite is tried\n")
        storms = [storm for storm in storms if storm == "sqlite"]
    good = bool(storms)
    with Interrupts():  # whoever ends this leaves no process and no database behind
        for storm in storms:
            print(f"chaos: {storm}, seed {seed}, {options.seconds:g} s", flush=True)
            verdict = run(storm, options.seconds, seed)
            print(verdict, flush=True)
            good = good and verdict.is_good
    print(f"{'every promise held' if good else 'A PROMISE WAS BROKEN'}; the seed was {seed}")
    return 0 if good else 1


def run(storm: str, seconds: float, seed: int) -> Verdict:
    """One storm: over `sqlite`, `postgresql`, or PostgreSQL with `many` processes."""
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-") as name:
        folder = Path(name)
        if storm == "sqlite":
            return weather(folder, Plan(seconds, seed), sqlite(folder))
        with own_cluster() as cluster:
            plan = Plan(seconds, seed, MANY if storm == "many" else ONE)
            return weather(folder, plan, postgresql(cluster), cluster)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("chaos: ended before the end")
