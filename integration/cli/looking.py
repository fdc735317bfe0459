"""`leads` and `show`: looks into the ledger. A list never holds a whole phone number."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

from integration.bootstrap import read_environment
from integration.cli.access import existing_ledger, story_of
from integration.cli.story import story_as_json, story_lines
from integration.cli.terminal import (
    BLOCK,
    LeadNumber,
    Whole,
    clean,
    csv_lines,
    json_lines,
    read_since,
    say,
    say_json,
    table,
)
from integration.ledger import LeadRow
from integration.model import LeadState, WritebackState
from integration.phone import mask
from integration.settings import read_settings

# The words of the CRM column: a lead may be parked, and the telling of it as well, which is another thing.
TELLING = {WritebackState.PENDING: "telling", WritebackState.DONE: "told", WritebackState.PARKED: "not told"}

# As `--crm` takes them: the words of the ledger, and those that the column shows.
_TOLD = {**{str(state): state for state in WritebackState}, **{word: state for state, word in TELLING.items()}}

LONG_LIST = 1000  # beyond so many leads their count shows while they are written


class Since(click.ParamType[datetime]):
    """A time ago or a date."""

    name = "when"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return read_since(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in LeadState]),
    help="Only leads in this state; may be given several times.",
)
@click.option(
    "--crm",
    "told",
    multiple=True,
    type=click.Choice([*_TOLD]),
    metavar="HOW",
    help="Only leads of which the CRM is yet to be told (telling, or pending), was told (told, or done), or which need "
    "a person ('not told', or parked).",
)
@click.option("--since", type=Since(), help="Only leads received since: 30m, 2h, 3d, or 2026-11-01 (UTC).")
@click.option("--limit", type=Whole(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the list as CSV, harmless for a spreadsheet.")
def leads(
    *,
    states: Sequence[str],
    told: Sequence[str],
    since: datetime | None,
    limit: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List leads, the newest first.

    Numbers are masked. Times are UTC. Under CRM stands whether the CRM knows the result: told, telling, or not told,
    which needs a person.

    \b
    Example:
      ringback leads
      ringback leads --state unknown --state parked --since 2h
      ringback leads --crm parked
      ringback leads --since 2026-11-01 --limit 1000 --csv > leads.csv
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other; take one")
    with existing_ledger(read_settings(read_environment())) as ledger:
        found = ledger.reading.leads(
            states=[LeadState(one) for one in states],
            told=[_TOLD[one] for one in told],
            since=since,
            most=limit,
        )
        if not as_json and not as_csv:
            _say_leads(found, narrowed=bool(states or told) or since is not None, limit=limit)
            return
        with _followed(found, limit) as rows:
            told_rows = map(lead_as_json, rows)
            cells = ([row[name] for name in _COLUMNS] for row in told_rows)
            for piece in json_lines(told_rows) if as_json else csv_lines(_COLUMNS, cells):
                click.echo(piece, nl=False)


def _followed(found: Iterator[LeadRow], limit: int) -> contextlib.AbstractContextManager[Iterable[LeadRow]]:
    """The leads, counted on the terminal while a long list goes into a file."""
    hidden = limit <= LONG_LIST or sys.stdout.isatty() or not sys.stderr.isatty()
    return click.progressbar(
        found, label="Leads", show_pos=True, update_min_steps=BLOCK, file=sys.stderr, hidden=hidden
    )


def _say_leads(found: Iterator[LeadRow], *, narrowed: bool, limit: int) -> None:
    count = 0

    def cells() -> Iterator[list[object]]:
        nonlocal count
        for row in found:
            count += 1
            yield _cells(row)

    headings = ["LEAD", "RECEIVED (UTC)", "STATE", "NUMBER", "ACCOUNT", "CRM", "CALL OR REASON"]
    for line in table(headings, cells()):
        if count:
            click.echo(line)
    if not count:
        say("No lead fits." if narrowed else "No leads yet.")
    elif count == limit:
        click.echo(f"These are the newest {limit}; --limit shows more.", err=True)


def _cells(row: LeadRow) -> list[object]:
    received = row.received_at.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    number = mask(row.to_number) if row.to_number else ""
    why = row.call_id or row.reason or ""
    told = "" if row.writeback_state is None else TELLING[row.writeback_state]
    return [row.id, received, row.state, number, row.account or "", told, why]


_COLUMNS = (
    "id", "source", "state", "reason", "detail", "received_at", "updated_at", "due_at", "record_id", "to", "account",
    "rule", "rule_line", "rules_version", "attempts", "call_id", "call_status", "write_back",
)  # fmt: skip


def lead_as_json(row: LeadRow) -> Mapping[str, object]:
    """A lead for scripts, its number masked."""
    return {
        "id": row.id,
        "source": row.source,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "received_at": row.received_at,
        "updated_at": row.updated_at,
        "due_at": row.due_at,
        "record_id": row.record_id,
        "to": mask(row.to_number) if row.to_number else None,
        "account": row.account,
        "rule": row.rule_name,
        "rule_line": row.rule_line,
        "rules_version": row.rules_digest,
        "attempts": row.attempts,
        "call_id": row.call_id,
        "call_status": row.call_status,
        "write_back": row.writeback_state,
    }


@click.command()
@click.argument("lead", type=LeadNumber())
@click.option("--reveal", is_flag=True, help="Show whole numbers, and the message as the CRM sent it.")
@click.option("--json", "as_json", is_flag=True, help="Print the story as JSON.")
def show(lead: int, reveal: bool, as_json: bool) -> None:
    """Tell the whole story of one lead.

    What the CRM sent, which rule decided (its line, and the version of the rules file), each attempt to call, the
    telling of the CRM, and everything that happened with its time. Exit code 1 when there is no such lead.

    \b
    Example:
      ringback show 12
      ringback show 12 --reveal
    """
    story = story_of(lead)
    if as_json:
        say_json(story_as_json(story, lead_as_json(story.lead), reveal=reveal))
        return
    for line in story_lines(story, reveal=reveal):
        click.echo(clean(line))
