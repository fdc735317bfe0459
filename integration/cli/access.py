"""What commands need of the outside: the ledger as it stands, and the dialer.

Unlike `serve`, no command here makes a database: an empty list out of a new file in the wrong folder would lie.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from integration.bootstrap import make_dialer, open_ledger, read_environment
from integration.cli.terminal import AnswerIsNo, CannotBegin
from integration.model import LeadId
from integration.settings import DialerSettings, Settings, read_settings

if TYPE_CHECKING:
    from integration.dialers import Dialer
    from integration.http import Client
    from integration.ledger import LeadStory, Ledger


def missing_ledger(settings: Settings) -> str | None:
    """Why there is no ledger to look into, as a sentence; None when there is one, or when a server must be asked."""
    from integration.ledger import sqlite_path  # noqa: PLC0415

    if not settings.database_url.startswith("sqlite:"):
        return None
    path = sqlite_path(settings.database_url)
    if path.exists():
        return None
    return f"there is no ledger at {path} yet: `ringback serve` makes it; is this the right folder and DATABASE_URL?"


@contextlib.contextmanager
def existing_ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger, open until the block ends. Raises CannotBegin, LedgerUnavailable."""
    missing = missing_ledger(settings)
    if missing is not None:
        raise CannotBegin(missing)
    quiet()
    ledger = open_ledger(settings)
    try:
        if not ledger.is_migrated():
            raise CannotBegin("the database is not migrated; run `ringback release`")
        yield ledger
    finally:
        ledger.close()


def story_of(lead: int) -> LeadStory:
    """All that the ledger knows of one lead. Raises AnswerIsNo where there is none, CannotBegin, LedgerUnavailable."""
    with existing_ledger(read_settings(read_environment())) as ledger:
        story = ledger.reading.story(LeadId(lead))
    if story is None:
        raise AnswerIsNo(f"there is no lead {lead}; `ringback leads` lists them")
    return story


def quiet() -> None:
    """Keep what libraries log off the terminal: it may quote a row or a request."""
    logging.getLogger().addHandler(logging.NullHandler())


def make_client() -> Client:
    """A client for outgoing requests."""
    from integration.http import Client  # noqa: PLC0415 - 0.1 s

    quiet()
    return Client()


def connect(settings: DialerSettings) -> Dialer:
    """The dialer; nothing is asked of it yet."""
    return make_dialer(settings, make_client())
