"""A secret is text, whatever it looks like, and no message shows one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from integration.model import LeadState
from integration.rules import RenderedRequest, RulesError, WritebackFacts, load_rules, render_writeback

CANARY = "can{{ary.4711}}"
FILE = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US]}
fields: {phone: Phone}
rules: [{name: All, call: us}]
sources:
  crm:
    verify: {scheme: hmac, secret: "${SECRET}"}
    id: Id
    write_back:
"""
FACTS = WritebackFacts(
    record_id="7",
    result=LeadState.CALLED,
    reason_text="called",
    call_id="a1b2",
    call_status=None,
    account="us",
    fields={},
    event={},
    message_id="msg_1",
    now=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
)


def rendered(lines: str, canary: str) -> RenderedRequest:
    indented = "".join(f"      {line}\n" for line in lines.splitlines())
    environ = {"CANARY": canary, "SECRET": "correct-horse-battery"}
    rules = load_rules(FILE + indented, name="rules.yaml", environ=environ)
    write_back = rules.sources["crm"].write_back
    assert write_back is not None
    assert "4711" not in repr(rules)
    request = render_writeback(write_back, FACTS)
    assert isinstance(request, RenderedRequest)
    return request


@pytest.mark.parametrize("canary", [CANARY, "4711}}", "{{4711", "{{ lead.id }}4711", "{{ nothing.4711 }}", "${4711}"])
class TestValuesThatLookLikePlaceholders:
    def test_in_a_header(self, canary: str) -> None:
        lines = "request: POST https://crm.example.com/x\nheaders: {X-Key: '${CANARY} {{ call.id }}'}"
        assert rendered(lines, canary).headers == {"X-Key": f"{canary} a1b2"}

    def test_in_a_bearer_token(self, canary: str) -> None:
        lines = "request: POST https://crm.example.com/x\nbearer: ${CANARY}"
        assert rendered(lines, canary).headers == {"Authorization": f"Bearer {canary}"}

    def test_in_the_address(self, canary: str) -> None:
        lines = "request: POST https://crm.example.com/{{ lead.id }}?key=${CANARY}&by={{ call.account }}"
        escaped = canary.replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")
        if " " in canary:
            with pytest.raises(RulesError) as caught:
                rendered(lines, canary)
            assert "4711" not in str(caught.value)
        else:
            assert rendered(lines, canary).url == f"https://crm.example.com/7?key={escaped}&by=us"


@pytest.mark.parametrize(
    "lines",
    [
        "request: POST https://crm.example.com/x\nheaders: {X-Key: '{{ ${CANARY} }}'}",
        "request: POST https://crm.example.com/x\nheaders: {X-Key: '{{ lead.id }', X-Other: '${CANARY}'}",
        "request: POST https://crm.example.com/x\nheaders: {Host: '${CANARY}'}",
        "request: POST https://${CANARY}/x",
        "request: POST ${CANARY}/x",
        "request: ${CANARY}",
        "request: POST https://crm.example.com/x\nsign: ${CANARY}",
        "request: POST https://crm.example.com/x\nbearer: '${CANARY} {{ lead.id }}'",
        "request: POST https://crm.example.com/x\nbearer: ${CANARY}\nbasic: {user: '${CANARY}:'}",
        "request: POST https://crm.example.com/x\njson: {key: '${CANARY}'}",
        "request: POST https://crm.example.com/x\nheaders: {X-Key: \u201c${CANARY}\u201d}".replace("${", "$ {"),
    ],
)
@pytest.mark.parametrize("canary", [CANARY, "{{ 4711 }}", "4711 \u00e9", "{{4711"])
def test_no_mistake_shows_the_value(lines: str, canary: str) -> None:
    with pytest.raises(RulesError) as caught:
        rendered(lines, canary)
    assert "4711" not in str(caught.value)


def test_both_a_bad_placeholder_and_a_missing_variable_of_other_keys_are_told() -> None:
    with pytest.raises(RulesError) as caught:
        rendered("request: POST ${MISSING}/{{ lead.id }}\nheaders: {X-Key: '{{ lead.idd }}'}", CANARY)
    assert [mistake.line for mistake in caught.value.mistakes] == [10, 11]


def test_a_method_may_come_from_the_variable_too() -> None:
    assert rendered("request: ${CANARY}", "PUT https://crm.example.com/4711").method == "PUT"
