"""`ringback hours`: what a person sees of the hours in force."""

from __future__ import annotations

import json

from tests.cli.conftest import RULES

HOURS = """\
hours:
  everywhere: {mon-fri: 09:00-20:00, sat: [10:00-12:00, 14:00-18:00]}
  US: {mon-sat: 08:00-21:00, sun: 12:00-20:00}
  us_states: {TX: {mon-fri: 09:00-18:00}, CA: {mon-fri: 10:00-18:00, holidays: closed}, FL: as listed}
  unknown_zone: Europe/Berlin
  outside: skip
"""


def with_hours(desk, hours: str = HOURS):
    desk.write("config/rules.yaml", RULES + hours)
    return desk


def test_it_shows_weeks_and_the_table_with_the_files_own_entries(desk):
    result = with_hours(desk)("hours")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "everywhere    mon-fri 09:00-20:00, sat 10:00-12:00 and 14:00-18:00",
        "US            mon-sat 08:00-21:00, sun 12:00-20:00",
        "zone unknown  as in Europe/Berlin",
        "outside       skipped",
    ]
    states = {line.split()[0]: line for line in lines[7:] if line}
    assert states["TX"].split("  ")[-1] == "the rules file"
    assert "mon-fri 10:00-18:00" in states["CA"]
    assert "closed" in states["CA"]
    assert "mon-sun 08:00-20:00" in states["FL"]
    assert "legal advice" in result.stdout
    assert "warning" not in result.stdout


def test_leads_outside_the_hours_wait_and_are_spread(desk):
    hours = "hours: {everywhere: {mon-fri: 09:00-20:00}, spread: 90 minutes}\n"
    assert "outside       wait, spread over 90 minutes" in with_hours(desk, hours)("hours").stdout
    assert "outside       wait\n" in with_hours(desk, hours.replace("90 minutes", "off"))("hours").stdout


def test_it_shows_the_same_as_json(desk):
    result = with_hours(desk)("hours", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["hours"]["everywhere"]["sat"] == ["10:00-12:00", "14:00-18:00"]
    assert told["hours"]["countries"]["US"]["sun"] == ["12:00-20:00"]
    assert told["hours"]["unknown_zone"] == "Europe/Berlin"
    assert (told["hours"]["outside"], told["hours"]["spread_seconds"]) == ("skip", 900)
    assert told["hours"]["wider_than_federal"] is False
    states = {one["state"]: one for one in told["us_states"]["states"]}
    assert states["TX"]["overridden"]
    assert states["TX"]["hours"]["sat"] == []
    assert states["CA"]["closed_on"] == ["federal"]
    assert "Pioneer Day" in states["UT"]["closed_on"]
    assert told["us_states"]["as_of"].startswith("20")
    assert told["tz_database"].startswith("20")


def test_rules_without_hours_are_told_so_and_what_would_hold(desk):
    result = desk("hours")
    assert result.exit_code == 0
    assert result.stdout.startswith("The rules have no `hours:`: people are called at any hour.")
    assert "mon-sat 09:00-21:00, sun 12:00-21:00" in result.stdout
    assert json.loads(desk("hours", "--json").stdout)["hours"] is None


def test_the_states_switched_off_are_not_shown(desk):
    result = with_hours(desk, "hours: {everywhere: {mon-fri: 09:00-20:00}, us_states: off}\n")("hours")
    assert "US states     off" in result.stdout
    assert "STATE" not in result.stdout
    assert "warning" not in result.stdout


def test_hours_wider_than_the_federal_ones_are_warned_of(desk):
    for wide in ("hours: {everywhere: {mon-sun: 08:00-21:30}}\n", "hours: {US: {mon: 00:00-24:00}}\n"):
        result = with_hours(desk, wide)("hours")
        assert "warning: the hours of US are wider than the federal ones, 08:00 to 21:00" in result.stdout
    narrow = "hours: {everywhere: {mon-sun: 00:00-24:00}, US: {mon: 09:00-17:00}}\n"
    assert "warning" not in with_hours(desk, narrow)("hours").stdout


def test_rules_that_cannot_be_used_are_told_and_end_with_2(desk):
    result = with_hours(desk, "hours: {everywhere: {mo: 9-5}}\n")("hours")
    assert result.exit_code == 2
    assert "`mo` is no day" in result.stderr
