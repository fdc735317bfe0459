"""How `serve` begins: every mistake at once, no file of another kind touched, and a database that is not there yet."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from integration.ledger import Ledger, NumberKey, migrate, open_database
from integration.sandbox.contact_centre import ContactCentre
from tests.cli.conftest import RULES, SECRETS
from tests.end_to_end.rig import Cable

ROOT = Path(__file__).parents[2]
SERVING = {"CXONE_BASE_URL": "http://127.0.0.1:9", "CXONE_CLIENT_ID": "a", "CXONE_CLIENT_SECRET": "b", **SECRETS}
COMMAND = [sys.executable, "-m", "integration", "serve", "--port", "0"]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **SERVING, "RINGBACK_RULES": "rules.yaml", **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


def refused(folder: Path, **more: str) -> list[str]:
    """What `serve` says on standard error when it ends with 2."""
    done = subprocess.run(
        COMMAND, cwd=folder, env=environment(more), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return [line.removeprefix("Error: ") for line in done.stderr.splitlines()]


class Server:
    """A `serve` of its own, and what it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def wait_for(self, event: str) -> str:
        """The next line of this event."""
        while True:
            line = self.lines.get(timeout=20)
            if f"event={event} " in line or line.endswith(f"event={event}\n"):
                return line

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        signature = hmac.new(SECRETS["CRM_SECRET"].encode(), body, hashlib.sha256).hexdigest()
        connection.request(method, path, body or None, {"X-Signature": signature, "Content-Type": "application/json"})
        answer = connection.getresponse()
        told = answer.status, json.loads(answer.read())
        connection.close()
        return told

    @property
    def port(self) -> int:
        return self._port

    def started(self) -> None:
        line = self.wait_for("server.started")
        self._port = int(line.partition("port=")[2].split()[0])


@contextlib.contextmanager
def serving(folder: Path, **more: str) -> Iterator[Server]:
    with subprocess.Popen(
        COMMAND, cwd=folder, env=environment(more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


# ---- what is wrong is told ----------------------------------------------------------------------


def test_settings_dialer_and_rules_are_judged_in_one_run(folder: Path) -> None:
    told = refused(folder, CXONE_CLIENT_ID="", PORT="http", CRM_URL="", RINGBACK_DIALING="")
    assert told[:4] == [
        "PORT: 'http' must be a whole number from 0 to 65535",
        "RINGBACK_DIALING is empty; write on, off or numbers",
        "CXONE_CLIENT_ID: not set; Admin Console > Platform > OAuth Clients shows it",
        "rules.yaml:36:16: ${CRM_URL} is empty; set CRM_URL to its value",
    ]
    assert told[4:] == ["rules.yaml cannot be used without; `ringback check` looks at all the rest of it"]


def test_it_says_that_check_says_the_same_where_that_is_so(folder: Path) -> None:
    (folder / "rules.yaml").write_text((folder / "rules.yaml").read_text().replace("sources:", "surces:"))
    assert refused(folder, CRM_URL="")[-1] == "rules.yaml cannot be used; `ringback check` says the same"


def test_a_secret_file_that_is_not_there_hides_no_other_mistake(folder: Path) -> None:
    told = refused(
        folder, CXONE_CLIENT_SECRET_FILE="/nope", CXONE_CLIENT_SECRET="", CRM_SECRET_FILE="/nope", PORT="http"
    )
    assert told == [
        "CXONE_CLIENT_SECRET_FILE: the file it names cannot be read; check path and permissions",
        "CRM_SECRET: both CRM_SECRET and CRM_SECRET_FILE are set; unset one of them",
        "PORT: 'http' must be a whole number from 0 to 65535",
    ]


def test_rules_that_are_not_there_are_told_beside_the_settings(folder: Path) -> None:
    told = refused(folder, PORT="http", RINGBACK_RULES="nope.yaml")
    assert told == [
        "PORT: 'http' must be a whole number from 0 to 65535",
        "RINGBACK_RULES: nope.yaml: no such file or directory; give the path of your rules file",
    ]


def test_an_address_that_a_signature_needs_is_told_with_the_rest(folder: Path) -> None:
    (folder / "rules.yaml").write_text(RULES.replace("header: X-Signature,", "header: X-S, parts: [url, body],"))
    told = refused(folder, PORT="http")
    assert [line.partition(":")[0] for line in told] == ["PORT", "PUBLIC_URL"]


def test_opt_outs_need_the_key_of_the_list(folder: Path) -> None:
    (folder / "rules.yaml").write_text(RULES.replace("only: {", "opt_out: {type: opted_out}\n    only: {"))
    told = refused(folder, PORT="http")
    assert [line.partition(":")[0] for line in told] == ["PORT", "RINGBACK_DNC_KEY"]
    assert "the opt-outs of source our-crm go onto the do-not-call list" in told[1]


def test_a_list_that_cannot_be_read_is_told_at_the_start_and_nobody_is_rung(folder: Path) -> None:
    url = f"sqlite:///{folder / 'ringback.db'}"
    migrate(url)
    ledger = Ledger(open_database(url), NumberKey("a" * 32))
    ledger.do_not_call.add(["+15551239999"], source="Kim")
    body = json.dumps({"type": "lead.created", "data": {"Id": "1", "Phone": "+15551231234"}}).encode()
    client = {"CXONE_CLIENT_ID": "sandbox-client", "CXONE_CLIENT_SECRET": "sandbox-secret"}
    with (
        ContactCentre() as centre,
        serving(folder, DATABASE_URL=url, RINGBACK_DNC_KEY="b" * 32, CXONE_BASE_URL=centre.url, **client) as server,
    ):
        assert "made with another RINGBACK_DNC_KEY" in server.wait_for("do_not_call.unreadable")
        server.started()
        assert server.ask("POST", "/hooks/our-crm", body)[0] == 200
        (row,) = ledger.reading.leads()
        until = time.monotonic() + 10
        while row.reason != "list_unreadable" and time.monotonic() < until:
            time.sleep(0.05)
            (row,) = ledger.reading.leads()
        assert (row.reason, row.attempts, centre.calls()) == ("list_unreadable", 0, [])
    ledger.close()


@pytest.mark.parametrize("name", ["README.md", "folder", "missing/ringback.db"])
def test_what_is_no_sqlite_database_is_refused_before_anything_is_made(folder: Path, name: str) -> None:
    (folder / "README.md").write_text("# This is no database\n" * 100)
    (folder / "folder").mkdir()
    before = sorted(path.name for path in folder.rglob("*"))
    told = refused(folder, DATABASE_URL=f"sqlite:///{name}")
    assert len(told) == 1
    assert told[0].startswith(f"the database cannot be used: cannot open the SQLite file {name}: ")
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert (folder / "README.md").read_text() == "# This is no database\n" * 100


def test_people_called_at_any_hour_are_warned_of_in_the_log(folder: Path) -> None:
    with serving(folder) as server:
        line = server.wait_for("rules.warning")
        assert "place=rules.yaml:1:1 " in line
        assert "so people are called at any hour of their night" in line


def test_one_listed_number_is_one_number(folder: Path) -> None:
    with serving(folder, RINGBACK_DIALING="+15551234567") as server:
        assert 'dialing="only 1 listed number"' in server.wait_for("server.started")


# ---- PostgreSQL ---------------------------------------------------------------------------------


def test_a_database_that_is_not_migrated_ends_serve_with_2(folder: Path, postgres_url: str) -> None:
    assert refused(folder, DATABASE_URL=postgres_url) == ["the database is not migrated; run `ringback release`"]


def test_a_database_that_says_no_ends_serve_with_2(folder: Path, postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    told = refused(folder, DATABASE_URL=parts._replace(path="/nowhere").geturl())
    assert len(told) == 1
    assert "has no database named nowhere" in told[0]


def test_serve_begins_without_its_database_and_works_once_it_is_there(folder: Path, migrated_postgres_url: str) -> None:
    cable = Cable(migrated_postgres_url)
    cable.cut()
    body = json.dumps({"type": "lead.created", "meta": {"id": "e1"}, "data": {"Id": "1", "Name": "Ringback"}}).encode()
    with serving(folder, DATABASE_URL=cable.url) as server:
        assert "detail=" in server.wait_for("database.unavailable")
        server.started()
        assert server.ask("GET", "/healthz")[0] == 200
        status, told = server.ask("GET", "/readyz")
        assert (status, told["problem"]) == (503, "the database does not answer")
        assert server.ask("POST", "/hooks/our-crm", body)[0] == 503
        cable.mend()
        server.wait_for("worker.started")
        assert server.ask("GET", "/readyz")[0] == 200
        assert server.ask("POST", "/hooks/our-crm", body)[0] == 200
        server.wait_for("lead.skipped")
    assert server.process.returncode == 0
    cable.close()


def test_serve_without_its_database_stops_when_it_is_told_to(folder: Path) -> None:
    with serving(folder, DATABASE_URL="postgres://someone:pass-word@127.0.0.1:9/x") as server:
        line = server.wait_for("database.unavailable")
        assert "nothing listens at 127.0.0.1:9" in line
        assert "pass-word" not in line
        server.started()
        began_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert time.monotonic() - began_at < 8.0


def test_a_release_mends_a_serve_that_found_an_empty_database_behind_a_cut_cable(
    folder: Path, postgres_url: str
) -> None:
    cable = Cable(postgres_url)
    cable.cut()
    with serving(folder, DATABASE_URL=cable.url) as server:
        server.started()
        cable.mend()
        while "not migrated" not in server.wait_for("database.unavailable"):
            pass
        migrate(postgres_url)
        server.wait_for("worker.started")
        assert server.ask("GET", "/readyz")[0] == 200
    cable.close()
