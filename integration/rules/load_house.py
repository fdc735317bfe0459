"""Reads the rules of the house: `hours:`, and `fresh_for:`, `stale:` and `consent:` of the file and of a rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from integration.house import (
    GRANTED,
    MIDNIGHT,
    BadHours,
    Hours,
    Outside,
    Override,
    Stale,
    Terms,
    Week,
    clock,
    in_force,
    read_days,
    read_us_state,
    read_windows,
    read_zone,
)
from integration.house.freshness import in_words
from integration.model import Account
from integration.payload import fold
from integration.rules.load_conditions import country_word, plain_word
from integration.rules.reader import Reader, nearest
from integration.rules.yaml_tree import Block, Items, Node, Scalar, shorten

TERMS = ("fresh_for", "stale", "consent")  # at the top of the file
RULE_TERMS = (*TERMS, "outside")  # in a rule; for all leads `outside:` stands under `hours:`
HOURS = ("everywhere", "us_states", "unknown_zone", "outside", "spread")
OFF = "off"
_CONSENT = ("required", OFF)
_AS_LISTED = "as listed"
_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_SPAN = re.compile(rf"([0-9]{{1,6}})\s+({'|'.join(_UNITS)})s?", re.IGNORECASE)
_SHORT_SPAN = re.compile(r"([0-9]{1,6})\s*([smhdw])[a-z]*\.?", re.IGNORECASE)
_LONGEST = timedelta(days=3650)
_LONGEST_SPREAD = timedelta(hours=12)
_LATE_AT_NIGHT = 3 * 60  # minutes after midnight
DEFAULT_SPREAD = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class HoursRead:
    """What stands under `hours:`."""

    hours: Hours
    outside: Outside
    spread: timedelta


# ---- hours --------------------------------------------------------------------------------------


def read_hours(reader: Reader, node: Node | None, may_call: frozenset[str]) -> HoursRead | None:
    """The calling hours, or None when there are none or they cannot be used."""
    if isinstance(node, Scalar):
        message = "`hours:` wants places with their weeks, like `everywhere: {mon-fri: 09:00-20:00}`; without `hours:`"
        reader.wrong(node, f"{message} people are called at any hour")
        return None
    block = reader.block(node, "`hours:`")
    if block is None:
        return None
    _warn_of_countries_never_called(reader, block, may_call)
    known, countries = _parts(reader, block)
    everywhere = _week(reader, known["everywhere"], "`everywhere:`") if "everywhere" in known else None
    if "everywhere" not in known:
        left_out = sorted(may_call - set(countries))
        if left_out:
            message = f"`hours:` says nothing of {', '.join(left_out)}: nobody is called there; add `everywhere:`"
            reader.warn(block.line, block.column, message)
    zone = _unknown_zone(reader, known["unknown_zone"]) if "unknown_zone" in known else None
    states = in_force(_us_states(reader, known.get("us_states")))
    if _is_off(known.get("us_states")):
        states = {}
    return HoursRead(
        Hours(everywhere, countries, states, zone),
        read_outside(reader, known.get("outside")) or Outside.WAIT,
        _spread(reader, known.get("spread")),
    )


def _warn_of_countries_never_called(reader: Reader, block: Block, may_call: frozenset[str]) -> None:
    for key, _ in block.entries if may_call else ():
        country = None if key.text in HOURS else country_word(Reader({}, None), key, "`hours:`")
        if country is not None and country not in may_call:
            message = f"hours of {country}, and `may_call:` does not list it: a number there is always blocked"
            reader.warn(key.line, key.column, f"{message}; add {country} to `may_call:`, or take it out here")


def _parts(reader: Reader, block: Block) -> tuple[dict[str, Node], dict[str, Week]]:
    """The keys that are known, and the weeks of countries."""
    known: dict[str, Node] = {}
    countries: dict[str, Week] = {}
    for key, value in reader.entries(block, HOURS):
        if key.text in HOURS:
            known[key.text] = value
            continue
        country = _country(reader, key)
        if country is None:
            continue
        if country in countries:
            reader.wrong(key, f"the hours of {country} stand here twice; keep one")
        week = _week(reader, value, f"the hours of {country}")
        if week is not None:
            countries[country] = week
    return known, countries


def _country(reader: Reader, key: Scalar) -> str | None:
    """The country that a key names. What is no country is more likely a key that was mistyped."""
    quiet = Reader({}, None)
    country = country_word(quiet, key, "`hours:`")
    if country is None:
        help_ = f"and it is no country; {nearest(key.text, HOURS)}"
        if _names_days(key.text):
            help_ = "because hours belong to a place; write `everywhere:` and put the days below it"
        reader.wrong(key, f"`hours:` has no key `{shorten(key.text)}`, {help_}")
    return country


def _names_days(text: str) -> bool:
    try:
        return bool(read_days(text))
    except BadHours:
        return False


def _week(reader: Reader, node: Node, what: str) -> Week | None:
    if isinstance(node, Scalar):
        reader.wrong(node, f"{what} wants days with their times, like `{{mon-fri: 09:00-20:00}}`")
        return None
    block = reader.block(node, what)
    if block is None:
        return None
    days = _days(reader, reader.entries(block), what)
    if days is not None and not any(days.values()):
        reader.warn(block.line, block.column, f"no day of {what} is open, so nobody is called there; is that meant?")
    return None if days is None else Week.of(days)


def _days(
    reader: Reader, entries: Sequence[tuple[Scalar, Node]], what: str
) -> dict[int, Sequence[tuple[int, int]]] | None:
    days: dict[int, Sequence[tuple[int, int]]] = {}
    before = len(reader.mistakes)
    for key, value in entries:
        try:
            named = read_days(key.text)
        except BadHours as error:
            several = "several stretches of a day are a list: `[09:00-12:00, 14:00-18:00]`"
            reader.wrong(key, several if key.text.isdigit() else str(error))
            continue
        twice = [day for day in named if day in days]
        if twice:
            reader.wrong(key, f"{what} names a day twice; keep one of them")
        texts = [reader.text(item, f"`{shorten(key.text)}:`") for item in reader.one_or_more(value, what)]
        try:
            windows = read_windows([text.strip() for text in texts if text is not None])
        except BadHours as error:
            reader.wrong(value, str(error))
            continue
        if any(end > MIDNIGHT + _LATE_AT_NIGHT for _, end in windows):
            _warn_of_a_night(reader, value, windows)
        days.update(dict.fromkeys(named, windows))
    return days if len(reader.mistakes) == before else None


def _warn_of_a_night(reader: Reader, node: Node, windows: Sequence[tuple[int, int]]) -> None:
    """Times that were swapped, or are those of a clock of 12 hours, would ring people in their sleep."""
    begin, end = next(window for window in windows if window[1] > MIDNIGHT + _LATE_AT_NIGHT)
    message = f"`{clock(begin)}-{clock(end - MIDNIGHT)}` runs over midnight, so people are called at 3 in the morning"
    reader.warn(node.line, node.column, f"{message}; is that meant?")


def _us_states(reader: Reader, node: Node | None) -> dict[str, Override]:
    if node is None or _is_off(node):
        return {}
    if isinstance(node, Scalar):
        reader.wrong(node, "`us_states:` wants states with their hours, or `off`; left out, the listed hours apply")
        return {}
    block = reader.block(node, "`us_states:`")
    overrides: dict[str, Override] = {}
    for key, value in reader.entries(block) if block is not None else ():
        state = read_us_state(key.text)
        if state is None:
            reader.wrong(key, f"`{shorten(key.text)}` is no state of the US; write its two letters, like TX")
            continue
        if state in overrides:
            reader.wrong(key, f"{state} stands here twice; keep one")
        override = _override(reader, value, state)
        if override is not None:
            overrides[state] = override
    return overrides


def _override(reader: Reader, node: Node, state: str) -> Override | None:
    """One state's own hours; None for `as listed`."""
    if isinstance(node, Scalar) and fold(node.text) == _AS_LISTED:
        return None
    if not isinstance(node, Block) or not node.entries:
        reader.wrong(node, f"{state} wants its hours, like `{{mon-sat: 09:00-20:00}}`, or `{_AS_LISTED}`")
        return None
    entries = reader.entries(node)
    days = _days(reader, [entry for entry in entries if entry[0].text != "holidays"], f"the hours of {state}")
    holidays = next((value for key, value in entries if key.text == "holidays"), None)
    word = None if holidays is None else _one_of(reader, holidays, "`holidays:`", ("open", "closed"))
    return None if days is None else Override(Week.of(days), None if word is None else word == "closed")


def _unknown_zone(reader: Reader, node: Node) -> str | None:
    text = reader.text(node, "`unknown_zone:`")
    if text is None or fold(text) == "hold":
        return None
    zone = read_zone(text.strip())
    if zone is None:
        reader.wrong(node, f"`{shorten(text)}` is no time zone; write one like Europe/Berlin, or `hold`")
    return zone


def read_outside(reader: Reader, node: Node | None) -> Outside | None:
    """What becomes of a lead outside the hours."""
    if node is None:
        return None
    word = _one_of(reader, node, "`outside:`", tuple(Outside))
    return None if word is None else Outside(word)


def _spread(reader: Reader, node: Node | None) -> timedelta:
    if node is None:
        return DEFAULT_SPREAD
    if _is_off(node):
        return timedelta()
    span = read_span(reader, node, "`spread:`", "15 minutes")
    if span is not None and span > _LONGEST_SPREAD:
        reader.wrong(node, "`spread:` can be 12 hours at most")
    return span or DEFAULT_SPREAD


def warn_of_long_nights(reader: Reader, node: Node, hours: Hours, terms: Terms) -> None:
    """A lead that comes when the hours close may be too old when they open."""
    if terms.fresh_for is None or terms.stale is Stale.CALL or terms.outside is Outside.SKIP:
        return
    weeks = {**({} if hours.everywhere is None else {"everywhere": hours.everywhere}), **hours.countries}
    nights = {name: night for name, week in weeks.items() if (night := _longest_night(week)) is not None}
    name = max(nights, key=lambda one: nights[one], default="")
    if name and nights[name] >= terms.fresh_for:
        message = (
            f"the hours of {name} are closed for {in_words(nights[name])} at a time, and `fresh_for:` is no longer:"
            " a lead that comes in between is too old before anybody may be called"
        )
        reader.warn(node.line, node.column, message)


def _longest_night(week: Week) -> timedelta | None:
    """The longest time for which a week is closed; None when it never opens."""
    windows = [(day * 1440 + first, day * 1440 + last) for day, found in enumerate(week.days) for first, last in found]
    if not windows:
        return None
    following = [*windows[1:], (windows[0][0] + 7 * 1440, 0)]
    return timedelta(minutes=max(after[0] - window[1] for window, after in zip(windows, following, strict=True)))


# ---- freshness and consent ----------------------------------------------------------------------


def read_terms(reader: Reader, parts: Mapping[str, Node], base: Terms, accounts: Mapping[str, Account]) -> Terms:
    """The terms of the file, or of a rule, where `base` holds for what it leaves out."""
    terms = base
    if "fresh_for" in parts:
        terms = replace(terms, fresh_for=_fresh_for(reader, parts["fresh_for"]))
    if "stale" in parts:
        terms = _stale(reader, parts["stale"], terms, accounts)
        if terms.fresh_for is None:
            place = parts["stale"]
            reader.warn(place.line, place.column, "`stale:` has no effect without `fresh_for:`; add it")
    if "consent" in parts:
        terms = replace(terms, consent=_consent(reader, parts["consent"]))
    if "outside" in parts:
        terms = replace(terms, outside=read_outside(reader, parts["outside"]) or terms.outside)
    return terms


def _fresh_for(reader: Reader, node: Node) -> timedelta | None:
    if _is_off(node):
        return None
    span = read_span(reader, node, "`fresh_for:`", "2 days")
    if span is not None and not timedelta() < span <= _LONGEST:
        reader.wrong(node, "`fresh_for:` wants a length of time from 1 second to 10 years")
    return span


def _stale(reader: Reader, node: Node, terms: Terms, accounts: Mapping[str, Account]) -> Terms:
    if isinstance(node, Block):
        found = reader.keys(node, "`stale:`", ("call",)) or {}
        account = read_account(reader, found.get("call"), accounts)
        return replace(terms, stale=Stale.CALL, stale_account=account)
    word = _one_of(reader, node, "`stale:`", (Stale.HOLD, Stale.SKIP), "; another account is `{call: ACCOUNT}`")
    return terms if word is None else replace(terms, stale=Stale(word), stale_account=None)


def _consent(reader: Reader, node: Node) -> frozenset[str] | None:
    if isinstance(node, Items):
        reader.wrong(node, "`consent:` wants the values that count under `is`: `{is: [yes, opt-in]}`")
        return None
    if not isinstance(node, Block):
        word = _one_of(reader, node, "`consent:`", _CONSENT, "; single values are `{is: [yes, opt-in]}`")
        return GRANTED if word == "required" else None
    found = reader.keys(node, "`consent:`", ("is",)) or {}
    if "is" not in found:
        return None
    words = [plain_word(reader, item, "`is:`") for item in reader.one_or_more(found["is"], "`is:`")]
    return frozenset(fold(word) for word in words if word is not None)


def read_account(reader: Reader, node: Node | None, accounts: Mapping[str, Account]) -> Account | None:
    """The account that `call:` names."""
    key = reader.text(node, "`call:`")
    if node is None or key is None:
        return None
    if accounts and key.strip() not in accounts:  # without any, that is the mistake
        reader.wrong(node, f"no account is called `{shorten(key)}`; {nearest(key, accounts)}")
    return accounts.get(key.strip())


# ---- words --------------------------------------------------------------------------------------


def read_span(reader: Reader, node: Node, what: str, example: str) -> timedelta | None:
    """A length of time in words: `2 days`, `90 minutes`."""
    text = reader.text(node, what)
    if text is None:
        return None
    read = _SPAN.fullmatch(text.strip())
    if read is not None:
        return timedelta(seconds=int(read.group(1)) * _UNITS[read.group(2).lower()])
    short = _SHORT_SPAN.fullmatch(text.strip())
    meant = example
    if short is not None and not fold(short.group(0)).endswith(("month", "months")):
        unit = next(unit for unit in _UNITS if unit[0] == short.group(2).lower())
        meant = f"{short.group(1)} {unit}" + ("" if short.group(1) == "1" else "s")
    reader.wrong(node, f"{what} wants a length of time, not `{shorten(text, 20)}`; write it like `{meant}`")
    return None


def _one_of(reader: Reader, node: Node, what: str, words: Sequence[str], more: str = "") -> str | None:
    text = reader.text(node, what)
    if text is None:
        return None
    if fold(text) in words:
        return fold(text)
    shown = " or ".join(f"`{word}`" for word in words)
    reader.wrong(node, f"{what} wants {shown}, not `{shorten(text, 20)}`{more}")
    return None


def _is_off(node: Node | None) -> bool:
    return isinstance(node, Scalar) and fold(node.text) == OFF
