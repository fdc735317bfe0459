"""Secrets, whole numbers and a person's name are planted everywhere, and looked for in everything that comes out.

They stand in settings, rules, webhooks, answers of the dialer and of the CRM, and errors of the database; they are
looked for as they are, URL-encoded, in base64 and in hex, in the log at its lowest level, in every answer over HTTP,
in the output of every command without `--reveal`, and in the text of exceptions.

A name is looked for everywhere but in `show` and `explain`, which tell an admin what the rules saw, and in the
dialer's own words: it is given no name, so it has none to repeat.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

import psycopg
import pytest
from click.testing import CliRunner

from integration.cli import ringback
from integration.cli.story import story_as_json, story_lines
from integration.demo.stage import SERVE, clean_environment, find_port
from integration.ledger import Ledger, open_database
from tests.pipeline.conftest import Stage
from tests.postgres import databases
from tests.web.door import Caller, wait_until

SECRETS = {
    "CXONE_CLIENT_SECRET": "kanari-Client/Secret+1",
    "OUR_CRM_SECRET": "kanari-Webhook/Secret+2-0123456789",
    "OUR_CRM_TOKEN": "kanari-Crm/Token+3",
    "CALLBACK_SECRET": "whsec_" + base64.b64encode(b"kanari-callback-secret-0123456789").decode(),
    "OTHER_SECRET": "kanari-Other/Secret+4",
    "RINGBACK_DNC_KEY": "kanari-List/Key+8-0123456789-0123456789",
}
TOKEN = "kanari-Access/Token+5"
WRITTEN = "kanari-Written/Secret+6"
PASSWORD = "kanari-Database-Secret-7"
SURNAME = "Kanarienvogel"
NAME = f"Zs\u00f3fia {SURNAME}"
EMAIL = f"{SURNAME.lower()}@firma.example"
NUMBERS = [f"+1555987{n}" for n in range(1201, 1210)]

RULES = f"""
accounts: {{main: {{id: acc-main}}}}
phones: {{may_call: [US], read_as: US}}
fields: {{phone: Phone, name: Name, email: Email, note: Note}}
rules:
  - name: Our own
    when: {{note: {{contains: "skip me"}}}}
    skip: so
  - name: Everyone
    call: main
sources:
  our-crm:
    verify: {{scheme: hmac, header: X-Signature, secret: "${{OUR_CRM_SECRET}}"}}
    only: {{type: lead.created}}
    opt_out: {{type: lead.opted_out}}
    event_id: meta.id
    record: data
    id: Id
    write_back:
      request: PATCH ${{CRM_URL}}/leads/{{{{ lead.id }}}}?by={{{{ lead.name }}}}
      bearer: ${{OUR_CRM_TOKEN}}
      sign: ${{CALLBACK_SECRET}}
      headers: {{X-Key: "{WRITTEN}", X-Name: "{{{{ lead.name }}}}", X-Other: "${{OTHER_SECRET}}"}}
      json: {{name: "{{{{ lead.name }}}}", phone: "{{{{ lead.phone }}}}", result: "{{{{ lead.result }}}}"}}
"""


# ---- what is looked for ------------------------------------------------------------------------------


def disguises(text: str) -> set[str]:
    """A text as it may be found in an output: in lower case, because the output is looked at so."""
    raw = text.encode()
    forms = {text, quote(text, safe=""), quote_plus(text), quote(text), json.dumps(text)[1:-1], repr(text)[1:-1]}
    forms |= {raw.hex(), raw.decode("latin-1")}
    for shift in range(3):  # base64 of a longer text that holds this one: its middle does not depend on the rest
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        forms |= {encoded[4 if shift else 0 : len(encoded) - 4]}
    return {form.lower() for form in forms}


def leaks(output: str, *, names: bool = True) -> list[str]:
    """Which canaries an output holds."""
    secrets = [*SECRETS.values(), TOKEN, WRITTEN, PASSWORD]
    wanted = [*secrets, *NUMBERS, *(number[2:] for number in NUMBERS), *([SURNAME, EMAIL] if names else [])]
    low = output.lower()
    found = [text for text in wanted if any(form in low for form in disguises(text))]
    return found + re.findall(r"987\D{0,3}12\D{0,2}0[1-9]", output)


def test_the_search_finds_what_it_is_to_find() -> None:
    for text in (NUMBERS[0], SECRETS["OUR_CRM_TOKEN"], SURNAME, TOKEN):
        for form in (text, quote(text), text.encode().hex(), text.upper(), f'{{"a": "{text}"}}'):
            assert leaks(f"before {form} after"), form
        for shift in range(3):
            assert leaks(base64.b64encode(b"x" * shift + text.encode() + b"and more").decode())
    assert leaks("(555) 987-1203")
    assert leaks("lead 12 of 7 was called, to=+\u202603") == []


# ---- those who answer --------------------------------------------------------------------------------


class Talkative(http.server.BaseHTTPRequestHandler):
    """Contact centre and CRM in one, which repeat in their answers all that they were ever told."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: object, **headers: str) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def told(self) -> str:
        length = int(self.headers.get("Content-Length", "0"))
        return f"{self.rfile.read(length).decode()} {self.headers.as_string()}"

    def do_POST(self) -> None:
        told = self.told()
        if self.path.endswith("/oauth/token"):
            self.answer(200, {"access_token": TOKEN, "expires_in": 3600, "scope": "all"})
            return
        number = next((each for each in NUMBERS if each in told), "")
        words = f"Bad: {number}, ({number[2:5]}) {number[5:8]}-{number[8:]}, {TOKEN}, {SECRETS['CXONE_CLIENT_SECRET']}"
        match number[-1:]:
            case "1" | "4" | "5" | "6":
                self.answer(200, {"id": f"call-{number[-1]}", "status": "initiated", "message": words})
            case "2":
                self.answer(400, {"message": words, "errors": [{"message": told}]}, X_Debug=quote(words))
            case "3":
                self.answer(500, {"message": words, "told": told})
            case _:
                self.answer(403, {"error": words, "told": told})

    def do_PATCH(self) -> None:
        told = self.told()
        status = {"4": 403, "5": 500, "6": 302}.get(urlsplit(self.path).path[-1], 200)
        said = {"message": f"{NAME} {told}", "token": SECRETS["OUR_CRM_TOKEN"]}
        self.answer(status, said, Location=f"https://crm.example/{quote(NAME)}?t={quote(SECRETS['OUR_CRM_TOKEN'])}")

    def do_GET(self) -> None:
        self.answer(403, {"message": f"{TOKEN} {NUMBERS[0]} {SECRETS['CXONE_CLIENT_SECRET']}"})

    def log_message(self, *_: object) -> None:
        """Nothing: what is said here is no output of ours."""


@pytest.fixture
def talkative() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Talkative) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=databases())
def url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """A database that quotes the row when it refuses the last number."""
    words = f"{NAME} has {NUMBERS[8]} and {SECRETS['OUR_CRM_TOKEN']}"
    if request.param == "sqlite":
        path = tmp_path / "ringback.db"
        path.write_bytes(sqlite_template.read_bytes())
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(
                f"CREATE TRIGGER t BEFORE INSERT ON phone_guard WHEN NEW.phone LIKE '%1209' "
                f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )
        return f"sqlite:///{path}"
    made = str(request.getfixturevalue("migrated_postgres_url"))
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.phone LIKE '%1209' THEN "
            f"RAISE EXCEPTION '{words} %', NEW; END IF; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER t BEFORE INSERT ON phone_guard FOR EACH ROW EXECUTE FUNCTION f()")
    split = urlsplit(made)
    user = split.username or "postgres"
    return made.replace(split.netloc, f"{user}:{PASSWORD}@{split.netloc.rpartition('@')[2]}")


# ---- a whole life ------------------------------------------------------------------------------------


def webhook(n: int, **more: object) -> bytes:
    record = {"Id": str(n), "Name": NAME, "Email": EMAIL, "Phone": NUMBERS[n - 1], "Note": f"ring {NUMBERS[n - 1]}"}
    body = {"type": "lead.created", "meta": {"id": f"e-{n}-{len(more)}"}, "data": {**record, **more}}
    return json.dumps(body, ensure_ascii=n % 2 == 0).encode()


def request(body: bytes, *lines: str, target: str = "/hooks/our-crm", signed: bool = True) -> bytes:
    key = SECRETS["OUR_CRM_SECRET"] if signed else f"not-{SECRETS['OUR_CRM_SECRET']}"
    mac = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    head = [f"POST {target} HTTP/1.1", "Host: localhost", f"X-Signature: {mac}", f"X-Name: {quote(NAME)}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body


def all_requests() -> Iterable[tuple[bytes, int]]:
    """What is sent, and with which status it is answered."""
    yield from ((request(webhook(n)), 200) for n in range(1, 7))
    yield request(webhook(1)), 200  # a duplicate
    yield request(webhook(1, Phone=f"{NAME}: {NUMBERS[0]}")), 200  # parked
    yield request(webhook(2, Phone={"of": NAME, "is": NUMBERS[1]}, Id=None)), 200
    yield request(webhook(3, Note=f"skip me, {NAME}", Country="USA")), 200
    yield request(webhook(4)[:-9]), 200  # no JSON
    yield request(b'{"%s": 1, "%s": 2}' % ((NUMBERS[0].encode(),) * 2)), 200
    yield request(b"\xff" + webhook(5)), 200
    yield request(json.dumps({"type": NAME, "data": {"Phone": NUMBERS[5]}}).encode()), 200  # ignored
    yield request(json.dumps({"type": "lead.opted_out", "data": {"Name": NAME, "Phone": NUMBERS[7]}}).encode()), 200
    yield request(json.dumps({"type": "lead.opted_out", "data": {"Name": NAME, "Phone": f"{NAME} 1"}}).encode()), 200
    yield request(webhook(8)), 200  # on the list of those who are not called
    yield request(webhook(6), signed=False), 401
    yield request(webhook(6), target=f"/hooks/our-crm?token={quote(SECRETS['OUR_CRM_SECRET'])}", signed=False), 401
    yield request(webhook(6), target=f"/hooks/{quote(NAME)}"), 404
    yield request(webhook(6), target=f"/{NUMBERS[5]}"), 404
    yield request(webhook(6), f"Content-Encoding: {SURNAME}"), 415
    yield request(webhook(6), f"Transfer-Encoding: {SURNAME}"), 400
    yield request(webhook(6), f"X-Long: {SURNAME * 3000}"), 431
    yield f"GET /hooks/our-crm?hub.mode=subscribe&hub.challenge={SURNAME} HTTP/1.0\r\n\r\n".encode(), 405
    yield f"{SURNAME} {NUMBERS[0]}\r\n\r\n".encode(), 400
    yield b"GET /healthz HTTP/1.0\r\n\r\n", 200
    yield b"GET /readyz HTTP/1.0\r\n\r\n", 200


@pytest.mark.slow
def test_no_output_of_a_whole_life_holds_a_canary(tmp_path: Path, url: str, talkative: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES, "utf-8")
    environ = {
        **clean_environment(),
        **SECRETS,
        "DATABASE_URL": url,
        "RINGBACK_RULES": str(rules),
        "RINGBACK_COOLDOWN_MINUTES": "0",
        "CXONE_BASE_URL": talkative,
        "CXONE_CLIENT_ID": "client",
        "CRM_URL": talkative,
        "LOG_LEVEL": "debug",
        "PYTHONDEVMODE": "1",
    }
    said = tmp_path / "said"
    with _serving(said, environ) as port:
        for data, status in all_requests():
            _send(port, data, status)
        _wait_until_so_many_are_open(url, 0)
        _send(port, request(webhook(9)), 200)  # which the database refuses
        _wait_until_so_many_are_open(url, 1, stumbled=1)
        _send(port, request(webhook(7)), 200)  # after which the account stands still
        _wait_until_so_many_are_open(url, 2, stumbled=1)
    log = said.read_text("utf-8")
    for event in ("call.placed", "call.unclear", "lead.parked", "lead.blocked", "lead.stumbled", "delivery.opted_out"):
        assert f"event={event}" in log, event
    assert "event=writeback.parked" in log
    assert "event=webhook.refused" in log
    assert leaks(log) == []
    _look_at_every_command(tmp_path, environ)


@contextlib.contextmanager
def _serving(said: Path, environ: dict[str, str]) -> Iterator[int]:
    """The server's port; all that it ever says goes into a file."""
    with said.open("wb") as output:
        server = subprocess.Popen([sys.executable, *SERVE], cwd=said.parent, env=environ, stdout=output, stderr=output)
        try:
            wait_until(lambda: find_port(said.read_text("utf-8")) is not None, 20)
            yield find_port(said.read_text("utf-8")) or 0
            server.terminate()
            assert server.wait(15) == 0
        finally:
            server.kill()
            server.wait()


def _send(port: int, data: bytes, status: int) -> None:
    with Caller(port) as caller:
        caller.send(data)
        answer = caller.answer()
    assert answer.status == status, data
    assert leaks(f"{answer.headers} {answer.body!r}") == [], data


def _wait_until_so_many_are_open(url: str, count: int, stumbled: int = 0) -> None:
    """Each other lead has its result, and each write-back has been tried."""

    def count_of(where: str) -> int:
        with ledger.database.read() as tx:
            row = tx.one(f"SELECT COUNT(*) AS n FROM {where}")
        return 0 if row is None else int(row["n"])

    def holds() -> bool:
        return (
            count_of("writeback WHERE state = 'pending' AND tries = 0") == 0
            and count_of("lead WHERE state IN ('received', 'ready', 'claimed', 'dialing')") == 0
            and count_of("lead WHERE state = 'waiting'") == count
            and count_of("lead WHERE stumbles > 0") == stumbled
        )

    with contextlib.closing(Ledger(open_database(url, pool_size=1))) as ledger:
        wait_until(holds, 20)


def _look_at_every_command(folder: Path, environ: dict[str, str]) -> None:
    message = folder / "message.json"
    message.write_bytes(webhook(1))

    def run(*args: str) -> str:
        return CliRunner().invoke(ringback, list(args), env={**environ, "COLUMNS": "100"}).output

    assert SURNAME in run("show", "1", "--reveal")  # that the search would find it
    for args in (["leads"], ["leads", "--json"], ["leads", "--csv"], ["doctor"], ["accounts"], ["check"], ["release"]):
        assert leaks(run(*args)) == [], args
    for args in (["pause", "--why", f"{NUMBERS[0]} called"], ["resume"], ["resume", "all"], ["hours"]):
        assert leaks(run(*args)) == [], args
    for order in (["add", "--note", f"wrote, then rang from {NUMBERS[1]}"], ["check"], ["remove"]):
        assert leaks(run("dnc", order[0], NUMBERS[0], *order[1:])) == [], order
    for lead in range(1, 20):
        for more in ([], ["--json"]):
            assert leaks(run("evidence", str(lead), *more)) == [], lead
            assert leaks(run("show", str(lead), *more), names=False) == [], lead
    assert leaks(run("explain", str(message)), names=False) == []
    assert leaks(run("resolve", "2", "--ring-again")) == []


# ---- errors of our own -------------------------------------------------------------------------------

CANARY = f"{NAME} {NUMBERS[0]} {TOKEN} {WRITTEN}"


class OddError(Exception):
    """A fault that nobody expects, with a row in its text."""


@pytest.mark.parametrize("error", [OddError(CANARY), ValueError(CANARY), KeyError(CANARY), OSError(5, CANARY)])
@pytest.mark.parametrize("where", ["place", "prepare", "settle", "begin", "request", "decide"])
def test_no_error_of_our_own_carries_a_canary(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    lead_id = stage.lead(Phone=NUMBERS[0], Name=NAME)
    stage.dialer.has_ticket = where != "prepare"
    with monkeypatch.context() as broken:
        match where:
            case "place" | "prepare":
                broken.setattr(stage.dialer, where, fail)
            case "settle" | "begin":
                broken.setattr(type(stage.ledger.calls), where, fail)
            case "request":
                broken.setattr(stage.client, "request", fail)
            case _:
                broken.setattr("integration.pipeline.decide", fail)
        try:
            stage.advance(lead_id)
        except type(error) as caught:  # as the runner does
            stage.pipeline.stumbled(lead_id, caught)
        stage.pipeline.write_back(lead_id)
    assert leaks(stage.log.getvalue()) == []
    story = stage.story(lead_id)
    assert leaks("\n".join(story_lines(story, reveal=False)), names=False) == []
    assert leaks(json.dumps(story_as_json(story, {}, reveal=False), default=str), names=False) == []
