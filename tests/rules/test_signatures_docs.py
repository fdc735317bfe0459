"""docs/signatures.md cannot rot: it has every kind, every setting and every named scheme, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.crms import scheme_presets
from integration.rules import load_rules
from integration.signatures import Kind, credential, jwt, parts, stamped
from integration.signatures.message import Word
from integration.signatures.scheme import BodyFormat
from integration.signatures.settings import GOOD_HASHES, KEY_FORMATS
from integration.signatures.wire import Encoding, Form, Unit

DOCS = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
HEAD = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US]}
fields: {phone: Phone}
rules: [{name: All, call: us}]
"""
ENVIRON = {
    "OUR_CRM_SECRET": "only-this-test-and-the-sender-know-it",
    "HEX_SECRET": "0123456789abcdef0123456789abcdef",
    "VENDOR_KEY": "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=",
}
SETTINGS = {
    "hmac and hash": parts.HMAC_KEYS | parts.HASH_KEYS,
    "ed25519 and rsa-sha256": parts.PUBLIC_KEYS,
    "static": credential.KEYS,
    "jwt": jwt.KEYS,
    "itsdangerous": stamped.KEYS,
}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_loads(example: str) -> None:
    assert load_rules(HEAD + example, name="docs/signatures.md", environ=ENVIRON).sources


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_part(kind: Kind) -> None:
    assert sum(kind in heading.split(" and ") for heading in PARTS) == 1


@pytest.mark.parametrize("part", SETTINGS)
def test_each_setting_of_a_kind_is_in_its_part_and_no_other_has_a_row(part: str) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PARTS[part], re.MULTILINE))
    assert rows <= SETTINGS[part]
    assert {name for name in SETTINGS[part] if f"`{name}`" not in PARTS[part]} == set()


@pytest.mark.parametrize("word", [*Form, *Encoding, *Unit, *Word, *BodyFormat, *KEY_FORMATS, *GOOD_HASHES])
def test_each_word_of_a_setting_is_explained(word: str) -> None:
    assert f"`{word}`" in DOCS


def test_the_table_has_each_named_scheme_with_its_kind_and_settings() -> None:
    row = r"^\| `([a-z0-9-]+)` \| .+? \| `([a-z0-9-]+)` \| (.*?) ?\|$"
    rows = re.findall(row, PARTS["Named schemes"], re.MULTILINE)
    presets = scheme_presets()
    assert [(name, kind) for name, kind, _ in rows] == [(name, preset["scheme"]) for name, preset in presets.items()]
    for name, _, shown in rows:
        assert set(re.findall(r"(\w+): ", re.sub(r'"[^"]*"|\{[^}]*\}', '""', shown))) == set(presets[name]) - {"scheme"}
