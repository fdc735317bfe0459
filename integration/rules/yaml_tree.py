"""YAML as text with places: what was typed, where, and whether it stood in quotes.

PyYAML's loaders turn `NO`, `0044` and `21:30` into things nobody typed, keep the last of two equal
keys, and follow tags and aliases. So this module reads the parser's events and builds its own tree:
every scalar stays the text typed. Tags, anchors, aliases, merge keys and second documents are refused.
A syntax error is told in the admin's words, with the quotes to add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from integration.rules.letters import hidden_space
from integration.rules.yaml_lines import Place, conflict, key_before_brace
from integration.rules.yaml_words import syntax_mistake

MAX_BYTES = 1_000_000
MAX_DEPTH = 32

# The parser in C is about ten times faster; both give the same events.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `plain` means that it stood without quotes, so that `true` may be a truth value."""

    text: str
    plain: bool
    line: int
    column: int
    bare: bool = False  # the missing value of a word in braces that has no colon: `AT` in `{country: DE, AT}`
    cut: bool = False  # a missing value, and a comment in its place: `name: #1 leads`


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping, in the order written; each key once."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int

    def get(self, key: str) -> Node | None:
        """The value under `key`, or None when the key is not there."""
        return next((node for name, node in self.entries if name.text == key), None)


Node = Scalar | Items | Block


def read_yaml(raw: bytes) -> tuple[Node | None, list[tuple[Place, str]]]:
    """The file's tree (None when it has none) and every mistake, each with its place. Never raises."""
    text, mistakes = _decode(raw)
    if text is None:
        return None, mistakes
    conflicts = conflict(text.splitlines())
    if conflicts:
        return None, conflicts
    builder = _Builder(text)
    try:
        builder.read(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        builder.mistakes.append(syntax_mistake(error, text))
    if builder.root is None and not builder.mistakes:
        builder.mistakes.append(((1, 1), "the file is empty; write `accounts:`, `rules:` and the rest into it"))
    return builder.root, builder.mistakes


def _decode(raw: bytes) -> tuple[str | None, list[tuple[Place, str]]]:
    if len(raw) > MAX_BYTES:
        message = f"the file has {len(raw):,} bytes; the limit is {MAX_BYTES:,}: take out what is no rule"
        return None, [((1, 1), message)]
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None, [((1, 1), "the file is saved as UTF-16; save it as UTF-8")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        before = raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start]
        place = (line, len(before.decode("utf-8", "replace")) + 1)
        return None, [(place, "this character is not UTF-8; save the file as UTF-8")]
    bad = next((i for i, char in enumerate(text) if (char < " " and char not in "\t\n\r") or char == "\x7f"), None)
    if bad is None:
        return text, []
    place = (text.count("\n", 0, bad) + 1, bad - text.rfind("\n", 0, bad))
    return None, [(place, "there is an invisible control character here; delete it")]


class _StopError(Exception):
    """What follows is not worth reading."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    is_block: bool
    place: Place
    nodes: list[Node]
    keys: dict[str, int]  # the line of each key seen
    entries: list[tuple[Scalar, Node]]
    in_braces: bool = False
    key: Scalar | None = None
    key_end: int = 0  # the index of the character behind the key
    awaits_value: bool = False


class _Builder:
    """Turns parser events into nodes with a stack of its own, so that no depth can overflow Python's."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.root: Node | None = None
        self.mistakes: list[tuple[Place, str]] = []
        self._stack: list[_Open] = []
        self._documents = 0

    def read(self, events: Iterator[yaml.Event]) -> None:
        try:
            for event in events:
                self._take(event)
        except _StopError:
            self.root = None

    def _take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        place = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._wrong(place, "a second document begins here; keep one and delete this `---`")
                    raise _StopError
            case yaml.AliasEvent():
                self._wrong(place, f"`*{event.anchor}` refers to another place; write the text out here")
                self._add(Scalar(event.anchor or "", True, *place))
            case yaml.ScalarEvent():
                self._check_marks(event, place)
                self._add(self._scalar(event, place), event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._check_marks(event, place)
                self._open(isinstance(event, yaml.MappingStartEvent), place, in_braces=bool(event.flow_style))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()

    def _wrong(self, place: Place, message: str) -> None:
        self.mistakes.append((place, message))

    def _check_marks(self, event: yaml.NodeEvent, place: Place) -> None:
        if event.anchor is not None:
            self._wrong(place, f"`&{event.anchor}` is a YAML anchor, which is not used here; delete it")
        tag = getattr(event, "tag", None)
        if tag is None:
            return
        message = "a word with `!` before it is a YAML tag; put the text in quotes or delete the tag"
        meant = _negated(event)
        if meant:
            message += f"; a condition that it is not this is `{{is_not: {shorten(meant)}}}`"
        self._wrong(place, message)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Scalar:
        if event.value or event.style:
            return Scalar(event.value, not event.style, *place)
        if event.tag is not None:
            return Scalar(_negated(event), True, *place)  # told already; the next reader need not find it empty
        at = 0 if event.start_mark is None else event.start_mark.index
        top = self._stack[-1] if self._stack else None
        bare = top is not None and top.in_braces and top.awaits_value and ":" not in self._text[top.key_end : at]
        rest = self._text[at : at + 200].lstrip(" ")
        return Scalar("", True, *place, bare=bare, cut=rest.startswith("#"))

    def _open(self, is_block: bool, place: Place, *, in_braces: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._wrong(place, f"this is nested more than {MAX_DEPTH} levels deep; make it flatter")
            raise _StopError
        self._stack.append(_Open(is_block, place, [], {}, [], in_braces))

    def _close(self) -> None:
        done = self._stack.pop()
        self._add(Block(tuple(done.entries), *done.place) if done.is_block else Items(tuple(done.nodes), *done.place))

    def _add(self, node: Node, event: yaml.Event | None = None) -> None:
        if not self._stack:
            self.root = node
            return
        top = self._stack[-1]
        if not top.is_block:
            top.nodes.append(node)
        elif not top.awaits_value:
            self._take_key(top, node)
            top.key_end = 0 if event is None or event.end_mark is None else event.end_mark.index
        else:
            if top.key is not None:
                key, value = self._apart(top.key, node)
                if self._is_first(top, key, value):
                    top.entries.append((key, value))
            top.key, top.awaits_value = None, False

    def _is_first(self, top: _Open, key: Scalar, value: Node) -> bool:
        """Notes a key that was there before. The `000` of `{at_least: 1,000, at_most: 2,000}` is none."""
        if isinstance(value, Scalar) and value.bare:
            return True
        if key.text not in top.keys:
            top.keys[key.text] = key.line
            return True
        first = top.keys[key.text]
        self._wrong(
            (key.line, key.column), f"`{shorten(key.text)}` is here twice, first in line {first}; keep one of them"
        )
        return False

    def _apart(self, key: Scalar, value: Node) -> tuple[Scalar, Node]:
        """`{country:DE}` is a key `country:DE` without a value; it is noted and read as it was meant."""
        if not (key.plain and ":" in key.text and isinstance(value, Scalar) and value.plain and not value.text):
            return key, value
        hidden = hidden_space(key.text)
        if hidden is not None:
            message = f"{hidden[1]}, which is invisible, stands in `{shorten(key.text)}`; replace it by an ordinary one"
        else:
            message = f"a space is missing after the `:` in `{shorten(key.text)}`; add it"
        self._wrong((key.line, key.column), message)
        name, _, rest = key.text.partition(":")
        return Scalar(name, True, key.line, key.column), Scalar(rest.strip(), True, key.line, key.column)

    def _take_key(self, top: _Open, node: Node) -> None:
        top.awaits_value, top.key = True, None
        if isinstance(node, Block):
            self._wrong(top.place, 'a value that begins with `{{` needs quotes: "{{ ... }}"')
        elif isinstance(node, Items):
            self._wrong((node.line, node.column), "a list cannot be a key; put it in quotes if it is a name")
        elif node.text == "<<" and node.plain:
            self._wrong((node.line, node.column), "`<<` merges another block; write the keys out here")
        elif node.plain and (lacking := key_before_brace(node.text)) is not None:
            self._wrong((node.line, node.column), lacking)
            raise _StopError
        else:
            top.key = node


def _negated(event: yaml.NodeEvent) -> str:
    """`DE` for `!DE` and `!=DE`; empty for a tag like `!!str` or one before a list."""
    tag = str(getattr(event, "tag", "") or "")
    if not isinstance(event, yaml.ScalarEvent) or tag.startswith(("tag:", "!!")):
        return ""
    return tag.lstrip("!=") + event.value


def shorten(text: str, limit: int = 60) -> str:
    """`text` made fit for one line of a message: control characters shown as `\\n`, long text cut."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:limit])
    return shown + "..." if len(text) > limit else shown
