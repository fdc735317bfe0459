"""The Personal Connection API, as "Triggering NICE CXone Personal Connection Calls via the API" has it.

Three requests: `POST /api/v2/oauth/token`, `GET .../personalconnections` (the phone accounts) and
`POST .../personalconnections/{account id}/calls`. Read 2026-11. Where the tutorial is silent or
contradicts itself, this file decides:

- a call's id is read from `id` (its sample), then `callId` (its prose); a 2xx without either is a call
  that was placed and whose id is unknown;
- any 2xx is placed if it is JSON or empty; another body comes from something that is not this API, and
  nobody knows what it did (text or null alone counts as such);
- 408, 409 and 5xx are unclear: a gateway may have passed the call on;
- the list may be bare, or an object holding it under `entities`, `items` or `data`; an account's number
  is its `phoneNumber`, `number` or `address`;
- there is no key that makes a repeated request harmless, and no way to look a call up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from integration.dialers import DialerError, PhoneAccount, Ticket
from integration.http import Answer, Client, HttpError, NotSent, Unclear, retry_after_seconds
from integration.model import Account, CallRequest, Next, Outcome, OutcomeKind, Reason, Tree
from integration.oauth import ClientAuth, ClientCredentials, Kept, TokenEncoding, TokenError, TokenSource
from integration.payload import BadBody, as_text, parse_body
from integration.phone import mask, mask_numbers

ACCOUNTS_PATH = "/api/v2/contactcenter/personalconnections"
TOKEN_PATH = "/api/v2/oauth/token"  # noqa: S105 - a path
LIST_SECONDS = 600.0
LIST_AGAIN_SECONDS = 30.0  # how soon a name that is not in the list may have it fetched anew
LONGEST_CALL_ID = 200
LONGEST_DIALER_TEXT = 500
ACCOUNTS_SHOWN = 20  # in the message about one that was not found
_SETTINGS = "CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"
_GRANT = "grant it in Admin Console > Platform > OAuth Clients; it may take a while to spread"


@dataclass(frozen=True, slots=True)
class _Row:
    """What an answered status means for a call: row of the contract's error table, or our decision."""

    reason: Reason
    next: Next
    advice: str


_NOT_THIS_API = _Row(
    Reason.DIALER_CONFIG,
    Next.PAUSE_ALL,
    "This host does not speak this API at this address: check CXONE_BASE_URL or CXONE_ORG_ID.",
)
_NUMBER = _Row(
    Reason.NUMBER_REFUSED,
    Next.BLOCK,
    "The dialer does not take this number or this request: check the number, caller_id and the mapping.",
)
_LATER = _Row(Reason.RATE_LIMITED, Next.RETRY, "The dialer takes no more calls for now; it is tried later.")
_REFUSED = _Row(Reason.DIALER_REFUSED, Next.PAUSE_ALL, "The dialer refused the request as such: ask its administrator.")
_ROWS: dict[int, _Row] = {
    **dict.fromkeys((400, 422), _NUMBER),
    401: _Row(
        Reason.TOKEN_REFUSED,
        Next.REFRESH,
        f"The token was refused; it is fetched anew. If this stays, check {_SETTINGS}.",
    ),
    403: _Row(
        Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT, f"The client lacks the scope personalconnection:write: {_GRANT}."
    ),
    404: _Row(
        Reason.ACCOUNT_NOT_FOUND,
        Next.PAUSE_ACCOUNT,
        "This phone account does not exist, is inactive or is hidden from this client: "
        "list them with `ringback accounts` and put the right id into the rules.",
    ),
    **dict.fromkeys((405, 406, 410, 411, 413, 414, 415, 501), _NOT_THIS_API),
    **dict.fromkeys((425, 429), _LATER),
    **dict.fromkeys((402, 407, 421, 426, 428, 431, 451), _REFUSED),
}


class PersonalConnection:
    """A `Dialer`. `now` gives aware UTC; `monotonic` is the clock of the caches."""

    def __init__(
        self,
        client: Client,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        deadline_seconds: float = 8.0,
        prepare_seconds: float = 5.0,
        token_encoding: TokenEncoding = "json",  # noqa: S107 - a format
        client_auth: ClientAuth = "body",
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._accounts_url = base_url.rstrip("/") + ACCOUNTS_PATH
        self._client_secret = client_secret
        self._deadline_seconds = deadline_seconds
        self._prepare_seconds = prepare_seconds
        self._monotonic = monotonic
        self._now = now
        credentials = ClientCredentials(
            token_url=base_url.rstrip("/") + TOKEN_PATH,
            client_id=client_id,
            client_secret=client_secret,
            names=_SETTINGS,
            token_encoding=token_encoding,
            client_auth=client_auth,
        )
        self._tokens = TokenSource(client, credentials, deadline_seconds=prepare_seconds, monotonic=monotonic)
        self._list: Kept[tuple[PhoneAccount, ...]] = Kept(self._fetch_list, DialerError, monotonic)
        self._list_asked_at: float | None = None

    # ---- before the intent ----

    def ticket(self, account: Account) -> Ticket | None:
        """The ticket if caches alone can give it."""
        token = self._tokens.cached_token()
        if token is None:
            return None
        if account.id is not None:
            return Ticket(account, account.id, token)
        listed = self._list.peek()
        found = _matching(account, listed) if listed is not None else []
        return Ticket(account, found[0].id, token) if len(found) == 1 else None

    def prepare(self, account: Account) -> Ticket:
        """The ticket, with a token and, for an account given by name or number, the list fetched if
        need be. Raises DialerError."""
        account_id = account.id if account.id is not None else self._find(account)
        return Ticket(account, account_id, self._token())

    def accounts(self) -> Sequence[PhoneAccount]:
        """The phone accounts that these credentials see, asked anew. Raises DialerError."""
        rows, seconds = self._fetch_list()
        self._list.put(rows, seconds)
        return rows

    def forget(self) -> None:
        """Drop the token, the list and any failure to get them."""
        self._tokens.forget()
        self._list.drop()
        self._list_asked_at = None

    def _find(self, account: Account) -> str:
        listed = self._list.get()
        found = _matching(account, listed)
        if not found and self._may_ask_again():
            listed = tuple(self.accounts())  # the kept list stays if this fails: it serves other accounts
            found = _matching(account, listed)
        if len(found) != 1:
            raise _not_one(account, found, listed)
        return found[0].id

    def _may_ask_again(self) -> bool:
        """Whether the list is old enough for a name that it lacks to be a new one."""
        asked_at = self._list_asked_at
        return asked_at is None or self._monotonic() - asked_at >= LIST_AGAIN_SECONDS

    def _token(self) -> str:
        try:
            return self._tokens.token()
        except TokenError as error:
            outcome = _token_outcome(error)
        raise DialerError(outcome)

    def _fetch_list(self) -> tuple[tuple[PhoneAccount, ...], float]:
        self._list_asked_at = self._monotonic()
        token = self._token()
        answer = self._get_list(token)
        if answer.status == 401:  # once more with a new token: a list may be asked for twice
            self._tokens.drop(token)
            token = self._token()
            answer = self._get_list(token)
        rows = _rows(answer) if answer.status // 100 == 2 else None
        if rows is None:
            if answer.status in {401, 403}:
                self._tokens.drop(token)
            raise DialerError(self._list_outcome(answer, token))
        return rows, LIST_SECONDS

    def _get_list(self, token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        try:
            return self._client.request(
                "GET", self._accounts_url, headers=headers, deadline_seconds=self._prepare_seconds
            )
        except HttpError as error:
            outcome = _unreached(error, "The list of phone accounts could not be fetched.")
        raise DialerError(outcome)

    def _list_outcome(self, answer: Answer, token: str) -> Outcome:
        status = answer.status
        said = self._said(answer, token)
        if status == 401:
            text = f"The dialer gives out a token and then refuses it (401): check {_SETTINGS}."
            return _not_placed(Reason.TOKEN_REFUSED, Next.PAUSE_ALL, text + said, status)
        if status == 403:
            text = f"The client may not list phone accounts (403): it lacks personalconnection:read; {_GRANT}."
            return _not_placed(Reason.SCOPE_MISSING, Next.PAUSE_ACCOUNT, text + said, status)
        if status in {425, 429}:
            wait = retry_after_seconds(answer.headers.get("Retry-After"), self._now())
            text = f"The dialer does not list its phone accounts for now ({status}): it asks to wait."
            return _not_placed(Reason.RATE_LIMITED, Next.RETRY, text + said, status, wait)
        if status == 408 or status // 100 == 5:
            text = f"The dialer could not list its phone accounts ({status}); it is asked again."
            return _not_placed(Reason.NOT_SENT, Next.RETRY, text + said, status)
        if status // 100 == 2 and not answer.complete:
            text = "The list of phone accounts broke off or is longer than 64 KB: name the account by its id."
            return _not_placed(Reason.NOT_SENT, Next.RETRY, text, status)
        text = f"The list of phone accounts was answered with {status} and no list. {_NOT_THIS_API.advice}"
        return _not_placed(_NOT_THIS_API.reason, _NOT_THIS_API.next, text + said, status)

    # ---- the call ----

    def place(self, ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        """Ring the person: at most one request. `send_by` is an instant of time.monotonic()."""
        if ticket.account_id in {"", ".", ".."}:
            return _outcome(_ROWS[404], None, f"{ticket.account_id!r} is no id of a phone account.")
        body = {"to": call.to} if call.caller_id is None else {"to": call.to, "from": call.caller_id}
        headers = {
            "Authorization": f"Bearer {ticket.token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        try:
            answer = self._client.request_once(
                "POST",
                f"{self._accounts_url}/{quote(ticket.account_id, safe='')}/calls",
                headers=headers,
                body=json.dumps(body).encode(),
                deadline_seconds=self._deadline_seconds,
                send_by=send_by,
            )
        except NotSent as error:
            return _unreached(error, "The call was not placed.")
        except Unclear as error:
            return _unclear(f"Nobody knows whether the phone rang: {error}.")
        return self._outcome_of(answer, ticket)

    def _outcome_of(self, answer: Answer, ticket: Ticket) -> Outcome:
        status = answer.status
        if status // 100 == 2:
            return self._outcome_of_2xx(answer, ticket)
        if status in {401, 403}:
            self._tokens.drop(ticket.token)
        if status == 404:
            self._list.drop()
        said = self._said(answer, ticket.token)
        # A redirect says that the call is asked for elsewhere; but 303 follows upon something that was done.
        row = _NOT_THIS_API if status // 100 == 3 and status != 303 else _ROWS.get(status)
        if row is None:
            return _unclear(f"Nobody knows whether the phone rang: the dialer answered {status}." + said, status)
        name = f" (account {ticket.account.key!r})" if row.next is Next.PAUSE_ACCOUNT else ""
        wait = retry_after_seconds(answer.headers.get("Retry-After"), self._now()) if row is _LATER else None
        return _outcome(row, status, f"{row.advice} It answered {status}{name}.{said}", wait)

    def _outcome_of_2xx(self, answer: Answer, ticket: Ticket) -> Outcome:
        status = answer.status
        empty = not answer.body.strip()
        tree = None if empty else parse_body(answer.body, None, form="json")
        fields = tree if isinstance(tree, dict) else {}
        call_id = _call_id(fields)
        if isinstance(tree, BadBody) or (not answer.complete and call_id is None):
            what = "is no JSON object" if answer.complete else "broke off"
            return _unclear(
                f"The dialer answered {status}, but its answer {what}: nobody knows whether the phone rang. "
                "Look the call up at the dialer.",
                status,
            )
        if call_id is None:
            said = self._said(answer, ticket.token)
            message = f"The dialer took the call ({status}) and gave no id: look it up there if you need it.{said}"
            return Outcome(OutcomeKind.PLACED, Reason.PLACED_WITHOUT_ID, message, http_status=status)
        word = as_text(fields.get("status"))
        return Outcome(
            OutcomeKind.PLACED,
            Reason.PLACED,
            f"The dialer took the call ({status}).",
            call_id=call_id,
            call_status=None if word is None else self._clean(word, ticket.token)[:LONGEST_CALL_ID],
            http_status=status,
        )

    # ---- the dialer's own words ----

    def _said(self, answer: Answer, token: str) -> str:
        """The dialer's own words as a sentence of ours, or nothing."""
        tree = parse_body(answer.body, None, form="json")
        words = _words(tree) if isinstance(tree, dict) else ""
        cleaned = self._clean(words, token)
        return f" The dialer says: {cleaned}" if cleaned else ""

    def _clean(self, words: str, token: str) -> str:
        """Without secrets, full numbers and line breaks, at most 500 characters."""
        for secret in (token, self._client_secret):
            if secret:
                words = words.replace(secret, "***")
        words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        return mask_numbers(words)[:LONGEST_DIALER_TEXT]


# ---- outcomes -------------------------------------------------------------------------------


def _not_placed(
    reason: Reason, following: Next, message: str, status: int | None, wait: float | None = None
) -> Outcome:
    return Outcome(
        OutcomeKind.NOT_PLACED,
        reason,
        message,
        http_status=status,
        next=following,
        retry_after_seconds=wait,
    )


def _outcome(row: _Row, status: int | None, message: str, wait: float | None = None) -> Outcome:
    return _not_placed(row.reason, row.next, message, status, wait)


def _unclear(message: str, status: int | None = None) -> Outcome:
    return Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, message, http_status=status)


def _unreached(error: HttpError, opening: str) -> Outcome:
    """Nothing reached anybody's phone; what is to be done depends on what was the matter."""
    message = f"{opening} {error}."
    if error.kind in {"bad_address", "bad_request"}:
        return _not_placed(Reason.DIALER_CONFIG, Next.PAUSE_ALL, message + " Check CXONE_BASE_URL.", None)
    if error.kind == "too_late":
        return _not_placed(Reason.TOO_LATE, Next.RETRY, message, None)
    if error.kind == "tls":
        message += " Check the address, the dialer's certificate and this machine's clock."
    return _not_placed(Reason.NOT_SENT, Next.RETRY, message, None)


def _token_outcome(error: TokenError) -> Outcome:
    match error.trouble:
        case "refused":
            reason, following = Reason.TOKEN_REFUSED, Next.PAUSE_ALL
        case "wrong_host":
            reason, following = Reason.DIALER_CONFIG, Next.PAUSE_ALL
        case "rate_limited":
            reason, following = Reason.RATE_LIMITED, Next.RETRY
        case "not_reached":
            reason, following = Reason.NOT_SENT, Next.RETRY
    return _not_placed(reason, following, error.message, error.http_status, error.retry_after_seconds)


# ---- reading answers ------------------------------------------------------------------------


def _call_id(fields: dict[str, Tree]) -> str | None:
    for name in ("id", "callId"):
        text = as_text(fields.get(name))
        if text is not None and 0 < len(text) <= LONGEST_CALL_ID and text.isprintable():
            return text
    return None


def _words(fields: dict[str, Tree]) -> str:
    """What an error body says; the tutorial gives it no schema."""
    errors = fields.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    inner = first.get("message") if isinstance(first, dict) else first
    for value in (fields.get("message"), fields.get("error"), inner, fields.get("code")):
        text = as_text(value)
        if text:
            return text
    return ""


def _rows(answer: Answer) -> tuple[PhoneAccount, ...] | None:
    """The accounts listed, or None if this is no list of accounts."""
    tree = parse_body(answer.body, None, form="json")
    if isinstance(tree, dict):
        tree = next((tree[name] for name in ("entities", "items", "data") if name in tree), None)
    if not isinstance(tree, list):
        return None
    rows = []
    for row in tree:
        account_id = as_text(row.get("id")) if isinstance(row, dict) else None
        if isinstance(row, dict) and account_id:
            numbers = (as_text(row.get(name)) for name in ("phoneNumber", "number", "address"))
            number = next((text for text in numbers if text), None)
            rows.append(PhoneAccount(account_id, as_text(row.get("name")) or None, number))
    return tuple(rows)


def _matching(account: Account, listed: Sequence[PhoneAccount]) -> list[PhoneAccount]:
    """The accounts that this entry of the rules may mean."""
    if account.name is not None:
        wanted = account.name.strip().casefold()
        return [row for row in listed if row.name is not None and row.name.strip().casefold() == wanted]
    digits = _digits(account.number)
    return [row for row in listed if digits and _digits(row.number) == digits]


def _digits(number: str | None) -> str:
    return "".join(c for c in number or "" if c.isdecimal())


def _not_one(account: Account, found: list[PhoneAccount], listed: Sequence[PhoneAccount]) -> DialerError:
    wanted = f"name {account.name!r}" if account.name is not None else f"number {mask(account.number or '')}"
    if found:
        ids = ", ".join(row.id for row in found[:ACCOUNTS_SHOWN])
        message = (
            f"Several phone accounts have the {wanted} of account {account.key!r}: {ids}. "
            "Put the id of the right one into the rules."
        )
    else:
        there = "; ".join(_shown(row) for row in listed[:ACCOUNTS_SHOWN]) or "none at all"
        more = f" and {len(listed) - ACCOUNTS_SHOWN} more" if len(listed) > ACCOUNTS_SHOWN else ""
        message = (
            f"No phone account has the {wanted} of account {account.key!r}. There are: {there}{more}. "
            "List them with `ringback accounts` and correct the rules."
        )
    return DialerError(_not_placed(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT, message, None))


def _shown(row: PhoneAccount) -> str:
    parts = [row.id, repr(row.name) if row.name else "", mask(row.number) if row.number else ""]
    return " ".join(part for part in parts if part)
