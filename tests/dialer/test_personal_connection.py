"""The contract of the Personal Connection API, row by row, with `responses`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from integration.dialers import Dialer, DialerError, PhoneAccount, Ticket
from integration.dialers.personal_connection import PersonalConnection
from integration.http import Client
from integration.model import Account, CallRequest, Next, Outcome, OutcomeKind, Reason

BASE = "https://acme.mypurecloud.com"
TOKEN = BASE + "/api/v2/oauth/token"
LIST = BASE + "/api/v2/contactcenter/personalconnections"
CALLS = LIST + "/pc-12345/calls"
SECRET = "canary-secret"
EAST = Account("us-east", id="pc-12345")
DACH = Account("dach", name="Vertrieb DACH")
CALL = CallRequest(to="+15551234567", caller_id=None, reference="lead 12 attempt 1")
# The sample of the tutorial.
PLACED = {
    "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "personalConnectionAccountId": "pc-12345",
    "to": "+15551234567",
    "from": "+15559876543",
    "status": "initiated",
    "createdTime": "2023-10-27T10:00:00.000Z",
}


@pytest.fixture(autouse=True)
def network() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def dialer(clock: Any) -> PersonalConnection:
    return PersonalConnection(
        Client(),
        base_url=BASE,
        client_id="canary-client",
        client_secret=SECRET,
        monotonic=clock,
        now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
    )


def give_token(network: responses.RequestsMock, token: str = "canary-token") -> None:
    network.post(TOKEN, json={"access_token": token, "expires_in": 3600})


def soon() -> float:
    return time.monotonic() + 5


def place(dialer: PersonalConnection, ticket: Ticket | None = None) -> Outcome:
    return dialer.place(ticket or Ticket(EAST, "pc-12345", "canary-token"), CALL, soon())


def test_it_is_a_dialer(dialer: PersonalConnection) -> None:
    as_dialer: Dialer = dialer
    assert as_dialer.ticket(EAST) is None


# ---- the request ------------------------------------------------------------------------------


def test_the_call_is_asked_for_as_the_tutorial_says(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    network.post(CALLS, json=PLACED)
    place(dialer)
    sent = network.calls[0].request
    assert json.loads(sent.body or b"") == {"to": "+15551234567"}
    assert sent.headers["Authorization"] == "Bearer canary-token"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.headers["Accept"] == "application/json"


def test_from_is_sent_only_with_a_caller_id(dialer: PersonalConnection, network: responses.RequestsMock) -> None:
    network.post(CALLS, json=PLACED)
    call = CallRequest("+15551234567", "+15559876543", "lead 1 attempt 1")
    dialer.place(Ticket(EAST, "pc-12345", "t"), call, soon())
    assert json.loads(network.calls[0].request.body or b"") == {"to": "+15551234567", "from": "+15559876543"}


def test_the_account_id_is_quoted_in_the_path(dialer: PersonalConnection, network: responses.RequestsMock) -> None:
    network.post(LIST + "/a%2Fb%3Fc%20%C3%A9/calls", json=PLACED)
    assert place(dialer, Ticket(EAST, "a/b?c é", "t")).kind is OutcomeKind.PLACED


@pytest.mark.parametrize("account_id", ["", ".", ".."])
def test_an_account_id_that_would_change_the_path_sends_nothing(
    dialer: PersonalConnection, network: responses.RequestsMock, account_id: str
) -> None:
    outcome = place(dialer, Ticket(EAST, account_id, "t"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PLACED, Reason.ACCOUNT_NOT_FOUND)
    assert len(network.calls) == 0


def test_a_ticket_does_not_show_its_token() -> None:
    assert "canary" not in repr(Ticket(EAST, "pc-12345", "canary-token"))


# ---- answers that say placed ------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_an_id_is_placed(dialer: PersonalConnection, network: responses.RequestsMock, status: int) -> None:
    network.post(CALLS, json=PLACED, status=status)
    outcome = place(dialer)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.PLACED, Reason.PLACED)
    assert outcome.call_id == "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
    assert (outcome.call_status, outcome.http_status, outcome.next) == ("initiated", status, None)


IDS: list[tuple[Any, str | None]] = [
    ({"id": "abc"}, "abc"),
    ({"id": "  abc  "}, "abc"),
    ({"callId": "abc"}, "abc"),
    ({"id": None, "callId": "abc"}, "abc"),
    ({"id": "", "callId": "abc"}, "abc"),
    ({"id": "first", "callId": "second"}, "first"),
    ({"id": 123456789012345678901234567890}, "123456789012345678901234567890"),
    ({"id": 0}, "0"),
    ({"id": "a" * 200}, "a" * 200),
    ({"id": "a" * 201}, None),
    ({"id": "a\nb"}, None),
    ({"id": ["abc"]}, None),
    ({"id": {"a": 1}}, None),
    ({"id": True}, None),
    ({"id": "   "}, None),
    ({}, None),
    ([], None),
]


@pytest.mark.parametrize(("body", "call_id"), IDS, ids=[json.dumps(row[0])[:40] for row in IDS])
def test_the_id_is_read_from_id_and_then_call_id(
    dialer: PersonalConnection, network: responses.RequestsMock, body: Any, call_id: str | None
) -> None:
    network.post(CALLS, body=json.dumps(body))
    outcome = place(dialer)
    assert outcome.kind is OutcomeKind.PLACED
    assert outcome.call_id == call_id
    assert outcome.reason is (Reason.PLACED_WITHOUT_ID if call_id is None else Reason.PLACED)


@pytest.mark.parametrize(("status", "body"), [(200, b""), (204, b""), (202, b" \r\n")])
def test_an_empty_2xx_is_placed_without_an_id(
    dialer: PersonalConnection, network: responses.RequestsMock, status: int, body: bytes
) -> None:
    network.post(CALLS, body=body, status=status)
    outcome = place(dialer)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.PLACED, Reason.PLACED_WITHOUT_ID)
    assert "look it up" in outcome.message


# ---- answers that prove nothing ---------------------------------------------------------------

NO_PROOF: list[tuple[str, dict[str, Any]]] = [
    ("html", {"body": "<html>Welcome</html>"}),
    ("text", {"body": '"abc"'}),
    ("null", {"body": "null"}),
    ("cut json", {"body": '{"id": "a1b'}),
    ("two ids", {"body": '{"id": "a", "id": "b"}'}),
    ("byte order mark", {"body": b'\xef\xbb\xbf{"id": "a"}'}),
    ("not utf-8", {"body": b'{"id": "\xff"}'}),
    ("deep", {"body": "[" * 50_000}),
    ("longer than 64 KB", {"body": json.dumps({"padding": "x" * 70_000, "id": "a"})}),
    ("shorter than promised", {"body": b'{"padding": "', "headers": {"Content-Length": "900"}}),
    *[(str(status), {"status": status}) for status in (408, 409, 412, 418, 423, 424, 499)],
    *[(str(status), {"status": status}) for status in (303, 500, 502, 503, 504, 505, 507, 520, 526, 599)],
    *[(str(status), {"status": status}) for status in (101, 103, 600, 999)],
    ("503 with Retry-After", {"status": 503, "headers": {"Retry-After": "1"}}),
    ("read timeout", {"body": requests.exceptions.ReadTimeout("x")}),
    ("unknown break", {"body": requests.exceptions.ConnectionError("x")}),
]


@pytest.mark.parametrize("answer", [row[1] for row in NO_PROOF], ids=[row[0] for row in NO_PROOF])
def test_an_answer_that_proves_nothing_is_unclear(
    dialer: PersonalConnection, network: responses.RequestsMock, answer: dict[str, Any]
) -> None:
    network.post(CALLS, **answer)
    outcome = place(dialer)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR)
    assert outcome.next is None
    assert outcome.call_id is None
    assert "nobody knows whether the phone rang" in outcome.message.lower()
    assert len(network.calls) == 1


# ---- answers that say not placed --------------------------------------------------------------

REFUSALS: list[tuple[int, Reason, Next, str]] = [
    (400, Reason.NUMBER_REFUSED, Next.BLOCK, "check the number"),
    (422, Reason.NUMBER_REFUSED, Next.BLOCK, "check the number"),
    (401, Reason.TOKEN_REFUSED, Next.REFRESH, "CXONE_CLIENT_ID"),
    (402, Reason.DIALER_REFUSED, Next.PAUSE_ALL, "administrator"),
    (403, Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT, "Admin Console > Platform > OAuth Clients"),
    (404, Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT, "ringback accounts"),
    *[
        (status, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API")
        for status in (300, 301, 302, 304, 307, 308, 405, 406, 410, 411, 413, 414, 415, 501)
    ],
    (425, Reason.RATE_LIMITED, Next.RETRY, "later"),
    (429, Reason.RATE_LIMITED, Next.RETRY, "later"),
    (451, Reason.DIALER_REFUSED, Next.PAUSE_ALL, "administrator"),
]


@pytest.mark.parametrize("row", REFUSALS, ids=[str(row[0]) for row in REFUSALS])
def test_a_refusal_says_what_to_do(dialer: PersonalConnection, network: responses.RequestsMock, row: Any) -> None:
    status, reason, following, words = row
    network.post(CALLS, status=status, headers={"Location": "https://evil.example/"})
    outcome = place(dialer)
    assert (outcome.kind, outcome.reason, outcome.next) == (OutcomeKind.NOT_PLACED, reason, following)
    assert outcome.http_status == status
    assert words in outcome.message
    assert str(status) in outcome.message
    assert len(network.calls) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30.0), ("0", 1.0), ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0), ("soon", None), (None, None)],
)
def test_a_rate_limit_says_how_long_to_wait(
    dialer: PersonalConnection, network: responses.RequestsMock, header: str | None, seconds: float | None
) -> None:
    network.post(CALLS, status=429, headers={} if header is None else {"Retry-After": header})
    assert place(dialer).retry_after_seconds == seconds


NOT_SENT: list[tuple[str, Exception, Reason, str]] = [
    ("connect", requests.exceptions.ConnectTimeout("x"), Reason.NOT_SENT, "nothing was sent"),
    ("tls", requests.exceptions.SSLError("x"), Reason.NOT_SENT, "certificate"),
    ("address", requests.exceptions.InvalidURL("x"), Reason.DIALER_CONFIG, "CXONE_BASE_URL"),
]


@pytest.mark.parametrize(("error", "reason", "words"), [r[1:] for r in NOT_SENT], ids=[r[0] for r in NOT_SENT])
def test_what_was_not_sent_was_not_placed(
    dialer: PersonalConnection,
    network: responses.RequestsMock,
    error: Exception,
    reason: Reason,
    words: str,
) -> None:
    network.post(CALLS, body=error)
    outcome = place(dialer)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_PLACED, reason)
    assert outcome.next is (Next.PAUSE_ALL if reason is Reason.DIALER_CONFIG else Next.RETRY)
    assert words in outcome.message


# ---- the dialer's own words -------------------------------------------------------------------

WORDS: list[tuple[str, Any, str]] = [
    ("message", {"message": "Bad number", "error": "no"}, "Bad number"),
    ("error", {"error": "invalid_to"}, "invalid_to"),
    ("errors", {"errors": [{"message": "Too short"}]}, "Too short"),
    ("errors of text", {"errors": ["Too short"]}, "Too short"),
    ("code", {"code": "bad.request"}, "bad.request"),
    ("number in it", {"message": "+1 555 123 4567 is bad"}, "+…67 is bad"),
    ("secret in it", {"message": "token canary-token of canary-secret!"}, "token *** of ***!"),
    ("lines", {"message": "a\r\n\x1b[31mb\u202ec"}, "a [31mb c"),
    ("long", {"message": "ab " * 1000}, ("ab " * 167)[:500]),
]


@pytest.mark.parametrize(("body", "shown"), [row[1:] for row in WORDS], ids=[row[0] for row in WORDS])
def test_the_dialers_words_are_passed_on_without_numbers_and_secrets(
    dialer: PersonalConnection, network: responses.RequestsMock, body: Any, shown: str
) -> None:
    network.post(CALLS, body=json.dumps(body).encode(), status=400)
    message = place(dialer).message
    assert message.endswith(f" The dialer says: {shown}")


@pytest.mark.parametrize("body", ["", "<html>", "[1]", '"text"', "{}", '{"message": {"a": 1}}', '{"errors": []}'])
def test_an_error_without_words_has_none_put_in_its_mouth(
    dialer: PersonalConnection, network: responses.RequestsMock, body: str
) -> None:
    network.post(CALLS, body=body, status=400)
    assert "says" not in place(dialer).message


# ---- the token --------------------------------------------------------------------------------


def test_an_account_given_by_id_needs_a_token_and_no_list(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    give_token(network)
    assert dialer.ticket(EAST) is None
    assert dialer.prepare(EAST) == Ticket(EAST, "pc-12345", "canary-token")
    assert dialer.ticket(EAST) == Ticket(EAST, "pc-12345", "canary-token")
    assert [call.request.url for call in network.calls] == [TOKEN]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_dropped(dialer: PersonalConnection, network: responses.RequestsMock, status: int) -> None:
    give_token(network, "old")
    give_token(network, "new")
    network.post(CALLS, status=status)
    place(dialer, dialer.prepare(EAST))
    assert dialer.ticket(EAST) is None
    assert dialer.prepare(EAST).token == "new"


def test_other_refusals_keep_the_token(dialer: PersonalConnection, network: responses.RequestsMock) -> None:
    give_token(network)
    for status in (400, 404, 429, 500):
        network.post(CALLS, status=status)
        place(dialer, dialer.prepare(EAST))
    assert dialer.ticket(EAST) is not None


PREPARE: list[tuple[str, dict[str, Any], Reason, Next]] = [
    ("refused", {"status": 401}, Reason.TOKEN_REFUSED, Next.PAUSE_ALL),
    ("not this api", {"status": 404}, Reason.DIALER_CONFIG, Next.PAUSE_ALL),
    ("rate limit", {"status": 429, "headers": {"Retry-After": "9"}}, Reason.RATE_LIMITED, Next.RETRY),
    ("down", {"status": 500}, Reason.NOT_SENT, Next.RETRY),
    ("silent", {"body": requests.exceptions.ReadTimeout("x")}, Reason.NOT_SENT, Next.RETRY),
]


@pytest.mark.parametrize(
    ("answer", "reason", "following"), [row[1:] for row in PREPARE], ids=[row[0] for row in PREPARE]
)
def test_without_a_token_nothing_is_placed(
    dialer: PersonalConnection,
    network: responses.RequestsMock,
    answer: dict[str, Any],
    reason: Reason,
    following: Next,
) -> None:
    network.post(TOKEN, **answer)
    for _ in range(2):  # the failure is kept for a second
        with pytest.raises(DialerError) as caught:
            dialer.prepare(EAST)
    outcome = caught.value.outcome
    assert (outcome.kind, outcome.reason, outcome.next) == (OutcomeKind.NOT_PLACED, reason, following)
    assert outcome.retry_after_seconds == (9.0 if reason is Reason.RATE_LIMITED else None)
    assert str(caught.value) == outcome.message
    assert len(network.calls) == 1
    dialer.forget()
    give_token(network)
    if reason is not Reason.NOT_SENT:
        network.remove("POST", TOKEN)
        give_token(network)
        assert dialer.prepare(EAST).token == "canary-token"


# ---- the list of accounts ---------------------------------------------------------------------

ROWS = [
    {"id": "pc-1", "name": "US East", "phoneNumber": "+15551230100"},
    {"id": "pc-2", "name": " Vertrieb DACH ", "number": "+49 30 901820"},
    {"id": "pc-3", "name": "Twins", "address": "+15551230101"},
    {"id": "pc-4", "name": "twins"},
    {"id": 5},
    {"name": "without an id"},
    "rubbish",
]


@pytest.mark.parametrize("shape", ["bare", "entities", "items", "data"])
def test_the_list_is_read_in_every_shape(
    dialer: PersonalConnection, network: responses.RequestsMock, shape: str
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS if shape == "bare" else {"total": 5, shape: ROWS})
    assert list(dialer.accounts()) == [
        PhoneAccount("pc-1", "US East", "+15551230100"),
        PhoneAccount("pc-2", "Vertrieb DACH", "+49 30 901820"),
        PhoneAccount("pc-3", "Twins", "+15551230101"),
        PhoneAccount("pc-4", "twins", None),
        PhoneAccount("5", None, None),
    ]
    assert network.calls[1].request.headers["Authorization"] == "Bearer canary-token"


FOUND: list[tuple[Account, str]] = [
    (Account("a", name="US East"), "pc-1"),
    (Account("a", name="  us EAST "), "pc-1"),
    (Account("a", name="Vertrieb DACH"), "pc-2"),
    (Account("a", number="+4930901820"), "pc-2"),
    (Account("a", number="+1 (555) 123-0100"), "pc-1"),
    (Account("a", id="unlisted"), "unlisted"),
]


@pytest.mark.parametrize(("account", "account_id"), FOUND, ids=[repr(row[0])[8:60] for row in FOUND])
def test_an_account_is_found_by_id_name_or_number(
    dialer: PersonalConnection, network: responses.RequestsMock, account: Account, account_id: str
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    assert dialer.prepare(account).account_id == account_id
    found = dialer.ticket(account)
    assert found is not None
    assert found.account_id == account_id


def test_a_name_that_two_accounts_have_is_refused_with_both_ids(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    with pytest.raises(DialerError, match="pc-3, pc-4") as caught:
        dialer.prepare(Account("a", name="Twins"))
    assert caught.value.outcome.next is Next.PAUSE_ACCOUNT
    assert dialer.ticket(Account("a", name="Twins")) is None


@pytest.mark.parametrize("account", [Account("a", name="US West"), Account("a", number="+15550000000"), Account("a")])
def test_a_name_that_is_not_there_lists_those_that_are(
    dialer: PersonalConnection, network: responses.RequestsMock, account: Account
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    with pytest.raises(DialerError) as caught:
        dialer.prepare(account)
    outcome = caught.value.outcome
    assert (outcome.reason, outcome.next) == (Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT)
    assert "pc-1 'US East' +…00; pc-2 'Vertrieb DACH' +…20;" in outcome.message
    assert "ringback accounts" in outcome.message
    assert "5551230100" not in outcome.message
    assert "5550000000" not in outcome.message


def test_a_name_that_is_not_there_has_the_list_fetched_anew_at_most_every_30_seconds(
    dialer: PersonalConnection, network: responses.RequestsMock, clock: Any
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    gone = Account("a", name="US West")

    def lists() -> int:
        return sum(call.request.url == LIST for call in network.calls)

    for _ in range(3):
        with pytest.raises(DialerError):
            dialer.prepare(gone)
    assert lists() == 1
    clock.now += 30
    for _ in range(3):
        with pytest.raises(DialerError):
            dialer.prepare(gone)
    assert lists() == 2
    clock.now += 30
    network.replace("GET", LIST, json=[{"id": "pc-9", "name": "US West"}])
    assert dialer.prepare(gone).account_id == "pc-9"


def test_a_list_that_fails_anew_leaves_the_old_one_to_other_accounts(
    dialer: PersonalConnection, network: responses.RequestsMock, clock: Any
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    dialer.prepare(DACH)
    clock.now += 31
    network.replace("GET", LIST, status=500)
    with pytest.raises(DialerError, match="500"):
        dialer.prepare(Account("a", name="US West"))
    assert dialer.ticket(DACH) is not None


def test_the_list_is_kept_for_ten_minutes(
    dialer: PersonalConnection, network: responses.RequestsMock, clock: Any
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    dialer.prepare(DACH)
    clock.now += 599
    assert dialer.ticket(DACH) is not None
    clock.now += 2
    assert dialer.ticket(DACH) is None


def test_an_account_that_is_gone_has_the_list_dropped(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    give_token(network)
    network.get(LIST, json=ROWS)
    network.post(LIST + "/pc-2/calls", status=404)
    place(dialer, dialer.prepare(DACH))
    assert dialer.ticket(DACH) is None
    assert dialer.ticket(EAST) is not None


LIST_TROUBLES: list[tuple[str, dict[str, Any], Reason, Next, str]] = [
    ("scope", {"status": 403}, Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT, "personalconnection:read"),
    ("no such path", {"status": 404}, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API"),
    ("html", {"body": "<html>"}, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API"),
    ("no list", {"json": {"total": 0}}, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API"),
    ("empty", {"body": ""}, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API"),
    ("redirect", {"status": 302}, Reason.DIALER_CONFIG, Next.PAUSE_ALL, "does not speak this API"),
    ("rate limit", {"status": 429, "headers": {"Retry-After": "8"}}, Reason.RATE_LIMITED, Next.RETRY, "wait"),
    ("down", {"status": 502}, Reason.NOT_SENT, Next.RETRY, "502"),
    ("silent", {"body": requests.exceptions.ReadTimeout("x")}, Reason.NOT_SENT, Next.RETRY, "list"),
    ("too long", {"json": [{"id": "x" * 100}] * 900}, Reason.NOT_SENT, Next.RETRY, "64 KB"),
]


@pytest.mark.parametrize("row", LIST_TROUBLES, ids=[str(row[0]) for row in LIST_TROUBLES])
def test_trouble_with_the_list_says_what_to_do(
    dialer: PersonalConnection, network: responses.RequestsMock, row: Any
) -> None:
    _, answer, reason, following, words = row
    give_token(network)
    network.get(LIST, **answer)
    with pytest.raises(DialerError) as caught:
        dialer.prepare(DACH)
    outcome = caught.value.outcome
    assert (outcome.kind, outcome.reason, outcome.next) == (OutcomeKind.NOT_PLACED, reason, following)
    assert words in outcome.message
    assert outcome.retry_after_seconds == (8.0 if reason is Reason.RATE_LIMITED else None)


def test_a_token_refused_for_the_list_is_fetched_anew_once(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    give_token(network, "old")
    give_token(network, "new")
    network.get(LIST, status=401)
    network.get(LIST, json=ROWS)
    assert dialer.prepare(DACH) == Ticket(DACH, "pc-2", "new")


def test_a_token_refused_twice_for_the_list_pauses_all(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    give_token(network)
    network.get(LIST, status=401, json={"message": "canary-token is no good, +15551234567"})
    with pytest.raises(DialerError) as caught:
        dialer.prepare(DACH)
    outcome = caught.value.outcome
    assert (outcome.reason, outcome.next) == (Reason.TOKEN_REFUSED, Next.PAUSE_ALL)
    assert "CXONE_CLIENT_ID" in outcome.message
    assert outcome.message.endswith("*** is no good, +…67")
    assert sum(call.request.url == LIST for call in network.calls) == 2


def test_no_message_of_any_answer_shows_secret_or_number(
    dialer: PersonalConnection, network: responses.RequestsMock
) -> None:
    echo = {"message": f"canary-token {SECRET} +15551234567 (555) 123-4567"}
    for status in (*range(200, 206), *range(300, 309), *range(400, 452), *range(500, 512)):
        network.post(CALLS, json=echo, status=status)
        outcome = place(dialer)
        assert "canary" not in repr(outcome)
        assert "1234567" not in repr(outcome)
        assert "123-4567" not in repr(outcome)
