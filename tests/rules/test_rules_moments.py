"""What the rules file says of whom we may call and when: how it is read, and its own tests with a moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integration.house import GRANTED, Outside, Stale, Terms
from integration.rules import Rules, load_rules, run_tests

RULES = """\
accounts: {us: {id: acc-us}, old: {id: acc-old}}
phones: {may_call: [US, DE]}
fields: {phone: Phone, country: Country, created_at: Created, consent: Consent}
sources:
  crm:
    verify: {scheme: hmac, header: X-Signature, secret: "${SECRET}"}
"""
BOTH = "rules: [{name: German, when: {country: DE}, call: us}, {name: All, call: old}]\n"
HOURS = "hours: {everywhere: {mon-fri: 09:00-20:00}}\n"
LEAD = {"Phone": "030 9018201", "Country": "DE", "Created": "2026-11-23T09:00:00Z", "Consent": "yes"}
NOON, NIGHT, SUNDAY = "2026-11-23T12:00+01:00", "2026-11-23T22:00+01:00", "2026-11-29T12:00+01:00"


def loaded(*parts: str, rules: str = BOTH) -> Rules:
    return load_rules(RULES + rules + "".join(parts), name="rules.yaml", environ={"SECRET": "0123456789abcdef"})


def said(expect: str, *parts: str, at: str | None = NOON, rules: str = BOTH, **record: str) -> str:
    """What `check` says of one test; empty when it passed."""
    fields = ", ".join(f'{name}: "{value}"' for name, value in {**LEAD, **record}.items())
    moment = "" if at is None else f", at: {at}"
    test = f"tests: [{{name: One, record: {{{fields}}}{moment}, expect: {{{expect}}}}}]\n"
    (result,) = run_tests(loaded(*parts, test, rules=rules))
    return result.message


# ---- how it is read -----------------------------------------------------------------------------


def test_a_file_without_them_asks_nothing() -> None:
    house = loaded().house
    assert (house.terms, house.by_rule, house.hours) == (Terms(), {}, None)


def test_a_rule_has_its_own_terms_in_place_of_those_of_the_file() -> None:
    house = loaded(
        "fresh_for: 2 days\nstale: skip\nconsent: required\nhours: {everywhere: {mon: 09:00-10:00}, outside: skip}\n",
        rules="""rules:
  - {name: Now, when: {country: DE}, call: us, fresh_for: 30 minutes, stale: {call: old}}
  - {name: Any, when: {country: US}, call: us, fresh_for: off, consent: off, outside: wait}
  - {name: Same, call: us}
""",
    ).house
    assert house.terms == Terms(timedelta(days=2), Stale.SKIP, None, GRANTED, Outside.SKIP)
    now, anything = house.terms_of("Now"), house.terms_of("Any")
    assert (now.fresh_for, now.stale, now.consent, now.outside) == (
        timedelta(minutes=30),
        Stale.CALL,
        GRANTED,
        Outside.SKIP,
    )
    assert now.stale_account is not None
    assert now.stale_account.key == "old"
    assert (anything.fresh_for, anything.consent, anything.outside) == (None, None, Outside.WAIT)
    assert house.terms_of("Same") == house.terms


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90 seconds", 90), ("1 minute", 60), ("36 Hours", 129_600), ("2 days", 172_800), ("1  week", 604_800)],
)
def test_a_length_of_time_is_said_in_words(typed: str, seconds: int) -> None:
    assert loaded(f"fresh_for: {typed}\n").house.terms.fresh_for == timedelta(seconds=seconds)


def test_the_spread_is_a_quarter_of_an_hour_unless_it_is_said() -> None:
    assert loaded(HOURS).house.spread == timedelta(minutes=15)
    assert loaded(HOURS.replace("}}", "}, spread: 1 hour}")).house.spread == timedelta(hours=1)
    assert loaded(HOURS.replace("}}", "}, spread: off}")).house.spread == timedelta()


def test_us_states_can_be_switched_off_and_overridden_one_by_one() -> None:
    def states(text: str) -> dict[str, str]:
        hours = loaded(f"hours: {{US: {{mon-sun: 08:00-21:00}}, DE: {{mon: 09:00-10:00}}{text}}}\n").house.hours
        assert hours is not None
        return {name: str(rule.week) for name, rule in hours.us_states.items()}

    listed = states("")
    assert {"FL", "TX", "PA"} <= set(listed)
    assert states(", us_states: off") == {}
    own = states(", us_states: {Texas: {mon-fri: 10:00-17:00}, FL: as listed}")
    assert own == {**listed, "TX": "mon-fri 10:00-17:00"}


class TestWarnings:
    @staticmethod
    def of(*parts: str, rules: str = BOTH) -> list[str]:
        return [f"{one.line}:{one.column}: {one.message}" for one in loaded(*parts, rules=rules).warnings]

    def test_hours_that_leave_out_a_country(self) -> None:
        (told,) = self.of("hours: {US: {mon: 09:00-10:00}}\n")
        assert told == "8:8: `hours:` says nothing of DE: nobody is called there; add `everywhere:`"

    def test_a_freshness_that_is_shorter_than_a_weekend(self) -> None:
        (told,) = self.of(HOURS, "fresh_for: 2 days\n")
        assert told.startswith("9:12: the hours of everywhere are closed for 61 hours at a time, and `fresh_for:` is")
        assert self.of(HOURS, "fresh_for: 3 days\n") == []
        assert self.of(HOURS, "fresh_for: 2 days\nstale: {call: old}\n") == []

    def test_a_stale_without_a_freshness(self) -> None:
        (told,) = self.of("stale: skip\n")
        assert told == "8:8: `stale:` has no effect without `fresh_for:`; add it"

    def test_an_account_that_stale_leads_alone_go_to_is_called(self) -> None:
        rules = "rules: [{name: All, call: us, fresh_for: 2 days, stale: {call: old}}]\n"
        assert self.of(rules=rules) == []

    def test_a_source_without_the_field_of_consent(self) -> None:
        form = '  form: {verify: {scheme: hmac, secret: "${SECRET}"}, fields: {phone: Phone}}\n'
        text = RULES + form + BOTH + "consent: required\n"
        rules = load_rules(text, name="rules.yaml", environ={"SECRET": "0123456789abcdef"})
        (told,) = [one.message for one in rules.warnings]
        assert told.startswith("the fields of form have no `consent`, so that its leads are blocked")


# ---- its own tests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expect", "at", "parts"),
    [
        ("call: us", NOON, HOURS),
        ("wait_until: 2026-11-24T09:00+01:00", NIGHT, HOURS),
        ("wait_until: 2026-11-24T08:00Z, call: us, to: '+49309018201'", NIGHT, HOURS),
        ("wait_until: 2026-11-30T09:00+01:00", SUNDAY, HOURS),
        ("skip: outside_hours", NIGHT, HOURS.replace("}}", "}, outside: skip}")),
        ("park: stale_lead", SUNDAY, "fresh_for: 2 days\n"),
        ("skip: stale_lead", SUNDAY, "fresh_for: 2 days\nstale: skip\n"),
        ("call: old", SUNDAY, "fresh_for: 2 days\nstale: {call: old}\n"),
        ("call: us", NOON, "fresh_for: 2 days\n"),
        ("park: outside_hours", NOON, "hours: {US: {mon: 09:00-10:00}}\n"),
        ("call: us", None, HOURS + "fresh_for: 1 second\n"),  # without a moment the clock is not asked
        ("call: us", NOON, "consent: required\n"),
        ("block: no_consent", NOON, "consent: {is: [phone]}\n"),
        ("block: no_consent", None, "consent: {is: [phone]}\n"),
    ],
)
def test_a_test_may_name_a_moment(expect: str, at: str | None, parts: str) -> None:
    assert said(expect, parts, at=at) == ""


@pytest.mark.parametrize(
    ("expect", "at", "told"),
    [
        ("call: us", NIGHT, "expected call us; got call us to +49309018201, waiting until 2026-11-24T09:00+01:00"),
        ("wait_until: 2026-11-24T09:00+01:00", NOON, "expected a call, waiting until 2026-11-24T09:00+01:00; got"),
        ("wait_until: 2026-11-24T09:01+01:00", NIGHT, "waiting until 2026-11-24T09:01+01:00; got call us to"),
        ("wait_until: 2026-11-24T09:00+01:00, call: old", NIGHT, "expected call old, waiting until"),
        ("skip: our own", NIGHT, "expected skip our own; got call us"),
    ],
)
def test_a_test_that_fails_says_until_when_the_call_would_wait(expect: str, at: str, told: str) -> None:
    assert told in said(expect, HOURS, at=at)
