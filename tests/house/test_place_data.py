"""The tables of places agree with each other and with the libraries that know a part of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import phonenumbers
import pytest
from babel.core import get_global
from phonenumbers import geocoder, timezone

from integration.countries import name_key
from integration.house import place_data
from integration.house.zones import (
    _aliases,
    _area_codes,
    _country_zones,
    _current_name,
    _known,
    _span,
    _states,
    _us_zip_zones,
    _us_zips,
    load_zone,
    us_state_name,
)

# What libphonenumber's geocoder calls some places.
SPELLINGS = {"Washington State": "Washington", "Washington D.C.": "District of Columbia"}
NOT_OF_A_PLACE = {"500", "521", "522", "523", "524", "525", "526", "527", "528", "529", "532", "533", "544", "566"} | {
    *("577", "588", "800", "833", "844", "855", "866", "877", "888", "900")
}


def listed_zones() -> set[str]:
    tables = [*place_data.STATES.values(), *place_data.POSTAL_ZONES.values()]
    names = {names for table in tables for names in table}
    names |= {*place_data.US_ZIP_ZONES, *place_data.ZONE_ALIASES, *place_data.WINDOWS_ZONES.values()}
    return {name for several in names for name in several.split()}


def test_every_zone_of_the_tables_exists():
    assert listed_zones() <= _known()


def test_the_tables_of_states_use_zones_of_their_country():
    for country, table in place_data.STATES.items():
        for names in table:
            for name in names.split():
                where = [code for code, zones in _country_zones().items() if _current_name(name) in zones]
                assert country in where or where == ["PR"] or set(where) & place_data.US_TERRITORIES, name


@pytest.mark.parametrize("country", sorted(place_data.STATES))
def test_no_two_states_share_a_name(country):
    keys = Counter()
    for table in place_data.STATES[country].values():
        for entry in table.split(", "):
            keys.update({name_key(spelling) for spelling in entry.split("=")})
    assert [key for key, count in keys.items() if count > 1] == []
    assert all(_states(country).codes)


def test_every_us_area_code_has_the_state_that_libphonenumber_names():
    for area in range(200, 1000):
        number = phonenumbers.parse(f"+1{area}2345678")
        if phonenumbers.region_code_for_number(number) != "US" or str(area) in NOT_OF_A_PLACE:
            continue
        state = _area_codes()[str(area)]
        told = geocoder.description_for_number(number, "en")
        name = SPELLINGS.get(told, told)
        assert name in (us_state_name(state), "United States") or name.endswith(f", {state}"), (area, state, told)
    assert set(_area_codes().values()) == set(_states("US").codes.values()) - place_data.US_TERRITORIES


def test_area_codes_lie_in_zones_of_their_state():
    # Clocks rather than names: libphonenumber says America/Denver where the table says America/Boise.
    at = [datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)]

    def clocks(names):
        return {tuple(moment.astimezone(load_zone(name)).utcoffset() for moment in at) for name in names}

    for area, state in _area_codes().items():
        number = phonenumbers.parse(f"+1{area}2345678")
        zones = timezone.time_zones_for_number(number)
        if zones != ("Etc/Unknown",):
            assert clocks(zones) <= clocks(_states("US").zones[state]), (area, state, zones)


def test_every_zip_prefix_lies_in_one_state_and_in_its_zones():
    spans = [entry.split()[0] for entry in place_data.US_ZIPS.split(", ")]
    total = sum(int(span[-3:]) - int(span[:3]) + 1 for span in spans)
    assert total == len(_us_zips())
    for prefix, names in _us_zip_zones().items():
        state = _us_zips()[prefix]
        assert set(names) <= {*_states("US").zones[state], "America/New_York"}, (prefix, state)
    listed = [prefix for entry in place_data.US_ZIP_ZONES.values() for prefix in _spans(entry)]
    assert len(listed) == len(set(listed)) == len(_us_zip_zones())


def _spans(entry: str) -> list[str]:
    return [prefix for span in entry.split(", ") for prefix in _span(span)]


@pytest.mark.parametrize(
    ("zip_code", "state", "zones"),
    [
        ("00501", "NY", {"America/New_York"}),
        ("32401", "FL", {"America/New_York", "America/Chicago"}),  # Panama City's prefix reaches over the border
        ("32501", "FL", {"America/Chicago"}),
        ("33101", "FL", {"America/New_York"}),
        ("37201", "TN", {"America/Chicago"}),
        ("37901", "TN", {"America/New_York"}),
        ("37402", "TN", {"America/New_York"}),
        ("42101", "KY", {"America/Chicago"}),
        ("40202", "KY", {"America/New_York"}),
        ("46402", "IN", {"America/Chicago"}),
        ("46204", "IN", {"America/Indiana/Indianapolis"}),
        ("49801", "MI", {"America/Detroit", "America/Menominee"}),
        ("57701", "SD", {"America/Denver"}),
        ("58601", "ND", {"America/Chicago", "America/Denver"}),
        ("67735", "KS", {"America/Chicago", "America/Denver"}),
        ("69301", "NE", {"America/Denver"}),
        ("79901", "TX", {"America/Denver"}),
        ("83814", "ID", {"America/Los_Angeles"}),
        ("83702", "ID", {"America/Boise"}),
        ("89101", "NV", {"America/Los_Angeles"}),
        ("89883", "NV", {"America/Los_Angeles", "America/Denver"}),
        ("97914", "OR", {"America/Boise", "America/Los_Angeles"}),
        ("86515", "AZ", {"America/Phoenix", "America/Denver"}),
        ("96815", "HI", {"Pacific/Honolulu"}),
        ("99546", "AK", {"America/Anchorage", "America/Adak"}),
        ("36867", "AL", {"America/Chicago", "America/New_York"}),
    ],
)
def test_zip_codes_of_towns_that_everybody_can_look_up(zip_code, state, zones):
    assert _us_zips()[zip_code[:3]] == state
    assert set(_us_zip_zones().get(zip_code[:3]) or _states("US").zones[state]) == zones


def test_the_names_of_windows_are_those_of_cldr():
    assert dict(get_global("windows_zone_mapping")) == place_data.WINDOWS_ZONES
    for name, zone in place_data.WINDOWS_ZONES.items():
        assert _aliases()[name_key(name)] == (_current_name(zone),), name


def test_no_alias_says_something_else_than_the_zone_of_that_name():
    for zones, spellings in place_data.ZONE_ALIASES.items():
        for spelling in spellings.split(", "):
            assert _aliases()[name_key(spelling)] == tuple(zones.split()), spelling
