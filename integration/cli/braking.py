"""`pause` and `resume`: orders to wait and to go on. What waits is listed before anybody lets it go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import click

from integration.bootstrap import read_environment, read_rules_to_look, rules_path
from integration.cli.access import existing_ledger
from integration.cli.resolving import noted, person
from integration.cli.terminal import (
    AnswerIsNo,
    CannotBegin,
    Whole,
    confirmed,
    counted,
    say,
    say_json,
    table,
    utc,
)
from integration.ledger import BURST, Brake, LeadRow, Ledger, Withheld
from integration.model import SCOPE_OF_ALL
from integration.phone import mask
from integration.rules import Rules, RulesError
from integration.settings import SettingsError, read_settings

ALL = "all"
KINDS = ("source", "account", "rule")
SHOWN = 20  # of what waits
PER_MINUTE = 10
_FORMS = "all, source:NAME, account:NAME or rule:NAME"


@click.command()
@click.argument("scope", default=ALL)
@click.option("--why", metavar="TEXT", required=True, help="For whoever looks into it later. Numbers are masked.")
@click.option("--by", metavar="NAME", help="Who orders it. Default: the user of this machine.")
def pause(*, scope: str, why: str, by: str | None) -> None:
    """Let no new call begin, on any machine.

    It holds from this moment on. SCOPE is all (also when left out), source:NAME, account:NAME or rule:NAME. Webhooks
    are taken as ever; the leads wait as `paused_by_person` until somebody resumes. Calls under way go on.

    \b
    Example:
      ringback pause --why "the script is wrong"
      ringback pause account:us-east --why "no agents until noon"
      ringback pause "rule:Everyone else" --why "waiting for legal"
    """
    reason, who = noted(why), person(by)
    if not reason:
        raise click.UsageError("say why with --why TEXT")
    environ = read_environment()
    settings = read_settings(environ)
    wanted = _scope(scope, _rules(environ))
    with existing_ledger(settings) as ledger:
        ledger.brakes.pull(wanted, who=who, why=reason)
    say(f"{_title(wanted)} is paused: no new call begins, on any machine. Calls under way go on.")
    say(f"`ringback resume {_typed(wanted)}` lists what waits, and lets it go.")


@click.command()
@click.argument("scope", required=False)
@click.option("--per-minute", type=Whole(1, 6000), default=PER_MINUTE, show_default=True, help="How many go a minute.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", metavar="NAME", help="Who orders it, for the leads' history. Default: the user of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON; with a scope it needs --yes or --dry-run.")
def resume(*, scope: str | None, per_minute: int, dry_run: bool, yes: bool, by: str | None, as_json: bool) -> None:
    """List what waits for a person, and let it go.

    That is what a pause has withheld, and what was held of a burst. Without SCOPE it lists what is in force. SCOPE is
    as for `pause`, or burst:SOURCE. First it says how many leads wait, how old they are, and which go first. Then it
    asks. The freshest lead goes first, and so many a minute; each is decided and judged anew at its time. Exit code 1
    when nothing of that name is in force, or the answer is no.

    \b
    Example:
      ringback resume
      ringback resume account:us-east
      ringback resume burst:our-crm --per-minute 5 --dry-run
      ringback resume all --yes
    """
    if as_json and scope is not None and not (yes or dry_run):
        raise click.UsageError("--json asks nothing; add --yes or --dry-run")
    who = person(by)
    with existing_ledger(read_settings(read_environment())) as ledger:
        if scope is None:
            _say_in_force(ledger, as_json)
            return
        wanted = _in_force(ledger, scope)
        found = ledger.brakes.withheld(wanted, SHOWN)
        rows = ledger.reading.some(found.freshest)
        if as_json:
            say_json(_as_json(found, rows, per_minute, done=not dry_run))
        else:
            _say_withheld(found, rows, per_minute)
        if dry_run:
            return
        if found.count and not yes and not confirmed(f"Let {counted(found.count, 'lead')} go?"):
            say("Nothing is let go; it stays as it was.")
            raise click.exceptions.Exit(1)
        gone = _let_go(ledger, found, per_minute, who)
    if not as_json:
        say(f"{_title(wanted)} goes on; {counted(gone, 'lead')} let go.")


# ---- names ----------------------------------------------------------------------------------------


def _scope(text: str, rules: Rules | None) -> str:
    """The scope that a person means. A name that the rules do not know would stop nothing, so it is refused."""
    if text.strip() in (ALL, SCOPE_OF_ALL):
        return SCOPE_OF_ALL
    kind, colon, name = (part.strip() for part in text.partition(":"))
    if not colon or kind not in KINDS or not name:
        raise click.UsageError(f"{text!r} cannot be paused; write {_FORMS}")
    if rules is None:
        return f"{kind}:{name}"
    known = {"source": rules.sources, "account": rules.accounts, "rule": [rule.name for rule in rules.rules]}[kind]
    meant = next((one for one in known if one.casefold() == name.casefold()), None)
    if meant is None:
        names = ", ".join(list(known)[:SHOWN])
        raise CannotBegin(f"the rules have no {kind} {name!r}, so this would stop nothing; there are: {names}")
    return f"{kind}:{meant}"


def _rules(environ: Mapping[str, str]) -> Rules | None:
    """The rules, to check a name against; whoever has broken them may pause all the same."""
    try:
        return read_rules_to_look(rules_path(environ), environ)
    except (RulesError, SettingsError):
        return None


def _in_force(ledger: Ledger, text: str) -> str:
    wanted = SCOPE_OF_ALL if text.strip() == ALL else text.strip()
    known = [brake.scope for brake in ledger.brakes.standing()] + [burst.scope for burst in ledger.brakes.bursts()]
    meant = next((one for one in known if one.casefold() == wanted.casefold()), None)
    if meant is None:
        there = ", ".join(map(_typed, known)) or "nothing"
        raise AnswerIsNo(f"{text!r} is not paused, and nothing is held of it; in force: {there}")
    return meant


def _typed(scope: str) -> str:
    """A scope as a person types it."""
    typed = ALL if scope == SCOPE_OF_ALL else scope
    return f'"{typed}"' if " " in typed else typed


def _title(scope: str) -> str:
    if scope == SCOPE_OF_ALL:
        return "All dialling"
    kind, _, name = scope.partition(":")
    return f"{'The burst of source' if scope.startswith(BURST) else kind.capitalize()} {name}"


# ---- what waits -----------------------------------------------------------------------------------


def _say_in_force(ledger: Ledger, as_json: bool) -> None:
    brakes, bursts = ledger.brakes.standing(), ledger.brakes.bursts()
    waiting = {brake.scope: ledger.brakes.withheld(brake.scope, 0) for brake in brakes}
    if as_json:
        paused = [{**_brake_as_json(brake), "withheld": waiting[brake.scope].count} for brake in brakes]
        held = [{"scope": burst.scope, "held": burst.count, "oldest": burst.oldest} for burst in bursts]
        say_json({"paused": paused, "bursts": held})
        return
    if not brakes and not bursts:
        say("Nothing is paused, and nothing is held.")
    for brake in brakes:
        count = counted(waiting[brake.scope].count, "lead")
        say(f"{describe(brake)} {count} wait; `ringback resume {_typed(brake.scope)}` lets them go.")
    for burst in bursts:
        say(describe_burst(burst))


def describe(brake: Brake) -> str:
    """A brake in one sentence."""
    return f"{_title(brake.scope)} is paused since {utc(brake.since)} by {brake.who}: {brake.why}."


def describe_burst(burst: Withheld) -> str:
    """What is held of a burst, and what to do."""
    oldest = "" if burst.oldest is None else f", the oldest since {utc(burst.oldest)}"
    source = burst.scope.removeprefix(BURST)
    return (
        f"{counted(burst.count, 'lead')} of source {source} held, because far more came than is normal{oldest}; "
        f"`ringback resume {_typed(burst.scope)}` lists them and lets them go"
    )


def _brake_as_json(brake: Brake) -> dict[str, object]:
    return {"scope": _typed(brake.scope).strip('"'), "since": brake.since, "by": brake.who, "why": brake.why}


def _say_withheld(found: Withheld, rows: Sequence[LeadRow], per_minute: int) -> None:
    if not found.count:
        say("No lead waits for it.")
        return
    assert found.oldest is not None
    say(f"{counted(found.count, 'lead')} wait; the oldest was received {utc(found.oldest)}. The first to go:")
    cells = [
        [row.id, utc(row.received_at), mask(row.to_number) if row.to_number else "", row.account or "", row.source]
        for row in rows
    ]
    for line in table(["LEAD", "RECEIVED", "NUMBER", "ACCOUNT", "SOURCE"], cells):
        click.echo(line)
    if found.count > len(rows):
        say(f"and {found.count - len(rows)} more.")
    lasts = timedelta(minutes=found.count / per_minute)
    ends = datetime.now(UTC) + lasts
    say(f"With {per_minute} a minute the last goes at about {utc(ends)}; each is decided and judged anew at its time.")


def _as_json(found: Withheld, rows: Sequence[LeadRow], per_minute: int, *, done: bool) -> dict[str, object]:
    return {
        "scope": _typed(found.scope).strip('"'),
        "count": found.count,
        "oldest": found.oldest,
        "per_minute": per_minute,
        "first": [{"id": row.id, "received_at": row.received_at, "source": row.source} for row in rows],
        "let_go": done,
    }


def _let_go(ledger: Ledger, found: Withheld, per_minute: int, who: str) -> int:
    gone = 0
    steps = ledger.brakes.let_go(found.scope, per_minute=per_minute, who=who)
    with click.progressbar(length=found.count, label="Leads", hidden=found.count <= 1000) as bar:
        for so_far in steps:
            bar.update(so_far - gone)
            gone = so_far
    return gone
