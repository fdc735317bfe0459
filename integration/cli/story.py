"""One lead's story as lines and as JSON.

The fields and the message come from the CRM: numbers in them are masked unless they are to be revealed. Ids are
never masked, though many look like numbers: without them nobody finds the record or the call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from integration.cli.terminal import iso, shortened, utc, wrapped
from integration.ledger import AttemptRow, LeadRow, LeadStory, WritebackRow
from integration.model import AttemptState, Reason
from integration.phone import mask, mask_numbers

_LABEL = 12  # columns of the left side
_WIDEST_LABEL = 24
_LONGEST_MESSAGE = 20_000  # characters of the CRM's message


def story_lines(story: LeadStory, *, reveal: bool) -> Iterator[str]:
    """The story for a terminal."""
    lead = story.lead
    yield f"Lead {lead.id}: {lead.state}{f' ({lead.reason})' if lead.reason else ''}"
    yield from _facts(lead, reveal)
    if story.fields:
        yield ""
        yield "What the rules saw"
        width = _width((shortened(str(name), _WIDEST_LABEL) for name in story.fields), _LABEL)
        for name, value in story.fields.items():
            yield from _pair(shortened(str(name), _WIDEST_LABEL), _field(value, reveal), width)
    for attempt in story.attempts:
        yield ""
        yield from _attempt(attempt, reveal)
    if story.writeback is not None:
        yield ""
        yield from _writeback(story.writeback)
    yield ""
    yield "History (UTC)"
    width = _width((f"MM-DD HH:MM:SS.mmm  {entry.what}" for entry in story.history), _LABEL)
    for entry in story.history:
        at = entry.at.astimezone(UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
        yield from _pair(f"{at}  {entry.what}", entry.detail, width)
    if reveal:
        yield ""
        yield f"The CRM's message ({story.content_type or 'no content type'})"
        text = story.body.decode("utf-8", "replace")
        yield from (f"  {line}" for line in text[:_LONGEST_MESSAGE].splitlines())


def _facts(lead: LeadRow, reveal: bool) -> Iterator[str]:
    if lead.detail:
        yield from _pair("", lead.detail)
    yield from _pair("source", lead.source)
    if lead.record_id is not None:
        yield from _pair("CRM's id", lead.record_id)
    yield from _pair("received", utc(lead.received_at))
    if lead.due_at is not None:
        yield from _pair("due", utc(lead.due_at))
    if lead.to_number is not None:
        yield from _pair("number", _number(reveal)(lead.to_number))
    if lead.account is not None:
        yield from _pair("account", lead.account)
    if lead.rule_name is not None:
        yield from _pair("rule", f"{lead.rule_name} (line {lead.rule_line} of rules version {lead.rules_digest})")
    elif lead.rules_digest is not None:
        yield from _pair("rules", f"version {lead.rules_digest}; no rule decided")
    if lead.call_id is not None:
        yield from _pair("call", lead.call_id + (f" ({lead.call_status})" if lead.call_status else ""))


# A person settles an attempt and leaves the reason of the doubt where it is.
_DOUBTS = (Reason.ANSWER_UNCLEAR, Reason.WORKER_LOST)
_SETTLED_BY_PERSON = {
    AttemptState.PLACED: "placed, as a person confirmed",
    AttemptState.RELEASED: "released by a person",
}


def _attempt(attempt: AttemptRow, reveal: bool) -> Iterator[str]:
    status = f", HTTP {attempt.http_status}" if attempt.http_status is not None else ""
    why = f"{attempt.reason}{status}" if attempt.reason else ""
    if attempt.reason in _DOUBTS and attempt.state in _SETTLED_BY_PERSON:
        yield f"Attempt {attempt.n}: {_SETTLED_BY_PERSON[attempt.state]} (before that: {why})"
    else:
        yield f"Attempt {attempt.n}: {attempt.state}{f' ({why})' if why else ''}"
    number = _number(reveal)
    caller = f" from {number(attempt.caller_id)}" if attempt.caller_id else ""
    yield from _pair("number", number(attempt.to_number) + caller)
    yield from _pair("account", f"{attempt.account} (id {attempt.account_id})")
    settled = f", settled {utc(attempt.settled_at)}" if attempt.settled_at is not None else ""
    yield from _pair("intent", utc(attempt.intent_at) + settled)
    if attempt.call_id is not None:
        yield from _pair("call", attempt.call_id)
    if attempt.message:
        yield from _pair("message", attempt.message)


def _writeback(writeback: WritebackRow) -> Iterator[str]:
    tries = "1 try" if writeback.tries == 1 else f"{writeback.tries} tries"
    yield f"Telling the CRM: {writeback.state}{f' ({writeback.reason})' if writeback.reason else ''}, {tries}"
    if writeback.detail:
        yield from _pair("", writeback.detail)
    if writeback.settled_at is not None:
        yield from _pair("settled", utc(writeback.settled_at))
    elif writeback.due_at is not None:
        yield from _pair("due", utc(writeback.due_at))


def _width(labels: Iterable[str], least: int) -> int:
    """Columns that the longest label needs, with two before and two behind it."""
    longest = max((len(label) for label in labels), default=0)
    return max(longest + 4, least)


def _pair(label: str, text: str, width: int = _LABEL) -> Iterator[str]:
    # Joined before it is wrapped, so that the label counts; a long label gets a space all the same.
    yield from wrapped(f"  {label.ljust(width - 3)} {text}", " " * width)


def _number(reveal: bool) -> Callable[[str], str]:
    return str if reveal else mask


def _field(value: object, reveal: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if reveal else mask_numbers(text)


# ---- for scripts --------------------------------------------------------------------------------


def story_as_json(story: LeadStory, lead: Mapping[str, object], *, reveal: bool) -> Mapping[str, object]:
    """The story for scripts. `lead` is the lead as lists have it."""
    number = _number(reveal)
    whole = {"to": story.lead.to_number} if reveal else {}
    told = {**lead, **whole, "fields": {name: _masked(value, reveal) for name, value in story.fields.items()}}
    told["attempt_list"] = [
        {
            "n": one.n,
            "state": one.state,
            "reason": one.reason,
            "message": one.message,
            "account": one.account,
            "account_id": one.account_id,
            "to": number(one.to_number),
            "caller_id": None if one.caller_id is None else number(one.caller_id),
            "intent_at": one.intent_at,
            "settled_at": one.settled_at,
            "call_id": one.call_id,
            "http_status": one.http_status,
        }
        for one in story.attempts
    ]
    told["write_back"] = None if story.writeback is None else _writeback_as_json(story.writeback)
    told["history"] = [{"at": iso(one.at), "what": one.what, "detail": one.detail} for one in story.history]
    told["content_type"] = story.content_type
    if reveal:
        told["message"] = story.body.decode("utf-8", "replace")
    return told


def _writeback_as_json(writeback: WritebackRow) -> Mapping[str, object]:
    return {
        "state": writeback.state,
        "reason": writeback.reason,
        "detail": writeback.detail,
        "tries": writeback.tries,
        "due_at": _iso(writeback.due_at),
        "settled_at": _iso(writeback.settled_at),
        "http_status": writeback.http_status,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def _masked(value: object, reveal: bool) -> object:
    """A field's value with every number in a text masked, however deep it stands."""
    if reveal or value is None or isinstance(value, bool):
        return value
    match value:
        case str():
            return mask_numbers(value)
        case int():
            masked = mask_numbers(str(value))
            return value if masked == str(value) else masked
        case list():
            return [_masked(item, reveal) for item in value]
        case dict():
            return {mask_numbers(str(key)): _masked(item, reveal) for key, item in value.items()}
    return value
