"""Reads `verify:`: how a CRM proves that a message is its own.

The settings themselves are judged by `integration.signatures`; here each mistake gets its place, and each
secret its variable.
"""

from __future__ import annotations

from integration.crms import scheme_from
from integration.rules.reader import VARIABLE, Reader
from integration.rules.yaml_tree import Block, Items, Node, shorten
from integration.rules.yaml_words import as_clause
from integration.signatures import Scheme, SchemeMistake

# The settings whose value comes from a variable; a value written out is warned about in the first, and
# public keys are no secret.
_SECRET = frozenset({"secret", "private_key"})
_FROM_VARIABLES = _SECRET | {"public_key"}


def read_verify(reader: Reader, node: Node) -> Scheme | None:
    """The scheme of a source, or None when it cannot be used."""
    block, before = reader.block(node, "`verify:`"), len(reader.mistakes)
    if block is None:
        return None
    settings = _Settings(reader)
    values = {
        key.text: settings.read(key.text, value) for key, value in reader.entries(block, _FROM_VARIABLES, lists=False)
    }
    if len(reader.mistakes) > before:
        return None
    try:
        scheme = scheme_from(values, without_secrets=settings.stood_in)
        settings.note_misplaced()
    except SchemeMistake as error:
        place = _place_of(block, error.key)
        name = "`verify:`" if error.key is None else f"`{error.key}` of `verify:`"
        reader.wrong(place, f"{name}: {as_clause(error.message)}")
        settings.note_misplaced(besides=error.key)
        return None
    for warning in scheme.warnings:
        reader.warn(block.line, block.column, f"`verify:`: {as_clause(warning)}")
    return scheme


class _Settings:
    """Turns the block into plain values, and remembers whether a secret only stood in."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.stood_in = False
        self._misplaced: list[tuple[str, Node]] = []

    def note_misplaced(self, besides: str | None = None) -> None:
        """Notes variables where none can stand, apart from a setting with a worse mistake."""
        for key, node in self._misplaced:
            if key != besides:
                self._reader.text(node, f"`{shorten(key)}` of `verify:`")

    def read(self, key: str, node: Node) -> object:
        if isinstance(node, Block):
            return {name.text: self.read(key, value) for name, value in node.entries}
        if isinstance(node, Items):
            return [self.read(key, item) for item in node.nodes]
        if key not in _FROM_VARIABLES and VARIABLE.search(node.text):
            self._misplaced.append((key, node))
            return node.text
        if key not in _FROM_VARIABLES:
            return self._reader.text(node, f"`{shorten(key)}` of `verify:`")
        expanded = self._reader.secret(node, f"`{key}` of `verify:`")
        if expanded is None:
            return None
        self.stood_in = self.stood_in or expanded.stood_in
        if key in _SECRET and not expanded.from_variable:
            self._reader.warn_of_written_secret(node, f"`{key}`")
        return expanded.text


def _place_of(block: Block, key: str | None) -> Node:
    """The value at `key`, a path of keys joined by dots; the nearest part of it that is there."""
    here: Node = block
    for step in (key or "").split("."):
        match here:
            case Block():
                inner = here.get(step)
            case Items() if step.isdigit() and int(step) < len(here.nodes):
                inner = here.nodes[int(step)]
            case _:
                inner = None
        if inner is None:
            return here
        here = inner
    return here
