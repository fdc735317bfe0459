"""The dialer against a contact centre that misbehaves: the outcome, the time, and one request at the socket."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from integration.dialers import DialerError
from integration.dialers.personal_connection import PersonalConnection
from integration.http import Client
from integration.model import Account, CallRequest, Next, OutcomeKind, Reason
from integration.sandbox.contact_centre import ContactCentre

EAST = Account("us-east", id="acc-east")
TO = "+15551234567"
CALL = CallRequest(to=TO, caller_id=None, reference="lead 1 attempt 1")


def dialer_for(cc: ContactCentre, client_id: str = "sandbox-client", deadline_seconds: float = 5) -> PersonalConnection:
    return PersonalConnection(
        Client(),
        base_url=cc.url,
        client_id=client_id,
        client_secret="sandbox-secret",
        deadline_seconds=deadline_seconds,
        prepare_seconds=2,
    )


@pytest.fixture
def dialer(cc: ContactCentre) -> PersonalConnection:
    return dialer_for(cc)


PLACED, NOT_PLACED, UNCLEAR = OutcomeKind.PLACED, OutcomeKind.NOT_PLACED, OutcomeKind.UNCLEAR

ROWS: list[tuple[str, OutcomeKind, Reason, Next | None]] = [
    ("answer", PLACED, Reason.PLACED, None),
    ("slow:50", PLACED, Reason.PLACED, None),
    ("call_id_key", PLACED, Reason.PLACED, None),
    ("cut_tail", PLACED, Reason.PLACED, None),
    ("no_id", PLACED, Reason.PLACED_WITHOUT_ID, None),
    ("empty_200", PLACED, Reason.PLACED_WITHOUT_ID, None),
    ("status_204", PLACED, Reason.PLACED_WITHOUT_ID, None),
    ("html_200", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("cut_body", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("cut_headers", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("drip_headers:20", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("drip_body:20", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("big_body", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("gzip_bomb", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("garbage", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("no_status_line", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("continue_flood", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("hang", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("slow:2000", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("reset_after", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("close_after", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("status_101", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("status_409", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("status_500", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("status_503:1", UNCLEAR, Reason.ANSWER_UNCLEAR, None),
    ("redirect_307", NOT_PLACED, Reason.DIALER_CONFIG, Next.PAUSE_ALL),
    ("status_400", NOT_PLACED, Reason.NUMBER_REFUSED, Next.BLOCK),
    ("expire_token", NOT_PLACED, Reason.TOKEN_REFUSED, Next.REFRESH),
    ("status_403", NOT_PLACED, Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT),
    ("status_404", NOT_PLACED, Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT),
    ("status_429:30", NOT_PLACED, Reason.RATE_LIMITED, Next.RETRY),
]


ENDLESS = {"drip_headers:20", "drip_body:20", "continue_flood", "hang", "slow:2000"}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_one_request_whatever_comes_back(
    dialer: PersonalConnection, cc: ContactCentre, row: tuple[str, OutcomeKind, Reason, Next | None]
) -> None:
    behaviour, kind, reason, following = row
    if behaviour in ENDLESS:
        dialer = dialer_for(cc, deadline_seconds=0.2)
    ticket = dialer.prepare(EAST)
    cc.behave(behaviour)
    began = time.monotonic()
    outcome = dialer.place(ticket, CALL, began + 5)
    assert time.monotonic() - began < 0.7
    assert (outcome.kind, outcome.reason, outcome.next) == (kind, reason, following)
    (seen,) = cc.calls_to(TO)
    # The contact centre rings in every doubtful case: whoever is not told UNCLEAR or PLACED may send again.
    assert seen.rang == (kind is not NOT_PLACED)
    if outcome.call_id is not None:
        assert outcome.call_id == seen.call_id


def test_a_reset_before_the_request_is_read_is_unclear(dialer: PersonalConnection, cc: ContactCentre) -> None:
    ticket = dialer.prepare(EAST)
    cc.behave("reset_before")
    assert dialer.place(ticket, CALL, time.monotonic() + 5).kind is UNCLEAR
    assert cc.calls() == []


def test_a_call_that_comes_too_late_is_not_sent(dialer: PersonalConnection, cc: ContactCentre) -> None:
    ticket = dialer.prepare(EAST)
    outcome = dialer.place(ticket, CALL, time.monotonic() - 1)
    assert (outcome.kind, outcome.reason, outcome.next) == (NOT_PLACED, Reason.TOO_LATE, Next.RETRY)
    assert cc.calls() == []


def test_a_dialer_that_is_gone_is_not_sent(cc: ContactCentre) -> None:
    dialer = dialer_for(cc)
    ticket = dialer.prepare(EAST)
    cc.stop()
    outcome = dialer.place(ticket, CALL, time.monotonic() + 5)
    assert (outcome.kind, outcome.reason, outcome.next) == (NOT_PLACED, Reason.NOT_SENT, Next.RETRY)
    assert "refused" in outcome.message
    dialer.forget()
    with pytest.raises(DialerError) as caught:
        dialer.prepare(EAST)
    assert (caught.value.outcome.reason, caught.value.outcome.next) == (Reason.NOT_SENT, Next.RETRY)


CONTRACT: list[tuple[str, str, Account, CallRequest, Reason]] = [
    ("wrong number", "sandbox-client", EAST, CallRequest("5551234567", None, "r"), Reason.NUMBER_REFUSED),
    ("wrong caller", "sandbox-client", EAST, CallRequest(TO, "12", "r"), Reason.NUMBER_REFUSED),
    ("no scope", "sandbox-read-only", EAST, CALL, Reason.SCOPE_MISSING),
    ("unknown account", "sandbox-client", Account("a", id="acc-gone"), CALL, Reason.ACCOUNT_NOT_FOUND),
    ("closed account", "sandbox-client", Account("a", name="closed OFFICE"), CALL, Reason.ACCOUNT_NOT_FOUND),
    ("caller", "sandbox-client", EAST, CallRequest(TO, "+15559876543", "r"), Reason.PLACED),
    ("by number", "sandbox-client", Account("a", number="+49 30 901820"), CALL, Reason.PLACED),
]


@pytest.mark.parametrize(
    ("client_id", "account", "call", "reason"), [row[1:] for row in CONTRACT], ids=[row[0] for row in CONTRACT]
)
def test_the_sandbox_and_the_dialer_agree_on_the_contract(
    cc: ContactCentre, client_id: str, account: Account, call: CallRequest, reason: Reason
) -> None:
    dialer = dialer_for(cc, client_id)
    outcome = dialer.place(dialer.prepare(account), call, time.monotonic() + 5)
    assert outcome.reason is reason


def test_a_client_that_may_not_list_learns_which_scope_it_lacks(cc: ContactCentre) -> None:
    dialer = dialer_for(cc, "sandbox-write-only")
    with pytest.raises(DialerError, match="personalconnection:read"):
        dialer.prepare(Account("a", name="US East"))
    outcome = dialer.place(dialer.prepare(EAST), CALL, time.monotonic() + 5)
    assert outcome.kind is PLACED


def test_an_expired_token_costs_one_attempt_and_the_next_one_rings(
    dialer: PersonalConnection, cc: ContactCentre
) -> None:
    ticket = dialer.prepare(EAST)
    cc.revoke_tokens()
    first = dialer.place(ticket, CALL, time.monotonic() + 5)
    assert first.next is Next.REFRESH
    assert dialer.ticket(EAST) is None
    second = dialer.place(dialer.prepare(EAST), CALL, time.monotonic() + 5)
    assert second.kind is PLACED
    assert [seen.rang for seen in cc.calls_to(TO)] == [False, True]


def test_sixty_calls_at_once_are_sixty_requests(cc: ContactCentre) -> None:
    dialer = dialer_for(cc)
    ticket = dialer.prepare(EAST)
    cc.behave("reset_after", to="+15550000007")
    numbers = [f"+15550000{number:03}" for number in range(60)]

    def ring(number: str) -> OutcomeKind:
        return dialer.place(ticket, CallRequest(number, None, "r"), time.monotonic() + 5).kind

    with ThreadPoolExecutor(20) as pool:
        kinds = list(pool.map(ring, numbers))
    assert kinds.count(PLACED) == 59
    assert kinds[7] is UNCLEAR
    assert sorted(seen.to or "" for seen in cc.calls()) == numbers
    assert len({seen.connection for seen in cc.calls()}) == 60
