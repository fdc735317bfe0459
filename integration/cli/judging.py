"""`check` and `explain`: what the rules file says, without network, database or dialer settings.

The verdict made here is also what `release` and `doctor` go by.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click

from integration.bootstrap import read_environment_for_rules, read_rules_file, read_rules_to_look, rules_path
from integration.cli.terminal import CannotBegin, Whole, clean, counted, say, say_json
from integration.model import Verdict as MomentVerdict
from integration.model import VerdictKind
from integration.payload import BadBody
from integration.phone import mask
from integration.rules import (
    Event,
    Explanation,
    Ignored,
    Mistake,
    Rules,
    RulesError,
    TestResult,
    Unusable,
    load_rules,
    moment_of,
    read_events,
    read_message,
    run_tests,
)
from integration.rules import (
    explain as explained,
)

LARGEST_MESSAGE = 2_000_000
MAX_ITEMS = 1_000  # more are no message: `read_events` has refused it
ENV_EXAMPLE = Path(".env.example")


# ---- the verdict on a file ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a rules file. `rules` is None when it could not be loaded."""

    name: str
    rules: Rules | None
    mistakes: tuple[Mistake, ...]
    tests: tuple[TestResult, ...]
    advice: tuple[Mistake, ...] = ()  # of the rules; `check` alone gives it

    @property
    def failed(self) -> tuple[TestResult, ...]:
        return tuple(test for test in self.tests if not test.passed)

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        return () if self.rules is None else (*self.advice, *self.rules.warnings)

    @property
    def is_good(self) -> bool:
        return not self.mistakes and not self.failed

    def lines(self) -> list[str]:
        """A line for each mistake, warning and failed test, each with its place."""
        told = [f"{self.name}:{one.line}:{one.column}: {one.message}" for one in self.mistakes[: RulesError.SHOWN]]
        if len(self.mistakes) > RulesError.SHOWN:
            told.append(f"{self.name}: and {len(self.mistakes) - RulesError.SHOWN} more; correct these first")
        told += [f"{self.name}:{one.line}:{one.column}: warning: {one.message}" for one in self.warnings]
        told += [f"{self.name}:{test.line}:1: test failed: {test.name}: {test.message}" for test in self.failed]
        return told

    def summary(self) -> str:
        """The whole verdict in one line."""
        if self.rules is None:
            return f"✗ {self.name} cannot be used: {counted(len(self.mistakes), 'mistake')}"
        if self.failed:
            return f"✗ {self.name}: {len(self.failed)} of {counted(len(self.tests), 'test')} failed"
        rules = self.rules
        parts = [
            counted(len(rules.rules), "rule"),
            counted(len(rules.accounts), "account"),
            counted(len(rules.sources), "source"),
            f"{counted(len(self.tests), 'test')} passed" if self.tests else "no tests yet (add some under `tests:`)",
        ]
        parts += [counted(len(self.warnings), "warning")] if self.warnings else []
        return f"✓ {self.name}: {', '.join(parts)}"


def judge(path: Path, environ: Mapping[str, str], declared: Collection[str] | None) -> Verdict:
    """Load the file and run its tests. `declared` as in `load_rules`. Raises SettingsError when it is not there."""
    name = str(path)
    try:
        rules = load_rules(read_rules_file(path), name=name, environ=environ, declared=declared)
    except RulesError as error:
        return Verdict(name, None, error.mistakes, ())
    return Verdict(name, rules, (), run_tests(rules))


def declared_names(text: str) -> set[str]:
    """The variables that a `.env.example` declares: lines `NAME=...`, also behind `export`."""
    return set(re.findall(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", text, re.MULTILINE))


def _declared(path: Path | None) -> set[str]:
    """Those of the file asked for, or of the one in this folder; none when there is none."""
    if path is None and not ENV_EXAMPLE.is_file():
        return set()
    try:
        return declared_names((path or ENV_EXAMPLE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise CannotBegin(f"{path or ENV_EXAMPLE} cannot be read; it must be a text file in UTF-8") from None


# ---- check --------------------------------------------------------------------------------------


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--env-example",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Variables declared in FILE count as set. Default: .env.example in this folder, if there is one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def check(file: Path | None, env_example: Path | None, as_json: bool) -> None:
    """Judge the rules file and run its tests.

    FILE is the rules file; left out, the one that RINGBACK_RULES names, else config/rules.yaml. Needs no network,
    no database and no secrets. Warnings do not change the exit code: 0 when the rules can be used and all tests
    pass, 1 when not, 2 when there is no such file.

    \b
    Example:
      ringback check
      ringback check config/rules.yaml --json
    """
    environ = read_environment_for_rules()
    verdict = judge(file or rules_path(environ), environ, _declared(env_example))
    if verdict.rules is not None:
        verdict = replace(verdict, advice=verdict.rules.advice)
    if as_json:
        say_json(_verdict_as_json(verdict))
    else:
        for line in (*verdict.lines(), verdict.summary()):
            click.echo(clean(line))
    if not verdict.is_good:
        raise click.exceptions.Exit(1)


def _verdict_as_json(verdict: Verdict) -> dict[str, object]:
    def placed(mistakes: tuple[Mistake, ...]) -> list[dict[str, object]]:
        return [{"line": one.line, "column": one.column, "message": one.message} for one in mistakes]

    rules = verdict.rules
    return {
        "file": verdict.name,
        "ok": verdict.is_good,
        "version": None if rules is None else rules.digest,
        "rules": None if rules is None else len(rules.rules),
        "accounts": None if rules is None else list(rules.accounts),
        "sources": None if rules is None else list(rules.sources),
        "mistakes": placed(verdict.mistakes),
        "warnings": placed(verdict.warnings),
        "tests": [
            {"name": test.name, "line": test.line, "passed": test.passed, "message": test.message}
            for test in verdict.tests
        ],
    }


# ---- explain ------------------------------------------------------------------------------------


class Moment(click.ParamType[datetime]):
    """An instant with its time zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Fails with what is wrong."""
        try:
            return moment_of(str(value))
        except ValueError as error:
            self.fail(f"--at {error}", param, ctx)


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", metavar="NAME", help="The source it comes from. May be left out when there is only one.")
@click.option("--record", is_flag=True, help="FILE holds the lead's record alone, without the message around it.")
@click.option("--item", metavar="NUMBER", type=Whole(1), help="Only this event of a message with several.")
@click.option("--content-type", metavar="TYPE", help="The type the CRM sends it with, for forms and XML.")
@click.option("--at", "at", metavar="MOMENT", type=Moment(), help="Not now but at this moment: 2026-12-24T18:30+01:00.")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def explain(
    *,
    file: IO[bytes],
    source: str | None,
    record: bool,
    item: int | None,
    content_type: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Say which rule takes a message, and when; without side effects.

    FILE holds the body of a webhook as the CRM sends it, or is `-` for standard input; each event in it has a section
    of its own. The engine is the one that
    decides in production. Nothing is stored, dialled or sent, and variables need not be set. Exit code 0 when
    there is a decision, whatever it is; 1 when FILE is no message that can be read; 2 when the rules cannot be used.

    \b
    Example:
      ringback explain message.json
      ringback explain record.json --record --source our-crm
      ringback explain batch.json --item 3
      ringback explain message.json --at 2026-12-24T18:30+01:00
      curl -s https://crm.example.com/leads/7 | ringback explain - --record
    """
    environ = read_environment_for_rules()
    rules = read_rules_to_look(rules_path(environ), environ)
    name = _source_name(rules, source)
    rules = _for_record(rules, name) if record else rules
    tree = read_message(rules.sources[name], file.read(LARGEST_MESSAGE), content_type)
    if isinstance(tree, BadBody):
        _say_unreadable(tree, as_json)
        raise click.exceptions.Exit(1)
    events = read_events(rules.sources[name], tree)
    if isinstance(events, Unusable):
        _say_unreadable(events, as_json)
        raise click.exceptions.Exit(1)
    if isinstance(events, Ignored):
        _say_ignored(name, events, as_json)
        return
    items = rules.sources[name].items
    count = len(events) if items is None else len(items.find(tree, MAX_ITEMS) or ())
    moment = at or datetime.now(UTC)
    explained_events = [(event, explained(rules, name, tree, event.item, at=moment)) for event in _chosen(events, item)]
    if as_json:
        told = [_explanation_as_json(one, None if record else event.key) for event, one in explained_events]
        numbers = [event.item + 1 for event, _ in explained_events]
        several = {
            "source": name,
            "ignored": None,
            "events": [{"item": n, **one} for n, one in zip(numbers, told, strict=True)],
        }
        say_json(told[0] if items is None or item is not None else several)
        return
    for event, one in explained_events:
        if event is not explained_events[0][0]:
            click.echo()
        _say_explanation(one, None if record else _event_line(event, count))
    if item is None and len(events) < count:
        click.echo()
        say(f"{count - len(events)} of the {count} events are not for us: `only:` leaves them out.")


def _chosen(events: Sequence[Event], asked: int | None) -> Sequence[Event]:
    """The event with this number, counted from 1 in the message; without a number all that are for us."""
    found = [event for event in events if asked is None or event.item == asked - 1]
    if not found:
        numbers = ", ".join(str(event.item + 1) for event in events[:20])
        raise click.UsageError(f"the message has no event {asked} that is for us; --item can be {numbers}")
    return found


def _event_line(event: Event, count: int) -> str:
    which = f" (number {event.item + 1} of {count})" if count > 1 else ""
    opt_out = ", an opt-out: no lead, and the record's numbers go onto the do-not-call list" if event.opts_out else ""
    return f"event   {event.key or 'without an id: known again by its whole body'}{which}{opt_out}"


def _say_explanation(explanation: Explanation, event: str | None) -> None:
    source = f"source  {explanation.source}, CRM's id {explanation.decision.record_id or '(none)'}"
    _, *steps = explanation.lines()  # the first names the record; a lead of ours has a number of its own
    for line in ([] if event is None else [event]) + [source, *steps]:
        say(line, indent=" " * 10)


def _source_name(rules: Rules, asked: str | None) -> str:
    names = ", ".join(rules.sources)
    if asked is None and len(rules.sources) == 1:
        return next(iter(rules.sources))
    if asked is None:
        raise click.UsageError(f"there are several sources; say which with --source: {names}")
    if asked not in rules.sources:
        raise click.UsageError(f"the rules have no source {clean(asked)!r}; there are: {names}")
    return asked


def _for_record(rules: Rules, name: str) -> Rules:
    """The same rules for messages of this source that are nothing but the record, fetched if need be."""
    source = replace(
        rules.sources[name], record=None, items=None, only=None, needs_fetch=False, event_key=(), opt_out=None
    )
    return replace(rules, sources={**rules.sources, name: source})


def _say_unreadable(body: BadBody | Unusable, as_json: bool) -> None:
    if as_json:
        say_json({"decision": {"kind": "park", "reason": body.reason, "detail": body.detail}})
    else:
        say(f"This is no message that can be read. {body.detail} Such a delivery is stored and parked: {body.reason}.")


def _say_ignored(source: str, event: Ignored, as_json: bool) -> None:
    if as_json:
        say_json({"source": source, "ignored": event.why, "decision": None})
    else:
        say(f"event   ignored: {event.why}", indent=" " * 10)
        say("so      it is answered 2xx, and no lead is made of it", indent=" " * 10)


def _explanation_as_json(explanation: Explanation, key: str | None) -> dict[str, object]:
    decision = explanation.decision
    return {
        "source": explanation.source,
        "event": key,
        "ignored": None,
        "decision": {
            "kind": decision.kind,
            "reason": decision.reason,
            "detail": decision.detail,
            "account": None if decision.account is None else decision.account.key,
            "to": None if decision.to is None else mask(decision.to),
            "rule": decision.rule_name,
            "line": decision.rule_line,
            "record_id": decision.record_id,
        },
        "verdict": _verdict_on_moment(explanation.verdict),
        "numbers": [{"path": one.path, "used": one.used, "verdict": one.verdict} for one in explanation.numbers],
        "rules": [
            {"name": one.name, "line": one.line, "fits": one.fits, "failed": one.failed, "had": one.had}
            for one in explanation.rules
        ],
    }


def _verdict_on_moment(verdict: MomentVerdict) -> dict[str, object]:
    def at(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat(timespec="seconds")

    return {
        "kind": verdict.kind,
        "until": at(verdict.until) if verdict.kind is VerdictKind.GO else None,
        "wait_until": at(verdict.opens_at),
        "reason": verdict.reason,
        "detail": verdict.detail,
        "checks": [{"name": one.name, "verdict": one.verdict, "saw": one.saw} for one in verdict.checks],
    }
