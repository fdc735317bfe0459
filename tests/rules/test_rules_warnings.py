"""Conditions that can be read and are most likely not meant: a warning with the words to write, and no more."""

from __future__ import annotations

import pytest

from integration.rules import load_rules, run_tests

ENDS = " (A test whose record has exactly this ends the warning.)"
ENVIRON = {"SECRET": "correct-horse-battery"}
FILE = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US, DE]}
fields: {phone: Phone, country: Country, email: Email, size: Size, interest: Interest, stage: Stage}
rules:
  - name: Asked
    when: WHEN
    ACTION
  - {name: All, call: us}
sources:
  crm:
    verify: {scheme: hmac, timestamp_header: X-Time, parts: [timestamp, ".", body], secret: "${SECRET}"}
    only: ONLY
tests:
  - {name: One, record: RECORD, expect: {call: us}}
"""
RECORD = '{Phone: "+12125550123", Country: US, Email: a@b.example, Size: 800, Interest: Web, Stage: 3}'


def warnings_of(when: str, *, action: str = "call: us", only: str = "{type: new}", record: str = RECORD) -> list[str]:
    text = FILE.replace("WHEN", when).replace("ACTION", action).replace("ONLY", only).replace("RECORD", record)
    rules = load_rules(text, name="rules.yaml", environ=ENVIRON)
    return [f"{warning.line}:{warning.column}: {warning.message}" for warning in rules.warnings]


STAR = "`*` is no wildcard here but a character"
PHONE = "`phone` is always a number like +4930901820, so"
NEVER = (
    "this rule calls, and `may_call:` does not list NO: a number there is always blocked;"
    " add NO to `may_call:`, or take it out here"
)
TYPOGRAPHIC = "typographic quotes belong to the value here; use straight ones"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("{email: {ends_with: \u201c@b.example\u201d}}", f"6:31: {TYPOGRAPHIC}"),
        ("{email: {ends_with: [\u2018@b.example\u2019]}}", f"6:32: {TYPOGRAPHIC}"),
        ("{interest: \u201edemo\u201c}", f"6:22: {TYPOGRAPHIC}"),
        ('{email: "*@b.example"}', f'6:19: {STAR}; did you mean `{{ends_with: "@b.example"}}`?{ENDS}'),
        ('{interest: "demo*"}', f'6:22: {STAR}; did you mean `{{starts_with: "demo"}}`?{ENDS}'),
        ('{interest: "*demo*"}', f'6:22: {STAR}; did you mean `{{contains: "demo"}}`?{ENDS}'),
        ('{interest: "*"}', f"6:22: {STAR}; did you mean `{{exists: true}}`?{ENDS}"),
        ('{interest: {contains: "*demo*"}}', f"6:33: {STAR}; take it out{ENDS}"),
        (
            '{email: {is_not: "*@b.example"}}',
            f'6:28: {STAR}; did you mean `not: {{email: {{ends_with: "@b.example"}}}}`?{ENDS}',
        ),
        (
            "{email: gmail.com}",
            f'6:19: `gmail.com` is no whole address; did you mean `{{ends_with: "@gmail.com"}}`?{ENDS}',
        ),
        (
            '{any: [{email: "@gmail.com"}]}',
            f'6:26: `@gmail.com` is no whole address; did you mean `{{ends_with: "@gmail.com"}}`?{ENDS}',
        ),
        (
            '{phone: {starts_with: "030"}}',
            f"6:33: {PHONE} `030` cannot stand there; begin with `+` and the country code",
        ),
        (
            '{not: {phone: {starts_with: "0049"}}}',
            f"6:39: {PHONE} `0049` cannot stand there; begin with `+` and the country code",
        ),
        (
            '{phone: {starts_with: "+49 30"}}',
            f"6:33: {PHONE} `+49 30` cannot stand there; write it without spaces and signs",
        ),
        ('{phone: {ends_with: "(0)"}}', f"6:31: {PHONE} `(0)` cannot stand there; write it without spaces and signs"),
        ("{phone: {contains: abc}}", f"6:30: {PHONE} `abc` cannot stand there; write digits"),
        (
            "{size: 500-1000}",
            f"6:18: `500-1000` is compared as a text; did you mean `{{at_least: 500, at_most: 1000}}`?{ENDS}",
        ),
        (
            "{size: 500 to 1000}",
            f"6:18: `500 to 1000` is compared as a text; did you mean `{{at_least: 500, at_most: 1000}}`?{ENDS}",
        ),
        ("{size: 500+}", f"6:18: `500+` is compared as a text; did you mean `{{at_least: 500}}`?{ENDS}"),
        ('{size: ">= 1,500"}', f"6:18: `>= 1,500` is compared as a text; did you mean `{{at_least: 1500}}`?{ENDS}"),
        (
            '{size: "<500"}',
            "6:18: `<500` is compared as a text; did you mean `{at_most: 500}`, which includes 500 itself?" + ENDS,
        ),
        (
            "{size: 500}",
            f"6:18: exactly 500 is meant here; did you mean `{{at_least: 500}}` or `{{at_most: 500}}`?{ENDS}",
        ),
        ('{interest: "!demo"}', f"6:22: `!` does not mean `not` here; did you mean `{{is_not: demo}}`?{ENDS}"),
        (
            "{interest: d\u0435mo}",
            f"6:22: `d\u0435mo` holds letters of another alphabet; type it again as `demo`{ENDS}",
        ),
        (
            "{country: [US, NO]}",
            f"6:26: {NEVER}",
        ),
        (
            "{number_country: Norway}",
            f"6:28: {NEVER}",
        ),
    ],
)
def test_a_condition_that_is_probably_not_meant(when: str, message: str) -> None:
    assert warnings_of(when) == [message]


@pytest.mark.parametrize(
    "when",
    [
        "{email: a@b.example}",
        "{email: {ends_with: gmail.com}}",
        "{interest: gmail.com}",
        "{interest: '\u201cquoted\u201d'}",
        "{interest: \u201cquoted\u201d and \u201cquoted\u201d}",
        '{phone: {starts_with: "+49"}}',
        '{phone: {contains: "30"}}',
        '{phone: {ends_with: "1234"}}',
        '{phone: "+493012345678"}',
        "{interest: 2024-01}",
        "{interest: 030-1234}",
        "{interest: 1000-500}",
        "{interest: '500'}",
        "{stage: 17}",
        "{size: [500, 600]}",
        "{size: 800}",
        "{size: {at_least: 500}}",
        "{interest: \u0434\u0435\u043c\u043e}",
        "{interest: \u041f\u0440\u0438\u0432\u0435\u0442 PHP}",
        "{interest: \u0421\u0421\u0421\u0420}",
        "{country: {is_not: NO}}",
        "{not: {country: NO}}",
        "{source: crm}",
    ],
)
def test_a_condition_that_may_well_be_meant(when: str) -> None:
    assert warnings_of(when) == []


def test_a_country_that_is_never_called_may_be_skipped() -> None:
    assert warnings_of("{country: NO}", action="skip: Norway is not ours") == []


@pytest.mark.parametrize(
    ("when", "value"),
    [("{size: 500-1000}", "500-1000"), ("{size: 500}", "'500'"), ('{email: "*"}', "' * '"), ("{email: b.eu}", "B.EU")],
)
def test_a_test_record_with_exactly_this_value_ends_the_warning(when: str, value: str) -> None:
    record = RECORD.replace("800", value).replace("a@b.example", value)
    assert warnings_of(when, record=record) == []


def test_a_number_is_doubted_where_another_rule_asks_the_size() -> None:
    record = RECORD.replace("800", "n/a")
    assert warnings_of("{size: 500}", record=record) == []
    assert warnings_of("{any: [{size: 500}, {size: {at_least: 900}}]}", record=record) == [
        f"6:25: exactly 500 is meant here; did you mean `{{at_least: 500}}` or `{{at_most: 500}}`?{ENDS}"
    ]


def test_a_wildcard_in_only_is_doubted_too() -> None:
    assert warnings_of("{interest: demo}", only='{type: "lead.*"}') == [
        '12:18: `*` is no wildcard here but a character; did you mean `{starts_with: "lead."}`?'
    ]


def test_a_name_in_typographic_quotes() -> None:
    assert warnings_of("{interest: demo}", action="skip: \u00abnot ours\u00bb") == [f"7:11: {TYPOGRAPHIC}"]


def test_a_test_that_fails_because_its_record_is_of_another_crm_says_so() -> None:
    text = FILE.replace("WHEN", "{interest: demo}").replace("ACTION", "call: us").replace("ONLY", "{type: new}")
    for record, hint in (("{telefon: '+12125550123'}", True), ("{Country: US}", False)):
        rules = load_rules(text.replace("RECORD", record), name="rules.yaml", environ=ENVIRON)
        (result,) = run_tests(rules)
        assert not result.passed
        assert ("nothing that `fields:` names is in this record" in result.message) is hint
