"""Reads `fields:` and one entry of `sources:`: where a CRM's message keeps what the rules need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration.payload import Form, ItemsPath, Path, PathMistake, compile_items
from integration.rules.conditions import AllOf, Condition
from integration.rules.doubts import of_message
from integration.rules.load_conditions import BUILT_IN, JOINS, plain_word, read_checks
from integration.rules.load_doors import read_answers, read_handshake
from integration.rules.load_presets import with_preset
from integration.rules.load_verify import read_verify
from integration.rules.load_writeback import read_write_back
from integration.rules.placeholders import LEAD_NAMES, Placeholder, PlaceholderMistake, Template, parse_key
from integration.rules.reader import Reader, nearest
from integration.rules.scope import MessagePath, compile_scoped
from integration.rules.shapes import Answers, FieldPaths, Handshake, Source
from integration.rules.yaml_tree import Items, Node, Scalar, shorten
from integration.rules.yaml_words import as_clause
from integration.signatures import Scheme

KEYS = (
    "preset", "verify", "body", "items", "only", "opt_out", "event_id", "record", "id", "needs_fetch", "fields",
    "answers", "handshake", "write_back",
)  # fmt: skip
BODIES: Mapping[str, Form] = {"json": "json", "form": "form", "xml": "xml"}
# Names that mean something else where fields are named.
_RESERVED = frozenset({*BUILT_IN, *JOINS, *LEAD_NAMES, "link", "local_hour"})


def read_fields(
    reader: Reader, node: Node | None, what: str, *, in_items: bool = False
) -> dict[str, FieldPaths] | None:
    """A `fields:` block, or None when it is not there or unusable."""
    block = reader.block(node, what)
    if block is None:
        return None
    fields = {}
    for key, value in reader.entries(block):
        name = key.text
        if name in _RESERVED:
            reader.wrong(key, f"`{name}` already means something here; give this field another name")
        elif not name.replace("_", "a").replace("-", "a").isalnum() or not name[0].isalpha():
            reader.wrong(
                key, f"`{shorten(name)}` cannot name a field; use letters, digits, `_` and `-`, a letter first"
            )
        else:
            paths, places = reader.paths(value, f"field `{name}`", in_items=in_items)
            fields[name] = FieldPaths(name, paths, places)
    if "phone" not in fields:
        reader.wrong(block, f"{what} has no `phone`; add `phone: ` and the path of the number in the CRM's record")
    return fields


def read_source(reader: Reader, key: Scalar, node: Node, shared: Mapping[str, FieldPaths] | None) -> Source | None:
    """One source, or None when it cannot be used."""
    what = f"source `{shorten(key.text)}`"
    preset, block = with_preset(reader, node, what)
    found = reader.keys(block, what, KEYS)
    return None if found is None else _Reading(reader, what, found, shared).source(key, node, preset)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over the keys of one source, its preset's among them."""

    reader: Reader
    what: str
    found: Mapping[str, Node]
    shared: Mapping[str, FieldPaths] | None

    def source(self, key: Scalar, node: Node, preset: str | None) -> Source | None:
        scheme = self._scheme(node)
        items = self._items()
        fields = self._fields(node)
        only, only_paths = self._of_message("only")
        opt_out, opt_out_paths = self._of_message("opt_out")
        if opt_out is not None and opt_out == only:
            message = "every lead would put its number onto the do-not-call list; write what only an opt-out has"
            self.reader.wrong(self.found["opt_out"], f"`opt_out:` is the same as `only:`, so that {message}")
        event_id, event_key = self._event_id()
        ids = self._paths("id")
        record = self._record()
        needs_fetch = self._needs_fetch(has_id=bool(ids))
        body = self._body()
        answers, handshake = self._doors()
        write_back = None
        if "write_back" in self.found:
            write_back = read_write_back(self.reader, self.found["write_back"], fields, has_id=bool(ids))
        if scheme is None or fields is None or "phone" not in fields:
            return None
        return Source(
            key.text,
            key.line,
            scheme,
            fields,
            only,
            only_paths,
            event_id,
            record,
            ids,
            write_back,
            answers,
            items=items,
            event_key=event_key,
            body=body,
            handshake=handshake,
            needs_fetch=needs_fetch,
            preset=preset,
            opt_out=opt_out,
            opt_out_paths=opt_out_paths,
        )

    @property
    def _in_items(self) -> bool:
        return "items" in self.found

    def _scheme(self, node: Node) -> Scheme | None:
        if "verify" in self.found:
            return read_verify(self.reader, self.found["verify"])
        self.reader.wrong(
            node, f"{self.what} has no `verify:`; without a signature anyone could make phones ring: add it"
        )
        return None

    def _fields(self, node: Node) -> Mapping[str, FieldPaths] | None:
        if "fields" in self.found:
            of = f"`fields:` of {self.what}"
            return read_fields(self.reader, self.found["fields"], of, in_items=self._in_items)
        if self.shared is None:
            self.reader.wrong(node, f"{self.what} has no fields; add `fields:` here or at the top of the file")
        return self.shared

    def _paths(self, name: str) -> tuple[Path, ...]:
        if name not in self.found:
            return ()
        return self.reader.paths(self.found[name], f"`{name}:`", in_items=self._in_items)[0]

    def _record(self) -> Path | None:
        if "record" not in self.found:
            return None
        return self.reader.path(self.found["record"], "`record:`", in_items=self._in_items)

    def _items(self) -> ItemsPath | None:
        node = self.found.get("items")
        text = self.reader.text(node, "`items:`")
        if node is None or text is None:
            return None
        try:
            return compile_items(text)
        except PathMistake as error:
            self.reader.wrong(node, as_clause(str(error)))
            return None

    def _of_message(self, name: str) -> tuple[Condition | None, dict[str, Path]]:
        """`only:` or `opt_out:`: paths on the left, what is wanted there on the right."""
        if name not in self.found:
            return None, {}
        block = self.reader.block(self.found[name], f"`{name}:`")
        checks: list[Condition] = []
        paths = {}
        for key, value in self.reader.entries(block) if block is not None else ():
            try:
                paths[key.text] = compile_scoped(key.text, in_items=self._in_items)
            except PathMistake as error:
                self.reader.wrong(key, as_clause(str(error)))
                continue
            checks += read_checks(self.reader, key.text, value, plain_word)
            for doubt in of_message(key.text, value):
                self.reader.warn(doubt.line, doubt.column, doubt.message)
        if not checks:
            return None, {}
        return (checks[0] if len(checks) == 1 else AllOf(tuple(checks))), paths

    def _event_id(self) -> tuple[tuple[Path, ...], Template]:
        """Paths to try in order, or the template of a key."""
        node = self.found.get("event_id")
        if node is None:
            return (), ()
        if isinstance(node, Scalar) and ("{{" in node.text or "}}" in node.text):
            return (), self._event_key(node)
        for item in node.nodes if isinstance(node, Items) else ():
            if isinstance(item, Scalar) and "{{" in item.text:
                self.reader.wrong(item, "a template of `event_id:` stands alone; take it out of the list")
                return (), ()
        paths = self._paths("event_id")
        for path in paths:
            if isinstance(path, MessagePath):
                self._same_for_all(node, f"`{path.text}`")
        return paths, ()

    def _event_key(self, node: Scalar) -> Template:
        text = self.reader.text(node, "`event_id:`")
        if text is None:
            return ()
        try:
            template = parse_key(text.strip())
        except PlaceholderMistake as error:
            self.reader.wrong(node, str(error))
            return ()
        if self._in_items and not any(isinstance(part, Placeholder) and part.room == "item" for part in template):
            self._same_for_all(node, "this template")
        return template

    def _same_for_all(self, node: Node, what: str) -> None:
        self.reader.wrong(
            node,
            f"{what} is the same for all items of a message, so only one of them would be called;"
            " add a part of the item: `{{ item.id }}`",
        )

    def _needs_fetch(self, *, has_id: bool) -> bool:
        node = self.found.get("needs_fetch")
        if node is None:
            return False
        wanted = bool(self.reader.flag(node, "`needs_fetch:`"))
        if wanted and not has_id:
            self.reader.wrong(node, "`needs_fetch:` needs `id:`: where the event keeps the id of the record")
        return wanted

    def _body(self) -> Form:
        node = self.found.get("body")
        text = self.reader.text(node, "`body:`")
        if node is None or text is None:
            return "auto"
        if text.strip() not in BODIES:
            self.reader.wrong(node, f"`{shorten(text)}` is no form of a body; {nearest(text, BODIES)}")
        return BODIES.get(text.strip(), "auto")

    def _doors(self) -> tuple[Answers, Handshake | None]:
        handshake = None
        if "handshake" in self.found:
            handshake = read_handshake(self.reader, self.found["handshake"])
        return read_answers(self.reader, self.found.get("answers")), handshake
