"""A pipeline over a real ledger, a scripted dialer and the sandbox's CRM."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from integration.dialers import DialerError, PhoneAccount, Ticket
from integration.http import Client
from integration.ledger import LeadStory, Ledger, NewEvent
from integration.log import set_up_logging
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
from integration.rules import Rules, load_rules
from integration.sandbox.crm import Crm
from integration.settings import Dialing
from tests.ledger.conftest import World, database_url, shared_ledger, sqlite_template, world

__all__ = ["database_url", "shared_ledger", "sqlite_template", "world"]

RULES = """
accounts:
  east: {id: acc-east}
  dach: {name: Vertrieb DACH, caller_id: "+4930901820"}
phones:
  may_call: [US, DE]
  read_as: US
fields:
  phone: [Mobile, Phone]
  country: Country
  email: Email
rules:
  - name: Our own
    when: {email: {ends_with: "@example.com"}}
    skip: our own test address
  - name: Germany
    when: {country: DE}
    call: dach
  - name: The States
    when: {country: US}
    call: east
sources:
  crm:
    verify: {scheme: hmac, header: X-Signature, secret: "${SECRET}"}
    record: data
    id: Id
    write_back:
      request: PATCH ${CRM_URL}/leads/{{ lead.id }}
      bearer: ${CRM_TOKEN}
      json: {call_id: "{{ call.id }}", result: "{{ lead.result }}", why: "{{ lead.reason }}"}
"""

PLACED = Outcome(OutcomeKind.PLACED, Reason.PLACED, "ok", call_id="call-1", call_status="initiated", http_status=200)


def not_placed(reason: Reason, following: Next, retry_after_seconds: float | None = None) -> Outcome:
    return Outcome(
        OutcomeKind.NOT_PLACED, reason, f"no: {reason}", next=following, retry_after_seconds=retry_after_seconds
    )


class ScriptedDialer:
    """Answers as told, in order; afterwards the last answer again. An exception in the script is raised."""

    def __init__(self) -> None:
        self.script: list[Outcome | Exception] = [PLACED]
        self.preparing: list[Outcome] = []  # what `prepare` fails with, in order
        self.has_ticket = True
        self.calls: list[tuple[Account, CallRequest]] = []
        self.prepared = 0

    def ticket(self, account: Account) -> Ticket | None:
        return Ticket(account, f"id-of-{account.key}", "token") if self.has_ticket else None

    def prepare(self, account: Account) -> Ticket:
        self.prepared += 1
        if self.preparing:
            raise DialerError(self.preparing.pop(0))
        return Ticket(account, f"id-of-{account.key}", "token")

    def place(self, ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        self.calls.append((ticket.account, call))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return replace(answer, call_id=f"call-{len(self.calls)}") if answer is PLACED else answer

    def accounts(self) -> Sequence[PhoneAccount]:
        return ()

    def forget(self) -> None:
        pass


class Stage:
    """Everything of one test."""

    def __init__(self, ledger: Ledger, crm: Crm) -> None:
        self.ledger = ledger
        self.crm = crm
        self.dialer = ScriptedDialer()
        self.client = Client()
        self.log = io.StringIO()
        set_up_logging("debug", self.log)
        self.pipeline = self.built()
        self._numbers = itertools.count(1)

    def rules(self, text: str = RULES) -> Rules:
        environ = {"SECRET": "0123456789abcdef", "CRM_URL": self.crm.url, "CRM_TOKEN": self.crm.token}
        return load_rules(text, name="rules.yaml", environ=environ)

    def built(
        self,
        rules: str = RULES,
        dialing: Dialing | None = None,
        worker_id: str = "worker",
        *,
        leases_ahead: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> Pipeline:
        services = Services(
            ledger=self.ledger,
            rules=self.rules(rules),
            dialer=self.dialer,
            client=self.client,
            dialing=dialing or Dialing(),
            cooldown_seconds=600.0,
            worker_id=worker_id,
        )
        return Pipeline(services, chance=lambda: 0.5, clock=clock, leases_ahead=leases_ahead)

    def lead(self, *, source: str = "crm", **record: object) -> LeadId:
        """A lead in the CRM and in the ledger."""
        number = next(self._numbers)
        given = {"Country": "US", "Phone": f"+1212555{2000 + number}", **record}
        created = self.crm.create(given) if "Id" not in given else given
        return self.message(json.dumps({"data": created}).encode(), source=source)

    def message(self, body: bytes, *, source: str = "crm") -> LeadId:
        return self.messages(body, source=source)[0]

    def messages(self, body: bytes, *, source: str = "crm", events: int = 1) -> tuple[LeadId, ...]:
        """A delivery with so many events."""
        keys = [NewEvent(f"id:{next(self._numbers):06}", item=item) for item in range(events)]
        receipt = self.ledger.intake.receive(
            source=source,
            body=body,
            content_type="application/json",
            received_at_ms=time.time_ns() // 1_000_000,
            events=keys,
        )
        return receipt.created

    def advance(self, lead_id: LeadId) -> LeadState | None:
        return self.pipeline.advance(lead_id)

    def story(self, lead_id: LeadId) -> LeadStory:
        story = self.ledger.reading.story(lead_id)
        assert story is not None
        return story

    def told(self, lead_id: LeadId) -> dict[str, object]:
        """What the CRM's record says after the write-back."""
        self.pipeline.write_back(lead_id)
        record = self.crm.lead(self.story(lead_id).lead.record_id or "")
        return {name: (record or {}).get(name) for name in ("call_id", "result", "why")}

    def close(self) -> None:
        self.client.close()
        set_up_logging("error")


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    with Crm(token="crm-token") as crm:
        made = Stage(world.ledger, crm)
        yield made
        made.close()
