"""Whatever a stranger sends: a 4xx with the one constant body of its status, nothing kept, and never a 406 or a 410."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.crms import preset_names
from integration.ledger import migrate
from integration.rules import Answers, RulesError, load_rules
from integration.rules.load_doors import TAKEN, TROUBLE
from integration.web.app import constant_answer
from tests.crms.rig import preset_rules
from tests.web.door import Answer, Door, open_door

KEY = "only-this-test-and-the-sender-know-it"
WHSEC = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ED25519 = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg="
SCHEMES = {
    "hmac": f"scheme: hmac, secret: {KEY}",
    "pairs": f"scheme: stripe, secret: {KEY}",
    "list": f'scheme: standard-webhooks, secret: "{WHSEC}"',
    "wrapped": f"scheme: espocrm, secret: {KEY}",
    "iso": f"scheme: zendesk, secret: {KEY}",
    "hash": f"scheme: hubspot-v2, secret: {KEY}",
    "url": f"scheme: hubspot-v3, secret: {KEY}",
    "form": f"scheme: twilio, secret: {KEY}",
    "public": f'scheme: ghl, public_key: "{ED25519}"',
    "static": f"scheme: static, header: Authorization, prefix: 'Bearer ', secret: {KEY}",
    "basic": f"scheme: pipedrive, secret: 'user:{KEY}'",
    "query": f"scheme: address-token, secret: {KEY}",
    "in-json": f"scheme: zoho, secret: {KEY}",
    "in-form": f"scheme: bitrix24, secret: {KEY}",
    "in-xml": f"scheme: salesforce-outbound, secret: {KEY}",
    "jwt": f"scheme: monday, secret: {KEY}",
    "itsdangerous": f"scheme: itsdangerous, secret: {KEY}",
}
HEAD = """\
accounts: {main: {id: acc-1}}
phones: {may_call: [US]}
fields: {phone: Phone}
rules: [{name: All, call: main}]
"""
RULES = f"{HEAD}sources:\n" + "".join(f"  {name}: {{verify: {{{one}}}}}\n" for name, one in SCHEMES.items())

HEADERS = [
    "X-Signature", "Stripe-Signature", "webhook-id", "webhook-timestamp", "webhook-signature", "Signature",
    "X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp", "X-HubSpot-Signature",
    "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp", "X-Twilio-Signature", "X-GHL-Signature", "Authorization",
    "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Range", "If-Match", "If-None-Match", "Cookie",
    "X-Forwarded-Proto", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Hook-Secret", "Upgrade", "Expect",
]  # fmt: skip
VALUES = st.sampled_from(
    ["", "*/*;q=0", "gzip", "identity;q=0, *;q=0", "bytes=5-", '"x"', "sha256=" + "0" * 64, "t=1,v1=00", "v1,AAAA",
     "Basic dXNlcjp4", "Bearer a.b.c", "Bearer ", "application/json", "text/xml", "application/x-www-form-urlencoded",
     "1767225600", "1767225600000", "2026-01-01T00:00:00Z", "h2c", "GET", "A" * 400]
) | st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)  # fmt: skip
BODIES = st.sampled_from(
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"a=b",
        b"<a/>",
        b"<!DOCTYPE a><a/>",
        b'{"token": "x"}',
        b"[" * 5000,
        b"\xff\xfe{",
    ]
) | st.binary(max_size=200)
# what may be said to a stranger: 501 is for a Transfer-Encoding that nobody knows
REFUSALS = {400, 401, 403, 404, 405, 413, 415, 431, 501}


@pytest.fixture(scope="module")
def many_doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    path = tmp_path_factory.mktemp("strangers") / "ringback.db"
    migrate(f"sqlite:///{path}")
    with open_door(path, rules=RULES, public_url="https://calls.example.com") as door:
        yield door


def refused(answer: Answer) -> None:
    assert answer.status in REFUSALS
    assert answer.body == constant_answer(answer.status)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.sampled_from(sorted(SCHEMES)),
    method=st.sampled_from(["POST"] * 6 + ["GET", "PUT", "OPTIONS", "TRACE", "PATCH", "BREW"]),
    query=st.sampled_from(["", "?token=x", "?token=", "?a=%ff&token=%00", "?" + "a=1&" * 50]),
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=6),
    body=BODIES,
)
def test_a_stranger_gets_a_4xx_of_one_constant_body(
    many_doors: Door, *, source: str, method: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    head = [f"{method} /hooks/{source}{query} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers if name != "Expect"]
    refused(many_doors.ask("\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body))
    assert many_doors.kept() == (0, 0)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0 ?#"), max_size=80), body=BODIES)
def test_no_address_but_a_sources_is_more_than_nothing(many_doors: Door, path: str, body: bytes) -> None:
    head = (
        f"POST /hooks/{path}x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    refused(many_doors.ask(head.encode("latin-1") + body))
    assert many_doors.kept() == (0, 0)


# ---- 406 and 410 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [406, 410])
@pytest.mark.parametrize("key", ["taken", "trouble"])
def test_no_source_can_answer_with_what_deletes_a_webhook(key: str, status: int) -> None:
    text = f"{HEAD}sources:\n  crm: {{verify: {{{SCHEMES['hmac']}}}, answers: {{{key}: {status}}}}}\n"
    with pytest.raises(RulesError, match=f"can never be {status}"):
        load_rules(text, name="rules.yaml", environ={})


def test_no_preset_does() -> None:
    assert not {406, 410} & {*TAKEN, *TROUBLE, Answers().taken, Answers().trouble}
    sources = preset_rules().sources
    assert sorted(sources) == list(preset_names())
    for source in sources.values():
        assert source.answers.taken in TAKEN
        assert source.answers.trouble in TROUBLE
