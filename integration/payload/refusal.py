"""How a parser leaves off: with a sentence about a place, never with a value of the body."""

from __future__ import annotations

import re

MAX_DEPTH = 32  # levels of objects, lists, brackets or elements

_SHOWN = 60  # characters of a key or path that an error repeats
# What no field's name needs, and what could steer a terminal or break a line.
_UNSHOWABLE = re.compile(r"[^\w .,:;@#$%&*+/()\[\]{}<>=!?\"'\\|~^-]")

_NUMBER = re.compile(r"\d(?:[\W_]{0,3}\d){6,}")  # some senders use the phone number as a key


class BodyRefusedError(Exception):
    """Leaves a parser from within. Its text becomes the detail of a BadBody and goes no further."""


def show(key: str) -> str:
    """A key or path as an error may show it: printable, short, in backquotes."""
    key = _NUMBER.sub("...", key[:1000])
    short = key if len(key) <= _SHOWN else key[: _SHOWN - 3] + "..."
    return f"`{_UNSHOWABLE.sub('?', short)}`"
