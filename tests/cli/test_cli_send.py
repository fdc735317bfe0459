"""`send` against the real server: for each kind of scheme what is signed is taken, and what is forged is not."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from integration.cli.firing import Result
from integration.cli.sending import hint_for, is_this_machine
from integration.ledger import Ledger, migrate, open_database
from integration.model import LeadId
from integration.rules import load_rules
from integration.web import WebServices, create_app
from integration.web.server import WebServer

PUBLIC_URL = "https://calls.example.com"

# source -> its `verify:`
SCHEMES = {
    "hmac": '{scheme: hmac, header: X-Signature, prefix: "sha256=", secret: "${KEY}"}',
    "standard": '{scheme: standard-webhooks, secret: "${WHSEC}"}',
    "stripe": '{scheme: stripe, secret: "${KEY}"}',
    "slack": '{scheme: slack, secret: "${KEY}"}',
    "zendesk": '{scheme: zendesk, secret: "${KEY}"}',
    "espocrm": '{scheme: espocrm, secret: "${KEY}"}',
    "hash": '{scheme: hubspot-v1, secret: "${KEY}"}',
    "url": '{scheme: hubspot-v3, secret: "${KEY}"}',
    "form": '{scheme: twilio, secret: "${KEY}"}',
    "ed25519": '{scheme: ed25519, header: X-Signature, public_key: "${ED_PUBLIC}", private_key: "${ED_PRIVATE}"}',
    "rsa": '{scheme: rsa-sha256, header: X-Signature, public_key: "${RSA_PUBLIC}", private_key: "${RSA_PRIVATE}"}',
    "static": '{scheme: static, header: X-Token, secret: "${KEY}"}',
    "basic": '{scheme: static, basic: true, secret: "${USER_KEY}"}',
    "query": '{scheme: static, query: token, secret: "${KEY}"}',
    "in-json": '{scheme: static, body: auth.token, secret: "${KEY}"}',
    "in-form": '{scheme: bitrix24, secret: "${KEY}"}',
    "in-xml": '{scheme: salesforce-outbound, secret: "${KEY}"}',
    "jwt": '{scheme: jwt, audience: ringback, secret: "${KEY}"}',
    "itsdangerous": '{scheme: itsdangerous, secret: "${KEY}"}',
}
_ENVELOPE = "Envelope.Body.notifications"


def _source(name: str, verify: str) -> str:
    at = f"{_ENVELOPE}.Notification.sObject" if name == "in-xml" else "data"
    only = f"{_ENVELOPE}.ActionId: lead" if name == "in-xml" else "type: lead.created"
    event_id = f"{_ENVELOPE}.Notification.Id" if name == "in-xml" else "meta.id"
    return f"""\
  {name}:
    verify: {verify}
    only: {{{only}}}
    event_id: {event_id}
    record: {at}
    id: Id
"""


RULES = """\
accounts: {main: {id: acc-1}, dach: {id: acc-2}}
phones: {may_call: [US, DE], read_as: US}
fields: {phone: [Mobile, Phone], country: Country, size: Company.Size}
rules:
  - name: Small ones are left alone
    when: {size: {at_most: 10}}
    skip: too small
  - name: Germans
    when: {country: DE, size: {at_least: 50}}
    call: dach
  - name: Everyone
    call: main
sources:
""" + "".join(_source(name, verify) for name, verify in SCHEMES.items())


def _pair(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> tuple[str, str]:
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return public.decode().strip(), secret.decode().strip()


_ED = _pair(ed25519.Ed25519PrivateKey.generate())
_RSA = _pair(rsa.generate_private_key(65537, 2048))
KEYS = {
    "KEY": "a-key-of-the-tests-alone",
    "USER_KEY": "crm:a-key-of-the-tests-alone",
    "WHSEC": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "ED_PUBLIC": _ED[0],
    "ED_PRIVATE": _ED[1],
    "RSA_PUBLIC": _RSA[0],
    "RSA_PRIVATE": _RSA[1],
}


@dataclass
class Server:
    ledger: Ledger
    port: int
    woken: list[LeadId] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(path: Path) -> Iterator[Server]:
    migrate(f"sqlite:///{path}")
    ledger = Ledger(open_database(f"sqlite:///{path}"))
    woken: list[LeadId] = []
    rules = load_rules(RULES, name="rules.yaml", environ=KEYS)
    services = WebServices(ledger, rules, lambda lead: woken.append(lead.id), PUBLIC_URL)
    web = WebServer(create_app(services), "127.0.0.1", 0, 4)
    thread = threading.Thread(target=web.run, name="server")
    thread.start()
    try:
        yield Server(ledger, web.port, woken)
    finally:
        web.stop()
        thread.join(5)
        assert not thread.is_alive()
        web.drain(1.0)
        ledger.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("send") / "ringback.db") as server:
        yield server


@pytest.fixture
def server(running):
    running.woken.clear()
    return running


@pytest.fixture
def desk(terminal, server):
    """The folder of a person who holds the rules and the keys, with the server of this machine as the usual one."""
    terminal.write("config/rules.yaml", RULES)
    terminal.env |= {**KEYS, "PUBLIC_URL": PUBLIC_URL}
    return terminal


# ---- every scheme -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SCHEMES)
def test_what_it_signs_is_taken(desk, server, source):
    result = desk("send", source, "--url", server.url)
    assert result.exit_code == 0, result.output
    assert "event 1        200  accepted" in result.stdout
    assert len(server.woken) == 1


@pytest.mark.parametrize("source", SCHEMES)
def test_what_it_forges_is_refused(desk, server, source):
    result = desk("send", source, "--forged", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert "event 1        401" in result.stdout
    assert server.woken == []


@pytest.mark.parametrize("source", ["hmac", "in-form", "in-xml"])
def test_the_second_of_each_pair_is_known_again(desk, server, source):
    result = desk("send", source, "--count", "3", "--duplicate", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert "6 requests: 3 accepted, 3 duplicate; all as they should be" in result.stdout
    assert len(server.woken) == 3


def test_each_of_many_is_an_event_and_a_lead_with_a_number_of_its_own(desk, server):
    result = desk("send", "hmac", "--count", "40", "--at-once", "4", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert "event 1 " not in result.stdout  # so many have no line each
    stories = [server.ledger.reading.story(lead) for lead in server.woken]
    leads = [json.loads(story.body) for story in stories if story is not None]
    assert len({lead["meta"]["id"] for lead in leads}) == 40
    assert len({lead["data"]["Id"] for lead in leads}) == 40
    assert len({lead["data"]["Mobile"] for lead in leads}) == 40
    assert leads[0]["data"]["Country"] == "DE"
    assert leads[0]["data"]["Company"] == {"Size": 50}


def test_events_keep_the_pace_they_were_given(desk, server, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("integration.cli.firing.time.sleep", slept.append)
    result = desk("send", "hmac", "--count", "3", "--rate", "0.5", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert slept[0] == 0.0
    assert 1.5 < slept[1] <= 2.0
    assert 3.0 < slept[2] <= 4.0


# ---- files --------------------------------------------------------------------------------------


MESSAGE = {"type": "lead.created", "meta": {"id": "file-1"}, "data": {"Id": "7", "Phone": "+15551239876"}}


def test_one_event_of_a_file_goes_out_byte_for_byte(desk, server):
    text = '{ "type":"lead.created",\n "meta":{"id":"bytes-1"}, "data":{"Id":7,"Phone":"+15551239876"} }\n'
    desk.write("m.json", text)
    assert desk("send", "hmac", "m.json", "--url", server.url).exit_code == 0
    story = server.ledger.reading.story(server.woken[0])
    assert story is not None
    assert story.body == text.encode()
    again = desk("send", "hmac", "m.json", "--url", server.url)
    assert (again.exit_code, "duplicate" in again.stdout) == (0, True)


def test_several_events_of_a_file_differ_and_ring_only_numbers_set_aside(desk, server):
    desk.write("m.json", json.dumps(MESSAGE))
    result = desk("send", "hmac", "m.json", "--count", "3", "--url", server.url)
    assert result.exit_code == 0, result.output
    stories = [server.ledger.reading.story(lead) for lead in server.woken]
    bodies = [json.loads(story.body) for story in stories if story is not None]
    assert len({body["meta"]["id"] for body in bodies}) == 3
    # The first path of `phone` decides, so the number goes there.
    assert all(body["data"]["Mobile"].startswith("+1555") for body in bodies)
    assert len({body["data"]["Mobile"] for body in bodies}) == 3


def test_a_message_on_standard_input_gets_the_secret_that_belongs_in_it(desk, server):
    result = desk("send", "in-json", "-", "--url", server.url, stdin=json.dumps(MESSAGE))
    assert result.exit_code == 0, result.output


def test_a_form_is_sent_as_a_form(desk, server):
    body = "type=lead.created&meta[id]=form-1&data[Id]=5&data[Phone]=%2B15551234567"
    result = desk("send", "form", "-", "--url", server.url, stdin=body)
    assert result.exit_code == 0, result.output
    story = server.ledger.reading.story(server.woken[0])
    assert story is not None
    assert story.content_type == "application/x-www-form-urlencoded"


def test_the_line_end_that_an_editor_adds_to_a_form_is_left_out(desk, server):
    """In JSON and XML it is white space; in a form it would belong to the last value, here the secret."""
    body = (
        "type=lead.created&meta[id]=form-2&data[Id]=5&data[Phone]=%2B15551234567&auth[application_token]=" + KEYS["KEY"]
    )
    result = desk("send", "in-form", "-", "--url", server.url, stdin=body + "\r\n")
    assert result.exit_code == 0, result.output
    story = server.ledger.reading.story(server.woken[0])
    assert story is not None
    assert story.body == body.encode()


def test_a_lead_that_was_parked_is_looked_up_by_its_number():
    said = hint_for(Result(3, False, 200, "parked", 12, 1.0), 200)
    assert "`ringback show 12` says why, such as `burst_held`" in said


def test_a_file_that_cannot_be_read_is_sent_once_and_never_multiplied(desk, server):
    one = desk("send", "hmac", "-", "--url", server.url, stdin="{")
    assert (one.exit_code, "parked" in one.stdout) == (0, True)
    many = desk("send", "hmac", "-", "--count", "2", "--url", server.url, stdin="{")
    assert many.exit_code == 2
    assert "no copies can be made of it" in many.stderr


# ---- where it ends badly ------------------------------------------------------------------------


def test_another_secret_than_the_servers_ends_with_1_and_says_so(desk, server):
    result = desk("send", "hmac", "--url", server.url, KEY="quite-another-key-than-before")
    assert result.exit_code == 1
    assert "(!)" in result.stdout
    assert "another secret" in result.stderr
    assert "quite-another" not in result.output


def test_no_server_there_ends_with_1_and_says_so(desk):
    result = desk("send", "hmac", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "nothing was sent" in result.stdout
    assert "Does `ringback serve` run there?" in result.stderr


@pytest.mark.parametrize(
    ("args", "piece"),
    [
        (["nobody"], "the rules have no source 'nobody'; there are: hmac"),
        (["hmac", "--url", "ftp://x"], "--url: must be the server's address"),
        (["hmac", "--url", "http://user:pw@127.0.0.1"], "--url: must be the server's address"),
        (["hmac", "--url", "http://[::1"], "--url: must be the server's address"),
        (["hmac", "--url", "http://127.0.0.1/?a=b"], "--url: must be the server's address"),
    ],
)
def test_what_cannot_begin_ends_with_2(desk, args, piece):
    result = desk("send", *args)
    assert result.exit_code == 2
    assert piece in result.stderr


def test_a_key_that_is_not_held_ends_with_2(desk, server):
    result = desk("send", "hmac", "--url", server.url, KEY="")
    assert result.exit_code == 2
    assert "the key of source hmac is not held here" in result.stderr


def test_a_public_key_alone_signs_nothing_but_can_be_forged_for(desk, server):
    verify = SCHEMES["ed25519"].replace(', private_key: "${ED_PRIVATE}"', "")
    desk.write("config/rules.yaml", RULES.replace(SCHEMES["ed25519"], verify))
    result = desk("send", "ed25519", "--url", server.url)
    assert result.exit_code == 2
    assert "only the sender can sign with this scheme" in result.stderr
    assert desk("send", "ed25519", "--forged", "--url", server.url).exit_code == 0


def test_it_asks_before_it_sends_to_another_machine(desk, server):
    result = desk("send", "hmac", "--url", "https://leads.example.com", stdin="n\n")
    assert result.exit_code == 1
    assert "https://leads.example.com is not this machine" in result.stdout
    assert desk("send", "hmac", stdin="n\n").exit_code == 1  # PUBLIC_URL is another machine too
    assert server.woken == []


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://localhost:1", True),
        ("http://[::1]:8000", True),
        ("http://0.0.0.0:8000", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_only_loopback_is_this_machine(address, is_here):
    assert is_this_machine(address) is is_here


def test_neither_a_secret_nor_a_whole_number_is_printed(desk, server):
    told = "".join(desk("send", source, "--url", server.url).output for source in ("hmac", "query", "in-json"))
    assert KEYS["KEY"] not in told
    assert "+4930" not in told
