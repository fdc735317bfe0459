"""A server for each test file, with an empty ledger for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.ledger import migrate
from tests.web.door import Door, open_door


@pytest.fixture(scope="module")
def running_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    path = tmp_path_factory.mktemp("door") / "ringback.db"
    migrate(f"sqlite:///{path}")
    with open_door(path) as door:
        yield door


@pytest.fixture
def door(running_door: Door) -> Door:
    running_door.empty()
    return running_door
