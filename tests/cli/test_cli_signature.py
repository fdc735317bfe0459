"""`doctor signature`: from a captured request to the one sentence that helps, and never a secret."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from integration.cli.signing import read_capture
from integration.crms import scheme_from
from integration.signatures import SignedRequest, sign

KEY = "a-key-of-the-tests-alone"
BODY = b'{"type": "lead.created",\r\n "data": {"Id": "1"}}'
RULES = """\
accounts: {main: {id: acc-1}}
phones: {may_call: [US]}
fields: {phone: Phone}
rules: [{name: Everyone, call: main}]
sources:
  our-crm:
    verify: {scheme: hmac, header: X-Signature, prefix: "sha256=", secret: "${KEY}"}
  timed:
    verify: {scheme: stripe, secret: "${KEY}"}
  url:
    verify: {scheme: hubspot-v3, secret: "${KEY}"}
"""


def mac(body: bytes = BODY, key: str = KEY) -> str:
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def raw(body: bytes = BODY, *headers: str, end: str = "\r\n", target: str = "/hooks/our-crm") -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: calls.example.com", *headers, "", ""]
    return end.join(lines).encode("latin-1") + body


@pytest.fixture
def desk(terminal):
    terminal.write("config/rules.yaml", RULES)
    terminal.env |= {"KEY": KEY}
    return terminal


def judged(desk, content: bytes, *args: str, source: str = "our-crm", **env: str):
    (desk.folder / "captured.txt").write_bytes(content)
    result = desk("doctor", "signature", source, "captured.txt", *args, **env)
    assert KEY not in result.output
    assert mac()[7:] not in result.output
    return result


def test_a_right_signature_ends_with_0(desk):
    result = judged(desk, raw(BODY, f"X-Signature: {mac()}"))
    assert (result.exit_code, result.stdout) == (0, "The signature is right.\n")


LENGTH = f"Content-Length: {len(BODY)}"
CASES = {
    "secret with a line end": (raw(BODY, f"X-Signature: {mac(key=KEY + chr(10))}"), "blank or line end at its edge"),
    "another secret": (raw(BODY, f"X-Signature: {mac(key='quite-another-key')}"), "No usual mistake explains it"),
    "no signature": (raw(BODY), "carries no signature"),
    "other header": (raw(BODY, f"X-Crm-Signature: {mac()}"), "stands in the header X-Crm-Signature"),
    "no prefix": (raw(BODY, f"X-Signature: {mac()[7:]}"), "has no prefix"),
    "written again": (
        raw(b'{"a":1}', f"X-Signature: {mac(json.dumps({'a': 1}).encode())}"),
        "the JSON was parsed and written again",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_names_the_mistake_and_ends_with_1(desk, name):
    content, piece = CASES[name]
    result = judged(desk, content)
    assert result.exit_code == 1
    assert piece in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "content",
    [
        raw(BODY + b"\n", f"X-Signature: {mac()}", LENGTH),
        raw(BODY, f"X-Signature: {mac()}", LENGTH, end="\n"),
        raw(b"5\r\n" + BODY[:5] + b"\r\nFF;x=y\r\n".replace(b"FF", f"{len(BODY) - 5:x}".encode()) + BODY[5:]
            + b"\r\n0\r\n\r\n", f"X-Signature: {mac()}", "Transfer-Encoding: chunked"),
    ],
    ids=["an editor's line end", "lines that end in LF", "chunks"],
)  # fmt: skip
def test_what_the_capture_itself_changed_is_undone(desk, content):
    assert judged(desk, content).exit_code == 0


def test_a_capture_that_is_not_what_was_sent_is_said_first(desk):
    result = judged(desk, raw(BODY.replace(b"\r\n", b"\n"), f"X-Signature: {mac()}", LENGTH))
    assert result.exit_code == 1
    assert "The file holds 46 bytes of body, and Content-Length says 47" in result.stdout
    assert "Proved: The body was changed on its way: its line ends were CRLF." in result.stdout


def test_a_retired_secret_is_found_by_the_name_of_its_variable(desk):
    content = raw(BODY, f"X-Signature: {mac(key='the-retired-secret')}")
    result = judged(desk, content, "--retired-secret-env", "OLD", OLD="another-one the-retired-secret")
    assert "retired secret: the CRM still uses the old one" in " ".join(result.stdout.split())
    assert "the-retired-secret" not in result.output
    missing = judged(desk, content, "--retired-secret-env", "NOT_SET")
    assert missing.exit_code == 2
    assert "the variable NOT_SET is not set" in missing.stderr


def test_an_old_capture_is_judged_by_the_time_it_came(desk):
    at = datetime.now(UTC) - timedelta(hours=3)
    ((name, value),) = sign(
        scheme_from({"scheme": "stripe", "secret": KEY}), SignedRequest("POST", None, [], "", BODY), at
    )
    content = raw(BODY, f"{name}: {value}")
    late = judged(desk, content, source="timed")
    assert late.exit_code == 1
    assert "If this is an older capture, say with --received when it came." in " ".join(late.stdout.split())
    assert judged(desk, content, "--received", "3h", source="timed").exit_code == 0


def test_a_wrong_public_address_is_named(desk):
    url = "https://calls.example.com/hooks/url?a=1"
    added = sign(
        scheme_from({"scheme": "hubspot-v3", "secret": KEY}),
        SignedRequest("POST", url, [], "a=1", BODY),
        datetime.now(UTC),
    )
    content = raw(BODY, *(f"{name}: {value}" for name, value in added), target="/hooks/url?a=1")
    assert judged(desk, content, source="url", PUBLIC_URL="https://calls.example.com").exit_code == 0
    assert judged(desk, content, "--url", url, source="url").exit_code == 0
    ours = judged(desk, content, "--url", url, source="url", PUBLIC_URL="http://127.0.0.1:8000")
    assert ours.exit_code == 1
    said = " ".join(ours.stdout.split())
    assert f"Proved: The signature fits {url.partition('?')[0]}, and PUBLIC_URL makes it http://127.0.0.1:8000/" in said
    wrong = judged(desk, content, source="url", PUBLIC_URL="http://calls.example.com")
    assert "one with https: correct PUBLIC_URL" in " ".join(wrong.stdout.split())
    none = judged(desk, content, source="url")
    assert "PUBLIC_URL is not set" in none.stdout


def test_a_body_alone_takes_its_headers_from_the_command_line(desk):
    assert judged(desk, BODY, "--header", f"x-signature: {mac()}").exit_code == 0
    assert judged(desk, BODY).exit_code == 2
    assert judged(desk, BODY, "--header", "no colon").exit_code == 2


def test_for_scripts_it_speaks_json(desk):
    result = judged(desk, raw(BODY, f"X-Signature: {mac(key=KEY + ' ')}"), "--json")
    told = json.loads(result.stdout)
    assert (told["suspect"], told["proved"], told["capture"]) == ("secret_blanks", True, [])


def test_what_cannot_begin_ends_with_2(desk):
    assert judged(desk, raw(), source="nobody").exit_code == 2
    assert "the key of source our-crm is not held here" in judged(desk, raw(), KEY="").stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff",
        b"POST /hooks/our-crm HTTP/1.1\r\n",
        b"POST /hooks/our-crm HTTP/1.1\n\n",
        b"POST http://x/hooks/our-crm?q HTTP/1.1\r\nX-Signature\r\n: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\nshort",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
)
def test_no_file_makes_it_stumble(desk, content):
    assert judged(desk, content).exit_code in (1, 2)


def test_an_address_as_proxies_write_it_is_read_as_its_path():
    captured = read_capture(b"POST https://calls.example.com/hooks/a?b=c HTTP/1.1\r\n\r\n")
    assert captured is not None
    assert captured.target == "/hooks/a?b=c"
