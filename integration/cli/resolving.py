"""`resolve`: what only a person may order. The ledger says what is possible; this module asks and explains."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

import click

from integration.bootstrap import read_environment
from integration.cli.access import existing_ledger
from integration.cli.terminal import AnswerIsNo, LeadNumber, clean, confirmed, say, utc
from integration.ledger import LeadStory, Ledger, NotPossible
from integration.model import LeadId, LeadState
from integration.phone import mask, mask_numbers
from integration.settings import read_settings

LONGEST_NAME, LONGEST_NOTE, LONGEST_CALL_ID = 100, 500, 200

_ORDERS = {
    "rung": "The phone did ring: a call you found in the contact centre.",
    "give-up": "Nobody will be called: close the lead as failed.",
    "ring-again": "The phone did not ring: call once more. If you are wrong, it rings twice.",
    "decide-again": "Give a lead that was never rung to the rules once more, as fresh as a new one.",
    "tell-crm": "Send the CRM the lead's result once more. Rings nobody.",
}


@click.command()
@click.argument("lead", type=LeadNumber())
@click.option("--rung", is_flag=True, help=_ORDERS["rung"])
@click.option("--give-up", is_flag=True, help=_ORDERS["give-up"])
@click.option("--ring-again", is_flag=True, help=_ORDERS["ring-again"])
@click.option("--decide-again", is_flag=True, help=_ORDERS["decide-again"])
@click.option("--tell-crm", is_flag=True, help=_ORDERS["tell-crm"])
@click.option("--call-id", metavar="ID", help="With --rung: the call's id at the dialer, if you know it.")
@click.option("--by", metavar="NAME", help="Who orders it, for the lead's history. Default: the user of this machine.")
@click.option("--note", metavar="TEXT", default="", help="Why, for the lead's history. Numbers in it are masked.")
@click.option("--yes", is_flag=True, help="With --ring-again: do not ask.")
def resolve(*, lead: int, call_id: str | None, by: str | None, note: str, yes: bool, **orders: bool) -> None:
    """Settle a lead that needs a person.

    Takes exactly one order. It works while `serve` runs, which goes on with the lead within a second and tells the
    CRM. Exit code 1 when the lead's state does not allow the order, or there is no such lead.

    \b
    Example:
      ringback resolve 12 --rung --call-id 5f0c2a4e --note "seen in the queue report"
      ringback resolve 13 --ring-again
      ringback resolve 14 --decide-again --by Kim
    """
    order = _one([name for name in _ORDERS if orders[name.replace("-", "_")]])
    found_id = _call_id(order, call_id)
    who, why = person(by), noted(note)
    lead_id = LeadId(lead)
    with existing_ledger(read_settings(read_environment())) as ledger:
        story = ledger.reading.story(lead_id)
        if story is None:
            raise AnswerIsNo(f"there is no lead {lead}; `ringback leads` lists them")
        if order == "ring-again":
            _warn(story, ask=not yes)
        try:
            _give(ledger, lead_id, order, by=who, note=why, call_id=found_id)
        except NotPossible as error:
            raise AnswerIsNo(str(error)) from None
        after = ledger.reading.story(lead_id)
    assert after is not None
    say(f"Lead {lead} {_DONE[order].format(state=after.lead.state)}")


_DONE = {
    "rung": "is called now. The CRM is told, if its source writes this result back.",
    "give-up": "is failed now. The CRM is told, if its source writes this result back.",
    "ring-again": "is rung again: a running `ringback serve` dials it within a second.",
    "decide-again": "goes to the rules again. A running `ringback serve` decides on it within a second.",
    "tell-crm": "stays {state}; its write-back goes out again, if its source writes this result back. A running "
    "`ringback serve` sends it within a second.",
}


def _one(given: Sequence[str]) -> str:
    """The order, when it is the only one: of two that exclude each other none is the one that was meant."""
    if not given:
        raise click.UsageError(
            f"say what is to become of the lead: one of {', '.join(f'--{name}' for name in _ORDERS)}"
        )
    if len(given) > 1:
        raise click.UsageError(f"give one order only: {' or '.join(f'--{name}' for name in given)}")
    return given[0]


def _give(ledger: Ledger, lead_id: LeadId, order: str, *, by: str, note: str, call_id: str | None) -> None:
    people = ledger.people
    match order:
        case "rung":
            people.was_rung(lead_id, by=by, note=note, call_id=call_id)
        case "give-up":
            people.give_up(lead_id, by=by, note=note)
        case "ring-again":
            people.ring_again(lead_id, by=by, note=note)
        case "decide-again":
            people.decide_again(lead_id, by=by, note=note)
        case "tell-crm":
            people.tell_crm_again(lead_id, by=by, note=note)


def _warn(story: LeadStory, *, ask: bool) -> None:
    """Say what a second call risks, and ask. A lead in another state is refused before anybody is asked."""
    lead = story.lead
    if lead.state is not LeadState.UNKNOWN:
        raise AnswerIsNo(f"lead {lead.id} is {lead.state}; --ring-again is for a lead that is unknown")
    when = f" at {utc(story.attempts[-1].intent_at)}" if story.attempts else ""
    say(
        f"The phone {mask(lead.to_number or '')} may have rung{when}; nobody knows. If it did, this rings the person a "
        "second time. Look into the contact centre's call list first."
    )
    if ask and not confirmed(f"Ring lead {lead.id} again?"):
        say(f"Lead {lead.id} is not rung again; it stays {lead.state}.")
        raise click.exceptions.Exit(1)


def _call_id(order: str, call_id: str | None) -> str | None:
    if call_id is None:
        return None
    if order != "rung":
        raise click.UsageError("--call-id goes with --rung only")
    text = call_id.strip()
    if not 0 < len(text) <= LONGEST_CALL_ID or not text.isprintable():
        raise click.BadParameter(f"a call's id has 1 to {LONGEST_CALL_ID} printable characters", param_hint="--call-id")
    return text


def person(by: str | None) -> str:
    """Who gives an order: the name that was given, else this machine's user."""
    if by is None:
        try:
            by = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            by = ""
    name = clean(by).strip()
    if not name:
        raise click.UsageError("say who orders this with --by NAME; this machine's user has no name")
    return name[:LONGEST_NAME]


def noted(note: str) -> str:
    """A person's words as the ledger keeps them: one line, not too long, without numbers."""
    return mask_numbers(clean(note).strip())[:LONGEST_NOTE]
