"""`{{ lead.id }}` and its like: what can stand there, and what it is worth.

No template language: a placeholder is a name from a fixed list or a path into the message, and its
value is only ever data. Escaping belongs to the place it is filled into, see `writeback.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from integration.model import LeadState, Tree
from integration.payload import Path, PathMistake, compile_path
from integration.rules.yaml_words import as_clause

LEAD_NAMES = ("id", "result", "reason")
CALL_NAMES = ("id", "status", "account")
WRITEBACK_TREES = ("event", "message")
KEY_TREES = ("item", "message")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`lead`, `call`, `event`, `item` or `message`, and the name or path after the dot."""

    room: str
    name: str
    path: Path | None = None  # for all but `lead` and `call`

    def __str__(self) -> str:
        return f"{{{{ {self.room}.{self.name} }}}}"


Template = tuple[str | Placeholder, ...]  # literal text and placeholders, in order


@dataclass(frozen=True, slots=True)
class JsonText:
    """A string in a JSON body."""

    template: Template


@dataclass(frozen=True, slots=True)
class JsonList:
    items: tuple[JsonTemplate, ...]


@dataclass(frozen=True, slots=True)
class JsonObject:
    entries: tuple[tuple[str, JsonTemplate], ...]


@dataclass(frozen=True, slots=True)
class JsonLiteral:
    """A number, a truth value or null, sent as written."""

    value: int | Decimal | bool | None


JsonTemplate = JsonText | JsonList | JsonObject | JsonLiteral


@dataclass(frozen=True, slots=True)
class WritebackFacts:
    """What there is to tell of one lead. `message_id` and `now` are needed only where `sign:` is set."""

    record_id: str | None
    result: LeadState
    reason_text: str  # for people
    call_id: str | None
    call_status: str | None
    account: str | None
    fields: Mapping[str, Tree]  # those of the decision
    event: Tree  # the lead's own event; the whole message where a message is one event
    message_id: str | None = None  # the same for each try of one write-back
    now: datetime | None = None  # aware; the moment of sending
    message: Tree = None  # the message around the event; None: the event is the message


class PlaceholderMistake(ValueError):
    """A placeholder that cannot be used; the message says why and what to write."""


def parse_template(text: str, fields: Collection[str] | None) -> Template:
    """`text` in its parts. `fields` are the names that `lead.` may have; None: any. Raises PlaceholderMistake."""
    return _parts(text, lambda name: _placeholder(name, fields), "lead.id")


def parse_key(text: str) -> Template:
    """The template of an event's own key, made of `item.PATH` and `message.PATH`. Raises PlaceholderMistake."""
    return _parts(text, _key_placeholder, "item.id")


def _parts(text: str, read: Callable[[str], Placeholder], example: str) -> Template:
    parts: list[str | Placeholder] = []
    rest = text
    while True:
        before, opened, after = rest.partition("{{")
        if "}}" in before:
            raise PlaceholderMistake(f"`}}}}` stands here without `{{{{` before it; write `{{{{ {example} }}}}`")
        if before:
            parts.append(before)
        if not opened:
            return tuple(parts)
        inside, closed, rest = after.partition("}}")
        if not closed:
            raise PlaceholderMistake("`{{` is not closed; write `}}` after the name")
        parts.append(read(inside.strip()))


def _in_a_tree(name: str, rooms: Collection[str]) -> Placeholder | None:
    """`event.PATH` and its like; None when `name` is none of `rooms`."""
    room, _, rest = name.partition(".")
    rest = rest.strip()
    if room not in rooms or not rest:
        return None
    try:
        return Placeholder(room, rest, compile_path(rest))
    except PathMistake as error:
        raise PlaceholderMistake(f"the path in `{{{{ {name} }}}}` cannot be read: {as_clause(str(error))}") from error


def _key_placeholder(name: str) -> Placeholder:
    found = _in_a_tree(name, KEY_TREES)
    if found is None:
        raise PlaceholderMistake(
            f"nothing is called `{{{{ {name[:60]} }}}}` in `event_id:`; write item.PATH, or message.PATH"
        )
    return found


def _placeholder(name: str, fields: Collection[str] | None) -> Placeholder:
    if name == "lead.link":
        raise PlaceholderMistake("`{{ lead.link }}` is not available in this version; take it out")
    found = _in_a_tree(name, WRITEBACK_TREES)
    if found is not None:
        return found
    room, _, rest = name.partition(".")
    rest = rest.strip()
    known = {"lead": (*LEAD_NAMES, *(fields or ())), "call": CALL_NAMES}
    if fields is None and room == "lead" and rest:
        return Placeholder(room, rest)
    if rest in known.get(room, ()):
        return Placeholder(room, rest)
    names = [f"{owner}.{one}" for owner, ones in known.items() for one in ones]
    near = difflib.get_close_matches(name, names, 1)
    help_ = f"did you mean `{{{{ {near[0]} }}}}`?" if near else "write one of " + ", ".join(sorted(names))
    if not near:
        help_ += " or event.PATH"
    raise PlaceholderMistake(f"nothing is called `{{{{ {name[:60]} }}}}`; {help_}")


def value_of(placeholder: Placeholder, facts: WritebackFacts) -> Tree:
    """What stands for `placeholder`; None when there is nothing."""
    match placeholder.room, placeholder.name:
        case "event", _:
            return None if placeholder.path is None else placeholder.path.find(facts.event)
        case "message", _:
            around = facts.event if facts.message is None else facts.message
            return None if placeholder.path is None else placeholder.path.find(around)
        case "call", "id":
            return facts.call_id
        case "call", "status":
            return facts.call_status
        case "call", "account":
            return facts.account
        case "lead", "id":
            return facts.record_id
        case "lead", "result":
            return facts.result.value
        case "lead", "reason":
            return facts.reason_text or None
        case _, name:
            return facts.fields.get(name)


def whole(template: Template) -> Placeholder | None:
    """The placeholder that is the template's only content, if that is so."""
    first = template[0] if len(template) == 1 else None
    return first if isinstance(first, Placeholder) else None
