"""Why a lead is or is not called, step by step: the engine of `decide`, watched.

An explanation is for the person who holds the payload, so it shows what the record had; a phone number
is masked all the same, because explanations are pasted into tickets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from integration.house import as_judged, tell, when
from integration.model import GO, Decision, DecisionKind, Tree, Verdict
from integration.payload import Path, is_nothing, usable_text
from integration.phone import Phone, PhoneRefused, mask, mask_numbers
from integration.rules.conditions import Check, FieldValues
from integration.rules.decide import decide_traced
from integration.rules.moments import verdict_at
from integration.rules.shapes import Rule, Rules
from integration.rules.yaml_tree import shorten


@dataclass(frozen=True, slots=True)
class NumberTried:
    """One value of the phone field. `used`: it is the number of the lead."""

    path: str
    used: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class RuleTried:
    """One rule. `failed` is the first condition that did not hold; `had` is what the record had there."""

    name: str
    line: int
    fits: bool
    failed: str = ""
    had: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with the way to it."""

    decision: Decision
    source: str
    numbers: tuple[NumberTried, ...]
    rules: tuple[RuleTried, ...]
    verdict: Verdict = GO  # of the moment that was asked about

    def lines(self) -> tuple[str, ...]:
        """The whole story as lines of text for a terminal."""
        shown = [f"source {self.source}, lead {self.decision.record_id or '(no id)'}"]
        shown += [f"number  {'+' if tried.used else '-'} {tried.path}: {tried.verdict}" for tried in self.numbers]
        for rule in self.rules:
            if rule.fits:
                shown.append(f"rule    + {rule.name} (line {rule.line}): fits")
            else:
                shown.append(f"rule    - {rule.name} (line {rule.line}): wants {rule.failed}; {rule.had}")
        for check in self.verdict.checks:
            shown += [f"{told.what:<8}{'+' if told.good else '-'} {told.text}" for told in tell(check)]
        shown.append(f"so      {outcome(self.decision)}")
        if self.verdict.checks:
            shown.append(f"when    {when(self.verdict)}")
        return tuple(shown)


def explain(rules: Rules, source_name: str, tree: Tree, item: int = 0, at: datetime | None = None) -> Explanation:
    """The decision on event `item` of the message `tree`, with every number and rule that was tried. Never raises.

    The verdict is that on a lead that comes in at `at`; without a moment, on what does not depend on one.
    """
    trace = _Remembering()
    decision = decide_traced(rules, source_name, tree, trace, item)
    verdict = verdict_at(rules, decision, at)
    return Explanation(as_judged(decision, verdict), source_name, tuple(trace.numbers), tuple(trace.rules), verdict)


def outcome(decision: Decision) -> str:
    """A decision in one line, with the number masked."""
    match decision.kind:
        case DecisionKind.CALL:
            account = decision.account.key if decision.account is not None else "?"
            return f"call {mask(decision.to or '')} through {account}"
        case DecisionKind.SKIP:
            return f"skip: {decision.detail}"
    return f"{decision.kind.value}: {decision.reason} ({decision.detail})"


@dataclass(slots=True)
class _Remembering:
    numbers: list[NumberTried] = field(default_factory=list)
    rules: list[RuleTried] = field(default_factory=list)
    _chosen: bool = False

    def record(self, found: bool) -> None:
        """Whether a record was found is in the decision itself."""

    def phone(self, path: Path, value: Tree, result: Phone | PhoneRefused) -> None:
        if isinstance(result, Phone):
            verdict = f"{mask(result.e164)} in {result.country}"
            self.numbers.append(
                NumberTried(path.text, not self._chosen, verdict + (", not needed" if self._chosen else ""))
            )
            self._chosen = True
        elif is_nothing(value):
            self.numbers.append(NumberTried(path.text, False, "nothing there"))
        else:
            self.numbers.append(NumberTried(path.text, False, f"{result.reason}: {mask_numbers(result.detail)}"))

    def rule(self, rule: Rule, failed: tuple[str, Check | None] | None, values: FieldValues) -> None:
        if failed is None:
            self.rules.append(RuleTried(rule.name, rule.line, True))
            return
        words, check = failed
        had = "" if check is None else f"{check.field} is {_shown(check.field, values)}"
        self.rules.append(RuleTried(rule.name, rule.line, False, words, had or "none of these holds"))


def _shown(name: str, values: FieldValues) -> str:
    value = values.raw(name)
    if value is None:
        return "not there"
    if name == "phone" and isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return mask_numbers(shorten(usable_text(value) or "blank"))
