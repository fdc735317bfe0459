"""Reads `fields:` and one entry of `sources:`: where a CRM's message keeps what the rules need."""

from __future__ import annotations

from collections.abc import Mapping

from integration.crms import scheme_from
from integration.payload import Path, PathMistake, compile_path
from integration.rules.conditions import AllOf, Condition
from integration.rules.load_conditions import BUILT_IN, JOINS, plain_word, read_checks
from integration.rules.load_writeback import read_write_back
from integration.rules.placeholders import LEAD_NAMES
from integration.rules.reader import VARIABLE, Reader
from integration.rules.shapes import FieldPaths, Source
from integration.rules.yaml_tree import Block, Items, Node, Scalar, shorten
from integration.rules.yaml_words import as_clause
from integration.signatures import Scheme, SchemeMistake

KEYS = ("verify", "only", "event_id", "record", "id", "fields", "write_back")
# The settings of `verify:` whose value comes from a variable; a value written out is warned about in the
# first, and public keys are no secret.
_SECRET = frozenset({"secret", "private_key"})
_FROM_VARIABLES = _SECRET | {"public_key"}
# Names that mean something else where fields are named.
_RESERVED = frozenset({*BUILT_IN, *JOINS, *LEAD_NAMES, "link", "local_hour"})


def read_fields(reader: Reader, node: Node | None, what: str) -> dict[str, FieldPaths] | None:
    """A `fields:` block, or None when it is not there or unusable."""
    block = reader.block(node, what)
    if block is None:
        return None
    fields = {}
    for key, value in block.entries:
        name = key.text
        if name in _RESERVED:
            reader.wrong(key, f"`{name}` already means something here; give this field another name")
        elif not name.replace("_", "a").replace("-", "a").isalnum() or not name[0].isalpha():
            reader.wrong(
                key, f"`{shorten(name)}` cannot name a field; use letters, digits, `_` and `-`, a letter first"
            )
        else:
            paths, places = reader.paths(value, f"field `{name}`")
            fields[name] = FieldPaths(name, paths, places)
    if "phone" not in fields:
        reader.wrong(block, f"{what} has no `phone`; add `phone: ` and the path of the number in the CRM's record")
    return fields


def read_source(reader: Reader, key: Scalar, node: Node, shared: Mapping[str, FieldPaths] | None) -> Source | None:
    """One source, or None when it cannot be used."""
    what = f"source `{shorten(key.text)}`"
    found = reader.keys(node, what, KEYS)
    if found is None:
        return None
    if "verify" not in found:
        reader.wrong(node, f"{what} has no `verify:`; without a signature anyone could make phones ring: add it")
    scheme = _scheme(reader, found["verify"]) if "verify" in found else None
    fields = read_fields(reader, found["fields"], f"`fields:` of {what}") if "fields" in found else shared
    if fields is None and "fields" not in found:
        reader.wrong(node, f"{what} has no fields; add `fields:` here or at the top of the file")
    only, only_paths = _only(reader, found["only"]) if "only" in found else (None, {})
    event_id, _ = reader.paths(found["event_id"], "`event_id:`") if "event_id" in found else ((), ())
    ids, _ = reader.paths(found["id"], "`id:`") if "id" in found else ((), ())
    record = reader.path(found["record"], "`record:`") if "record" in found else None
    write_back = None
    if "write_back" in found:
        write_back = read_write_back(reader, found["write_back"], fields, has_id=bool(ids))
    if scheme is None or fields is None or "phone" not in fields:
        return None
    return Source(key.text, key.line, scheme, fields, only, only_paths, event_id, record, ids, write_back)


def _only(reader: Reader, node: Node) -> tuple[Condition | None, dict[str, Path]]:
    """`only:`: paths into the message on the left, what is wanted there on the right."""
    block = reader.block(node, "`only:`")
    checks: list[Condition] = []
    paths = {}
    for key, value in block.entries if block is not None else ():
        try:
            paths[key.text] = compile_path(key.text)
        except PathMistake as error:
            reader.wrong(key, as_clause(str(error)))
            continue
        checks += read_checks(reader, key.text, value, plain_word)
    if not checks:
        return None, {}
    return (checks[0] if len(checks) == 1 else AllOf(tuple(checks))), paths


# ---- verify -----------------------------------------------------------------------------------


def _scheme(reader: Reader, node: Node) -> Scheme | None:
    block, before = reader.block(node, "`verify:`"), len(reader.mistakes)
    if block is None:
        return None
    settings = _Settings(reader)
    values = {key.text: settings.read(key.text, value) for key, value in block.entries}
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
