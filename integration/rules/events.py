"""From a body to its events: which are for us, and by which key each is known again.

The same code takes a message apart when it comes in, when its leads are decided and when the CRM is told,
so that the number of an item means the same each time. An item that is a plain value, as in
`ids: [17, 18]`, becomes the record `{id: 17}`.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

from integration.model import Reason, Tree
from integration.payload import BadBody, parse_body, usable_text
from integration.rules.conditions import FieldValues, holds, separators_of, why_not
from integration.rules.placeholders import Template
from integration.rules.scope import MessagePath, look
from integration.rules.shapes import Event, Ignored, Source, Unusable

MAX_ITEMS = 1_000
MAX_ID_CHARS = 500


def read_message(source: Source, body: bytes, content_type: str | None) -> Tree | BadBody:
    """The body as a tree, read in the form that the source names. Never raises."""
    return parse_body(body, content_type, form=source.body)


class Messages:
    """Reads messages, and remembers the last one that held items: its leads are asked for one after another.

    What it returns is not to be changed. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._last: tuple[Source, bytes, str | None, Tree | BadBody] | None = None

    def read(self, source: Source, body: bytes, content_type: str | None) -> Tree | BadBody:
        """`read_message`."""
        last = self._last
        if last is not None and last[0] is source and last[2] == content_type and last[1] == body:
            return last[3]
        tree = read_message(source, body, content_type)
        if source.items is not None:
            self._last = (source, body, content_type, tree)
        return tree


def read_events(source: Source, tree: Tree) -> tuple[Event, ...] | Ignored | Unusable:
    """The events of a message that are for us, in their order; there is at least one. Never raises."""
    if source.items is None:
        event = read_event(source, tree)
        return event if isinstance(event, Ignored) else (event,)
    items = source.items.find(tree, MAX_ITEMS)
    where = f"`{source.items.text}`"
    if items is None:
        return Unusable(Reason.NO_RECORD, f"there is no list at {where}; see `items:` of source {source.name}")
    if not items:
        return Ignored(f"there is nothing in the list at {where}")
    if len(items) > MAX_ITEMS:
        detail = f"there are more than {MAX_ITEMS:,} entries at {where}; let the CRM send fewer at once"
        return Unusable(Reason.TOO_MANY_ITEMS, detail)
    read = [_read_item(source, item, tree, number) for number, item in enumerate(items)]
    events = tuple(event for event in read if isinstance(event, Event))
    return events or next(event for event in read if isinstance(event, Ignored))


def read_event(source: Source, tree: Tree, item: int = 0) -> Event | Ignored:
    """Whether one event is for us, and its key. Never raises.

    An event in which `only:` finds nothing because it is no object is not ignored: it goes on and ends
    parked, where a person sees it.
    """
    return _read_item(source, _entry(source, tree, item), tree, item)


def item_of(source: Source, tree: Tree, item: int) -> Tree:
    """The event with this number; None when the message has none, because the rules have changed since."""
    entry = _entry(source, tree, item)
    return entry if source.items is None else _as_record(entry)


def _entry(source: Source, tree: Tree, item: int) -> Tree:
    if source.items is None:
        return tree
    items = source.items.find(tree, MAX_ITEMS) or []
    return items[item] if 0 <= item < len(items) else None


def _as_record(item: Tree) -> Tree:
    if isinstance(item, str | int | Decimal) and not isinstance(item, bool):
        return {"id": item}
    return item


def _read_item(source: Source, entry: Tree, message: Tree, number: int) -> Event | Ignored:
    item = entry if source.items is None else _as_record(entry)
    opts_out = is_opt_out(source, item, message)
    if source.only is not None and not opts_out:
        found = {name: look(path, item, message) for name, path in source.only_paths.items()}
        own = [found[name] for name, path in source.only_paths.items() if not isinstance(path, MessagePath)]
        unreadable = not isinstance(entry, dict) and bool(own) and all(value is None for value in own)
        values = FieldValues(found, separators_of(None))
        if not unreadable and not holds(source.only, values):
            return Ignored(f"`only:` wants {why_not(source.only, values)[0]}")
    key = _filled_key(source.event_key, item, message) if source.event_key else _first_key(source, item, message)
    if key is None and source.items is not None:
        key = f"sha256:{_digest(item)}"
    return Event(key, number, opts_out)


def is_opt_out(source: Source, event: Tree, message: Tree) -> bool:
    """Whether this event says that somebody wants no calls. Asked before `only:`, which need not name such events."""
    if source.opt_out is None:
        return False
    found = {name: look(path, event, message) for name, path in source.opt_out_paths.items()}
    return holds(source.opt_out, FieldValues(found, separators_of(None)))


# ---- keys -------------------------------------------------------------------------------------


def _first_key(source: Source, item: Tree, message: Tree) -> str | None:
    texts = (usable_text(look(path, item, message)) for path in source.event_id)
    return next((_key(text) for text in texts if text is not None), None)


def _filled_key(template: Template, item: Tree, message: Tree) -> str | None:
    """The key with its parts filled in, or None when one of them is missing."""
    parts = []
    for part in template:
        if isinstance(part, str):
            parts.append(part)
            continue
        value = None if part.path is None else part.path.find(item if part.room == "item" else message)
        text = usable_text(value)
        if text is None:
            return None
        parts.append(text)
    return _key("".join(parts))


def _key(text: str) -> str:
    if len(text) > MAX_ID_CHARS:
        text = "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"id:{text}"


def _digest(item: Tree) -> str:
    """What names an item without an id: the same for the same content, however it was written."""
    written = json.dumps(item, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_number)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def _number(value: object) -> str:
    return f"{value}"
