"""Where `responses` stands in for the network there is no connection to ask: the cause decides.

The real thing is tested on sockets in tests/faults; this is for those who test with `responses`.
"""

from __future__ import annotations

import http.client
import socket
import time

import pytest
import requests
import responses
import urllib3

from integration.http import Client, HttpError

URL = "https://api.example.com/secret-path?token=canary"
POOL = urllib3.HTTPSConnectionPool("api.example.com")
CONNECTION = urllib3.connection.HTTPSConnection("api.example.com")


def gone(reason: Exception) -> requests.exceptions.ConnectionError:
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(POOL, "/secret-path", reason))


def aborted(cause: Exception) -> requests.exceptions.ConnectionError:
    return requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", cause))


ROWS = [
    (
        "dns",
        gone(urllib3.exceptions.NameResolutionError("api.example.com", CONNECTION, socket.gaierror(-2, "x"))),
        ("NotSent", "dns"),
    ),
    ("refused", gone(urllib3.exceptions.NewConnectionError(CONNECTION, "no")), ("NotSent", "unreachable")),
    ("connect timeout", requests.exceptions.ConnectTimeout("slow"), ("NotSent", "connect_timeout")),
    ("tls", requests.exceptions.SSLError("bad certificate"), ("NotSent", "tls")),
    ("proxy", requests.exceptions.ProxyError("proxy"), ("NotSent", "unreachable")),
    ("closed after", aborted(http.client.RemoteDisconnected("bye")), ("Unclear", "closed")),
    ("reset after", aborted(ConnectionResetError(104, "reset")), ("Unclear", "reset")),
    ("no answer", requests.exceptions.ReadTimeout("slow"), ("Unclear", "timeout")),
    ("not http", aborted(http.client.BadStatusLine("x")), ("Unclear", "protocol")),
    ("nothing known", requests.exceptions.ConnectionError("?"), ("Unclear", "closed")),
    ("a defect", RuntimeError("surprise"), ("Unclear", "closed")),
]


@pytest.mark.parametrize(("error", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
@responses.activate
def test_a_cause_tells_whether_anything_was_sent(error: Exception, expected: tuple[str, str]) -> None:
    responses.post(URL, body=error)
    with pytest.raises(HttpError) as caught:
        Client().request_once("POST", URL, headers={}, body=b"{}", deadline_seconds=1, send_by=time.monotonic() + 1)
    assert (type(caught.value).__name__, caught.value.kind) == expected
    assert caught.value.host == "api.example.com"
    assert "secret" not in str(caught.value)


@responses.activate
def test_an_answer_is_read_whole_with_headers_in_any_case() -> None:
    responses.get(URL, body=b"hello", status=418, headers={"X-One": "1"})
    answer = Client().request("GET", URL, headers={}, deadline_seconds=1)
    assert (answer.status, answer.body, answer.complete) == (418, b"hello", True)
    assert answer.headers["x-one"] == "1"


@responses.activate
def test_it_asks_for_no_compression_and_for_the_dial_to_be_closed() -> None:
    responses.post(URL)
    Client().request_once("POST", URL, headers={}, deadline_seconds=1, send_by=time.monotonic() + 1)
    sent = responses.calls[0].request.headers
    assert sent["Accept-Encoding"] == "identity"
    assert sent["Connection"] == "close"
    assert "Authorization" not in sent
