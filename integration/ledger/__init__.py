"""The ledger is the truth: every delivery, lead, attempt and write-back, and every change of their states.

All SQL of the program stands in this package, and nothing else touches the database. The rooms:

- `intake`: keeps a delivery and its leads before the CRM is answered;
- `calls`, `settling`, `pauses`, `guards`: one lead's way to one call, where the promises about ringing are kept;
- `brakes`, `do_not_call`, `rates`: what a person, the list or a limit has against a call, and how it goes on;
- `writebacks`: telling the CRM, with its own tries;
- `upkeep`: heartbeats, what dead workers left behind, what is due;
- `wakeups`: the jobs that wake workers on other machines;
- `people`: what only a person may order;
- `reading`: looks for people and doors.

Each change of a lead's state is a compare-and-set on its `epoch`, so that of two workers one wins.
Within a transaction rows are taken in this order: lead, attempt, scope of limits, phone guard, pause, write-back. So
two transactions cannot wait for each other; but for one that has lost its lead to another, and learns of it only
behind the rows that it asked for together with the lead (`Tx.foresee`). PostgreSQL ends one of the two, and that is
tried again. A statement over many leads skips those that another one holds.
"""

from integration.ledger.brakes import BURST, Brake, Brakes, Withheld
from integration.ledger.calls import Calls, IntentInDoubt
from integration.ledger.database import (
    ConstraintHeld,
    Database,
    LedgerInUse,
    LedgerUnavailable,
    open_database,
    sqlite_path,
)
from integration.ledger.do_not_call import DoNotCall, Listing, ListUnreadable, NumberKey
from integration.ledger.intake import Intake, NewEvent, Receipt
from integration.ledger.migrate import is_migrated, migrate
from integration.ledger.pauses import ALL_DIALING
from integration.ledger.people import NotPossible, People
from integration.ledger.rates import Rates
from integration.ledger.reading import AttemptRow, LeadRow, LeadStory, PauseRow, Reading, WritebackRow
from integration.ledger.steps import Begun, Claimed, Held, LeadWork, Lease, SetBack, Settled
from integration.ledger.upkeep import Recovered, Upkeep
from integration.ledger.wakeups import Wakeups
from integration.ledger.writebacks import WritebackJob, Writebacks, leased_job

__all__ = [
    "ALL_DIALING",
    "BURST",
    "AttemptRow",
    "Begun",
    "Brake",
    "Brakes",
    "Calls",
    "Claimed",
    "ConstraintHeld",
    "Database",
    "DoNotCall",
    "Held",
    "Intake",
    "IntentInDoubt",
    "LeadRow",
    "LeadStory",
    "LeadWork",
    "Lease",
    "Ledger",
    "LedgerInUse",
    "LedgerUnavailable",
    "ListUnreadable",
    "Listing",
    "NewEvent",
    "NotPossible",
    "NumberKey",
    "PauseRow",
    "People",
    "Rates",
    "Reading",
    "Receipt",
    "Recovered",
    "SetBack",
    "Settled",
    "Upkeep",
    "Wakeups",
    "Withheld",
    "WritebackJob",
    "WritebackRow",
    "Writebacks",
    "is_migrated",
    "leased_job",
    "migrate",
    "open_database",
    "sqlite_path",
]


class Ledger:
    """One database, and the rooms that work in it."""

    def __init__(self, database: Database, key: NumberKey | None = None) -> None:
        """`key` reads and writes the do-not-call list."""
        self.database = database
        self.intake = Intake(database, key)
        self.calls = Calls(database, key)
        self.brakes = Brakes(database)
        self.do_not_call = DoNotCall(database, key)
        self.rates = Rates(database)
        self.writebacks = Writebacks(database)
        self.upkeep = Upkeep(database)
        self.wakeups = Wakeups(database)
        self.people = People(database)
        self.reading = Reading(database)

    def is_migrated(self) -> bool:
        """Whether the schema is there and new enough. Raises LedgerUnavailable."""
        return is_migrated(self.database)

    def close(self) -> None:
        """Give the database back."""
        self.database.close()
