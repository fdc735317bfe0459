"""What a CRM asks before its first message, and what it is answered. The vectors are in tests/data/handshakes.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from flask.testing import FlaskClient

from integration.ledger import Ledger, migrate, open_database
from integration.rules import load_rules
from integration.web import WebServices, create_app

DATA = Path(__file__).parent.parent / "data"
VECTORS = json.loads((DATA / "handshakes.json").read_text(encoding="utf-8"))
SECRET = "only-this-test-and-the-sender-know-it"
RULES = f"""
accounts: {{main: {{id: acc-1}}}}
phones: {{may_call: [US]}}
rules: [{{name: Everyone, call: main}}]
sources:
  facebook: {{preset: facebook, verify: {{secret: {SECRET}}}, handshake: {{token: meatyhamhock}}}}
  monday: {{preset: monday, verify: {{secret: {SECRET}}}}}
  keap: {{preset: keap, verify: {{secret: {SECRET}}}}}
  salesforce_outbound: {{preset: salesforce-outbound, verify: {{secret: {SECRET}}}}}
  plain: {{verify: {{scheme: address-token, secret: {SECRET}}}, fields: {{phone: Phone}}}}
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path_factory.mktemp('handshakes')}/ringback.db"
    migrate(url)
    opened = Ledger(open_database(url))
    yield opened
    opened.close()


@pytest.fixture
def client(ledger: Ledger) -> Iterator[FlaskClient]:
    rules = load_rules(RULES, name="rules.yaml", environ={})
    before = kept(ledger)
    yield create_app(WebServices(ledger, rules, lambda _: None)).test_client()
    assert kept(ledger) == before


def kept(ledger: Ledger) -> int:
    with ledger.database.read() as tx:
        row = tx.one("SELECT COUNT(*) AS n FROM delivery")
    assert row is not None
    return int(row["n"])


@pytest.mark.parametrize("vector", VECTORS[:4], ids=[f"{i}-{v['scheme']}" for i, v in enumerate(VECTORS[:4])])
def test_each_published_handshake_is_answered(client: FlaskClient, vector: dict[str, Any]) -> None:
    asked, wanted = vector["request"], vector["expect"]
    query = urlsplit(asked.get("url", "")).query
    answer = client.open(
        f"/hooks/{vector['scheme']}" + (f"?{query}" if query else ""),
        method=asked["method"],
        headers=asked.get("headers", {}),
        data=asked.get("body"),
    )
    assert answer.status_code == wanted["status"]
    if "content_type" in wanted:
        assert answer.mimetype == wanted["content_type"]
    if "body" in wanted:
        assert answer.text == wanted["body"]
    if "json" in wanted:
        assert answer.json == wanted["json"]
    for name, value in wanted.get("headers", {}).items():
        assert answer.headers[name] == value


def test_the_last_vector_is_a_message_and_has_its_acknowledgement(ledger: Ledger) -> None:
    vector = VECTORS[4]
    rules = load_rules(RULES, name="rules.yaml", environ={})
    client = create_app(WebServices(ledger, rules, lambda _: None)).test_client()
    body = (DATA / "payload_samples" / Path(vector["request"]["body_file"]).name).read_bytes()
    answer = client.post(f"/hooks/salesforce_outbound?token={SECRET}", data=body, content_type="text/xml")
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert answer.data == (DATA / "payload_samples" / Path(vector["expect"]["body_file"]).name).read_bytes()
    assert client.post("/hooks/salesforce_outbound?token=wrong", data=body).status_code == 401


# ---- Meta ------------------------------------------------------------------------------------------


def meta(
    client: FlaskClient, challenge: str = "1158201444", token: str = "meatyhamhock", mode: str = "subscribe"
) -> Any:
    query = f"hub.mode={quote(mode)}&hub.challenge={quote(challenge)}&hub.verify_token={quote(token)}"
    return client.get(f"/hooks/facebook?{query}")


@pytest.mark.parametrize(
    "challenge",
    ["", "<script>alert(1)</script>", "a b", "a\r\nX: y", "é", "1" * 257, "%3Cb%3E", "a;b", '"', "\x00", "a&b"],
)
def test_only_a_short_plain_challenge_is_repeated(client: FlaskClient, challenge: str) -> None:
    answer = meta(client, challenge)
    assert (answer.status_code, answer.json) == (403, {"error": "The verification token is wrong."})


@pytest.mark.parametrize("token", ["", "meatyhamhoc", "meatyhamhockk", "MEATYHAMHOCK", "\udcff", "x" * 10_000])
def test_another_token_is_refused(client: FlaskClient, token: str) -> None:
    given = token.encode("utf-8", "surrogateescape")
    answer = client.get(f"/hooks/facebook?hub.mode=subscribe&hub.challenge=1&hub.verify_token={quote(given)}")
    assert answer.status_code == 403


def test_another_mode_is_refused(client: FlaskClient) -> None:
    assert meta(client, mode="unsubscribe").status_code == 403


@pytest.mark.parametrize("twice", ["hub.mode=subscribe", "hub.challenge=2", "hub.verify_token=meatyhamhock"])
def test_a_field_that_comes_twice_is_no_handshake(client: FlaskClient, twice: str) -> None:
    query = f"hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock&{twice}"
    assert client.get(f"/hooks/facebook?{query}").status_code == 405


@pytest.mark.parametrize(
    "target",
    [
        "/hooks/facebook",
        "/hooks/facebook?hub.challenge=1",
        "/hooks/plain?hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "/hooks/monday?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "/hooks/nobody?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "/hooks/%66acebook?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_any_other_get_is_refused_as_ever(client: FlaskClient, target: str, method: str) -> None:
    path, _, query = target.partition("?")
    raw = {"REQUEST_URI": target, "PATH_INFO": path.replace("%66", "f"), "QUERY_STRING": query}
    answer = client.open(target, method=method, environ_overrides=raw)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


def test_a_head_of_the_right_question_is_no_question(client: FlaskClient) -> None:
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"
    assert client.head(f"/hooks/facebook?{query}").status_code == 405


def test_a_token_that_only_stood_in_is_never_right(ledger: Ledger) -> None:
    text = RULES.replace("meatyhamhock", '"${TOKEN}"')
    rules = load_rules(text, name="rules.yaml", environ={}, declared={"TOKEN"})
    client = create_app(WebServices(ledger, rules, lambda _: None)).test_client()
    for token in ("", "0123456789abcdef" * 4):
        assert meta(client, token=token).status_code == 403


# ---- monday ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"challenge": "abc", "event": {}}',
        b'{"challenge": "<b>"}',
        b'{"challenge": ""}',
        b'{"challenge": 5}',
        b'{"challenge": ["abc"]}',
        b'{"challenge": "abc", "challenge": "abc"}',
        b'[{"challenge": "abc"}]',
        b'{"challenge": "' + b"a" * 257 + b'"}',
        b'{"challenge": "abc"}' + b" " * 2000,
        b"challenge=abc",
        b"{",
        b"",
        b'{"event": {"challenge": "abc"}}',
    ],
)
def test_a_body_that_is_more_than_a_challenge_needs_its_signature(client: FlaskClient, body: bytes) -> None:
    assert client.post("/hooks/monday", data=body, content_type="application/json").status_code == 401


def test_a_challenge_is_answered_by_its_own_source_alone(client: FlaskClient) -> None:
    for source in ("plain", "keap", "facebook"):
        assert client.post(f"/hooks/{source}", data=b'{"challenge": "abc"}').status_code == 401


# ---- Keap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b" {}\n"])
def test_a_question_with_a_header_is_answered_with_it(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/hooks/keap", data=body, headers={"X-Hook-Secret": "9f8e7d"})
    assert (answer.status_code, answer.headers["X-Hook-Secret"], answer.json) == (200, "9f8e7d", {})


@pytest.mark.parametrize("value", ["<b>", "a b", "", "x" * 257, "é", 'a"b'])
def test_only_a_short_plain_header_is_repeated(client: FlaskClient, value: str) -> None:
    answer = client.post("/hooks/keap", data=b"{}", headers={"X-Hook-Secret": value})
    assert answer.status_code == 401
    assert "X-Hook-Secret" not in answer.headers


def test_a_message_with_the_header_needs_its_proof_and_has_it_repeated(ledger: Ledger) -> None:
    rules = load_rules(RULES, name="rules.yaml", environ={})
    client = create_app(WebServices(ledger, rules, lambda _: None)).test_client()
    body, headers = b'{"event_key": "contact.edit", "object_keys": [{"id": "1"}]}', {"X-Hook-Secret": "9f8e7d"}
    refused = client.post("/hooks/keap", data=body, headers=headers)
    assert refused.status_code == 401
    assert "X-Hook-Secret" not in refused.headers
    taken = client.post(f"/hooks/keap?token={SECRET}", data=body, headers=headers)
    assert (taken.status_code, taken.headers["X-Hook-Secret"]) == (200, "9f8e7d")


def test_a_header_is_repeated_by_its_own_source_alone(client: FlaskClient) -> None:
    assert client.post("/hooks/plain", data=b"{}", headers={"X-Hook-Secret": "9f8e7d"}).status_code == 401
