"""The ledger: deliveries, leads, attempts, the phone guard, write-backs, pauses, workers, history.

Instants are milliseconds since 1970 UTC. The two partial unique indexes on `attempt` are the heart:
they make a second live call of one lead impossible in the database itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def key() -> sa.Column[int]:
    """A number of its own for each row. Never given twice, in SQLite only with `sqlite_autoincrement`, which costs
    a page of each commit: people and CRMs know deliveries and leads by their numbers, and only these have it."""
    return sa.Column("id", ID, sa.Identity(), primary_key=True)


def instant(name: str, *, nullable: bool = True) -> sa.Column[int]:
    """Milliseconds since 1970 UTC."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def text(name: str, *, nullable: bool = True) -> sa.Column[str]:
    """Text of any length."""
    return sa.Column(name, sa.Text, nullable=nullable)


def count(name: str) -> sa.Column[int]:
    """A number that starts at nought."""
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def one_of(column: str, *words: str) -> sa.CheckConstraint:
    """Only these words may stand in the column."""
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index over the rows that `where` picks, the same on both databases."""
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    """Create everything."""
    _deliveries_and_leads()
    _calls()
    _the_rest()
    moving = "state IN ('received', 'waiting', 'ready', 'claimed', 'dialing')"
    partial_index("lead_moving", "lead", ["state", "due_at"], moving)
    op.create_index("lead_by_delivery", "lead", ["delivery_id"])
    live = "state IN ('intent', 'placed', 'unknown')"
    partial_index("one_live_attempt", "attempt", ["lead_id"], live, unique=True)
    partial_index("one_call_id", "attempt", ["call_id"], "call_id IS NOT NULL", unique=True)
    partial_index("writeback_pending", "writeback", ["due_at"], "state = 'pending'")
    op.create_index("history_by_lead", "history", ["lead_id", "id"])


def _deliveries_and_leads() -> None:
    op.create_table(
        "delivery",
        key(),
        text("source", nullable=False),
        instant("received_at", nullable=False),
        text("state", nullable=False),
        text("note", nullable=False),
        text("content_type"),
        sa.Column("body", sa.LargeBinary),  # the exact bytes; NULL where a duplicate brought the same again
        text("body_sha256", nullable=False),
        one_of("state", "stored", "ignored", "duplicate"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lead",
        key(),
        sa.Column("delivery_id", ID, sa.ForeignKey("delivery.id"), nullable=False),
        count("item"),  # which event of the delivery, from 0
        text("source", nullable=False),
        text("dedupe_key", nullable=False),
        text("state", nullable=False),
        text("reason"),
        text("detail", nullable=False),
        count("epoch"),  # grows with each change of state: a compare-and-set on it lets one worker win
        text("worker_id"),
        instant("received_at", nullable=False),
        instant("updated_at", nullable=False),
        instant("lease_until"),
        instant("due_at"),
        instant("give_up_at"),
        count("attempts"),
        count("stumbles"),  # how often a step ended in an error of ours
        text("record_id"),
        text("to_number"),
        text("account"),
        text("rule_name"),
        sa.Column("rule_line", sa.BigInteger),
        text("rules_digest"),
        text("fields"),  # JSON: the lead as the rules saw it
        text("call_id"),
        text("call_status"),
        sa.UniqueConstraint("source", "dedupe_key", name="one_lead_per_event"),
        one_of(
            "state", "received", "waiting", "ready", "claimed", "dialing",
            "called", "skipped", "blocked", "parked", "unknown", "failed", "rehearsed",
        ),
        sqlite_autoincrement=True,
    )  # fmt: skip


def _calls() -> None:
    op.create_table(
        "attempt",
        key(),
        sa.Column("lead_id", ID, sa.ForeignKey("lead.id"), nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        text("state", nullable=False),
        text("account", nullable=False),
        text("account_id", nullable=False),
        text("to_number", nullable=False),
        text("caller_id"),
        text("worker_id", nullable=False),
        instant("intent_at", nullable=False),
        instant("settled_at"),
        text("call_id"),
        text("call_status"),
        sa.Column("http_status", sa.BigInteger),
        text("reason"),
        text("message", nullable=False),
        sa.UniqueConstraint("lead_id", "n", name="attempt_numbers"),
        one_of("state", "intent", "placed", "unknown", "not_placed", "released"),
    )
    op.create_table(
        "phone_guard",
        sa.Column("phone", sa.Text, primary_key=True),
        sa.Column("lead_id", ID, sa.ForeignKey("lead.id"), nullable=False),
        instant("not_before", nullable=False),
        sqlite_with_rowid=False,  # one page less to write before each call
    )
    op.create_table(
        "pause",
        sa.Column("scope", sa.Text, primary_key=True),  # an account's key, or * for all dialling
        text("reason", nullable=False),
        text("message", nullable=False),
        instant("since", nullable=False),
        count("step"),
        instant("probe_at", nullable=False),
    )


def _the_rest() -> None:
    op.create_table(
        "writeback",
        sa.Column("lead_id", ID, sa.ForeignKey("lead.id"), primary_key=True),
        count("version"),  # grows with each new result: an answer to an older one settles nothing
        text("state", nullable=False),
        text("reason"),
        text("detail", nullable=False),
        count("tries"),
        instant("first_at", nullable=False),
        instant("due_at"),
        instant("lease_until"),
        instant("settled_at"),
        sa.Column("http_status", sa.BigInteger),
        one_of("state", "pending", "done", "parked"),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text, primary_key=True),
        instant("started_at", nullable=False),
        instant("heartbeat_at", nullable=False),
    )
    op.create_table(
        "history",
        key(),
        sa.Column("lead_id", ID, sa.ForeignKey("lead.id"), nullable=False),
        instant("at", nullable=False),
        text("what", nullable=False),
        text("detail", nullable=False),
    )
