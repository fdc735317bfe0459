"""What PostgreSQL says, told in words: without its own text, which may hold a row, and without the password."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import psycopg
import pytest

from integration.ledger import Ledger, LedgerUnavailable, open_database

PASSWORD = "canary-pass"


class Refusing:
    """A server that answers each start of a session with one PostgreSQL error, or with other bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(5)
                while len(head := client.recv(8)) == 8:
                    size, code = struct.unpack("!II", head)
                    if code in (80877103, 80877104) and self._answer.startswith(b"E"):  # asks for TLS or GSS
                        client.sendall(b"N")
                        continue
                    if size > len(head):
                        client.recv(size - len(head))
                    client.sendall(self._answer)
                    break


def error(sqlstate: str, text: str) -> bytes:
    fields = b"".join(
        kind + value.encode() + b"\0"
        for kind, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", text))
    )
    return b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"


REFUSALS = {
    "wrong password": (
        error("28P01", 'password authentication failed for user "app"'),
        "refuses user app with this password; copy user and password anew into DATABASE_URL",
    ),
    "not from here": (
        error("28000", 'no pg_hba.conf entry for host "10.0.0.1", user "app", database "leads", no encryption'),
        "does not let user app in from here; ask who runs it, or try `?sslmode=require` at the end of DATABASE_URL",
    ),
    "no such user": (
        error("28000", 'role "app" does not exist'),
        "has no user app; correct the user in DATABASE_URL",
    ),
    "no such database": (
        error("3D000", 'database "leads" does not exist'),
        "has no database named leads; correct the name in DATABASE_URL, or create it",
    ),
    "full": (
        error("53300", "sorry, too many clients already"),
        "has no connection free; close others, or raise its limit",
    ),
    "full but for admins": (
        error("53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute"),
        "has no connection free; close others, or raise its limit",
    ),
    "starting": (error("57P03", "the database system is starting up"), "is just starting or stopping; try again soon"),
    "another error": (
        error("XX000", 'Schl\u00fcssel (phone)=(+15551234567) "geheim"'),
        "did not accept the connection; its own log says why",
    ),
    "no postgresql": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak as PostgreSQL does; check host and port"),
    "closed at once": (b"", "closed the connection at once; check host and port"),
}


@pytest.mark.parametrize("row", REFUSALS)
def test_each_refusal_is_told_apart_by_every_command(terminal, row):
    answer, sentence = REFUSALS[row]
    with Refusing(answer) as server:
        result = terminal("leads", DATABASE_URL=f"postgres://app:{PASSWORD}@127.0.0.1:{server.port}/leads")
    assert result.exit_code == 2
    assert f"127.0.0.1:{server.port} {sentence}" in result.stderr
    assert PASSWORD not in result.output
    assert "5551234567" not in result.output
    assert "geheim" not in result.output
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "127.0.0.1:9",
            "nothing listens at 127.0.0.1:9; check host and port in DATABASE_URL, and that PostgreSQL runs",
        ),
        ("nowhere.invalid", "the host nowhere.invalid is not known here; check the host in DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("command", ["leads", "doctor"])
def test_a_wrong_port_and_a_wrong_host_are_told_apart(terminal, command, place, sentence):
    result = terminal(command, DATABASE_URL=f"postgres://app:{PASSWORD}@{place}/leads")
    assert sentence in " ".join(result.output.split())
    assert PASSWORD not in result.output
    assert "OperationalError" not in result.output


def test_a_host_that_says_nothing_is_told_after_two_seconds(terminal):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        result = terminal("leads", DATABASE_URL=f"postgres://app:{PASSWORD}@127.0.0.1:{port}/leads")
    assert f"127.0.0.1:{port} did not answer within 2 seconds" in result.stderr


def test_a_real_server_is_understood(terminal, postgres_url):
    parts = urlsplit(postgres_url)
    for changed, sentence in (
        (parts._replace(path="/nowhere"), "has no database named nowhere"),
        (parts._replace(netloc=parts.netloc.replace("postgres@", f"nobody:{PASSWORD}@")), "has no user nobody"),
    ):
        result = terminal("release", DATABASE_URL=changed.geturl(), **SETTINGS)
        assert sentence in result.stderr


SETTINGS = {"CXONE_BASE_URL": "http://127.0.0.1:9", "CXONE_CLIENT_ID": "a", "CXONE_CLIENT_SECRET": "b"}


@pytest.fixture
def terminal(desk, secrets):
    desk.env |= secrets
    return desk


# ---- while it runs ------------------------------------------------------------------------------


@pytest.fixture
def ledger(migrated_postgres_url) -> Iterator[Ledger]:
    opened = Ledger(open_database(migrated_postgres_url, pool_size=1))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", r"took too long.*QueryCanceled 57014"),
        ("SET TRANSACTION READ ONLY; DELETE FROM worker", r"is read-only.*25006"),
        ("SET LOCAL ROLE pg_read_all_settings; SELECT * FROM lead", r"may not do this.*InsufficientPrivilege 42501"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", r"connection broke|is stopping"),
    ],
)
def test_trouble_while_working_is_told_in_words(ledger, statement, sentence):
    def work() -> None:
        with ledger.database.write() as tx:
            for part in statement.split("; "):
                tx.run(part)

    with pytest.raises(LedgerUnavailable, match=sentence):
        work()


def test_a_pool_that_is_busy_is_told_apart_from_a_server_that_is_away(ledger):
    with ledger.database.write() as tx:
        tx.one("SELECT 1 AS one")
        with pytest.raises(LedgerUnavailable, match=r"every connection .* stayed busy"):
            ledger.reading.ping()
    away = Ledger(open_database(f"postgres://app:{PASSWORD}@127.0.0.1:9/x"))
    with pytest.raises(LedgerUnavailable, match=r"^nothing listens at 127\.0\.0\.1:9; "):
        away.reading.ping()
    away.close()


def test_why_the_server_is_away_is_forgotten_when_it_is_back(migrated_postgres_url):
    with psycopg.connect(migrated_postgres_url) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)
    ledger = Ledger(open_database(migrated_postgres_url))
    ledger.reading.ping()
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringback'")
    ledger.reading.ping()
    ledger.close()
