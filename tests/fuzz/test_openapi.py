"""The description of the public addresses, and the real server under requests made up from it.

Half of them carry a right signature, so that strange bodies come past it as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from integration.ledger import Intake, Ledger, LedgerUnavailable, migrate
from integration.rules import load_rules
from integration.web import WebServices, create_app, health
from integration.web.app import constant_answer
from tests.web.door import SECRET, Door, open_door, signature_of

DESCRIPTION = yaml.safe_load((Path(__file__).parents[2] / "docs/openapi.yaml").read_text("utf-8"))
KEY = f'verify: {{scheme: hmac, header: X-Signature, secret: "{SECRET}"}}'
TOKEN = "the-token-of-the-handshake"
SOURCES = {
    "our-crm": "only: {type: lead.created}, event_id: meta.id, record: data, id: Id",
    "batch": 'items: "*", event_id: Event, id: Id',
    "loose": "id: Id",
    "form": "body: form, id: Id",
    "xml": "body: xml, id: Id",
    "soap": "answers: {soap_ack: true}, id: Id",
    "accepted": "answers: {taken: 202}, id: Id",
    "silent": "answers: {taken: 204}, id: Id",
    "get": f'handshake: {{kind: get_challenge, token: "{TOKEN}"}}, id: Id',
    "post": "handshake: {kind: post_challenge}, id: Id",
    "echo": "handshake: {kind: echo_header, header: X-Hook-Secret}, id: Id",
}
RULES = (
    "accounts: {main: {id: acc-1}}\nphones: {may_call: [US]}\nfields: {phone: Phone}\n"
    "rules: [{name: Everyone, call: main}]\nsources:\n"
    + "".join(f"  {name}: {{{KEY}, {keys}}}\n" for name, keys in SOURCES.items())
)


def operations() -> list[APIOperation]:
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert len(found) == 4
    return found


OPERATIONS = {f"{each.method.upper()} {each.path}": each for each in operations()}


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    path = tmp_path_factory.mktemp("described") / "ringback.db"
    migrate(f"sqlite:///{path}")
    with open_door(path, rules=RULES, threads=2) as door:
        yield door


class Signed(requests.auth.AuthBase):
    """Signs the bytes as they go out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        request.headers["X-Signature"] = signature_of(body if isinstance(body, bytes) else body.encode())
        return request


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def send(door: Door, session: requests.Session, case: Any, *, signed: bool = True, **how: Any) -> requests.Response:
    """The case's answer, compared with what the description says."""
    auth = Signed() if signed else None
    answer = case.call(base_url=f"http://127.0.0.1:{door.port}", session=session, auth=auth, **how)
    case.validate_response(answer, checks=CHECKS)
    return answer


def cases(operation: APIOperation) -> st.SearchStrategy[Any]:
    """As described, or not quite; where there is nothing to vary, only as described."""
    described = operation.as_strategy()
    if "{source}" not in operation.path:
        return described
    cases = described | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    return st.builds(_to_a_source, cases, st.sampled_from([*SOURCES, None]))


def _to_a_source(case: Any, source: str | None) -> Any:
    if source is not None:
        case.path_parameters["source"] = source
    return case


@pytest.mark.parametrize(("name", "examples"), list(zip(OPERATIONS, [300, 100, 10, 10], strict=True)), ids=OPERATIONS)
def test_whatever_comes_is_answered_as_described_and_never_with_a_5xx(
    open_to_all: Door, session: requests.Session, name: str, examples: int
) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(OPERATIONS[name]), signed=st.booleans())
    def fuzz(case: Any, *, signed: bool) -> None:
        before = open_to_all.kept()
        answer = send(open_to_all, session, case, signed=signed)
        assert answer.status_code < 500
        assert signed or open_to_all.kept() == before

    fuzz()


LEAD = json.dumps({"type": "lead.created", "meta": {"id": "e-1"}, "data": {"Id": "1", "Phone": "+12125550123"}})
ASKED = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "0f1e"}
EACH: list[tuple[str, str, int, dict[str, Any]]] = [
    ("deliver", "our-crm", 200, {"data": LEAD}),
    ("deliver", "our-crm", 200, {"data": b"{"}),
    ("deliver", "our-crm", 200, {"data": b'{"type": "ping"}'}),
    ("deliver", "batch", 200, {"data": b'[{"Event": 1, "Id": 1}, {"Event": 2, "Id": 2}]'}),
    ("deliver", "batch", 200, {"data": b"[]"}),
    ("deliver", "form", 200, {"data": b"Id=1"}),
    ("deliver", "xml", 200, {"data": b"<lead><Id>1</Id></lead>"}),
    ("deliver", "soap", 200, {"data": LEAD}),
    ("deliver", "post", 200, {"data": b'{"challenge": "0f1e"}'}),
    ("deliver", "echo", 200, {"data": b"{}", "headers": {"X-Hook-Secret": "0f1e"}}),
    ("deliver", "accepted", 202, {"data": LEAD}),
    ("deliver", "silent", 204, {"data": LEAD}),
    ("deliver", "our-crm", 400, {"headers": {"Transfer-Encoding": "gzip"}}),
    ("deliver", "our-crm", 401, {"data": LEAD, "signed": False}),
    ("deliver", "none", 404, {"data": LEAD}),
    ("deliver", "our-crm", 413, {"data": b" " * (1024 * 1024 + 1)}),
    ("deliver", "our-crm", 415, {"data": LEAD, "headers": {"Content-Encoding": "gzip"}}),
    ("deliver", "our-crm", 431, {"data": LEAD, "headers": {"X-Long": "a" * 20_000}}),
    ("ask", "get", 200, {"params": ASKED}),
    ("ask", "our-crm", 400, {"headers": {"Transfer-Encoding": "gzip"}}),
    ("ask", "get", 403, {"params": {**ASKED, "hub.verify_token": "another"}}),
    ("ask", "our-crm/x", 404, {}),
    ("ask", "our-crm", 405, {"params": ASKED}),
    ("ask", "our-crm", 431, {"headers": {"X-Long": "a" * 20_000}}),
    ("alive", "", 200, {}),
    ("alive", "", 400, {"headers": {"Transfer-Encoding": "gzip"}}),
    ("alive", "", 431, {"headers": {"X-Long": "a" * 20_000}}),
    ("ready", "", 200, {}),
    ("ready", "", 400, {"headers": {"Transfer-Encoding": "gzip"}}),
    ("ready", "", 431, {"headers": {"X-Long": "a" * 20_000}}),
]
TROUBLE = [("deliver", 503), ("ready", 503)]
BY_ID = {each.definition.raw["operationId"]: each for each in OPERATIONS.values()}


def case_of(operation_id: str, source: str) -> Any:
    return BY_ID[operation_id].Case(path_parameters={"source": source} if source else {})


@pytest.mark.parametrize("row", EACH, ids=[f"{name} {source} {status}" for name, source, status, _ in EACH])
def test_each_answer_comes_as_described(
    open_to_all: Door, session: requests.Session, row: tuple[str, str, int, dict[str, Any]]
) -> None:
    operation_id, source, status, how = row
    answer = send(open_to_all, session, case_of(operation_id, source), **how)
    assert answer.status_code == status


@pytest.mark.parametrize(("operation_id", "status"), TROUBLE)
def test_our_own_trouble_is_answered_as_described(
    open_to_all: Door, session: requests.Session, monkeypatch: pytest.MonkeyPatch, operation_id: str, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(Intake, "receive", fail)
    monkeypatch.setattr(Ledger, "is_migrated", fail)
    monkeypatch.setattr(health, "WRITE_EVERY_SECONDS", 0.0)
    answer = send(open_to_all, session, case_of(operation_id, "our-crm"), signed=True, data=LEAD)
    assert answer.status_code == status


def test_every_described_answer_was_seen() -> None:
    described = {(name, int(status)) for name, each in BY_ID.items() for status in each.definition.raw["responses"]}
    assert described == {(name, status) for name, _, status, _ in EACH} | set(TROUBLE)


def test_every_address_of_the_server_is_described(open_to_all: Door) -> None:
    app = create_app(WebServices(open_to_all.ledger, load_rules(RULES, name="rules.yaml", environ={}), lambda _: None))
    served = {
        (method.lower(), rule.rule.replace("<source_name>", "{source}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    }
    assert served == {(each.method.lower(), each.path) for each in OPERATIONS.values()}


def test_every_refusal_is_described_with_its_own_words() -> None:
    described = {
        int(status): answer["content"]["application/json"]["schema"]["properties"]["error"]["const"]
        for each in OPERATIONS.values()
        for status, given in each.definition.raw["responses"].items()
        if "$ref" in given
        for answer in [DESCRIPTION["components"]["responses"][given["$ref"].rpartition("/")[2]]]
    }
    assert described == {status: json.loads(constant_answer(status))["error"] for status in described}
    assert set(described) == {400, 401, 403, 404, 405, 413, 415, 431, 503}
