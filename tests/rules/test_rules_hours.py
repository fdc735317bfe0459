"""What `check` says of calling hours that can be read."""

from __future__ import annotations

import pytest

from integration.rules import load_rules

FILE = """\
accounts: {us: {id: acc-us}}
phones: {may_call: [US, DE]}
fields: {phone: Phone}
rules: [{name: All, call: us}]
sources:
  crm:
    verify: {scheme: hmac, timestamp_header: X-Time, parts: [timestamp, ".", body], secret: "${SECRET}"}
tests: [{name: One, record: {Phone: "+12125550123"}, expect: {call: us}}]
hours:
"""


def warnings_of(hours: str) -> list[str]:
    rules = load_rules(FILE + hours, name="rules.yaml", environ={"SECRET": "correct-horse-battery"})
    return [f"{one.line}:{one.column}: {one.message}" for one in rules.warnings if "hours:" not in one.message]


@pytest.mark.parametrize(
    ("hours", "warning"),
    [
        ("  everywhere: {mon-sun: closed}", "10:15: no day of `everywhere:` is open"),
        ("  everywhere: {mon: 9:00-10:00}\n  US: {mon-fri: closed}", "11:7: no day of the hours of US is open"),
    ],
)
def test_a_week_that_is_open_on_no_day_is_warned_of(hours: str, warning: str) -> None:
    assert warnings_of(hours) == [f"{warning}, so nobody is called there; is that meant?"]


@pytest.mark.parametrize("window", ["20:00-09:00", "09:00-05:00", "22:00-06:00"])
def test_a_window_that_runs_through_the_night_is_warned_of(window: str) -> None:
    (told,) = warnings_of(f"  everywhere: {{mon-fri: {window}}}")
    assert told.startswith(f"10:25: `{window}` runs over midnight, so people are called at 3 in the morning")
    assert warnings_of("  everywhere: {mon-fri: 20:00-02:00}") == []


def test_hours_of_a_country_that_may_not_be_called_are_warned_of() -> None:
    (told,) = warnings_of("  everywhere: {mon-fri: 09:00-20:00}\n  France: {mon-fri: 10:00-13:00}")
    assert told.startswith("11:3: hours of FR, and `may_call")


def test_a_day_that_is_closed_is_nothing_odd() -> None:
    assert warnings_of("  everywhere: {mon-sat: 09:00-20:00, sun: closed}") == []


@pytest.mark.parametrize(
    ("name", "meant"), [("timezone", "time_zone"), ("Zip", "postal_code"), ("Created-Date", "created_at")]
)
def test_a_field_whose_name_only_looks_like_one_with_a_meaning_is_warned_of(name: str, meant: str) -> None:
    part = "fresh_for" if meant == "created_at" else "hours"
    text = FILE.replace("fields: {phone: Phone}", f"fields: {{phone: Phone, {name}: X}}")
    record = '{Phone: "+12125550123", X: x}'
    text = text.replace('{Phone: "+12125550123"}', record) + "  everywhere: {mon-sun: 09:00-20:00}\nfresh_for: 2 days\n"

    def told(text: str) -> list[str]:
        rules = load_rules(text, name="rules.yaml", environ={"SECRET": "correct-horse-battery"})
        return [one.message for one in rules.warnings if "name of your own" in one.message]

    assert told(text) == [f"`{name}` is a name of your own, and `{part}:` does not look at it; did you mean `{meant}`?"]
    assert told(text.replace(f"{name}: X", f"{name}: X, {meant}: X")) == []
    assert told(text.replace(f"{name}: X", f"{meant}: X")) == []
