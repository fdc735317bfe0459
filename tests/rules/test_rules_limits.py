"""`limits:` and `opt_out:` of a rules file, and what an opt-out says."""

from __future__ import annotations

import json

import pytest

from integration.model import Burst, DecisionKind, Limit, Limits, Reason
from integration.rules import Event, Ignored, OptOut, Rules, decide, load_rules, read_events, read_opt_out

FILE = """\
accounts: {us: {id: acc-us}, de: {id: acc-de}}
phones: {may_call: [US], read_as: US}
fields: {phone: [Mobile, Phone], country: Country}
rules: [{name: Large, when: {country: DE}, call: de}, {name: All, call: us}]
sources:
  crm:
    verify: {scheme: hmac, header: X-Signature, secret: "${SECRET}"}
    only: {type: lead.created}
    opt_out: {type: [contact.opted_out, contact.deleted]}
    record: data
    id: Id
  batch:
    verify: {scheme: hmac, header: X-Signature, secret: "${SECRET}"}
    items: "*"
    opt_out: {change: opted_out}
"""


def rules(limits: str = "") -> Rules:
    return load_rules(FILE + limits, name="rules.yaml", environ={"SECRET": "correct-horse-battery"})


def test_limits_are_read_that_of_the_shortest_time_first() -> None:
    found = rules(
        """limits:
  everything: {per_day: 2000, per_minute: 20}
  sources: {crm: {per_hour: 100}}
  accounts: {us: {per_minute: 10}}
  burst: {more_than: 200, within: 10 minutes}
"""
    ).limits
    assert found == Limits(
        (Limit(20, 60, "minute"), Limit(2000, 86_400, "day")),
        {"crm": (Limit(100, 3600, "hour"),)},
        {"us": (Limit(10, 60, "minute"),)},
        Burst(200, 600),
    )
    assert [scope for scope, _ in found.of("crm", "us")] == ["*", "account:us", "source:crm"]
    assert [scope for scope, _ in found.of("batch", "de")] == ["*"]


def test_without_limits_there_are_none() -> None:
    assert rules().limits == Limits()
    assert rules().limits.of("crm", "us") == ()


def test_a_limit_that_another_one_makes_pointless_is_doubted() -> None:
    warnings = rules("limits: {everything: {per_minute: 20, per_hour: 10}}").warnings
    assert any(warning.message.startswith("10 an hour is less than 20 a minute") for warning in warnings)


def message(kind: str, **record: object) -> str:
    return json.dumps({"type": kind, "data": {"Id": "7", **record}})


def events_of(text: str, source: str = "crm") -> tuple[Event, ...] | object:
    return read_events(rules().sources[source], json.loads(text))


def test_an_event_that_opt_out_names_is_one_whatever_only_says() -> None:
    assert events_of(message("contact.opted_out")) == (Event(None, 0, True),)
    assert events_of(message("lead.created")) == (Event(None, 0, False),)
    assert isinstance(events_of(message("contact.updated")), Ignored)


def test_of_several_events_each_is_its_own() -> None:
    found = events_of('[{"change": "opted_out", "Phone": "+12125550100"}, {"change": "created"}]', "batch")
    assert isinstance(found, tuple)
    assert [event.opts_out for event in found] == [True, False]


def test_an_opt_out_is_never_dialled() -> None:
    decision = decide(rules(), "crm", json.loads(message("contact.opted_out", Phone="(212) 555-0123")))
    assert (decision.kind, decision.reason) == (DecisionKind.PARK, Reason.OPT_OUT_UNREAD)
    assert decision.record_id == "7"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"Phone": "(212) 555-0123"}, OptOut(("+12125550123",))),
        ({"Mobile": "212 555 0124", "Phone": "(212) 555-0123"}, OptOut(("+12125550124", "+12125550123"))),
        ({"Phone": "212 555 0124; 212 555 0123"}, OptOut(("+12125550124", "+12125550123"))),
        ({"Phone": "212 555 0124 / 212 555 0123"}, OptOut(("+12125550124", "+12125550123"))),
        ({"Phone": ["212 555 0124", "", None]}, OptOut(("+12125550124",))),
        ({"Phone": "+33 1 99 00 12 34"}, OptOut(("+33199001234",))),  # a country that is never dialled
        ({"Phone": "030 9018201", "Country": "DE"}, OptOut(("+49309018201",))),
        ({"Mobile": "212 555 0124", "Phone": "call Kim"}, OptOut(("+12125550124",), "letters")),
        ({"Phone": ""}, OptOut((), "no number")),
        ({}, OptOut((), "no number")),
    ],
)
def test_every_number_of_the_record_is_meant(record: dict[str, object], expected: OptOut) -> None:
    made = rules()
    found = read_opt_out(made, made.sources["crm"], json.loads(message("contact.opted_out", **record)))
    assert found.numbers == expected.numbers
    assert expected.problem in found.problem
    assert bool(found.problem) is bool(expected.problem)


def test_an_opt_out_without_a_record_needs_a_person() -> None:
    made = rules()
    assert read_opt_out(made, made.sources["crm"], {"type": "contact.opted_out"}).problem
