"""A pipeline of each test's own, and the tools of the end-to-end tests."""

from tests.ledger.conftest import database_url, shared_ledger, sqlite_template, world
from tests.pipeline.conftest import stage

__all__ = ["database_url", "shared_ledger", "sqlite_template", "stage", "world"]
