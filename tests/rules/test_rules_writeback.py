"""From a result to the request for the CRM: every value escaped for its place, and nothing raises."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from integration.model import LeadState, Tree
from integration.rules import BadWriteback, RenderedRequest, WriteBack, WritebackFacts, load_rules, render_writeback

HEAD = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US]}
fields: {phone: Phone, email: Email, note: Note}
rules: [{name: All, call: us}]
sources:
  crm:
    verify: {scheme: hmac, secret: "${SECRET}"}
    id: Id
    write_back:
"""
ENVIRON = {
    "SECRET": "correct-horse-battery",
    "TOKEN": "a-token",
    "SIGN": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=",
}
FACTS = WritebackFacts(
    record_id="7",
    result=LeadState.CALLED,
    reason_text="called",
    call_id="a1b2",
    call_status="initiated",
    account="us",
    fields={"phone": "+12125550123", "email": "a@b.example", "note": None, "source": "crm"},
    event={"callback_url": "https://hooks.example.com/x?y=1", "a.b": {"c": 5}, "list": [1, 2]},
    message_id="msg_1",
    now=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
)


@cache
def write_back(lines: str) -> WriteBack:
    indented = "".join(f"      {line}\n" for line in lines.strip().splitlines())
    found = load_rules(HEAD + indented, name="rules.yaml", environ=ENVIRON).sources["crm"].write_back
    assert found is not None
    return found


def rendered(lines: str, **changes: Any) -> RenderedRequest:
    request = render_writeback(write_back(lines), dataclasses.replace(FACTS, **changes))
    assert isinstance(request, RenderedRequest), request
    return request


def refused(lines: str, **changes: Any) -> str:
    request = render_writeback(write_back(lines), dataclasses.replace(FACTS, **changes))
    assert isinstance(request, BadWriteback), request
    return request.detail


PATCH = "request: PATCH https://crm.example.com/leads/{{ lead.id }}"


def test_the_request_of_the_example() -> None:
    request = rendered(
        PATCH + '\nbearer: ${TOKEN}\njson: {ringback_call_id: "{{ call.id }}", ringback_result: "{{ lead.result }}"}'
    )
    assert request.method == "PATCH"
    assert request.url == "https://crm.example.com/leads/7"
    assert dict(request.headers) == {"Content-Type": "application/json", "Authorization": "Bearer a-token"}
    assert request.body == b'{"ringback_call_id": "a1b2", "ringback_result": "called"}'


def test_a_request_shows_nothing_of_itself_in_a_log() -> None:
    assert repr(rendered(PATCH + "\nbearer: ${TOKEN}")) == "RenderedRequest(method='PATCH')"
    assert "a-token" not in repr(write_back(PATCH + "\nbearer: ${TOKEN}\nsign: ${SIGN}"))


def test_without_json_there_is_no_body_and_no_type() -> None:
    request = rendered("request: POST https://crm.example.com/x")
    assert request.body is None
    assert dict(request.headers) == {}


def test_every_result_is_told_unless_the_rules_say_otherwise() -> None:
    assert write_back(PATCH).on == {state for state in LeadState if state.is_result}
    assert write_back(PATCH + "\non: [called, failed]").on == {LeadState.CALLED, LeadState.FAILED}
    assert write_back(PATCH + "\non: called").on == {LeadState.CALLED}


class TestAddress:
    @pytest.mark.parametrize(
        ("record_id", "path"),
        [
            ("a/b", "/leads/a%2Fb"),
            ("a b?c#d", "/leads/a%20b%3Fc%23d"),
            ("%2e%2e", "/leads/%252e%252e"),
            ("é", "/leads/%C3%A9"),
            ("..%2f", "/leads/..%252f"),
            ("...", "/leads/..."),
            ("a\r\nHost: x", "/leads/a%0D%0AHost%3A%20x"),
            ("{{ call.id }}", "/leads/%7B%7B%20call.id%20%7D%7D"),
            ("\\..\\", "/leads/%5C..%5C"),
        ],
    )
    def test_an_id_stays_within_its_part_of_the_path(self, record_id: str, path: str) -> None:
        assert rendered(PATCH, record_id=record_id).url == "https://crm.example.com" + path

    @pytest.mark.parametrize("record_id", ["..", ".", "", None])
    def test_an_id_that_would_change_the_path_is_refused(self, record_id: str | None) -> None:
        assert "which is another address" in refused(PATCH, record_id=record_id)
        assert "which is another address" in refused(PATCH + "/notes", record_id=record_id)

    def test_an_id_within_a_longer_part_may_be_dots(self) -> None:
        assert rendered("request: PATCH https://crm.example.com/leads({{ lead.id }})", record_id="..").url == (
            "https://crm.example.com/leads(..)"
        )

    def test_a_query_value_is_escaped_and_may_be_empty(self) -> None:
        url = "request: POST https://crm.example.com/x?mail={{ lead.email }}&note={{ lead.note }}&r={{ lead.reason }}"
        query = urlsplit(rendered(url, reason_text="a&b=c d+e").url).query
        assert parse_qs(query, keep_blank_values=True) == {"mail": ["a@b.example"], "note": [""], "r": ["a&b=c d+e"]}

    def test_letters_of_other_languages_in_the_fixed_part_are_escaped(self) -> None:
        assert rendered("request: POST https://crm.example.com/kunden/größe").url == (
            "https://crm.example.com/kunden/gr%C3%B6%C3%9Fe"
        )

    def test_an_address_that_grows_too_long_is_refused(self) -> None:
        assert "4,000" in refused(PATCH, record_id="x" * 5000)

    @given(st.text(max_size=30))
    def test_what_is_sent_is_what_was_meant(self, record_id: str) -> None:
        request = render_writeback(
            write_back(PATCH + "/calls?by={{ lead.reason }}"),
            dataclasses.replace(FACTS, record_id=record_id, reason_text=record_id),
        )
        if isinstance(request, BadWriteback):
            return
        prepared = requests.Request("PATCH", request.url).prepare().url
        assert prepared == request.url
        split = urlsplit(request.url)
        empty, leads, segment, calls = split.path.split("/")
        assert (split.netloc, empty, leads, calls) == ("crm.example.com", "", "leads", "calls")
        assert unquote(segment) == _usable(record_id)


class TestAddressFromData:
    LINES = 'request: "POST {{ event.callback_url }}"\nallow_hosts: [hooks.example.com, "127.0.0.1:8443"]'

    def test_a_listed_host_is_called(self) -> None:
        assert rendered(self.LINES).url == "https://hooks.example.com/x?y=1"

    @pytest.mark.parametrize(
        "address",
        [
            "https://hooks.example.com:443/x",
            "https://HOOKS.example.com/x",
            "HTTPS://hooks.example.com/x",
        ],
    )
    def test_the_same_host_written_otherwise_is_the_same(self, address: str) -> None:
        assert rendered(self.LINES, event={"callback_url": address}).url == "https://hooks.example.com/x"

    def test_a_port_must_be_listed_with_its_host(self) -> None:
        assert rendered(self.LINES, event={"callback_url": "https://127.0.0.1:8443/"}).url == "https://127.0.0.1:8443/"
        assert "allow_hosts" in refused(self.LINES, event={"callback_url": "https://127.0.0.1/"})

    @pytest.mark.parametrize(
        "address",
        [
            "http://hooks.example.com/x",
            "https://evil.example/x",
            "https://hooks.example.com.evil.example/x",
            "https://evilhooks.example.com/x",
            "https://hooks.example.com./x",
            "https://hooks.example.com:8443/x",
            "https://hooks.example.com@evil.example/x",
            "https://evil.example\\@hooks.example.com/",
            "https://user:pass@hooks.example.com/x",
            "https://hooks.example.com/x#top",
            "https://hooks.ex%61mple.com/x",
            "https://hoоks.example.com/x",  # noqa: RUF001 - a Cyrillic letter
            "https://hooks.example.com/../x",
            "https://hooks.example.com/%2e%2E/x",
            "https://hooks.example.com/a b",
            "https://hooks.example.com/a\r\nb",
            "https://[::1/x",
            "https://hooks.example.com:99999/x",
            "https://hooks.example.com:x/x",
            "//hooks.example.com/x",
            "hooks.example.com",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "",
            None,
            5,
            True,
            ["https://hooks.example.com/x"],
        ],
    )
    def test_any_other_address_is_refused(self, address: Tree) -> None:
        detail = refused(self.LINES, event={"callback_url": address})
        assert "evil" not in detail

    def test_a_path_can_be_added(self) -> None:
        lines = self.LINES.replace("url }}", "url }}/leads/{{ lead.id }}")
        made = rendered(lines, event={"callback_url": "https://hooks.example.com/base/"})
        assert made.url == "https://hooks.example.com/base/leads/7"
        assert "another address" in refused(lines, event={"callback_url": "https://hooks.example.com/"}, record_id="")
        assert "query" in refused(lines)

    def test_a_host_within_a_fixed_address_is_checked_too(self) -> None:
        lines = "request: POST https://{{ lead.note }}/x\nallow_hosts: [eu.example.com]"
        assert rendered(lines, fields={"note": "eu.example.com"}).url == "https://eu.example.com/x"
        for host in ("evil.example", "eu.example.com/a", "eu.example.com@evil.example", "", None):
            assert refused(lines, fields={"note": host})

    @given(st.text(alphabet="htps:/.@?#\\%[]examplhooks.com0129 \t", max_size=40))
    def test_no_address_leads_elsewhere(self, text: str) -> None:
        for address in (text, "https://" + text, "https://hooks.example.com" + text):
            request = render_writeback(
                write_back(self.LINES), dataclasses.replace(FACTS, event={"callback_url": address})
            )
            if isinstance(request, RenderedRequest):
                split = urlsplit(requests.Request("POST", request.url).prepare().url)
                assert split.scheme == "https"
                assert split.netloc in ("hooks.example.com", "127.0.0.1:8443")


class TestHeaders:
    def test_basic_takes_user_and_password(self) -> None:
        lines = 'request: POST https://crm.example.com/x\nbasic: {user: me, password: "${TOKEN}"}'
        assert rendered(lines).headers["Authorization"] == "Basic bWU6YS10b2tlbg=="

    def test_basic_may_have_no_password(self) -> None:
        lines = 'request: POST https://crm.example.com/x\nbasic: {user: "${TOKEN}"}'
        assert rendered(lines).headers["Authorization"] == "Basic YS10b2tlbjo="

    def test_a_type_of_ones_own_replaces_the_usual_one(self) -> None:
        lines = PATCH + "\njson: {}\nheaders: {content-type: application/vnd.api+json}"
        assert dict(rendered(lines).headers) == {"content-type": "application/vnd.api+json"}

    @pytest.mark.parametrize(
        ("value", "sent"),
        [
            ("plain text", "plain text"),
            ("José", "Jos%C3%A9"),
            ("日本", "%E6%97%A5%E6%9C%AC"),
            ("  outer  ", "outer"),
            (None, ""),
            (800, "800"),
            (Decimal("1.10"), "1.10"),
            (True, "true"),
            ("=HYPERLINK()", "=HYPERLINK()"),
        ],
    )
    def test_a_value_becomes_ascii(self, value: Tree, sent: str) -> None:
        lines = PATCH + '\nheaders: {X-Note: "{{ lead.note }}"}'
        assert rendered(lines, fields={"note": value}).headers["X-Note"] == sent

    @pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\0b", "a\x1bb", "a\x7fb"])
    def test_a_line_break_in_a_value_is_refused(self, value: str) -> None:
        detail = refused(PATCH + '\nheaders: {X-Note: "x {{ lead.note }}"}', fields={"note": value})
        assert detail == "header X-Note would hold a line break or control character of {{ lead.note }}"

    def test_a_signature_can_be_checked_with_the_public_library(self) -> None:
        request = rendered(PATCH + '\njson: {id: "{{ call.id }}"}\nsign: ${SIGN}', now=datetime.now(UTC))
        assert request.body is not None
        for secret in ENVIRON["SIGN"].split():
            standardwebhooks.Webhook(secret).verify(request.body.decode(), dict(request.headers))

    def test_a_signature_is_the_same_for_the_same_facts(self) -> None:
        headers = rendered(PATCH + "\nsign: ${SIGN}").headers
        assert headers["webhook-id"] == "msg_1"
        assert headers["webhook-timestamp"] == "1795435200"
        assert headers["webhook-signature"] == rendered(PATCH + "\nsign: ${SIGN}").headers["webhook-signature"]

    def test_a_signature_without_time_or_id_is_refused(self) -> None:
        assert refused(PATCH + "\nsign: ${SIGN}", now=None) == "a signed write-back needs a message id and the time"
        assert refused(PATCH + "\nsign: ${SIGN}", message_id=None)


class TestBody:
    @staticmethod
    def of(template: str, **changes: Any) -> str:
        body = rendered(PATCH + f"\njson: {template}", **changes).body
        assert body is not None
        return body.decode("ascii")

    def test_a_missing_value_is_null_alone_and_empty_within_a_text(self) -> None:
        template = '{a: "{{ call.id }}", b: "call {{ call.id }}", c: "{{ lead.note }}", d: "{{ event.no.such }}"}'
        assert self.of(template, call_id=None) == '{"a": null, "b": "call ", "c": null, "d": null}'

    def test_a_value_alone_keeps_its_kind(self) -> None:
        assert self.of('["{{ event.a }}", "{{ event.b }}", "{{ event.c }}", "{{ event.d }}"]',
                       event={"a": 5, "b": Decimal("1.10"), "c": True, "d": {"x": [None, "é"]}}) == (
            '[5, 1.10, true, {"x": [null, "\\u00e9"]}]'
        )  # fmt: skip

    def test_what_stands_in_the_rules_keeps_its_kind(self) -> None:
        template = '{a: 5, b: 1.10, c: true, d: null, e: "5", f: 0044, g: NO, h: {i: [x]}, j: "", k: {}, l: []}'
        assert self.of(template) == (
            '{"a": 5, "b": 1.10, "c": true, "d": null, "e": "5", "f": "0044", "g": "NO", "h": {"i": ["x"]},'
            ' "j": "", "k": {}, "l": []}'
        )

    def test_a_path_into_the_message_may_be_quoted(self) -> None:
        assert self.of("""{a: '{{ event."a.b".c }}', b: 'n {{ event."a.b".c }}'}""") == '{"a": 5, "b": "n 5"}'

    def test_a_list_is_no_text(self) -> None:
        detail = refused(PATCH + '\njson: {a: "x {{ event.list }}"}')
        assert detail == "{{ event.list }} is a list or an object, which is no text; choose a path to one value"

    def test_a_body_that_grows_too_large_is_refused(self) -> None:
        assert "256,000" in refused(PATCH + '\njson: {a: "{{ lead.note }}"}', fields={"note": "x" * 300_000})

    def test_a_number_nobody_can_mean_is_refused(self) -> None:
        for number in (10**5000, Decimal("NaN"), Decimal("1e999999")):
            assert "too large" in refused(PATCH + '\njson: {a: "{{ lead.note }}"}', fields={"note": number})

    def test_a_placeholder_in_a_value_stays_text(self) -> None:
        assert self.of('{a: "{{ lead.note }}"}', fields={"note": "{{ call.id }}"}) == '{"a": "{{ call.id }}"}'

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.decimals(-1000, 1000, places=2),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        )
    )
    def test_any_value_becomes_the_same_value_in_json(self, value: Tree) -> None:
        body = self.of('{a: "{{ lead.note }}"}', fields={"note": value})
        assert json.loads(body, parse_float=Decimal) == {"a": value}

    @given(st.text())
    def test_any_text_within_a_text_stays_itself(self, value: str) -> None:
        assert json.loads(self.of('{a: "-{{ lead.note }}-"}', fields={"note": value})) == {"a": f"-{_usable(value)}-"}


def _usable(value: str) -> str:
    return unicodedata.normalize("NFC", value.strip())
