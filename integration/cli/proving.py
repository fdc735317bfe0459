"""`evidence`: what was asked before each step of a lead, and what was seen. All of it stands in the history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import click

from integration.cli.access import story_of
from integration.cli.terminal import LeadNumber, clean, iso, say_json, wrapped
from integration.ledger import LeadStory
from integration.model import HistoryEntry

_NAME, _VERDICT = 14, 10  # columns


@click.command()
@click.argument("lead", type=LeadNumber())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def evidence(lead: int, as_json: bool) -> None:
    """Say what was checked before each step of a lead.

    And what each check saw: calling hours with the zone and how it was found, freshness, consent, pauses, the
    do-not-call list, limits, the cooldown, and the version of the rules. It was written with the step itself, and the
    database refuses to change it. Numbers are masked. Exit code 1 when there is no such lead.

    \b
    Example:
      ringback evidence 12
      ringback evidence 12 --json
    """
    story = story_of(lead)
    if as_json:
        say_json(_as_json(story))
        return
    for line in _lines(story):
        click.echo(clean(line))


def _steps(story: LeadStory) -> Iterator[tuple[HistoryEntry, Mapping[str, Any]]]:
    for entry in story.history:
        if entry.evidence is not None:
            yield entry, entry.evidence


def _lines(story: LeadStory) -> Iterator[str]:
    yield f"Lead {story.lead.id}: {story.lead.state}" + (f" ({story.lead.reason})" if story.lead.reason else "")
    steps = list(_steps(story))
    if not steps:
        yield "Nothing was asked about it yet: no rule wanted to call it, or an older version moved it."
    for entry, found in steps:
        at = entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        yield ""
        yield from wrapped(f"{at} UTC  {entry.what}: {entry.detail}", "  ")
        yield f"  rules version {found['rules']}"
        for check in found["checks"]:
            head = f"  {check['name'].ljust(_NAME)}{check['verdict'].ljust(_VERDICT)}"
            yield from wrapped(head + _seen(check["saw"]), " " * (_NAME + _VERDICT + 2))


def _seen(saw: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {_shown(value)}" for name, value in saw.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(story: LeadStory) -> dict[str, object]:
    steps = [
        {"at": iso(entry.at), "what": entry.what, "detail": entry.detail, **found} for entry, found in _steps(story)
    ]
    return {"lead": story.lead.id, "state": story.lead.state, "reason": story.lead.reason, "steps": steps}
