"""YAML's syntax errors, told to a person who never read its specification.

PyYAML says "did not find expected ',' or '}'" and points at the place where it gave up. The person
needs to know which value wants quotes, or which line stands too far to the right.
"""

from __future__ import annotations

import re

import yaml

from integration.rules.yaml_lines import Place, line_mistake

# The text of a line that may hold a secret is never shown.
SECRET_WORDS = re.compile("secret|password|bearer|token|sign|key", re.IGNORECASE)
# Keys whose value is a block of keys, never a text.
_BLOCKS = frozenset(
    "when not record expect verify only fields phones answers handshake write_back json headers basic".split()  # noqa: SIM905
)
# Where a value begins on a line: after `key: `, `- `, `, ` or an opening bracket.
_VALUE_START = re.compile(r"(?:(?<=: )|(?<=, )|(?<=[\[{])|(?<=- )|^)[ ]*")


def as_clause(sentence: str) -> str:
    """Another module's sentence as part of a line: no capital, no full stop."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def syntax_mistake(error: yaml.YAMLError, text: str) -> tuple[Place, str]:
    """The place and the sentence for a syntax error that PyYAML found in `text`."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return (1, 1), "this is no YAML file that can be read; save it as plain text in UTF-8"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    place = (mark.line + 1, mark.column + 1)
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return (place[0], indent.index("\t") + 1), "a tab stands at the start of this line; use spaces instead"
    problem = str(getattr(error, "problem", "") or "")
    context = getattr(error, "context_mark", None)
    opened = (context.line + 1, context.column + 1) if context is not None else place
    told = line_mistake(lines, place, opened) or _by_character(place, line)
    return told or _by_problem(problem, place, line, opened, lines)


def _by_character(place: Place, line: str) -> tuple[Place, str] | None:
    """Values that are fine once quoted: `@x`, `%x`, and in `{ }` also `${X}`, `b[0].c` and `{{ x }}`."""
    column = place[1] - 1
    char = line[column : column + 1]
    if line[:1] == "%":
        return (place[0], 1), _quote_it("a line cannot begin with `%`", line.rstrip(), line)
    if char and char in "@%`":
        return place, _quote_it(f"a value cannot begin with `{char}`", _whole(line, column), line)
    if char and char in "{[" and column > 0 and line[column - 1] not in " ,[{":
        start = _value_start(line, column)
        return (place[0], start + 1), _quote_it("`{` or `[` inside this value needs quotes", _whole(line, start), line)
    if char == "{" and line[column : column + 2] == "{{":
        start = _value_start(line, column)
        return (place[0], start + 1), _quote_it("`{{ }}` inside this value needs quotes", _whole(line, start), line)
    return None


def _by_problem(problem: str, place: Place, line: str, opened: Place, lines: list[str]) -> tuple[Place, str]:
    if "mapping values are not allowed" in problem:
        return _stray_colon(place, line, lines)
    if "unexpected ':'" in problem or "could not find expected ':'" in problem:
        return opened, "a space is missing after the `:`, or this line has no `:`; write `key: value`"
    if "',' or" in problem:
        return _in_brackets("]" if "']'" in problem else "}", place, line, opened, lines)
    if "end of stream" in problem:
        return opened, "the quotes that open here are never closed; add the closing quote"
    if "escape character" in problem:
        return place, "a backslash inside double quotes means something else; use single quotes around this value"
    if "alphabetic or numeric character" in problem:
        return (place[0], place[1] - 1), 'a value cannot begin with `*` or `&`; put it in quotes: `"*"`'
    if "sequence entries are not allowed" in problem:
        return place, "`- ` begins a list entry and must stand on a line of its own; or put the value in quotes"
    if "expected key" in problem or "'-' indicator" in problem:
        return _misplaced(place, line)
    return place, f"this is not valid YAML ({problem or 'no details'}); check quotes and the spaces at line starts"


def _in_brackets(closing: str, place: Place, line: str, opened: Place, lines: list[str]) -> tuple[Place, str]:
    opening = "[" if closing == "]" else "{"
    if opened[0] != place[0]:
        if lines[opened[0] - 1].count('"') % 2:
            return (opened[0], 1), "a double quote in this line has no partner; add the closing quote"
        return opened, f"the `{opening}` that opens here is not closed before line {place[0]}; write `{closing}`"
    if line[place[1] - 1 : place[1]] == ":":
        start = _value_start(line, place[1] - 1)
        return (place[0], start + 1), _quote_it("`: ` inside this value needs quotes", _whole(line, start), line)
    return _quote_within(place, line) or (place, _not_closed(opening, closing, opened))


def _not_closed(opening: str, closing: str, opened: Place) -> str:
    return (
        f"the `{opening}` of column {opened[1]} is not closed before this; write `{closing}`,"
        " or the comma that is missing, or put the whole value in quotes"
    )


def _stray_colon(place: Place, line: str, lines: list[str]) -> tuple[Place, str]:
    first = re.search(r":(?:\s|$)", line)
    if first is not None and first.start() < place[1] - 1:
        block = re.match(r"\s*(?:- +)?([\w-]+):\s+([\w.-]+):\s", line)
        if block is not None and block.group(1) in _BLOCKS:
            key, inner = block.groups()
            return (place[0], block.start(2) + 1), f"what stands under `{key}:` needs braces: `{key}: {{{inner}: ...}}`"
        start = _value_start(line, place[1] - 1, first=first.end())
        return (place[0], start + 1), _quote_it("`: ` inside this value needs quotes", _whole(line, start), line)
    above = lines[place[0] - 2] if place[0] >= 2 else ""
    if ":" in above and not re.search(r":(?:\s|$)", above):
        return (place[0] - 1, above.index(":") + 1), "a space is missing after this `:`; write `key: value`"
    return place, "this line stands too far to the right for the line above; give both the same number of spaces"


def _misplaced(place: Place, line: str) -> tuple[Place, str]:
    before = line[: place[1] - 1].rstrip()
    if before and before[-1] in "\"'":
        whole = (place, "there is text after the closing quote; put the whole value in quotes")
        return _quote_within(place, line) or whole
    return place, (
        "this line does not line up with the lines it belongs to;"
        " give it the same number of spaces at its start as its neighbours"
    )


def _quote_within(place: Place, line: str) -> tuple[Place, str] | None:
    """`'Kim's own leads'`: the same quotes within a text as around it."""
    before = line[: place[1] - 1].rstrip()
    quote = before[-1:]
    rest = line[place[1] - 1 :].lstrip()
    if quote not in ("'", '"') or quote not in rest or rest.startswith(quote):
        return None
    start = line[: len(before) - 1].rfind(quote)
    if start < 0 or (start > 0 and line[start - 1] not in " [{"):
        return None
    other, name = ('"', "double") if quote == "'" else ("'", "single")
    place = (place[0], start + 1)
    what = f"the `{quote}` inside this value ends it; use {name} quotes outside"
    value = line[start + 1 : line.rfind(quote)]
    if SECRET_WORDS.search(line) or other in value or len(value) > 60:
        return place, what
    return place, f"{what}: {other}{value}{other}"


def _value_start(line: str, column: int, first: int = 0) -> int:
    """The index at which the value that contains `column` begins."""
    starts = [match.end() for match in _VALUE_START.finditer(line[:column])]
    start = max((s for s in starts if s <= column), default=0)
    return max(start if first == 0 else first, 0) + _spaces(line, start if first == 0 else first)


def _spaces(line: str, start: int) -> int:
    return len(line[start:]) - len(line[start:].lstrip(" "))


def _whole(line: str, start: int) -> str:
    """The value that begins at `start`, up to a comma or a bracket that nothing in it opened."""
    depth = 0
    for index in range(start, len(line)):
        char = line[index]
        if char in "{[":
            depth += 1
        elif char in "}]":
            if depth == 0:
                return line[start:index].rstrip()
            depth -= 1
        elif char == "," and depth == 0:
            return line[start:index].rstrip()
    return line[start:].rstrip()


def _quote_it(what: str, value: str, line: str) -> str:
    if SECRET_WORDS.search(line) and "${" not in value:
        return f'{what}; write it as "..."'
    shown = value if len(value) <= 60 else value[:57] + "..."
    quote = "'" if '"' in shown else '"'
    return f"{what}; write {quote}{shown}{quote}"
