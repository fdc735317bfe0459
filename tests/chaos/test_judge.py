"""The judge must be able to fail: falsified evidence, one lie at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.model import LeadState, WritebackState
from tests.chaos.judge import Call, Evidence, Lead, Person, judge

PEOPLE = 60


def honest() -> Evidence:
    """A storm in which everything came out right: person 1 was refused once, person 2 is not to be called."""
    people = [Person(str(n), f"+1212555{n:04}", "call", {n}) for n in range(1, PEOPLE + 1)]
    people[1].kind = "skip"
    calls = [Call(people[0].number, rang=False)]
    calls += [Call(one.number, rang=True, call_id=f"call-{one.record_id}") for one in people if one.kind == "call"]
    done = WritebackState.DONE
    leads = {n: Lead(n, str(n), LeadState.CALLED, done, f"call-{n}") for n in range(1, PEOPLE + 1)}
    leads[2] = Lead(2, "2", LeadState.SKIPPED, done)
    records = {
        str(lead.id): {"ringback_result": str(lead.state), "ringback_call_id": lead.call_id} for lead in leads.values()
    }
    return Evidence(people, calls, leads, records, {}, blows=9)


def with_lead(seen: Evidence, **changes: object) -> Evidence:
    return replace(seen, leads={**seen.leads, 3: replace(seen.leads[3], **changes)})  # type: ignore[arg-type]


def with_record(seen: Evidence, **changes: object) -> Evidence:
    return replace(seen, records={**seen.records, "3": {**seen.records["3"], **changes}})


def with_calls(seen: Evidence, *more: Call) -> Evidence:
    return replace(seen, calls=[*seen.calls, *more])


def without_lead(seen: Evidence) -> Evidence:
    return replace(seen, leads={n: lead for n, lead in seen.leads.items() if n != 3})


def with_two_leads(seen: Evidence) -> Evidence:
    seen.people[2].acked.add(4)
    return seen


def exchanged(seen: Evidence) -> Evidence:
    """Two results, each on the other's record: the ledger agrees with the CRM, and only the socket knows better."""
    three, four = seen.leads[3], seen.leads[4]
    leads = {**seen.leads, 3: replace(three, call_id=four.call_id), 4: replace(four, call_id=three.call_id)}
    return replace(seen, leads=leads, records={**seen.records, "3": seen.records["4"], "4": seen.records["3"]})


THIRD = "+12125550003"

LIES: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "an acknowledged lead is gone": ("acknowledged", without_lead),
    "one event became two leads": ("acknowledged", with_two_leads),
    "a lead is of another record": ("acknowledged", lambda seen: with_lead(seen, record_id="99")),
    "a number rang twice": ("one request", lambda seen: with_calls(seen, Call(THIRD, rang=True, call_id="x"))),
    "asked again after no answer": (
        "one request",
        lambda seen: with_calls(seen, Call(THIRD, rang=True, answered=False)),
    ),
    "asked again, and refused": ("one request", lambda seen: with_calls(seen, Call(THIRD, rang=False))),
    "a lead still waits": ("has a result", lambda seen: with_lead(seen, state=LeadState.WAITING)),
    "a result is not told": ("has a result", lambda seen: with_lead(seen, told=WritebackState.PENDING)),
    "a result has no write-back": ("has a result", lambda seen: with_lead(seen, told=None)),
    "another's call stands on a record": ("own record", lambda seen: with_record(seen, ringback_call_id="call-4")),
    "a call that nobody placed": ("own record", lambda seen: with_record(seen, ringback_call_id="made-up")),
    "two results are exchanged": ("own record", exchanged),
    "a result is missing on its record": ("own record", lambda seen: with_record(seen, ringback_result=None)),
    "a call that nobody was asked for": (
        "passed over",
        lambda seen: replace(seen, calls=[call for call in seen.calls if call.to != THIRD]),
    ),
    "a call with the id of another": ("passed over", lambda seen: with_lead(seen, call_id="call-4")),
    "a lead is blocked for nothing": (
        "passed over",
        lambda seen: replace(
            with_lead(seen, state=LeadState.BLOCKED), calls=[call for call in seen.calls if call.to != THIRD]
        ),
    ),
    "a skipped person was called": ("not called", lambda seen: with_calls(seen, Call("+12125550002", rang=True))),
    "a result that no storm brings": ("not called", lambda seen: with_lead(seen, state=LeadState.REHEARSED)),
    "the ledger is broken": ("contradicts", lambda seen: replace(seen, invariants={"two live attempts": [3]})),
    "a stop took too long": ("SIGTERM", lambda seen: replace(seen, slow_stops=1)),
    "nothing happened": ("storm", lambda seen: replace(seen, blows=0)),
    "nobody was called": ("storm", lambda seen: replace(seen, calls=[])),
    "somebody was never taken": ("storm", lambda seen: replace(seen, people=[*seen.people, Person("x", "+1", "call")])),
}


def broken(seen: Evidence) -> list[str]:
    return [promise for promise, problems in judge(seen).items() if problems]


def test_an_honest_storm_is_acquitted() -> None:
    assert broken(honest()) == []


@pytest.mark.parametrize("lie", LIES)
def test_a_broken_promise_is_found(lie: str) -> None:
    word, falsify = LIES[lie]
    assert any(word in promise for promise in broken(falsify(honest())))


def test_a_write_back_that_a_person_sees_is_no_broken_promise() -> None:
    seen = with_record(with_lead(honest(), told=WritebackState.PARKED), ringback_result=None, ringback_call_id=None)
    assert broken(seen) == []
