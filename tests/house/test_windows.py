"""When it may ring: examples that a person can check with a clock and a calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integration.house import Opening, OpeningKind, Override, in_force, look
from integration.house.zones import load_zone
from tests.house.hours import hours_of, in_zones, week

WORKDAYS = week(mon_fri="09:00-20:00", sat="10:00-18:00")
FEDERAL = week(mon_sun="08:00-21:00")
ALL_DAY = week(mon_sun="00:00-24:00")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, name: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(name))


def kind_and_instant(opening: Opening) -> tuple[str, datetime | None]:
    return opening.kind.value, opening.until or opening.opens_at


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T08:59:59", ("closed", "2026-11-23T09:00")),
        ("2026-11-23T09:00:00", ("open", "2026-11-23T20:00")),
        ("2026-11-23T19:59:59.999999", ("open", "2026-11-23T20:00")),
        ("2026-11-23T20:00:00", ("closed", "2026-11-24T09:00")),
        ("2026-11-27T20:00:00", ("closed", "2026-11-28T10:00")),  # Friday evening: Saturday
        ("2026-11-28T18:00:00", ("closed", "2026-11-30T09:00")),  # Saturday evening: Monday
    ],
)
def test_a_week_opens_and_closes_by_the_wall_clock(at, expected):
    opening = look(hours_of(WORKDAYS), in_zones("Europe/Berlin"), local(at))
    assert kind_and_instant(opening) == (expected[0], local(expected[1]))


def test_every_candidate_zone_must_be_open():
    zones = in_zones("America/New_York", "America/Los_Angeles")
    at_eight_in_new_york = look(hours_of(FEDERAL), zones, utc("2026-11-23T13:00"))
    assert kind_and_instant(at_eight_in_new_york) == ("closed", utc("2026-11-23T16:00"))  # 8:00 in Los Angeles
    at_noon = look(hours_of(FEDERAL), zones, utc("2026-11-23T17:00"))
    assert kind_and_instant(at_noon) == ("open", utc("2026-11-24T02:00"))  # 21:00 in New York


def test_a_countrys_week_replaces_everywhere():
    hours = hours_of(WORKDAYS, us=FEDERAL)
    at = utc("2026-11-23T13:30")  # 8:30 in New York
    assert look(hours, in_zones("America/New_York", countries=["US"]), at).kind is OpeningKind.OPEN
    assert look(hours, in_zones("America/New_York", countries=["CA"]), at).kind is OpeningKind.CLOSED
    assert look(hours, in_zones("America/New_York", countries=["CA", "US"]), at).kind is OpeningKind.CLOSED
    assert look(hours, in_zones("America/New_York", countries=[]), at).kind is OpeningKind.CLOSED


def test_a_country_without_hours_is_never_called():
    opening = look(
        hours_of(None, us=FEDERAL), in_zones("Europe/Berlin", countries=["DE", "US"]), utc("2026-11-23T12:00")
    )
    assert opening.kind is OpeningKind.NEVER
    assert opening.detail == "no calling hours are set for DE; add them, or `everywhere:`, to `hours:`"


def test_without_a_zone_the_lead_is_held_or_the_set_one_is_used():
    nowhere = in_zones()
    held = look(hours_of(WORKDAYS), nowhere, utc("2026-11-23T12:00"))
    assert (held.kind, held.seen) == (OpeningKind.NO_ZONE, ())
    assert "time_zone" in held.detail
    used = look(hours_of(WORKDAYS, unknown_zone="Europe/Berlin"), nowhere, utc("2026-11-23T12:00"))
    assert kind_and_instant(used) == ("open", utc("2026-11-23T19:00"))
    assert [one.zone for one in used.seen] == ["Europe/Berlin"]


def test_all_states_that_may_be_hers_narrow_the_hours():
    hours = hours_of(WORKDAYS, us=FEDERAL)
    texan_with_a_florida_number = in_zones("America/Chicago", countries=["US"], us_states=["FL", "TX"])
    for at, kind in (("08:59", "closed"), ("09:00", "open"), ("19:59", "open"), ("20:00", "closed")):
        opening = look(hours, texan_with_a_florida_number, local(f"2026-11-23T{at}", "America/Chicago"))
        assert opening.kind.value == kind
    sunday = look(hours, texan_with_a_florida_number, local("2026-11-22T11:00", "America/Chicago"))
    assert kind_and_instant(sunday) == ("closed", local("2026-11-22T12:00", "America/Chicago"))
    assert sunday.seen[0].closed_by == "TX: mon-sat 09:00-21:00, sun 12:00-21:00"


def test_a_state_never_widens_the_countrys_hours():
    short = hours_of(us=week(mon_fri="10:00-16:00"))
    zones = in_zones("America/Chicago", countries=["US"], us_states=["TX"])
    opening = look(short, zones, local("2026-11-23T16:00", "America/Chicago"))
    assert kind_and_instant(opening) == ("closed", local("2026-11-24T10:00", "America/Chicago"))


def test_states_can_be_overridden_or_switched_off():
    zones = in_zones("America/Chicago", countries=["US"], us_states=["TX"])
    half_past_eight = local("2026-11-23T08:30", "America/Chicago")
    own = in_force({"TX": Override(week(mon_sun="08:00-18:00"))})
    assert look(hours_of(us=FEDERAL, states=own), zones, half_past_eight).kind is OpeningKind.OPEN
    assert look(hours_of(us=FEDERAL, states={}), zones, half_past_eight).kind is OpeningKind.OPEN
    assert look(hours_of(us=FEDERAL), zones, half_past_eight).kind is OpeningKind.CLOSED


def test_holidays_are_closed_in_states_that_bar_them():
    thanksgiving = local("2026-11-26T12:00", "America/Denver")
    in_utah = in_zones("America/Denver", countries=["US"], us_states=["UT"])
    opening = look(hours_of(us=FEDERAL), in_utah, thanksgiving)
    assert kind_and_instant(opening) == ("closed", local("2026-11-27T08:00", "America/Denver"))
    assert opening.seen[0].closed_by == "UT: mon-sat 08:00-21:00, no holidays: Thanksgiving Day"
    in_colorado = in_zones("America/Denver", countries=["US"], us_states=["CO"])
    assert look(hours_of(us=FEDERAL), in_colorado, thanksgiving).kind is OpeningKind.OPEN


def test_in_spring_a_window_in_the_missing_hour_opens_an_hour_short():
    hours = hours_of(week(sun="02:30-04:00"))
    opening = look(hours, in_zones("Europe/Berlin"), utc("2026-03-29T00:59"))
    assert kind_and_instant(opening) == ("closed", utc("2026-03-29T01:00"))  # the clocks show 3:00
    assert look(hours, in_zones("Europe/Berlin"), utc("2026-03-29T01:00")).until == utc("2026-03-29T02:00")


def test_a_window_that_does_not_exist_on_that_day_is_left_out():
    hours = hours_of(week(sun="02:00-03:00"))
    opening = look(hours, in_zones("Europe/Berlin"), utc("2026-03-28T12:00"))
    assert kind_and_instant(opening) == ("closed", utc("2026-04-05T00:00"))  # a week later, 2:00 again


def test_in_autumn_the_hour_that_comes_twice_is_inside_or_outside_both_times():
    zones = in_zones("Europe/Berlin")
    early = hours_of(week(sun="00:00-02:30"))
    # 0:00-2:59 summer time, then from 2:00 again: open, shut for half an hour, open again for half an hour
    assert look(early, zones, utc("2026-10-24T22:00")).until == utc("2026-10-25T00:30")
    assert kind_and_instant(look(early, zones, utc("2026-10-25T00:30"))) == ("closed", utc("2026-10-25T01:00"))
    assert look(early, zones, utc("2026-10-25T01:00")).until == utc("2026-10-25T01:30")
    long = hours_of(week(sun="00:00-04:00"))
    assert look(long, zones, utc("2026-10-24T22:00")).until == utc("2026-10-25T03:00")  # five hours


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("Asia/Kolkata", "2026-11-23T03:30"),
        ("Asia/Kathmandu", "2026-11-23T03:15"),
        ("Australia/Adelaide", "2026-11-22T22:30"),
        ("Australia/Lord_Howe", "2026-11-22T22:00"),
        ("America/St_Johns", "2026-11-23T12:30"),
        ("Pacific/Kiritimati", "2026-11-22T19:00"),
        ("Pacific/Chatham", "2026-11-22T19:15"),
    ],
)
def test_zones_that_are_no_whole_hours_away(zone, opens):
    monday = utc(opens)
    assert kind_and_instant(look(hours_of(week(mon="09:00-20:00")), in_zones(zone), monday - timedelta(minutes=1))) == (
        "closed",
        monday,
    )


def test_lord_howe_changes_its_clocks_by_half_an_hour():
    hours = hours_of(week(sun="01:00-03:00"))
    opening = look(hours, in_zones("Australia/Lord_Howe"), utc("2026-10-03T14:30"))  # 1:00, half an hour to be skipped
    assert opening.until == utc("2026-10-03T16:00")


def test_all_day_every_day_has_no_end():
    at = utc("2026-11-23T12:34:56")
    opening = look(hours_of(ALL_DAY), in_zones("Europe/Berlin", "Asia/Tokyo"), at)
    assert opening.kind is OpeningKind.OPEN
    assert opening.until >= at + timedelta(days=15)


def test_windows_over_midnight_join():
    hours = hours_of(week(mon="20:00-24:00", tue="00:00-02:00"))
    assert look(hours, in_zones("UTC"), utc("2026-11-23T21:00")).until == utc("2026-11-24T02:00")
    over = hours_of(week(mon="20:00-02:00"))
    assert look(over, in_zones("UTC"), utc("2026-11-24T01:00")).until == utc("2026-11-24T02:00")


def test_windows_that_never_meet_are_told():
    opening = look(hours_of(week(mon="09:00-12:00")), in_zones("Europe/Berlin", "Asia/Tokyo"), utc("2026-11-23T12:00"))
    assert opening.kind is OpeningKind.NEVER
    assert opening.detail == "within 15 days the calling hours never hold in Europe/Berlin, Asia/Tokyo at once"
    assert (opening.until, opening.opens_at) == (None, None)


def test_of_many_zones_a_sentence_names_a_few():
    zones = in_zones(*(f"Australia/{city}" for city in ("Adelaide", "Brisbane", "Eucla", "Perth", "Sydney")))
    assert look(hours_of(week()), zones, utc("2026-11-23T12:00")).detail == (
        "within 15 days the calling hours never hold in Australia/Adelaide, Australia/Brisbane, Australia/Eucla "
        "and 2 more zones at once"
    )


def test_a_week_that_is_never_open():
    opening = look(hours_of(week()), in_zones("Europe/Berlin"), utc("2026-11-23T12:00"))
    assert opening.detail == "within 15 days the calling hours never hold in Europe/Berlin"


def test_the_far_end_of_the_calendar_is_no_error():
    assert look(hours_of(WORKDAYS), in_zones("Europe/Berlin"), utc("9999-12-30T23:00")).kind is OpeningKind.NEVER


def test_evidence_names_zones_local_times_and_the_rule_that_is_not_met():
    zones = in_zones("America/Chicago", "America/New_York", countries=["US"], us_states=["TX"])
    opening = look(hours_of(us=FEDERAL), zones, utc("2026-11-24T02:30"))
    assert opening.saw() == {
        "hours": "closed",
        "rules": ["US: mon-sun 08:00-21:00", "TX: mon-sat 09:00-21:00, sun 12:00-21:00"],
        "local": {"America/Chicago": "2026-11-23T20:30:00-06:00", "America/New_York": "2026-11-23T21:30:00-05:00"},
        "closed_by": {"America/New_York": "US: mon-sun 08:00-21:00"},
        "opens_at": "2026-11-24T15:00:00Z",
    }
    assert opening.detail == "it is mon 21:30 in America/New_York, outside the calling hours (US: mon-sun 08:00-21:00)"
    open_one = look(hours_of(us=FEDERAL), zones, utc("2026-11-23T18:00"))
    assert open_one.saw()["until"] == "2026-11-24T02:00:00Z"
    assert open_one.detail == "within the calling hours until 2026-11-23 21:00 America/New_York"
