"""How a message that holds several events is taken apart.

A CRM's list may be the body itself, stand under a name, or be spread over lists within lists. So a
path of items is a path of names in which `*` goes into each entry of the list that stands there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from integration.model import Tree
from integration.payload.paths import Path, PathMistake, compile_path, is_nothing, steps_of
from integration.payload.refusal import show

# A step of a path with quotes or without, and the dot behind it. Each ends in one way only.
_STEP = re.compile(r'((?:"(?:[^"\\]|\\.)*+"|[^.])*+)(\.|\Z)', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class ItemsPath:
    """Where the events of a message stand."""

    text: str
    _pieces: tuple[Path | None, ...] = field(repr=False)  # the names between the stars; None: no name there

    @property
    def first(self) -> tuple[str, ...]:
        """The steps to the first item of a message that has lists wherever the path goes into one."""
        names = [() if piece is None else steps_of(piece) or () for piece in self._pieces]
        return tuple(step for steps in names for step in (*steps, "0"))

    def find(self, tree: Tree, most: int) -> list[Tree] | None:
        """The items in their order, at most `most` and one more. None when there is no list at all.

        A value that stands where a list is wanted counts as a list of one: XML writes a single entry so.
        """
        start = tree if self._pieces[0] is None else self._pieces[0].find(tree)
        if is_nothing(start) and not isinstance(start, list):
            return None
        found = _entries(start)
        for piece in self._pieces[1:]:
            values = found if piece is None else [piece.find(entry) for entry in found]
            found = []
            for value in values:
                found += _entries(value)
                if len(found) > most:
                    break
        return found[: most + 1]


def compile_items(text: str) -> ItemsPath:
    """Compile a path of items: `events`, `entry.*.changes`, or `*` for a body that is a list. Raises PathMistake."""
    source = text.strip()
    steps = [match[1] for match in _STEP.finditer(source)]
    if source and not source.endswith("."):
        steps.pop()  # the empty match at the very end
    pieces: list[list[str]] = [[]]
    for step in steps:
        if step == "*":
            pieces.append([])
        elif "*" in _QUOTED.sub("", step):
            raise PathMistake(f"A star stands beside other signs in {show(source)}; write it alone: entry.*.changes.")
        else:
            pieces[-1].append(step)
    if len(pieces) > 1 and not pieces[-1]:
        pieces.pop()  # the last list is gone through anyway
    return ItemsPath(source, tuple(compile_path(".".join(names)) if names else None for names in pieces))


def _entries(value: Tree) -> list[Tree]:
    if isinstance(value, list):
        return value
    return [] if is_nothing(value) else [value]
