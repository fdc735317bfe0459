"""Through the web door: who wants no calls is listed before the CRM is answered; a burst is one line in the log."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from integration.ledger import Ledger, NumberKey, migrate, open_database
from integration.log import set_up_logging
from integration.model import LeadState
from integration.rules import load_rules
from integration.web import WebServices, create_app

SECRET = "only-this-test-and-the-sender-know-it"
RULES = f"""
accounts: {{main: {{id: acc-1}}}}
phones: {{may_call: [US]}}
limits: {{burst: {{more_than: 2, within: 10 minutes}}}}
rules: [{{name: Everyone, call: main}}]
sources:
  crm:
    verify: {{scheme: address-token, secret: {SECRET}}}
    fields: {{phone: Phone}}
    id: Id
    opt_out: {{change: opted_out}}
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/ringback.db"
    migrate(url)
    opened = Ledger(open_database(url), NumberKey("k" * 32))
    yield opened
    opened.close()


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    set_up_logging("info", io.StringIO())
    rules = load_rules(RULES, name="rules.yaml", environ={})
    return create_app(WebServices(ledger, rules, lambda _: None)).test_client()


def post(client: FlaskClient, **record: object) -> dict[str, object]:
    answer = client.post(f"/hooks/crm?token={SECRET}", data=json.dumps(record))
    assert answer.status_code == 200
    found: dict[str, object] = answer.json
    return found


def test_an_opt_out_is_on_the_list_when_the_crm_is_answered(client: FlaskClient, ledger: Ledger) -> None:
    with capture_logs() as lines:
        said = post(client, Id="1", Phone="+12125550123", change="opted_out")
    assert said == {"status": "accepted", "lead": None}
    found = ledger.do_not_call.find("+12125550123")
    assert found is not None
    assert found.source == "source crm"
    assert [line["event"] for line in lines] == ["delivery.opted_out"]
    assert "2125550123" not in str(lines)


def test_an_opt_out_that_cannot_be_read_is_parked(client: FlaskClient, ledger: Ledger) -> None:
    said = post(client, Id="1", Phone="ask Kim", change="opted_out")
    assert said["status"] == "parked"
    (row,) = ledger.reading.leads()
    assert (row.state, row.reason) == (LeadState.PARKED, "opt_out_unread")


def test_a_burst_is_one_line_in_the_log(client: FlaskClient, ledger: Ledger) -> None:
    with capture_logs() as lines:
        said = [post(client, Id=str(n), Phone="+12125550123")["status"] for n in range(6)]
    assert said == ["accepted"] * 2 + ["parked"] * 4
    assert [line["event"] for line in lines] == ["lead.received"] * 2 + ["burst.held"]
    assert lines[-1]["log_level"] == "error"
    assert "ringback resume burst:crm" in lines[-1]["detail"]
    assert ledger.brakes.withheld("burst:crm").count == 4
