"""Reads a YAML tree by what is wanted at each place, and notes every mistake instead of stopping.

A reader method returns None once it has noted a mistake, so that the caller can go on to the next
key. The values of variables (`${NAME}`) come in here, and only where the caller allows them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from integration.model import Tree
from integration.payload import Path, PathMistake, compile_jmespath
from integration.rules.letters import QUOTES, as_meant, in_typographic_quotes, what_is_odd
from integration.rules.placeholders import Placeholder, Template
from integration.rules.scope import compile_scoped
from integration.rules.shapes import Mistake
from integration.rules.yaml_tree import Block, Items, Node, Scalar, shorten
from integration.rules.yaml_words import SECRET_WORDS, as_clause

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,][0-9]{3})+([.,][0-9]+)?")
# Keys whose value is one text, so that a comma in it wants quotes and never brackets.
_ONE_TEXT = frozenset(
    """name skip call id number caller_id read_as request record event_id items to source user expect preset
    body taken trouble kind header""".split()  # noqa: SIM905
)
_DIGITS = re.compile(r"[+-]?[0-9]{1,3}")
_BEFORE_ADDRESS = re.compile(r"\s*([A-Za-z]+\s+)?")  # nothing, or the method of a request
MAX_NUMBER_CHARS = 40
MAX_MESSAGE_CHARS = 600

# What stands for a variable that is declared but not set: an address, and a text that every encoding
# of a secret accepts (hex, base64, plain).
STAND_IN_ADDRESS = "https://crm.example.invalid"
STAND_IN_SECRET = "0123456789abcdef" * 4


@dataclass(frozen=True, slots=True)
class Expanded:
    """A text whose variables have been replaced. `stood_in`: one was not set and a harmless text stands there."""

    text: str
    from_variable: bool
    stood_in: bool


class Reader:
    """Notes mistakes and warnings, and knows the environment. One per file."""

    def __init__(self, environ: Mapping[str, str], declared: Collection[str] | None) -> None:
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self._environ = environ
        self._declared = declared

    def wrong(self, node: Node, message: str) -> None:
        """Note a mistake at `node`. What the message quotes from the file cannot break its line."""
        self.mistakes.append(Mistake(node.line, node.column, shorten(message, MAX_MESSAGE_CHARS)))

    def warn(self, line: int, column: int, message: str) -> None:
        """Note something that works and is probably not meant."""
        self.warnings.append(Mistake(line, column, shorten(message, MAX_MESSAGE_CHARS)))

    def warn_of_written_secret(self, node: Node, what: str) -> None:
        """A secret in the file is a secret in version control."""
        self.warn(
            node.line, node.column, f"{what} is written in this file; put it into a variable and write ${{NAME}} here"
        )

    # ---- shapes ---------------------------------------------------------------------------

    def block(self, node: Node | None, what: str) -> Block | None:
        """A mapping with at least one key."""
        if isinstance(node, Block) and node.entries:
            return node
        if node is not None:
            self.wrong(node, f"{what} wants lines of `key: value`, {_instead(node)}")
        return None

    def entries(self, block: Block, known: Collection[str] = (), *, lists: bool = True) -> list[tuple[Scalar, Node]]:
        """The entries without the `AT` and `CH` of `{country: DE, AT, CH}`, which are noted as a mistake.

        A word without a colon that is among `known` is a key. Without `lists` a value can be no list, or must
        not be shown.
        """
        kept: list[tuple[Scalar, Node]] = []
        stray: dict[int, list[Scalar]] = {}
        for key, value in block.entries:
            bare = isinstance(value, Scalar) and value.bare and key.text not in known
            if bare and kept and isinstance(kept[-1][1], Scalar) and not kept[-1][1].bare:
                stray.setdefault(len(kept) - 1, []).append(key)
            else:
                kept.append((key, value))
        for index, words in stray.items():
            key, first = kept[index]
            if isinstance(first, Scalar):
                self.wrong(first, _cut_by_comma(key.text, [first, *words], lists=lists))
        return kept

    def keys(
        self, node: Node | None, what: str, known: Iterable[str], synonyms: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, Node] | None:
        """A mapping whose keys are among `known`; others are mistakes with the nearest known key.

        `synonyms` has words that people write for one of `known` and that do not look like it, each with that
        one and with a remark.
        """
        block = self.block(node, what)
        if block is None:
            return None
        names, other = tuple(known), synonyms or {}
        found = {}
        for key, value in self.entries(block, names):
            if key.text in names:
                found[key.text] = value
                continue
            meant, remark = other.get(key.text.casefold(), (None, ""))
            if meant is None:
                meant, help_ = near(key.text, names), _help_with_key(key.text, names)
            else:
                example = f": {shorten(value.text, 20)}" if isinstance(value, Scalar) else ""
                help_ = f"write `{meant}{example}`{remark}"
            self.wrong(key, f"{what} has no key `{shorten(key.text)}`; {help_}")
            if meant is not None and block.get(meant) is None:
                found[meant] = value  # read on as if it were right: no second complaint that it is missing
        return found

    def items(self, node: Node | None, what: str) -> tuple[Node, ...] | None:
        """A list."""
        if isinstance(node, Items):
            return node.nodes
        if node is not None:
            self.wrong(node, f"{what} wants a list, each entry after `- `, {_instead(node)}")
        return None

    def one_or_more(self, node: Node, what: str) -> tuple[Node, ...]:
        """A list, or one value standing alone. An empty list is a mistake."""
        if not isinstance(node, Items):
            return (node,)
        if not node.nodes:
            self.wrong(node, f"{what} is an empty list, so nothing can ever fit; write a value into it")
        return node.nodes

    # ---- values ---------------------------------------------------------------------------

    def text(self, node: Node | None, what: str) -> str | None:
        """A text that is not empty, as typed, without variables."""
        raw = self._scalar(node, what)
        if raw is None or not isinstance(node, Scalar):
            return None
        variable = VARIABLE.search(raw)
        if variable is not None:
            self.wrong(
                node,
                f"`{variable.group()}` can stand only where an address or a secret stands, not in {what};"
                " write the value itself",
            )
            return None
        if node.plain and in_typographic_quotes(raw):
            self.warn(node.line, node.column, "typographic quotes belong to the value here; use straight ones")
        return raw

    def flag(self, node: Node, what: str) -> bool | None:
        """`true` or `false`, without quotes."""
        if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
            return node.text == "true"
        self.wrong(node, f"{what} wants true or false without quotes, {_instead(node, show=True)}")
        return None

    def number(self, node: Node, what: str) -> Decimal | None:
        """A number in plain digits, perhaps with a decimal point."""
        text = node.text.strip() if isinstance(node, Scalar) else ""
        if _GROUPED.fullmatch(text):
            self.wrong(node, f"`{text[:MAX_NUMBER_CHARS]}` can be read in two ways; write it without separators")
            return None
        if len(text) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(text):
            self.wrong(node, f"{what} wants a number like 500, {_instead(node, show=True)}")
            return None
        return Decimal(text)

    def secret(self, node: Node | None, what: str) -> Expanded | None:
        """A text with its `${NAME}` replaced. Mistakes name the variable and never show a value."""
        raw = self.raw(node, what)
        return None if raw is None or node is None else self._expanded(node, raw)

    def filled(self, node: Node, template: Template, *, address: bool = False) -> Template | None:
        """A template with the `${NAME}` in its literals replaced. A `{{` in a value stays what it is: text.

        `address`: a variable at the start stands for an address. None when a variable cannot be used.
        """
        parts: list[str | Placeholder] = []
        good = True
        for index, part in enumerate(template):
            if not isinstance(part, str):
                parts.append(part)
                continue
            expanded = self._expanded(node, part, address=address, first=index == 0)
            good = good and expanded is not None
            parts.append("" if expanded is None else expanded.text)
        return tuple(parts) if good else None

    def _expanded(self, node: Node, raw: str, *, address: bool = False, first: bool = True) -> Expanded | None:
        expanded: list[str] = []
        end, good, stood_in = 0, True, False
        for match in VARIABLE.finditer(raw):
            at_start = address and first and _BEFORE_ADDRESS.fullmatch(raw[: match.start()]) is not None
            value, is_stand_in = self._variable(node, match.group(1), at_start)
            if value is not None and address and raw[match.end() :].startswith("/"):
                value = value.rstrip("/")  # `https://crm.example.com/` and `/leads` must not make `//leads`
            good, stood_in = good and value is not None, stood_in or is_stand_in
            expanded += [raw[end : match.start()], value or ""]
            end = match.end()
        rest = raw[end:]
        if "${" in "".join(expanded[::2]) + rest:
            self.wrong(node, "`${` begins a variable that is not finished; write `${NAME}`")
            return None
        return Expanded("".join(expanded) + rest, bool(expanded), stood_in) if good else None

    def _variable(self, node: Node, name: str, address: bool) -> tuple[str | None, bool]:
        value = self._environ.get(name)
        if not value and self._declared is not None:
            if name in self._declared:
                return (STAND_IN_ADDRESS if address else STAND_IN_SECRET), True
            self.wrong(node, f"${{{name}}} is not declared; add a line `{name}=` to .env.example")
            return None, False
        if value is None:
            self.wrong(node, f"${{{name}}} is not set; set {name} in the environment")
        elif not value.strip():
            self.wrong(node, f"${{{name}}} is empty; set {name} to its value")
        elif value != value.strip():
            self.wrong(node, f"${{{name}}} has a space or a line break at its start or end; set {name} without it")
        else:
            return value, False
        return None, False

    def raw(self, node: Node | None, what: str) -> str | None:
        """A text that is not empty, with its `${NAME}` as they stand: for what may hold a secret or an address."""
        raw = self._scalar(node, what)
        if raw is None or not isinstance(node, Scalar) or not node.plain:
            return raw
        if raw[0] in QUOTES or raw[-1] in QUOTES:
            self.wrong(node, f"{what} begins or ends with a typographic quote; use straight ones")
            return None
        return raw

    def _scalar(self, node: Node | None, what: str) -> str | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.wrong(node, f"{what} wants a text, {_instead(node)}")
            return None
        if not node.text.strip():
            why = ", because `#` begins a comment; put the value in quotes" if node.cut else "; write a value"
            self.wrong(node, f"{what} is empty{why} or delete the line")
            return None
        return node.text

    def paths(
        self, node: Node, what: str, *, in_items: bool = False
    ) -> tuple[tuple[Path, ...], tuple[tuple[int, int], ...]]:
        """One path, or a list of paths to try in order, with the place of each."""
        paths, places = [], []
        for item in self.one_or_more(node, what):
            path = self.path(item, what, in_items=in_items)
            if path is not None:
                paths.append(path)
                places.append((item.line, item.column))
        return tuple(paths), tuple(places)

    def path(self, node: Node, what: str, *, in_items: bool = False) -> Path | None:
        """Names joined by dots, or `{jmespath: ...}`. With `in_items` they may begin with `message.`."""
        try:
            if isinstance(node, Block):
                found = self.keys(node, what, ("jmespath",))
                text = self.text((found or {}).get("jmespath"), "`jmespath`")
                return None if text is None else compile_jmespath(text)
            text = self.text(node, what)
            return None if text is None else compile_scoped(text, in_items=in_items)
        except PathMistake as error:
            self.wrong(node, as_clause(str(error)))
            return None

    def data(self, node: Node) -> Tree:
        """Sample data: texts as typed; `true`, `false`, `null` and JSON's numbers without quotes are these."""
        if isinstance(node, Block):
            return {key.text: self.data(value) for key, value in self.entries(node, lists=False)}
        if isinstance(node, Items):
            return [self.data(item) for item in node.nodes]
        return literal(node)


def literal(node: Scalar) -> str | int | Decimal | bool | None:
    """A scalar as JSON would hold it. `0044`, `+49`, `1_000`, `1e3`, `NO` and everything quoted stay text."""
    if not node.plain:
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if node.text in ("", "null"):
        return None
    if len(node.text) <= MAX_NUMBER_CHARS and _JSON_NUMBER.fullmatch(node.text):
        return Decimal(node.text) if "." in node.text else int(node.text)
    return node.text


def near(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that a person who wrote `name` most likely meant."""
    by_case = {other.casefold(): other for other in reversed(tuple(known))}
    folded = name[:60].casefold()
    meant = as_meant(name[:60]).casefold()
    found = difflib.get_close_matches(folded, by_case, 1, 0.6)
    return by_case.get(meant) or (by_case[found[0]] if found else None)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?` for the nearest of `known`, else all of them."""
    names = tuple(known)
    meant = near(name, names)
    odd = what_is_odd(name)
    if meant is not None:
        return f"did you mean `{meant}`?" if odd is None else f"{odd}: did you mean `{meant}`?"
    if not names:
        return "nothing is defined there yet"
    return "known here: " + ", ".join(f"`{other}`" for other in names[:20])


def _help_with_key(key: str, known: Sequence[str]) -> str:
    first, _, rest = key.strip().partition(" ")
    if rest and first in known:
        return f"a `:` is missing after `{first}`"
    return nearest(key, known)


def _cut_by_comma(key: str, words: Sequence[Scalar], *, lists: bool) -> str:
    """The sentence for a value and the words behind its commas, which braces made keys without a value."""
    if not lists or key in _ONE_TEXT or SECRET_WORDS.search(key):
        return f"a comma ends the value of `{shorten(key)}` here; put the whole value in quotes"
    texts = [word.text for word in words]
    plain = all(word.plain and _DIGITS.fullmatch(word.text) for word in words)
    if plain and all(len(text) == len("000") for text in texts[1:]):
        return f"`{','.join(texts)[:MAX_NUMBER_CHARS]}` can be read in two ways; write it without separators"
    if texts[0].startswith("(") and texts[-1].endswith(")"):
        texts[0], texts[-1] = texts[0][1:], texts[-1][:-1]
    quoted = [not word.plain or in_typographic_quotes(text) for text, word in zip(texts, words, strict=True)]
    shown = ", ".join(f'"{text.strip(QUOTES)}"' if q else text for text, q in zip(texts, quoted, strict=True))
    return f"a list needs brackets: `{shorten(key)}: [{shorten(shown)}]`; a text with a comma needs quotes"


def _instead(node: Node, *, show: bool = False) -> str:
    """What stands there; its text only with `show`, where it can be no secret."""
    if isinstance(node, Block):
        return "not a block of keys" if node.entries else "and there is only `{}`"
    if isinstance(node, Items):
        return "not a list"
    if not node.text.strip():
        return "and nothing stands here"
    if show and node.plain:
        return f"not `{shorten(node.text, 20)}`"
    return "not a text" if node.plain else "not a text in quotes"
