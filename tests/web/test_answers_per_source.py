"""`answers:` and `body:` of a source: the status and the form that its CRM understands."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from integration.ledger import Intake, Ledger, LedgerUnavailable, migrate, open_database
from integration.rules import load_rules
from integration.web import WebServices, create_app
from integration.web.answers import SOAP_ACK

SECRET = "only-this-test-and-the-sender-know-it"
OWN = {
    "usual": "{}",
    "only-429": "{answers: {trouble: 429}}",
    "accepted": "{answers: {taken: 202}}",
    "silent": "{answers: {taken: 204}}",
    "soap": "{answers: {soap_ack: true, trouble: 500}}",
    "form": "{body: form}",
    "xml": "{body: xml, record: lead}",
    "json": "{body: json}",
    "hubspot": "{preset: hubspot}",
}
NOT_STORED = b'{"error": "Not stored: please send this again later."}\n'


def source(name: str, own: str) -> str:
    keys = own[1:-1]
    common = f"verify: {{scheme: address-token, secret: {SECRET}}}, fields: {{phone: Phone}}, id: Id"
    if "preset" in keys:
        common = f"verify: {{secret: {SECRET}}}"
    return f"  {name}: {{{common}{', ' if keys else ''}{keys}}}\n"


RULES = (
    "accounts: {main: {id: acc-1}}\nphones: {may_call: [US]}\nrules: [{name: Everyone, call: main}]\nsources:\n"
    + "".join(source(name, own) for name, own in OWN.items())
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers") / "ringback.db"


@pytest.fixture(scope="module")
def ledger(path: Path) -> Iterator[Ledger]:
    migrate(f"sqlite:///{path}")
    opened = Ledger(open_database(f"sqlite:///{path}"))
    yield opened
    opened.close()


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    rules = load_rules(RULES, name="rules.yaml", environ={})
    with ledger.database.write() as tx:
        for table in ("writeback", "history", "lead", "delivery"):
            tx.run(f"DELETE FROM {table}")
    return create_app(WebServices(ledger, rules, lambda _: None)).test_client()


def states(ledger: Ledger) -> list[str]:
    with ledger.database.read() as tx:
        return [f"{row['state']} {row['reason']}" for row in tx.all("SELECT state, reason FROM lead ORDER BY id")]


BODY = b'{"Id": "1", "Phone": "+12125550123"}'


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [("usual", 200, None), ("only-429", 200, None), ("accepted", 202, None), ("silent", 204, b"")],
)
def test_what_was_taken_is_answered_as_the_source_says(
    client: FlaskClient, name: str, status: int, body: bytes | None
) -> None:
    for _ in range(2):  # a repetition, too
        answer = client.post(f"/hooks/{name}?token={SECRET}", data=BODY)
        assert answer.status_code == status
        assert body is None or answer.data == body


def test_an_acknowledgement_in_soap_is_given_for_whatever_was_kept(client: FlaskClient) -> None:
    for body in (BODY, BODY, b"", b"{"):
        answer = client.post(f"/hooks/soap?token={SECRET}", data=body)
        assert (answer.status_code, answer.content_type, answer.data) == (200, "text/xml; charset=utf-8", SOAP_ACK)


@pytest.mark.parametrize(("name", "status"), [("usual", 503), ("only-429", 429), ("accepted", 503), ("soap", 500)])
@pytest.mark.parametrize("error", [LedgerUnavailable("the disk is full"), RuntimeError("a bug")])
def test_our_trouble_is_answered_as_the_source_says(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, name: str, status: int, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Intake, "receive", fail)
    answer = client.post(f"/hooks/{name}?token={SECRET}", data=BODY)
    assert (answer.status_code, answer.data, answer.headers["Retry-After"]) == (status, NOT_STORED, "30")


def test_a_database_that_takes_nothing_is_answered_as_the_source_says(client: FlaskClient, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        answer = client.post(f"/hooks/only-429?token={SECRET}", data=BODY)
    finally:
        other.close()
    assert (answer.status_code, answer.data) == (429, NOT_STORED)


def test_settings_of_ours_that_cannot_verify_are_our_trouble(client: FlaskClient) -> None:
    now_ms = time.time_ns() // 1_000_000
    headers = {"X-HubSpot-Signature-v3": "A" * 43 + "=", "X-HubSpot-Request-Timestamp": str(now_ms)}
    assert client.post("/hooks/hubspot", data=b"[]", headers=headers).status_code == 503  # no PUBLIC_URL


def test_a_wrong_signature_stays_a_401_whatever_trouble_is_answered_with(client: FlaskClient) -> None:
    assert client.post("/hooks/only-429?token=wrong", data=BODY).status_code == 401


def test_an_unreadable_request_stays_a_400_whatever_trouble_is_answered_with(client: FlaskClient) -> None:
    answer = client.post(f"/hooks/only-429?token={SECRET}", data=BODY, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


# ---- body: -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("form", b"Id=1&Phone=%2B12125550123", "text/plain"),
        ("form", b"Id=1&Phone=%2B12125550123", "application/json"),
        ("xml", b'<x:lead xmlns:x="urn:a"><x:Id>1</x:Id><x:Phone>+12125550123</x:Phone></x:lead>', "text/plain"),
        ("json", BODY, "application/x-www-form-urlencoded"),
        ("json", BODY, "text/xml"),
    ],
)
def test_a_body_is_read_in_the_form_that_the_source_names(
    client: FlaskClient, ledger: Ledger, name: str, body: bytes, content_type: str
) -> None:
    answer = client.post(f"/hooks/{name}?token={SECRET}", data=body, content_type=content_type)
    assert answer.json["status"] == "accepted"
    assert states(ledger) == ["received None"]


@pytest.mark.parametrize(
    ("name", "body"), [("json", b"Id=1"), ("xml", BODY), ("xml", b"<!DOCTYPE a><a/>"), ("json", b"<a/>")]
)
def test_a_body_of_another_form_is_parked(client: FlaskClient, ledger: Ledger, name: str, body: bytes) -> None:
    answer = client.post(f"/hooks/{name}?token={SECRET}", data=body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json["status"]) == (200, "parked")
    assert states(ledger) == ["parked bad_body"]
