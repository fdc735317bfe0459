"""Brings a database to the form this code needs. Alembic and SQLAlchemy are loaded only when there is work.

Migrations run in `ringback release`; `serve` on SQLite runs them itself, because it is the only process there.
Two releases at once are harmless: the second waits, then finds nothing to do.
"""

from __future__ import annotations

from pathlib import Path

from integration.ledger.database import Database, LedgerUnavailable, postgres_url

HEAD = "0003"  # the newest revision in migrations/versions; a test keeps the two in step

_RELEASE_LOCK = 7_264_665  # any constant: PostgreSQL's advisory locks are numbers


def is_migrated(database: Database) -> bool:
    """Whether the schema is new enough. A newer one is fine: migrations only add, so that the old code
    can finish its work while a release goes out. Raises LedgerUnavailable when nobody answers."""
    with database.read() as tx:
        if database.dialect == "sqlite":
            found = tx.one("SELECT 1 AS found FROM sqlite_master WHERE name = 'alembic_version'")
        else:
            found = tx.one("SELECT 1 AS found WHERE to_regclass('alembic_version') IS NOT NULL")
        row = tx.one("SELECT version_num FROM alembic_version") if found else None
    return row is not None and str(row["version_num"]) >= HEAD


def migrate(database_url: str) -> bool:
    """Run what is missing. Returns whether anything was. Raises LedgerUnavailable."""
    import sqlalchemy as sa  # noqa: PLC0415 - 30 MB that a running server never needs
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    url = postgres_url(database_url).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=_patience(url))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                _demand_unicode(str(connection.exec_driver_sql("SHOW server_encoding").scalar_one()))
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_RELEASE_LOCK})"))
            else:
                # The driver opens no transaction before DDL by itself; this one is for a second release.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            before = MigrationContext.configure(connection).get_current_revision()
            if before is not None and before >= HEAD:
                return False
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return True
    except sa.exc.OperationalError as error:
        raise LedgerUnavailable(f"the database does not answer: {type(error.orig).__name__}") from None
    except sa.exc.DBAPIError as error:
        why = f"the migration was refused: {type(error.orig).__name__}"
        raise LedgerUnavailable(f"{why}; may the database's user create tables in this schema?", lasts=True) from None
    finally:
        engine.dispose()


def _demand_unicode(encoding: str) -> None:
    """A name in a message would have no place in another one, and the webhook could not be kept."""
    if encoding != "UTF8":
        told = f"the database's encoding is {encoding}; create one with `ENCODING 'UTF8' TEMPLATE template0`"
        raise LedgerUnavailable(told, lasts=True)


def _patience(url: str) -> dict[str, float | str]:
    return {"timeout": 30.0} if url.startswith("sqlite") else {"connect_timeout": 10, "client_encoding": "utf8"}
