"""What the admin reads in the log of a webhook that was refused, and what a stranger cannot write into it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
from typing import Any

import pytest
from flask import Flask
from structlog.testing import capture_logs

from integration.log import set_up_logging
from integration.rules import load_rules
from integration.web import WebServices, create_app
from integration.web import hooks as hooks_module
from tests.web.door import RULES, SECRET, Door, body_of, signature_of

UNAUTHORIZED = b'{"error": "The signature is missing or wrong."}\n'


@pytest.fixture(autouse=True)
def _whole_log() -> None:
    set_up_logging("info", io.StringIO())


def _app(door: Door, old: str = "", new: str = "") -> Flask:
    """A fresh application, whose log has said nothing yet."""
    rules = load_rules(RULES.replace(old, new) if old else RULES, name="rules.yaml", environ={})
    return create_app(WebServices(door.ledger, rules, lambda lead: door.woken.append(lead.id), None))


def _post(app: Flask, signature: str | None, body: bytes = b"{}", source: str = "our-crm") -> Any:
    headers = {} if signature is None else {"X-Signature": signature}
    return app.test_client().post(f"/hooks/{source}", data=body, headers=headers)


def _refusals(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "webhook.refused"]


def test_the_line_names_the_likely_cause_and_the_answer_does_not(door: Door) -> None:
    body = body_of()
    encoded = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    with capture_logs() as lines:
        answer = _post(_app(door), encoded, body)
    assert (answer.status_code, answer.data) == (401, UNAUTHORIZED)
    (line,) = _refusals(lines)
    assert (line["log_level"], line["source"]) == ("warning", "our-crm")
    assert line["likely"] == "encoding"
    assert "base64" in line["detail"]
    assert SECRET not in str(lines)
    assert encoded not in str(lines)


def test_the_line_holds_nothing_that_the_sender_wrote(door: Door) -> None:
    with capture_logs() as lines:
        answer = (
            _app(door)
            .test_client()
            .post(
                "/hooks/our-crm",
                data=b'{"evil": "canary"}',
                headers={"X-Canary-Signature": "canary", "Canary": "canary"},
            )
        )
    assert answer.data == UNAUTHORIZED
    assert len(_refusals(lines)) == 1
    assert "canary" not in str(lines).lower()


def test_a_flood_of_wrong_signatures_is_one_line_for_each_source(door: Door) -> None:
    app = _app(door)
    with capture_logs() as lines:
        for n in range(30):
            assert _post(app, f"{n:064x}").status_code == 401
            assert _post(app, None, source="other-crm").status_code == 401
    assert [line["source"] for line in _refusals(lines)] == ["our-crm", "other-crm"]


def test_strangers_cannot_hide_that_our_own_settings_are_wrong(door: Door) -> None:
    app = _app(door, 'secret: "only-this', 'parts: [url, body], secret: "only-this')
    with capture_logs() as lines:
        assert _post(app, None).status_code == 401
        for _ in range(5):
            answer = _post(app, signature_of(b"{}"))
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    told = [(line["log_level"], line["likely"]) for line in _refusals(lines)]
    assert told == [("warning", "no_signature"), ("error", "settings")]
    assert "PUBLIC_URL" in _refusals(lines)[1]["detail"]


def test_a_source_may_complain_again_after_a_while() -> None:
    seldom = hooks_module._Seldom(every_seconds=0.0)
    assert [seldom.may_say("crm", is_ours=False) for _ in range(3)] == [True, True, True]
