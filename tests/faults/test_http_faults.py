"""Each fault on a real socket: what is known afterwards, in what time, and how often the server was asked."""

from __future__ import annotations

import concurrent.futures
import itertools
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.http import Answer, Client, HttpError, NotSent, Unclear
from integration.http import connections as inner
from integration.sandbox.contact_centre import ContactCentre

CALLS = "/api/v2/contactcenter/personalconnections/acc-east/calls"
CANARY = "canary7Hq"
DEADLINE = 0.2
SLACK = 0.5  # two cores, shared


def dial(client: Client, url: str, *, deadline: float = DEADLINE, send_by: float | None = None) -> Answer | HttpError:
    try:
        return client.request_once(
            "POST",
            url,
            headers={"Authorization": f"Bearer {CANARY}", "Content-Type": "application/json"},
            body=b'{"to": "+15551234567", "note": "%s"}' % CANARY.encode(),
            deadline_seconds=deadline,
            send_by=time.monotonic() + 5 if send_by is None else send_by,
        )
    except HttpError as error:
        return error


def bare(outcome: Answer | HttpError) -> tuple[object, ...]:
    if isinstance(outcome, Answer):
        return ("answer", outcome.status, outcome.complete)
    return (type(outcome).__name__, outcome.kind)


AFTER_THE_REQUEST = [
    ("reset_after", {("Unclear", "reset")}),
    ("close_after", {("Unclear", "closed")}),
    ("hang", {("Unclear", "timeout")}),
    ("drip_headers:20", {("Unclear", "timeout")}),
    ("cut_headers", {("Unclear", "closed")}),
    ("continue_flood", {("Unclear", "timeout")}),
    ("status_100", {("Unclear", "timeout"), ("Unclear", "closed")}),
    ("garbage", {("Unclear", "protocol")}),
    ("no_status_line", {("Unclear", "protocol")}),
    ("status_000", {("Unclear", "protocol")}),
    ("drip_body:20", {("answer", 401, False)}),
    ("cut_body", {("answer", 401, False)}),
    ("cut_tail", {("answer", 401, False)}),
    ("big_body", {("answer", 200, False)}),
    ("gzip_bomb", {("answer", 200, True)}),
    ("redirect_307", {("answer", 307, True)}),
    ("status_101", {("answer", 101, True)}),
    ("status_204", {("answer", 204, True)}),
    ("status_503", {("answer", 503, True)}),
    ("answer", {("answer", 401, True)}),
]


@pytest.mark.parametrize(("behaviour", "expected"), AFTER_THE_REQUEST, ids=[row[0] for row in AFTER_THE_REQUEST])
def test_it_knows_what_a_fault_after_the_request_leaves_open(
    client: Client, cc: ContactCentre, behaviour: str, expected: set[tuple[object, ...]]
) -> None:
    cc.behave(behaviour)
    began = time.monotonic()
    endless = ("Unclear", "timeout") in expected or behaviour.startswith("drip")
    outcome = dial(client, cc.url + CALLS, deadline=DEADLINE if endless else 5)
    took = time.monotonic() - began
    assert bare(outcome) in expected
    assert took < DEADLINE + SLACK
    assert len(cc.requests()) == 1


def test_a_reset_before_the_request_is_read_is_unclear_because_bytes_had_left(
    client: Client, cc: ContactCentre
) -> None:
    cc.behave("reset_before")
    outcome = dial(client, cc.url + CALLS)
    assert isinstance(outcome, Unclear)
    assert outcome.kind in {"reset", "closed"}
    assert cc.requests() == []


def test_it_reads_no_more_than_64_kb_and_decompresses_nothing(client: Client, cc: ContactCentre) -> None:
    cc.behave("big_body", times=1)
    big = dial(client, cc.url + CALLS, deadline=2)
    assert isinstance(big, Answer)
    assert len(big.body) == 65536
    cc.behave("gzip_bomb", times=1)
    bomb = dial(client, cc.url + CALLS, deadline=2)
    assert isinstance(bomb, Answer)
    assert bomb.body.startswith(b"\x1f\x8b")
    assert len(bomb.body) <= 65536


@pytest.mark.parametrize("behaviour", [row[0] for row in AFTER_THE_REQUEST] + ["reset_before"])
def test_no_error_shows_what_was_asked(client: Client, cc: ContactCentre, behaviour: str) -> None:
    cc.behave(behaviour)
    outcome = dial(client, f"{cc.url}{CALLS}?who={CANARY}", deadline=0.1)
    if isinstance(outcome, HttpError):
        shown = "".join(traceback.format_exception(outcome)) + repr(outcome) + repr(outcome.__dict__)
        assert CANARY not in shown
        assert "personalconnections" not in str(outcome)
        assert outcome.__cause__ is None
        assert outcome.__context__ is None
        assert outcome.host == cc.url.removeprefix("http://")


# ---- before the request ----------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection_is_not_sent(client: Client) -> None:
    assert bare(dial(client, f"http://127.0.0.1:{free_port()}/x")) == ("NotSent", "refused")


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue of connections is full: nobody answers, nobody refuses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def test_a_connection_that_nobody_takes_ends_at_the_deadline_and_is_not_sent(client: Client) -> None:
    with black_hole() as port:
        began = time.monotonic()
        outcome = dial(client, f"http://127.0.0.1:{port}/x")
        assert bare(outcome) == ("NotSent", "connect_timeout")
        assert time.monotonic() - began < DEADLINE + SLACK


def test_connecting_goes_on_no_longer_than_send_by(client: Client) -> None:
    with black_hole() as port:
        began = time.monotonic()
        outcome = dial(client, f"http://127.0.0.1:{port}/x", deadline=5, send_by=began + 0.1)
        assert isinstance(outcome, NotSent)
        assert time.monotonic() - began < 0.1 + SLACK


Lookup = Callable[..., list[object]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lookup], None]:
    """Replace the lookup of names; literal addresses are read as ever."""
    real = socket.getaddrinfo

    def use(lookup: Lookup) -> None:
        def getaddrinfo(*args: object, flags: int = 0, **rest: object) -> object:
            literal = flags & socket.AI_NUMERICHOST
            return real(*args, flags=flags, **rest) if literal else lookup(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return use


def test_an_unknown_name_is_not_sent(client: Client, names: Callable[[Lookup], None]) -> None:
    def unknown(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names(unknown)
    assert bare(dial(client, "https://gone.example/x")) == ("NotSent", "dns")


def test_a_name_server_that_hangs_does_not_hold_the_deadline_up(
    client: Client, names: Callable[[Lookup], None]
) -> None:
    over = threading.Event()

    def hang(*_: object) -> list[object]:
        over.wait(10)
        return []

    names(hang)
    began = time.monotonic()
    outcome = dial(client, "https://slow.example/x")
    took = time.monotonic() - began
    over.set()
    assert bare(outcome) == ("NotSent", "dns")
    assert took < DEADLINE + SLACK


def test_a_lookup_for_which_there_is_no_thread_is_not_sent_and_takes_no_place_for_ever(
    client: Client, names: Callable[[Lookup], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        if thread.name == "name-lookup":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", full)
        for _ in range(inner.LOOKUPS_AT_ONCE + 1):
            assert bare(dial(client, "http://some.example/x")) == ("NotSent", "dns")
    names(lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free_port()))])
    assert bare(dial(client, "http://some.example/x")) == ("NotSent", "refused")


def test_the_second_address_of_a_host_is_tried_within_the_deadline(
    client: Client, cc: ContactCentre, names: Callable[[Lookup], None]
) -> None:
    port = int(cc.url.rsplit(":", 1)[1])
    with black_hole() as hole:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        names(lambda *_: [(*stream, ("127.0.0.1", hole)), (*stream, ("127.0.0.1", port))])
        assert bare(dial(client, f"http://two.example:{port}{CALLS}")) == ("answer", 401, True)
    assert len(cc.requests()) == 1


def test_a_dial_that_comes_too_late_sends_nothing(client: Client, cc: ContactCentre) -> None:
    outcome = dial(client, cc.url + CALLS, send_by=time.monotonic() - 0.001)
    assert bare(outcome) == ("NotSent", "too_late")
    assert cc.requests() == []


def test_a_name_that_resolves_too_late_sends_nothing(
    client: Client, cc: ContactCentre, names: Callable[[Lookup], None]
) -> None:
    port = int(cc.url.rsplit(":", 1)[1])

    def slow(*_: object) -> list[object]:
        time.sleep(0.1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    names(slow)
    outcome = dial(client, f"http://slow.example:{port}{CALLS}", send_by=time.monotonic() + 0.03)
    assert isinstance(outcome, NotSent)
    assert cc.requests() == []


BAD_ADDRESSES = [
    f"https://{CANARY}:pw@127.0.0.1/",
    "https://good.example\\@127.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "//127.0.0.1/x",
    "https:///x",
    "https://",
    "",
    "http://127.0.0.1:99999/",
    "http://[::1/",
    "http://127.0.0.1/leads/../users",
    "http://127.0.0.1/leads/%2e%2E/users",
    "http://127.0.0.1/leads/.",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/a\r\nX-Evil: 1",
    "http://127.0.0.1/a\x00",
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_an_address_that_would_lead_elsewhere_is_not_used(client: Client, url: str) -> None:
    outcome = dial(client, url)
    assert bare(outcome) == ("NotSent", "bad_address")
    assert CANARY not in str(outcome)


BAD_HEADERS = [
    {"X-Name": "a\r\nX-Evil: 1"},
    {"X-Name": "a\nb"},
    {"X-Name": "a\rb"},
    {"X-Name": "a\x0bb"},
    {"X-Name": "a\x00b"},
    {"X-Name": "名前"},
    {"X-Evil\r\nX": "1"},
    {"": "1"},
]


@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_a_header_that_http_does_not_take_is_not_sent(
    client: Client, cc: ContactCentre, headers: dict[str, str]
) -> None:
    with pytest.raises(NotSent) as caught:
        client.request("GET", cc.url + "/x", headers=headers, deadline_seconds=DEADLINE)
    assert caught.value.kind == "bad_request"
    assert cc.requests() == []


# ---- what the environment must not change ----------------------------------------------------


def test_proxies_and_netrc_of_the_environment_take_no_part(
    client: Client, cc: ContactCentre, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login sandbox-client password sandbox-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answer = client.request(
        "POST",
        cc.url + "/api/v2/oauth/token",
        headers={},
        body=b'{"grant_type": "client_credentials"}',
        deadline_seconds=2,
    )
    assert answer.status == 401  # with .netrc's login the sandbox would have given out a token


def test_a_redirect_is_not_followed_and_its_target_sees_nothing(client: Client, cc: ContactCentre) -> None:
    with ContactCentre() as other:
        cc.behave(f"status_307:{other.url}")
        cc.behave("redirect_307")
        outcome = dial(client, cc.url + CALLS)
        assert bare(outcome) == ("answer", 307, True)
        assert other.requests() == []
    assert [seen.path for seen in cc.requests()] == [CALLS]


# ---- connections -----------------------------------------------------------------------------


def get(client: Client, cc: ContactCentre, deadline: float = 2) -> Answer:
    return client.request("GET", cc.url + "/nothing", headers={}, deadline_seconds=deadline)


def test_a_dial_has_a_connection_of_its_own_and_others_share_one(client: Client, cc: ContactCentre) -> None:
    for _ in range(3):
        get(client, cc)
    for _ in range(3):
        dial(client, cc.url + CALLS)
    get(client, cc)
    assert [seen.connection for seen in cc.requests()] == [1, 1, 1, 2, 3, 4, 1]


def test_an_answer_without_a_body_keeps_its_connection(client: Client, cc: ContactCentre) -> None:
    cc.behave("empty_200", on="list")
    for _ in range(3):
        client.request("GET", cc.url + "/api/v2/contactcenter/personalconnections", headers={}, deadline_seconds=2)
    assert {seen.connection for seen in cc.requests()} == {1}


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    client: Client, cc: ContactCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(client, cc)
    monkeypatch.setattr(inner, "IDLE_SECONDS", 0.0)
    get(client, cc)
    assert [seen.connection for seen in cc.requests()] == [1, 2]


def test_the_deadline_of_a_finished_exchange_does_not_touch_its_shared_connection(
    client: Client, cc: ContactCentre
) -> None:
    until = time.monotonic() + 0.4
    statuses = set()
    for number in itertools.count():
        # Each of these would be hit by the deadline of one that came 30 ms before it.
        statuses.add(get(client, cc, deadline=0.03 if number % 2 else 2).status)
        if time.monotonic() > until:
            break
    assert statuses == {404}
    assert {seen.connection for seen in cc.requests()} == {1}


def test_twenty_threads_each_get_their_own_answer(client: Client, cc: ContactCentre) -> None:
    def ask(number: int) -> int:
        cc.behave(f"status_{500 + number}", to=f"+1555000{number:04}")
        body = b'{"to": "+1555000%04d"}' % number
        return client.request_once(
            "POST",
            cc.url + CALLS,
            headers={},
            body=body,
            deadline_seconds=5,
            send_by=time.monotonic() + 5,
        ).status

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, range(60))) == [500 + number for number in range(60)]
    assert len(cc.requests()) == 60
