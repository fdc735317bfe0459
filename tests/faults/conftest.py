from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.http import Client
from integration.sandbox.contact_centre import ContactCentre


@pytest.fixture
def cc() -> Iterator[ContactCentre]:
    with ContactCentre() as centre:
        yield centre


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()
