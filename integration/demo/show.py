"""What the demo prints: plain lines of at most 100 columns; colour only at a terminal."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator

import click

from integration.demo.stage import RULES_NAME, Child, Stage
from integration.demo.stories import SOURCE, STORIES, Story
from integration.demo.witness import Delivery, Seen

_WIDTH = 98
_LABEL = 20


def opening(stage: Stage, *, own_rules_differ: bool) -> None:
    """What runs where, and by which rules."""
    click.echo("Ringback, the real server, between a contact centre and a CRM that exist only on this machine.")
    click.echo(f"Nobody's phone rings. {len(STORIES)} webhooks are sent, and what comes of each is seen from outside.")
    click.echo()
    _line("contact centre", stage.contact_centre_url)
    _line("CRM", stage.crm_url)
    _line("Ringback", f"{stage.server_url}/hooks/{SOURCE}")
    _line("rules", f"{RULES_NAME}, a copy of the config/rules.yaml that ships")
    _line("", "without its hours, freshness and limits, so that it comes out the same at any hour")
    if own_rules_differ:
        _line(
            "",
            "your config/rules.yaml differs from the one that ships; the demo rehearses the shipped one; for yours: "
            "`ringback check`, `ringback explain FILE`",
        )
    _line("ledger", "a temporary SQLite file")


def story(number: int, told: Story, seen: Seen | None, problems: list[str]) -> None:
    """One story with its verdict."""
    click.echo()
    mark = click.style("✗ wrong", fg="red") if problems else click.style("✓", fg="green")
    click.echo(f"{click.style(f'{number}. {told.title}', bold=True)}  {mark}")
    if seen is not None:
        word = seen.answer.get("status") or seen.answer.get("error", "")
        _line("answer to the CRM", f"{seen.status} {word}, after {seen.answered_ms:.1f} ms")
        _line("decision", _decision(seen))
        for label, text in _calls(seen):
            _line(label, text)
        _line("record in the CRM", _record(seen))
    for problem in problems:
        _line(click.style("wrong", fg="red"), problem)


def _decision(seen: Seen) -> str:
    lead = seen.lead
    if lead is None:
        return "none: nothing of it was kept"
    rule = f'rule "{lead.rule_name}", {RULES_NAME}:{lead.rule_line}' if lead.rule_name else "no rule"
    if lead.account is not None:
        return f"call from {lead.account}: {rule}"
    return f"{lead.state} ({lead.reason}): {rule}"


def _calls(seen: Seen) -> Iterator[tuple[str, str]]:
    if not seen.calls:
        yield "call", "none: the contact centre was not asked"
        return
    first = seen.calls[0]
    times = "once" if len(seen.calls) == 1 else f"{len(seen.calls)} times"
    after = seen.call_after_ms
    if after is None:
        yield "call", f"no second one: asked to ring {first['to']} {times} in all"
        return
    yield "call", f"asked to ring {first['to']} {times}, {after:.0f} ms after the webhook was sent"
    yield "call id", str(first["call_id"]) if first["answered"] else "unknown: the answer never came"


def _record(seen: Seen) -> str:
    told = {name: value for name, value in seen.record.items() if name.startswith("ringback_")}
    shown = ", ".join(f"{name.removeprefix('ringback_')}: {value}" for name, value in told.items() if value)
    return f"{seen.record.get('Id')}: {shown or 'as it was'}"


def summary(right: int, asked: Counter[str] | None, seconds: float, problems: list[str]) -> None:
    """The verdict on the whole. `asked`: the contact centre's count for each number, None if it is not known."""
    click.echo()
    click.echo(f"{right} of {len(STORIES)} came out right, in {seconds:.1f} s.", nl=asked is None)
    if asked is not None:
        most = max(asked.values(), default=0)
        at_most = "at most once" if most <= 1 else f"up to {most} times"
        click.echo(f" The contact centre was asked {asked.total()} times, for each lead {at_most}.")
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')} {problem}")


def trouble(server: Child) -> None:
    """After something went wrong: what the server said last."""
    click.echo("The server's last lines:")
    for line in server.last_lines():
        click.echo(f"  | {line}")


def how_to_go_on() -> None:
    click.echo("To look around and send leads of your own: ringback demo --keep. To connect your CRM: README.md.")


def kept(stage: Stage, delivery: Delivery) -> None:
    """Everything that is needed to look around and to send another lead; what is to be pasted stands unwrapped."""
    authorization = f"-H 'Authorization: Bearer {stage.crm_token}'"
    click.echo()
    click.echo(click.style("All of it keeps running until Ctrl-C.", bold=True))
    _line("webhooks go to", f"{stage.server_url}/hooks/{SOURCE}")
    _line("asked to ring", f"{stage.contact_centre_url}/_sandbox/requests")
    click.echo()
    click.echo("In a second terminal, after `. .venv/bin/activate`, this line points ringback at it:")
    click.echo()
    click.echo(_export(stage))
    click.echo()
    click.echo("Then try ringback leads, show 1, doctor, accounts, call +15551234109 --account us-east, or")
    click.echo(f"send {SOURCE} (the CRM has no record of the leads that `send` makes up, and refuses their results).")
    click.echo()
    click.echo("The CRM's records:")
    click.echo()
    click.echo(f"curl -s {stage.crm_url}/leads {authorization}")
    click.echo()
    click.echo("Another lead, and its record afterwards (send it twice, and nobody is rung twice):")
    click.echo()
    click.echo(f"body={shlex.quote(delivery.body.decode())}")
    click.echo(f"signature=$(printf %s \"$body\" | openssl dgst -sha256 -hmac {stage.secret} | sed 's/.* //')")
    click.echo(f"curl -s {stage.server_url}/hooks/{SOURCE} -H 'Content-Type: application/json' \\")
    click.echo('  -H "X-Signature: sha256=$signature" -d "$body"')
    click.echo(f"sleep 1; curl -s {stage.crm_url}/leads/{delivery.record_id} {authorization}")
    click.echo()


def _export(stage: Stage) -> str:
    """One line for a shell. PUBLIC_URL is where `send` sends: what another shell has there would be a real server."""
    settings = {**stage.settings, "PUBLIC_URL": stage.server_url}
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())


def _line(label: str, text: str) -> None:
    plain = click.unstyle(label)
    first = f"   {label}{' ' * max(1, _LABEL - len(plain))} "
    lines = textwrap.wrap(text, _WIDTH - _LABEL - 4, break_long_words=False, break_on_hyphens=False) or [""]
    click.echo(first + lines[0])
    for line in lines[1:]:
        click.echo(" " * (_LABEL + 4) + line)
