"""The schema comes to be once, whoever releases at the same time, and an old one is noticed."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

import integration.ledger
from integration.ledger import Ledger, LedgerUnavailable, is_migrated, migrate, open_database
from integration.ledger.migrate import HEAD
from tests.postgres import databases


@pytest.fixture(params=databases())
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'ringback.db'}"


def test_a_release_creates_the_schema_and_the_next_one_has_nothing_to_do(empty_url: str) -> None:
    database = open_database(empty_url)
    assert not is_migrated(database)
    assert migrate(empty_url)
    assert is_migrated(database)
    assert not migrate(empty_url)
    database.close()


def test_releases_at_the_same_time_are_harmless(empty_url: str) -> None:
    found: list[bool] = []
    start = threading.Barrier(3)

    def release() -> None:
        start.wait()
        found.append(migrate(empty_url))

    threads = [threading.Thread(target=release) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, True]


def test_a_database_without_the_schema_says_what_to_do(empty_url: str) -> None:
    ledger = Ledger(open_database(empty_url))
    with pytest.raises(LedgerUnavailable, match="not migrated; run `ringback release`"):
        list(ledger.reading.leads())
    with pytest.raises(LedgerUnavailable, match="not migrated; run `ringback release`"):
        ledger.upkeep.heartbeat("worker")
    ledger.close()


def test_an_older_schema_is_not_enough_and_a_newer_one_is(empty_url: str) -> None:
    migrate(empty_url)
    database = open_database(empty_url)
    for version, is_enough in (("0000", False), ("9999", True)):
        with database.write() as tx:
            tx.run("UPDATE alembic_version SET version_num = :version", {"version": version})
        assert is_migrated(database) == is_enough
    database.close()


def test_a_newer_schema_is_left_as_it_is(empty_url: str) -> None:
    migrate(empty_url)
    database = open_database(empty_url)
    with database.write() as tx:
        tx.run("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert not migrate(empty_url)


def test_the_newest_revision_is_the_one_that_the_code_wants() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(integration.ledger.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_release_against_nobody_says_that_the_database_does_not_answer() -> None:
    with pytest.raises(LedgerUnavailable, match="the database does not answer"):
        migrate("postgres://postgres@127.0.0.1:1/none")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused(postgres_url: str, encoding: str) -> None:
    name = f"{urlsplit(postgres_url).path[1:]}_{encoding.lower()}"
    with psycopg.connect(postgres_url, autocommit=True) as other:
        wish = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        other.execute(f"CREATE DATABASE {name} {wish}".encode())
        try:
            with pytest.raises(LedgerUnavailable, match=f"encoding is {encoding}") as refused:
                migrate(urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
        finally:
            other.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert refused.value.lasts


def test_what_the_environment_says_of_encodings_does_not_matter(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert migrate(postgres_url)


def test_both_databases_have_the_same_tables_columns_and_indexes(tmp_path: Path, postgres_url: str) -> None:
    lite_url = f"sqlite:///{tmp_path / 'ringback.db'}"
    for url in (lite_url, postgres_url):
        migrate(url)
    lite, full = sa.create_engine(lite_url), sa.create_engine(postgres_url.replace("postgresql", "postgresql+psycopg"))
    assert _shape(lite) == _shape(full)
    for engine in (lite, full):
        engine.dispose()


def test_the_release_before_goes_on_while_the_new_schema_is_there(empty_url: str) -> None:
    migrate(empty_url)
    database = open_database(empty_url)
    with database.write() as tx:
        for statement in OLD_LEAD:
            tx.run(statement)
    with database.read() as tx:
        row = tx.one("SELECT what, evidence FROM history")
    assert row is not None
    assert (row["what"], row["evidence"]) == ("skipped", None)
    database.close()


# A lead and its history as release 0002 writes them.
OLD_LEAD = (
    "INSERT INTO delivery (source, received_at, state, note, body_sha256) VALUES ('crm', 1, 'stored', '', '')",
    """INSERT INTO lead (delivery_id, item, source, dedupe_key, state, detail, received_at, updated_at)
       VALUES (1, 0, 'crm', 'id:1', 'skipped', '', 1, 1)""",
    "INSERT INTO history (lead_id, at, what, detail) VALUES (1, 1, 'skipped', 'rule_skips')",
)


def test_a_line_of_the_history_is_never_changed(empty_url: str) -> None:
    migrate(empty_url)
    database = open_database(empty_url)
    with database.write() as tx:
        for statement in OLD_LEAD:
            tx.run(statement)
    with pytest.raises(Exception, match="history is never changed"), database.write() as tx:
        tx.run("UPDATE history SET detail = 'something else'")
    database.close()


def _shape(engine: sa.Engine) -> dict[str, object]:
    looker = sa.inspect(engine)
    return {
        table: (
            [(column["name"], column["nullable"]) for column in looker.get_columns(table)],
            sorted(
                (str(index["name"]), tuple(index["column_names"]), bool(index["unique"]))
                for index in looker.get_indexes(table)
                if not index.get("duplicates_constraint") and index["name"] != "lead_movable_by_source"
            ),
            sorted(looker.get_pk_constraint(table)["constrained_columns"]),
            sorted(str(key["referred_table"]) for key in looker.get_foreign_keys(table)),
        )
        for table in sorted(looker.get_table_names())
        if not table.startswith("procrastinate_")  # with the index left out above: what many machines need
    }
