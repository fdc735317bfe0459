"""A PostgreSQL for the tests: the server that TEST_POSTGRES_URL names, or a temporary one of our own.

Every test gets a database that nobody else uses. Our own server runs without fsync: what these tests kill are
our processes, never the machine. Where there is no PostgreSQL the tests that need one are left out, and the
report's first lines say so; in CI they fail instead.

    def test_something(database_url): ...            # runs twice: an SQLite file, a PostgreSQL database
    def test_something(postgres_url): ...            # an empty database
    def test_something(migrated_postgres_url): ...   # the same with the schema in it, 50 ms instead of 300
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from integration.ledger import migrate

VARIABLE = "TEST_POSTGRES_URL"
STOP_SECONDS = 30.0
_FIXTURES = {"postgres_server", "postgres_url", "migrated_postgres_url", "cluster"}


class PostgresServer:
    """A running server, by the URL of its maintenance database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._template: str | None = None

    def create(self, template: str = "template0") -> str:
        """A fresh database's URL."""
        name = f"ringback_test_{uuid.uuid4().hex[:16]}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self._named(name)

    def create_migrated(self) -> str:
        """A fresh database's URL, the schema in it."""
        if self._template is None:
            url = self.create()
            migrate(url)
            self._template = _database(url)
        return self.create(self._template)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected."""
        self._run(f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)')

    def forget_template(self) -> None:
        """Remove what `create_migrated` copies from."""
        if self._template is not None:
            self.drop(self._named(self._template))
            self._template = None

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement.encode())

    def _named(self, database: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


# ---- where a server comes from --------------------------------------------------------------------


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the newest installed one, or the one on the PATH."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def is_available() -> bool:
    """Whether the tests that need PostgreSQL are collected. In CI always: there they fail when it is missing."""
    return bool(os.environ.get(VARIABLE) or os.environ.get("CI") or programs())


def databases() -> list[str]:
    """The kinds of database to run a test on, for a parametrised fixture."""
    return ["sqlite", "postgresql"] if is_available() else ["sqlite"]


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    """The server that the environment names, or a temporary one until the block ends."""
    named = os.environ.get(VARIABLE)
    if named:
        server = PostgresServer(named)
        yield server
        server.forget_template()
        return
    if programs() is None:
        raise RuntimeError(f"PostgreSQL is not installed and {VARIABLE} is not set")
    with own_cluster() as cluster:
        yield PostgresServer(cluster.url)


class Cluster:
    """A PostgreSQL of our own in a temporary folder, which may be stopped and started again at the same address."""

    def __init__(self, programs: Path, home: Path) -> None:
        self._programs = programs
        self._home = home
        # `initdb` refuses to run as root, so there the cluster belongs to the user postgres.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        if self._user is not None:
            os.chown(home, self._user.pw_uid, self._user.pw_gid)
        arguments = ["-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        _run_as(self._user, [programs / "initdb", *arguments], home)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = ["fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1", f"port={self._port}"]
        settings += ["unix_socket_directories=", "max_connections=100", "shared_buffers=32MB", "autovacuum=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        log = self._home / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._home / "data", *options],
                stdout=output,
                stderr=output,
                cwd=self._home,
                start_new_session=True,  # a Ctrl-C for the tests must not stop it before they have cleaned up
                **_identity(self._user),
            )
        _wait_until_it_answers(self.url, self._process, log)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM waits for who is connected, SIGINT cuts them off, SIGQUIT does so without a word to the disk."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_SECONDS)
        self._process = None


@contextlib.contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster for one test alone, running; removed at the end."""
    folder = programs()
    if folder is None:
        raise RuntimeError("the programs of PostgreSQL's server are not installed")
    home = Path(tempfile.mkdtemp(prefix="ringback-postgres-", dir="/tmp"))  # short: a socket's path has a limit
    try:
        cluster = Cluster(folder, home)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run_as(user: pwd.struct_passwd | None, command: list[str | Path], folder: Path) -> None:
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **_identity(user),
    )
    if finished.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {finished.stderr.strip()[-500:]}")


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                last = log.read_text(errors="replace")[-500:]
                raise RuntimeError(f"the temporary PostgreSQL does not answer: {last}") from None
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


# ---- fixtures -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run, started by the first test that wants it."""
    with running_server() as server:
        yield server


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of this test's own, which it may stop and start again."""
    with own_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of this test's own."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def migrated_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of this test's own with the schema in it."""
    url = postgres_server.create_migrated()
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=databases())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of this test's own: first an SQLite file, then PostgreSQL."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("migrated_postgres_url"))
    url = f"sqlite:///{tmp_path / 'ringback.db'}"
    migrate(url)
    return url


# ---- where there is no PostgreSQL -----------------------------------------------------------------


def pytest_report_header() -> str:
    """The line that says which PostgreSQL is used, or that its tests are left out."""
    if os.environ.get(VARIABLE):
        return f"postgresql: the server that {VARIABLE} names"
    folder = programs()
    if folder is not None:
        return f"postgresql: a temporary server, {folder}"
    outcome = "its tests will fail" if os.environ.get("CI") else "ITS TESTS ARE LEFT OUT"
    return f"postgresql: not installed and {VARIABLE} is not set: {outcome}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what needs a PostgreSQL that is not there."""
    if is_available():
        return
    out = [item for item in items if _FIXTURES.intersection(getattr(item, "fixturenames", ()))]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]
