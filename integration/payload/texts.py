"""How values compare as text: in one Unicode form, without case and outer spaces."""

from __future__ import annotations

import unicodedata

from integration.model import Tree
from integration.payload.paths import as_text

TOO_LARGE = 10**100  # Python itself refuses to write out an integer of more than 4,300 digits


def fold(text: str) -> str:
    """`text` as it is compared: one Unicode form, no outer spaces, no case."""
    if text.isascii():
        return text.strip().lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).strip().casefold())


def usable_text(value: Tree) -> str | None:
    """The value as text, in one Unicode form; None when it has none or is a number nobody can mean."""
    if isinstance(value, int) and abs(value) >= TOO_LARGE:
        return None
    text = as_text(value)
    return text if text is None or text.isascii() else unicodedata.normalize("NFC", text)


def folded_texts(value: Tree) -> tuple[str, ...]:
    """The texts that a value can equal: one, or one for each item of a list. A truth value is also its word."""
    if isinstance(value, list):
        return tuple(text for item in value for text in _folded(item))
    return _folded(value)


def _folded(value: Tree) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    text = usable_text(value)
    return () if text is None else (fold(text),)
