"""The published vectors, and one test for each row of hostile input (A1 to A44) that a pure function can meet."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from itsdangerous import TimestampSigner

from integration.crms import scheme_from
from integration.signatures import (
    Cause,
    Refused,
    SchemeMistake,
    SignedRequest,
    Verified,
    sign,
    signed_query,
    verify,
)
from tests.vectors import NAMES, VECTORS, vector_settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)  # 1767225600
BODY = b'{"type":"lead.created","data":{"Id":"7"}}'
SECRET = "a-secret-of-the-tests"
OTHER = "another-secret-of-the-tests"


def vector_request(vector: dict[str, Any]) -> SignedRequest:
    return SignedRequest(
        method=vector["method"],
        url=vector["url"],
        headers=list(vector["headers"].items()),
        query=urlsplit(vector["url"]).query,
        body=vector["body"].encode("utf-8"),
    )


def request(*headers: tuple[str, str], body: bytes = BODY, url: str | None = None, query: str = "") -> SignedRequest:
    return SignedRequest("POST", url, list(headers), query, body)


def cause(verdict: Verified | Refused) -> Cause | None:
    return verdict.cause if isinstance(verdict, Refused) else None


def plain(**more: object) -> Any:
    return scheme_from({"scheme": "hmac", "prefix": "sha256=", "secret": SECRET, **more})


def mac(message: bytes = BODY, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def standard(**more: object) -> Any:
    return scheme_from({"scheme": "standard-webhooks", "secret": WHSEC, **more})


WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def standard_headers(signature: str, message_id: str = "msg_1", at: str = "1767225600") -> list[tuple[str, str]]:
    return [("webhook-id", message_id), ("webhook-timestamp", at), ("webhook-signature", signature)]


def standard_signature(message_id: str = "msg_1", at: str = "1767225600", body: bytes = BODY) -> str:
    key = base64.b64decode(WHSEC.removeprefix("whsec_"))
    signed = f"{message_id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


# ---- vectors ------------------------------------------------------------------------------------------


def test_there_are_130_vectors_of_30_schemes():
    assert len(VECTORS) == 130
    assert len({vector["scheme"] for vector in VECTORS}) == 30


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_it_judges_each_published_vector_rightly(vector):
    scheme = scheme_from(vector_settings(vector))
    verdict = verify(scheme, vector_request(vector), datetime.fromtimestamp(vector["now"], UTC))
    assert isinstance(verdict, Verified) is vector["valid"], verdict


SIGNABLE = [v for v in VECTORS if v["valid"] and not v["scheme"].startswith("highlevel")]


@pytest.mark.parametrize("vector", SIGNABLE, ids=[f"{i}-{v['scheme']}" for i, v in enumerate(SIGNABLE)])
def test_what_it_signs_it_accepts(vector):
    scheme = scheme_from(vector_settings(vector))
    now = datetime.fromtimestamp(vector["now"], UTC)
    asked = vector_request(vector)
    added = sign(scheme, asked, now)
    names = {name.lower() for name, _ in added}
    kept = [pair for pair in asked.headers if pair[0].lower() not in names]
    signed = SignedRequest(asked.method, asked.url, [*kept, *added], asked.query, asked.body)
    assert isinstance(verify(scheme, signed, now), Verified)


# ---- A1 to A18: the signature header --------------------------------------------------------------------


def test_a1_it_refuses_a_request_without_the_header():
    assert cause(verify(plain(), request(), NOW)) is Cause.NO_SIGNATURE


@pytest.mark.parametrize("value", ["", " ", " \t "])
def test_a2_it_refuses_an_empty_header(value):
    assert cause(verify(plain(), request(("X-Signature", value)), NOW)) is Cause.NO_SIGNATURE


@pytest.mark.parametrize("prefix", ["sha1=", "md5=", "v0,", "v2,", "", "SHA256=", "sha256=sha256="])
def test_a3_it_refuses_another_prefix(prefix):
    assert isinstance(verify(plain(), request(("X-Signature", prefix + mac().hex())), NOW), Refused)


def test_a4_it_reads_hex_without_case():
    sent = request(("x-signature", "sha256=" + mac().hex().upper()))
    assert verify(plain(), sent, NOW) == Verified(key_index=0, signed_id=None)


def test_a5_it_refuses_a_version_in_capitals():
    signature = standard_signature().replace("v1,", "V1,")
    assert cause(verify(standard(), request(*standard_headers(signature)), NOW)) is Cause.NO_SIGNATURE


@pytest.mark.parametrize("signature", [mac()[:31], mac() + b"\0", mac()[:16], b"\0", mac() + mac()])
def test_a6_it_refuses_a_signature_of_another_length(signature):
    sent = request(("X-Signature", "sha256=" + signature.hex()))
    assert cause(verify(plain(), sent, NOW)) is Cause.MALFORMED


def test_a6_it_refuses_half_a_byte():
    assert cause(verify(plain(), request(("X-Signature", "sha256=" + mac().hex()[:-1])), NOW)) is Cause.MALFORMED


def test_a9_it_refuses_two_headers_joined_by_the_server():
    good = "sha256=" + mac().hex()
    bad = "sha256=" + "0" * 64
    for value in (f"{bad},{good}", f"{good},{bad}", f"{good}, {good}"):
        assert cause(verify(plain(), request(("X-Signature", value)), NOW)) is Cause.MALFORMED


def test_a9_it_refuses_two_headers_apart():
    good = "sha256=" + mac().hex()
    sent = request(("X-Signature", good), ("x-signature", good))
    assert cause(verify(plain(), sent, NOW)) is Cause.REPEATED_HEADER


def test_a9_it_refuses_two_timestamps_in_pairs():
    scheme = scheme_from({"scheme": "stripe", "secret": SECRET})
    good = mac(b"1767225600." + BODY).hex()
    for value in (f"t=1,v1={'0' * 64},t=1767225600,v1={good}", f"t=1767225600,v1={good},t=1767225600"):
        assert cause(verify(scheme, request(("Stripe-Signature", value)), NOW)) is Cause.REPEATED_HEADER


def test_a10_it_accepts_a_good_signature_after_a_bad_one_in_a_list():
    bad = "v1," + base64.b64encode(b"\0" * 32).decode()
    sent = request(*standard_headers(f"{bad} {standard_signature()}"))
    assert verify(standard(), sent, NOW) == Verified(key_index=0, signed_id="msg_1")


@pytest.mark.parametrize("junk", ["junk ", "v1,junk ", "  ", "\t", "v1,,, ", "v1 ", "v1a,AAAA ", ", ", "é "])
def test_a11_it_skips_junk_before_a_good_signature_in_a_list(junk):
    sent = request(*standard_headers(junk + standard_signature()))
    assert verify(standard(), sent, NOW) == Verified(key_index=0, signed_id="msg_1")


def test_a11_it_skips_junk_in_pairs():
    scheme = scheme_from({"scheme": "stripe", "secret": SECRET})
    good = mac(b"1767225600." + BODY).hex()
    sent = request(("Stripe-Signature", f"junk,,v0=abc, t=1767225600,v1=zz,v1={good},=,"))
    assert isinstance(verify(scheme, sent, NOW), Verified)


def test_a12_it_refuses_more_than_ten_signatures():
    bad = "v1," + base64.b64encode(b"\0" * 32).decode()
    for count, expected in ((9, None), (10, Cause.TOO_MANY_SIGNATURES), (99, Cause.TOO_MANY_SIGNATURES)):
        sent = request(*standard_headers(" ".join([bad] * count + [standard_signature()])))
        assert cause(verify(standard(), sent, NOW)) is expected


def test_a12_it_refuses_a_header_over_8_kb():
    for value in ("v1,x " * 5000, " " * 9000 + standard_signature()):
        assert cause(verify(standard(), request(*standard_headers(value)), NOW)) is Cause.MALFORMED


def test_a13_it_refuses_blanks_inside_a_signature():
    text = mac().hex()
    for value in (f"sha256= {text}", f"sha256={text[:10]} {text[10:]}", f"sha256 ={text}"):
        assert cause(verify(plain(), request(("X-Signature", value)), NOW)) is Cause.MALFORMED


@pytest.mark.parametrize("character", ["\xe9", "\U0001f600", "\0", "\ud800", "\u0660", "\u017f"])
def test_a14_it_refuses_strange_characters_without_an_error(character):
    text = mac().hex()
    for value in (character, f"sha256={character}{text[1:]}", f"sha256={text}{character}", character + text):
        assert cause(verify(plain(), request(("X-Signature", value)), NOW)) is Cause.MALFORMED


def test_a15_it_refuses_the_url_safe_alphabet_unless_it_is_set():
    body = next(b for b in (b"%d" % i for i in range(1000)) if b"-" in base64.urlsafe_b64encode(mac(b)))
    value = base64.urlsafe_b64encode(mac(body)).decode()
    settings = {"scheme": "hmac", "secret": SECRET}
    refused = verify(scheme_from({**settings, "encoding": "base64"}), request(("X-Signature", value), body=body), NOW)
    assert cause(refused) is Cause.MALFORMED
    safe = scheme_from({**settings, "encoding": "base64url"})
    assert isinstance(verify(safe, request(("X-Signature", value), body=body), NOW), Verified)


@pytest.mark.parametrize(
    "change", [lambda t: t.rstrip("="), lambda t: t + "====", lambda t: "!" + t, lambda t: t[:5] + "\n" + t[5:]]
)
def test_a16_it_reads_base64_strictly(change):
    scheme = scheme_from({"scheme": "hmac", "encoding": "base64", "secret": SECRET})
    value = base64.b64encode(mac()).decode()
    assert isinstance(verify(scheme, request(("X-Signature", value)), NOW), Verified)
    assert cause(verify(scheme, request(("X-Signature", change(value))), NOW)) is Cause.MALFORMED


def test_a17_it_refuses_base64_with_stray_bits():
    scheme = scheme_from({"scheme": "hmac", "encoding": "base64", "secret": SECRET})
    value = base64.b64encode(mac()).decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = value[:-2] + alphabet[alphabet.index(value[-2]) ^ 1] + "="
    assert base64.b64decode(stray) == base64.b64decode(value)
    assert cause(verify(scheme, request(("X-Signature", stray)), NOW)) is Cause.MALFORMED


def test_a18_it_refuses_hex_for_base64_and_the_reverse():
    hex_value, base64_value = mac().hex(), base64.b64encode(mac()).decode()
    as_base64 = scheme_from({"scheme": "hmac", "encoding": "base64", "secret": SECRET})
    as_hex = scheme_from({"scheme": "hmac", "secret": SECRET})
    assert cause(verify(as_base64, request(("X-Signature", hex_value)), NOW)) is Cause.MALFORMED
    assert cause(verify(as_hex, request(("X-Signature", base64_value)), NOW)) is Cause.MALFORMED


# ---- A19 to A29: time and identity ------------------------------------------------------------------------


def test_a19_it_refuses_a_missing_timestamp():
    sent = request(("webhook-id", "msg_1"), ("webhook-signature", standard_signature()))
    assert cause(verify(standard(), sent, NOW)) is Cause.NO_TIMESTAMP
    scheme = scheme_from({"scheme": "stripe", "secret": SECRET})
    for value in ("v1=" + "0" * 64, "t=,v1=" + "0" * 64):
        assert cause(verify(scheme, request(("Stripe-Signature", value)), NOW)) is Cause.NO_TIMESTAMP


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, None),
        (-300, None),
        (-301, Cause.TOO_OLD),
        (300, None),
        (301, Cause.TOO_NEW),
        (86400, Cause.TOO_NEW),
        (3_155_760_000, Cause.TOO_NEW),
    ],
)
def test_a20_a21_it_accepts_300_seconds_either_way_and_not_301(offset, expected):
    at = str(1767225600 + offset)
    sent = request(*standard_headers(standard_signature(at=at), at=at))
    verdict = verify(standard(), sent, NOW)
    assert cause(verdict) is expected
    if isinstance(verdict, Refused):
        assert verdict.age_seconds == -offset


def test_a20_a_fraction_of_a_second_over_the_tolerance_is_too_old():
    sent = request(*standard_headers(standard_signature(at="1767225300"), at="1767225300"))
    assert cause(verify(standard(), sent, NOW + timedelta(microseconds=1))) is Cause.TOO_OLD


BAD_TIMES = [
    "abc", "-1", "1e9", "nan", "inf", "1.5", "1767225600.0", "1_767_225_600", "+1767225600", "0x69",
    "\u0661\u0667\u0666\u0667\u0662\u0662\u0665\u0666\u0660\u0660", "1" * 14, "9" * 5000, "1767225600,1767225600",
    "1767 225600", "\xb2", "1767225600\0",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TIMES)
def test_a22_it_refuses_a_timestamp_that_is_no_plain_number(text):
    try:
        signature = standard_signature(at=text)
    except UnicodeEncodeError:
        signature = standard_signature()
    verdict = verify(standard(), request(*standard_headers(signature, at=text)), NOW)
    assert cause(verdict) in {Cause.BAD_TIMESTAMP, Cause.MALFORMED}


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "20260101T000000Z",
        "1767225600", "2026-01-01T00:00:00z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99",
        "2026-W01-1T00:00:00Z",
    ],
)  # fmt: skip
def test_a22_it_refuses_a_loose_iso_timestamp(text):
    scheme = scheme_from({"scheme": "zendesk", "secret": SECRET})
    signature = base64.b64encode(mac(text.encode() + BODY)).decode()
    sent = request(("X-Zendesk-Webhook-Signature", signature), ("X-Zendesk-Webhook-Signature-Timestamp", text))
    assert cause(verify(scheme, sent, NOW)) is Cause.BAD_TIMESTAMP


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59.5Z"])
def test_it_reads_iso_timestamps_with_their_zone(text):
    scheme = scheme_from({"scheme": "zendesk", "secret": SECRET})
    signature = base64.b64encode(mac(text.encode() + BODY)).decode()
    sent = request(("X-Zendesk-Webhook-Signature", signature), ("X-Zendesk-Webhook-Signature-Timestamp", text))
    assert isinstance(verify(scheme, sent, NOW), Verified)


def test_a23_it_never_guesses_the_unit_of_a_timestamp():
    sent = request(*standard_headers(standard_signature(at="1767225600000"), at="1767225600000"))
    assert cause(verify(standard(), sent, NOW)) is Cause.TOO_NEW
    scheme = scheme_from({"scheme": "twenty", "secret": SECRET})
    signature = mac(b"1767225600:" + BODY).hex()
    sent = request(("X-Twenty-Webhook-Signature", signature), ("X-Twenty-Webhook-Timestamp", "1767225600"))
    assert cause(verify(scheme, sent, NOW)) is Cause.TOO_OLD


def test_a24_it_signs_the_timestamp_as_it_came():
    zeros = "0001767225600"
    sent = request(*standard_headers(standard_signature(at="1767225600"), at=zeros))
    assert cause(verify(standard(), sent, NOW)) is Cause.MISMATCH
    sent = request(*standard_headers(standard_signature(at=zeros), at=zeros))
    assert isinstance(verify(standard(), sent, NOW), Verified)


def test_a26_an_id_that_is_not_signed_is_no_id():
    scheme = scheme_from({"scheme": "github", "secret": SECRET, "id_header": "X-GitHub-Delivery"})
    sent = request(("X-Hub-Signature-256", "sha256=" + mac().hex()), ("X-GitHub-Delivery", "72d3162e"))
    assert verify(scheme, sent, NOW) == Verified(key_index=0, signed_id=None)
    assert any("does not count" in warning for warning in scheme.warnings)


def test_a26_a_signed_id_cannot_be_changed_or_left_out():
    assert cause(verify(standard(), request(*standard_headers(standard_signature(), "msg_2")), NOW)) is Cause.MISMATCH
    sent = request(("webhook-timestamp", "1767225600"), ("webhook-signature", standard_signature()))
    assert cause(verify(standard(), sent, NOW)) is Cause.NO_ID


@pytest.mark.parametrize("message_id", ["msg.1", "msg\0", "msg\x7f", "."])
def test_a26_an_id_with_the_separator_or_a_control_character_is_refused(message_id):
    sent = request(*standard_headers(standard_signature(message_id), message_id))
    assert cause(verify(standard(), sent, NOW)) is Cause.BAD_ID


def test_a27_a_replay_after_the_window_is_refused():
    sent = request(*standard_headers(standard_signature()))
    assert cause(verify(standard(), sent, NOW + timedelta(days=1))) is Cause.TOO_OLD


def test_a29_a_scheme_without_timestamp_is_no_reason_to_warn_because_the_ledger_never_forgets_an_event():
    assert plain().warnings == ()


# ---- A30 to A41 ---------------------------------------------------------------------------------------------


def test_a30_two_secrets_are_both_accepted_and_named_by_their_place():
    both = plain(secret=f"{SECRET} {OTHER}")
    for index, secret in enumerate((SECRET, OTHER)):
        sent = request(("X-Signature", "sha256=" + mac(secret=secret).hex()))
        assert verify(both, sent, NOW) == Verified(key_index=index, signed_id=None)
    assert cause(verify(plain(secret=OTHER), request(("X-Signature", "sha256=" + mac().hex())), NOW)) is Cause.MISMATCH


def test_a31_a_signature_for_one_source_is_refused_by_another():
    sent = request(("X-Signature", "sha256=" + mac().hex()))
    assert cause(verify(plain(secret=OTHER), sent, NOW)) is Cause.MISMATCH


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"Id":"7"},"type":"lead.created"}',
        b'{"type": "lead.created", "data": {"Id": "7"}}',
        BODY + b"\n", BODY + b"\r\n", b" " + BODY, b"\xef\xbb\xbf" + BODY, BODY.replace(b"7", b"\\u0037"), b"",
    ],
)  # fmt: skip
def test_a32_it_refuses_a_body_that_was_written_again(body):
    sent = request(("X-Signature", "sha256=" + mac().hex()), body=body)
    assert cause(verify(plain(), sent, NOW)) is Cause.MISMATCH


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"\x00" * 10, "Zoë".encode("latin-1")])
def test_a33_a34_it_verifies_bodies_that_are_empty_or_no_text(body):
    sent = request(("X-Signature", "sha256=" + mac(body).hex()), body=body)
    assert isinstance(verify(plain(), sent, NOW), Verified)


HUBSPOT_URLS = [
    ("https://c.example.com/h?cb=https%3A%2F%2Fa.example%2Fb", "https://c.example.com/h?cb=https://a.example/b"),
    ("https://c.example.com/h?e=x%40y.example", "https://c.example.com/h?e=x@y.example"),
    ("https://c.example.com/h?q=a%20b%2Bc", "https://c.example.com/h?q=a%20b%2Bc"),
    ("https://c.example.com/h?q=a+b", "https://c.example.com/h?q=a+b"),
    ("https://c.example.com/h?a=1&a=2", "https://c.example.com/h?a=1&a=2"),
    ("https://c.example.com/h?", "https://c.example.com/h?"),
    ("https://c.example.com/h?q=%253A", "https://c.example.com/h?q=%253A"),
    (
        "https://c.example.com/h?q=%21%24%27%28%29%2A%2C%3B%3F",
        "https://c.example.com/h?q=!$'()*,;?",
    ),
]


@pytest.mark.parametrize(("received", "decoded"), HUBSPOT_URLS)
def test_a35_it_accepts_the_url_as_received_and_with_the_documented_escapes_decoded(received, decoded):
    scheme = scheme_from({"scheme": "hubspot-v3", "secret": SECRET})
    for signed in (received, decoded):
        text = b"POST" + signed.encode() + BODY + b"1767225600000"
        value = base64.b64encode(mac(text)).decode()
        sent = request(
            ("X-HubSpot-Signature-v3", value), ("X-HubSpot-Request-Timestamp", "1767225600000"), url=received
        )
        assert isinstance(verify(scheme, sent, NOW), Verified)


def test_a36_to_a38_only_the_configured_url_counts():
    scheme = scheme_from({"scheme": "hubspot-v2", "secret": SECRET})
    value = hashlib.sha256(SECRET.encode() + b"POSThttps://c.example.com/h" + BODY).hexdigest()
    noise = [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http, https")]
    good = request(("X-HubSpot-Signature", value), *noise, url="https://c.example.com/h")
    assert isinstance(verify(scheme, good, NOW), Verified)
    for url in (
        "http://c.example.com/h",
        "https://evil.example/h",
        "https://c.example.com/h/",
        "https://c.example.com/H",
    ):
        assert cause(verify(scheme, request(("X-HubSpot-Signature", value), url=url), NOW)) is Cause.MISMATCH
    verdict = verify(scheme, request(("X-HubSpot-Signature", value), url=None), NOW)
    assert verdict == Refused(Cause.NO_PUBLIC_URL)
    assert Cause.NO_PUBLIC_URL.is_ours


def test_a39_the_headers_of_an_older_version_do_not_count():
    scheme = scheme_from({"scheme": "hubspot-v3", "secret": SECRET})
    value = hashlib.sha256(SECRET.encode() + BODY).hexdigest()
    sent = request(("X-HubSpot-Signature", value), ("X-HubSpot-Signature-Version", "v1"), url="https://c.example.com/h")
    assert cause(verify(scheme, sent, NOW)) is Cause.NO_SIGNATURE


def test_a40_another_method_is_another_message():
    scheme = scheme_from({"scheme": "hubspot-v2", "secret": SECRET})
    value = hashlib.sha256(SECRET.encode() + b"POSThttps://c.example.com/h" + BODY).hexdigest()
    sent = SignedRequest("PUT", "https://c.example.com/h", [("X-HubSpot-Signature", value)], "", BODY)
    assert cause(verify(scheme, sent, NOW)) is Cause.MISMATCH


# ---- itsdangerous -------------------------------------------------------------------------------------------


def stamped(**more: object) -> Any:
    return scheme_from({"scheme": "itsdangerous", "secret": SECRET, **more})


def test_a_home_made_crm_of_three_lines_is_accepted():
    signer = TimestampSigner(SECRET, salt="ringback.webhook", digest_method=hashlib.sha256)
    signature = signer.sign(BODY)[len(BODY) + 1 :].decode()
    sent = request(("X-Signature", signature))
    assert verify(stamped(), sent, datetime.now(UTC)) == Verified(key_index=0, signed_id=None)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(-300, None), (-301, Cause.TOO_OLD), (300, None), (301, Cause.TOO_NEW), (10**9, Cause.TOO_NEW)],
)
def test_itsdangerous_has_the_same_tolerance_both_ways(offset, expected):
    headers = sign(stamped(), request(), NOW + timedelta(seconds=offset))
    assert cause(verify(stamped(), request(*headers), NOW)) is expected


def test_itsdangerous_refuses_a_genuine_timestamp_beyond_all_calendars():
    class Far(TimestampSigner):
        def get_timestamp(self):
            return 10**18

    signer = Far(SECRET, salt="ringback.webhook", digest_method=hashlib.sha256)
    signature = signer.sign(BODY)[len(BODY) + 1 :].decode()
    assert isinstance(verify(stamped(), request(("X-Signature", signature)), NOW), Refused)


def test_itsdangerous_refuses_a_header_that_takes_a_part_of_the_body():
    whole = b"lead.created"
    [(_, value)] = sign(stamped(), request(body=whole), NOW)
    sent = request(("X-Signature", f"created.{value}"), body=b"lead")
    assert cause(verify(stamped(), sent, NOW)) is Cause.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value + "=",
        lambda value: value + "!",
        lambda value: value.replace(".", ".."),
        lambda value: value[:-1],
        lambda value: value.partition(".")[2],
        lambda value: "A" + value,
        lambda value: value + ",x.y",
    ],
)
def test_itsdangerous_refuses_every_other_form(change):
    [(_, value)] = sign(stamped(), request(), NOW)
    assert isinstance(verify(stamped(), request(("X-Signature", change(value))), NOW), Refused)


def test_itsdangerous_accepts_two_secrets_and_keeps_salts_apart():
    headers = sign(stamped(secret=OTHER), request(), NOW)
    assert verify(stamped(secret=f"{SECRET} {OTHER}"), request(*headers), NOW) == Verified(1, None)
    assert cause(verify(stamped(secret=OTHER, salt="elsewhere"), request(*headers), NOW)) is Cause.MISMATCH


# ---- static and jwt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [SECRET, f"Bearer  {SECRET}", f"bearer {SECRET}", f"Bearer {SECRET}x", "Bearer", f"Bearer {SECRET[:-1]}"]
)
def test_a_fixed_secret_in_a_header_must_be_exact(value):
    scheme = scheme_from({"scheme": "static", "header": "Authorization", "prefix": "Bearer ", "secret": SECRET})
    assert isinstance(verify(scheme, request(("Authorization", value)), NOW), Refused)
    assert isinstance(verify(scheme, request(("authorization", f"Bearer {SECRET}")), NOW), Verified)


@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic !!!!", "Basic dTpw=", "Basic  dTpw", "Digest dTpw", "dTpw"]
)
def test_basic_is_read_strictly(value):
    scheme = scheme_from({"scheme": "static", "basic": "true", "secret": "u:p"})
    assert isinstance(verify(scheme, request(("Authorization", value)), NOW), Refused)
    assert isinstance(verify(scheme, request(("Authorization", "basic dTpw")), NOW), Verified)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"token={SECRET}", None),
        (f"a=1&token={SECRET}&b", None),
        (f"tok%65n={SECRET.replace('-', '%2D')}", None),
        ("", Cause.NO_SIGNATURE),
        ("token=", Cause.NO_SIGNATURE),
        (f"Token={SECRET}", Cause.NO_SIGNATURE),
        (f"token=x&token={SECRET}", Cause.REPEATED_HEADER),
        (f"token={SECRET}%00", Cause.MISMATCH),
        ("token=%ff%zz", Cause.MISMATCH),
    ],
)
def test_a_secret_in_the_query_stands_there_once(query, expected):
    scheme = scheme_from({"scheme": "odoo", "secret": SECRET})
    assert cause(verify(scheme, request(query=query), NOW)) is expected


def test_the_query_of_a_sender_carries_the_secret():
    scheme = scheme_from({"scheme": "static", "query": "k y", "secret": "a+b&c=dé-and-some-more"})
    query = signed_query(scheme, "x=1")
    assert query == "x=1&k%20y=a%2Bb%26c%3Dd%C3%A9-and-some-more"
    assert isinstance(verify(scheme, request(query=query), NOW), Verified)
    assert sign(scheme, request(query=query), NOW) == []
    with pytest.raises(SchemeMistake, match="belongs in the address"):
        sign(scheme, request(), NOW)
    assert signed_query(plain(), "x=1") == "x=1"


SOAP = b"<Envelope><Body><notifications><OrganizationId>%s</OrganizationId></notifications></Body></Envelope>"
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"token":7}',
        b'{"token":["x"]}',
        b'{"token":""}',
        b"\xff",
        DEEP,
        b'{"token":"\\ud800"}',
    ],
)
def test_a_body_without_the_secret_is_refused_without_an_error(body):
    assert isinstance(verify(scheme_from({"scheme": "zoho", "secret": SECRET}), request(body=body), NOW), Refused)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<", b"<a/>", b"<Envelope/>", b"\xff\xfe", b"<a>" * 100_000,
        b'<!DOCTYPE a [<!ENTITY x "00D5g000004ABCDEA4">]>' + SOAP % b"&x;",
        SOAP % b"x</OrganizationId><OrganizationId>00D5g000004ABCDEA4",
        b"<Envelope><Body><notifications><OrganizationId>00D5g000004ABCDEA4</OrganizationId>",
        b"<x><OrganizationId>00D5g000004ABCDEA4</OrganizationId></x>",
    ],
)  # fmt: skip
def test_xml_without_the_secret_in_its_one_place_is_refused(body):
    scheme = scheme_from({"scheme": "salesforce-outbound", "secret": "00D5g000004ABCDEA4"})
    assert isinstance(verify(scheme, request(body=body), NOW), Refused)


def token(claims: object, head: object = None, secret: str = SECRET) -> str:
    def segment(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    head = {"alg": "HS256", "typ": "JWT"} if head is None else head
    signed = segment(json.dumps(head).encode()) + b"." + segment(json.dumps(claims).encode())
    return (signed + b"." + segment(mac(signed, secret))).decode()


@pytest.mark.parametrize(
    ("claims", "head", "expected"),
    [
        ({"iat": 1767225600, "exp": 1767225900}, None, None),
        ({"iat": 1767225600}, None, None),
        ({"exp": 1767225540}, None, None),
        ({"exp": 1767225539}, None, Cause.TOO_OLD),
        ({"iat": 1767225539}, None, Cause.TOO_OLD),
        ({"iat": 1767225661, "exp": 1767226000}, None, Cause.TOO_NEW),
        ({"nbf": 1767225661, "exp": 1767226000}, None, Cause.TOO_NEW),
        ({}, None, Cause.NO_TIMESTAMP),
        ({"exp": "1767225900"}, None, Cause.BAD_TIMESTAMP),
        ({"exp": True}, None, Cause.BAD_TIMESTAMP),
        ({"exp": float("nan")}, None, Cause.BAD_TIMESTAMP),
        ({"exp": float("inf")}, None, Cause.BAD_TIMESTAMP),
        ({"exp": 10**400}, None, Cause.BAD_TIMESTAMP),
        ([1], None, Cause.MALFORMED),
        ({"exp": 1767225900}, {"alg": "none"}, Cause.MALFORMED),
        ({"exp": 1767225900}, {"alg": "HS512"}, Cause.MALFORMED),
        ({"exp": 1767225900}, {"alg": "hs256"}, Cause.MALFORMED),
        ({"exp": 1767225900}, {"alg": ["HS256"]}, Cause.MALFORMED),
        ({"exp": 1767225900}, {"alg": "HS256", "crit": ["exp"]}, Cause.MALFORMED),
        ({"exp": 1767225900}, {}, Cause.MALFORMED),
    ],
)
def test_a_token_is_checked_strictly(claims, head, expected):
    scheme = scheme_from({"scheme": "jwt", "secret": SECRET})
    sent = request(("Authorization", f"Bearer {token(claims, head)}"))
    assert cause(verify(scheme, sent, NOW)) is expected


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + ".",
        lambda token: token + "=",
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "." + token,
        lambda token: "Basic " + token,
        lambda token: "..",
        lambda token: token.replace(".", ","),
        lambda token: token + " x",
    ],
)
def test_a_token_of_another_form_is_refused(change):
    scheme = scheme_from({"scheme": "jwt", "secret": SECRET})
    value = change(token({"exp": 1767225900}))
    assert cause(verify(scheme, request(("Authorization", value)), NOW)) is Cause.MALFORMED


def test_a_token_for_another_audience_is_refused():
    scheme = scheme_from({"scheme": "jwt", "secret": SECRET, "audience": "https://c.example.com"})
    for audience, expected in (
        ("https://c.example.com", None),
        (["x", "https://c.example.com"], None),
        ("x", Cause.MISMATCH),
    ):
        sent = request(("Authorization", token({"exp": 1767225900, "aud": audience})))
        assert cause(verify(scheme, sent, NOW)) is expected
    assert isinstance(verify(scheme, request(*sign(scheme, request(), NOW)), NOW), Verified)


# ---- public keys ---------------------------------------------------------------------------------------------


def key_pair(kind: str) -> tuple[str, str]:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.mark.parametrize("kind", ["ed25519", "rsa-sha256"])
def test_public_keys_verify_what_the_private_key_signed_and_nothing_else(kind):
    private, public = key_pair(kind)
    sender = scheme_from({"scheme": kind, "public_key": public, "private_key": private})
    receiver = scheme_from({"scheme": kind, "public_key": ["\\n".join(public.splitlines())]})
    headers = sign(sender, request(), NOW)
    assert verify(receiver, request(*headers), NOW) == Verified(key_index=0, signed_id=None)
    assert cause(verify(receiver, request(*headers, body=BODY + b" "), NOW)) is Cause.MISMATCH
    with pytest.raises(SchemeMistake, match="only the sender"):
        sign(receiver, request(), NOW)


def test_the_asymmetric_form_of_standard_webhooks_is_understood():
    private, public = key_pair("ed25519")
    raw = base64.b64encode(base64.b64decode("".join(public.splitlines()[1:-1]))[-32:]).decode()
    scheme = scheme_from({"scheme": "standard-webhooks-ed25519", "public_key": f"whpk_{raw}", "private_key": private})
    headers = sign(scheme, request(), NOW)
    assert dict(headers)["webhook-signature"].startswith("v1a,")
    verdict = verify(scheme, request(*headers), NOW)
    assert verdict == Verified(0, "msg_ringback_1767225600000000")


def test_the_published_key_is_used_where_the_preset_has_one():
    assert scheme_from({"scheme": "ghl"}).keys == 1
    assert cause(verify(scheme_from({"scheme": "ghl"}), request(("X-GHL-Signature", "N/A")), NOW)) is Cause.MALFORMED
