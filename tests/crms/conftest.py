"""An office over an empty ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.ledger import Ledger, migrate, open_database
from integration.rules import Rules
from tests.crms.rig import Office, preset_rules


@pytest.fixture(scope="session")
def presets() -> Rules:
    return preset_rules()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path_factory.mktemp('crms')}/ringback.db"
    migrate(url)
    opened = Ledger(open_database(url))
    yield opened
    opened.close()


@pytest.fixture
def office(ledger: Ledger, presets: Rules) -> Office:
    with ledger.database.write() as tx:
        for table in ("history", "writeback", "phone_guard", "attempt", "lead", "delivery"):
            tx.run(f"DELETE FROM {table}")
    return Office(ledger, presets)
