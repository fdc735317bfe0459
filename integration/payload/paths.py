"""How a value is named and found in a tree.

A path is names joined by dots, written as the CRM writes them. It walks objects and lists only: a name
like `__class__` is a key or nothing. What a path cannot say, a JMESPath query can.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from integration.model import Tree
from integration.payload.refusal import show

MAX_PLAIN_DIGITS = 400  # of a number written out: beyond what a body may hold


class PathMistake(Exception):
    """A path that cannot be one. Its message says what is wrong and what to write instead."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. Two are equal when the same text is read in the same language."""

    text: str
    language: Literal["names", "jmespath"]
    _look: Callable[[Tree], Tree] = field(compare=False, repr=False)

    def find(self, tree: Tree) -> Tree:
        """The value there, or None when there is none or a null. Never raises."""
        return self._look(tree)


def compile_path(text: str) -> Path:
    """Compile names joined by dots. Raises PathMistake.

    An item of a list is its number, from 0. A name with a dot stands in double quotes, in which a
    backslash keeps a quote or a backslash.
    """
    source = text.strip()
    steps = tuple(_steps(source))
    return Path(source, "names", lambda tree: _follow(tree, steps))


def steps_of(path: Path) -> tuple[str, ...] | None:
    """The names that a path of names is joined from; None for a query, which names no single place."""
    return tuple(_steps(path.text)) if path.language == "names" else None


def _follow(tree: Tree, steps: tuple[str, ...]) -> Tree:
    here = tree
    for step in steps:
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list):
            here = here[int(step)] if _INDEX.fullmatch(step) and int(step) < len(here) else None
        else:
            return None
    return here


_INDEX = re.compile(r"[0-9]{1,9}")
_SPECIAL = r".\"'\[\]{}|*?`\\"
_PLAIN_STEP = re.compile(rf"[^{_SPECIAL}\s](?:[^{_SPECIAL}\r\n]*[^{_SPECIAL}\s])?")
_QUOTED_STEP = re.compile(r'"((?:[^"\\]|\\["\\])*+)"')


def _steps(text: str) -> Iterator[str]:
    at = 0
    while True:
        if (quoted := _QUOTED_STEP.match(text, at)) is not None:
            yield re.sub(r"\\(.)", r"\1", quoted[1])
            at = quoted.end()
        elif (plain := _PLAIN_STEP.match(text, at)) is not None:
            yield plain[0]
            at = plain.end()
        else:
            raise PathMistake(_complaint(text, at))
        if at == len(text):
            return
        if text[at] != ".":
            raise PathMistake(_complaint(text, at))
        at += 1


def _complaint(text: str, at: int) -> str:
    if not text:
        return "The path is empty; write the name of a field, such as Company.Employees."
    where = f"at character {at + 1} of the path {show(text)}"
    if at == len(text) or (text[at] == "." and (at == 0 or text[at - 1] == ".")):
        return f"A name is missing {where}; write names joined by single dots."
    match text[at]:
        case '"':
            return f'A quote is out of place {where}; write "a.b".c for a name with a dot in it.'
        case "[" | "]":
            return f"There is a bracket {where}; write an item of a list as its number: phones.0.value."
        case char if char.isspace():
            return f"There is a space {where}; names are joined by dots alone."
        case _:
            return f"A sign is out of place {where}; put the name in double quotes, or use jmespath."


def compile_jmespath(expression: str) -> Path:
    """Compile a JMESPath query. Raises PathMistake, also for a function that does not exist.

    A failure while searching, such as a function given the wrong type, finds nothing. The library
    compares a number with a fraction, but passes it to no function: `sum` of such numbers finds nothing.
    """
    import jmespath  # noqa: PLC0415 - few deployments have a query
    from jmespath.functions import Functions  # noqa: PLC0415

    try:
        compiled = jmespath.compile(expression)
        unknown = _functions_in(compiled.parsed) - set(Functions.FUNCTION_TABLE)
    except Exception as error:  # noqa: BLE001 - its own errors, ValueError and RecursionError alike
        kind = type(error).__name__
        raise PathMistake(f"This is no JMESPath query ({kind}): {show(expression)}; see jmespath.org.") from None
    if unknown:
        raise PathMistake(f"JMESPath has no function {show(min(unknown))}; see jmespath.org for those it has.")

    def look(tree: Tree) -> Tree:
        try:
            return _as_tree(compiled.search(tree))
        except Exception:  # noqa: BLE001 - the data decides what a query meets; what fails found nothing
            return None

    return Path(expression, "jmespath", look)


def _functions_in(node: Any) -> set[str]:
    if isinstance(node, Mapping):
        named = {str(node["value"])} if node.get("type") == "function_expression" else set()
        return named.union(*(_functions_in(child) for child in node.get("children", ())))
    return set()


def _as_tree(found: Any) -> Tree:
    """A query's result in our shapes. One that has none, such as NaN, raises."""
    if found is None or isinstance(found, bool | str | int | Decimal):
        return found
    if isinstance(found, float) and math.isfinite(found):
        return Decimal(repr(found))
    if isinstance(found, list):
        return [_as_tree(item) for item in found]
    if isinstance(found, dict):
        return {key: _as_tree(value) for key, value in found.items()}
    raise TypeError(type(found).__name__)


def is_nothing(value: Tree) -> bool:
    """Whether nothing is there: null, false, blank text, an empty list or object. Zero is something."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is False or (isinstance(value, list | dict) and not value)


def as_text(value: Tree) -> str | None:
    """A text, trimmed, or a number's plain digits: 1.0 and 1 are "1". None when it has no text."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value.adjusted()) < MAX_PLAIN_DIGITS):
        return None
    return str(int(value)) if value == int(value) else format(value, "f")


def paths_in(tree: Tree) -> list[str]:
    """The path of each value, in the tree's order. An empty list or object counts as a value."""
    return [path_text(path) for path, _ in walk(tree, ()) if path]


def path_text(path: tuple[str, ...]) -> str:
    """Steps as `compile_path` reads them."""
    return ".".join(step if _PLAIN_STEP.fullmatch(step) else _quoted(step) for step in path)


def _quoted(step: str) -> str:
    return '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'


def walk(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tree]]:
    """Each value that is no filled list or object, with its steps. As deep as the tree, no deeper."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from walk(value, (*path, key))
    elif isinstance(tree, list) and tree:
        for index, value in enumerate(tree):
            yield from walk(value, (*path, str(index)))
    else:
        yield path, tree
