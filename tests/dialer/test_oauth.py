from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from integration.http import Client
from integration.oauth import ClientAuth, ClientCredentials, TokenEncoding, TokenError, TokenSource
from integration.sandbox.contact_centre import ContactCentre

URL = "https://acme.mypurecloud.com/api/v2/oauth/token"
SECRET = "p/w d:é+canary"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def source(
    clock: Clock | None = None,
    url: str = URL,
    client_id: str = "my id",
    secret: str = SECRET,
    *,
    encoding: TokenEncoding = "json",
    auth: ClientAuth = "body",
) -> TokenSource:
    credentials = ClientCredentials(
        url, client_id, secret, names="CXONE_CLIENT_ID", token_encoding=encoding, client_auth=auth
    )
    return TokenSource(Client(), credentials, deadline_seconds=2, monotonic=clock or Clock())


def give(token: str, **more: Any) -> None:
    responses.post(URL, json={"access_token": token, "token_type": "bearer", **more})


@responses.activate
def test_a_token_is_fetched_once_and_kept() -> None:
    give("one", expires_in=3600)
    tokens = source()
    assert tokens.cached_token() is None
    assert [tokens.token(), tokens.token(), tokens.cached_token()] == ["one", "one", "one"]
    assert len(responses.calls) == 1


LIFETIMES = [
    ("as the tutorial says", 3600, 3540.0),
    ("text", "1800", 1740.0),
    ("a fraction", 100.5, 50.25),
    ("short: half of it", 30, 15.0),
    ("exactly two minutes", 120, 60.0),
    ("missing", None, 3540.0),
    ("zero", 0, 3540.0),
    ("negative", -1, 3540.0),
    ("rubbish", "soon", 3540.0),
    ("not a number", "nan", 3540.0),
    ("a truth", True, 3540.0),
    ("a list", [3600], 3540.0),
    ("a century", 3_155_760_000, 86_340.0),
    ("infinite", "inf", 86_340.0),
]


@pytest.mark.parametrize(("lifetime", "kept"), [row[1:] for row in LIFETIMES], ids=[row[0] for row in LIFETIMES])
@responses.activate
def test_a_token_is_refreshed_before_its_end(lifetime: Any, kept: float) -> None:
    more = {} if lifetime is None else {"expires_in": lifetime}
    give("one", **more)
    give("two", **more)
    clock = Clock()
    tokens = source(clock)
    tokens.token()
    clock.now += kept - 0.01
    assert tokens.cached_token() == "one"
    clock.now += 0.02
    assert tokens.cached_token() is None
    assert tokens.token() == "two"


@responses.activate
def test_only_the_refused_token_is_dropped() -> None:
    give("old")
    give("new")
    tokens = source()
    assert tokens.token() == "old"
    tokens.drop("old")
    assert tokens.token() == "new"
    tokens.drop("old")  # another thread, whose request was refused a moment later
    assert tokens.cached_token() == "new"
    tokens.forget()
    assert tokens.cached_token() is None


@pytest.mark.parametrize("encoding", ["json", "form"])
@pytest.mark.parametrize("auth", ["body", "basic"])
@responses.activate
def test_the_credentials_go_where_the_settings_say(encoding: TokenEncoding, auth: ClientAuth) -> None:
    give("one")
    source(encoding=encoding, auth=auth).token()
    sent = responses.calls[0].request
    assert isinstance(sent.body, bytes)
    if encoding == "json":
        assert sent.headers["Content-Type"] == "application/json"
        fields = json.loads(sent.body)
    else:
        assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
        fields = {name: values[0] for name, values in parse_qs(sent.body.decode()).items()}
    if auth == "body":
        assert fields == {"grant_type": "client_credentials", "client_id": "my id", "client_secret": SECRET}
        assert "Authorization" not in sent.headers
    else:
        assert fields == {"grant_type": "client_credentials"}
        pair = base64.b64decode(sent.headers["Authorization"].removeprefix("Basic "))
        assert pair == b"my%20id:p%2Fw%20d%3A%C3%A9%2Bcanary"


@pytest.mark.parametrize("encoding", ["json", "form"])
@pytest.mark.parametrize("auth", ["body", "basic"])
def test_the_sandbox_takes_every_form(encoding: TokenEncoding, auth: ClientAuth) -> None:
    with ContactCentre() as cc:
        url = cc.url + "/api/v2/oauth/token"
        assert source(None, url, "sandbox-client", "sandbox-secret", encoding=encoding, auth=auth).token()


HTML = "<html><title>Sign in</title></html>"
TROUBLES: list[tuple[str, dict[str, Any], str, str]] = [
    ("wrong secret", {"status": 401, "json": {"error": "invalid_client"}}, "refused", "CXONE_CLIENT_ID"),
    ("wrong client", {"status": 400, "json": {"error": "invalid_client"}}, "refused", "CXONE_CLIENT_ID"),
    ("forbidden", {"status": 403}, "refused", "CXONE_CLIENT_ID"),
    ("no such path", {"status": 404, "body": HTML}, "wrong_host", "does not speak this API"),
    ("a login page", {"status": 200, "body": HTML}, "wrong_host", "does not speak this API"),
    ("a redirect", {"status": 302, "headers": {"Location": "/login"}}, "wrong_host", "302"),
    ("no token in it", {"json": {"expires_in": 1}}, "wrong_host", "without a token"),
    ("a token that is none", {"json": {"access_token": None}}, "wrong_host", "without a token"),
    ("an empty token", {"json": {"access_token": ""}}, "wrong_host", "without a token"),
    ("a token that injects", {"json": {"access_token": "a\r\nX: 1"}}, "wrong_host", "without a token"),
    ("a huge token", {"json": {"access_token": "a" * 20_000}}, "wrong_host", "without a token"),
    ("a list", {"json": ["a"]}, "wrong_host", "without a token"),
    ("a deep nest", {"body": "[" * 30_000}, "wrong_host", "with no JSON"),
    ("too many", {"status": 429, "headers": {"Retry-After": "7"}}, "rate_limited", "wait"),
    ("down", {"status": 503, "body": HTML}, "not_reached", "503"),
    ("slow", {"body": requests.exceptions.ReadTimeout("x")}, "not_reached", "no answer came in time"),
    ("no network", {"body": requests.exceptions.ConnectTimeout("x")}, "not_reached", "nothing was sent"),
]


@pytest.mark.parametrize(
    ("answer", "trouble", "words"), [row[1:] for row in TROUBLES], ids=[row[0] for row in TROUBLES]
)
@responses.activate
def test_trouble_is_told_in_an_operators_words(answer: dict[str, Any], trouble: str, words: str) -> None:
    responses.post(URL, **answer)
    with pytest.raises(TokenError) as caught:
        source().token()
    assert caught.value.trouble == trouble
    assert words in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value)
    assert caught.value.retry_after_seconds == (7.0 if trouble == "rate_limited" else None)


def test_credentials_do_not_show_their_secret() -> None:
    assert SECRET not in repr(ClientCredentials(URL, "id", SECRET))


# ---- many threads -----------------------------------------------------------------------------


def at_once(count: int, work: Any) -> list[Any]:
    start = threading.Barrier(count)

    def run(_: int) -> Any:
        start.wait(5)
        return work()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_twenty_threads_fetch_one_token() -> None:
    with ContactCentre() as cc:
        cc.behave("slow:100", on="token")
        tokens = source(None, cc.url + "/api/v2/oauth/token", "sandbox-client", "sandbox-secret")
        assert len(set(at_once(20, tokens.token))) == 1
        assert len(cc.requests()) == 1


def test_twenty_threads_share_one_failure_for_a_second() -> None:
    with ContactCentre() as cc:
        clock = Clock()
        cc.behave("status_503", on="token")
        tokens = source(clock, cc.url + "/api/v2/oauth/token", "sandbox-client", "sandbox-secret")

        def ask() -> str:
            try:
                return tokens.token()
            except TokenError as error:
                return error.trouble

        assert at_once(20, ask) == ["not_reached"] * 20
        assert len(cc.requests()) == 1
        cc.behave("answer", on="token")
        clock.now += 1.01
        assert ask() == tokens.cached_token()


def test_twenty_threads_with_a_refused_token_fetch_one_new_one() -> None:
    with ContactCentre() as cc:
        tokens = source(None, cc.url + "/api/v2/oauth/token", "sandbox-client", "sandbox-secret")
        refused = tokens.token()

        def again() -> str:
            tokens.drop(refused)
            return tokens.token()

        fresh = set(at_once(20, again))
        assert len(fresh) == 1
        assert fresh != {refused}
        assert len(cc.requests()) == 2
