"""Characters that look like others: typographic quotes, spaces nobody can see, letters of another alphabet.

They come in with text pasted from Word, Slack or a web page. On the screen the file then looks right.
"""

from __future__ import annotations

import re

QUOTES = (
    "\u201c\u201d\u201e\u201f"  # double ones
    "\u2018\u2019\u201a\u201b"  # single ones
    "\u00ab\u00bb\u2039\u203a"  # angled ones
)
INVISIBLE = {
    "\u00a0": "a no-break space",
    "\u202f": "a narrow no-break space",
    "\u2007": "a figure space",
    "\u200b": "a zero-width space",
    "\u200c": "a zero-width joiner",
    "\u200d": "a zero-width joiner",
    "\u2060": "a word joiner",
    "\ufeff": "a byte order mark",
    "\u00ad": "a soft hyphen",
}
# Cyrillic and Greek letters that most fonts draw as a Latin one.
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅοντυιραΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijshdqwABEKMHOPCTYXIJSovtuipaABEZHIKMNOPTYX",
)
_CLASS = "".join(INVISIBLE)
# Where an invisible space stands in for one that YAML needs: at the start, behind a sign, between a key and its colon.
_IN_THE_WAY = re.compile(rf"^[ -]*([{_CLASS}])|[:,\"'\]}}]([{_CLASS}])|^[ -]*[\w-]+([{_CLASS}]+):")


def in_typographic_quotes(text: str) -> bool:
    """Whether the whole text stands in such quotes, and none stands within."""
    inner = text[1:-1]
    return len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES and not any(char in QUOTES for char in inner)


def as_latin(text: str) -> str:
    """The text that a person sees who takes every letter for a Latin one."""
    return text if text.isascii() else text.translate(_LOOK_ALIKES)


def is_mixed(text: str) -> bool:
    """Whether a single word holds Latin letters beside such that only look so. Nobody means that."""
    words = [] if text.isascii() else re.findall(r"\w+", text)
    return any(as_latin(word) != word and re.search("[A-Za-z]", word) for word in words)


def as_meant(text: str) -> str:
    """The text without what nobody sees, without typographic quotes around it, in Latin letters."""
    seen = "".join(char for char in text if char not in INVISIBLE)
    return as_latin(seen.strip().strip(QUOTES))


def what_is_odd(text: str) -> str | None:
    """Why a text is not what it looks like, as a clause; None when it is."""
    hidden = next((char for char in text if char in INVISIBLE), None)
    if hidden is not None:
        return f"it holds {INVISIBLE[hidden]}, which is invisible"
    if text[:1] in QUOTES or text[-1:] in QUOTES:
        return "typographic quotes belong to it" if text else None
    disguised = is_mixed(text) or (not text.isascii() and as_latin(text).isascii())
    return "it holds letters of another alphabet that look the same" if disguised else None


def hidden_space(line: str) -> tuple[int, str] | None:
    """Where in a line of the file an invisible character takes the place of a space, counted from 0, and its name."""
    found = _IN_THE_WAY.search(line)
    if found is None:
        return None
    group = next(number for number in (1, 2, 3) if found.group(number))
    return found.start(group), INVISIBLE[found.group(group)]
