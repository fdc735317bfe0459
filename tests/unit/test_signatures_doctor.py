"""The signature doctor: for each usual mistake the one sentence that names it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from itsdangerous import TimestampSigner

from integration.crms import scheme_from
from integration.signatures import SignedRequest, Suspect, diagnose, likely_cause, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-secret-of-the-tests"
BODY = b'{"name":"Zo\xc3\xab","n":1}'
HEX_SECRET = "00112233445566778899aabbccddeeff"


def mac(message: bytes = BODY, key: bytes = SECRET.encode(), name: str = "sha256") -> bytes:
    return hmac.new(key, message, name).digest()


def case(
    headers: list[tuple[str, str]], body: bytes = BODY, url: str | None = None, **more: object
) -> tuple[Any, SignedRequest]:
    scheme = scheme_from({"scheme": "hmac", "secret": SECRET, **more})
    return scheme, SignedRequest("POST", url, headers, "", body)


def signed(message: bytes = BODY, key: bytes = SECRET.encode(), name: str = "sha256") -> list[tuple[str, str]]:
    return [("X-Signature", mac(message, key, name).hex())]


V3 = {"scheme": "hubspot-v3"}


def hubspot(url: str) -> list[tuple[str, str]]:
    text = b"POST" + url.encode() + BODY + b"1767225600000"
    value = base64.b64encode(mac(text)).decode()
    return [("X-HubSpot-Signature-v3", value), ("X-HubSpot-Request-Timestamp", "1767225600000")]


CASES = {
    "fits": (case(signed()), Suspect.NOTHING, True),
    "secret with line end": (case(signed(key=SECRET.encode() + b"\n")), Suspect.SECRET_BLANKS, True),
    "secret with space": (case(signed(key=SECRET.encode() + b" ")), Suspect.SECRET_BLANKS, True),
    "our secret with line end": (case(signed(), secret=[SECRET + "\n"]), Suspect.SECRET_BLANKS, True),
    "retired": (case(signed(key=b"the-retired-secret")), Suspect.RETIRED_SECRET, True),
    "key is hex": (case(signed(key=bytes.fromhex(HEX_SECRET)), secret=HEX_SECRET), Suspect.KEY_FORMAT, True),
    "key is text": (case(signed(key=HEX_SECRET.encode()), secret=HEX_SECRET, key="hex"), Suspect.KEY_FORMAT, True),
    "key is base64": (
        case(signed(key=b"x" * 24), secret=base64.b64encode(b"x" * 24).decode()),
        Suspect.KEY_FORMAT,
        True,
    ),
    "base64 for hex": (case([("X-Signature", base64.b64encode(mac()).decode())]), Suspect.ENCODING, True),
    "hex for base64": (case(signed(), encoding="base64"), Suspect.ENCODING, True),
    "prefix missing": (case(signed(), prefix="sha256="), Suspect.PREFIX, True),
    "prefix surplus": (case([("X-Signature", "sha256=" + mac().hex())]), Suspect.PREFIX, True),
    "other hash": (case(signed(name="sha512")), Suspect.HASH, True),
    "outdated hash": (case(signed(name="sha1")), Suspect.HASH, True),
    "other header": (case([("X-Crm-Signature", mac().hex())]), Suspect.WRONG_HEADER, True),
    "other header, other secret": (case([("X-Crm-Signature", "00" * 32)]), Suspect.WRONG_HEADER, False),
    "no header": (case([("Host", "x")]), Suspect.NO_SIGNATURE, False),
    "line end cut off": (case(signed(BODY + b"\n")), Suspect.BODY_ALTERED, True),
    "line end added": (case(signed(), body=BODY + b"\n"), Suspect.BODY_ALTERED, True),
    "crlf": (case(signed(b'{"a":\n1}'), body=b'{"a":\r\n1}'), Suspect.BODY_ALTERED, True),
    "written again": (case(signed(b'{"name": "Zo\\u00eb", "n": 1}')), Suspect.BODY_ALTERED, True),
    "keys sorted": (case(signed(b'{"n":1,"name":"Zo\xc3\xab"}')), Suspect.BODY_ALTERED, True),
    "byte order mark": (case(signed(), body=b"\xef\xbb\xbf" + BODY), Suspect.BODY_ALTERED, True),
    "http for https": (
        case(hubspot("http://c.example.com/h"), url="https://c.example.com/h", **V3),
        Suspect.PUBLIC_URL,
        True,
    ),
    "slash": (case(hubspot("https://c.example.com/h/"), url="https://c.example.com/h", **V3), Suspect.PUBLIC_URL, True),
    "port": (
        case(hubspot("https://c.example.com/h"), url="https://c.example.com:8080/h", **V3),
        Suspect.PUBLIC_URL,
        True,
    ),
    "host": (
        case([*hubspot("https://c.example.com/h"), ("Host", "c.example.com")], url="https://d.example.com/h", **V3),
        Suspect.PUBLIC_URL,
        True,
    ),
    "no public url": (case(hubspot("https://c.example.com/h"), **V3), Suspect.SETTINGS, True),
    "body alone": (
        case([("X-Signature", "t=1767225600,v1=" + mac().hex())], form="pairs", parts=["timestamp", ".", "body"]),
        Suspect.PARTS,
        True,
    ),
    "colon for dot": (
        case(
            [("X-Signature", "t=1767225600,v1=" + mac(b"1767225600:" + BODY).hex())],
            form="pairs",
            parts=["timestamp", ".", "body"],
        ),
        Suspect.PARTS,
        True,
    ),
    "quite another secret": (case(signed(key=b"quite-another-secret")), Suspect.UNKNOWN, False),
    "nonsense": (case([("X-Signature", "nonsense")]), Suspect.FORM, False),
    "static in another header": (
        case([("X-Other", SECRET)], scheme="static", header="X-Token"),
        Suspect.WRONG_HEADER,
        True,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_names_the_mistake(name):
    (scheme, request), suspect, is_proved = CASES[name]
    found = diagnose(scheme, request, NOW, retired=["the-retired-secret"])
    assert (found.suspect, found.is_proved) == (suspect, is_proved), found.message
    for hidden in (SECRET, mac().hex(), "the-retired-secret", "Zo", HEX_SECRET):
        assert hidden not in found.message


@pytest.mark.parametrize(("offset", "piece"), [(-400, "400 s old"), (400, "400 s ahead of this machine's clock")])
def test_it_says_how_far_the_clocks_are_apart(offset, piece):
    scheme = scheme_from({"scheme": "stripe", "secret": SECRET})
    added = sign(scheme, SignedRequest("POST", None, [], "", BODY), NOW + timedelta(seconds=offset))
    found = diagnose(scheme, SignedRequest("POST", None, added, "", BODY), NOW)
    assert found.suspect is Suspect.CLOCK
    assert piece in found.message


@pytest.mark.parametrize(
    ("signer", "suspect"),
    [
        (TimestampSigner(SECRET, salt="ringback.webhook"), Suspect.HASH),
        (TimestampSigner(SECRET, digest_method=hashlib.sha256), Suspect.SALT),
        (TimestampSigner(SECRET), Suspect.SALT),
        (TimestampSigner(SECRET + "\n", salt="ringback.webhook", digest_method=hashlib.sha256), Suspect.SECRET_BLANKS),
    ],
)
def test_it_knows_the_mistakes_of_a_home_made_crm(signer, suspect):
    value = signer.sign(BODY)[len(BODY) + 1 :].decode()
    scheme = scheme_from({"scheme": "itsdangerous", "secret": SECRET})
    found = diagnose(scheme, SignedRequest("POST", None, [("X-Signature", value)], "", BODY), NOW)
    assert (found.suspect, found.is_proved) == (suspect, True)


def test_a_name_of_a_header_is_shown_harmlessly():
    name = "x-signature-\x1b[31m\u202e" + "y" * 200
    scheme = scheme_from({"scheme": "hmac", "header": "Wanted", "secret": SECRET})
    found = diagnose(scheme, SignedRequest("POST", None, [(name, "v")], "", BODY), NOW)
    assert "\x1b" not in found.message
    assert "\u202e" not in found.message
    assert len(found.message) < 300


def test_a_retired_secret_is_read_as_the_scheme_reads_it():
    scheme, request = case(signed(key=bytes.fromhex(HEX_SECRET)), secret="ff" * 16, key="hex")
    assert diagnose(scheme, request, NOW, retired=[HEX_SECRET]).suspect is Suspect.RETIRED_SECRET


CALLED, CHECKED = "https://x.example/hooks/h3", "http://127.0.0.1:8000/hooks/h3"


def test_another_address_is_not_told_as_another_secret_alone():
    scheme, request = case(hubspot(CALLED), url=CHECKED + "?token=hidden", **V3)
    for found in (diagnose(scheme, request, NOW), likely_cause(scheme, request, NOW)):
        assert (found.suspect, found.is_proved) == (Suspect.UNKNOWN, False)
        assert f"another address than PUBLIC_URL: {CHECKED} was checked" in found.message
        assert "hidden" not in found.message


def test_the_address_is_no_cause_where_it_is_not_signed():
    scheme, request = case(signed(key=b"quite-another-secret"), url=CHECKED)
    assert "PUBLIC_URL" not in diagnose(scheme, request, NOW).message


@pytest.mark.parametrize(
    "header",
    [
        ("X-Original-Host", "x.example"),
        ("X-Forwarded-Server", "x.example"),
        ("Forwarded", "for=192.0.2.1;host=x.example;proto=https"),
        ("X-Original-URL", CALLED),
        ("Referer", "https://x.example/"),
    ],
)
def test_the_address_that_fits_is_named_when_any_header_shows_it(header):
    scheme, request = case([*hubspot(CALLED), ("Host", "127.0.0.1:8000"), header], url=CHECKED, **V3)
    found = diagnose(scheme, request, NOW)
    assert (found.suspect, found.is_proved) == (Suspect.PUBLIC_URL, True)
    assert f"{CALLED} fits" in found.message
    logged = likely_cause(scheme, request, NOW)
    assert logged.suspect is Suspect.PUBLIC_URL
    assert f"{CHECKED} was checked" in logged.message
    assert "x.example" not in logged.message


def test_a_scheme_without_a_secret_has_none_to_copy():
    scheme = scheme_from({"scheme": "ghl"})
    value = base64.b64encode(b"x" * 64).decode()
    wrong = diagnose(scheme, SignedRequest("POST", None, [("X-GHL-Signature", value)], "", BODY), NOW)
    assert wrong.suspect is Suspect.UNKNOWN
    assert "the sender's key is another one" in wrong.message
    assert "not from that sender" in wrong.message
    missing = diagnose(scheme, SignedRequest("POST", None, [], "", BODY), NOW)
    assert "secret" not in wrong.message + missing.message


# ---- for the log of a running server ----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][1] is not Suspect.RETIRED_SECRET])
def test_the_log_gets_the_same_suspect(name):
    (scheme, request), suspect, is_proved = CASES[name]
    found = likely_cause(scheme, request, NOW)
    assert (found.suspect, found.is_proved) == (suspect, is_proved)


def test_no_word_of_the_sender_reaches_the_log():
    for value in (mac().hex(), "00" * 32, "x"):
        scheme, request = case([("X-Signature-level=info event=call.placed", value), ("Authorization-of-me", value)])
        found = likely_cause(scheme, request, NOW)
        assert found.suspect is Suspect.WRONG_HEADER
        assert "event=" not in found.message
        assert "of-me" not in found.message
        assert "ringback doctor signature" in found.message


def test_a_request_that_would_cost_much_is_not_looked_into():
    for scheme, request in (
        case(signed(b"other"), body=b"x" * 32_769),
        case([*signed(b"other"), *(("A", "b"),) * 50]),
    ):
        found = likely_cause(scheme, request, NOW)
        assert (found.suspect, found.is_proved) == (Suspect.UNKNOWN, False)
        assert "too large" in found.message
