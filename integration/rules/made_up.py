"""A made-up message that the rules would call somebody for, and any number of copies that are events of their own.

The rules are run backwards only as far as guessing goes: conditions become wishes for fields, a rule that comes in
between becomes a wish that it does not fit, and every guess is judged by `decide` itself, on the bytes that would be
sent. So nothing that leaves this module is less than a message that is really called. Its numbers are set aside for
examples and ring nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from integration.house import as_judged
from integration.model import ENDS, Decision, DecisionKind, Reason, Tree
from integration.payload import (
    CONTENT_TYPES,
    BadBody,
    CannotWrite,
    Path,
    Steps,
    WrittenForm,
    put,
    steps_of,
    walk,
    write_body,
)
from integration.phone_data import FICTIONAL
from integration.rules.conditions import AllOf, Condition, Not
from integration.rules.decide import decide
from integration.rules.events import read_event, read_message
from integration.rules.moments import verdict_at
from integration.rules.scope import MessagePath
from integration.rules.shapes import Event, Rule, Rules, Source
from integration.rules.wishes import Way, ways, wishes_of

MOST_GUESSES = 1_000  # of whole messages: a second or two at most
_GUESSES_EACH = 20  # for one rule, one country and one set of wishes
_MOST_WISHES = 10  # rules in between that are kept from fitting
_MOST_LEAVES = 500  # places of a message that are tried where a query hides the place
_MARK = "ringback-sample"

# 555-0100 to 555-0199 behind any area code is set aside; 416 is Toronto.
_RANGES = (*FICTIONAL, ("141655501", 11, "CA"))


class CannotMakeUp(Exception):
    """No message was found that the rules call somebody for. The message says why, as a sentence."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A message, and the places in it that differ from copy to copy; None where there is no such place."""

    tree: Tree
    form: WrittenForm
    event: Steps | None
    record: Steps | None
    number: Steps | None
    country: str | None  # where the copies' numbers belong

    def copy(self, mark: str, n: int) -> bytes:
        """The body of one event of its own. `mark` becomes its ids; `n` picks its number. Raises CannotWrite."""
        tree = self.tree
        for steps in (self.event, self.record):
            if steps is not None:
                tree = put(tree, steps, mark)
        if self.number is not None and self.country is not None:
            tree = put(tree, self.number, fictional_number(self.country, n))
        if self.event is None and self.record is None:
            try:
                tree = _marked(tree, mark, self.form)
            except CannotWrite:
                if self.number is None:  # the number alone tells the copies apart, while it lasts
                    raise
        return write_body(tree, self.form)


@dataclass(frozen=True, slots=True)
class MadeUp:
    """A message that was made up, and what the rules say of it."""

    pattern: Pattern
    decision: Decision


def fictional_count(country: str) -> int:
    """How many different numbers of this country are set aside for examples; 0 when none is known."""
    return sum(10 ** (digits - len(prefix)) for prefix, digits, region in _RANGES if region == country)


def fictional_number(country: str, n: int) -> str:
    """The n-th of them as E.164; it begins again behind the last. The country must have one."""
    n %= fictional_count(country)
    for prefix, digits, region in _RANGES:
        if region != country:
            continue
        width = digits - len(prefix)
        if n < 10**width:
            return f"+{prefix}{n:0{width}}"
        n -= 10**width
    raise AssertionError("n is below the count of all ranges")


def pattern_of(rules: Rules, source: Source, tree: Tree, form: WrittenForm) -> Pattern:
    """Where in this message the ids and the number stand, found by putting others there."""
    decision = decide(rules, source.name, tree)
    own = decision.fields.get("number_country")
    allowed = _countries(rules, None)
    country = own if isinstance(own, str) and own in allowed else next(iter(allowed), None)

    def is_event(made: Tree) -> bool:
        found = read_event(source, made)
        return isinstance(found, Event) and found.key is not None and _MARK in found.key

    def is_record(made: Tree) -> bool:
        return decide(rules, source.name, made).record_id == _MARK

    number = fictional_number(country, 0) if country is not None else ""
    return Pattern(
        tree,
        form,
        event=_place(tree, _event_places(source), _MARK, is_event),
        record=_place(tree, [_in_record(source, path) for path in source.id], _MARK, is_record),
        number=_place(
            tree,
            [_in_record(source, path) for path in source.fields["phone"].paths],
            number,
            lambda made: decide(rules, source.name, made).to == number,
        )
        if number
        else None,
        country=country,
    )


def make_up(rules: Rules, source: Source, form: WrittenForm) -> MadeUp:
    """A message of this source for which the rules call a number that is set aside for examples.

    Raises CannotMakeUp.
    """
    if rules.phones.refuse_fictional:
        raise CannotMakeUp("`phones.refuse_fictional` is set, so no made-up number is ever called")
    if source.needs_fetch:
        raise CannotMakeUp("its events hold no more than the id of a record, which must be there in the CRM")
    if not any(fictional_count(country) for country in rules.phones.may_call):
        raise CannotMakeUp("no country of `phones.may_call` has numbers that are set aside for examples")
    seen: Decision | None = None
    for guess in islice(_Maker(rules, source, form).guesses(), MOST_GUESSES):
        if guess is None:
            continue
        if guess.made.decision.kind is DecisionKind.CALL and guess.made.decision.to == guess.number:
            return guess.made
        seen = seen or guess.made.decision
    raise CannotMakeUp(_why(seen))


def _why(decision: Decision | None) -> str:
    if decision is None:
        return "its paths cannot be put together into one message (a query hides a place, or two paths collide)"
    if decision.reason is Reason.NO_RECORD:
        return "no message could be made in which `record:` finds something"
    rule = f" by rule {decision.rule_name!r}" if decision.rule_name else ""
    told = f": {decision.detail.rstrip('.')}" if decision.detail else ""
    return f"each message that was tried is not called but {ENDS[decision.kind]}{rule} ({decision.reason}{told})"


# ---- guesses --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Guess:
    made: MadeUp
    number: str  # that is meant to be called


@dataclass(frozen=True, slots=True)
class _Maker:
    """Guesses at messages of one source; None for a guess that is no message of it at all."""

    rules: Rules
    source: Source
    form: WrittenForm

    def guesses(self) -> Iterator[_Guess | None]:
        """From the conditions of each rule that calls; then from the records of the rules file's own tests."""
        for only in islice(ways(self.source.only, True), _GUESSES_EACH):
            for rule in self.rules.rules:
                if rule.account is not None:
                    for country in _countries(self.rules, rule.when):
                        yield from self._for_rule(only, rule, country)
            for test in self.rules.tests:
                if test.source == self.source.name and test.expect.kind is DecisionKind.CALL:
                    for country in _countries(self.rules, None):
                        yield self._judged(only, test.record, country)

    def _for_rule(self, only: Way, rule: Rule, country: str) -> Iterator[_Guess | None]:
        """Guesses at a lead for this rule. A rule that takes one of them first is kept from fitting the next."""
        avoided: list[Rule] = []
        while len(avoided) <= _MOST_WISHES:
            wanted = [one for one in [rule.when] if one is not None]
            condition = AllOf((*wanted, *(Not(other.when) for other in avoided if other.when is not None)))
            takers: list[str | None] = []
            for way in islice(ways(condition, True), _GUESSES_EACH):
                record = _record(self.source, way, country, self.rules.house.terms_of(rule.name).consent)
                guess = self._judged(only, record, country)
                yield guess
                takers.append(None if guess is None else guess.made.decision.rule_name)
            taken_by = next((other for other in self.rules.rules if other.name in takers), rule)
            if taken_by is rule or taken_by in avoided or taken_by.when is None:
                return
            avoided.append(taken_by)

    def _judged(self, only: Way, record: Tree, country: str) -> _Guess | None:
        """The whole message around this record, as the program would read and judge it."""
        number, source = fictional_number(country, 0), self.source
        try:
            tree = _message(source, only, record)
            phone = _in_record(source, source.fields["phone"].paths[0])
            tree = put(tree, phone, number) if phone is not None else tree
            for steps in (*_event_places(source), *(_in_record(source, path) for path in source.id)):
                tree = put(tree, steps, _MARK) if steps is not None else tree
            pattern = replace(pattern_of(self.rules, source, tree, self.form), country=country)
            read = read_message(source, pattern.copy(_MARK, 0), CONTENT_TYPES[self.form])
        except CannotWrite:
            return None
        if isinstance(read, BadBody) or not isinstance(read_event(source, read), Event):
            return None
        decision = decide(self.rules, source.name, read)
        return _Guess(MadeUp(pattern, as_judged(decision, verdict_at(self.rules, decision, None))), number)


def _countries(rules: Rules, when: Condition | None) -> list[str]:
    """The countries to make numbers of: those that the rule speaks of first, then where most can be made up."""
    named = {word.upper() for way in islice(ways(when, True), 5) for check, _ in way for word in check.words}
    known = [country for country in rules.phones.may_call if fictional_count(country)]
    return sorted(known, key=lambda one: (one not in named, -fictional_count(one), one))


def _message(source: Source, only: Way, record: Tree) -> Tree:
    """The message around a record, with what `only:` wants in it. Raises CannotWrite."""
    tree: Tree = None
    for name, value in wishes_of(only).items():
        steps = _in_event(source, source.only_paths[name])
        if steps is not None:
            tree = put(tree, steps, value)
    at = _first_item(source) if source.record is None else _in_event(source, source.record)
    if at is None or not isinstance(record, dict):
        raise CannotWrite("nobody can tell where the record belongs, or what it is")
    for key, inner in record.items():
        tree = put(tree, (*at, key), inner)
    return tree


def _record(source: Source, way: Way, country: str, consent: frozenset[str] | None) -> Tree:
    """A record that has what this way wants; None when one of its fields is found by a query alone."""
    wishes = wishes_of(way, country)
    if consent:
        wishes.setdefault("consent", "yes" if "yes" in consent else min(consent))
    if "country" in source.fields and all(check.field != "country" for check, _ in way):
        wishes["country"] = country
    record: Tree = {}
    for name, value in wishes.items():
        if name not in source.fields or name == "phone":
            continue
        steps = steps_of(source.fields[name].paths[0])
        if steps is None:
            return None
        record = put(record, steps, value)
    return record


def _first_item(source: Source) -> Steps:
    return () if source.items is None else source.items.first


def _in_event(source: Source, path: Path) -> Steps | None:
    """The steps of a path of the (first) event, from the message on; None for a query."""
    steps = steps_of(path)
    if steps is None:
        return None
    return steps[1:] if isinstance(path, MessagePath) else (*_first_item(source), *steps)


def _in_record(source: Source, path: Path) -> Steps | None:
    """The same for a path of the record."""
    if source.record is None or isinstance(path, MessagePath):
        return _in_event(source, path)
    at, inner = _in_event(source, source.record), steps_of(path)
    return None if at is None or inner is None else (*at, *inner)


def _event_places(source: Source) -> list[Steps | None]:
    """Where the parts of an event's key stand."""
    found = [_in_event(source, path) for path in source.event_id]
    for part in source.event_key:
        if not isinstance(part, str) and part.path is not None:
            steps = steps_of(part.path) or ()
            found.append(steps if part.room == "message" else (*_first_item(source), *steps))
    return found


# ---- places -------------------------------------------------------------------------------------


def _place(tree: Tree, named: Iterable[Steps | None], value: str, fits: Callable[[Tree], bool]) -> Steps | None:
    """The first place where `value` has the effect that is looked for: those that the rules name, then every other."""
    leaves = (steps for steps, _ in islice(walk(tree, ()), _MOST_LEAVES) if steps)
    tried: set[Steps] = set()
    named = list(named)
    everywhere = leaves if None in named else iter(())  # only a query hides its place
    for steps in (*(one for one in named if one is not None), *everywhere):
        if steps in tried:
            continue
        tried.add(steps)
        try:
            if fits(put(tree, steps, value)):
                return steps
        except CannotWrite:
            continue
    return None


def _marked(tree: Tree, mark: str, form: WrittenForm) -> Tree:
    """The message with one field more, so that its bytes are its own. Raises CannotWrite where none can stand."""
    if isinstance(tree, dict) and form != "xml":
        return {**tree, "ringback_sample": mark}
    if isinstance(tree, dict) and len(tree) == 1:
        ((name, inner),) = tree.items()
        if isinstance(inner, dict):
            return {name: {**inner, "ringback_sample": mark}}
    raise CannotWrite("the message has no place for an id of its own")
