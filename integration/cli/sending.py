"""`send`: correctly signed webhooks, fired at a running server as the CRM would fire them.

Whoever can sign can make phones ring, so the address decides how careful this is: a server on this machine gets what
was asked for, any other only after a question. An event is signed at the moment it leaves, because signatures age.
"""

from __future__ import annotations

import ipaddress
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO
from urllib.parse import urlsplit

import click

from integration.bootstrap import read_environment, read_rules_to_look
from integration.cli.access import make_client
from integration.cli.firing import KNOWN_WORDS, Result, Sender, fire
from integration.cli.judging import LARGEST_MESSAGE
from integration.cli.terminal import CannotBegin, Whole, clean, confirmed, counted, say
from integration.payload import (
    CONTENT_TYPES,
    BadBody,
    CannotWrite,
    WrittenForm,
    form_of_body,
    parse_body,
    put,
    write_body,
)
from integration.rules import Rules, Source
from integration.rules.made_up import CannotMakeUp, Pattern, fictional_count, make_up, pattern_of
from integration.settings import Settings, read_settings
from integration.signatures import Scheme, SchemeMistake
from integration.signatures.rehearsal import body_format, forged, secret_in_body

LINES = 20  # up to so many requests each has a line; beyond, only those that came out wrong
WRONG_LINES = 10


@click.command()
@click.argument("source")
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--count", type=Whole(1, 100_000), default=1, show_default=True, help="Send so many events.")
@click.option("--duplicate", is_flag=True, help="Send each event twice; the second must be known again.")
@click.option("--forged", "is_forged", is_flag=True, help="Sign with a wrong key; each answer must be 401.")
@click.option("--url", metavar="ADDRESS", help="The server. Default: PUBLIC_URL, else http://127.0.0.1:PORT.")
@click.option("--at-once", type=Whole(1, 64), default=1, show_default=True, help="Requests at the same time.")
@click.option("--rate", metavar="PER_SECOND", type=click.FloatRange(0.1, 10_000), help="Events per second, at most.")
@click.option("--yes", is_flag=True, help="Do not ask before sending to another machine. For scripts.")
def send(
    *,
    source: str,
    file: IO[bytes] | None,
    count: int,
    duplicate: bool,
    is_forged: bool,
    url: str | None,
    at_once: int,
    rate: float | None,
    yes: bool,
) -> None:
    """Fire correctly signed webhooks at a running server.

    FILE is the body of a webhook, or `-`; left out, a lead is made up that the rules call, with a number that is set
    aside for examples. One event of a FILE goes out byte for byte; of several each gets ids and a number of its own.
    Secrets come from the environment, as for `serve`. Exit code 0 when every answer was as it should be, else 1.

    \b
    Example:
      ringback send our-crm
      ringback send our-crm message.json --duplicate
      ringback send our-crm --count 500 --at-once 8
    """
    environ = read_environment()
    settings = read_settings(environ)
    rules = read_rules_to_look(settings.rules_path, environ)
    if source not in rules.sources:
        raise CannotBegin(f"the rules have no source {source!r}; there are: {', '.join(rules.sources)}")
    found = rules.sources[source]
    scheme = forged(found.scheme, secrets.token_bytes(256)) if is_forged else found.scheme
    if scheme.keys == 0:
        raise CannotBegin(
            f"the key of source {source} is not held here: set the variables that its `verify:` names, as for `serve`"
        )
    base = _base(url, settings, found)
    load = _load(rules, found, scheme, file, count)
    public = (settings.public_url or base) + found.path
    sender = Sender(make_client(), scheme, base + found.path, public, load.content_type)
    _try_to_sign(sender, load.first, source)
    _ask(base, count * (1 + duplicate), yes=yes)
    wanted = 401 if is_forged else found.answers.taken
    tally = _Tally(wanted, count * (1 + duplicate), _expected(found, load))
    tally.follow(fire(sender, load.bodies(count), twice=duplicate, at_once=at_once, per_second=rate))
    if tally.wrong:
        raise click.exceptions.Exit(1)


# ---- where to -----------------------------------------------------------------------------------


def _base(url: str | None, settings: Settings, source: Source) -> str:
    """The server's address without a trailing slash. Raises CannotBegin."""
    base = (url or settings.public_url or f"http://127.0.0.1:{settings.port}").strip().rstrip("/")
    base = base.removesuffix(source.path)
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not base.isascii() or " " in base or clean(base) != base:
        raise CannotBegin("--url: must be the server's address, such as http://127.0.0.1:8000, without user or query")
    return base


def is_this_machine(base: str) -> bool:
    """Whether the address cannot lead to another machine."""
    host = urlsplit(base).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask(base: str, requests: int, *, yes: bool) -> None:
    if yes or is_this_machine(base):
        return
    say(
        f"{base} is not this machine. Each event becomes a lead there, and if its rules say so, a phone rings and "
        "the CRM is told."
    )
    if not confirmed(f"Send {counted(requests, 'request')} to {clean(base)}?"):
        say("Nothing was sent.")
        raise click.exceptions.Exit(1)


# ---- what ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Load:
    """What is sent: one body as it stands, or copies of a pattern."""

    content_type: str
    first: bytes
    pattern: Pattern | None
    mark: str
    start: int  # of the numbers set aside for examples, so that two runs do not ring the same
    is_made_up: bool = False

    def bodies(self, count: int) -> Iterator[bytes]:
        if self.pattern is None:
            yield self.first
            return
        for n in range(count):
            yield self.pattern.copy(f"{self.mark}-{n + 1}", self.start + n)


def _load(rules: Rules, source: Source, scheme: Scheme, file: IO[bytes] | None, count: int) -> _Load:
    """Raises CannotBegin."""
    body = None if file is None else _read(file)
    form: WrittenForm = body_format(scheme).value if body is None else form_of_body(body)
    if source.body != "auto":
        form = source.body
    content_type, mark = CONTENT_TYPES[form], f"sample-{secrets.token_hex(4)}"
    try:
        if body is not None and form == "form":
            body = body.rstrip(b"\r\n")  # an editor's line end would belong to the last value
        if body is not None and count == 1:
            return _Load(content_type, _with_secret(scheme, body, form), None, mark, 0)
        pattern = _pattern(rules, source, body, form)
        secret = secret_in_body(scheme)
        if secret is not None:
            pattern = replace(pattern, tree=put(pattern.tree, *secret))
        numbers = fictional_count(pattern.country) if pattern.country is not None else 0
        if count > 1:
            _warn_of_repeats(pattern, numbers, count)
        start = secrets.randbelow(numbers) if numbers else 0
        return _Load(content_type, pattern.copy(f"{mark}-1", start), pattern, mark, start, body is None)
    except CannotWrite as error:
        raise CannotBegin(f"the events for source {source.name} cannot be written: {error}; give one FILE") from None


def _read(file: IO[bytes]) -> bytes:
    body = file.read(LARGEST_MESSAGE + 1)
    if len(body) > LARGEST_MESSAGE:
        raise CannotBegin(f"FILE is larger than {LARGEST_MESSAGE} bytes; no webhook is")
    return body


def _with_secret(scheme: Scheme, body: bytes, form: WrittenForm) -> bytes:
    """The body as it stands, unless its scheme wants a secret in it that is not there."""
    secret = secret_in_body(scheme)
    tree = parse_body(body, None, form=form)
    if secret is None or isinstance(tree, BadBody):
        return body
    changed = put(tree, *secret)
    return body if changed == tree else write_body(changed, form)


def _pattern(rules: Rules, source: Source, body: bytes | None, form: WrittenForm) -> Pattern:
    if body is None:
        try:
            made = make_up(rules, source, form)
        except CannotMakeUp as error:
            raise CannotBegin(f"no lead can be made up for source {source.name}: {error}; give a FILE") from None
        account = "?" if made.decision.account is None else made.decision.account.key
        say(f"Made up: a lead in {made.pattern.country} that rule {made.decision.rule_name!r} calls through {account}.")
        return made.pattern
    tree = parse_body(body, None, form=form)
    if isinstance(tree, BadBody):
        raise CannotBegin(f"FILE cannot be read, so no copies can be made of it: {tree.detail} Leave --count out")
    return pattern_of(rules, source, tree, form)


def _warn_of_repeats(pattern: Pattern, numbers: int, count: int) -> None:
    if pattern.number is None or not numbers:
        click.echo("The events all have the same number: the server calls it once and blocks the others.", err=True)
    elif count > numbers:
        click.echo(f"Only {numbers} numbers of {pattern.country} are set aside for examples; they repeat.", err=True)


def _try_to_sign(sender: Sender, body: bytes, source: str) -> None:
    try:
        sender.prepared(body, datetime.now(UTC))
    except SchemeMistake as error:
        raise CannotBegin(f"source {source}: {error}") from None


# ---- what came of it --------------------------------------------------------------------------------


_KNOWN_AGAIN = frozenset({"duplicate", "ignored"})


def _expected(source: Source, load: _Load) -> frozenset[str]:
    """The words that may answer a first event; none where this CRM's answers have no word."""
    if source.answers.taken == 204 or source.answers.soap_ack:
        return frozenset()
    return frozenset({"accepted"}) if load.is_made_up else KNOWN_WORDS


class _Tally:
    """Counts the results, and prints those that a person should see."""

    def __init__(self, wanted: int, requests: int, words: frozenset[str]) -> None:
        self.wrong = 0
        self._wanted = wanted
        self._requests = requests
        self._expected = words
        self._words: Counter[str] = Counter()
        self._took: list[float] = []

    def follow(self, results: Iterable[Result]) -> None:
        """Take all results, with a bar on a terminal when there are many."""
        few = self._requests <= LINES
        hidden = few or not sys.stderr.isatty()
        hint = ""
        with click.progressbar(length=self._requests, label="Sending", file=sys.stderr, hidden=hidden) as bar:
            for result in results:
                is_right = self._take(result)
                if not is_right and not hint:
                    hint = hint_for(result, self._wanted)
                if few or (not is_right and self.wrong <= WRONG_LINES):
                    click.echo(_line(result, is_right))
                bar.update(1)
        click.echo(self._summary())
        if hint:
            click.echo(clean(hint), err=True)

    def _take(self, result: Result) -> bool:
        is_right = result.status == self._wanted
        if is_right and self._wanted != 401 and self._expected:
            is_right = result.word in (_KNOWN_AGAIN if result.is_repeat else self._expected)
        self.wrong += not is_right
        self._words[result.word or ("without answer" if result.status is None else f"answered {result.status}")] += 1
        if result.status is not None:
            self._took.append(result.took_ms)
        return is_right

    def _summary(self) -> str:
        words = ", ".join(f"{n} {word}" for word, n in sorted(self._words.items()))
        verdict = "all as they should be" if not self.wrong else f"{self.wrong} not as they should be"
        if not self._took:
            return f"{counted(self._requests, 'request')}: {words}; {verdict}."
        took = sorted(self._took)
        p50, p90 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.9))
        times = f"p50 {p50:.1f} ms, p90 {p90:.1f} ms, max {took[-1]:.1f} ms"
        return f"{counted(self._requests, 'request')}: {words}; {verdict}. Answered after {times}."


def _line(result: Result, is_right: bool) -> str:
    what = result.problem or result.word or "-"
    lead = f"  lead {result.lead}" if result.lead is not None else ""
    again = " again" if result.is_repeat else ""
    mark = "" if is_right else "  (!)"
    name = f"event {result.n}{again}"
    return clean(f"{name:<14} {result.status or '---'}  {what}{lead}  {result.took_ms:.1f} ms{mark}")


def hint_for(result: Result, wanted: int) -> str:
    """What to do about an answer that is not as it should be."""
    status = result.status
    if status is not None and status < 300:
        if wanted == 401:
            return "A forged event was taken! Does that server check signatures at all?"
        if result.word == "parked" and result.lead is not None:
            return (
                f"The server parked it: `ringback show {result.lead}` says why, such as `burst_held`: more new leads "
                "than `burst:` of its rules lets through."
            )
        return "The server decided otherwise: does it use the same rules, and is this event new to it?"
    return _HINTS.get(status, "This is not how `ringback serve` answers; is something else at that address?")


_HINTS = {
    None: "Does `ringback serve` run there? --url names another server.",
    401: "The server has another secret or other rules; `ringback doctor signature` helps to find out.",
    404: "The server's rules have no such source, or the address is not that of a Ringback server.",
    503: "The server could not take it: its log says why (database, PUBLIC_URL).",
}
