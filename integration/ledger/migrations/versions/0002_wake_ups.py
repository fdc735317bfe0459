"""Wake-ups for many machines: Procrastinate's tables, and the trigger that defers a job with each lead that may move.

On PostgreSQL alone. SQLite serves one process, which needs nobody to wake it.

The job is deferred by Procrastinate's own function `procrastinate_defer_jobs_v1`, inside the transaction that wrote
the lead: it is there exactly when the lead is, whichever door or release wrote it. The function's number is part of
its name because Procrastinate keeps it while two versions of it run side by side; it goes only with a migration of
Procrastinate's, and those are applied by migrations of ours alone.

Who raises the version of Procrastinate in pyproject.toml adds a migration that applies its SQL files after SCHEMA,
the `pre` ones; the `post` ones belong into the release after that, when no old process is left. On a database that
begins with the newer version this migration lays down the newer schema already, so that one must look first.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

# The newest of Procrastinate's own migrations that its schema holds. Another one was never tried with this trigger.
SCHEMA = "03.04.00_50_post_add_retry_failed_job_procedure.sql"

# A job is a wake-up: it names the lead, and the ledger decides. The more leads its source has waiting, the lower its
# place, in four steps of eight leads: a flood of one source does not hold up another's lead. One that is not due yet
# stands behind those that are, or each look for work would first pass over all that wait.
# `ringback serve` works its leads at once, and says so: it needs jobs only where others may help.
# It counts by the index whatever the statistics say: by those of a flood, or by none, the database would look through
# all leads there are for each that comes in. (Where it has no index to choose, JIT would seem worth its while.)
_WAKE = """
    CREATE FUNCTION ringback_wake() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    DECLARE
        is_later CONSTANT boolean := COALESCE(NEW.due_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000 + 1, false);
        before_it integer;
    BEGIN
        IF current_setting('ringback.works_itself', true) = 'on' AND NOT EXISTS (
            SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > clock_timestamp() - INTERVAL '60 seconds'
        ) THEN
            RETURN NULL;
        END IF;
        SELECT count(*) INTO before_it FROM (
            SELECT 1 FROM lead WHERE source = NEW.source AND state IN ('received', 'waiting', 'ready') LIMIT 33
        ) AS of_its_source;
        PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
            'leads', 'ringback.wake', -(before_it / 8) - CASE WHEN is_later THEN 1 ELSE 0 END, NULL, NULL,
            jsonb_build_object('lead_id', NEW.id),
            CASE WHEN is_later THEN to_timestamp((NEW.due_at + 1) / 1000.0) END
        )::procrastinate_job_to_defer_v1]);
        RETURN NULL;
    END
    $$
"""

# The database takes a partial index only where a statement repeats its words: keep the two alike.
_BY_SOURCE = """
    CREATE INDEX lead_movable_by_source ON lead (source) WHERE state IN ('received', 'waiting', 'ready')
"""

_NEW_LEAD = """
    CREATE TRIGGER wake_for_new_lead AFTER INSERT ON lead FOR EACH ROW
    WHEN (NEW.state IN ('received', 'waiting', 'ready'))
    EXECUTE FUNCTION ringback_wake()
"""

_MOVED_LEAD = """
    CREATE TRIGGER wake_for_moved_lead AFTER UPDATE OF state, due_at ON lead FOR EACH ROW
    WHEN (NEW.state IN ('received', 'waiting', 'ready')
          AND (NEW.state, NEW.due_at) IS DISTINCT FROM (OLD.state, OLD.due_at))
    EXECUTE FUNCTION ringback_wake()
"""


def upgrade() -> None:
    """Create them; the triggers last, because their creation keeps writers out until the end."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    # The driver's own connection, without parameters: the schema is many statements, and has percent signs.
    driver = connection.connection.driver_connection
    assert driver is not None
    for statements in (_procrastinate_schema(), _WAKE, _BY_SOURCE, _NEW_LEAD, _MOVED_LEAD):
        driver.execute(statements)


def _procrastinate_schema() -> str:
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - a release on SQLite does without

    newest = max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    if newest != SCHEMA:
        raise RuntimeError(f"Procrastinate's schema is {newest}; this migration was written for {SCHEMA}")
    return SchemaManager.get_schema()
