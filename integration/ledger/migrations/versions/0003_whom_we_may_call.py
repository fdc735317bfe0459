"""Whom we may call: the do-not-call list, people's brakes, limits and bursts, and the evidence of each check.

Nothing here is in the way of the release before: it knows none of these tables and leaves `history.evidence` empty.
While both run, its calls are neither counted nor held back by what is kept here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create them."""
    _do_not_call()
    _brakes_and_limits()
    op.add_column("lead", sa.Column("renewed_at", sa.BigInteger))  # a person ordered it: its age counts from then
    op.add_column("history", sa.Column("evidence", sa.Text))  # JSON: the checks that led to this line
    _history_is_never_changed()


def _do_not_call() -> None:
    op.create_table(
        "do_not_call",
        sa.Column("number", sa.LargeBinary, primary_key=True),  # HMAC-SHA256 of the E.164 number
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    # At most one row, and only while the list holds numbers: what tells its key from any other.
    op.create_table(
        "do_not_call_key",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key_check", sa.LargeBinary, nullable=False),
    )


def _brakes_and_limits() -> None:
    op.create_table(
        "brake",
        sa.Column("scope", sa.Text, primary_key=True),  # `*`, `source:x`, `account:x` or `rule:name`
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    # Who counts calls of a scope, or adds one, holds its row here.
    op.create_table("limit_scope", sa.Column("scope", sa.Text, primary_key=True), sqlite_with_rowid=False)
    op.create_table(
        "limit_use",
        sa.Column("scope", sa.Text, primary_key=True),  # `*`, `source:x` or `account:x`
        sa.Column("at", sa.BigInteger, primary_key=True),  # the attempt's `intent_at`
        sa.Column("attempt_id", sa.BigInteger, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "arrival",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("lead_id", sa.BigInteger, primary_key=True),
        sqlite_with_rowid=False,
    )


# A line may go only together with its lead, as the protection of data may demand.
_ON_SQLITE = """
    CREATE TRIGGER history_is_never_changed BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'history is never changed'); END
"""

_REFUSE = """
    CREATE FUNCTION ringback_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'history is never changed'; END
    $$
"""

_ON_POSTGRESQL = """
    CREATE TRIGGER history_is_never_changed BEFORE UPDATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION ringback_refuse_change()
"""


def _history_is_never_changed() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_ON_SQLITE)
    else:
        op.execute(_REFUSE)
        op.execute(_ON_POSTGRESQL)
