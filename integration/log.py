"""One line per thing that happened: `at=... level=info event=call.placed lead=12 call_id=...`.

Event names are constant and dotted; values are keys of their own. No line holds a secret, a name or a full
phone number: what is logged was masked where it was made, and errors are told by class and place only,
because a driver's text may quote a row.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_QUIET = ("urllib3", "waitress", "werkzeug", "psycopg", "psycopg.pool", "requests")


def set_up_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Write events of this level and above as lines of key=value, each whole even from many threads."""
    processors: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.add_log_level,
        _leave_out_nothings,
        structlog.processors.LogfmtRenderer(
            key_order=["at", "level", "event", "lead"], drop_missing=True, bool_as_flag=False
        ),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Steady(stream or sys.stdout))),
        cache_logger_on_first_use=False,
    )
    # What libraries log may quote a request or a row; their warnings come through as events of ours.
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def get_log() -> FilteringBoundLogger:
    """The program's log. `log.info("lead.decided", lead=12, rule="...")`."""
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def describe_error(error: BaseException) -> str:
    """An exception as class and innermost places, without its text: `KeyError at decide.py:12 in pick`."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__


class _Steady:
    """A stream whose reader may go away: a line that nobody reads must never stop a call from being recorded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _leave_out_nothings(_: object, __: str, line: EventDict) -> EventDict:
    return {key: value for key, value in line.items() if value is not None}


class _Forward(logging.Handler):
    """Tells that a library complained, and which, without its words."""

    def emit(self, record: logging.LogRecord) -> None:
        error = describe_error(record.exc_info[1]) if record.exc_info and record.exc_info[1] else ""
        get_log().warning(
            "library.complained", library=record.name, place=f"{record.module}:{record.lineno}", error=error
        )
