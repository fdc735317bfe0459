"""What wakes the pipeline: now, or when something is due. A runner may wake a lead twice; the ledger bears it."""

from __future__ import annotations

from typing import Protocol

from integration.ledger import LeadWork


class Runner(Protocol):
    """Drives the pipeline until it is stopped."""

    def wake(self, lead: LeadWork) -> None:
        """A lead has come in and may be moved now. Returns at once."""
        ...

    def start(self) -> None:
        """Begin to work, also on what is left from before."""
        ...

    def halt(self) -> None:
        """Begin nothing new from now on. Returns at once."""
        ...

    def stop(self, within_seconds: float) -> bool:
        """Begin nothing new and wait for what is under way. Whether all of it ended in time."""
        ...
