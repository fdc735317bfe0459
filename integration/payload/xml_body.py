"""XML, for Salesforce's outbound messages and their kind.

Only elements, attributes and text are read. A document type is refused at its first character, so no
entity can be declared, and nothing is ever fetched.
"""

from __future__ import annotations

from xml.parsers import expat

from integration.model import Tree
from integration.payload.json_body import decode
from integration.payload.refusal import MAX_DEPTH, BodyRefusedError

MAX_XML_ELEMENTS = 20_000

_NIL = "http://www.w3.org/2001/XMLSchema-instance nil"


def parse_xml(raw: bytes) -> Tree:
    """Read XML into `{root: ...}`. Raises BodyRefusedError.

    Children go by their names without namespace, repeated ones as a list; attributes as `@name`. An
    element without children and attributes is its text; text beside them is `#text`; one that is marked
    `xsi:nil` is null.
    """
    body = raw.strip(b" \t\r\n").removeprefix(b"\xef\xbb\xbf")  # in XML this mark is legal
    decode(body)
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    parser.EntityDeclHandler = reader.refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}"
        what = expat.ErrorString(error.code)  # one of the parser's own constant phrases
        raise BodyRefusedError(f"The body is no valid XML at {where}: {what}.") from None
    return reader.root


class _Reader:
    """Builds the tree from expat's events. Its stack is its own, so depth costs no recursion."""

    def __init__(self) -> None:
        self.root: dict[str, Tree] = {}
        self._stack: list[tuple[dict[str, Tree], list[str], bool]] = [(self.root, [], False)]
        self._count = 0

    def refuse_doctype(self, *_: object) -> None:
        raise BodyRefusedError("The XML has a DOCTYPE or an entity of its own; send it without.")

    def start(self, _: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) > MAX_DEPTH:
            raise BodyRefusedError(f"The XML is nested deeper than {MAX_DEPTH} levels; send it flatter.")
        if self._count > MAX_XML_ELEMENTS:
            raise BodyRefusedError(f"The XML has more than {MAX_XML_ELEMENTS} elements; send fewer at once.")
        is_nil = attributes.pop(_NIL, "") in ("true", "1")
        # An attribute without namespace is written last, so that it wins over its namesakes.
        names = sorted(attributes, key=lambda name: " " not in name)
        self._stack.append(({"@" + _local(name): attributes[name] for name in names}, [], is_nil))

    def text(self, text: str) -> None:
        self._stack[-1][1].append(text)

    def end(self, name: str) -> None:
        content, texts, is_nil = self._stack.pop()
        text = "".join(texts)
        value: Tree = content
        if not content:
            value = None if is_nil else text
        elif text.strip():
            content["#text"] = text.strip()
        parent, key = self._stack[-1][0], _local(name)
        known = parent.get(key)
        if key not in parent:
            parent[key] = value
        elif isinstance(known, list):  # one element is never a list, so this is the list of them
            known.append(value)
        else:
            parent[key] = [known, value]


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
