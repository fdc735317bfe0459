"""`dnc`: the do-not-call list by hand. It keeps no number, so it can answer about one and list none."""

from __future__ import annotations

import codecs
import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import click

from integration.bootstrap import read_environment
from integration.cli.access import existing_ledger
from integration.cli.resolving import noted, person
from integration.cli.terminal import AnswerIsNo, CannotBegin, confirmed, counted, say, utc
from integration.countries import read_country
from integration.ledger import Ledger, ListUnreadable
from integration.ledger.do_not_call import AT_ONCE
from integration.model import Reason
from integration.phone import PhonePolicy, PhoneRefused, mask, read_every
from integration.settings import read_settings

LARGEST_FILE = 200_000_000  # bytes; a million lines are 20
MOST_TOLD = 20  # of the lines that cannot be read
# Without spaces, `_` and `-`.
_COLUMN = re.compile(
    r"(home|work|business|other|mobile|cell)?(phone|mobile|cell)(number|no)?|number|e164"
    r"|tele?(phone|fon)?(number|nummer)?|(ruf|mobil|handy)?nummer|mobil(telefon)?|handy"
)
_ANY = PhonePolicy(frozenset())


class Country(click.ParamType[str]):
    """A country by its code or name."""

    name = "country"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        country = read_country(value)
        if country is None:
            self.fail(f"{value!r} is no country; write a code like DE", param, ctx)
        return country


_country = click.option(
    "--country", type=Country(), help="How to read a number without +code; without it such a number is refused."
)
_by = click.option("--by", metavar="NAME", help="Who says so. Default: the user of this machine.")


@click.group()
def dnc() -> None:
    """Look after the list of numbers that are never called.

    It is asked in the transaction right before each call. It keeps a keyed hash of each number (RINGBACK_DNC_KEY), so
    it can be asked about a number, and cannot be printed.

    \b
    Example:
      ringback dnc add "+1 212 555 0123" --note "wrote a letter"
      ringback dnc check "+1 212 555 0123"
      ringback dnc import opted-out.csv --country US
    """


@dnc.command()
@click.argument("number")
@_country
@_by
@click.option("--note", metavar="TEXT", default="", help="Why. Numbers in it are masked.")
def add(*, number: str, country: str | None, by: str | None, note: str) -> None:
    """Put a number on the list.

    A number that is on it already stays as it is.

    \b
    Example:
      ringback dnc add "+1 212 555 0123" --note "wrote a letter"
      ringback dnc add "(212) 555-0123" --country US
    """
    e164, who, why = _number(number, country), person(by), noted(note)
    with existing_ledger(read_settings(read_environment())) as ledger:
        is_new = _usable(ledger).do_not_call.add([e164], source=who, note=why) == 1
    say(f"{mask(e164)} is on the do-not-call list{'' if is_new else ', and was before'}. It is not called any more.")


@dnc.command()
@click.argument("number", required=False)
@_country
@click.option("--all", "everything", is_flag=True, help="Empty the list, also one that was made with another key.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
def remove(*, number: str | None, country: str | None, everything: bool, yes: bool) -> None:
    """Take a number off the list, so that it may be called again.

    Exit code 1 when it was not on it. With --all the next list may begin with another key.

    \b
    Example:
      ringback dnc remove "+1 212 555 0123"
      ringback dnc remove --all
    """
    if everything == (number is not None):
        raise click.UsageError("give a NUMBER, or --all")
    settings = read_settings(read_environment())
    if number is not None:
        e164 = _number(number, country)
        with existing_ledger(settings) as ledger:
            if not _usable(ledger).do_not_call.remove(e164):
                raise AnswerIsNo(f"{mask(e164)} is not on the do-not-call list")
        say(f"{mask(e164)} is off the do-not-call list. It may be called again.")
        return
    with existing_ledger(settings) as ledger:
        count = ledger.do_not_call.count()
        if count and not yes and not confirmed(f"Forget {counted(count, 'number')}? They may be called again."):
            say("The list stays as it is.")
            raise click.exceptions.Exit(1)
        count = ledger.do_not_call.empty()
    say(f"The do-not-call list is empty; it held {counted(count, 'number')}.")


@dnc.command()
@click.argument("number")
@_country
def check(*, number: str, country: str | None) -> None:
    """Say whether a number is on the list, since when and why.

    Exit code 1 when it is not.

    \b
    Example:
      ringback dnc check "+1 212 555 0123"
    """
    e164 = _number(number, country)
    with existing_ledger(read_settings(read_environment())) as ledger:
        found = _usable(ledger).do_not_call.find(e164)
    if found is None:
        raise AnswerIsNo(f"{mask(e164)} is not on the do-not-call list")
    note = f": {found.note}" if found.note else ""
    say(f"{mask(e164)} is on the do-not-call list since {utc(found.added_at)}, by {found.source}{note}.")


@dnc.command("import")
@click.argument("file", type=click.File("rb"))
@_country
@click.option("--column", metavar="NAME", multiple=True, help="A column of a CSV file that holds numbers.")
@_by
def import_(*, file: IO[bytes], country: str | None, column: tuple[str, ...], by: str | None) -> None:
    """Put the numbers of a file on the list.

    One number stands in each line, or it is a CSV file. In a CSV file the columns called phone, mobile or the like are
    read, or those that --column names, or the first. Empty lines and those that begin with # are passed over. What
    cannot be read is told with its line, and the rest is imported; exit code 1 then. A file that was imported before
    changes nothing.

    \b
    Example:
      ringback dnc import opted-out.txt
      ringback dnc import contacts.csv --column Mobile --country US
    """
    who = person(by)
    lines = _Lines(file, column)
    with existing_ledger(read_settings(read_environment())) as ledger:
        done = _import(_usable(ledger), lines, country, f"{who}, {lines.name}")
    for line in done.told:
        click.echo(line, err=True)
    if done.bad > len(done.told):
        click.echo(f"... and {done.bad - len(done.told)} more lines that cannot be read", err=True)
    known = done.read - done.new
    say(f"{counted(done.read, 'number')} read: {done.new} new on the list, {known} on it before.")
    if done.bad:
        raise AnswerIsNo(f"{counted(done.bad, 'line')} could not be read; correct and import the file again")


# ---- reading --------------------------------------------------------------------------------------


def _number(text: str, country: str | None) -> str:
    read = _read(text, country)
    if isinstance(read, str):
        return read
    if read.reason is Reason.NO_REGION:
        read = _NO_CODE
    elif read.reason in {Reason.EMERGENCY_NUMBER, Reason.SHORT_NUMBER}:
        read = _NOT_WHOLE
    raise CannotBegin(f"this number cannot be read: {read.detail}")


def _read(text: str, country: str | None) -> str | PhoneRefused:
    found = read_every([text], country, _ANY)
    numbers = list(dict.fromkeys(one.e164 for one in found if one.e164 is not None))
    if len(numbers) == 1:
        return numbers[0]
    refused = next((one for one in found if isinstance(one, PhoneRefused) and one.e164 is None), None)
    return refused or (_SEVERAL if numbers else _NONE)


_SEVERAL = PhoneRefused(Reason.BAD_PHONE, "There is more than one number; each needs a line of its own.", blocked=False)
_NO_CODE = PhoneRefused(
    Reason.NO_REGION, "It has no country code; write it with + and the code, or give --country.", blocked=False
)
_NOT_WHOLE = PhoneRefused(
    Reason.SHORT_NUMBER,
    "It is no whole number; write it with + and the code. Emergency numbers and short codes are never called anyway.",
    blocked=False,
)
_NONE = PhoneRefused(Reason.NO_PHONE, "There is no number.", blocked=False)


def _usable(ledger: Ledger) -> Ledger:
    """Say what is wrong with the key before anything is read."""
    try:
        ledger.do_not_call.demand_key()
    except ListUnreadable as error:
        raise CannotBegin(str(error)) from None
    return ledger


class _Lines:
    """The numbers of a file, each with its line."""

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self.name = str(getattr(file, "name", "a file")).rpartition("/")[2]
        raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise CannotBegin(f"the file is larger than {LARGEST_FILE // 1_000_000} MB; import it in pieces")
        csv.field_size_limit(LARGEST_FILE)  # what an open quotation mark takes in is read again line by line
        self._lines = _text(raw).split("\n")
        self.count = len(self._lines)
        head = self._lines[0]
        self._delimiter = next((sign for sign in (";", "\t", ",") if sign in head), ",")
        self._columns, self._has_head = _columns(self._row(head), columns)

    def __iter__(self) -> Iterator[tuple[int, str, bool]]:
        """Line, text, and whether a number must stand there."""
        rows = csv.reader((f"{line}\n" for line in self._lines), delimiter=self._delimiter)
        last = 0
        for row in rows:
            first, last = last + 1, rows.line_num
            numbers = [] if first == 1 and self._has_head else self._numbers(row)
            is_open = any("\n" in number for number in numbers)
            if not is_open:
                yield from ((first, number, True) for number in numbers)
            # A cell that runs over several lines is a long note, or a quotation mark that nobody closed: what stands
            # behind it may be numbers of others, and they want no calls either.
            for line in range(first if is_open else first + 1, last + 1):
                yield from ((line, number, is_open) for number in self._numbers(self._row(self._lines[line - 1])))

    def _row(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self._delimiter), [])

    def _numbers(self, row: Sequence[str]) -> list[str]:
        if not any(cell.strip() for cell in row) or row[0].startswith("#"):
            return []
        cells = [row[column].strip() for column in self._columns if column < len(row)]
        return [cell for cell in cells if cell] or [""]


def _text(raw: bytes) -> str:
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = raw.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")
    if "\0" in text:
        raise CannotBegin("the file is no text; save it as CSV")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _columns(names: Sequence[str], wanted: Sequence[str]) -> tuple[list[int], bool]:
    """Which columns hold numbers, and whether the first line names the columns."""
    folded = [name.strip().casefold() for name in names]
    for name in wanted:
        if name.strip().casefold() not in folded:
            raise CannotBegin(f"the first line names no column {name!r}; it has: {', '.join(names)[:200]}")
    if wanted:
        return [folded.index(name.strip().casefold()) for name in wanted], True
    named = [n for n, name in enumerate(folded) if _COLUMN.fullmatch(re.sub(r"[\s_-]", "", name))]
    if named:
        return named, True
    has_head = bool(folded and folded[0]) and not any(char.isdigit() for char in folded[0])
    return [0], has_head and not folded[0].startswith("#")


@dataclass
class _Done:
    read: int = 0
    new: int = 0
    bad: int = 0
    told: list[str] = field(default_factory=list)


def _import(ledger: Ledger, lines: _Lines, country: str | None, source: str) -> _Done:
    done = _Done()
    batch: list[str] = []
    hidden = lines.count < AT_ONCE or not sys.stderr.isatty()
    with click.progressbar(length=lines.count, label="Lines", file=sys.stderr, hidden=hidden) as bar:
        at = 0
        for line, text, is_sure in lines:
            read = _read(text, country)
            if isinstance(read, str):
                batch.append(read)
                done.read += 1
            elif is_sure:
                done.bad += 1
                if len(done.told) < MOST_TOLD:
                    done.told.append(f"{lines.name}:{line}: {read.detail}")
            if len(batch) == AT_ONCE:
                done.new += ledger.do_not_call.add(batch, source=source)
                batch = []
                bar.update(line - at)
                at = line
        done.new += ledger.do_not_call.add(batch, source=source) if batch else 0
    return done
