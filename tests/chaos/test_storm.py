"""A short storm over each database, and one over many processes; `make chaos` has the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.storm import MANY, Plan, postgresql, sqlite, weather
from tests.postgres import Cluster

pytestmark = pytest.mark.slow

SECONDS = 10.0  # of the storm itself; with the rest after it about 25
ASLEEP_SECONDS = (0.1, 0.2, 0.5, 1.0)


def test_the_promises_hold_through_a_storm_on_sqlite(tmp_path: Path) -> None:
    verdict = weather(tmp_path, Plan(SECONDS, 11, asleep_seconds=ASLEEP_SECONDS), sqlite(tmp_path))
    assert verdict.is_good, str(verdict)


def test_the_promises_hold_through_a_storm_on_postgresql_which_is_restarted_too(
    tmp_path: Path, cluster: Cluster
) -> None:
    plan = Plan(SECONDS, 12, asleep_seconds=ASLEEP_SECONDS)
    verdict = weather(tmp_path, plan, postgresql(cluster), cluster)
    assert verdict.is_good, str(verdict)


def test_the_promises_hold_through_a_storm_over_many_processes(tmp_path: Path, cluster: Cluster) -> None:
    plan = Plan(SECONDS, 13, MANY, asleep_seconds=ASLEEP_SECONDS)
    verdict = weather(tmp_path, plan, postgresql(cluster), cluster)
    assert verdict.is_good, str(verdict)
