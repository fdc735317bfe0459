"""`preset: hubspot` in a source: the keys that the preset brings, put beneath those that the admin wrote.

A preset is a file of the same keys as a source, read by the same reader. Its nodes are given the place of
the word `preset`'s value, so that a mistake that only both together make is told where the admin can look.
"""

from __future__ import annotations

from integration import crms
from integration.rules.reader import Reader, nearest
from integration.rules.yaml_tree import Block, Items, Node, Scalar, read_yaml, shorten

# In these a preset's keys stay beside the admin's; any other key is the admin's or the preset's as a whole.
_MERGED = ("verify", "answers", "handshake")
# A key in these that says which kind is meant: with another one the rest of the preset's block makes no sense.
_KIND = {"verify": "scheme", "handshake": "kind"}


def with_preset(reader: Reader, node: Node, what: str) -> tuple[str | None, Node | None]:
    """The preset's name and the source with what it brings. No source when there is no such preset."""
    named = node.get("preset") if isinstance(node, Block) else None
    if named is None or not isinstance(node, Block):
        return None, node
    text = reader.text(named, f"`preset:` of {what}")
    name = "" if text is None else text.strip()
    if name not in crms.preset_names():
        if text is not None:
            reader.wrong(named, f"there is no preset `{shorten(name)}`; {nearest(name, crms.preset_names())}")
        return None, None
    preset, mistakes = read_yaml(crms.preset_text(name))
    assert isinstance(preset, Block)
    assert not mistakes
    return name, _joined(node, _moved_block(preset, named.line, named.column))


def _joined(own: Block, preset: Block) -> Block:
    entries = [(key, _inner(key.text, value, preset.get(key.text))) for key, value in own.entries]
    entries += [(key, value) for key, value in preset.entries if own.get(key.text) is None]
    return Block(tuple(entries), own.line, own.column)


def _inner(key: str, own: Node, preset: Node | None) -> Node:
    if key not in _MERGED or not isinstance(own, Block) or not isinstance(preset, Block):
        return own
    if key in _KIND and own.get(_KIND[key]) is not None:
        return own
    return _joined(own, preset)


def _moved(node: Node, line: int, column: int) -> Node:
    match node:
        case Scalar():
            return Scalar(node.text, node.plain, line, column)
        case Items():
            return Items(tuple(_moved(item, line, column) for item in node.nodes), line, column)
        case Block():
            return _moved_block(node, line, column)


def _moved_block(block: Block, line: int, column: int) -> Block:
    entries = [(Scalar(key.text, key.plain, line, column), _moved(value, line, column)) for key, value in block.entries]
    return Block(tuple(entries), line, column)
