"""A rig for each test: the server is started by the test itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.rig import Rig, set_up_rig


@pytest.fixture
def rig(tmp_path: Path, database_url: str) -> Iterator[Rig]:
    """On SQLite, then on PostgreSQL."""
    with set_up_rig(tmp_path, database_url) as rig:
        yield rig


@pytest.fixture
def sqlite_rig(tmp_path: Path) -> Iterator[Rig]:
    """On SQLite alone, where the kind of database makes no difference."""
    with set_up_rig(tmp_path, f"sqlite:///{tmp_path / 'ringback.db'}") as rig:
        yield rig
