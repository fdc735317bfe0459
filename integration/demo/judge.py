"""Whether a story came out right, judged by what was seen from outside. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from integration.demo.stories import Story
from integration.demo.witness import Seen


def problems_of(story: Story, seen: Seen) -> list[str]:
    """What is wrong with this story; empty when all is right."""
    return [*_answer(story, seen), *_calls(story, seen), *_record(story, seen), *_ledger(story, seen)]


def expected_calls(played: Sequence[Story]) -> Counter[str]:
    """Each number these stories may ring, once."""
    return Counter({story.rings: 1 for story in played if story.rings is not None})


def problems_of_journal(asked: Counter[str], played: Sequence[Story]) -> list[str]:
    """Where the contact centre was asked otherwise than these stories want, number by number."""
    wanted = expected_calls(played)
    return [
        f"the contact centre was asked to ring {number} {_times(asked[number])}, not {_times(wanted[number])}"
        for number in sorted(asked | wanted)
        if asked[number] != wanted[number]
    ]


def _answer(story: Story, seen: Seen) -> Iterator[str]:
    if seen.status != story.status:
        yield f"the CRM was answered {seen.status}, not {story.status}"
    word = seen.answer.get("status", "")
    if word != story.word:
        yield f"the answer says {word!r}, not {story.word!r}"


def _calls(story: Story, seen: Seen) -> Iterator[str]:
    if story.rings is None or not seen.calls:
        return  # how often which number was asked for is judged by the whole journal
    account = seen.calls[0]["account"]
    if account != story.from_account:
        yield f"it was rung from account {account}, not {story.from_account}"


def _record(story: Story, seen: Seen) -> Iterator[str]:
    told = {name: value for name, value in seen.record.items() if name.startswith("ringback_")}
    if story.result is None:
        if told:
            yield "the CRM's record was changed"
        return
    result = told.get("ringback_result")
    if result != story.result:
        yield f"the CRM's record says {result or 'nothing yet'}, not {story.result}"
    given = seen.calls[0]["call_id"] if story.result == "called" and seen.calls else None
    call_id = told.get("ringback_call_id") or None
    if call_id != given:
        yield f"the CRM's record has the call id {call_id}, the contact centre gave {given}"


def _ledger(story: Story, seen: Seen) -> Iterator[str]:
    if seen.lead is None:
        if story.result is not None:
            yield "the ledger does not hold the lead"
        return
    if seen.lead.state != (story.result or ""):
        yield f"the ledger says {seen.lead.state}, not {story.result or 'nothing'}"
    if seen.lead.rule_name != story.rule:
        yield f"the rule {seen.lead.rule_name!r} decided, not {story.rule!r}"


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")
