"""What every dialer promises, whichever vendor stands behind it.

Only this file is known to the pipeline. A vendor is one file beside it; `bootstrap` chooses it.

The order of one attempt: `ticket` (no network) or `prepare` (network allowed), then the commit of
the intent, then `place`. Everything that can fail without a person noticing happens in `prepare`,
so that `place` is nothing but the one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from integration.model import Account, CallRequest, Outcome


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """One phone account as the dialer lists it."""

    id: str
    name: str | None
    number: str | None  # as the dialer writes it


@dataclass(frozen=True, slots=True)
class Ticket:
    """All that `place` needs beside the call itself. Good for a few seconds, never stored."""

    account: Account
    account_id: str
    token: str = field(repr=False)


class DialerError(Exception):
    """Nothing was sent to anybody's phone; `outcome` is NOT_PLACED and says why and what to do."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class Dialer(Protocol):
    """A way to ring one person. Every method may be called from many threads at once."""

    def ticket(self, account: Account) -> Ticket | None:
        """The ticket for this account if caches alone can give it; never touches the network."""
        ...

    def prepare(self, account: Account) -> Ticket:
        """The ticket for this account, fetched where need be.

        Raises DialerError; its outcome is what the attempt would have come to.
        """
        ...

    def place(self, ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        """Ring the person: at most one request, sent before `send_by` (time.monotonic()) or never.

        Whatever the network does is an Outcome, never an exception.
        """
        ...

    def accounts(self) -> Sequence[PhoneAccount]:
        """The phone accounts that these credentials see, asked anew. Raises DialerError."""
        ...

    def forget(self) -> None:
        """Drop the token and the list, so that the next `prepare` asks anew."""
        ...
