"""Rows F that no test elsewhere holds."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from integration.ledger import Ledger, LedgerUnavailable, NewEvent, migrate, open_database
from integration.log import set_up_logging
from integration.model import LeadState
from tests.ledger.conftest import World
from tests.pipeline.conftest import Stage


def _cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _without_its_last_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _with_pages_overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = b"\xa5" * 64
    path.write_bytes(content)


def _with_its_head_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xa5" * 100)


@pytest.mark.parametrize(
    "damage", [_cut_in_half, _without_its_last_page, _with_pages_overwritten, _with_its_head_overwritten]
)
def test_f10_a_damaged_sqlite_file_is_refused_and_left_as_it_is(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "ringback.db"
    url = f"sqlite:///{path}"
    migrate(url)
    with contextlib.closing(Ledger(open_database(url))) as ledger:
        for n in range(300):
            ledger.intake.receive(
                source="crm",
                body=b"%d" % n + b" " * 300,
                content_type="application/json",
                received_at_ms=1,
                events=[NewEvent(f"id:{n}")],
            )
    assert callable(damage)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerUnavailable, match=r"malformed|not a database"):
        Ledger(open_database(url)).is_migrated()
    with pytest.raises(LedgerUnavailable):
        migrate(url)
    assert path.read_bytes() == before


class Failing(io.StringIO):
    """A log that cannot take its n-th line, for a reason that nobody expects."""

    def __init__(self, fails_at: int) -> None:
        super().__init__()
        self._left = fails_at

    def write(self, text: str) -> int:
        self._left -= 1
        if self._left == -1:
            raise RuntimeError("the log")
        return super().write(text)


@pytest.mark.parametrize("fails_at", range(4))
def test_f22_an_error_in_the_log_rings_nobody_twice_and_loses_no_lead(
    stage: Stage, world: World, fails_at: int
) -> None:
    lead_id = stage.lead()
    set_up_logging("debug", Failing(fails_at))
    for _ in range(3):
        with contextlib.suppress(RuntimeError):
            stage.advance(lead_id)
        with contextlib.suppress(RuntimeError):
            stage.pipeline.write_back(lead_id)
        world.time_passes()
        stage.ledger.upkeep.recover(alone=True)
    # The first line comes between intent and call, the others after what they tell has been stored.
    wanted = (LeadState.UNKNOWN, 0) if fails_at == 0 else (LeadState.CALLED, 1)
    assert (stage.story(lead_id).lead.state, len(stage.dialer.calls)) == wanted
    assert stage.told(lead_id)["result"] == wanted[0]
