"""The admin's reference cannot rot: each of its examples loads, and every word of the file is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.rules import load_rules, run_tests
from integration.rules.conditions import Op
from integration.rules.load_conditions import BUILT_IN, JOINS
from integration.rules.load_sources import KEYS as SOURCE_KEYS
from integration.rules.load_tests import BLOCK_REASONS, PARK_REASONS
from integration.rules.load_writeback import KEYS as WRITE_BACK_KEYS
from integration.rules.load_writeback import RESULTS
from integration.rules.loader import FINDERS, TOP
from integration.rules.placeholders import CALL_NAMES, LEAD_NAMES

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
DECLARED = {"OUR_CRM_SECRET", "OUR_CRM_TOKEN", "CRM_URL", "CALLBACK_SECRET"}
SHIPPED = (ROOT / "config" / "rules.yaml").read_bytes()


def parts(text: str) -> dict[str, str]:
    """The top-level parts of a file, by key."""
    found = re.split(r"^(\w+):", text, flags=re.MULTILINE)[1:]
    return {key: f"{key}:{rest}" for key, rest in zip(found[::2], found[1::2], strict=True)}


@pytest.mark.parametrize("example", EXAMPLES, ids=[", ".join(parts(example)) for example in EXAMPLES])
def test_an_example_completed_with_the_smallest_file_loads_and_passes_its_tests(example: str) -> None:
    text = "\n".join({**parts(EXAMPLES[0]), **parts(example)}.values())
    rules = load_rules(text, name="docs/rules.md", environ={}, declared=DECLARED)
    assert [result.message for result in run_tests(rules) if not result.passed] == []
    assert rules.warnings == ()


def test_there_is_an_example_for_each_part() -> None:
    assert {key for example in EXAMPLES for key in parts(example)} == set(TOP)


@pytest.mark.parametrize(
    "word",
    [
        *TOP,
        *FINDERS,
        "caller_id",
        "may_call",
        "read_as",
        "refuse_fictional",
        "name",
        "when",
        "call",
        "skip",
        *(op.value for op in Op if op is not Op.IS),
        *JOINS,
        *BUILT_IN,
        "jmespath",
        "record",
        "expect",
        "source",
        *SOURCE_KEYS,
        *WRITE_BACK_KEYS,
        *RESULTS,
        *PARK_REASONS,
        *BLOCK_REASONS,
    ],
)
def test_every_word_of_the_file_is_explained(word: str) -> None:
    assert re.search(rf"`[^`\n]*\b{re.escape(word)}\b[^`\n]*`|^## {re.escape(word)}$", DOCS, re.MULTILINE)


@pytest.mark.parametrize("name", [f"lead.{n}" for n in LEAD_NAMES] + [f"call.{n}" for n in CALL_NAMES])
def test_every_placeholder_is_explained(name: str) -> None:
    assert f"`{{{{ {name} }}}}`" in DOCS


def test_the_shipped_rules_load_and_pass_their_tests_with_what_is_declared() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    declared = {line.partition("=")[0].strip("# ") for line in lines if "=" in line}
    rules = load_rules(SHIPPED, name="config/rules.yaml", environ={}, declared=declared)
    results = run_tests(rules)
    assert len(results) >= 2
    assert [result.message for result in results if not result.passed] == []
    assert rules.warnings == ()
