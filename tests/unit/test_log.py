"""The log: whole lines, no empty values, no text of an exception, and no harm from a reader that went away."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from integration import log
from integration.log import describe_error, get_log, set_up_logging


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    set_up_logging("info", stream)
    yield stream
    logging.getLogger().handlers.clear()


def test_a_line_holds_the_event_and_its_values_and_no_empty_ones(lines: io.StringIO):
    get_log().info("call.placed", lead=12, call_id="a b", detail=None)
    assert lines.getvalue().split(" ", 1)[1] == 'level=info event=call.placed lead=12 call_id="a b"\n'


def test_what_a_stranger_sends_cannot_begin_a_line_of_its_own(lines: io.StringIO):
    get_log().info("webhook.refused", source="x\nlevel=info event=call.placed")
    assert lines.getvalue().count("\n") == 1


def test_what_a_stranger_sends_cannot_steer_a_terminal(lines: io.StringIO):
    get_log().info("webhook.refused", source="x\ry\x1b[2Jz\x85\u2028")
    assert lines.getvalue().endswith("source=x\\ry\\x1b[2Jz\\x85\\u2028\n")


class Untold:
    def __str__(self) -> str:
        raise ZeroDivisionError("canary-secret")


@pytest.mark.parametrize("values", [{"detail": Untold()}, {"a key": 1}], ids=["a value", "a key"])
def test_a_line_that_cannot_be_written_is_told_as_such(lines: io.StringIO, values: dict[str, object]):
    get_log().info("call.placed", lead=1, **values)
    get_log().info("call.placed", lead=2)
    told, last = lines.getvalue().splitlines()
    assert "level=error event=log.failed lost=call.placed" in told
    assert "canary-secret" not in told
    assert last.endswith("lead=2")


def test_a_line_that_cannot_be_written_costs_no_other_line():
    program = """
from integration.log import flush_log, get_log, set_up_logging
class Untold:
    __str__ = None
set_up_logging("info")
for lead in (1, Untold(), 3):
    get_log().info("call.placed", lead=lead)
flush_log(5)
get_log().info("last.line")
flush_log(5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    events = [line.partition("event=")[2] for line in done.stdout.splitlines()]
    assert [event.partition(" ")[0] for event in events] == ["call.placed", "log.failed", "call.placed", "last.line"]
    assert done.stderr == ""


def test_a_level_leaves_out_what_is_below_it(lines: io.StringIO):
    get_log().debug("never.seen")
    assert lines.getvalue() == ""


def test_an_exception_is_told_by_class_and_place_without_its_text():
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("+1555x")
    told = describe_error(caught.value)
    assert told.startswith("ValueError at test_log.py:")
    assert "555" not in told


def test_a_library_that_complains_is_named_without_its_words(lines: io.StringIO):
    logging.getLogger("some.library").warning("https://x.example/?token=canary-secret")
    assert "event=library.complained library=some.library" in lines.getvalue()
    assert "canary-secret" not in lines.getvalue()


def test_a_library_that_complains_without_end_fills_no_disk(lines: io.StringIO):
    for _ in range(1000):
        logging.getLogger("some.library").warning("again")
    assert lines.getvalue().count("library.complained") == 1


def test_a_reader_that_stalls_holds_up_nothing_and_is_told_what_it_missed():
    program = """
import time
from integration.log import flush_log, get_log, set_up_logging
set_up_logging("info")
began = time.monotonic()
for n in range(15_000):
    get_log().info("call.placed", lead=n, detail="x" * 60)
took = time.monotonic() - began
open(0, "rb").read(1)
flush_log(20)
get_log().info("last.line", took_seconds=round(took, 1))
flush_log(20)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        time.sleep(0.1)  # nobody reads: the pipe holds 64 KB of 2 MB
        process.stdin.write(b"x")
        process.stdin.close()
        assert process.stdout is not None
        told = process.stdout.read().decode()
        assert process.wait(30) == 0
    lines = told.splitlines()
    assert "event=last.line" in lines[-1]
    assert all("event=" in line for line in lines)
    kept = sum("event=call.placed" in line for line in lines)
    dropped = sum(int(line.rpartition("=")[2]) for line in lines if "event=log.dropped" in line)
    assert kept >= 10_000
    assert kept + dropped == 15_000


def test_the_last_lines_are_written_however_the_program_ends():
    program = """
import sys
from integration.log import get_log, set_up_logging
set_up_logging("info")
get_log().error("database.unavailable")
sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert "event=database.unavailable" in done.stdout


def test_lines_that_are_many_do_not_wait_for_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log, "_GATHER_SECONDS", 1.0)
    reading, writing = os.pipe()
    background = log._Background(writing)
    began = time.monotonic()
    for n in range(5 * log._MOST_AT_ONCE):
        background.write({"event": "call.placed", "lead": n})
    with os.fdopen(reading) as told:
        for n in range(5 * log._MOST_AT_ONCE):
            assert told.readline() == f"event=call.placed lead={n}\n"
    assert time.monotonic() - began < 3.0
    os.close(writing)


class _GoneReader(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_reader_that_went_away_stops_nothing():
    set_up_logging("info", _GoneReader())
    get_log().info("call.placed", lead=1)
    logging.getLogger().handlers.clear()
