"""`accounts` and `call`: the dialer in the hands of a person at a terminal.

`call` uses the dialer that leads are called with, so its one promise holds here as well: at most one request, and
after an unclear answer none. It knows no lead: neither the ledger nor its cooldown nor the CRM hears of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from integration.bootstrap import read_all_settings, read_environment, read_rules_to_look, rules_path
from integration.cli.access import connect, existing_ledger, missing_ledger
from integration.cli.terminal import AnswerIsNo, CannotBegin, clean, confirmed, say, say_json, table
from integration.dialers import Dialer, DialerError, PhoneAccount
from integration.log import describe_error
from integration.model import Account, CallRequest, Outcome, OutcomeKind, Reason
from integration.phone import PhoneRefused, read_phone
from integration.rules import Rules, RulesError
from integration.settings import Dialing, Settings, SettingsError, read_dialer_settings

SEND_BY_SECONDS = 5.0
UNCLEAR = 3  # exit code


# ---- accounts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """Where an account of the rules stands at the dialer: `account_id`, or why it does not."""

    account_id: str | None
    problem: str = ""


def find_accounts(dialer: Dialer, wanted: Mapping[str, Account], listed: Sequence[PhoneAccount]) -> dict[str, Found]:
    """Each account of the rules at the dialer. `listed` has just been fetched, so that no further request is made."""
    found = {}
    for key, account in wanted.items():
        if account.id is not None:
            there = any(row.id == account.id for row in listed)
            problem = f"No phone account has the id {account.id!r} of account {key!r}. Correct it in the rules."
            found[key] = Found(account.id) if there else Found(None, problem)
            continue
        try:
            found[key] = Found(dialer.prepare(account).account_id)
        except DialerError as error:
            found[key] = Found(None, error.outcome.message)
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def accounts(as_json: bool) -> None:
    """List the dialer's phone accounts, and which of them the rules use.

    Asks the contact centre for a token and the list; rings nobody. Without rules that can be read, the list comes
    all the same. Exit code 0; 1 when the dialer gives no list or an account of the rules is not in it.

    \b
    Example:
      ringback accounts
      ringback accounts --json
    """
    environ = read_environment()
    dialer = connect(read_dialer_settings(environ))
    wanted, no_rules = _accounts_of_rules(environ)
    try:
        listed = dialer.accounts()
    except DialerError as error:
        raise AnswerIsNo(error.outcome.message) from None
    found = find_accounts(dialer, wanted, listed)
    users = {row.id: [key for key, one in found.items() if one.account_id == row.id] for row in listed}
    problems = [one.problem for one in found.values() if one.account_id is None]
    if as_json:
        say_json(
            {
                "accounts": [
                    {"id": row.id, "name": row.name, "number": row.number, "used_as": users[row.id]} for row in listed
                ],
                "not_found": [{"account": key, "problem": one.problem} for key, one in found.items() if one.problem],
            }
        )
    else:
        _say_accounts(listed, users)
    for sentence in [no_rules] if no_rules else []:
        click.echo(clean(sentence), err=True)
    if problems:
        raise AnswerIsNo(*problems)


def _accounts_of_rules(environ: Mapping[str, str]) -> tuple[Mapping[str, Account], str]:
    """The accounts that the rules name, and why there are none when the file cannot be used."""
    path = rules_path(environ)
    try:
        return read_rules_to_look(path, environ).accounts, ""
    except SettingsError:
        return {}, f"There are no rules at {path}, so nothing is marked as used."
    except RulesError:
        return {}, f"The rules at {path} cannot be used (see `ringback check`), so nothing is marked as used."


def _say_accounts(listed: Sequence[PhoneAccount], users: Mapping[str, list[str]]) -> None:
    if not listed:
        say("The dialer lists no phone accounts for this client. One is made in the contact centre's Admin Console.")
        return
    rows = [[row.id, row.name or "", row.number or "", ", ".join(users[row.id]) or "-"] for row in listed]
    for line in table(["ID", "NAME", "NUMBER", "IN THE RULES AS"], rows):
        click.echo(line)


# ---- call ---------------------------------------------------------------------------------------


@click.command()
@click.argument("number")
@click.option("--account", "key", metavar="KEY", required=True, help="The account's name under `accounts:`.")
@click.option("--yes", is_flag=True, help="Do not ask. For scripts.")
def call(number: str, key: str, yes: bool) -> None:
    """Ring one number now, outside of any lead.

    Shows what it will do and asks first. At most one request is sent, and the rules' `phones:` hold: no country that
    is not listed, no emergency number. RINGBACK_DIALING and the do-not-call list hold too; calling hours, limits and
    pauses do not, because it is you who decides. The call is not recorded in the ledger, starts no cooldown, and the
    CRM is not told. Exit code 0 placed, 1 not placed, 3 unclear: the phone may have rung.

    \b
    Example:
      ringback call +15551234567 --account us-east
    """
    environ = read_environment()
    settings, dialer_settings = read_all_settings(environ)
    rules = read_rules_to_look(settings.rules_path, environ)
    account = _account(rules, key)
    to = _number(rules, number)
    _refuse_withheld(settings.dialing, to)
    _refuse_listed(settings, to)
    dialer = connect(dialer_settings)
    try:
        ticket = dialer.prepare(account)
    except DialerError as error:
        raise AnswerIsNo(f"Not placed. {error.outcome.message}") from None
    say(f"This rings a phone through {dialer_settings.base_url}:")
    click.echo(f"  number     {to}")
    click.echo(f"  account    {key} (id {clean(ticket.account_id)})")
    click.echo(f"  caller id  {account.caller_id or 'the number of the account'}")
    if not yes and not confirmed(f"Ring {to} now?"):
        say("Not placed.")
        raise click.exceptions.Exit(1)
    _end(_place(dialer, account, to))


def _account(rules: Rules, key: str) -> Account:
    if key not in rules.accounts:
        raise CannotBegin(f"the rules have no account {key!r}; there are: {', '.join(rules.accounts)}")
    return rules.accounts[key]


def _number(rules: Rules, number: str) -> str:
    read = read_phone(number, None, rules.phones)
    if isinstance(read, PhoneRefused):
        raise AnswerIsNo(f"Not placed. {read.detail} ({read.reason})")
    return read.e164


def _refuse_withheld(dialing: Dialing, to: str) -> None:
    if dialing.is_off:
        raise AnswerIsNo("Not placed. RINGBACK_DIALING is off: nobody is rung from here.")
    if dialing.withholds(to):
        raise AnswerIsNo("Not placed. RINGBACK_DIALING lists the only numbers that are rung from here; not this one.")


def _refuse_listed(settings: Settings, to: str) -> None:
    """The do-not-call list holds for people as well. Without a ledger there is no list yet."""
    if missing_ledger(settings) is not None:
        return
    with existing_ledger(settings) as ledger:
        problem = ledger.do_not_call.why_unreadable()
        if problem is not None:
            raise CannotBegin(problem)
        if ledger.do_not_call.count() and ledger.do_not_call.find(to) is not None:
            raise AnswerIsNo("Not placed. The number is on the do-not-call list; `ringback dnc check` says why.")


def _place(dialer: Dialer, account: Account, to: str) -> Outcome:
    """The one request. Whatever breaks it off leaves open whether the phone rings."""
    try:
        ticket = dialer.ticket(account) or dialer.prepare(account)  # the person may have thought for an hour
    except DialerError as error:
        return error.outcome
    try:
        request = CallRequest(to, account.caller_id, "call by hand")
        return dialer.place(ticket, request, time.monotonic() + SEND_BY_SECONDS)
    except KeyboardInterrupt:
        message = "Stopped by you while the call was being placed."
    except Exception as error:  # noqa: BLE001 - a fault of ours after the request may have been sent
        message = f"A fault of Ringback itself while the call was being placed: {describe_error(error)}."
    return Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, message)


def _end(outcome: Outcome) -> None:
    match outcome.kind:
        case OutcomeKind.PLACED if outcome.call_id:
            status = f", {outcome.call_status}" if outcome.call_status else ""
            say(f"Placed: call {outcome.call_id}{status}.")
        case OutcomeKind.PLACED:
            say(f"Placed. {outcome.message}")
        case OutcomeKind.NOT_PLACED:
            raise AnswerIsNo(f"Not placed. {outcome.message}")
        case OutcomeKind.UNCLEAR:
            say(f"Unclear. {outcome.message} The phone may be ringing, so nothing is sent again.")
            raise click.exceptions.Exit(UNCLEAR)
