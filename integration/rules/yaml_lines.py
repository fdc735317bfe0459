"""Mistakes that show in a line of the file, and that YAML's grammar reports somewhere else.

A list entry with a dash for its hyphen is a good text to YAML; it gives up one line further down. So where
the parser has failed, the lines about that place are looked at as a person would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from integration.rules.letters import hidden_space

Place = tuple[int, int]  # line and column, both from 1
Found = tuple[Place, str]

_CONFLICT = re.compile(r"(<{7}|>{7})( |$)")
# Two hyphens, a dash or a bullet where `- ` must stand; a hyphen without its space.
_NO_HYPHEN = re.compile(r"\s*(--\s*\w|[\u2013\u2014\u2212\u2022\u00b7]\s*\S|\*\s+\w|-\w[\w ]*:)")
# `when {`, `when = {` and `when:{` at the start of a line; `{{` begins a placeholder.
_NO_COLON = re.compile(r"\s*(?:- +)?(\w[\w-]*)( *= *| *|:)\{(?!\{)")
_NO_COLON_BEFORE_QUOTES = re.compile(r"\s*(?:- +)?(\w[\w-]*)( *= *| +|:)[\[\"']")
_CONFLICT_INSIDE = re.compile(r"(={7}|\|{7})( |$)")
_COMPARED = re.compile(r":\s*([<>]=?)\s*([0-9][0-9.,]{0,15})")
# As a key `>` begins a block of text, which braces cannot hold; `<` is an ordinary key to YAML.
_COMPARED_AS_KEY = re.compile(r"[{,]\s*(>=?)\s*:\s*([0-9][0-9.,]{0,15})")
_COMMENT_IN_BRACES = re.compile(r"[{\[][^}\]]*[:,\[{] +(#)[^ #]")
MAX_LINE_CHARS = 2_000  # of a line that is looked at

_UNSETTLED = (
    "a Git conflict was not settled here; keep one of the two versions and delete the lines"
    " `<<<<<<<`, `=======` and `>>>>>>>`"
)


def conflict(lines: Sequence[str]) -> list[Found]:
    """Where `git merge` left two versions of something."""
    marked = [number for number, line in enumerate(lines, 1) if _CONFLICT.match(line)]
    begun = [number for number in marked if lines[number - 1].startswith("<")] or marked[:1]
    return [((number, 1), _UNSETTLED) for number in begun]


def line_mistake(lines: Sequence[str], place: Place, opened: Place) -> Found | None:
    """What is wrong in the line where a value began, above the parser's place or at it; None when it does not show."""
    for number in _about(lines, place[0], opened[0]):
        found = _in_line(lines[number - 1][:MAX_LINE_CHARS], number)
        if found is not None:
            return found
    return None


def _about(lines: Sequence[str], at: int, opened: int) -> Iterator[int]:
    above = next((n for n in range(at - 1, 0, -1) if lines[n - 1].strip() and lines[n - 1].lstrip()[0] != "#"), at)
    for number in dict.fromkeys((opened, above, at)):
        if 0 < number <= len(lines) and not lines[number - 1].lstrip().startswith("#"):
            yield number


def _in_line(line: str, number: int) -> Found | None:
    hidden = hidden_space(line)
    if hidden is not None:
        return (number, hidden[0] + 1), f"{hidden[1]}, which is invisible, stands here; replace it by an ordinary one"
    dash = _NO_HYPHEN.match(line)
    if dash is not None and line.strip() != "---":
        return (number, dash.start(1) + 1), "a list entry begins with `- ` (hyphen, space); write `- ` here"
    key = _NO_COLON.match(line)
    if key is not None:
        return (number, key.start(1) + 1), _no_colon(key.group(1), key.group(2), "{")
    key = _NO_COLON_BEFORE_QUOTES.match(line)
    if key is not None:
        return (number, key.start(1) + 1), _no_colon(key.group(1), key.group(2), "")
    comment = _COMMENT_IN_BRACES.search(line)
    if comment is not None:
        return (number, comment.start(1) + 1), "`#` begins a comment here; put the value in quotes"
    if _CONFLICT_INSIDE.match(line):
        return (number, 1), _UNSETTLED
    compared = _COMPARED.search(line) or _COMPARED_AS_KEY.search(line)
    if compared is not None:
        return (
            number,
            compared.start(1) + 1,
        ), (f"`{compared.group(1)}` is not used here; write {size(*compared.groups())}")
    return None


def _no_colon(key: str, between: str, rest: str) -> str:
    """The sentence for a key with something else than `: ` before its value."""
    if between == ":":
        return f"a space is missing after the `:` of `{key}`; write `{key}: {rest}`"
    if "=" in between:
        return f"`=` stands where a `:` belongs; write `{key}: {rest}`"
    return f"a `:` is missing after `{key}`; write `{key}: {rest}`"


def key_before_brace(text: str) -> str | None:
    """The sentence for a key like `us-east {id` or `us-east:{id`, as YAML reads it; None when it is no such key."""
    found = _NO_COLON.match(text)
    return None if found is None else _no_colon(found.group(1), found.group(2), "{")


def size(sign: str, number: str) -> str:
    """The condition that a sign of comparison means. `>` and `<` have none of their own."""
    word = "at_least" if ">" in sign or "≥" in sign else "at_most"
    plain = re.sub("[.,](?=[0-9]{3})", "", number).strip(".,")
    return f"`{{{word}: {plain}}}`" + ("" if "=" in sign or sign in "≥≤" else f", which includes {plain} itself")
