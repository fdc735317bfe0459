"""Rows D and W that no test elsewhere holds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from unittest.mock import patch

import pytest
import responses
from standardwebhooks import Webhook

from integration.dialers.personal_connection import PersonalConnection
from integration.http import Client
from integration.model import Account, CallRequest, Outcome
from integration.rules import load_rules
from tests.ledger.conftest import World
from tests.pipeline.conftest import RULES, Stage

CALLBACK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def _answered(headers: dict[str, str], status: int) -> Outcome:
    """One call, its token and its answer, with these headers everywhere."""
    dialer = PersonalConnection(
        Client(), base_url="https://cc.example", client_id="client", client_secret="secret", deadline_seconds=5
    )
    with responses.RequestsMock() as network:
        token = {"access_token": "token", "expires_in": 3600}
        network.post("https://cc.example/api/v2/oauth/token", json=token, headers=headers)
        calls = "https://cc.example/api/v2/contactcenter/personalconnections/acc-1/calls"
        network.post(calls, json={"id": "call-1", "status": "initiated"}, status=status, headers=headers)
        ticket = dialer.prepare(Account("main", id="acc-1"))
        outcome = dialer.place(ticket, CallRequest("+15551234567", None, "lead 1 attempt 1"), send_by=float("inf"))
        assert dialer.ticket(Account("main", id="acc-1")) is not None or status == 401
    return outcome


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_d26_the_dialers_clock_has_no_effect(status: int) -> None:
    usual = _answered({}, status)
    for hours in (-1, 1, -24 * 365, 24 * 365):
        date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
        assert _answered({"Date": date, "Age": "86400", "Expires": date}, status) == usual
    assert _answered({"Date": "yesterday"}, status) == usual


def test_w4_a_write_back_that_comes_twice_says_the_same_under_the_same_id(stage: Stage, world: World) -> None:
    text = RULES.replace("    write_back:\n", "    write_back:\n      sign: ${CALLBACK_SECRET}\n")
    environ = {"SECRET": "0123456789abcdef", "CRM_URL": stage.crm.url, "CRM_TOKEN": stage.crm.token}
    rules = load_rules(text, name="rules.yaml", environ={**environ, "CALLBACK_SECRET": CALLBACK_SECRET})
    stage.pipeline._s = replace(stage.pipeline._s, rules=rules)
    lead_id = stage.lead()
    stage.advance(lead_id)
    with patch.object(stage.client, "request", wraps=stage.client.request) as sent:
        stage.crm.behave("reset_after", times=1)  # the CRM has taken it, and its answer was lost
        stage.pipeline.write_back(lead_id)
        world.time_passes()
        assert stage.told(lead_id)["result"] == "called"
    first, second = [call.kwargs for call in sent.call_args_list]
    assert first["body"] == second["body"]
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    for one in (first, second):
        assert Webhook(CALLBACK_SECRET).verify(one["body"], one["headers"]) == json.loads(one["body"])
    assert len(stage.crm.write_backs(stage.story(lead_id).lead.record_id or "")) == 2
    assert len(stage.dialer.calls) == 1
