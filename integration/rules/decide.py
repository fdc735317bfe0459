"""From a stored message to a decision. Production, `check` and `explain` all come through here.

Nothing here can fail: a message in any shape ends as a decision. The order is fixed: the record, its
id, the country, the rules from the top, and the phone number only where a rule wants to call. So a
`skip:` rule decides over a lead whose number is junk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from integration.countries import read_country
from integration.model import Decision, DecisionKind, Reason, Tree
from integration.payload import Path, is_nothing
from integration.phone import Phone, PhonePolicy, PhoneRefused, read_phones
from integration.rules.conditions import (
    Check,
    FieldValues,
    holds,
    separators_of,
    usable_text,
    why_not,
)
from integration.rules.shapes import Event, FieldPaths, Ignored, Rule, Rules, Source

MAX_ID_CHARS = 500
MAX_NUMBER = 10**100  # what a body can hold; a larger one is no number, and Python may refuse to write it out
MAX_PHONE_VALUES = 20  # of one lead; more is no lead but a list


class Trace(Protocol):
    """Watches a decision being made. `integration.rules.explain` has the one that remembers."""

    def record(self, found: bool) -> None: ...
    def phone(self, path: Path, value: Tree, result: Phone | PhoneRefused) -> None: ...
    def rule(self, rule: Rule, failed: tuple[str, Check | None] | None, values: FieldValues) -> None: ...


def read_event(source: Source, tree: Tree) -> Event | Ignored:
    """Whether the message is for us, and the key that makes a repetition of it known. Never raises.

    A message in which `only:` finds nothing because it is no object is not ignored: it goes on and
    ends parked, where a person sees it.
    """
    if source.only is not None:
        found = {name: path.find(tree) for name, path in source.only_paths.items()}
        values = FieldValues(found, separators_of(None))
        unreadable = not isinstance(tree, dict) and all(value is None for value in found.values())
        if not unreadable and not holds(source.only, values):
            return Ignored(f"`only:` wants {why_not(source.only, values)[0]}")
    return Event(next((key for path in source.event_id if (key := _event_key(path.find(tree)))), None))


def _event_key(value: Tree) -> str | None:
    text = usable_text(value)
    if text is None:
        return None
    if len(text) > MAX_ID_CHARS:
        text = "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"id:{text}"


def decide(rules: Rules, source_name: str, tree: Tree) -> Decision:
    """What the rules say of the lead in `tree`, the whole message. Never raises."""
    return decide_traced(rules, source_name, tree, None)


def decide_traced(rules: Rules, source_name: str, tree: Tree, trace: Trace | None) -> Decision:
    """`decide`, watched."""
    source = rules.sources.get(source_name)
    if source is None:
        detail = f"the rules have no source {source_name!r} any more; put it back, or close this lead"
        return Decision(DecisionKind.PARK, Reason.SOURCE_GONE, detail)
    record = tree if source.record is None else source.record.find(tree)
    if trace is not None:
        trace.record(isinstance(record, dict))
    if not isinstance(record, dict):
        where = "the message is" if source.record is None else f"what stands at `{source.record.text}` is"
        detail = f"{where} no record with fields; see `record:` of source {source.name}"
        return Decision(DecisionKind.PARK, Reason.NO_RECORD, detail)
    return decide_record(rules, source, record, trace)


def decide_record(rules: Rules, source: Source, record: Tree, trace: Trace | None = None) -> Decision:
    """The same for a record that has been found already, as the tests of a rules file give it."""
    record_id = _record_id(source, record)
    lead = _Lead(source, record, rules.phones, record_id)
    if source.id and record_id is None:
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


def _record_id(source: Source, record: Tree) -> str | None:
    texts = (usable_text(path.find(record)) for path in source.id)
    return next((text for text in texts if text is not None and len(text) <= MAX_ID_CHARS), None)


@dataclass(slots=True)
class _Lead:
    """A record as the rules see it."""

    source: Source
    record: Tree
    policy: PhonePolicy
    record_id: str | None
    fields: dict[str, Tree] = field(default_factory=dict)
    country_is_readable: bool = True

    def __post_init__(self) -> None:
        for name, where in self.source.fields.items():
            if name == "country":
                self._read_country(where)
            elif name != "phone":
                value = _first(where.paths, self.record)
                if value is not None:
                    self.fields[name] = value
        self.fields["source"] = self.source.name

    def _read_country(self, where: FieldPaths) -> None:
        """The first path whose value is a country. Values that are none stop the lead, if none is one."""
        for path in where.paths:
            value = path.find(self.record)
            if is_nothing(value):
                continue
            country = read_country(value)
            if country is not None:
                self.fields["country"] = country
                self.country_is_readable = True
                return
            self.country_is_readable = False

    def find_number(self, trace: Trace | None) -> Phone | PhoneRefused:
        found = [
            (path, value) for path in self.source.fields["phone"].paths for value in _each(path.find(self.record))
        ][:MAX_PHONE_VALUES]
        country = self.fields.get("country")
        country = country if isinstance(country, str) else None
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


def _first(paths: tuple[Path, ...], record: Tree) -> Tree:
    """The first value that is something. An explicit `false` is kept when there is nothing better."""
    fallback: Tree = None
    for path in paths:
        value = path.find(record)
        if not is_nothing(value):
            return value
        if value is False:
            fallback = False
    return fallback


def _each(value: Tree) -> list[Tree]:
    """A phone field's value, or each item when the CRM keeps a list."""
    items = value if isinstance(value, list) else [value]
    return [item if not isinstance(item, int) or abs(item) < MAX_NUMBER else str(MAX_NUMBER) for item in items]
