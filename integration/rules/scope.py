"""Where a path starts: in the event, or behind `message.` in the message that the event came in.

The second exists only in a source with `items:`. Elsewhere event and message are the same.
"""

from __future__ import annotations

from integration.model import Tree
from integration.payload import Path, compile_path

MESSAGE = "message."


class MessagePath(Path):
    """A path that starts at the message around the event. Its text keeps the word `message`."""

    __slots__ = ()


def compile_scoped(text: str, *, in_items: bool) -> Path:
    """Compile names joined by dots. Raises PathMistake.

    With `in_items` a path that begins with `message.` starts at the message. A field of the event that
    is itself called so is written in quotes: `"message".text`.
    """
    source = text.strip()
    if not in_items or not source.startswith(MESSAGE):
        return compile_path(source)
    inner = compile_path(source.removeprefix(MESSAGE))
    return MessagePath(source, "names", inner.find)


def look(path: Path, here: Tree, message: Tree) -> Tree:
    """What `path` finds; `here` is the event or the record in it."""
    return path.find(message if isinstance(path, MessagePath) else here)
