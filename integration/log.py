"""One line per thing that happened: `at=... level=info event=call.placed lead=12 call_id=...`.

Event names are constant and dotted; values are keys of their own. No line holds a secret, a name or a full
phone number: what is logged was masked where it was made, and errors are told by class and place only,
because a driver's text may quote a row.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import re
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_GATHER_SECONDS = 0.02  # a line may wait so long for others: an awakening costs more than a line
_MOST_AT_ONCE = 200
_QUIET = ("urllib3", "waitress", "werkzeug", "psycopg", "psycopg.pool", "requests")


def set_up_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Write events of this level and above as lines of key=value, each whole even from many threads.

    Without a stream they go to standard output in the background.
    """
    processors: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.add_log_level,
        _as_an_argument,
    ]
    writer = _in_background() if stream is None else _Steady(stream)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    _log[:] = [structlog.get_logger().bind()]
    # What libraries log may quote a request or a row; their warnings come through as events of ours.
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


_log: list[FilteringBoundLogger] = []  # the one that is set up; binding it anew for each line costs as much as the line


def get_log() -> FilteringBoundLogger:
    """The program's log. `log.info("lead.decided", lead=12, rule="...")`."""
    log: FilteringBoundLogger = _log[0] if _log else structlog.get_logger()
    return log


def describe_error(error: BaseException) -> str:
    """An exception as class and innermost places, without its text: `KeyError at decide.py:12 in pick`."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__


def _as_an_argument(_: object, __: str, line: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """The last step of structlog's chain: the writer gets the values and makes the text of them."""
    return (line,), {}


_render = structlog.processors.LogfmtRenderer(
    key_order=["at", "level", "event", "lead"], drop_missing=True, bool_as_flag=False
)


# What a stranger sends may steer a terminal; a line feed within a value is written as \\n before this.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _text(line: EventDict) -> str:
    """One line, also of values that cannot be written: a fault in one must not cost the others, nor end the thread."""
    present = {key: value for key, value in line.items() if value is not None}
    try:
        text = str(_render(None, "", present))
    except Exception as error:  # noqa: BLE001 - the value is anybody's
        told = {"at": line.get("at"), "level": "error", "event": "log.failed", "lost": str(line.get("event"))}
        text = str(_render(None, "", {**told, "error": describe_error(error)}))
    return _CONTROL.sub(_as_escape, text) + "\n"


def _as_escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class _Writer:
    """Where lines go, under the names by which structlog hands them over."""

    def write(self, line: EventDict) -> None:
        raise NotImplementedError

    def debug(self, line: EventDict) -> None:
        self.write(line)

    info = warning = error = critical = exception = msg = debug


class _Steady(_Writer):
    """A stream whose reader may go away: a line that nobody reads must never stop a call from being recorded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: EventDict) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(_text(line))
            self._stream.flush()


class _Background(_Writer):
    """Standard output behind a bounded queue and a thread: a reader that stalls holds up nothing but the log.

    What does not fit is dropped, and counted in a line of its own when there is room again. It writes to the
    file descriptor itself, so that the interpreter has nothing left to flush, and to fail at, when it ends.
    The text is made here, and for all lines of a moment together: no call waits for it.
    """

    def __init__(self, descriptor: int, most_lines: int = 10_000) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[EventDict] = queue.Queue(most_lines)
        self._dropped = 0
        self._hurry = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, line: EventDict) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def drain(self, within_seconds: float) -> None:
        """Wait until all is written, or until time is over."""
        self._hurry.set()
        until = time.monotonic() + within_seconds
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            lines = [self._lines.get()]
            if self._lines.qsize() < _MOST_AT_ONCE:
                self._hurry.wait(_GATHER_SECONDS)
            with contextlib.suppress(queue.Empty):
                while len(lines) < _MOST_AT_ONCE:
                    lines.append(self._lines.get_nowait())
            dropped, self._dropped = self._dropped, 0
            text = f"level=warning event=log.dropped lines={dropped}\n" if dropped else ""
            waiting = memoryview((text + "".join(map(_text, lines))).encode("utf-8", "backslashreplace"))
            with contextlib.suppress(OSError):  # the reader went away
                while waiting:
                    waiting = waiting[os.write(self._descriptor, waiting) :]
            for _ in lines:
                self._lines.task_done()


_background: list[_Background] = []


def _in_background() -> _Background:
    if not _background:
        _background.append(_Background(sys.stdout.fileno()))
        atexit.register(flush_log)  # also when the program ends because it could not begin
    return _background[0]


def flush_log(within_seconds: float = 0.5) -> None:
    """Give the last lines a moment to be written; the end of the program does so."""
    for writer in _background:
        writer.drain(within_seconds)


class _Forward(logging.Handler):
    """Tells that a library complained, and where, without its words; of one place at most once in 10 s."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.module}:{record.lineno}"
        now = time.monotonic()
        if now - self._said.get(place, float("-inf")) < 10.0:
            return
        self._said[place] = now
        error = describe_error(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None
        get_log().warning("library.complained", library=record.name, place=place, error=error)
