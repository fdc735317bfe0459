"""How things are printed: for people in 80 to 100 columns, for scripts as JSON or CSV.

What comes from a CRM may hold control characters that rewrite a terminal, and cells that a spreadsheet runs.
Neither leaves this module.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Any, TypeVar

import click

NARROWEST, WIDEST = 80, 140
LONGEST_CELL = 40  # of all columns but the last
BLOCK = 500  # rows of a long list that are printed together

_T = TypeVar("_T")


class CannotBegin(click.ClickException):
    """The command cannot begin: exit code 2 and a line for each thing that is wrong."""

    exit_code = 2

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences

    def show(self, file: IO[Any] | None = None) -> None:
        for sentence in self.sentences:
            click.echo(f"Error: {clean(sentence)}", file=file, err=file is None)


class AnswerIsNo(CannotBegin):
    """The command ran and the answer is no: exit code 1."""

    exit_code = 1


def clean(value: object) -> str:
    """One line of text that does nothing to a terminal: without control, bidirectional and lone surrogate signs."""
    return "".join(char if char.isprintable() else _stand_in(char) for char in str(value))


def _stand_in(char: str) -> str:
    return " " if char.isspace() or unicodedata.category(char) == "Zs" else "\ufffd"


def say(text: str = "", *, indent: str = "") -> None:
    """Print one paragraph, its further lines under `indent`."""
    for line in wrapped(text, indent):
        click.echo(line)


def confirmed(question: str) -> bool:
    """Whether a person says yes. An end of the input, or Ctrl-C at the question, is a no."""
    try:
        return click.confirm(question)
    except click.Abort:
        click.echo()
        return False


def wrapped(text: str, indent: str = "") -> list[str]:
    """The paragraph cleaned and cut into lines; a long word such as an id is never cut."""
    lines = textwrap.wrap(
        clean(text),
        columns(),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return lines or [""]


def columns() -> int:
    """How wide to print: the terminal's width within bounds."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, NARROWEST), WIDEST)


def say_json(value: object) -> None:
    """Print JSON in pure ASCII, which nothing on the way can spoil."""
    click.echo(json.dumps(value, indent=2, default=_as_json))


def json_lines(values: Iterable[object]) -> Iterator[str]:
    """A JSON list in pieces: together they are what `say_json` prints of it."""
    opening = "["
    for block in in_blocks(values):
        texts = (textwrap.indent(json.dumps(value, indent=2, default=_as_json), "  ") for value in block)
        yield f"{opening}\n" + ",\n".join(texts)
        opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"


def _as_json(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines with aligned columns; only the last is cut to what the terminal has left.

    A long list comes in blocks, so that it need not be read to its end first: a column may grow from one to the next.
    """
    widths = [len(heading) for heading in headings[:-1]]
    said = [list(headings)]
    for block in in_blocks(rows):
        cells = [[clean("" if cell is None else cell) for cell in row] for row in block]
        cells = [[*(shortened(cell, LONGEST_CELL) for cell in row[:-1]), row[-1]] for row in cells]
        widths = [max(width, *(len(row[i]) for row in cells)) for i, width in enumerate(widths)]
        yield from _aligned([*said, *cells], widths)
        said = []
    yield from _aligned(said, widths)


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    left = max(columns() - sum(widths) - 2 * len(widths), 12)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, shortened(row[-1], left)]).rstrip()


def in_blocks(rows: Iterable[_T]) -> Iterator[list[_T]]:
    """The rows in lists of up to BLOCK, each as soon as it is full."""
    source = iter(rows)
    while block := list(itertools.islice(source, BLOCK)):
        yield block


def shortened(text: str, most: int) -> str:
    """The text, cut at its end with a sign that it was."""
    return text if len(text) <= most else text[: most - 1] + "…"


def csv_lines(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """RFC 4180, and no cell that a spreadsheet would take for a formula. Each text ends its last line."""
    yield _as_csv([headings])
    for block in in_blocks(rows):
        yield _as_csv([[_inert(cell) for cell in row] for row in block])


def _as_csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


# The last four are their wide forms, which some spreadsheets read alike.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def _inert(cell: object) -> str:
    text = iso(cell) if isinstance(cell, datetime) else "" if cell is None else str(cell)
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be written
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


# ---- numbers ------------------------------------------------------------------------------------


class Whole(click.IntRange):
    """A whole number within bounds; what is none is told in plain words."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,4000}", text):  # int() takes 1_000 and digits of other scripts as well
            self.fail(f"{shortened(clean(text), LONGEST_CELL)!r} is no whole number", param, ctx)
        number, text = int(text), shortened(text, LONGEST_CELL)
        bounds = f"from {self.min}" + ("" if self.max is None else f" to {self.max}")
        if self.min is not None and number < self.min:
            self.fail(f"{text} is too small; {bounds}", param, ctx)
        if self.max is not None and number > self.max:
            self.fail(f"{text} is too large; {bounds}", param, ctx)
        return number


class LeadNumber(Whole):
    """A lead's number, as a person may type any."""

    def __init__(self) -> None:
        super().__init__(1, 2**63 - 1)  # what both databases can hold


# ---- instants -----------------------------------------------------------------------------------


def iso(at: datetime) -> str:
    """For scripts: `2026-11-23T14:03:11.250Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(at: datetime) -> str:
    """For people: `2026-11-23 14:03:11 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_UNITS: Mapping[str, str] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_since(text: str, now: datetime) -> datetime:
    """`2h`, `3d`, `2026-11-01` or `2026-11-01T08:00` (UTC unless it says otherwise). Raises ValueError."""
    ago = re.fullmatch(r"\s*([0-9]{1,6})\s*([smhdw])\s*", text.lower())
    if ago is not None:
        try:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            raise ValueError("that is before the calendar begins") from None
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        at.timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write 30m, 2h, 3d, or a date such as 2026-11-01 (UTC)") from None
    return at


def counted(n: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
