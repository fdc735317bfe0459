"""Rows S: where a request may go when a stranger's message chose the host. Each test is named by its row."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from integration.http import Answer, Client, NotSent
from integration.model import LeadState
from integration.rules import BadWriteback, RenderedRequest, WritebackFacts, load_rules, render_writeback
from integration.sandbox.contact_centre import ContactCentre

LISTED = frozenset({"hooks.example.com"})
PUBLIC = "93.184.215.14"

NOT_PUBLIC = [
    *(("S1", each) for each in ["127.0.0.1", "127.8.9.1", "0.0.0.0", "::", "::1"]),
    *(("S2", each) for each in ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"]),
    *(("S3", each) for each in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1"]),
    *(("S3", each) for each in ["fe80::1", "fec0::1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1"]),
    *(("S3", each) for each in ["192.0.2.1", "198.18.0.1", "203.0.113.9", "2001:db8::1", "100::1", "192.88.99.1"]),
    *(("S4", each) for each in ["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1"]),
    *(("S5", each) for each in ["64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "2001::1", "64:ff9b:1::1"]),
]
# Some of these are literal addresses for the system's resolver, the others names: each leads to 127.0.0.1.
DISGUISED = ["0x7f000001", "2130706433", "0177.0.0.1", "127.1", "\u2460\u2461\u2466.0.0.1", "localhost", "LocalHost."]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where a connection was tried; none ever stands."""
    seen: list[str] = []

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


Names = Callable[..., list[str]]


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Gives the one name `hooks.example.com` its addresses: one list for each lookup. Returns the names looked up."""
    real = socket.getaddrinfo

    def give(*answers: list[str]) -> list[str]:
        looked: list[str] = []

        def getaddrinfo(host: str, port: int, *args: object, flags: int = 0, **rest: object) -> object:
            if flags & socket.AI_NUMERICHOST or host != "hooks.example.com":
                return real(host, port, *args, flags=flags, **rest)  # type: ignore[arg-type]
            addresses = answers[min(len(looked), len(answers) - 1)]
            looked.append(host)
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 2 if "%" in each else 0))
                if ":" in each
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
                for each in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return looked

    return give


def kind_of(client: Client, host: str, named: frozenset[str] | None = LISTED) -> str:
    with pytest.raises(NotSent) as caught:
        client.request("POST", f"https://{host}/x", headers={}, body=b"{}", deadline_seconds=5, named=named)
    return str(caught.value.kind)


def written(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize(("row", "address"), NOT_PUBLIC)
def test_s1_to_s5_an_address_that_is_not_public_is_not_connected_to(
    client: Client, connected: list[str], row: str, address: str
) -> None:
    assert (kind_of(client, written(address)), connected) == ("not_public", [])


@pytest.mark.parametrize(("row", "address"), [*NOT_PUBLIC, ("S3", "fe80::1%lo"), ("S20", "2600::1%lo")])
def test_s1_to_s5_a_name_that_leads_to_such_an_address_is_not_connected_to(
    client: Client, connected: list[str], lookups: Names, row: str, address: str
) -> None:
    lookups([address])
    assert (kind_of(client, "hooks.example.com"), connected) == ("not_public", [])


@pytest.mark.parametrize("host", DISGUISED)
def test_s6_a_loopback_address_in_disguise_is_known_by_what_it_resolves_to(
    client: Client, connected: list[str], host: str
) -> None:
    assert kind_of(client, host) in {"not_public", "bad_address", "bad_request", "dns"}
    assert connected == []


@pytest.mark.parametrize("others", [["10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["::1"]])
def test_s7_one_address_of_several_that_is_not_public_is_enough(
    client: Client, connected: list[str], lookups: Names, others: list[str]
) -> None:
    lookups([PUBLIC, *others])
    assert (kind_of(client, "hooks.example.com"), connected) == ("not_public", [])


def test_s8_the_address_that_was_checked_is_the_one_that_is_connected_to(
    client: Client, connected: list[str], lookups: Names
) -> None:
    looked = lookups([PUBLIC], ["127.0.0.1"])
    assert kind_of(client, "hooks.example.com") == "refused"
    assert (looked, connected) == (["hooks.example.com"], [PUBLIC])
    assert kind_of(client, "hooks.example.com") == "not_public"
    assert connected == [PUBLIC]


def test_s8_a_connection_that_was_made_unchecked_serves_no_request_that_is_checked(client: Client) -> None:
    def ask(named: frozenset[str] | None) -> Answer:
        return client.request("GET", f"{centre.url}/x", headers={}, deadline_seconds=5, named=named)

    with ContactCentre() as centre:
        ask(None)
        for _ in range(2):
            with pytest.raises(NotSent, match="not public"):
                ask(LISTED)
        ask(frozenset({"127.0.0.1"}))
        ask(None)
        assert [seen.connection for seen in centre.requests()] == [1, 2, 1]
        client.close()


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"])
def test_s1_to_s8_a_public_address_is_connected_to(
    client: Client, connected: list[str], lookups: Names, address: str
) -> None:
    lookups([address])
    assert (kind_of(client, "hooks.example.com"), connected) == ("refused", [address])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1"])
def test_s1_to_s8_an_address_that_the_admin_lists_is_connected_to_also_by_a_name(
    client: Client, connected: list[str], lookups: Names, address: str
) -> None:
    lookups([address])
    assert kind_of(client, "hooks.example.com", LISTED | {address}) == "refused"
    assert kind_of(client, written(address), LISTED | {address}) == "refused"
    assert connected == [address, address]


def test_s1_to_s8_a_host_that_the_admin_wrote_is_connected_to_wherever_it_leads(
    client: Client, connected: list[str], lookups: Names
) -> None:
    lookups(["10.0.0.1"])
    assert (kind_of(client, "hooks.example.com", None), connected) == ("refused", ["10.0.0.1"])


def made(request_line: str, **event: str) -> RenderedRequest | BadWriteback:
    """The request for a lead whose event holds these."""
    rules = load_rules(
        "accounts: {main: {id: acc-1}}\nphones: {may_call: [US]}\nfields: {phone: Phone}\n"
        "rules: [{name: Everyone, call: main}]\n"
        "sources:\n  crm:\n    verify: {scheme: hmac, secret: only-this-test-and-the-sender-know-it}\n    write_back:\n"
        f'      request: "{request_line}"\n      allow_hosts: [hooks.example.com, "127.0.0.1:8443", "[::1]:8443"]\n',
        name="rules.yaml",
        environ={},
    )
    plan = rules.sources["crm"].write_back
    assert plan is not None
    return render_writeback(plan, WritebackFacts("1", LeadState.CALLED, "", "call-1", None, None, {}, event))


@pytest.mark.parametrize(
    ("request_line", "listed"),
    [
        ("POST https://crm.example.com/x", None),
        ("POST {{ event.url }}", {"hooks.example.com", "127.0.0.1", "::1"}),
        ("POST https://{{ event.host }}/x", {"hooks.example.com", "127.0.0.1", "::1"}),
    ],
)
def test_s1_to_s8_the_rules_say_which_hosts_data_chose(request_line: str, listed: set[str] | None) -> None:
    request = made(request_line, url="https://hooks.example.com/x", host="hooks.example.com")
    assert isinstance(request, RenderedRequest)
    assert request.listed_hosts == listed


@pytest.mark.parametrize("url", ["https://calls.example.com/hooks/crm", "https://127.0.0.1:8000/hooks/crm"])
def test_s17_our_own_address_is_a_host_like_any_other_that_is_not_listed(url: str) -> None:
    assert isinstance(made("POST {{ event.url }}", url=url), BadWriteback)


@pytest.mark.parametrize(
    "host",
    [
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "::1",
        "[::1",
        "::1]",
        "[::1%lo]:8443",
        "[::ffff:127.0.0.1]",
    ],
)
def test_s20_an_address_with_a_zone_or_without_its_brackets_is_refused(host: str) -> None:
    assert isinstance(made("POST {{ event.url }}", url=f"https://{host}/x"), BadWriteback)
