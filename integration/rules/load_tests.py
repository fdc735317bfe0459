"""Reads `tests:`, and finds paths that no test record has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from integration.model import DecisionKind, Reason
from integration.payload import paths_in
from integration.rules.moments import moment_of
from integration.rules.reader import Reader, nearest
from integration.rules.shapes import Expectation, RulesTest, Source
from integration.rules.yaml_tree import Node, shorten

# What a record alone can come to; the other reasons arise later, from the dialer and other leads.
PARK_REASONS = (
    Reason.NO_RECORD_ID,
    Reason.NO_PHONE,
    Reason.BAD_PHONE,
    Reason.NO_REGION,
    Reason.BAD_COUNTRY,
    Reason.NO_RULE,
    Reason.ZONE_UNKNOWN,
    Reason.STALE_LEAD,
    Reason.OUTSIDE_HOURS,
)
# What stops a lead before there is a record, or after its source was taken away: no test can come to it.
PARKED_BEFORE_RECORD = (
    Reason.EMPTY_BODY,
    Reason.BAD_BODY,
    Reason.NO_RECORD,
    Reason.NEEDS_FETCH,
    Reason.TOO_MANY_ITEMS,
    Reason.BURST_HELD,
    Reason.OPT_OUT_UNREAD,
    Reason.SOURCE_GONE,
    Reason.POISON,
)
BLOCK_REASONS = (
    Reason.COUNTRY_NOT_ALLOWED,
    Reason.EMERGENCY_NUMBER,
    Reason.SHORT_NUMBER,
    Reason.PREMIUM_NUMBER,
    Reason.SATELLITE_NUMBER,
    Reason.TOLL_FREE_NUMBER,
    Reason.SERVICE_NUMBER,
    Reason.FICTIONAL_NUMBER,
    Reason.OWN_NUMBER,
    Reason.NO_CONSENT,
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_KINDS = tuple(kind.value for kind in DecisionKind)


def read_tests(
    reader: Reader, node: Node | None, accounts: Sequence[str], sources: Sequence[str]
) -> tuple[RulesTest, ...]:
    """Every test that could be read."""
    tests: list[RulesTest] = []
    for item in reader.items(node, "`tests:`") or ():
        test = _test(reader, item, accounts, sources)
        if test is None:
            continue
        if any(other.name.casefold() == test.name.casefold() for other in tests):
            reader.wrong(item, f"another test is also called `{shorten(test.name)}`; give each its own name")
        tests.append(test)
    return tuple(tests)


def _test(reader: Reader, node: Node, accounts: Sequence[str], sources: Sequence[str]) -> RulesTest | None:
    found = reader.keys(node, "a test", ("name", "source", "record", "at", "expect"))
    if found is None:
        return None
    for key, example in (("name", "a sentence"), ("record", "{...}"), ("expect", "{call: ...}")):
        if key not in found:
            reader.wrong(node, f"this test has no `{key}:`; add `{key}: {example}`")
    name = reader.text(found.get("name"), "`name:` of a test")
    source = _source(reader, node, found.get("source"), sources)
    record = reader.block(found.get("record"), "`record:`")
    at = read_moment(reader, found["at"], "`at:`") if "at" in found else None
    expect = _expectation(reader, found["expect"], accounts, has_moment="at" in found) if "expect" in found else None
    if name is None or source is None or record is None or expect is None:
        return None
    return RulesTest(name.strip(), node.line, source, reader.data(record), expect, at)


def read_moment(reader: Reader, node: Node, what: str) -> datetime | None:
    """An instant with its time zone."""
    text = reader.text(node, what)
    if text is None:
        return None
    try:
        return moment_of(text)
    except ValueError as error:
        reader.wrong(node, f"{what} {error}")
        return None


def _source(reader: Reader, test: Node, node: Node | None, sources: Sequence[str]) -> str | None:
    if node is None:
        if len(sources) > 1:
            reader.wrong(test, f"this test has no `source:`; add the one it is for, {nearest('', sources)}")
        return sources[0] if len(sources) == 1 else None
    text = reader.text(node, "`source:`")
    if text is not None and sources and text.strip() not in sources:
        reader.wrong(node, f"no source is called `{shorten(text)}`; {nearest(text, sources)}")
        return None
    return None if text is None else text.strip()


def _expectation(reader: Reader, node: Node, accounts: Sequence[str], *, has_moment: bool) -> Expectation | None:
    found = reader.keys(node, "`expect:`", (*_KINDS, "to", "wait_until"))
    if found is None:
        return None
    given = [kind for kind in _KINDS if kind in found]
    if "wait_until" in found:
        return _waiting(reader, found, given, accounts, has_moment=has_moment)
    if len(given) != 1:
        reader.wrong(node, "`expect:` wants exactly one of `call:`, `skip:`, `block:` and `park:`")
        return None
    kind = DecisionKind(given[0])
    word = reader.text(found[kind.value], f"`{kind.value}:`")
    word = None if word is None else word.strip()
    if word is None:
        return None
    to = _number(reader, found.get("to"), kind)
    match kind:
        case DecisionKind.CALL:
            return Expectation(kind, account=_one_of(reader, found["call"], word, accounts, "account"), to=to)
        case DecisionKind.SKIP:
            return Expectation(kind, text=word)
        case DecisionKind.PARK if word in PARKED_BEFORE_RECORD:
            reader.wrong(found["park"], f"`{word}` is decided before there is a record, so no test can expect it")
            return None
        case DecisionKind.PARK:
            reason = _one_of(reader, found["park"], word, PARK_REASONS, "reason to park")
        case DecisionKind.BLOCK:
            reason = _one_of(reader, found["block"], word, BLOCK_REASONS, "reason to block")
    return None if reason is None else Expectation(kind, reason=Reason(reason))


def _waiting(
    reader: Reader, found: Mapping[str, Node], given: Sequence[str], accounts: Sequence[str], *, has_moment: bool
) -> Expectation | None:
    """A call that is made later; which account makes it need not be said."""
    node = found["wait_until"]
    if not has_moment:
        reader.wrong(node, "`wait_until:` needs a moment to wait from; add `at:` to the test")
    if [kind for kind in given if kind != DecisionKind.CALL]:
        reader.wrong(node, "`wait_until:` stands alone or beside `call:`; nothing else waits")
        return None
    until = read_moment(reader, node, "`wait_until:`")
    word = reader.text(found.get("call"), "`call:`")
    account = None if word is None else _one_of(reader, found["call"], word.strip(), accounts, "account")
    to = _number(reader, found.get("to"), DecisionKind.CALL)
    return None if until is None else Expectation(DecisionKind.CALL, account=account, to=to, wait_until=until)


def _number(reader: Reader, node: Node | None, kind: DecisionKind) -> str | None:
    text = reader.text(node, "`to:`")
    if node is None or text is None:
        return None
    if kind is not DecisionKind.CALL:
        reader.wrong(node, "`to:` belongs to `call:`; take it out")
    elif not _E164.fullmatch(text.strip()):
        reader.wrong(node, "`to:` is no number with `+` and country code; write it like +4319971234")
    return text.strip()


def _one_of(reader: Reader, node: Node, word: str, known: Sequence[str], what: str) -> str | None:
    if word in known or not known:  # nothing known: that is a mistake of its own, told elsewhere
        return word
    reader.wrong(node, f"no {what} is called `{shorten(word)}`; {nearest(word, known)}")
    return None


def unseen_paths(sources: Mapping[str, Source], tests: Sequence[RulesTest]) -> Iterator[tuple[int, int, str]]:
    """Paths of `fields` that find nothing in any test record of their source: line, column and warning."""
    seen: dict[tuple[int, int], bool] = {}
    hints: dict[tuple[int, int], str] = {}
    for source in sources.values():
        records = [test.record for test in tests if test.source == source.name]
        if not records:
            continue
        there = list(dict.fromkeys(path for record in records for path in paths_in(record)))
        for where in source.fields.values():
            for path, place in zip(where.paths, where.places, strict=True):
                found = path.text in there or any(path.find(record) is not None for record in records)
                seen[place] = seen.get(place, False) or found
                hints[place] = f"`{shorten(path.text)}` finds nothing in any test record; {_hint(path.text, there)}"
    for place, found in seen.items():
        if not found:
            yield (*place, hints[place])


def _hint(text: str, there: Sequence[str]) -> str:
    by_case = {path.casefold(): path for path in there}
    near = difflib.get_close_matches(text.casefold(), by_case, 1)
    if near:
        return f"did you mean `{shorten(by_case[near[0]])}`?"
    return "correct it, or add a test whose record has it"
