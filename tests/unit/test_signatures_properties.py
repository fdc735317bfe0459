"""Promises: verifying never raises, and no changed byte of what is signed is accepted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.crms import scheme_from
from integration.signatures import Refused, SignedRequest, Verified, diagnose, sign, verify

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-secret-of-the-tests"
URL = "https://c.example.com/hooks/x?a=1"
BODY_SCHEMES = {
    "hmac": {"scheme": "hmac", "prefix": "sha256="},
    "base64": {"scheme": "hmac", "encoding": "base64", "hash": "sha512"},
    "base64url": {"scheme": "hmac", "encoding": "base64url"},
    "list": {"scheme": "standard-webhooks", "key": "text"},
    "pairs": {"scheme": "stripe"},
    "wrapped": {"scheme": "espocrm"},
    "wrapped-raw": {"scheme": "espocrm-legacy"},
    "url": {"scheme": "hubspot-v3"},
    "hash": {"scheme": "hubspot-v2"},
    "iso": {"scheme": "zendesk"},
    "body-base64": {"scheme": "follow-up-boss"},
    "itsdangerous": {"scheme": "itsdangerous"},
}
OTHERS = {
    "jwt": {"scheme": "jwt"},
    "header": {"scheme": "static", "header": "X-Signature", "prefix": "Bearer "},
    "basic": {"scheme": "pipedrive", "secret": f"user:{SECRET}"},
    "query": {"scheme": "odoo"},
    "json": {"scheme": "zoho"},
    "form": {"scheme": "bitrix24"},
    "xml": {"scheme": "salesforce-outbound"},
    "form-sorted": {"scheme": "twilio"},
    "ed25519": {"scheme": "ghl", "secret": None},
}
SCHEMES = {
    name: scheme_from({k: v for k, v in {"secret": SECRET, **block}.items() if v is not None})
    for name, block in (BODY_SCHEMES | OTHERS).items()
}

header_names = st.sampled_from(
    [
        "X-Signature", "webhook-id", "webhook-timestamp", "webhook-signature", "Stripe-Signature", "Signature",
        "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp", "Authorization", "X-Zendesk-Webhook-Signature",
        "X-Zendesk-Webhook-Signature-Timestamp", "X-GHL-Signature", "X-Twilio-Signature", "FUB-Signature", "Host",
    ]
)  # fmt: skip
hostile_text = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="tv01=,. sha256:ABab+/-_\t\x00\xe9", max_size=120),
    st.sampled_from(
        ["t=1767225600,v1=", "v1,", "sha256=", "Bearer ..", "Basic ", "1767225600", "2026-01-01T00:00:00Z"]
    ),
)
headers = st.lists(st.tuples(st.one_of(header_names, st.text(max_size=10)), hostile_text), max_size=8)
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b'{"token":"x"}', b"auth[application_token]=x", b"<Envelope><Body>", b"a=%ff&b", b"[[[["]),
)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEMES)),
    headers=headers,
    body=bodies,
    query=hostile_text,
    method=st.one_of(st.just("POST"), st.text(max_size=5)),
    url=st.one_of(st.none(), st.just(URL), st.text(max_size=30)),
)
def test_verifying_never_raises_and_never_accepts_noise(*, name, headers, body, query, method, url):
    request = SignedRequest(method, url, headers, query, body)
    assert isinstance(verify(SCHEMES[name], request, NOW), Refused)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEMES)), headers=headers, body=bodies, url=st.one_of(st.none(), st.text(max_size=30))
)
def test_a_diagnosis_never_raises_and_never_shows_the_secret(name, headers, body, url):
    found = diagnose(SCHEMES[name], SignedRequest("POST", url, headers, "", body), NOW, retired=["old-one", ""])
    assert SECRET not in found.message
    assert found.message.isprintable()


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(BODY_SCHEMES)),
    body=st.binary(min_size=1, max_size=60),
    at=st.integers(min_value=0, max_value=59),
    flip=st.integers(min_value=1, max_value=255),
)
def test_any_changed_byte_of_the_body_is_refused(name, body, at, flip):
    scheme = SCHEMES[name]
    added = sign(scheme, SignedRequest("POST", URL, [], "a=1", body), NOW)
    assert isinstance(verify(scheme, SignedRequest("POST", URL, added, "a=1", body), NOW), Verified)
    place = at % len(body)
    changed = body[:place] + bytes([body[place] ^ flip]) + body[place + 1 :]
    for other in (changed, body[:-1], body + b"\0", body + b"\n", b"\n" + body):
        assert isinstance(verify(scheme, SignedRequest("POST", URL, added, "a=1", other), NOW), Refused)


# Left out: wrapped hex, where one changed character of the base64 may only turn an a into an A.
@pytest.mark.parametrize("name", sorted({*BODY_SCHEMES, "jwt", "header", "basic"} - {"wrapped"}))
def test_any_changed_character_of_its_headers_is_refused(name):
    scheme = SCHEMES[name]
    added = sign(scheme, SignedRequest("POST", URL, [], "a=1", b'{"a":1}'), NOW)
    for index, (header, value) in enumerate(added):
        for place, character in enumerate(value):
            other = "0" if character != "0" else "1"
            changed = [*added]
            changed[index] = (header, value[:place] + other + value[place + 1 :])
            verdict = verify(scheme, SignedRequest("POST", URL, changed, "a=1", b'{"a":1}'), NOW)
            # The id before the colon of the wrapped form is not signed, and it is not given to anyone.
            unsigned = name == "wrapped-raw" and place < 12
            assert isinstance(verdict, Refused) or (unsigned and verdict.signed_id is None), (header, place)


@settings(max_examples=100, deadline=None)
@given(first=st.binary(max_size=20), second=st.binary(max_size=20))
def test_two_bodies_never_share_a_signature(first, second):
    scheme = SCHEMES["itsdangerous"]
    added = sign(scheme, SignedRequest("POST", None, [], "", first), NOW)
    verdict = verify(scheme, SignedRequest("POST", None, added, "", second), NOW)
    assert isinstance(verdict, Verified) is (first == second)
