"""One delivery, many events: J10 to J13 of the catalogue of faults, and that a large batch is acknowledged at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.model import LeadState, Reason, Tree
from integration.payload import PathMistake, compile_items
from integration.rules import (
    Event,
    Ignored,
    RenderedRequest,
    Rules,
    Unusable,
    WritebackFacts,
    decide,
    explain,
    item_of,
    read_event,
    read_events,
    render_writeback,
)
from tests.crms.rig import Office, rules_of

SOURCES = """\
  list:
    verify: {scheme: hmac, secret: "${TEXT}"}
    fields: {phone: Phone, list_name: message.list.name, own: '"message".text'}
    items: "*"
    only: {Kind: new}
    event_id: "{{ item.Portal }}:{{ item.Id }}"
    id: Id
  nested:
    verify: {scheme: hmac, secret: "${TEXT}"}
    fields: {phone: lead.Phone, campaign: message.campaign, own: '"message".text'}
    items: groups.*.leads
    only: {message.type: leads, kind: new}
    event_id: [key, other]
    id: lead.Id
  ids:
    verify: {scheme: hmac, secret: "${TEXT}"}
    fields: {phone: Phone}
    items: ids
    id: id
    needs_fetch: true
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    return rules_of(SOURCES)


@pytest.fixture
def batches(office: Office, rules: Rules) -> Office:
    return Office(office.ledger, rules)


def event(n: object, **changes: object) -> dict[str, object]:
    return {"Kind": "new", "Portal": 7, "Id": n, "Phone": f"+1212555{int(str(n)) % 10_000:04}", **changes}


def send(office: Office, tree: object, source: str = "list") -> Any:
    answer = office.post(source, json.dumps(tree).encode())
    assert answer.status_code == 200
    return answer.json


# ---- J10 to J13 ------------------------------------------------------------------------------------


def test_one_bad_event_of_a_hundred_is_parked_alone(batches: Office) -> None:
    events: list[object] = [event(n) for n in range(100)]
    events[40] = event(40, Phone="n/a")
    events[41] = "no event at all"
    events[42] = None
    events[43] = [event(43)]
    assert send(batches, events) == {"status": "accepted", "lead": batches.woken[0], "leads": 100}
    batches.decide_all()
    found = {row["item"]: (row["state"], row["reason"]) for row in batches.leads()}
    assert found.pop(40) == ("parked", "bad_phone")
    assert found.pop(41) == ("parked", "no_record_id")
    assert found.pop(42) == ("parked", "no_record")
    assert found.pop(43) == ("parked", "no_record")
    assert set(found.values()) == {("rehearsed", "dialing_off")}
    assert len(found) == 96


def test_a_batch_that_comes_again_makes_no_lead_though_its_body_differs(batches: Office) -> None:
    send(batches, [event(n, attempt=0) for n in range(5)])
    assert send(batches, [event(n, attempt=1) for n in range(5)]) == {
        "status": "duplicate",
        "lead": batches.woken[0],
        "leads": 5,
    }
    assert len(batches.leads()) == len(batches.woken) == 5


def test_a_batch_that_overlaps_an_earlier_one_brings_only_what_is_new(batches: Office) -> None:
    send(batches, [event(1), event(2)])
    assert send(batches, [event(2), event(3)])["status"] == "accepted"
    assert [row["record_id"] or row["dedupe_key"] for row in batches.leads()] == ["id:7:1", "id:7:2", "id:7:3"]


def test_the_same_event_twice_in_one_list_is_one_lead(batches: Office) -> None:
    assert send(batches, [event(1), event(1), event(1, Phone="+12125550199")])["leads"] == 1
    assert len(batches.leads()) == len(batches.woken) == 1


def test_a_thousand_events_are_acknowledged_at_once(batches: Office) -> None:
    took = []
    for start in (0, 1000, 2000):  # the quickest of three, by our own clock: other work on the machine does not count
        body = json.dumps([event(start + n) for n in range(1000)]).encode()
        began_at = time.process_time()
        answer = batches.post("list", body)
        took.append(time.process_time() - began_at)
        assert answer.json["leads"] == 1000
    assert len(batches.leads()) == 3000
    assert min(took) < 0.25


def test_more_than_a_thousand_events_are_one_parked_lead(batches: Office) -> None:
    assert send(batches, [event(n) for n in range(1001)])["status"] == "parked"
    assert [(row["state"], row["reason"]) for row in batches.leads()] == [("parked", "too_many_items")]
    assert batches.woken == []


@pytest.mark.parametrize(
    ("source", "tree"), [("list", []), ("nested", {"groups": []}), ("nested", {"groups": [{"leads": []}]})]
)
def test_an_empty_list_is_ignored(batches: Office, source: str, tree: object) -> None:
    assert send(batches, tree, source) == {"status": "ignored", "lead": None, "leads": 0}


@pytest.mark.parametrize("tree", [{}, {"groups": None}, {"groups": ""}, {"group": [{"leads": []}]}, [1]])
def test_a_message_without_the_list_is_parked(batches: Office, tree: object) -> None:
    assert send(batches, tree, "nested")["status"] == "parked"
    assert [(row["state"], row["reason"]) for row in batches.leads()] == [("parked", "no_record")]


def test_a_message_whose_events_are_all_of_another_kind_is_ignored(batches: Office) -> None:
    assert send(batches, [event(1, Kind="gone"), event(2, Kind="gone")])["status"] == "ignored"
    assert batches.leads() == []


# ---- what a path starts in --------------------------------------------------------------------------

NESTED: Tree = {
    "type": "leads",
    "campaign": "spring",
    "groups": [
        {
            "leads": [
                {"kind": "new", "key": "a", "lead": {"Id": "1", "Phone": "+12125550101"}, "message": {"text": "hi"}},
            ]
        },
        {"name": "without leads"},
        {
            "leads": [
                {"kind": "old", "key": "b"},
                {"kind": "new", "other": "c", "lead": {"Id": "3", "Phone": "+12125550103"}},
            ]
        },
        {"leads": {"kind": "new", "lead": {"Id": "4", "Phone": "+12125550104"}}},
    ],
}


def test_lists_within_lists_are_gone_through_in_order(rules: Rules) -> None:
    found = read_events(rules.sources["nested"], NESTED)
    assert isinstance(found, tuple)
    assert [(one.item, one.key) for one in found[:2]] == [(0, "id:a"), (2, "id:c")]
    assert found[2].item == 3
    assert found[2].key is not None
    assert found[2].key.startswith("sha256:")  # it has no id of its own


def test_the_item_decides_and_the_message_stays_in_reach(rules: Rules) -> None:
    decision = decide(rules, "nested", NESTED, 2)
    assert (decision.record_id, decision.to) == ("3", "+12125550103")
    assert decision.fields["campaign"] == "spring"
    assert "own" not in decision.fields
    assert decide(rules, "nested", NESTED, 0).fields["own"] == "hi"


def test_explain_speaks_of_the_item_that_is_asked_for(rules: Rules) -> None:
    assert explain(rules, "nested", NESTED, 3).decision.record_id == "4"


def test_an_item_that_the_rules_no_longer_find_is_parked(rules: Rules) -> None:
    decision = decide(rules, "nested", NESTED, 9)
    assert (decision.reason, decision.detail) == (
        Reason.NO_RECORD,
        "entry 10 of `groups.*.leads` is no record with fields; see `record:` of source nested",
    )


def test_another_type_of_message_is_ignored_with_all_its_events(rules: Rules) -> None:
    assert isinstance(NESTED, dict)
    assert isinstance(read_events(rules.sources["nested"], {**NESTED, "type": "other"}), Ignored)


def test_an_id_of_a_list_becomes_a_record(rules: Rules) -> None:
    source = rules.sources["ids"]
    assert item_of(source, {"ids": [17, "18", True]}, 0) == {"id": 17}
    assert item_of(source, {"ids": [17, "18", True]}, 1) == {"id": "18"}
    assert item_of(source, {"ids": [17, "18", True]}, 2) is True
    decision = decide(rules, "ids", {"ids": [17]})
    assert (decision.reason, decision.record_id) == (Reason.NEEDS_FETCH, "17")


def test_the_same_item_without_an_id_has_the_same_key_however_it_was_written(rules: Rules) -> None:
    source = rules.sources["nested"]
    one = read_event(source, {"type": "leads", "groups": [{"leads": [{"kind": "new", "b": [1, "é"], "a": None}]}]})
    two = read_event(source, {"groups": [{"leads": [{"a": None, "b": [1, "é"], "kind": "new"}]}], "type": "leads"})
    assert isinstance(one, Event)
    assert one == two
    other = read_event(source, {"type": "leads", "groups": [{"leads": [{"kind": "new", "b": [1, "e"], "a": None}]}]})
    assert one != other


@pytest.mark.parametrize("missing", [{"Portal": None}, {"Portal": " "}, {"Id": None}, {"Id": {}}, {"Id": True}])
def test_a_key_with_a_missing_part_falls_back_to_the_item(rules: Rules, missing: dict[str, object]) -> None:
    found = read_event(rules.sources["list"], [event(1, **missing)])  # type: ignore[list-item]
    assert isinstance(found, Event)
    assert found.key is not None
    assert found.key.startswith("sha256:")


def test_one_and_the_text_one_are_the_same_part_of_a_key(rules: Rules) -> None:
    source = rules.sources["list"]
    assert read_event(source, [event(1)]) == read_event(source, [event("1")]) == Event("id:7:1")  # type: ignore


def test_a_key_of_any_length_stays_short(rules: Rules) -> None:
    found = read_event(rules.sources["list"], [event(1, Portal="x" * 100_000)])  # type: ignore[list-item]
    assert isinstance(found, Event)
    assert found.key is not None
    assert len(found.key) < 100


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["groups", "leads", "Kind", "kind", "Id", "ids", "lead", "type", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(TREES)
def test_no_message_breaks_the_taking_apart(tree: Any) -> None:
    rules = _RULES
    for name, source in rules.sources.items():
        found = read_events(source, tree)
        assert isinstance(found, Ignored | Unusable) or found
        for one in found if isinstance(found, tuple) else ():
            assert read_event(source, tree, one.item) == one
            decide(rules, name, tree, one.item)


_RULES = rules_of(SOURCES)


# ---- paths of items ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tree", "items"),
    [
        ("*", [1, 2], [1, 2]),
        ("*", {"a": 1}, [{"a": 1}]),
        ("events", {"events": [1, None]}, [1, None]),
        ("events.*", {"events": [1]}, [1]),
        ("events", {"events": {"a": 1}}, [{"a": 1}]),
        ("a.*.b", {"a": [{"b": [1]}, {"b": 2}, {}, 3, {"b": None}]}, [1, 2]),
        ("a.*.*.b", {"a": [[{"b": 1}], [{"b": [2, 3]}]]}, [1, 2, 3]),
        ("*.*", [[1, 2], [3]], [1, 2, 3]),
        ('"a.*".b', {"a.*": {"b": [1]}}, [1]),
        ("a.1", {"a": [[0], [5, 6]]}, [5, 6]),
        ("events", {}, None),
        ("events", {"events": ""}, None),
        ("events", {"events": False}, None),
        ("events", [], None),
        ("*", [], []),
        ("a.*.b", {"a": []}, []),
    ],
)
def test_a_path_of_items(path: str, tree: Any, items: list[object] | None) -> None:
    assert compile_items(path).find(tree, 100) == items


def test_no_more_items_are_collected_than_are_wanted() -> None:
    assert compile_items("*.*").find([[0] * 50] * 1000, 60) == [0] * 61


@pytest.mark.parametrize("path", ["", ".", "**", "a*", "a..*", "*..b", ".*", "*.", "a.*.", '"', "a.[*]", "a.*b"])
def test_a_path_of_items_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(PathMistake):
        compile_items(path)


def test_a_long_hostile_path_is_refused_in_no_time() -> None:
    began_at = time.process_time()
    for path in ('"' + "\\" * 50_000, '"' * 50_001, ".*" * 20_000 + "[", "a" * 100_000 + '"'):
        with pytest.raises(PathMistake):
            compile_items(path)
    assert time.process_time() - began_at < 2.0


# ---- the CRM is told of the item ----------------------------------------------------------------------


def test_the_write_back_speaks_of_the_item_and_of_the_message() -> None:
    source = rules_of(
        "  crm:\n"
        '    verify: {scheme: hmac, secret: "${TEXT}"}\n'
        "    fields: {phone: Phone}\n"
        "    items: leads\n"
        "    id: Id\n"
        "    write_back:\n"
        "      request: POST https://crm.example.com/{{ message.account }}/{{ event.Id }}\n"
        '      json: {key: "{{ event.key }}", all: "{{ message.account }}"}\n'
    ).sources["crm"]
    message: Tree = {"account": "a/1", "leads": [{"Id": "1", "key": "x"}, {"Id": "2", "key": "y"}]}
    facts = WritebackFacts(
        record_id="2",
        result=LeadState.CALLED,
        reason_text="",
        call_id="c",
        call_status=None,
        account=None,
        fields={},
        event=item_of(source, message, 1),
        message=message,
    )
    assert source.write_back is not None
    made = render_writeback(source.write_back, facts)
    assert isinstance(made, RenderedRequest)
    assert made.url == "https://crm.example.com/a%2F1/2"
    assert json.loads(made.body or b"") == {"key": "y", "all": "a/1"}
