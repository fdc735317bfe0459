"""TLS: what is not trusted gets no byte of a request."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.http import Client, NotSent, default_ssl_context
from integration.sandbox.certificate import self_signed
from integration.sandbox.contact_centre import ContactCentre


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def cc(certificate: tuple[ssl.SSLContext, Path]) -> Iterator[ContactCentre]:
    with ContactCentre(tls=certificate[0]) as centre:
        yield centre


@pytest.fixture
def trusting(certificate: tuple[ssl.SSLContext, Path]) -> Iterator[Client]:
    client = Client(ssl_context=ssl.create_default_context(cafile=certificate[1]))
    yield client
    client.close()


def dial(client: Client, url: str, *, deadline: float = 2.0, send_in: float = 5.0) -> int:
    return client.request_once(
        "POST",
        url + "/api/v2/contactcenter/personalconnections/acc-east/calls",
        headers={},
        body=b"{}",
        deadline_seconds=deadline,
        send_by=time.monotonic() + send_in,
    ).status


def test_a_trusted_server_is_spoken_to(trusting: Client, cc: ContactCentre) -> None:
    assert dial(trusting, cc.url) == 401
    for _ in range(2):
        trusting.request("GET", cc.url + "/x", headers={}, deadline_seconds=2)
    assert [seen.connection for seen in cc.requests()] == [1, 2, 2]


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_reason(cc: ContactCentre) -> None:
    client = Client()
    with pytest.raises(NotSent) as caught:
        dial(client, cc.url)
    assert caught.value.kind == "tls"
    assert "self-signed certificate" in str(caught.value)
    assert cc.requests() == []


def test_a_context_that_verifies_nothing_is_made_to(cc: ContactCentre) -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    client = Client(ssl_context=careless)
    with pytest.raises(NotSent) as caught:
        dial(client, cc.url)
    assert caught.value.kind == "tls"
    assert careless.check_hostname
    assert cc.requests() == []


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    context, trust = self_signed(tmp_path, days=-1)
    client = Client(ssl_context=ssl.create_default_context(cafile=trust))
    with ContactCentre(tls=context) as centre:
        with pytest.raises(NotSent, match="certificate has expired"):
            dial(client, centre.url)
        assert centre.requests() == []


def test_a_certificate_for_another_name_is_refused(
    trusting: Client, cc: ContactCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(cc.url.rsplit(":", 1)[1])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **rest: found)
    with pytest.raises(NotSent, match="Hostname mismatch"):
        dial(trusting, f"https://other.example:{port}")
    assert cc.requests() == []


def test_a_plain_server_behind_an_https_address_gets_no_request() -> None:
    with ContactCentre() as plain:
        with pytest.raises(NotSent) as caught:
            dial(Client(), plain.url.replace("http://", "https://"), deadline=0.5)
        assert caught.value.kind in {"tls", "connect_timeout"}
        assert plain.calls() == []


def test_a_handshake_that_breaks_off_is_not_sent(trusting: Client, cc: ContactCentre) -> None:
    cc.behave("reset_before")
    with pytest.raises(NotSent) as caught:
        dial(trusting, cc.url)
    assert caught.value.kind in {"tls", "unreachable"}  # as the reset comes after or before connect returns


def test_a_handshake_that_stalls_ends_at_the_deadline(trusting: Client, cc: ContactCentre) -> None:
    cc.behave("slow_accept:5000")
    began = time.monotonic()
    with pytest.raises(NotSent) as caught:
        dial(trusting, cc.url, deadline=0.2)
    assert caught.value.kind == "connect_timeout"
    assert time.monotonic() - began < 0.7


def test_a_handshake_that_ends_after_send_by_sends_nothing(trusting: Client, cc: ContactCentre) -> None:
    cc.behave("slow_accept:120")
    with pytest.raises(NotSent) as caught:
        dial(trusting, cc.url, send_in=0.05)
    assert caught.value.kind == "too_late"
    assert cc.requests() == []


@pytest.mark.parametrize("behaviour", ["hang", "drip_headers:20"])
def test_the_deadline_holds_under_tls(trusting: Client, cc: ContactCentre, behaviour: str) -> None:
    cc.behave(behaviour)
    began = time.monotonic()
    with pytest.raises(Exception, match="no answer came in time"):
        dial(trusting, cc.url, deadline=0.2)
    assert time.monotonic() - began < 0.7
    assert len(cc.calls()) == 1


def test_the_shared_context_verifies_and_is_made_once() -> None:
    context = default_ssl_context()
    assert context is default_ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
