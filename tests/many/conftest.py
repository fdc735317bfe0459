"""A fleet for each test, on a migrated PostgreSQL database of its own: the test itself starts the processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.many.fleet import Fleet, set_up_fleet


@pytest.fixture
def fleet(tmp_path: Path, migrated_postgres_url: str) -> Iterator[Fleet]:
    with set_up_fleet(tmp_path, migrated_postgres_url) as fleet:
        yield fleet
