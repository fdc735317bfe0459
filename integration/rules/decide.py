"""From a stored message to a decision. Production, `check` and `explain` all come through here.

Nothing here can fail: a message in any shape ends as a decision. The order is fixed: the record, its
id, the country, the rules from the top, and the phone number only where a rule wants to call. So a
`skip:` rule decides over a lead whose number is junk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from integration.countries import read_country
from integration.model import Decision, DecisionKind, Reason, Tree
from integration.payload import Path, is_nothing, usable_text
from integration.phone import Phone, PhonePolicy, PhoneRefused, read_every, read_phones
from integration.rules.conditions import (
    Check,
    FieldValues,
    holds,
    separators_of,
    why_not,
)
from integration.rules.events import MAX_ID_CHARS, is_opt_out, item_of
from integration.rules.scope import look
from integration.rules.shapes import FieldPaths, Rule, Rules, Source

MAX_NUMBER = 10**100  # what a body can hold; a larger one is no number, and Python may refuse to write it out
MAX_PHONE_VALUES = 20  # of one lead; more is no lead but a list


OPTED_OUT = "an opt-out: nobody is dialled for it, and its numbers belong on the list (`ringback dnc add NUMBER`)"


class Trace(Protocol):
    """Watches a decision being made. `integration.rules.explain` has the one that remembers."""

    def record(self, found: bool) -> None: ...
    def phone(self, path: Path, value: Tree, result: Phone | PhoneRefused) -> None: ...
    def rule(self, rule: Rule, failed: tuple[str, Check | None] | None, values: FieldValues) -> None: ...


def decide(rules: Rules, source_name: str, tree: Tree, item: int = 0) -> Decision:
    """What the rules say of the lead in event number `item` of `tree`, the whole message. Never raises."""
    return decide_traced(rules, source_name, tree, None, item)


def decide_traced(rules: Rules, source_name: str, tree: Tree, trace: Trace | None, item: int = 0) -> Decision:
    """`decide`, watched."""
    source = rules.sources.get(source_name)
    if source is None:
        detail = f"the rules have no source {source_name!r} any more; put it back, or close this lead"
        return Decision(DecisionKind.PARK, Reason.SOURCE_GONE, detail)
    event = item_of(source, tree, item)
    record = event if source.record is None else look(source.record, event, tree)
    if trace is not None:
        trace.record(isinstance(record, dict))
    if not isinstance(record, dict):
        what = "the message" if source.items is None else f"entry {item + 1} of `{source.items.text}`"
        where = f"{what} is" if source.record is None else f"what stands at `{source.record.text}` is"
        detail = f"{where} no record with fields; see `record:` of source {source.name}"
        return Decision(DecisionKind.PARK, Reason.NO_RECORD, detail)
    lead = _Lead(source, record, rules.phones, tree)
    if is_opt_out(source, event, tree):
        return lead.stop(Reason.OPT_OUT_UNREAD, OPTED_OUT)
    if source.needs_fetch and lead.record_id is not None:
        detail = "this event holds no more than the record's id; this version cannot fetch the record from the CRM"
        return lead.stop(Reason.NEEDS_FETCH, detail)
    return _decided(rules, lead, trace)


@dataclass(frozen=True, slots=True)
class OptOut:
    """Who wants no calls, as far as the event says so."""

    numbers: tuple[str, ...]  # E.164
    problem: str = ""  # why there may be more; a person must look then


def read_opt_out(rules: Rules, source: Source, tree: Tree, item: int = 0) -> OptOut:
    """Every number in the phone fields of the record, those that are never dialled included. Never raises."""
    event = item_of(source, tree, item)
    record = event if source.record is None else look(source.record, event, tree)
    if not isinstance(record, dict):
        return OptOut((), "there is no record in this event; see `record:`")
    found = _Lead(source, record, rules.phones, tree).find_numbers()
    numbers = dict.fromkeys(number.e164 for number in found if number.e164 is not None)
    unread = [one for one in found if one.e164 is None and isinstance(one, PhoneRefused)]
    if unread:
        return OptOut(tuple(numbers), unread[0].detail)
    return OptOut(tuple(numbers), "" if numbers else "the record holds no number")


def decide_record(rules: Rules, source: Source, record: Tree) -> Decision:
    """The same for a record that has been found, or fetched, already, as the tests of a rules file give it."""
    return _decided(rules, _Lead(source, record, rules.phones), None)


def _decided(rules: Rules, lead: _Lead, trace: Trace | None) -> Decision:
    source = lead.source
    if source.id and lead.record_id is None:
        paths = " or ".join(f"`{path.text}`" for path in source.id)
        return lead.stop(Reason.NO_RECORD_ID, f"the record has no usable id at {paths}")
    if not lead.country_is_readable:
        paths = " or ".join(f"`{path.text}`" for path in source.fields["country"].paths)
        return lead.stop(Reason.BAD_COUNTRY, f"what stands at {paths} is no country that can be read")
    number = lead.find_number(trace)
    values = FieldValues(lead.fields, separators_of(rules.phones.read_as))
    for rule in rules.rules:
        fits = rule.when is None or holds(rule.when, values)
        if trace is not None:
            failed = None if fits or rule.when is None else why_not(rule.when, values)
            trace.rule(rule, failed, values)
        if fits:
            return lead.decided(rule, number)
    return lead.stop(Reason.NO_RULE, "no rule fits this lead; add one, or a last rule without `when:`")


@dataclass(slots=True)
class _Lead:
    """A record as the rules see it."""

    source: Source
    record: Tree
    policy: PhonePolicy
    message: Tree = None
    record_id: str | None = None
    fields: dict[str, Tree] = field(default_factory=dict)
    country_is_readable: bool = True

    def __post_init__(self) -> None:
        ids = (usable_text(self._find(path)) for path in self.source.id)
        self.record_id = next((text for text in ids if text is not None and len(text) <= MAX_ID_CHARS), None)
        for name, where in self.source.fields.items():
            if name == "country":
                self._read_country(where)
            elif name != "phone":
                value = _first([self._find(path) for path in where.paths])
                if value is not None:
                    self.fields[name] = value
        self.fields["source"] = self.source.name

    def _find(self, path: Path) -> Tree:
        return look(path, self.record, self.message)

    def _read_country(self, where: FieldPaths) -> None:
        """The first path whose value is a country. Values that are none stop the lead, if none is one."""
        for path in where.paths:
            value = self._find(path)
            if is_nothing(value):
                continue
            country = read_country(value)
            if country is not None:
                self.fields["country"] = country
                self.country_is_readable = True
                return
            self.country_is_readable = False

    def _phone_values(self) -> list[tuple[Path, Tree]]:
        found = [(path, value) for path in self.source.fields["phone"].paths for value in _each(self._find(path))]
        return found[:MAX_PHONE_VALUES]

    @property
    def _country(self) -> str | None:
        country = self.fields.get("country")
        return country if isinstance(country, str) else None

    def find_numbers(self) -> list[Phone | PhoneRefused]:
        """All that stands in the phone fields."""
        return read_every([value for _, value in self._phone_values()], self._country, self.policy)

    def find_number(self, trace: Trace | None) -> Phone | PhoneRefused:
        found, country = self._phone_values(), self._country
        if trace is not None:
            for path, value in found:
                trace.phone(path, value, read_phones([value], country, self.policy))
        number = read_phones([value for _, value in found], country, self.policy)
        if number.country is not None:
            self.fields["number_country"] = number.country
        if number.e164 is not None:
            self.fields["phone"] = number.e164
        return number

    def decided(self, rule: Rule, number: Phone | PhoneRefused) -> Decision:
        if rule.account is None:
            return self._decision(DecisionKind.SKIP, Reason.RULE_SKIPS, rule.skip or "", rule, number.e164)
        if isinstance(number, Phone):
            return self._decision(DecisionKind.CALL, None, "", rule, number.e164)
        kind = DecisionKind.BLOCK if number.blocked else DecisionKind.PARK
        return self._decision(kind, number.reason, number.detail, rule, number.e164)

    def stop(self, reason: Reason, detail: str) -> Decision:
        phone = self.fields.get("phone")
        return self._decision(DecisionKind.PARK, reason, detail, None, phone if isinstance(phone, str) else None)

    def _decision(
        self, kind: DecisionKind, reason: Reason | None, detail: str, rule: Rule | None, to: str | None
    ) -> Decision:
        return Decision(
            kind,
            reason,
            detail,
            account=rule.account if rule is not None and kind is DecisionKind.CALL else None,
            to=to,
            rule_name=None if rule is None else rule.name,
            rule_line=None if rule is None else rule.line,
            record_id=self.record_id,
            fields=self.fields,
        )


def _first(values: list[Tree]) -> Tree:
    """The first value that is something. An explicit `false` is kept when there is nothing better."""
    fallback: Tree = None
    for value in values:
        if not is_nothing(value):
            return value
        if value is False:
            fallback = False
    return fallback


def _each(value: Tree) -> list[Tree]:
    """A phone field's value, or each item when the CRM keeps a list."""
    items = value if isinstance(value, list) else [value]
    return [item if not isinstance(item, int) or abs(item) < MAX_NUMBER else str(MAX_NUMBER) for item in items]
