"""The dates that CRMs write, and those that are not guessed at."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.house.dates import read_instant
from integration.model import Tree

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STAMP = int(NOON.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23T12:00:00Z",
        " 2026-11-23T12:00:00z ",
        "2026-11-23T12:00:00.000+0000",  # Salesforce
        "2026-11-23T13:00:00+01:00",
        "2026-11-23T07:00:00.0000000-05:00",  # .NET
        "2026-11-23 12:00:00 UTC",
        "2026-11-23 07:00:00 -0500",
        "20261123T120000Z",
        "Mon, 23 Nov 2026 12:00:00 GMT",
        "Mon, 23 Nov 2026 13:00:00 +0100",
        f"/Date({STAMP}000)/",
        STAMP,
        STAMP * 1000,
        STAMP * 1_000_000,
        str(STAMP),
        str(STAMP * 1000),
        Decimal(STAMP),
        f"{STAMP}.000",
    ],
)
def test_an_instant_is_read_in_any_usual_form(value: Tree) -> None:
    read = read_instant(value)
    assert read is not None
    assert (read.at, read.has_zone) == (NOON, True)


@pytest.mark.parametrize("value", ["2026-11-23T12:00:00", "2026-11-23 12:00", "2026-11-23 12:00:00.000"])
def test_without_a_zone_it_is_utc_and_says_so(value: str) -> None:
    read = read_instant(value)
    assert read is not None
    assert (read.at, read.has_zone) == (NOON, False)


@pytest.mark.parametrize("value", ["2026-11-23", "20261123"])
def test_a_day_is_its_first_instant(value: str) -> None:
    read = read_instant(value)
    assert read is not None
    assert read.at == NOON.replace(hour=0)


@pytest.mark.parametrize(
    "value",
    [
        "11/23/2026",
        "03/04/2026 10:00",
        "23.11.2026",
        "2026-W48-1",
        "2026-13-01",
        "2026-11-23T25:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "yesterday",
        "",
        " ",
        "12",
        "1.7E9",
        5,
        -STAMP,
        10**40,
        True,
        False,
        None,
        [],
        {},
        "2" * 100,
        "\uff12026-11-23",
    ],
)
def test_what_could_mean_another_day_or_none_is_not_read(value: Tree) -> None:
    assert read_instant(value) is None


@given(st.text() | st.integers() | st.decimals() | st.from_regex(r"[0-9T:Z+./()Date -]{0,40}"))
def test_nothing_raises_and_what_is_read_is_utc(value: Tree) -> None:
    read = read_instant(value)
    assert read is None or read.at.tzinfo is UTC


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.timezones())  # noqa: DTZ001
def test_an_iso_date_is_read_as_it_was_written(at: datetime, zone: object) -> None:
    aware = at.replace(tzinfo=zone, microsecond=0)  # type: ignore[arg-type]
    read = read_instant(aware.isoformat())
    assert read is not None
    assert read.at == aware.astimezone(UTC)
