"""`doctor`: each thing that must be right for a lead to be called, asked where it can be known.

Nothing is rung. A finding is BAD when leads are not called or the CRM is not told because of it, WARN when a person
should know. The one thing changed: when the dialer answers as it should, pauses that an earlier failure set are
lifted, because whoever mends something runs this next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import click

from integration.bootstrap import missing_dnc_key, need_public_url, open_ledger, read_environment_to_judge, rules_path
from integration.cli.access import connect, make_client, missing_ledger, quiet
from integration.cli.braking import describe, describe_burst
from integration.cli.calling import find_accounts
from integration.cli.judging import Verdict, judge
from integration.cli.signing import signature
from integration.cli.terminal import counted, say_json, utc, wrapped
from integration.dialers import Dialer, DialerError
from integration.http import Client, HttpError
from integration.ledger import Ledger, LedgerUnavailable
from integration.model import LeadState, Reason, WritebackState
from integration.rules import Rules
from integration.settings import (
    DialerSettings,
    Dialing,
    Settings,
    SettingsError,
    read_dialer_settings,
    read_settings,
)

PUBLIC_URL_SECONDS = 5.0
MOST_COUNTED = 1000  # leads that are looked for; beyond so many the exact count helps nobody
IDS_SHOWN = 10
SECONDS_TO_BEGIN = 5.0  # a lead that has waited so long found nobody at once


class Level(StrEnum):
    """How much a finding matters."""

    OK = "OK"
    WARN = "WARN"
    BAD = "BAD"


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, what was found, and what to do."""

    level: Level
    about: str
    says: str


class Doctor(click.Group):
    """`doctor` and the one command under it. It looks at everything, so it takes nothing else."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].isdecimal():
            lead = int(args[0][:20])
            ctx.fail(
                f"doctor looks at everything, not at one lead; `ringback show {lead}` tells the story of lead {lead}"
            )
        if args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail("doctor takes no argument; only `ringback doctor signature SOURCE FILE` does")
        return super().resolve_command(ctx, args)


@click.group(cls=Doctor, invoke_without_command=True, subcommand_metavar="[signature ...]")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Ask the outside world, and say what does not work.

    Looks at the settings, the rules and their tests, the dialer (token, each account of the rules), the database,
    leads that need a person, and PUBLIC_URL. Rings nobody. When the dialer answers as it should, pauses are lifted
    and waiting leads go on. Exit code 1 when a finding is BAD.

    \b
    Example:
      ringback doctor
      ringback doctor --json
    """
    if ctx.invoked_subcommand is not None:
        return
    findings = []
    for finding in examine(*read_environment_to_judge()):
        findings.append(finding)
        if not as_json:
            say_finding(finding)
    bad = sum(finding.level is Level.BAD for finding in findings)
    if as_json:
        rows = [{"level": one.level, "about": one.about, "says": one.says} for one in findings]
        say_json({"ok": bad == 0, "findings": rows})
    else:
        warned = sum(finding.level is Level.WARN for finding in findings)
        click.echo(f"{counted(bad, 'problem') if bad else 'No problem'}, {counted(warned, 'warning')}.")
    if bad:
        raise click.exceptions.Exit(1)


doctor.add_command(signature)


def say_finding(finding: Finding) -> None:
    """One finding for a person."""
    first, *rest = wrapped(f"{finding.level:<4}  {finding.about:<9} {finding.says}", " " * 16)
    click.echo(click.style(first[:4], fg=_COLOURS[finding.level]) + first[4:])
    for line in rest:
        click.echo(line)


# ---- everything in its order --------------------------------------------------------------------


def examine(environ: Mapping[str, str], mistakes: Sequence[str] = ()) -> Iterator[Finding]:
    """Every finding, as it is made. `mistakes` are those of reading the environment itself."""
    settings, dialer_settings, findings = _settings(environ, mistakes)
    yield from findings
    if settings is not None:
        yield _dialing(settings.dialing)
    rules, findings = _rules(environ)
    yield from findings
    dialer_works = False
    if dialer_settings is None:
        yield Finding(Level.WARN, "dialer", "not asked until the settings are right")
    else:
        findings = list(examine_dialer(connect(dialer_settings), dialer_settings.base_url, rules))
        dialer_works = all(finding.level is not Level.BAD for finding in findings)
        yield from findings
    if rules is not None:
        mistakes = missing_dnc_key(rules, environ.get("RINGBACK_DNC_KEY", "").strip())
        yield from (Finding(Level.BAD, "settings", mistake) for mistake in mistakes)
    if settings is None:
        yield Finding(Level.WARN, "database", "not checked until the settings are right")
    else:
        yield from _database(settings, dialer_works=dialer_works)
        yield from _public_url(settings, rules, make_client())


def _settings(
    environ: Mapping[str, str], unread: Sequence[str]
) -> tuple[Settings | None, DialerSettings | None, list[Finding]]:
    settings, dialer_settings, mistakes = None, None, list(unread)
    try:
        settings = read_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    try:
        dialer_settings = read_dialer_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    findings = [Finding(Level.BAD, "settings", mistake) for mistake in mistakes]
    if not mistakes:
        findings.append(Finding(Level.OK, "settings", "all of them can be read"))
    findings += [Finding(Level.WARN, "settings", warning) for warning in (settings.warnings if settings else ())]
    if dialer_settings is not None and dialer_settings.base_url.startswith("http://"):
        text = f"the dialer is reached without https at {dialer_settings.base_url}; fine for a sandbox only"
        findings.append(Finding(Level.WARN, "settings", text))
    return settings, dialer_settings, findings


def _dialing(dialing: Dialing) -> Finding:
    if dialing.everybody:
        return Finding(Level.OK, "dialling", "RINGBACK_DIALING is on: whoever the rules name is rung")
    if dialing.is_off:
        return Finding(Level.WARN, "dialling", "RINGBACK_DIALING is off: nobody is rung, leads end as rehearsed")
    count = counted(len(dialing.only), "number")
    text = f"RINGBACK_DIALING lists {count}: only they are rung, other leads end as rehearsed"
    return Finding(Level.WARN, "dialling", text)


def _rules(environ: Mapping[str, str]) -> tuple[Rules | None, list[Finding]]:
    try:
        verdict = judge(rules_path(environ), environ, None)
    except SettingsError as error:
        return None, [Finding(Level.BAD, "rules", mistake) for mistake in error.mistakes]
    return verdict.rules, rules_findings(verdict)


def rules_findings(verdict: Verdict) -> list[Finding]:
    """The verdict on the rules as findings: mistakes and failed tests are BAD, warnings are not."""
    if verdict.is_good and not verdict.warnings:
        return [Finding(Level.OK, "rules", verdict.summary().removeprefix("✓ "))]
    level = Level.WARN if verdict.is_good else Level.BAD
    findings = [Finding(level, "rules", line) for line in verdict.lines() if ": warning: " not in line]
    findings += [Finding(Level.WARN, "rules", line) for line in verdict.lines() if ": warning: " in line]
    return findings


# ---- the dialer ---------------------------------------------------------------------------------


def examine_dialer(dialer: Dialer, base_url: str, rules: Rules | None) -> Iterator[Finding]:
    """Token, list and each account of the rules. Never raises for what the dialer does."""
    wanted = {} if rules is None else rules.accounts
    try:
        listed = dialer.accounts()
    except DialerError as error:
        only_the_list = error.outcome.reason is Reason.SCOPE_MISSING and all(one.id for one in wanted.values())
        level = Level.WARN if only_the_list else Level.BAD
        yield Finding(level, "dialer", f"{base_url}: {error.outcome.message}")
        return
    yield Finding(
        Level.OK,
        "dialer",
        f"{base_url} gives out a token and lists {counted(len(listed), 'account')}. Whether the client may place calls "
        "(personalconnection:write) shows when the first is placed; `ringback call NUMBER --account KEY` tries it",
    )
    names = {row.id: f"{row.name or 'without a name'}, {row.number or 'without a number'}" for row in listed}
    for key, found in find_accounts(dialer, wanted, listed).items():
        if found.account_id is None:
            yield Finding(Level.BAD, "dialer", f"account {key}: {found.problem}")
        else:
            yield Finding(Level.OK, "dialer", f"account {key}: id {found.account_id} ({names[found.account_id]})")


# ---- the database -------------------------------------------------------------------------------


def _database(settings: Settings, *, dialer_works: bool) -> Iterator[Finding]:
    missing = missing_ledger(settings)
    if missing is not None:
        yield Finding(Level.WARN, "database", missing)
        return
    quiet()
    try:
        ledger = open_ledger(settings)
        try:
            yield from _ledger(ledger, dialer_works)
        finally:
            ledger.close()
    except LedgerUnavailable as error:
        yield Finding(Level.BAD, "database", str(error))


def _ledger(ledger: Ledger, dialer_works: bool) -> Iterator[Finding]:
    if not ledger.is_migrated():
        yield Finding(Level.BAD, "database", "it answers and is not migrated; run `ringback release`")
        return
    yield Finding(Level.OK, "database", f"{ledger.database.dialect} answers and is migrated")
    for name, ids in ledger.reading.broken_invariants().items():
        runs = "`ringback serve` or a `ringback worker`"
        does_it_run = f"Does {runs} run? `ringback show {ids[0]}` tells more; if it runs, report this"
        text = f"{name}: {_ids(ids)}. {does_it_run}"
        yield Finding(Level.BAD, "database", text)
    yield from _idle(ledger)
    yield from _pauses(ledger, dialer_works)
    yield from _house(ledger)
    counts = ledger.reading.counts()
    for state in (LeadState.UNKNOWN, LeadState.PARKED):
        newest = [row.id for row in ledger.reading.leads(states=[state], most=IDS_SHOWN)]
        if newest:
            yield Finding(Level.WARN, "leads", _needed(state, newest, max(counts.get(state, 0), len(newest))))
    untold = [row.id for row in ledger.reading.leads(told=[WritebackState.PARKED], most=MOST_COUNTED)]
    if untold:
        text = (
            f"the CRM could not be told of {_ids(untold)}: `ringback show {untold[0]}`, then "
            f"`ringback resolve {untold[0]} --tell-crm`" + _all_of(len(untold), "--crm parked")
        )
        yield Finding(Level.WARN, "leads", text)


def _idle(ledger: Ledger) -> Iterator[Finding]:
    """Leads that could be moved, and nobody who would."""
    waiting = list(ledger.upkeep.due_leads(overdue_seconds=SECONDS_TO_BEGIN))
    if waiting and not ledger.upkeep.somebody_works():
        verb = "waits" if len(waiting) == 1 else "wait"
        who = "Run `ringback serve`, or a `ringback worker` beside `ringback web`"
        yield Finding(Level.BAD, "leads", f"{_ids(waiting)} {verb}, and no process works. {who}")


def _needed(state: LeadState, newest: Sequence[int], count: int) -> str:
    """What a person is to do about leads in this state, as commands that can be run."""
    first = newest[0]
    if state is LeadState.UNKNOWN:
        phones = "the phone" if count == 1 else "these phones"
        what = (
            f"Nobody knows whether {phones} rang. Look into the contact centre, then "
            f"`ringback resolve {first} --rung`, `--ring-again` or `--give-up`"
        )
    else:
        what = f"Nothing was dialled, a person must look: `ringback show {first}`"
    return f"{state}: {_ids(newest, count)}. {what}" + _all_of(count, f"--state {state}")


def _all_of(count: int, narrowed: str) -> str:
    return "" if count == 1 else f"; all of them: `ringback leads {narrowed}`"


def _pauses(ledger: Ledger, dialer_works: bool) -> Iterator[Finding]:
    pauses = ledger.reading.pauses()
    for pause in pauses:
        what = "all dialling" if pause.scope == "*" else f"account {pause.scope}"
        text = f"{what} is paused since {utc(pause.since)} ({pause.reason}): {pause.message}"
        if dialer_works:
            yield Finding(Level.WARN, "pause", f"{text} Lifted now")
        else:
            again = f"Tried again at {utc(pause.probe_at)}, or when `ringback doctor` finds the dialer right"
            yield Finding(Level.BAD, "pause", f"{text} {again}")
    if pauses and dialer_works:
        ledger.upkeep.clear_pauses()


def _house(ledger: Ledger) -> Iterator[Finding]:
    """What people, the do-not-call list and bursts hold back."""
    for brake in ledger.brakes.standing():
        yield Finding(Level.WARN, "pause", f"{describe(brake)} `ringback resume` lists what waits")
    for burst in ledger.brakes.bursts():
        yield Finding(Level.WARN, "burst", describe_burst(burst))
    queue = ledger.rates.waiting()
    if queue is not None:
        text = f"{counted(queue.count, 'lead')} wait because there is no room under `limits:`"
        yield Finding(Level.WARN, "limits", f"{text}, the oldest since {utc(queue.oldest)}; the freshest goes first")
    problem, count = ledger.do_not_call.why_unreadable(), ledger.do_not_call.count()
    if problem is not None:
        yield Finding(Level.BAD, "dnc", f"nobody is rung: {problem}")
    elif count:
        yield Finding(Level.OK, "dnc", f"the do-not-call list holds {counted(count, 'number')} and can be read")


def _ids(ids: Sequence[int], count: int | None = None) -> str:
    """The first of them. `count`: how many there are, when `ids` does not hold all."""
    total = len(ids) if count is None else count
    shown = [str(one) for one in ids[:IDS_SHOWN]]
    more = "many more" if count is None and total >= MOST_COUNTED else f"{total - len(shown)} more"
    return f"{'lead' if total == 1 else 'leads'} {', '.join(shown)}" + (f" and {more}" if total > len(shown) else "")


# ---- the way in ---------------------------------------------------------------------------------


def _public_url(settings: Settings, rules: Rules | None, client: Client) -> Iterator[Finding]:
    if rules is not None:
        try:
            need_public_url(settings, rules)
        except SettingsError as error:
            yield from (Finding(Level.BAD, "address", mistake) for mistake in error.mistakes)
            return
    if settings.public_url is None:
        yield Finding(Level.OK, "address", "PUBLIC_URL is not set, and no source of the rules needs it")
        return
    address = f"{settings.public_url}/healthz"
    try:
        answer = client.request("GET", address, headers={}, deadline_seconds=PUBLIC_URL_SECONDS)
    except HttpError as error:
        yield Finding(
            Level.WARN, "address", f"PUBLIC_URL: {error}. Does `ringback serve` run, and is this its address?"
        )
        return
    if answer.status == 200 and b'"alive"' in answer.body:
        yield Finding(Level.OK, "address", f"{address} answers")
    else:
        text = f"{address} answered {answer.status}, not as `ringback serve` does; is PUBLIC_URL its address?"
        yield Finding(Level.WARN, "address", text)
