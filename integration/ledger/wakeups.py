"""Wake-ups across machines, on PostgreSQL: jobs of Procrastinate that say "look at this lead", and nothing else.

A trigger (migration 0002) defers one in the very transaction that makes a lead movable, at the instant at which it is
due. So nothing here, and no door, has to remember to. What a job means is decided by the ledger when it runs: a
second one, a late one, one that comes again after its worker died find that nothing is to be done. One that is
lost is made good by the upkeep, which looks for leads that nobody has moved.

`ringback worker` fetches the jobs (`integration.runner.queue`). What it needs to know of the database stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from integration.ledger.database import Database, postgres_url

if TYPE_CHECKING:
    import psycopg
    import psycopg_pool

QUEUE = "leads"
TASK = "ringback.wake"
# Two to fetch and finish jobs, and Procrastinate opens one more that listens.
FETCHING_CONNECTIONS = 2
STALLED_SECONDS = 30.0  # Procrastinate's workers beat every 10 s
# A worker fetches no more jobs than it works on, and a lead's step ends within a dial's and a preparation's deadlines.
LONGEST_IN_HAND_SECONDS = 60.0
MOST_DELETED = 2000  # at once: a backlog must not take longer than a statement may

# What a dead worker had fetched, or a living one could not note the end of because the database was away just then.
# A job that is in truth still in hand is run once more, and the ledger says no.
_RETRY_STALLED = """
    SELECT procrastinate_retry_job_v2(id, clock_timestamp(), NULL, NULL, NULL) FROM procrastinate_jobs
    WHERE id IN (
        SELECT job.id FROM procrastinate_jobs job
        WHERE job.queue_name = :queue AND job.status = 'doing' AND NOT (
            EXISTS (
                SELECT 1 FROM procrastinate_workers living
                WHERE living.id = job.worker_id
                  AND living.last_heartbeat > clock_timestamp() - make_interval(secs => :stalled))
            AND EXISTS (
                SELECT 1 FROM procrastinate_events event
                WHERE event.job_id = job.id AND event.type = 'started'
                  AND event.at > clock_timestamp() - make_interval(secs => :longest)))
        ORDER BY job.id FOR UPDATE SKIP LOCKED)
"""

# Who runs a job deletes it. Where only `serve` works what others have kept, nobody would ever fetch one.
_DELETE_NEEDLESS = """
    DELETE FROM procrastinate_jobs WHERE id IN (
        SELECT job.id FROM procrastinate_jobs job
        WHERE job.queue_name = :queue AND job.status = 'todo' AND NOT EXISTS (
            SELECT 1 FROM procrastinate_workers
            WHERE last_heartbeat > clock_timestamp() - make_interval(secs => :stalled))
        AND NOT EXISTS (
            SELECT 1 FROM lead WHERE lead.id = CAST(job.args ->> 'lead_id' AS BIGINT)
              AND lead.state IN ('received', 'waiting', 'ready'))
        ORDER BY job.id LIMIT :most FOR UPDATE SKIP LOCKED)
"""


class Wakeups:
    """Keeps the queue whole. On SQLite there is none. Raises LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tidy(self) -> None:
        """Give back what dead workers had fetched, and what hangs; without a worker, delete what no lead waits for."""
        if self._database.dialect == "sqlite":
            return
        values = {"queue": QUEUE, "stalled": STALLED_SECONDS}
        with self._database.write() as tx:
            tx.all(_RETRY_STALLED, {**values, "longest": LONGEST_IN_HAND_SECONDS})
            tx.run(_DELETE_NEEDLESS, {**values, "most": MOST_DELETED})


def make_fetching_pool(url: str) -> psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    """Procrastinate's connections, not yet opened.

    They give up on a server that is away within seconds, so that a new pool is made that uses it as soon as it is back.
    """
    import psycopg  # noqa: PLC0415 - only a worker needs them
    import psycopg_pool  # noqa: PLC0415

    from integration.ledger.postgres import IDLE_SECONDS, let_go  # noqa: PLC0415

    class LettingGo(psycopg.AsyncConnection[Any]):
        @classmethod
        async def connect(cls, conninfo: str = "", **named: Any) -> Self:
            try:
                return await super().connect(conninfo, **named)
            except BaseException as error:  # also when it was cancelled
                let_go(error)
                raise

    return psycopg_pool.AsyncConnectionPool(
        postgres_url(url),
        connection_class=LettingGo,
        min_size=1,
        max_size=FETCHING_CONNECTIONS,
        timeout=3.0,
        reconnect_timeout=2.0,
        max_idle=IDLE_SECONDS,
        open=False,
        configure=_configure,
        name="ringback-queue",
        # Not autocommit: Procrastinate adds that itself for the connection that listens.
        kwargs={
            "connect_timeout": 2,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 3000,  # milliseconds
            "application_name": "ringback queue",
        },
    )


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """That a job was fetched or done need not survive a crash: it would be looked at once more."""
    await connection.set_autocommit(True)
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("SET statement_timeout = '10s'")
