"""Where a lead may be: each source alone, all of them together, and what none of them can read."""

from __future__ import annotations

import string
import zoneinfo
from datetime import datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.house import find_zones, read_tables, read_zone
from integration.house.zones import _country_zones, _known, _links, _us_zips, load_zone, read_us_state, tzdata_version

NEW_YORK, CHICAGO, DENVER, PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
MANHATTAN, HOUSTON, BERLIN, LONDON = "+12125550123", "+17135550123", "+493012345678", "+442079460958"


def names(*args, **kwargs) -> set[str]:
    return set(find_zones(*args, **kwargs).found)


# ---- the number ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        (MANHATTAN, {NEW_YORK}),
        (BERLIN, {"Europe/Berlin"}),
        ("+4915123456789", {"Europe/Berlin"}),
        ("+12085551234", {"America/Boise", PACIFIC}),  # Idaho's area code spans two
        ("+919876543210", {"Asia/Kolkata"}),  # by today's name
        ("+61261234567", {"Australia/Sydney"}),
    ],
)
def test_a_number_says_where_it_was_given_out(number, zones):
    assert names(number) == zones


def test_a_number_that_says_only_its_country_may_be_anywhere_in_it():
    russian_mobile = names("+79161234567")
    assert {"Europe/Kaliningrad", "Europe/Moscow", "Asia/Kamchatka"} <= russian_mobile
    assert not russian_mobile & {"Asia/Almaty", "Europe/Bucharest"}  # of those that share the code, or look alike
    assert "Europe/Kaliningrad" in names("+74012123456")
    assert names("+61412345678") == set(_country_zones()["AU"])


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+21312345678", "Africa/Algiers"),  # libphonenumber says Paris
        ("+50521234567", "America/Managua"),  # Chicago
        ("+218212345678", "Africa/Tripoli"),  # Bucharest
        ("+353212345678", "Europe/Dublin"),
        ("+447400123456", "Europe/London"),
    ],
)
def test_a_country_with_one_clock_has_its_own_zone(number, zone):
    assert names(number) == {zone}


@pytest.mark.parametrize("number", ["+447700900123", "+4930123", "+43720123456"])
def test_a_number_of_no_plan_counts_as_its_countrys_where_that_has_one_zone(number):
    assert len(names(number)) == 1


@pytest.mark.parametrize("number", ["", "+", "hello", "+999123456", "+883510000000"])
def test_what_is_no_number_of_a_place_says_nothing(number):
    assert find_zones(number).found == {}


def test_nothing_but_the_country_means_anywhere_in_it():
    zones = find_zones("+15551234567", country="US")
    assert {"Pacific/Honolulu", NEW_YORK, CHICAGO, "America/Adak"} <= set(zones.found)
    assert "Pacific/Guam" not in zones.found
    assert set(zones.found.values()) == {("anywhere in US",)}
    assert {"FL", "TX"} < set(zones.us_states)


def test_a_country_in_which_nothing_says_where_is_everywhere_in_it():
    german_number = find_zones(BERLIN, country="US")
    assert {"Europe/Berlin", NEW_YORK, "Pacific/Honolulu"} <= set(german_number.found)
    assert {"FL", "TX"} < set(german_number.us_states)
    assert {"Europe/London", "America/St_Johns", "America/Vancouver"} <= names(LONDON, country="CA")
    assert names("+14165550123", country="US") > {"America/Toronto", PACIFIC}
    assert names(BERLIN, country="US", time_zone="America/Denver") == {"Europe/Berlin", DENVER}
    assert names(BERLIN, country="US", state="PR") == {"Europe/Berlin", "America/Puerto_Rico"}
    assert names(MANHATTAN, country="US", state="Bavaria") == {NEW_YORK}


# ---- the address ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "state", "postal_code", "zones"),
    [
        ("US", "CA", None, {PACIFIC}),
        ("US", "california", None, {PACIFIC}),
        ("US", "US-CA", None, {PACIFIC}),
        ("US", "TX", None, {CHICAGO, DENVER}),
        ("US", "TX", "77001", {CHICAGO}),
        ("US", "TX", "79901-1234", {DENVER}),
        ("US", "Texas", 79821, {CHICAGO, DENVER}),
        ("US", None, "02139", {NEW_YORK}),
        ("US", None, 2139, {NEW_YORK}),  # a number has lost its zero
        ("US", "OR", "90210", {PACIFIC, "America/Boise"}),  # they contradict each other: both
        ("US", "AZ", None, {"America/Phoenix", DENVER}),
        ("US", "AZ", "85001", {"America/Phoenix"}),
        ("US", "PR", None, {"America/Puerto_Rico"}),
        ("US", "DC", None, {NEW_YORK}),
        ("US", "Washington", None, {PACIFIC}),
        ("CA", "Québec", "H2X 1Y4", {"America/Toronto"}),
        ("CA", "on", "P0T 1A0", {"America/Toronto", "America/Winnipeg"}),
        ("CA", None, "v5k 0a1", {"America/Vancouver", "America/Edmonton", "America/Creston"}),
        ("AU", "NSW", None, {"Australia/Sydney", "Australia/Broken_Hill", "Australia/Lord_Howe"}),
        ("AU", "NSW", "2000", {"Australia/Sydney"}),
        ("AU", "NSW", "2880", {"Australia/Sydney", "Australia/Broken_Hill"}),
        ("AU", "Victoria", "6000", {"Australia/Melbourne", "Australia/Perth"}),
        ("AU", None, 872, {"Australia/Darwin"}),
        ("ES", None, 8001, {"Europe/Madrid"}),
        ("AU", None, "0872", {"Australia/Darwin"}),
        ("BR", "São Paulo", None, {"America/Sao_Paulo"}),
        ("BR", "AM", None, {"America/Manaus", "America/Eirunepe"}),
        ("MX", "Sonora", None, {"America/Hermosillo"}),
        ("MX", "Ciudad de Mexico", None, {"America/Mexico_City"}),
        ("RU", "Москва", None, {"Europe/Moscow"}),
        ("RU", "SA", None, {"Asia/Yakutsk", "Asia/Khandyga", "Asia/Ust-Nera", "Asia/Srednekolymsk"}),
        ("ES", "Madrid", "28013", {"Europe/Madrid"}),
        ("ES", None, "35001", {"Atlantic/Canary"}),
        ("PT", "Lisboa", "9700-123", {"Atlantic/Azores"}),
        ("ID", "Bali", None, {"Asia/Makassar"}),
        ("DE", "Bayern", "80331", {"Europe/Berlin"}),
        ("FR", None, None, {"Europe/Paris"}),
        ("AR", "Córdoba", None, {"America/Argentina/Buenos_Aires"}),  # twelve zones, one clock
        ("IN", None, None, {"Asia/Kolkata"}),
        ("XX", None, None, set()),
    ],
)
def test_an_address_says_where_the_person_lives(country, state, postal_code, zones):
    found = find_zones(LONDON, country=country, state=state, postal_code=postal_code).found
    from_address = {name for name, ways in found.items() if ways != ("country code +44",)}
    assert from_address >= zones if country == "CA" else from_address == zones


@pytest.mark.parametrize(
    ("country", "state", "postal_code", "doubt"),
    [
        ("US", "Bavaria", None, "the field `state` names no state of US that is known"),
        ("US", None, "SW1A 1AA", "the field `postal_code` is no ZIP code of a place"),
        ("US", None, "09123", "the field `postal_code` is no ZIP code of a place"),  # the army's: anywhere
        ("US", "AE", "09123", "the field `state` names no state of US that is known"),
        ("CA", "Texas", None, "the field `state` names no state of CA that is known"),
    ],
)
def test_an_address_that_cannot_be_read_is_a_doubt(country, state, postal_code, doubt):
    zones = find_zones(MANHATTAN, country=country, state=state, postal_code=postal_code)
    assert doubt in zones.doubts
    assert NEW_YORK in zones.found


def test_a_state_without_a_country_is_one_of_the_numbers_country():
    assert names(MANHATTAN, state="CA") == {NEW_YORK, PACIFIC}
    assert names("+14165550123", state="AB") == {"America/Toronto", "America/Edmonton"}


# ---- the field --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("Europe/Berlin", {"Europe/Berlin"}),
        ("europe/berlin", {"Europe/Berlin"}),
        (" America/New York ", {NEW_YORK}),
        ("US/Eastern", {NEW_YORK}),
        ("Asia/Calcutta", {"Asia/Kolkata"}),
        ("america_slash_new_york", {NEW_YORK}),
        ("America/Argentina/Buenos_Aires", {"America/Argentina/Buenos_Aires"}),
        ("Eastern Time (US & Canada)", {NEW_YORK}),
        ("(GMT-05:00) Eastern Time (US & Canada)", {NEW_YORK}),
        ("(GMT-05:00) Eastern Standard Time (America/New_York)", {NEW_YORK}),
        ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
         {f"Europe/{city}" for city in ("Amsterdam", "Berlin", "Rome", "Stockholm", "Vienna")}),
        ("Eastern Standard Time", {NEW_YORK}),
        ("W. Europe Standard Time", {"Europe/Berlin"}),
        ("Berlin", {"Europe/Berlin"}),
        ("Kolkata", {"Asia/Kolkata"}),
        ("EST", {NEW_YORK}),
        ("mst", {DENVER, "America/Phoenix"}),
        ("MEZ", {"Europe/Berlin"}),
        ("UTC", {"Etc/UTC"}),
        ("Etc/GMT+5", {"Etc/GMT+5"}),
    ],
)  # fmt: skip
def test_a_field_names_a_zone_in_any_usual_way(text, zones):
    zones_found = find_zones("+999", time_zone=text)
    assert set(zones_found.found) == zones
    assert zones_found.doubts == ()


@pytest.mark.parametrize(
    "value",
    [
        "GMT+5",
        "-05:00",
        "UTC-5",
        "IST",
        "BST",
        "Factory",
        "../../etc/passwd",
        "Berlin, Atlantis",
        "x" * 500,
        5,
        True,
        ["EST"],
        {},
    ],
)
def test_a_field_that_names_no_zone_is_a_doubt(value):
    zones = find_zones(MANHATTAN, time_zone=value)
    assert zones.doubts == ("the field `time_zone` names no zone that is known",)
    assert set(zones.found) == {NEW_YORK}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("EST", NEW_YORK),
        ("MST", None),
        ("Berlln", None),
        ("", None),
    ],
)
def test_a_setting_names_one_zone(text, name):
    assert read_zone(text) == name


# ---- all together ---------------------------------------------------------------------------------


def test_every_source_adds_its_candidates_and_says_how():
    zones = find_zones(MANHATTAN, time_zone="Mountain Time", country="US", state="TX", postal_code="75201")
    assert zones.found == {
        CHICAGO: ("ZIP code 752..",),
        DENVER: ("the field `time_zone`",),
        NEW_YORK: ("area code 212",),
    }
    assert zones.countries == {"US": ("the record's country", "the number's country")}
    assert zones.us_states == {"NY": ("area code 212",), "TX": ("ZIP code 752..", "state TX")}
    assert zones.saw() == {
        "zones": {CHICAGO: ["ZIP code 752.."], DENVER: ["the field `time_zone`"], NEW_YORK: ["area code 212"]},
        "countries": {"US": ["the record's country", "the number's country"]},
        "us_states": {"NY": ["area code 212"], "TX": ["ZIP code 752..", "state TX"]},
    }


def test_a_number_and_an_address_in_two_countries_are_under_the_hours_of_both():
    zones = find_zones(BERLIN, country="US", state="CA")
    assert set(zones.found) == {"Europe/Berlin", PACIFIC}
    assert set(zones.countries) == {"DE", "US"}
    assert set(zones.us_states) == {"CA"}


def test_a_canadian_or_caribbean_number_is_of_no_us_state():
    assert find_zones("+14165550123").us_states == {}
    assert find_zones("+18765550123").us_states == {}


texts = st.one_of(
    st.none(), st.text(max_size=30), st.integers(), st.booleans(), st.lists(st.text(max_size=3), max_size=2)
)
real_numbers = st.sampled_from([MANHATTAN, HOUSTON, BERLIN, LONDON, "+61412345678", "+14165550123", "+919876543210"])


@settings(deadline=None)
@given(
    st.one_of(real_numbers, st.text(alphabet="+" + string.digits, max_size=16), st.text(max_size=20)),
    texts,
    st.one_of(st.none(), st.sampled_from(["US", "CA", "AU", "RU", "DE", "ES", "XX", "", "us"])),
    texts,
    texts,
)
def test_nothing_in_a_record_is_an_error(number, time_zone, country, state, postal_code):
    zones = find_zones(number, time_zone=time_zone, country=country, state=state, postal_code=postal_code)
    assert all(load_zone(name) for name in zones.found)
    assert list(zones.found) == sorted(zones.found)


def sure(found):
    return {name for name, ways in found.items() if not ways[0].startswith("anywhere")}


@settings(deadline=None)
@given(
    real_numbers,
    st.sampled_from([None, "EST", "Europe/Berlin", "Pacific Time", "nonsense"]),
    st.sampled_from([None, "US", "CA", "AU", "DE"]),
    st.sampled_from([None, "TX", "NY", "ON", "NSW", "Utah"]),
    st.sampled_from([None, "75201", "10001", "84101", "K1A 0B1", "2000"]),
)
def test_one_source_never_takes_a_candidate_from_another(number, time_zone, country, state, postal_code):
    together = find_zones(number, time_zone=time_zone, country=country, state=state, postal_code=postal_code)
    alone = [find_zones(number), find_zones("+999", time_zone=time_zone)]
    alone.append(find_zones("+999", country=country, state=state, postal_code=postal_code))
    for one in alone:
        assert sure(one.found) <= set(together.found)
        assert sure(one.us_states) <= set(together.us_states)
        assert set(one.countries) <= set(together.countries)


def test_the_tables_can_be_read_beforehand():
    read_tables()
    assert _us_zips.cache_info().currsize == _links.cache_info().currsize == 1


# ---- the data of zones ------------------------------------------------------------------------------


def test_every_zone_can_be_loaded_and_is_the_packages_own():
    for name in _known():
        assert isinstance(load_zone(name), ZoneInfo)
    assert tzdata_version() >= "2026"


def test_the_machines_own_zones_are_not_asked(monkeypatch, tmp_path):
    wrong = tmp_path / "Europe/Berlin"
    wrong.parent.mkdir()
    with resources.files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").open("rb") as file:
        wrong.write_bytes(file.read())
    monkeypatch.setenv("TZ", "Mars/Phobos")
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    load_zone.cache_clear()
    try:
        assert datetime(2026, 7, 1, tzinfo=load_zone("Europe/Berlin")).utcoffset() == timedelta(hours=2)
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_empty_field_is_no_doubt(value):
    assert find_zones(MANHATTAN, time_zone=value).doubts == ()


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../zones", "/etc/localtime", "", "Factory"])
def test_what_is_no_zone_is_not_opened(name):
    with pytest.raises(KeyError):
        load_zone(name)


@pytest.mark.parametrize(
    ("text", "state"), [("tx", "TX"), ("Texas", "TX"), ("Bavaria", None), ("D.C.", "DC"), ("", None)]
)
def test_states_are_read_for_the_rules_file(text, state):
    assert read_us_state(text) == state
