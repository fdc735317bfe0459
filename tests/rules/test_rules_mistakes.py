"""Every mistake an admin can make is a file in tests/bad_rules, with its exact message beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.rules import RulesError, load_rules

BAD = Path(__file__).parent.parent / "bad_rules"
SHIPPED = Path(__file__).parents[2] / "integration" / "demo" / "rules.yaml"
ENVIRON = {
    "SECRET": "correct-horse-battery",
    "TOKEN": "a-token",
    "EMPTY": " ",
    "NEWLINE": "a-secret-with-newline\n",
    "BREAK": "one\ntwo",
}

MINIMAL = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US]}
fields: {phone: Phone}
rules: [{name: All, call: us}]
sources:
  crm:
    verify: {scheme: hmac, timestamp_header: X-Time, parts: [timestamp, ".", body], secret: "${SECRET}"}
"""


def mistakes_of(text: str | bytes, environ: dict[str, str] | None = None, declared: set[str] | None = None) -> str:
    with pytest.raises(RulesError) as caught:
        load_rules(text, name="rules.yaml", environ=ENVIRON if environ is None else environ, declared=declared)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_names_the_mistake_its_place_and_what_to_do(path: Path) -> None:
    assert mistakes_of(path.read_bytes()) + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_each_bad_file_has_its_message_and_there_are_many() -> None:
    files = sorted(BAD.iterdir())
    assert {path.stem for path in files if path.suffix == ".yaml"} == {
        path.stem for path in files if path.suffix == ".txt"
    }
    assert len(files) > 250


def test_no_message_shows_the_value_of_a_variable() -> None:
    for path in BAD.glob("*.txt"):
        message = path.read_text(encoding="utf-8")
        assert not any(value.strip() in message for value in ENVIRON.values() if value.strip() not in ("", "one\ntwo"))
        assert "a-token" not in message


def test_a_syntax_error_beside_a_written_secret_does_not_show_it() -> None:
    message = mistakes_of(MINIMAL.replace('"${SECRET}"', "@hunter2hunter2"))
    assert "hunter2" not in message
    assert 'write it as "..."' in message


def test_a_minimal_file_loads_without_a_warning() -> None:
    rules = load_rules(MINIMAL, name="rules.yaml", environ=ENVIRON)
    assert [rule.name for rule in rules.rules] == ["All"]
    assert rules.warnings == ()


def test_the_digest_names_the_bytes_of_the_file() -> None:
    one = load_rules(MINIMAL, name="a", environ=ENVIRON)
    same = load_rules(MINIMAL.encode(), name="b", environ=ENVIRON)
    other = load_rules(MINIMAL + "# a comment\n", name="a", environ=ENVIRON)
    assert one.digest == same.digest
    assert one.digest != other.digest
    assert len(one.digest) == 12


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    raw = b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()
    assert load_rules(raw, name="rules.yaml", environ=ENVIRON).rules[0].line == 4


def test_a_file_of_more_than_a_megabyte_is_refused_unread() -> None:
    message = mistakes_of(MINIMAL + "#" * 1_000_000)
    assert message == (
        f"rules.yaml:1:1: the file has {len(MINIMAL) + 1_000_000:,} bytes; the limit is 1,000,000:"
        " take out what is no rule"
    )


def test_a_file_with_thousands_of_mistakes_shows_the_first_fifty() -> None:
    lines = mistakes_of("rules:\n" + "  - x: 1\n" * 1000).splitlines()
    assert len(lines) == 51
    assert lines[-1].endswith("more; correct these first")


@pytest.mark.parametrize(
    "typed", ["NO", "off", "0044123456", "1_000", "1e3", "21:30", "2024-01-01", "+15551234567", "="]
)
def test_a_value_stays_the_text_that_was_typed(typed: str) -> None:
    text = MINIMAL.replace("{name: All, call: us}", f"{{name: All, skip: {typed}}}")
    assert load_rules(text, name="rules.yaml", environ=ENVIRON).rules[0].skip == typed


TOKENS = [
    *("{", "}", "[", "]", ": ", "- ", "\n", " ", "${X}", "${", "{{", "}}", "'", '"', "#", "&a", "*a", "!!x", "|"),
    *(">", "%", "@", "\t", "null", "", "..", "é", "\u2028", "\ufeff", "DE", "1.000", "any", "<<", "---\n", "\r", "\0"),
    *(
        "\u00a0",
        "\u200b",
        "\u201c",
        "!DE",
        "!",
        "<<<<<<< a\n",
        " #1",
        ", AT",
        ", 000",
        "{{ ${X} }}",
        ">= 5",
        "'s",
        "\u2013 ",
    ),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_edit_of_the_file_escapes_as_another_error(data: st.DataObject) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(TOKENS)) + text[at + data.draw(st.integers(0, 10)) :]
    try:
        load_rules(text, name="rules.yaml", environ={}, declared={"CRM_URL", "OUR_CRM_SECRET", "OUR_CRM_TOKEN"})
        lines = []
    except RulesError as error:
        lines = str(error).splitlines()[:50]
    assert all(re.match(r"rules\.yaml:[1-9]\d*:[1-9]\d*: ", line) for line in lines)


class TestVariables:
    """`${NAME}` when serving and when only checking."""

    def test_check_needs_no_secret_that_is_declared(self) -> None:
        rules = load_rules(
            SHIPPED.read_bytes(),
            name="rules.yaml",
            environ={},
            declared={"CRM_URL", "OUR_CRM_SECRET", "OUR_CRM_TOKEN"},
        )
        assert list(rules.sources) == ["our-crm"]

    def test_check_takes_an_empty_variable_for_one_that_is_not_set(self) -> None:
        load_rules(MINIMAL, name="rules.yaml", environ={"SECRET": ""}, declared={"SECRET"})

    def test_check_wants_a_variable_declared(self) -> None:
        assert mistakes_of(MINIMAL, {}, set()) == (
            "rules.yaml:7:93: ${SECRET} is not declared; add a line `SECRET=` to .env.example"
        )

    def test_serving_wants_it_set_even_when_it_is_declared_somewhere(self) -> None:
        assert mistakes_of(MINIMAL, {}) == "rules.yaml:7:93: ${SECRET} is not set; set SECRET in the environment"

    def test_two_secrets_for_rotation_are_accepted(self) -> None:
        load_rules(MINIMAL, name="rules.yaml", environ={"SECRET": "first-long-secret-1 second-long-secret-2"})

    def test_a_slash_at_the_end_of_an_address_is_not_doubled(self) -> None:
        rules = load_rules(
            MINIMAL + '    write_back: {request: "POST ${CRM}/leads"}\n',
            name="rules.yaml",
            environ={**ENVIRON, "CRM": "https://crm.example.com/"},
        )
        write_back = rules.sources["crm"].write_back
        assert write_back is not None
        assert write_back.address == ("https://crm.example.com/leads",)


class TestWarnings:
    """Things that work and are probably not meant."""

    @staticmethod
    def of(text: str) -> list[str]:
        rules = load_rules(text, name="rules.yaml", environ=ENVIRON)
        return [f"{warning.line}:{warning.column}: {warning.message}" for warning in rules.warnings]

    def test_a_path_that_no_test_record_has(self) -> None:
        text = MINIMAL.replace("{phone: Phone}", "{phone: [MobilPhone, Phone], size: Company.Size}") + (
            "tests:\n  - {name: One, record: {MobilePhone: '', Phone: '+12125550123'}, expect: {call: us}}\n"
        )
        assert self.of(text) == [
            "3:18: `MobilPhone` finds nothing in any test record; did you mean `MobilePhone`?",
            "3:44: `Company.Size` finds nothing in any test record; correct it, or add a test whose record has it",
        ]

    def test_an_account_that_no_rule_calls(self) -> None:
        text = MINIMAL.replace("{us: {id: acc-us}}", "{us: {id: acc-us}, eu: {id: acc-eu}}")
        assert self.of(text) == ["1:30: no rule calls account `eu`; is one missing?"]

    def test_a_secret_that_is_written_in_the_file(self) -> None:
        text = MINIMAL.replace("${SECRET}", "correct-horse-battery") + (
            "    write_back: {request: POST https://crm.example.com/x, bearer: abc}\n"
        )
        assert self.of(text) == [
            "7:93: `secret` is written in this file; put it into a variable and write ${NAME} here",
            "8:67: `bearer:` is written in this file; put it into a variable and write ${NAME} here",
        ]

    def test_a_short_secret(self) -> None:
        rules = load_rules(MINIMAL, name="rules.yaml", environ={"SECRET": "short"})
        assert [warning.line for warning in rules.warnings] == [7]

    @pytest.mark.parametrize("address", ["http://127.0.0.1:8080/x", "http://localhost/x", "https://crm.example.com/x"])
    def test_not_an_address_on_this_machine_or_one_that_is_encrypted(self, address: str) -> None:
        assert self.of(MINIMAL + f"    write_back: {{request: POST {address}}}\n") == []

    def test_an_address_that_is_not_encrypted(self) -> None:
        text = MINIMAL + "    write_back: {request: POST http://crm.example.com/x}\n"
        assert self.of(text) == ["8:27: this address is not encrypted; write https://"]

    def test_a_list_of_hosts_without_effect(self) -> None:
        text = MINIMAL + "    write_back: {request: POST https://crm.example.com/x, allow_hosts: [a.example]}\n"
        assert self.of(text) == ["8:27: `allow_hosts:` has no effect: the host is fixed here"]

    def test_reading_numbers_as_a_country_that_is_never_called(self) -> None:
        text = MINIMAL.replace("{may_call: [US]}", "{may_call: [US], read_as: DE}")
        assert self.of(text) == ["2:35: `read_as: DE` is not in `may_call:`; add it there"]
