"""A terminal in a folder of its own, a ledger with leads in it, and the sandbox's contact centre."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click.testing
import pytest

from integration.cli import ringback
from integration.dialers import PhoneAccount, Ticket
from integration.http import Client
from integration.ledger import Ledger, NewEvent, migrate, open_database
from integration.model import (
    Account,
    CallRequest,
    LeadId,
    LeadState,
    Next,
    Outcome,
    OutcomeKind,
    Reason,
)
from integration.pipeline import Pipeline, Services
from integration.rules import load_rules
from integration.sandbox.contact_centre import ContactCentre
from integration.settings import SETTINGS, Dialing

RULES = """\
accounts:
  us-east: {id: acc-east}
  dach: {name: Vertrieb DACH, caller_id: "+4930901820"}
phones:
  may_call: [US, DE, AT]
  read_as: US
fields:
  phone: Phone
  country: Country
  name: Name
  note: Note
rules:
  - name: Our own leads
    when: {name: Ringback}
    skip: our own lead
  - name: German-speaking
    when: {country: [DE, AT]}
    call: dach
  - name: Everyone else
    call: us-east
tests:
  - name: An Austrian goes to DACH
    record: {Id: "7", Country: Austria, Phone: "01 9971234", Name: A, Note: n}
    expect: {call: dach, to: "+4319971234"}
  - name: We are skipped
    record: {Id: "8", Name: ringback}
    expect: {skip: our own lead}
sources:
  our-crm:
    verify: {scheme: hmac, header: X-Signature, secret: "${CRM_SECRET}"}
    only: {type: lead.created}
    event_id: meta.id
    record: data
    id: Id
    write_back:
      request: PATCH ${CRM_URL}/leads/{{ lead.id }}
      json: {call: "{{ call.id }}"}
"""
SECRETS = {"CRM_SECRET": "a-secret-for-tests", "CRM_URL": "http://127.0.0.1:9"}

PLACED = Outcome(OutcomeKind.PLACED, Reason.PLACED, "The dialer took the call (200).", "call-abc-1", "initiated", 200)
UNCLEAR = Outcome(
    OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, "Nobody knows whether the phone rang: 500.", http_status=500
)
REFUSED = Outcome(
    OutcomeKind.NOT_PLACED, Reason.NUMBER_REFUSED, "The dialer does not take it.", http_status=400, next=Next.BLOCK
)
NO_SCOPE = Outcome(
    OutcomeKind.NOT_PLACED,
    Reason.SCOPE_MISSING,
    "The client lacks the scope.",
    http_status=403,
    next=Next.PAUSE_ACCOUNT,
)


class Terminal:
    """Runs commands as a person would, with an environment that this test alone knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {"COLUMNS": "100"}

    def __call__(self, *args: str, stdin: str | None = None, **env: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(ringback, list(args), input=stdin, env={**self.env, **env})

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """An empty folder and none of this machine's settings."""
    for name in (*SETTINGS, *SECRETS, "DYNO", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path)


@pytest.fixture
def desk(terminal: Terminal) -> Terminal:
    """A folder with rules in their usual place, and a `.env.example`."""
    terminal.write("config/rules.yaml", RULES)
    terminal.write(".env.example", "# where the CRM is\nCRM_URL=\nexport CRM_SECRET=\n")
    return terminal


class ScriptedDialer:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.outcome = PLACED

    def ticket(self, account: Account) -> Ticket | None:
        return Ticket(account, account.id or "acc-dach", "a-token")

    def prepare(self, account: Account) -> Ticket:
        return Ticket(account, account.id or "acc-dach", "a-token")

    def place(self, ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        return self.outcome

    def accounts(self) -> Sequence[PhoneAccount]:
        return []

    def forget(self) -> None:
        pass


class Office:
    """A migrated ledger at `DATABASE_URL`, filled by the pipeline itself."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(open_database(url))
        self._dialer = ScriptedDialer()
        rules = load_rules(RULES, name="config/rules.yaml", environ=SECRETS)
        services = Services(self.ledger, rules, self._dialer, Client(), Dialing(), 600.0, "worker-1")
        self._pipeline = Pipeline(services, chance=lambda: 0.5)
        self._numbers = itertools.count(1)

    def lead(self, outcome: Outcome = PLACED, **record: object) -> LeadId:
        """A lead that has been through the pipeline. Each has a number of its own: +15551230001 and so on."""
        n = next(self._numbers)
        data = {"Id": f"rec-{n}", "Phone": f"+1555123{n:04}", **record}
        return self.message({"type": "lead.created", "data": data}, outcome)

    def message(self, body: object, outcome: Outcome = PLACED) -> LeadId:
        raw = json.dumps(body).encode()
        receipt = self.ledger.intake.receive(
            source="our-crm",
            body=raw,
            content_type="application/json",
            received_at_ms=time.time_ns() // 1_000_000,
            events=[NewEvent(f"sha256:{hash(raw)}")],
        )
        lead_id = receipt.created[0]
        self._dialer.outcome = outcome
        while self._pipeline.advance(lead_id) is LeadState.READY:
            pass
        return lead_id

    def state(self, lead_id: LeadId) -> LeadState:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return story.lead.state


@pytest.fixture
def office(desk: Terminal) -> Iterator[Office]:
    """A ledger in the desk's folder, where commands look for it."""
    url = f"sqlite:///{desk.folder / 'ringback.db'}"
    migrate(url)
    office = Office(url)
    yield office
    office.ledger.close()


@pytest.fixture
def centre(terminal: Terminal) -> Iterator[ContactCentre]:
    """The sandbox's contact centre, which the settings name."""
    with ContactCentre() as centre:
        terminal.env |= {
            "CXONE_BASE_URL": centre.url,
            "CXONE_CLIENT_ID": "sandbox-client",
            "CXONE_CLIENT_SECRET": "sandbox-secret",
        }
        yield centre


@pytest.fixture
def secrets() -> Mapping[str, str]:
    """What the rules' variables stand for."""
    return SECRETS
