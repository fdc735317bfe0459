"""In which time zones a person may be, from what a record and its number say.

No source is trusted alone: a mobile number is kept through three moves, an address is where the bill goes, and a CRM's
field may hold its own default. So every zone that one of them names is a candidate, and a call must be within the hours
of all of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone

from integration.countries import name_key
from integration.house.place_data import (
    POSTAL_ZONES,
    STATES,
    US_AREA_CODES,
    US_TERRITORIES,
    US_ZIP_ZONES,
    US_ZIPS,
    WINDOWS_ZONES,
    ZONE_ALIASES,
)
from integration.model import Tree

MAX_TEXT = 120  # characters of a field that still names a zone, a state or a postal code
ONLY_ISLANDS = frozenset({"ES", "PT"})  # countries of which not every state is listed
POSTAL_DIGITS = {"AU": 4, "ES": 5}
NORTH_AMERICA = 1  # the country code that twenty countries share


@dataclass(frozen=True, slots=True)
class Zones:
    """Where the called person may be. Each name maps to how it was found, in words without personal data."""

    found: Mapping[str, tuple[str, ...]]  # IANA name -> e.g. ("area code 212", "state NY"); empty: nothing is known
    countries: Mapping[str, tuple[str, ...]]  # ISO codes whose hours apply -> how they were found
    us_states: Mapping[str, tuple[str, ...]]  # "TX" -> how it was found; from the address and from the area code
    doubts: tuple[str, ...] = ()  # what was given and not understood, e.g. "the field `time_zone` names no zone"

    def saw(self) -> Mapping[str, Tree]:
        """The same as evidence."""
        saw: dict[str, Tree] = {"zones": _listed(self.found), "countries": _listed(self.countries)}
        if self.us_states:
            saw["us_states"] = _listed(self.us_states)
        if self.doubts:
            saw["doubts"] = list(self.doubts)
        return saw


def find_zones(
    number: str,
    *,
    time_zone: Tree = None,
    country: str | None = None,
    state: Tree = None,
    postal_code: Tree = None,
) -> Zones:
    """The candidates for one lead. Never raises: what cannot be read is a doubt.

    `number` is E.164; `country` the record's ISO code; the others are the record's fields as they came.
    """
    search = _Search()
    parsed = _parse(number)
    number_country = None if parsed is None else _country_of(parsed)
    if country is not None:
        search.countries.setdefault(country, []).append("the record's country")
    if number_country is not None:
        search.countries.setdefault(number_country, []).append("the number's country")
    search.field(time_zone)
    # A record that names a state and no country is read as one of the number's country.
    search.address(country or number_country, state, postal_code, is_given=country is not None)
    if parsed is not None and number_country is not None:
        search.number(parsed, number_country)
    search.anywhere()
    return search.done()


def read_zone(text: str) -> str | None:
    """The name of one zone in the tz database, for settings such as `unknown_zone:`. None when it is none."""
    names = _zones_named(text)
    return names[0] if len(names) == 1 else None


@cache
def load_zone(name: str) -> ZoneInfo:
    """The zone, with the rules of the locked `tzdata`. Raises KeyError when there is no such zone.

    The system's own copy is not asked: it may be missing or of another year, and each machine must say the same.
    """
    if name not in _known():
        raise KeyError(name)
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def read_tables() -> None:
    """Read what the first lead would otherwise wait for: some 10 ms."""
    for read in (_aliases, _known_folded, _links, _area_codes, _us_zips, _us_zip_zones):
        read()
    for country in STATES:
        _states(country)


def tzdata_version() -> str:
    """The release of the tz database whose rules are used, e.g. `2026f`."""
    first, *_ = resources.files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text("utf-8").splitlines()
    return first.rpartition(" ")[2]  # "# version 2026f"


# ---- the search -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Search:
    """What was found so far, and how."""

    zones: dict[str, list[str]] = field(default_factory=dict)
    countries: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, list[str]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)  # countries in which a source has said where

    def add(self, names: Collection[str], how: str, country: str | None = None) -> None:
        if country is not None and names:
            self.placed.add(country)
        for name in names:
            ways = self.zones.setdefault(_current_name(name), [])
            if how not in ways:
                ways.append(how)

    def field(self, value: Tree) -> None:
        """What the record itself says."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        names = _zones_named(value) if isinstance(value, str) else ()
        self.add(names, "the field `time_zone`")
        if not names:
            self.doubts.append("the field `time_zone` names no zone that is known")

    def address(self, country: str | None, state: Tree, postal_code: Tree, *, is_given: bool) -> None:
        if country is None:
            return
        if country == "US":
            self._us_address(state, postal_code)
        elif country in STATES:
            self._address(country, state, postal_code)
        elif is_given and (only := _only_zone(country)) is not None:
            self.add([only], f"the record's country {country}", country)

    def _us_address(self, state: Tree, postal_code: Tree) -> None:
        code = self._state("US", state)
        prefix = _zip_prefix(postal_code)
        zip_state = None if prefix is None else _us_zips().get(prefix)
        if zip_state is None and _text(postal_code):
            self.doubts.append("the field `postal_code` is no ZIP code of a place")
        if prefix is not None and zip_state is not None:
            self.states.setdefault(zip_state, []).append(f"ZIP code {prefix}..")
            self.add(_us_zip_zones().get(prefix) or _states("US").zones[zip_state], f"ZIP code {prefix}..", "US")
        if code is not None:
            self.states.setdefault(code, []).append(f"state {code}")
            if code != zip_state:  # else the ZIP code has said it more exactly
                self.add(_states("US").zones[code], f"state {code}", "US")

    def _address(self, country: str, state: Tree, postal_code: Tree) -> None:
        code = self._state(country, state)
        names = _postal_zones(country, postal_code)
        of_state = () if code is None else _states(country).zones[code]
        self.add(names, "the beginning of the postal code", country)
        if code is not None and not set(names) & set(of_state):
            self.add(of_state, f"state {code}", country)

    def _state(self, country: str, state: Tree) -> str | None:
        text = _text(state)
        if not text:
            return None
        known = _states(country).codes
        code = known.get(name_key(text)) or known.get(name_key(text.removeprefix(f"{country}-")))
        if code is None and country not in ONLY_ISLANDS:
            self.doubts.append(f"the field `state` names no state of {country} that is known")
        return code

    def number(self, parsed: phonenumbers.PhoneNumber, country: str) -> None:
        area = str(parsed.national_number)[:3] if parsed.country_code == NORTH_AMERICA else ""
        how = f"area code {area}" if area else f"country code +{parsed.country_code}"
        self.add(_zones_of_number(parsed, country), how, country)
        state = _area_codes().get(area) if country == "US" else None
        if state is not None:
            self.states.setdefault(state, []).append(how)

    def anywhere(self) -> None:
        """In each country that is named and in which nothing says where, the person may be anywhere."""
        for country in self.countries:
            if country not in self.placed and not self.zones.keys() & set(_country_zones().get(country, ())):
                self.add(_all_zones(country), f"anywhere in {country}")
                for state in US_AREA_CODES if country == "US" else ():
                    self.states.setdefault(state, []).append("anywhere in US")

    def done(self) -> Zones:
        return Zones(_sorted(self.zones), _sorted(self.countries), _sorted(self.states), tuple(self.doubts))


def _sorted(ways: Mapping[str, list[str]]) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(ways[name]) for name in sorted(ways)}


def _listed(ways: Mapping[str, tuple[str, ...]]) -> dict[str, Tree]:
    return {name: list(how) for name, how in ways.items()}


def _text(value: Tree) -> str:
    """A field's text; a whole number counts as its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**MAX_TEXT else ""
    return value.strip() if isinstance(value, str) and len(value) <= MAX_TEXT else ""


# ---- the number -------------------------------------------------------------------------------


def _parse(number: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None


def _country_of(parsed: phonenumbers.PhoneNumber) -> str | None:
    """The number's country; of one that exists in no plan, such as the tutorial's +1 555, the code's main country."""
    region = phonenumbers.region_code_for_number(parsed)
    if region is None and parsed.country_code is not None:
        region = phonenumbers.region_code_for_country_code(parsed.country_code)
    return None if region in (None, "ZZ", "001") else str(region)


def _zones_of_number(parsed: phonenumbers.PhoneNumber, country: str) -> Collection[str]:
    """Where numbers like this are given out.

    libphonenumber knows the parts of a country, and takes some countries' hours roughly: for it Algeria keeps those of
    Paris and Kaliningrad those of Bucharest, which is an hour wrong for half the year. So what the tz database says of
    the country comes first, and a zone of another country means that only the country is known.
    """
    only = _only_zone(country)
    if only is not None:
        return [only]
    names = [_current_name(name) for name in timezone.time_zones_for_number(parsed) if name in _known()]
    own = _country_zones().get(country, ())
    return names if not own or set(names) <= set(own) else _all_zones(country)


@cache
def _area_codes() -> Mapping[str, str]:
    return {area: state for state, areas in US_AREA_CODES.items() for area in areas.split()}


# ---- the address ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _States:
    codes: Mapping[str, str]  # a name's key -> the code
    zones: Mapping[str, tuple[str, ...]]  # the code -> zones
    names: Mapping[str, str]  # the code -> the name


@cache
def _states(country: str) -> _States:
    codes: dict[str, str] = {}
    zones: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    for where, listed in STATES[country].items():
        for entry in listed.split(", "):
            code, *spellings = entry.split("=")
            codes |= {name_key(spelling): code for spelling in (code, *spellings)}
            zones[code] = tuple(where.split())
            names[code] = spellings[0]
    return _States(codes, zones, names)


@cache
def _all_zones(country: str) -> tuple[str, ...]:
    """Every zone of a country; of the US, those of the states: the tz database has more, which agree with these."""
    if country != "US":
        return _country_zones().get(country, ())
    zones = (names for code, names in _states("US").zones.items() if code not in US_TERRITORIES)
    return tuple(dict.fromkeys(name for names in zones for name in names))


def read_us_state(text: str) -> str | None:
    """The two letters of a US state that a text names; None when it names none."""
    return _states("US").codes.get(name_key(text)) if len(text) <= MAX_TEXT else None


def us_state_name(code: str) -> str:
    """`TX` -> `Texas`."""
    return _states("US").names[code]


def _zip_prefix(value: Tree) -> str | None:
    """The first three digits of a ZIP code. A number has lost its leading zeros."""
    text = _text(value)
    if isinstance(value, int) or re.fullmatch(r"[0-9]{3,4}", text):
        text = text.zfill(5)
    match = re.fullmatch(r"([0-9]{3})[0-9]{2}(?:[- ]?[0-9]{4})?", text)
    return None if match is None else match[1]


@cache
def _us_zips() -> Mapping[str, str]:
    pairs = (entry.split() for entry in US_ZIPS.split(", "))
    return {prefix: state for where, state in pairs for prefix in _span(where)}


@cache
def _us_zip_zones() -> Mapping[str, tuple[str, ...]]:
    return {
        prefix: tuple(names.split())
        for names, spans in US_ZIP_ZONES.items()
        for span in spans.split(", ")
        for prefix in _span(span)
    }


def _postal_zones(country: str, value: Tree) -> tuple[str, ...]:
    text = _text(value).upper()
    if text.isdigit():
        text = text.zfill(POSTAL_DIGITS.get(country, 0))  # a number has lost its leading zeros
    for names, spans in POSTAL_ZONES.get(country, {}).items():
        for span in spans.split(", "):
            first, _, last = span.partition("-")
            begin = text[: len(first)]
            if len(text) >= len(first) and first <= begin <= (last or first) and begin.isdigit() == first.isdigit():
                return tuple(names.split())
    return ()


def _span(span: str) -> list[str]:
    """`010-012` -> 010, 011, 012."""
    first, _, last = span.partition("-")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last or first) + 1)]


# ---- names of zones ---------------------------------------------------------------------------


def _zones_named(text: str) -> tuple[str, ...]:
    """The zones that a text names: in the tz database's way, Windows's, a city's, or one that CRMs use."""
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        return ()
    plain = re.sub(r"^\((?:UTC|GMT)[^)]*\)\s*", "", text)  # (UTC-05:00) Eastern Time (US & Canada)
    plain = plain.replace("_slash_", "/").replace("_hyphen_", "-")  # HubSpot's way
    aliases = _aliases()
    if (named := aliases.get(name_key(plain))) is not None:
        return named
    if (known := _known_folded().get(plain.replace(" ", "_").lower())) is not None:
        return (known,)
    inside = re.search(r"\b[A-Za-z]+/[A-Za-z_/+-]+", plain)  # ... Eastern Standard Time (America/New_York)
    if inside is not None and (known := _known_folded().get(inside[0].lower())) is not None:
        return (known,)
    # Amsterdam, Berlin, Bern, Rome: every one of them must be known, so that none is lost.
    cities = [aliases.get(name_key(city)) for city in plain.split(",")]
    if len(cities) > 1:
        return tuple(dict.fromkeys(name for names in cities if names for name in names)) if all(cities) else ()
    return ()


@cache
def _aliases() -> Mapping[str, tuple[str, ...]]:
    """Keys of names -> zones. A city stands for its zone where only one is named after it."""
    cities: dict[str, list[str]] = {}
    for names in _country_zones().values():
        for name in names:
            cities.setdefault(name_key(name.rpartition("/")[2].replace("_", " ")), []).append(name)
    aliases: dict[str, tuple[str, ...]] = {city: (names[0],) for city, names in cities.items() if len(set(names)) == 1}
    aliases |= {name_key(name): (_current_name(zone),) for name, zone in WINDOWS_ZONES.items()}
    for zones, spellings in ZONE_ALIASES.items():
        aliases |= {name_key(spelling): tuple(zones.split()) for spelling in spellings.split(", ")}
    return aliases


@cache
def _known() -> frozenset[str]:
    """Every zone of the tz database that is a place or a fixed distance from UTC."""
    names = resources.files("tzdata").joinpath("zones").read_text("utf-8").split()
    return frozenset(names) - {"Factory", "Etc/Unknown"}


@cache
def _known_folded() -> Mapping[str, str]:
    return {name.lower(): _current_name(name) for name in _known()}


@cache
def _country_zones() -> Mapping[str, tuple[str, ...]]:
    """ISO code -> its zones by their current names; the most populous first."""
    zones: dict[str, tuple[str, ...]] = {}
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            zones[country] = (*zones.get(country, ()), name)
    return zones


@cache
def _links() -> Mapping[str, str]:
    """Other names -> today's: Asia/Calcutta -> Asia/Kolkata."""
    text = resources.files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if line.startswith("L "))
    return {other: target for _, target, other in lines}


@cache
def _current_name(name: str) -> str:
    """Today's name of a zone. One that a country uses is that already, whatever the tz database links it to."""
    return name if name in _of_countries() else _links().get(name, name)


@cache
def _of_countries() -> frozenset[str]:
    return frozenset(name for names in _country_zones().values() for name in names)


# Two zones that agree at all these moments are taken for one clock.
_SAMPLES = tuple(datetime(year, month, 15, 12, tzinfo=UTC) for year in (2026, 2029, 2032) for month in (1, 4, 7, 10))


@cache
def _only_zone(country: str) -> str | None:
    """The zone of a country that has one, or several that show the same time; else None."""
    if country in STATES:
        return None
    names = _country_zones().get(country, ())
    clocks = {tuple(at.astimezone(load_zone(name)).utcoffset() for at in _SAMPLES) for name in names}
    return names[0] if len(clocks) == 1 else None
