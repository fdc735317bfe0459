"""The admin's reference cannot rot: each of its examples loads, and every word of the file is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.cli.judging import declared_names, judge
from integration.crms import preset_names
from integration.model import Reason
from integration.rules import HandshakeKind, load_rules, run_tests
from integration.rules.conditions import Op
from integration.rules.load_conditions import BUILT_IN, JOINS
from integration.rules.load_doors import ANSWERS, HANDSHAKE, TAKEN, TROUBLE
from integration.rules.load_sources import BODIES
from integration.rules.load_sources import KEYS as SOURCE_KEYS
from integration.rules.load_tests import BLOCK_REASONS, PARK_REASONS, PARKED_BEFORE_RECORD
from integration.rules.load_writeback import KEYS as WRITE_BACK_KEYS
from integration.rules.load_writeback import RESULTS
from integration.rules.loader import FINDERS, TOP
from integration.rules.placeholders import CALL_NAMES, KEY_TREES, LEAD_NAMES, WRITEBACK_TREES
from tests.crms.rig import preset_rules

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
DECLARED = {"OUR_CRM_SECRET", "OUR_CRM_TOKEN", "CRM_URL", "CALLBACK_SECRET"}
OWN = ROOT / "config" / "rules.yaml"  # an admin may have made anything of it that `ringback check` takes
SHIPPED = ROOT / "integration" / "demo" / "rules.yaml"


DOUBTED = """
accounts: {us: {id: acc-us}}
phones: {may_call: [US]}
rules: [{name: Asked, when: {CONDITION}, call: us}, {name: Else, when: {employees: {at_least: 900}}, call: us}]
fields: {phone: Phone, country: Country, email: Email, employees: Employees, interest: Interest}
sources: {crm: {verify: {scheme: hmac, header: X-Signature, secret: "${OUR_CRM_SECRET}"}}}
"""


def parts(text: str) -> dict[str, str]:
    """The top-level parts of a file, by key."""
    found = re.split(r"^(\w+):", text, flags=re.MULTILINE)[1:]
    return {key: f"{key}:{rest}" for key, rest in zip(found[::2], found[1::2], strict=True)}


def completed(example: str) -> str:
    """The example with what the smallest file has besides. Sources with fields of their own need none at the top."""
    whole = {**parts(EXAMPLES[0]), **parts(example)}
    if "fields" not in parts(example) and re.search(r"^    (fields|preset):", example, re.MULTILINE):
        del whole["fields"]
    return "\n".join(whole.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=[", ".join(parts(example)) for example in EXAMPLES])
def test_an_example_completed_with_the_smallest_file_loads_and_passes_its_tests(example: str) -> None:
    rules = load_rules(completed(example), name="docs/rules.md", environ={}, declared=DECLARED)
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
        *BODIES,
        *ANSWERS,
        *HANDSHAKE,
        *HandshakeKind,
        *(str(status) for status in (*TAKEN, *TROUBLE)),
        *WRITE_BACK_KEYS,
        *RESULTS,
        *PARK_REASONS,
        *PARKED_BEFORE_RECORD,
        *BLOCK_REASONS,
    ],
)
def test_every_word_of_the_file_is_explained(word: str) -> None:
    assert re.search(rf"`[^`\n]*\b{re.escape(word)}\b[^`\n]*`|^## {re.escape(word)}$", DOCS, re.MULTILINE)


def test_every_reason_to_park_is_either_what_a_test_can_expect_or_what_it_cannot() -> None:
    parking = list(Reason)[: list(Reason).index(Reason.RULE_SKIPS)]  # the model lists them first
    assert sorted([*PARK_REASONS, *PARKED_BEFORE_RECORD]) == sorted(parking)


def test_every_condition_that_the_table_of_warnings_shows_is_warned_about() -> None:
    table = DOCS.partition("| what it warns about | because |")[2].partition("\n\n")[0]
    shown = [row.split(" | ")[0].split("`")[1] for row in table.splitlines() if row.startswith("| `")]
    assert len(shown) > 5
    for condition in shown:
        rules = load_rules(DOUBTED.replace("CONDITION", condition), name="docs", environ={}, declared=DECLARED)
        assert [warning.line for warning in rules.warnings] == [4], condition


@pytest.mark.parametrize("name", [f"lead.{n}" for n in LEAD_NAMES] + [f"call.{n}" for n in CALL_NAMES])
def test_every_placeholder_is_explained(name: str) -> None:
    assert f"`{{{{ {name} }}}}`" in DOCS


@pytest.mark.parametrize("room", sorted({*KEY_TREES, *WRITEBACK_TREES}))
def test_every_placeholder_with_a_path_is_explained(room: str) -> None:
    assert f"`{{{{ {room}.PATH }}}}`" in DOCS


def test_the_table_of_presets_says_what_each_supplies() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| .+? \| `([a-z0-9-]+)`; .+? \| (.+?) \| (\w*) ?\|$", DOCS, re.MULTILINE)
    wanted = []
    for name, source in preset_rules().sources.items():
        where = "" if source.items is None else f", list at `{source.items.text}`"
        wanted.append((name, source.scheme.name, f"{source.body}{where}", "needed" if source.needs_fetch else ""))
    assert rows == wanted
    assert [row[0] for row in rows] == list(preset_names())


def test_the_shipped_rules_load_and_pass_their_tests_without_a_warning() -> None:
    verdict = judge(SHIPPED, {}, {"OUR_CRM_SECRET", "OUR_CRM_TOKEN", "CRM_URL"})
    assert verdict.lines() == []
    assert len(verdict.tests) >= 2


def test_the_rules_of_this_checkout_load_and_pass_their_tests_with_what_is_declared() -> None:
    verdict = judge(OWN, {}, declared_names((ROOT / ".env.example").read_text(encoding="utf-8")))
    assert verdict.is_good, "\n".join(verdict.lines())
