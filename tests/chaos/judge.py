"""Whether the promises held through a storm, judged by what was seen from outside. Pure.

The witnesses are the CRM, which knows what was acknowledged to it and what stands in its records, the contact
centre, which counted at its socket, and the ledger as it is found at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from integration.model import LeadState, WritebackState

Kind = Literal["call", "skip", "block", "park"]

# What the rules alone make of a person, and what a storm may.
EXPECTED: Mapping[Kind, frozenset[LeadState]] = {
    "call": frozenset({LeadState.CALLED, LeadState.UNKNOWN, LeadState.BLOCKED, LeadState.FAILED}),
    "skip": frozenset({LeadState.SKIPPED}),
    "block": frozenset({LeadState.BLOCKED}),
    "park": frozenset({LeadState.PARKED}),
}


@dataclass(slots=True)
class Person:
    """Somebody whose record the CRM made, and what the CRM was answered when it told of it."""

    record_id: str
    number: str
    kind: Kind
    acked: set[int] = field(default_factory=set)  # the leads that the 2xx answers named


@dataclass(frozen=True, slots=True)
class Call:
    """A request to ring somebody, as it was counted at the contact centre's socket."""

    to: str | None
    rang: bool  # or may have: the worst case of an answer that proves nothing
    answered: bool = True  # a whole status line went out
    call_id: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether whoever sent this has the proof that nobody was rung."""
        return self.answered and not self.rang


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead as it stands in the ledger."""

    id: int
    record_id: str | None
    state: LeadState
    told: WritebackState | None
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was seen."""

    people: Sequence[Person]
    calls: Sequence[Call]
    leads: Mapping[int, Lead]
    records: Mapping[str, Mapping[str, object]]  # of the CRM, as they are now
    invariants: Mapping[str, Sequence[int]]  # that the ledger itself finds broken
    blows: int  # how often a process or the database was struck
    slow_stops: int = 0  # SIGTERMs that were not obeyed in time


def judge(seen: Evidence) -> dict[str, list[str]]:
    """Each promise, and where it was broken."""
    return {
        "every acknowledged lead is in the ledger, once": list(_lost(seen)),
        "one request for each number, unless each earlier one was refused for certain": list(_rung_again(seen)),
        "every lead has a result, and the CRM or a person knows it": list(_stuck(seen)),
        "every result stands on its own record": list(_misplaced(seen)),
        "every lead that is called was called, and none is passed over": list(_passed_over(seen)),
        "whoever the rules do not call is not called": list(_not_to_be_called(seen)),
        "the ledger contradicts itself nowhere": [f"{what}: {ids}" for what, ids in seen.invariants.items()],
        "SIGTERM is obeyed within 10 seconds": ["too late"] * seen.slow_stops,
        "there was a storm to speak of": list(_calm(seen)),
    }


def _lost(seen: Evidence) -> Iterator[str]:
    for person in seen.people:
        if len(person.acked) > 1:
            yield f"record {person.record_id} became the leads {sorted(person.acked)}"
        for lead_id in person.acked:
            lead = seen.leads.get(lead_id)
            if lead is None:
                yield f"lead {lead_id} of record {person.record_id} was acknowledged and is gone"
            elif lead.record_id not in (None, person.record_id):
                yield f"lead {lead_id} is of record {lead.record_id}; {person.record_id} was acknowledged with it"


def _rung_again(seen: Evidence) -> Iterator[str]:
    by_number: defaultdict[str | None, list[Call]] = defaultdict(list)
    for call in seen.calls:
        by_number[call.to].append(call)
    for number, calls in by_number.items():
        doubtful = sum(not call.is_refused for call in calls)
        if doubtful > 1:
            yield f"{number} may have rung {doubtful} times"
        elif doubtful and calls[-1].is_refused:
            yield f"{number} was asked for again after a request that may have rung"


def _stuck(seen: Evidence) -> Iterator[str]:
    for lead in seen.leads.values():
        if not lead.state.is_result:
            yield f"lead {lead.id} is {lead.state}"
        elif lead.told not in (WritebackState.DONE, WritebackState.PARKED):
            yield f"lead {lead.id} is {lead.state}, and its write-back {lead.told}"


def _misplaced(seen: Evidence) -> Iterator[str]:
    rang = {call.call_id: call.to for call in seen.calls if call.call_id is not None and call.rang}
    numbers = {person.record_id: person.number for person in seen.people}
    leads = {lead.record_id: lead for lead in seen.leads.values()}
    for record_id, record in seen.records.items():
        lead = leads.get(record_id)
        result, call_id = record.get("ringback_result"), record.get("ringback_call_id") or None
        if lead is None:
            if result is not None:
                yield f"record {record_id} says {result}, and there is no such lead"
            continue
        if call_id is not None and rang.get(str(call_id)) != numbers.get(record_id):
            yield f"record {record_id} holds the call {call_id}, which rang {rang.get(str(call_id))}"
        if lead.told is WritebackState.DONE and (result, call_id) != (lead.state, lead.call_id):
            yield f"record {record_id} says {result}, {call_id}; its lead {lead.state}, {lead.call_id}"


def _passed_over(seen: Evidence) -> Iterator[str]:
    """A lead that says `called` has its own call, and one that is blocked had a refusal or a twin as its reason."""
    by_number: defaultdict[str | None, list[Call]] = defaultdict(list)
    for call in seen.calls:
        by_number[call.to].append(call)
    numbers = {person.record_id: person.number for person in seen.people if person.kind == "call"}
    doubted = {numbers.get(lead.record_id or "") for lead in seen.leads.values() if lead.state is LeadState.UNKNOWN}
    for lead in seen.leads.values():
        number = numbers.get(lead.record_id or "")
        if number is None:
            continue
        calls = by_number[number]
        # An answer may have given no id, and then none stands in the ledger.
        if lead.state is LeadState.CALLED and not any(
            call.rang and lead.call_id in (None, call.call_id) for call in calls
        ):
            yield f"lead {lead.id} is called, with {lead.call_id}, and no such call was asked for"
        if lead.state is LeadState.BLOCKED and not calls and number not in doubted:
            yield f"lead {lead.id} is blocked, and nobody ever asked for {number}"


def _not_to_be_called(seen: Evidence) -> Iterator[str]:
    leads = {lead.record_id: lead for lead in seen.leads.values()}
    called = {call.to for call in seen.calls}
    for person in seen.people:
        lead = leads.get(person.record_id)
        if person.kind != "call" and person.number in called:
            yield f"record {person.record_id}, which is to {person.kind}, was called"
        if lead is not None and lead.state.is_result and lead.state not in EXPECTED[person.kind]:
            yield f"record {person.record_id}, which is to {person.kind}, is {lead.state}"


def _calm(seen: Evidence) -> Iterator[str]:
    acked = sum(bool(person.acked) for person in seen.people)
    unacked = len(seen.people) - acked
    if unacked:
        yield f"{unacked} records were never taken"
    if acked < 50 or len(seen.calls) < acked / 4:
        yield f"{acked} leads were acknowledged and {len(seen.calls)} calls asked for"
    if seen.blows < 3:
        yield f"{seen.blows} blows fell"
