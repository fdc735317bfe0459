"""Whatever happens in whatever order: nobody is rung twice unless a person ordered it.

Workers here may pause for ever, come back late, send after they were taken for dead, and answer last of all.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from integration.ledger import Begun, Claimed, LeadWork, Ledger, NotPossible, SetBack, open_database
from integration.model import AttemptId, LeadId, LeadState, Next, Outcome, OutcomeKind, Reason
from tests.ledger.conftest import NUMBER, OTHER_NUMBER, PLACED, UNCLEAR, World, refused


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> None:
    """Where the lives are lived: pytest cleans up there."""
    Life.folder = tmp_path_factory.mktemp("lives")
    Life.template = sqlite_template


@dataclass(frozen=True)
class Sent:
    """A request that went out, and what its answer will say."""

    lead_id: LeadId
    attempt_id: AttemptId
    outcome: Outcome
    after: SetBack | None


RETRY = SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=5.0)
BLOCK = SetBack(LeadState.BLOCKED, Reason.NUMBER_REFUSED)
GONE = SetBack(LeadState.WAITING, Reason.ACCOUNT_NOT_FOUND, wait_seconds=60.0, pause="east")
OUTCOMES = [
    (True, PLACED, None),
    (True, UNCLEAR, None),
    (False, UNCLEAR, None),
    (False, refused(Reason.NOT_SENT), RETRY),
    (False, refused(Reason.NUMBER_REFUSED, Next.BLOCK), BLOCK),
    (False, refused(Reason.ACCOUNT_NOT_FOUND, Next.PAUSE_ACCOUNT), GONE),
]


class Life(RuleBasedStateMachine):
    folder: ClassVar[Path]
    template: ClassVar[Path]
    numbers: ClassVar = st.sampled_from([NUMBER, OTHER_NUMBER])
    leads: Bundle[LeadId] = Bundle("leads")
    works: Bundle[tuple[LeadWork, Claimed]] = Bundle("works")
    begun: Bundle[tuple[LeadId, AttemptId]] = Bundle("begun")
    sent: Bundle[Sent] = Bundle("sent")

    @initialize()
    def open(self) -> None:
        for left in self.folder.iterdir():
            left.unlink()
        path = self.folder / "ringback.db"
        shutil.copy(self.template, path)
        self.world = World(Ledger(open_database(f"sqlite:///{path}")))
        self.number_of: dict[LeadId, str] = {}
        self.used: set[AttemptId] = set()
        self.rings: Counter[LeadId] = Counter()
        self.orders: Counter[LeadId] = Counter()
        self.call_ids = itertools.count(1)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.ledger.close()

    @rule(target=leads, number=numbers)
    def deliver(self, number: str) -> LeadId:
        lead_id = self.world.lead()
        self.number_of[lead_id] = number
        return lead_id

    @rule(target=works, lead_id=leads, is_claimed=st.booleans())
    def take(
        self, lead_id: LeadId, is_claimed: bool
    ) -> tuple[LeadWork, Claimed] | MultipleResults[tuple[LeadWork, Claimed]]:
        work = self.world.ledger.calls.take(lead_id)
        if work is None:
            return multiple()
        if not is_claimed:
            return work, Claimed(work.epoch)
        decision = self.world.decision(self.number_of[lead_id])
        claimed = self.world.ledger.calls.claim(work, decision, "d", "w")
        return (work, claimed) if isinstance(claimed, Claimed) else multiple()

    @rule(target=begun, held=works)
    def begin(
        self, held: tuple[LeadWork, Claimed]
    ) -> tuple[LeadId, AttemptId] | MultipleResults[tuple[LeadId, AttemptId]]:
        work, claimed = held
        found = self.world.ledger.calls.begin(
            work,
            claimed.epoch,
            self.world.decision(self.number_of[work.id]),
            account_id="a",
            rules_digest="d",
            worker_id="w",
            cooldown_seconds=600.0,
            passes=claimed.passes,
        )
        return (work.id, found.attempt_id) if isinstance(found, Begun) else multiple()

    @rule(target=sent, intent=begun, what=st.sampled_from(OUTCOMES))
    def send(
        self, intent: tuple[LeadId, AttemptId], what: tuple[bool, Outcome, SetBack | None]
    ) -> Sent | MultipleResults[Sent]:
        lead_id, attempt_id = intent
        if attempt_id in self.used:
            return multiple()
        self.used.add(attempt_id)
        rings, outcome, after = what
        self.rings[lead_id] += rings
        if outcome.kind is OutcomeKind.PLACED:
            outcome = replace(outcome, call_id=f"call-{next(self.call_ids)}")
        return Sent(lead_id, attempt_id, outcome, after)

    @rule(answer=sent)
    def settle(self, answer: Sent) -> None:
        self.world.ledger.calls.settle(answer.lead_id, answer.attempt_id, answer.outcome, answer.after)
        if answer.outcome.kind is OutcomeKind.PLACED:
            assert self.world.state(answer.lead_id) in {LeadState.CALLED, LeadState.DIALING, *self.ordered(answer)}

    def ordered(self, answer: Sent) -> set[LeadState]:
        """Once a second call was ordered and begun, the first one's answer comes too late to decide."""
        return set(LeadState) if self.orders[answer.lead_id] else set()

    @rule()
    def recover(self) -> None:
        for lead_id in self.world.ledger.upkeep.recover(alone=True).freed:
            assert self.world.state(lead_id) is LeadState.READY

    @rule()
    def time_passes(self) -> None:
        self.world.sql("UPDATE pause SET probe_at = 1")
        self.world.time_passes()
        self.world.ledger.upkeep.resume()

    @rule(lead_id=leads)
    def ring_again(self, lead_id: LeadId) -> None:
        try:
            self.world.ledger.people.ring_again(lead_id, by="ann")
        except NotPossible:
            return
        self.orders[lead_id] += 1

    @rule(lead_id=leads, what=st.sampled_from(["rung", "give_up", "decide"]))
    def order(self, lead_id: LeadId, what: str) -> None:
        people = self.world.ledger.people
        try:
            match what:
                case "rung":
                    people.was_rung(lead_id, by="ann", call_id=None)
                case "give_up":
                    people.give_up(lead_id, by="ann")
                case _:
                    people.decide_again(lead_id, by="ann")
        except NotPossible:
            pass

    @invariant()
    def nobody_is_rung_twice(self) -> None:
        if not hasattr(self, "world"):
            return
        for lead_id, rings in self.rings.items():
            assert rings <= 1 + self.orders[lead_id]
        for number in (NUMBER, OTHER_NUMBER):
            leads = [lead_id for lead_id, its in self.number_of.items() if its == number]
            assert sum(self.rings[each] for each in leads) <= 1 + sum(self.orders[each] for each in leads)

    @invariant()
    def the_ledger_is_whole(self) -> None:
        if hasattr(self, "world"):
            assert self.world.ledger.reading.broken_invariants() == {}


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
