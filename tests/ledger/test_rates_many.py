"""Many processes, one of which is killed and replaced, keep the limits to the call, and use what they allow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.ledger.conftest import World
from tests.ledger.dialing_process import LIMITS

pytestmark = pytest.mark.slow

SECONDS = 8.0


def process(world: World, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.dialing_process", world.url, str(seconds)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


def ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"


def most_in(instants: Sequence[int], window_ms: int) -> int:
    return max(sum(at <= other < at + window_ms for other in instants) for at in instants)


def test_never_above_the_limit_and_the_rate_is_used(world: World) -> None:
    for _ in range(150):
        world.lead()
    children = [process(world, SECONDS) for _ in range(4)]
    for child in children:
        ready(child)
    time.sleep(SECONDS / 4)
    children[0].kill()
    children.append(process(world, SECONDS / 2))
    for child in children:
        child.communicate(timeout=60)
    with world.ledger.database.read() as tx:
        rows = tx.all("SELECT account, intent_at FROM attempt WHERE state <> 'not_placed' ORDER BY intent_at")
    every = [row["intent_at"] for row in rows]
    east = [row["intent_at"] for row in rows if row["account"] == "east"]
    second, ten = LIMITS.everything
    assert most_in(every, 1000) <= second.most
    assert most_in(every, 10_000) <= ten.most
    assert most_in(east, 1000) <= LIMITS.accounts["east"][0].most
    assert len(every) >= 0.8 * ten.most
    world.ledger.upkeep.recover(alone=True)
