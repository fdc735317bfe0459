"""Runs the tests that stand in the rules file itself, with the engine that decides in production."""

from __future__ import annotations

from datetime import datetime

from integration.house import as_judged
from integration.model import Decision, DecisionKind, Reason, Tree, Verdict
from integration.payload import fold, paths_in
from integration.rules.decide import decide_record
from integration.rules.moments import verdict_at
from integration.rules.shapes import Expectation, Rules, RulesTest, Source, TestResult


def run_tests(rules: Rules) -> tuple[TestResult, ...]:
    """One result for each entry of `tests:`, in their order."""
    return tuple(_run(rules, test) for test in rules.tests)


def _run(rules: Rules, test: RulesTest) -> TestResult:
    decided = decide_record(rules, rules.sources[test.source], test.record)
    verdict = verdict_at(rules, decided, test.at)
    decision = as_judged(decided, verdict)
    passed = _meets(decision, verdict, test.expect)
    message = ""
    if not passed:
        message = f"expected {_wanted(test.expect)}; got {_got(decision, verdict, test.at)}, {_decided_by(decision)}"
        if not _is_known(rules.sources[test.source], test.record):
            message += "; nothing that `fields:` names is in this record: write it as your CRM sends it now"
    return TestResult(test.name, test.line, passed, message, decision)


def _is_known(source: Source, record: Tree) -> bool:
    """Whether the record has anything that `fields:` names. Often `fields:` was adapted and the tests were not."""
    there = set(paths_in(record))
    paths = [path for where in source.fields.values() for path in where.paths]
    return any(path.text in there or path.find(record) is not None for path in paths)


def _meets(decision: Decision, verdict: Verdict, expect: Expectation) -> bool:
    if decision.kind is not expect.kind:
        return False
    match expect.kind:
        case DecisionKind.CALL:
            key = None if decision.account is None else decision.account.key
            named = expect.account or (None if expect.wait_until is None else key)
            return key == named and expect.to in (None, decision.to) and verdict.opens_at == expect.wait_until
        case DecisionKind.SKIP:
            said = decision.detail if decision.reason is Reason.RULE_SKIPS else str(decision.reason)
            return fold(said) == fold(expect.text or "")
    return decision.reason is expect.reason


def _wanted(expect: Expectation) -> str:
    if expect.kind is DecisionKind.CALL:
        call = f"call {expect.account}" if expect.account is not None else "a call"
        until = "" if expect.wait_until is None else f", waiting until {_iso(expect.wait_until)}"
        return call + (f" to {expect.to}" if expect.to is not None else "") + until
    return f"{expect.kind.value} {expect.text or expect.reason}"


def _got(decision: Decision, verdict: Verdict, at: datetime | None) -> str:
    """The number is shown whole: it comes from the test record, which stands in the same file; so does the zone."""
    match decision.kind:
        case DecisionKind.CALL:
            zone = None if at is None else at.tzinfo
            until = "" if verdict.opens_at is None else f", waiting until {_iso(verdict.opens_at.astimezone(zone))}"
            return f"call {decision.account.key if decision.account is not None else '?'} to {decision.to}{until}"
        case DecisionKind.SKIP if decision.reason is Reason.RULE_SKIPS:
            return f"skip {decision.detail}"
    return f"{decision.kind.value} {decision.reason} ({decision.detail})"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes" if moment.second == 0 else "seconds")


def _decided_by(decision: Decision) -> str:
    if decision.rule_name is None:
        return "no rule decided"
    return f"decided by the rule `{decision.rule_name}` in line {decision.rule_line}"
