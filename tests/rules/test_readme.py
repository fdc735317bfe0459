"""The README's words about the rules are true: its example loads, and the program says what is quoted there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.rules import RulesError, load_rules, run_tests
from tests.rules.test_rules_docs import parts

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = (ROOT / "integration" / "demo" / "rules.yaml").read_text(encoding="utf-8")
DECLARED = {"OUR_CRM_SECRET", "OUR_CRM_TOKEN", "CRM_URL"}
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_there_is_an_example() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_put_into_the_shipped_file_loads_and_passes_its_tests(example: str) -> None:
    whole = "\n".join({**parts(SHIPPED), **parts(example)}.values())
    rules = load_rules(whole, name="README.md", environ={}, declared=DECLARED)
    assert rules.warnings == ()
    assert [result.message for result in run_tests(rules) if not result.passed] == []


def test_the_mistake_that_is_quoted_is_what_the_program_says() -> None:
    pattern = r"^config/rules\.yaml:(\d+):\d+: .*`([\w-]+)`; did you mean `([\w-]+)`\?$"
    ((line, typed, meant),) = re.findall(pattern, README, re.MULTILINE)
    lines = SHIPPED.splitlines()
    assert meant in lines[int(line) - 1]
    lines[int(line) - 1] = lines[int(line) - 1].replace(meant, typed)
    with pytest.raises(RulesError) as caught:
        load_rules("\n".join(lines), name="config/rules.yaml", environ={}, declared=DECLARED)
    assert str(caught.value) in README.splitlines()


def test_the_rule_in_the_log_that_is_shown_stands_in_that_line() -> None:
    ((name, line),) = re.findall(r'rule="([^"]+)" line=(\d+)', README)
    rules = load_rules(SHIPPED, name="README.md", environ={}, declared=DECLARED)
    assert {rule.name: rule.line for rule in rules.rules}[name] == int(line)
