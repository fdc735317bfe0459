"""Runs the tests that stand in the rules file itself, with the engine that decides in production."""

from __future__ import annotations

from integration.model import Decision, DecisionKind, Tree
from integration.payload import fold, paths_in
from integration.rules.decide import decide_record
from integration.rules.shapes import Expectation, Rules, RulesTest, Source, TestResult


def run_tests(rules: Rules) -> tuple[TestResult, ...]:
    """One result for each entry of `tests:`, in their order."""
    return tuple(_run(rules, test) for test in rules.tests)


def _run(rules: Rules, test: RulesTest) -> TestResult:
    decision = decide_record(rules, rules.sources[test.source], test.record)
    passed = _meets(decision, test.expect)
    message = ""
    if not passed:
        message = f"expected {_wanted(test.expect)}; got {_got(decision)}, {_decided_by(decision)}"
        if not _is_known(rules.sources[test.source], test.record):
            message += "; nothing that `fields:` names is in this record: write it as your CRM sends it now"
    return TestResult(test.name, test.line, passed, message, decision)


def _is_known(source: Source, record: Tree) -> bool:
    """Whether the record has anything that `fields:` names. Often `fields:` was adapted and the tests were not."""
    there = set(paths_in(record))
    paths = [path for where in source.fields.values() for path in where.paths]
    return any(path.text in there or path.find(record) is not None for path in paths)


def _meets(decision: Decision, expect: Expectation) -> bool:
    if decision.kind is not expect.kind:
        return False
    match expect.kind:
        case DecisionKind.CALL:
            key = None if decision.account is None else decision.account.key
            return key == expect.account and expect.to in (None, decision.to)
        case DecisionKind.SKIP:
            return fold(decision.detail) == fold(expect.text or "")
    return decision.reason is expect.reason


def _wanted(expect: Expectation) -> str:
    if expect.kind is DecisionKind.CALL:
        return f"call {expect.account}" + (f" to {expect.to}" if expect.to is not None else "")
    return f"{expect.kind.value} {expect.text or expect.reason}"


def _got(decision: Decision) -> str:
    """The number is shown whole: it comes from the test record, which stands in the same file."""
    match decision.kind:
        case DecisionKind.CALL:
            return f"call {decision.account.key if decision.account is not None else '?'} to {decision.to}"
        case DecisionKind.SKIP:
            return f"skip {decision.detail}"
    return f"{decision.kind.value} {decision.reason} ({decision.detail})"


def _decided_by(decision: Decision) -> str:
    if decision.rule_name is None:
        return "no rule decided"
    return f"decided by the rule `{decision.rule_name}` in line {decision.rule_line}"
