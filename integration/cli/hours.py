"""`hours`: when people may be called, as the rules say it and the table of US states narrows it."""

from __future__ import annotations

from collections.abc import Mapping

import click

from integration.bootstrap import read_environment_for_rules, read_rules_to_look, rules_path
from integration.cli.terminal import clean, say, say_json, table
from integration.house import Hours, House, Outside, StateRule, Week, in_force
from integration.house.freshness import in_words
from integration.house.us_states import AS_OF, FEDERAL_WEEK
from integration.house.weeks import SHORT_DAYS, clock
from integration.house.zones import tzdata_version

ADVICE = "This supports compliance work and is not legal advice: docs/calling-hours.md says what was read."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the hours as JSON.")
def hours(as_json: bool) -> None:
    """Show the calling hours in force, with the stricter US states.

    Needs no network, database or secrets. Exit code 0; 2 when the rules cannot be used.

    \b
    Example:
      ringback hours
      ringback hours --json
    """
    environ = read_environment_for_rules()
    house = read_rules_to_look(rules_path(environ), environ).house
    if as_json:
        say_json(_as_json(house))
        return
    _say_weeks(house)
    states = in_force({}) if house.hours is None else house.hours.us_states
    if states:
        click.echo()
        rows = [
            (rule.state, clean(rule.week), "closed" if rule.holidays else "as usual", rule.source)
            for rule in states.values()
        ]
        for line in table(("STATE", "HOURS", "HOLIDAYS", "FROM"), rows):
            click.echo(line)
    click.echo()
    say(ADVICE)


def _say_weeks(house: House) -> None:
    if house.hours is None:
        say("The rules have no `hours:`: people are called at any hour. With them, these states would narrow yours:")
        return
    weeks = [(place, str(week)) for place, week in _weeks(house.hours).items()]
    unknown = house.hours.unknown_zone
    facts = [
        *weeks,
        ("zone unknown", "held for a person" if unknown is None else f"as in {unknown}"),
        ("outside", _outside(house)),
        ("time zones", f"tz database {tzdata_version()}"),
        ("US states", f"as of {AS_OF}, cut with the hours of US" if house.hours.us_states else "off"),
    ]
    width = max(len(name) for name, _ in facts) + 2
    for name, fact in facts:
        say(f"{name:<{width}}{fact}", indent=" " * width)
    if _is_wide(house.hours):
        say("warning: the hours of US are wider than the federal ones, 08:00 to 21:00")


def _outside(house: House) -> str:
    if house.terms.outside is Outside.SKIP:
        return "skipped"
    return "wait" + (f", spread over {in_words(house.spread)}" if house.spread else "")


def _weeks(hours: Hours) -> Mapping[str, Week]:
    everywhere = {} if hours.everywhere is None else {"everywhere": hours.everywhere}
    return {**everywhere, **hours.countries}


def _is_wide(hours: Hours) -> bool:
    week = hours.countries.get("US", hours.everywhere)
    return week is not None and week & FEDERAL_WEEK != week


def _as_json(house: House) -> Mapping[str, object]:
    states = in_force({}) if house.hours is None else house.hours.us_states
    return {
        "hours": None if house.hours is None else _hours_as_json(house, house.hours),
        "us_states": {"as_of": str(AS_OF), "states": [_state_as_json(rule) for rule in states.values()]},
        "tz_database": tzdata_version(),
    }


def _hours_as_json(house: House, hours: Hours) -> Mapping[str, object]:
    return {
        "everywhere": None if hours.everywhere is None else _week_as_json(hours.everywhere),
        "countries": {country: _week_as_json(week) for country, week in hours.countries.items()},
        "unknown_zone": hours.unknown_zone,
        "outside": house.terms.outside.value,
        "spread_seconds": house.spread.total_seconds(),
        "wider_than_federal": _is_wide(hours),
    }


def _state_as_json(rule: StateRule) -> Mapping[str, object]:
    return {
        "state": rule.state,
        "name": rule.name,
        "hours": _week_as_json(rule.week),
        "closed_on": sorted(rule.holidays),
        "from": rule.source,
        "overridden": rule.overridden,
    }


def _week_as_json(week: Week) -> Mapping[str, list[str]]:
    return {
        SHORT_DAYS[day]: [f"{clock(begin)}-{clock(end)}" for begin, end in windows]
        for day, windows in enumerate(week.days)
    }
