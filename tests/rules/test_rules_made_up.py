"""Made-up messages: whatever the rules look like, what is made is called, and copies are events of their own."""

from __future__ import annotations

import json

import pytest

from integration.model import DecisionKind
from integration.payload import parse_body
from integration.phone_data import FICTIONAL
from integration.rules import Event, Rules, decide, load_rules
from integration.rules.events import read_event
from integration.rules.made_up import CannotMakeUp, fictional_count, fictional_number, make_up, pattern_of

HEAD = """\
accounts: {main: {id: acc-1}, other: {id: acc-2}}
"""
SOURCE = """
sources:
  crm:
    verify: {scheme: hmac, secret: "0123456789abcdef"}
"""
PLAIN = """\
phones: {may_call: [US, DE, AT]}
fields: {phone: Phone, country: Land, size: Co.Size, email: Mail, kind: Kind, consent: OptIn}
"""


def rules_of(text: str) -> Rules:
    return load_rules((HEAD + text).encode(), name="rules.yaml", environ={})


# name -> (rules, the rule that calls)
RULES = {
    "no condition": ("rules: [{name: all, call: main}]", "all"),
    "a country without numbers of its own": ("rules: [{name: a, when: {country: AT}, call: main}]", "a"),
    "a country of the number": ("rules: [{name: a, when: {number_country: DE}, call: main}]", "a"),
    "sizes": ("rules: [{name: a, when: {size: {at_least: 50, at_most: 99}}, call: main}]", "a"),
    "texts": ('rules: [{name: a, when: {email: {starts_with: q, contains: "@", ends_with: .org}}, call: main}]', "a"),
    "exists": ("rules: [{name: a, when: {kind: {exists: true}}, call: main}]", "a"),
    "is_not before": ("rules: [{name: s, when: {kind: {is_not: Hot}}, skip: x}, {name: a, call: main}]", "a"),
    "missing before": ("rules: [{name: s, when: {kind: {exists: false}}, skip: x}, {name: a, call: main}]", "a"),
    "not before": ("rules: [{name: s, when: {not: {country: US}}, skip: x}, {name: a, call: main}]", "a"),
    "many before": (
        """rules: [{name: s, when: {kind: {is_not: Hot}}, skip: x}, {name: t, when: {size: {exists: false}}, skip: y},
        {name: u, when: {not: {country: DE}}, skip: z}, {name: a, call: main}]""",
        "a",
    ),
    "consent": ("consent: required\nrules: [{name: a, call: main}]", "a"),
    "consent in words": ("rules: [{name: a, call: main, consent: {is: [by phone, other]}}]", "a"),
    "any": ("rules: [{name: a, when: {any: [{kind: Hot}, {size: {at_least: 3}}]}, call: main}]", "a"),
    "the first cannot be met": (
        "rules: [{name: a, when: {phone: {starts_with: '+999'}}, call: main}, {name: b, call: other}]",
        "b",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_made_up_is_called_by_the_first_rule_that_can(name):
    text, wanted = RULES[name]
    rules = rules_of(PLAIN + text + SOURCE + "    id: Id\n    event_id: Event\n")
    made = make_up(rules, rules.sources["crm"], "json")
    assert (made.decision.kind, made.decision.rule_name) == (DecisionKind.CALL, wanted)
    bodies = [made.pattern.copy(f"m-{n}", n) for n in range(5)]
    trees = [parse_body(body, "application/json") for body in bodies]
    decisions = [decide(rules, "crm", tree) for tree in trees]
    assert {one.rule_name for one in decisions} == {wanted}
    assert [one.record_id for one in decisions] == ["m-0", "m-1", "m-2", "m-3", "m-4"]
    assert len({one.to for one in decisions}) == 5
    events = [read_event(rules.sources["crm"], tree) for tree in trees]
    assert events == [Event(f"id:m-{n}") for n in range(5)]


PLACES = {
    "everything at the top": ("", '{"phone": "+493023125007"}'),
    "under a list": ("    record: leads.0\n    id: Id\n", '{"leads": [{"phone": "+493023125007", "Id": "m"}]}'),
    "what only wants": (
        "    only: {meta.kind: New, meta.n: {at_least: 2}}\n    record: data\n    id: Id\n    event_id: meta.id\n",
        '{"meta": {"kind": "New", "n": 2, "id": "m"}, "data": {"phone": "+493023125007", "Id": "m"}}',
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_message_has_the_shape_that_the_source_describes(name):
    source, wanted = PLACES[name]
    text = "phones: {may_call: [DE]}\nfields: {phone: phone}\nrules: [{name: a, call: main}]" + SOURCE + source
    rules = rules_of(text)
    made = json.loads(make_up(rules, rules.sources["crm"], "json").pattern.copy("m", 7))
    mark = made.pop("ringback_sample", None)
    assert made == json.loads(wanted)
    assert mark == ("m" if name == "everything at the top" else None)  # without a place for ids the bytes must differ


ITEMS = {
    "a list under a name": (
        "    items: events\n    record: data\n    only: {kind: New, message.app: us}\n    id: Id\n    event_id: E\n",
        '{"events": [{"kind": "New", "E": "m", "data": {"phone": "+493023125007", "Id": "m"}}], "app": "us"}',
    ),
    "the body is a list": ("    items: '*'\n    id: Id\n", '[{"phone": "+493023125007", "Id": "m"}]'),
    "lists in lists": (
        "    items: entry.*.changes\n    record: value\n    id: Id\n",
        '{"entry": [{"changes": [{"value": {"phone": "+493023125007", "Id": "m"}}]}]}',
    ),
}


@pytest.mark.parametrize("name", ITEMS)
def test_a_message_of_several_events_is_made_with_one(name):
    source, wanted = ITEMS[name]
    rules = rules_of(
        "phones: {may_call: [DE]}\nfields: {phone: phone}\nrules: [{name: a, call: main}]" + SOURCE + source
    )
    made = json.loads(make_up(rules, rules.sources["crm"], "json").pattern.copy("m", 7))
    assert made == json.loads(wanted)


def test_a_key_of_several_parts_differs_from_copy_to_copy():
    source = "    items: '*'\n    event_id: '{{ item.portal }}:{{ item.at }}'\n"
    rules = rules_of(
        "phones: {may_call: [DE]}\nfields: {phone: phone}\nrules: [{name: a, call: main}]" + SOURCE + source
    )
    pattern = make_up(rules, rules.sources["crm"], "json").pattern
    events = [read_event(rules.sources["crm"], parse_body(pattern.copy(f"m-{n}", 0), None)) for n in range(3)]
    assert len({event.key for event in events if isinstance(event, Event)}) == 3


QUERY = """\
phones: {may_call: [US]}
fields: {phone: {jmespath: "list[?name=='phone'].values[0] | [0]"}}
rules: [{name: a, call: main}]
"""
TEST = """
tests:
  - name: One
    record: {Id: "7", list: [{name: phone, values: ["+15551234567"]}]}
    expect: {call: main, to: "+15551234567"}
"""


def test_where_a_query_hides_the_number_a_test_of_the_rules_shows_its_place():
    rules = rules_of(QUERY + TEST + SOURCE + "    record: data\n    id: Id\n")
    made = make_up(rules, rules.sources["crm"], "json")
    body = json.loads(made.pattern.copy("m", 1))
    assert body == {"data": {"Id": "m", "list": [{"name": "phone", "values": ["+15551230001"]}]}}


REFUSED = {
    "a query and no test": (QUERY, "its paths cannot be put together"),
    "fiction is refused": (
        "phones: {may_call: [US], refuse_fictional: true}\nfields: {phone: P}\nrules: [{name: a, call: main}]",
        "`phones.refuse_fictional` is set",
    ),
    "no numbers set aside": (
        "phones: {may_call: [CH]}\nfields: {phone: P}\nrules: [{name: a, call: main}]",
        "no country of `phones.may_call` has numbers",
    ),
    "everyone is skipped": (
        """phones: {may_call: [US]}\nfields: {phone: P, k: K}
rules: [{name: s, when: {source: crm}, skip: x}, {name: a, when: {k: 1}, call: main}]""",
        r"is not called but skipped by rule 's' \(rule_skips: x\)",
    ),
    "the number stands where a query finds it": (
        """phones: {may_call: [US]}\nfields: {phone: {jmespath: "a[?t=='p'].n"}, k: K}
rules: [{name: a, when: {k: 1}, call: main}]""",
        r"is not called but parked by rule 'a' \(no_phone: The phone field is empty\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_nothing_can_be_made_up_it_says_why(name):
    text, piece = REFUSED[name]
    rules = rules_of(text + SOURCE)
    with pytest.raises(CannotMakeUp, match=piece):
        make_up(rules, rules.sources["crm"], "json")


def test_every_country_that_the_numbers_are_made_of_takes_them():
    for country in sorted({region for _, _, region in FICTIONAL} | {"CA"}):
        policy = f"phones: {{may_call: [{country}]}}\nfields: {{phone: P}}\nrules: [{{name: a, call: main}}]"
        rules = rules_of(policy + SOURCE)
        count = fictional_count(country)
        for n in (0, 1, count // 2, count - 1):
            number = fictional_number(country, n)
            assert decide(rules, "crm", {"P": number}).to == number, (country, number)
        assert fictional_number(country, count) == fictional_number(country, 0)


def test_a_message_of_somebody_else_shows_its_places_and_keeps_the_rest():
    rules = rules_of(PLAIN + "rules: [{name: a, call: main}]" + SOURCE + "    id: Id\n    event_id: E\n")
    tree = parse_body(b'{"E": 5, "Id": 7, "Phone": "030 23125001", "Land": "DE", "x": [1.50, true, null]}', None)
    assert isinstance(tree, dict)
    body = json.loads(pattern_of(rules, rules.sources["crm"], tree, "json").copy("m", 2))
    assert body == {
        "E": "m", "Id": "m", "Phone": "+493023125002", "Land": "DE", "x": [1.5, True, None],
    }  # fmt: skip


def test_an_unlucky_rules_file_ends_soon():
    skips = ", ".join(f"{{name: s{n}, when: {{k: {{is_not: w{n}}}}}, skip: x}}" for n in range(300))
    calls = ", ".join(f"{{name: c{n}, when: {{k: w{n}}}, call: main}}" for n in range(300))
    rules = rules_of(f"phones: {{may_call: [US]}}\nfields: {{phone: P, k: K}}\nrules: [{skips}, {calls}]" + SOURCE)
    with pytest.raises(CannotMakeUp):
        make_up(rules, rules.sources["crm"], "json")
