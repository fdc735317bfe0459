from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.http import retry_after_seconds

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

# Row D13 of the failure catalogue, and what else servers send.
ROWS: list[tuple[str | None, float | None]] = [
    ("120", 120.0),
    (" 120 ", 120.0),
    ("1.5", 1.5),
    ("0", 1.0),
    ("0.2", 1.0),
    ("3600", 3600.0),
    ("3601", 3600.0),
    ("1e99", 3600.0),
    ("9" * 40, 3600.0),
    ("Mon, 23 Nov 2026 12:02:00 GMT", 120.0),
    ("Monday, 23-Nov-26 12:02:00 GMT", 120.0),
    ("Mon Nov 23 12:02:00 2026", 120.0),
    ("Mon, 23 Nov 2026 13:02:00 +0100", 120.0),
    ("Mon, 23 Nov 2026 11:00:00 GMT", 1.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    (None, None),
    ("", None),
    ("-5", None),
    ("abc", None),
    ("nan", None),
    ("inf", None),
    ("1_000", None),
    ("0x10", None),
    ("١٢٠", None),
    ("120, 120", None),
    ("Mon, 99 Nov 2026 12:02:00 GMT", None),
    ("9" * 5000, None),
]


@pytest.mark.parametrize(("value", "seconds"), ROWS, ids=[repr(row[0])[:40] for row in ROWS])
def test_it_reads_what_servers_ask_for(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text(max_size=60) | st.from_regex(r"[0-9eE.+\-, :A-Za-z]{0,40}", fullmatch=True))
def test_it_never_raises_and_stays_within_a_second_and_an_hour(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or 1.0 <= seconds <= 3600.0
