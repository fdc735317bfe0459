"""`ringback demo`: the real server between a sandbox contact centre and a sandbox CRM, watched from outside.

It exits 0 only if every story came out right by the witnesses' account: the CRM was answered so, the contact
centre was asked for each expected number once and for no other, the CRM's records say so, and so does the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from integration.demo import show
from integration.demo.judge import problems_of, problems_of_journal
from integration.demo.stage import Interrupts, Stage, StageError, admins_rules_differ, set_up
from integration.demo.stories import SPARE, STORIES, Story
from integration.demo.witness import Delivery, Seen, Witness
from integration.http import HttpError
from integration.ledger import LedgerUnavailable

__all__ = ["run_demo"]

WATCH_SECONDS = 8.0  # for all stories together, so that the whole demo ends within 15 s
_INTERRUPTED = 130


def run_demo(*, keep: bool, meddle: Callable[[Stage], None] | None = None) -> int:
    """Play the demo: 0 if every story came out right, 1 if not, 130 after Ctrl-C in the middle of it.

    `keep` leaves everything running afterwards until Ctrl-C. `meddle` is called when everything runs and
    before the first webhook; tests break things in it.
    """
    with Interrupts() as interrupts:
        try:
            with set_up(interrupts) as stage:
                if meddle is not None:
                    meddle(stage)
                return _play(stage, keep=keep)
        except StageError as error:
            click.echo(f"The demo cannot go on: {error}", err=True)
            return 1
        except KeyboardInterrupt:
            click.echo("\nThe demo was interrupted; everything it had started is stopped.", err=True)
            return _INTERRUPTED


def _play(stage: Stage, *, keep: bool) -> int:
    began_at = time.monotonic()
    witness = Witness(stage)
    try:
        show.opening(stage, own_rules_differ=admins_rules_differ())
        wrong = _all_stories(stage, witness, began_at)
        if not keep:
            show.how_to_go_on()
            return 1 if wrong else 0
        show.kept(stage, _spare(witness))
        _until_interrupted(stage)
        return 1 if wrong else 0
    finally:
        witness.close()


def _all_stories(stage: Stage, witness: Witness, began_at: float) -> bool:
    """Play them one after the other. Whether anything was wrong."""
    until = began_at + WATCH_SECONDS
    right = 0
    delivery: Delivery | None = None
    for number, story in enumerate(STORIES, start=1):
        seen: Seen | None = None
        problems: list[str] = []
        try:
            delivery = delivery if story.repeats and delivery else witness.deliver(story)
            seen = _one_story(witness, story, delivery, until)
            problems += problems_of(story, seen)
            problems += problems_of_journal(witness.asked(), STORIES[:number])
        except (HttpError, LedgerUnavailable) as error:
            problems.append(str(error))
        right += not problems
        show.story(number, story, seen, problems)
    return _verdict(stage, witness, right, time.monotonic() - began_at)


def _one_story(witness: Witness, story: Story, delivery: Delivery, until: float) -> Seen:
    if story.misbehaviour is not None:
        witness.misbehave(story.misbehaviour, story.rings)
    status, answer, took_ms, sent_at = witness.send(delivery)
    if story.result is not None:
        witness.wait_for_result(delivery.record_id, until)
    return Seen(
        status=status,
        answer=answer,
        answered_ms=took_ms,
        sent_at=sent_at,
        record=witness.record(delivery.record_id),
        lead=witness.lead(answer.get("lead")),
        calls=tuple(call for call in witness.calls() if call["to"] == story.rings),
    )


def _verdict(stage: Stage, witness: Witness, right: int, seconds: float) -> bool:
    problems: list[str] = []
    try:
        asked = witness.asked()
        problems += problems_of_journal(asked, STORIES)
        problems += [f"the ledger holds {broken}" for broken in witness.broken_promises()]
        kept, wanted = witness.leads_kept(), sum(story.result is not None and not story.repeats for story in STORIES)
        if kept != wanted:
            problems.append(f"the ledger holds {kept} leads, not {wanted}")
    except (HttpError, LedgerUnavailable) as error:
        asked = None
        problems.append(str(error))
    problems += [f"{child.name} has ended by itself" for child in stage.children if not child.is_running]
    show.summary(right, asked, seconds, problems)
    wrong = bool(problems) or right != len(STORIES)
    if wrong:
        show.trouble(stage.server)
    return wrong


def _spare(witness: Witness) -> Delivery:
    spare = Story(title="", event_id="by-hand-1", record=SPARE)
    return witness.deliver(spare)


def _until_interrupted(stage: Stage) -> None:
    """Return at Ctrl-C. Raises StageError when one of the processes ends by itself."""
    try:
        while True:
            for child in stage.children:
                if not child.is_running:
                    raise child.trouble("has ended by itself")
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nStopped.", err=True)
