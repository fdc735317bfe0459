"""The sandbox's contact centre keeps the contract, whoever asks. `requests` as a stranger would use it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.faults import read_behaviour

TOKEN = "/api/v2/oauth/token"
LIST = "/api/v2/contactcenter/personalconnections"
TO = "+15551234567"


@pytest.fixture(scope="module")
def running() -> Iterator[ContactCentre]:
    with ContactCentre() as centre:
        yield centre


@pytest.fixture
def cc(running: ContactCentre) -> ContactCentre:
    running.reset()
    return running


def ask(cc: ContactCentre, method: str, path: str, token: str | None = None, **how: Any) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        return session.request(method, cc.url + path, headers=headers, timeout=5, **how)


def token_of(cc: ContactCentre, client_id: str = "sandbox-client") -> str:
    body = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "sandbox-secret"}
    token: str = ask(cc, "POST", TOKEN, json=body).json()["access_token"]
    return token


def call(cc: ContactCentre, token: str | None = None, account: str = "acc-east", **how: Any) -> requests.Response:
    return ask(cc, "POST", f"{LIST}/{account}/calls", token or token_of(cc), **(how or {"json": {"to": TO}}))


def test_a_call_is_answered_as_in_the_tutorial(cc: ContactCentre) -> None:
    answer = call(cc, json={"to": TO, "from": "+15559876543"})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"id", "personalConnectionAccountId", "to", "from", "status", "createdTime"}
    assert (body["to"], body["from"], body["status"]) == (TO, "+15559876543", "initiated")
    assert body["createdTime"].endswith("Z")
    (seen,) = cc.calls_to(TO)
    assert (seen.account, seen.answered, seen.rang, seen.call_id) == ("acc-east", 200, True, body["id"])


def test_without_from_the_number_of_the_account_is_shown(cc: ContactCentre) -> None:
    assert call(cc).json()["from"] == "+15551230100"


def test_the_accounts_are_listed(cc: ContactCentre) -> None:
    rows = ask(cc, "GET", LIST, token_of(cc)).json()
    assert {"id": "acc-dach", "name": "Vertrieb DACH", "phoneNumber": "+4930901820"} in rows
    assert [row["id"] for row in rows] == ["acc-east", "acc-dach", "acc-closed"]


BAD_CALLS: list[tuple[str, dict[str, Any], int]] = [
    ("no plus", {"json": {"to": "15551234567"}}, 400),
    ("spaces", {"json": {"to": "+1 555 123 4567"}}, 400),
    ("too short", {"json": {"to": "+12345"}}, 400),
    ("a zero first", {"json": {"to": "+05551234567"}}, 400),
    ("a line end", {"json": {"to": TO + "\n"}}, 400),
    ("a number, not text", {"json": {"to": 15551234567}}, 400),
    ("missing", {"json": {"from": TO}}, 400),
    ("bad from", {"json": {"to": TO, "from": "me"}}, 400),
    ("no json", {"data": "to=+15551234567"}, 400),
    ("a list", {"json": [TO]}, 400),
    ("nothing", {"data": ""}, 400),
    ("deep", {"data": "[" * 100_000}, 400),
]


@pytest.mark.parametrize(("how", "status"), [row[1:] for row in BAD_CALLS], ids=[row[0] for row in BAD_CALLS])
def test_a_bad_call_is_refused_and_rings_nobody(cc: ContactCentre, how: dict[str, Any], status: int) -> None:
    assert call(cc, **how).status_code == status
    (seen,) = cc.calls()
    assert not seen.rang


@pytest.mark.parametrize("account", ["acc-closed", "acc-gone", "..%2Fx"])
def test_an_account_that_is_closed_or_unknown_is_not_found(cc: ContactCentre, account: str) -> None:
    assert call(cc, account=account).status_code == 404
    assert not cc.calls()[0].rang


def test_a_token_is_really_checked(cc: ContactCentre) -> None:
    assert ask(cc, "GET", LIST).status_code == 401
    assert call(cc, "made-up").status_code == 401
    good = token_of(cc)
    with requests.Session() as session:
        wrong_form = session.get(cc.url + LIST, headers={"Authorization": good}, timeout=5)
    assert wrong_form.status_code == 401
    assert call(cc, good).status_code == 200
    cc.revoke_tokens()
    assert call(cc, good).status_code == 401


def test_a_token_ends_when_its_lifetime_does() -> None:
    with ContactCentre(token_seconds=0) as cc:
        assert call(cc).status_code == 401


def test_scopes_are_really_checked(cc: ContactCentre) -> None:
    read_only = token_of(cc, "sandbox-read-only")
    assert ask(cc, "GET", LIST, read_only).status_code == 200
    assert call(cc, read_only).status_code == 403
    write_only = token_of(cc, "sandbox-write-only")
    assert ask(cc, "GET", LIST, write_only).status_code == 403
    assert call(cc, write_only).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"grant_type": "client_credentials", "client_id": "sandbox-client", "client_secret": "no"}, 401),
        ({"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"}, 401),
        ({"grant_type": "client_credentials"}, 401),
        ({"grant_type": "password", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}, 400),
        ({}, 400),
        ([], 400),
    ],
)
def test_bad_credentials_get_no_token(cc: ContactCentre, body: Any, status: int) -> None:
    assert ask(cc, "POST", TOKEN, json=body).status_code == status


@pytest.mark.parametrize(("method", "path"), [("GET", TOKEN), ("DELETE", LIST), ("GET", LIST + "/acc-east/calls")])
def test_another_method_is_not_allowed_and_counts_as_no_call(cc: ContactCentre, method: str, path: str) -> None:
    assert ask(cc, method, path, token_of(cc)).status_code == 405
    assert cc.calls() == []


def test_other_paths_are_not_found(cc: ContactCentre) -> None:
    assert ask(cc, "GET", "/").status_code == 404


def test_the_journal_does_not_keep_the_secret(cc: ContactCentre) -> None:
    token_of(cc)
    assert "sandbox-secret" not in repr(cc.requests())


# ---- behaviours -------------------------------------------------------------------------------


def test_a_behaviour_holds_for_one_number_and_so_many_times(cc: ContactCentre) -> None:
    token = token_of(cc)
    cc.behave("status_503", times=2)
    cc.behave("status_429:30", to="+15550000001")
    statuses = [call(cc, token, json={"to": to}).status_code for to in ("+15550000001", TO, TO, TO)]
    assert statuses == [429, 503, 503, 200]
    assert call(cc, token, json={"to": "+15550000001"}).headers["Retry-After"] == "30"
    cc.behave("answer", to="+15550000001")
    assert call(cc, token, json={"to": "+15550000001"}).status_code == 200


def test_it_rings_where_the_answer_proves_nothing_and_not_where_it_refuses(cc: ContactCentre) -> None:
    token = token_of(cc)
    rang = {}
    for behaviour in ("status_500", "status_409", "status_408", "status_204", "status_429", "status_302", "html_200"):
        cc.behave(behaviour, times=1)
        call(cc, token, json={"to": TO}, allow_redirects=False)
        rang[behaviour] = cc.calls()[-1].rang
    assert rang == {
        "status_500": True,
        "status_409": True,
        "status_408": True,
        "status_204": True,
        "status_429": False,
        "status_302": False,
        "html_200": True,
    }


@pytest.mark.parametrize("on", ["token", "list"])
def test_the_other_requests_can_misbehave_too(cc: ContactCentre, on: str) -> None:
    token = token_of(cc)
    cc.behave("status_502", on=on)
    path, method = (TOKEN, "POST") if on == "token" else (LIST, "GET")
    assert ask(cc, method, path, token).status_code == 502
    assert call(cc, token).status_code == 200


@pytest.mark.parametrize("text", ["", "explode", "status_", "status_5", "status_5000", "slow:soon", "hang up"])
def test_an_unknown_behaviour_is_refused_with_the_known_ones(cc: ContactCentre, text: str) -> None:
    with pytest.raises(ValueError, match=r"there are: answer|milliseconds"):
        cc.behave(text)
    assert ask(cc, "POST", "/_sandbox/behaviour", json={"behaviour": text}).status_code == 400


def test_behaviours_are_read_with_their_argument() -> None:
    assert read_behaviour("slow:250").milliseconds == 250.0
    assert read_behaviour("slow").milliseconds == 100.0
    assert (read_behaviour("status_429:7").status, read_behaviour("status_429:7").argument) == (429, "7")


# ---- over HTTP --------------------------------------------------------------------------------


def test_another_process_can_order_and_ask_over_http(cc: ContactCentre) -> None:
    token = token_of(cc)
    order = {"behaviour": "status_503", "to": TO, "times": 1}
    assert ask(cc, "POST", "/_sandbox/behaviour", json=order).status_code == 204
    call(cc, token)
    call(cc, token, json={"to": "+15550000001"})
    rows = ask(cc, "GET", f"/_sandbox/requests?to={TO}").json()
    assert [(row["to"], row["answered"], row["rang"]) for row in rows] == [(TO, 503, True)]
    assert len(ask(cc, "GET", "/_sandbox/requests").json()) == 3
    assert ask(cc, "GET", "/_sandbox/summary").json() == {
        "requests": 3,
        "calls": 2,
        "rang": 2,
        "rang_by_number": {TO: 1, "+15550000001": 1},
    }
    assert ask(cc, "POST", "/_sandbox/reset").status_code == 204
    assert ask(cc, "GET", "/_sandbox/requests").json() == []


@pytest.mark.parametrize("body", ["", "[]", "1", "{}", '{"behaviour": 1}', '{"behaviour": "hang", "times": "x"}'])
def test_an_order_that_makes_no_sense_is_answered_with_an_example(cc: ContactCentre, body: str) -> None:
    answer = ask(cc, "POST", "/_sandbox/behaviour", data=body)
    assert answer.status_code == 400
    assert "an order looks like" in answer.json()["message"]


def test_the_other_addresses_of_the_sandbox_are_named(cc: ContactCentre) -> None:
    assert ask(cc, "GET", "/_sandbox/nothing").status_code == 404


# ---- the wire ---------------------------------------------------------------------------------


def raw(cc: ContactCentre, data: bytes) -> bytes:
    host, port = cc.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got


def test_a_request_is_counted_before_it_is_understood(cc: ContactCentre) -> None:
    assert raw(cc, b"\x16\x03\x01 nonsense\r\n\r\n") == b""
    assert raw(cc, b"POST /api/v2/contactcenter/personalconnections/acc-east/calls HTTP/1.1\r\nConte") == b""
    assert [(seen.method, seen.answered) for seen in cc.requests()] == [("", None), ("", None)]


def test_chunks_and_several_requests_on_one_connection_are_understood(cc: ContactCentre) -> None:
    body = b'{"to": "+15551234567"}'
    head = b"POST " + LIST.encode() + b"/acc-east/calls HTTP/1.1\r\nAuthorization: Bearer " + token_of(cc).encode()
    plain = head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunks = (
        head
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
        + body[:5]
        + b"\r\n11;x=y\r\n"
        + body[5:]
        + b"\r\n0\r\n\r\n"
    )
    got = raw(cc, plain + chunks)
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert len(cc.calls_to(TO)) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /" + b"a" * 200_000,
    ],
)
def test_what_is_no_request_ends_its_own_connection_only(cc: ContactCentre, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it had not read everything when it hung up
        assert raw(cc, data) == b""
    assert call(cc).status_code == 200


def test_three_hundred_hanging_connections_are_no_trouble_and_stop_with_it() -> None:
    with ContactCentre() as cc:
        cc.behave("hang", to="+15550000001")
        host, port = cc.url.removeprefix("http://").split(":")
        body = b'{"to": "+15550000001"}'
        request = b"POST " + LIST.encode() + b"/acc-east/calls HTTP/1.1\r\nContent-Length: 22\r\n\r\n" + body
        socks = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]
        for sock in socks:
            sock.sendall(request)
        assert call(cc).status_code == 200
        until = time.monotonic() + 5
        while len(cc.calls_to("+15550000001")) < 300 and time.monotonic() < until:
            threading.Event().wait(0.01)
        assert len(cc.calls_to("+15550000001")) == 300
        cc.stop()
        cc.stop()
        for sock in socks:
            assert sock.recv(1) == b""
            sock.close()


# ---- as a process -----------------------------------------------------------------------------


def start(*arguments: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    process = subprocess.Popen([sys.executable, "-m", "integration.sandbox", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said: dict[str, str] = json.loads(process.stdout.readline())
    return process, said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_is_and_stops_when_told(number: signal.Signals) -> None:
    process, said = start("contact-centre", "--latency-ms", "1")
    with process:
        answer = requests.get(said["url"] + "/_sandbox/requests", timeout=5)
        assert answer.json() == []
        process.send_signal(number)
        assert process.wait(5) == 0


@pytest.mark.slow
def test_the_process_serves_tls_and_says_whom_to_trust() -> None:
    process, said = start("contact-centre", "--tls")
    with process:
        assert said["url"].startswith("https://")
        answer = requests.get(said["url"] + "/_sandbox/summary", timeout=5, verify=said["certificate"])
        assert answer.json()["calls"] == 0
        process.terminate()
        assert process.wait(5) == 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "integration.sandbox", "crm", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert "Traceback" not in done.stderr
