"""A runner that is woken from outside: it tells when a step has ended, and finds by itself only what was forgotten."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from integration.dialers import Ticket
from integration.ledger import LedgerUnavailable
from integration.model import CallRequest, LeadState, Outcome
from integration.runner import local
from integration.runner.local import LocalRunner
from tests.ledger.conftest import World
from tests.pipeline.conftest import PLACED, Stage
from tests.pipeline.test_local_runner import until

WAIT_SECONDS = 5.0


@contextmanager
def woken(stage: Stage) -> Iterator[LocalRunner]:
    with patch.object(local, "LOOK_EVERY_SECONDS", 0.05):
        runner = LocalRunner(
            stage.pipeline,
            stage.ledger,
            worker_id="worker",
            alone=False,
            dial_threads=1,
            writeback_threads=1,
            is_woken=True,
        )
        runner.start()
        try:
            yield runner
        finally:
            assert runner.stop(WAIT_SECONDS)


def test_it_tells_when_a_step_was_done(stage: Stage) -> None:
    told: queue.Queue[bool] = queue.Queue()
    lead_id = stage.lead()
    with woken(stage) as runner:
        runner.work(lead_id, told.put)
        runner.work(lead_id, told.put)  # twice while it waits or is under way: both are told
        assert [told.get(timeout=WAIT_SECONDS), told.get(timeout=WAIT_SECONDS)] == [True, True]
        assert stage.story(lead_id).lead.state is LeadState.CALLED


def test_a_step_that_the_database_refused_was_not_done(stage: Stage) -> None:
    told: queue.Queue[bool] = queue.Queue()
    lead_id = stage.lead()
    away = LedgerUnavailable("away")
    with woken(stage) as runner, patch.object(stage.ledger.calls, "begin", side_effect=away):
        runner.work(lead_id, told.put)
        assert told.get(timeout=WAIT_SECONDS) is False


def test_what_waits_when_it_stops_was_not_done_and_comes_too_late(stage: Stage) -> None:
    entered, go_on = threading.Event(), threading.Event()
    told: queue.Queue[tuple[int, bool]] = queue.Queue()

    def place(ticket: Ticket, call: CallRequest, send_by: float) -> Outcome:
        entered.set()
        assert go_on.wait(WAIT_SECONDS)
        return PLACED

    first, second, third = stage.lead(), stage.lead(), stage.lead()
    with woken(stage) as runner, patch.object(stage.dialer, "place", place):
        runner.work(first, lambda done: told.put((first, done)))
        assert entered.wait(WAIT_SECONDS)
        runner.work(second, lambda done: told.put((second, done)))
        runner.halt()
        assert told.get(timeout=WAIT_SECONDS) == (second, False)
        runner.work(third, lambda done: told.put((third, done)))
        assert told.get(timeout=WAIT_SECONDS) == (third, False)
        go_on.set()
        assert told.get(timeout=WAIT_SECONDS) == (first, True)


def test_it_leaves_new_leads_to_who_is_woken_for_them_and_finds_forgotten_ones(stage: Stage, world: World) -> None:
    forgotten = stage.lead()
    world.sql("UPDATE lead SET updated_at = updated_at - 5100")
    new = stage.lead()
    with woken(stage):
        until(lambda: stage.story(forgotten).lead.state is LeadState.CALLED)
        assert stage.story(new).lead.state is LeadState.RECEIVED
