"""A ledger of each test's own, on both databases, and short words for what happens to a lead."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from integration.ledger import Begun, Held, LeadWork, Ledger, NewEvent, NumberKey, SetBack, migrate, open_database
from integration.model import (
    Account,
    Decision,
    DecisionKind,
    LeadId,
    LeadState,
    Limits,
    Next,
    Outcome,
    OutcomeKind,
    Reason,
)
from tests.postgres import PostgresServer, databases

EAST = Account("east", id="acc-east", caller_id="+15551230100")
WEST = Account("west", id="acc-west")
NUMBER = "+15551230001"
OTHER_NUMBER = "+15551230002"

PLACED = Outcome(OutcomeKind.PLACED, Reason.PLACED, "The dialer took the call.", call_id="call-1", http_status=200)
UNCLEAR = Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, "Nobody knows.")


def refused(reason: Reason, following: Next = Next.RETRY) -> Outcome:
    return Outcome(OutcomeKind.NOT_PLACED, reason, f"refused: {reason}", next=following)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ringback.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_ledger(postgres_server: PostgresServer) -> Iterator[Ledger]:
    """One database and one pool for all tests that leave them as they found them."""
    url = postgres_server.create_migrated()
    ledger = Ledger(open_database(url))
    yield ledger
    ledger.close()
    postgres_server.drop(url)


TABLES = (
    "history", "writeback", "pause", "phone_guard", "attempt", "worker", "lead", "delivery",
    "do_not_call", "do_not_call_key", "brake", "limit_scope", "limit_use", "arrival",
)  # fmt: skip


def emptied(ledger: Ledger) -> str:
    """The same database without a row: many times faster than a new one."""
    with ledger.database.write() as tx:
        for table in TABLES:
            tx.run(f"DELETE FROM {table}")
        tx.run("ALTER SEQUENCE lead_id_seq RESTART")
    return ledger.database.url


@pytest.fixture(params=databases())
def database_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    if request.param == "postgresql":
        return emptied(request.getfixturevalue("shared_ledger"))
    path = tmp_path / "ringback.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


class World:
    """One ledger, and what may happen in it."""

    def __init__(self, ledger: Ledger) -> None:
        self.url = ledger.database.url
        self.ledger = ledger
        self.limits = Limits()
        self._keys = itertools.count(1)

    def lead(self, source: str = "crm", received_at_ms: int = 1) -> LeadId:
        """A new lead."""
        event = NewEvent(f"id:{next(self._keys)}")
        receipt = self.ledger.intake.receive(
            source=source,
            body=b'{"Id": "7"}',
            content_type="application/json",
            received_at_ms=received_at_ms,
            events=[event],
        )
        return receipt.created[0]

    def decision(self, to: str = NUMBER, account: Account = EAST) -> Decision:
        return Decision(
            DecisionKind.CALL, account=account, to=to, rule_name="Everyone", rule_line=3, record_id="7", fields={"a": 1}
        )

    def take(self, lead_id: LeadId) -> LeadWork:
        work = self.ledger.calls.take(lead_id)
        assert work is not None, "the lead is not due"
        return work

    def begin(
        self, lead_id: LeadId, to: str = NUMBER, account: Account = EAST, cooldown_seconds: float = 600.0
    ) -> Begun | Held | None:
        work = self.take(lead_id)
        return self.begin_from(work, work.epoch, to, account, cooldown_seconds)

    def begin_from(
        self, work: LeadWork, epoch: int, to: str = NUMBER, account: Account = EAST, cooldown_seconds: float = 600.0
    ) -> Begun | Held | None:
        return self.ledger.calls.begin(
            work,
            epoch,
            self.decision(to, account),
            account_id=account.id or "",
            rules_digest="digest",
            worker_id="worker",
            cooldown_seconds=cooldown_seconds,
            limits=self.limits,
        )

    def use_key(self, secret: str | None) -> None:
        """From now on this world's process has this key of the do-not-call list."""
        self.ledger = Ledger(self.ledger.database, None if secret is None else NumberKey(secret))

    def begun(self, lead_id: LeadId, to: str = NUMBER, account: Account = EAST) -> Begun:
        begun = self.begin(lead_id, to, account)
        assert isinstance(begun, Begun), begun
        return begun

    def held(self, lead_id: LeadId, to: str = NUMBER, account: Account = EAST) -> Held:
        held = self.begin(lead_id, to, account)
        assert isinstance(held, Held), held
        return held

    def call(self, lead_id: LeadId, outcome: Outcome, after: SetBack | None = None, to: str = NUMBER) -> None:
        """Begin and settle."""
        assert self.ledger.calls.settle(lead_id, self.begun(lead_id, to).attempt_id, outcome, after) is not None

    def unknown(self) -> LeadId:
        """A lead whose call is unclear."""
        lead_id = self.lead()
        self.call(lead_id, UNCLEAR)
        return lead_id

    def state(self, lead_id: LeadId) -> LeadState:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return story.lead.state

    def reason(self, lead_id: LeadId) -> str | None:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return story.lead.reason

    def detail(self, lead_id: LeadId) -> str:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return story.lead.detail

    def asked(self, lead_id: LeadId) -> dict[str, tuple[str, Mapping[str, object]]]:
        """The checks of the last line of the lead's history that has any: what each said and saw."""
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        evidence = [entry.evidence for entry in story.history if entry.evidence is not None][-1]
        return {check["name"]: (check["verdict"], check["saw"]) for check in evidence["checks"]}

    def history(self, lead_id: LeadId) -> list[str]:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return [entry.what for entry in story.history]

    def attempts(self, lead_id: LeadId) -> list[str]:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return [str(attempt.state) for attempt in story.attempts]

    def wait_seconds(self, lead_id: LeadId) -> float:
        """How long the lead still waits, by the database's clock."""
        return float(self.value("SELECT due_at - {now} FROM lead WHERE id = :id", id=lead_id)) / 1000

    def value(self, sql: str, **values: object) -> float:
        with self.ledger.database.read() as tx:
            row = tx.one(sql.replace(" FROM", " AS value FROM", 1), values)
        assert row is not None
        return float(row["value"])

    def sql(self, sql: str, **values: object) -> int:
        """Change the ledger behind its back: let time pass, or break something."""
        with self.ledger.database.write() as tx:
            return tx.run(sql, values)

    def time_passes(self) -> None:
        """Whatever waits is due."""
        self.sql("UPDATE lead SET due_at = 1 WHERE due_at IS NOT NULL")
        self.sql("UPDATE writeback SET due_at = 1 WHERE due_at IS NOT NULL")

    def pause_is_due(self) -> None:
        assert self.sql("UPDATE pause SET probe_at = 1") > 0


@pytest.fixture
def world(database_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    is_shared = not database_url.startswith("sqlite")
    ledger = request.getfixturevalue("shared_ledger") if is_shared else Ledger(open_database(database_url))
    yield World(ledger)
    assert ledger.reading.broken_invariants() == {}
    if not is_shared:
        ledger.close()
