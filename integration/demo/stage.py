"""The processes of the demo: a contact centre, a CRM and the real server, on free ports of this machine.

The server gets an environment of its own. What the user has set, above all a DATABASE_URL or the keys of a
real contact centre, must never reach a rehearsal. The rules are the demo's own too, a copy of those that ship:
what the stories must come to does not depend on what an admin has made of config/rules.yaml.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("rules.yaml")
RULES_NAME = RULES.relative_to(ROOT).as_posix()
ADMINS_RULES = Path("config", "rules.yaml")
LEASH = Path(__file__).with_name("leash.py")
START_SECONDS = 8.0
STOP_SECONDS = 3.0
LINES_KEPT = 200
LINES_SHOWN = 12

SERVE = ("-m", "integration", "serve", "--host", "127.0.0.1", "--port", "0")
CONTACT_CENTRE = ("-m", "integration.sandbox", "contact-centre")
CRM = ("-m", "integration.sandbox", "crm")

# What a Python on any machine may need to run at all.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")

_PORT = re.compile(r"\bevent=server\.started\b.*\bport=([0-9]+)")

# A top-level key of the rules, or an entry of a list below one; and what the clock decides: tests, too, name a moment.
_PARTS = re.compile(r"^(?=\S|  - )", re.MULTILINE)
_BY_CLOCK = re.compile(r"(hours|fresh_for|limits):|  - name:.*^    at:", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?=.)", re.MULTILINE)

_T = TypeVar("_T")


class StageError(Exception):
    """A process of the demo did not start, or ended. The message says which and ends with its last lines."""


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, but never while a process is being started or ended."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._held = False
        self._wanted = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, *_: object) -> None:
        self._wanted = True
        if not self._held:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From now on only remember that somebody wants to end this."""
        self._held = True

    def release(self) -> None:
        """Let interrupts through again, also one that came meanwhile."""
        self._held = False
        if self._wanted:
            raise KeyboardInterrupt


class Child:
    """A process of ours, and the last lines it said."""

    def __init__(self, name: str, arguments: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._said = threading.Condition()
        self._silent = False
        self.process = subprocess.Popen(  # noqa: S603 - this Python, with arguments of this file
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,  # never written to; its end tells `leash` that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=folder,
            env=dict(environ),
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops all in good order
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def wait_for(self, find: Callable[[str], _T | None]) -> _T:
        """What `find` makes of the first line that it takes. Raises StageError when none comes."""
        until = time.monotonic() + START_SECONDS
        seen = 0
        with self._said:
            while True:
                lines = list(self._lines)
                for line in lines[seen:]:
                    found = find(line)
                    if found is not None:
                        return found
                seen = len(lines)
                if self._silent:
                    raise self.trouble("did not start")
                if not self._said.wait(until - time.monotonic()):
                    raise self.trouble(f"was not ready within {START_SECONDS:.0f} s")

    def trouble(self, what: str) -> StageError:
        """An error that says `what` of this process, with its last lines."""
        lines = "\n".join(f"  | {line}" for line in self.last_lines()) or "  (it said nothing)"
        return StageError(f"{self.name} {what}. Its last lines:\n{lines}")

    def last_lines(self) -> list[str]:
        with self._said:
            return list(self._lines)[-LINES_SHOWN:]

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and make it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._said:
                self._lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._silent = True
            self._said.notify_all()


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything runs."""

    contact_centre: Child
    contact_centre_url: str
    crm: Child
    crm_url: str
    server: Child
    server_url: str
    settings: Mapping[str, str]  # the server's, as environment variables

    @property
    def crm_token(self) -> str:
        return self.settings["OUR_CRM_TOKEN"]

    @property
    def secret(self) -> str:
        """What webhooks are signed with."""
        return self.settings["OUR_CRM_SECRET"]

    @property
    def database_url(self) -> str:
        return self.settings["DATABASE_URL"]

    @property
    def children(self) -> tuple[Child, ...]:
        return (self.contact_centre, self.crm, self.server)


@contextlib.contextmanager
def set_up(interrupts: Interrupts) -> Iterator[Stage]:
    """Start everything; end it and remove its files when the block ends, however it ends. Raises StageError."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-demo-")))
        environ = clean_environment()

        def start(name: str, arguments: tuple[str, ...], environ: Mapping[str, str]) -> Child:
            interrupts.hold()
            child = Child(name, leashed(arguments, folder), folder, environ)
            stack.callback(child.stop)
            stack.callback(interrupts.hold)  # runs before any stop: nothing may cut the cleaning up short
            interrupts.release()
            return child

        contact_centre = start("The sandbox contact centre", CONTACT_CENTRE, environ)
        crm = start("The sandbox CRM", CRM, environ)
        contact_centre_url = contact_centre.wait_for(_json_line)["url"]
        crm_said = crm.wait_for(_json_line)
        settings = {
            "DATABASE_URL": f"sqlite:///{folder / 'demo.db'}",
            "RINGBACK_RULES": str(rules_at_any_hour(folder)),
            "CXONE_BASE_URL": contact_centre_url,
            "CXONE_CLIENT_ID": "sandbox-client",
            "CXONE_CLIENT_SECRET": "sandbox-secret",
            "CRM_URL": crm_said["url"],
            "OUR_CRM_TOKEN": crm_said["token"],
            "OUR_CRM_SECRET": secrets.token_hex(24),
        }
        server = start("The server (`ringback serve`)", SERVE, {**environ, **settings})
        port = server.wait_for(find_port)
        yield Stage(
            contact_centre=contact_centre,
            contact_centre_url=contact_centre_url,
            crm=crm,
            crm_url=crm_said["url"],
            server=server,
            server_url=f"http://127.0.0.1:{port}",
            settings=settings,
        )


def leashed(arguments: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """`-m MODULE ...` in a process that ends with this one, however this one ends, and then removes `folder`."""
    return ("-P", str(LEASH), str(folder), *arguments[1:])


def admins_rules_differ() -> bool:
    """Whether this folder has a config/rules.yaml that is not the one that ships. False when it cannot be read."""
    try:
        return ADMINS_RULES.is_file() and _text(ADMINS_RULES) != _text(RULES)
    except OSError:
        return False


def rules_at_any_hour(folder: Path) -> Path:
    """The rules without what the clock decides, in a file in `folder`: the demo must come right at night, and at once.

    The lines stay where they are, so that what is said of them is true of the rules as shipped.
    """
    copy = folder / RULES.name
    if copy.exists():  # a process that starts may be reading it
        return copy
    parts = _PARTS.split(RULES.read_text(encoding="utf-8"))
    copy.write_text("".join(_LINE.sub("# ", part) if _BY_CLOCK.match(part) else part for part in parts), "utf-8")
    return copy


def _text(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")  # git may have written the line ends of its platform


def clean_environment() -> dict[str, str]:
    """What a Python needs to run this program, and nothing else of the user's."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = [str(ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _json_line(line: str) -> dict[str, str] | None:
    if not line.startswith("{"):
        return None
    said: dict[str, str] = json.loads(line)
    return said


def find_port(line: str) -> int | None:
    """The port in the line that says that the server listens."""
    found = _PORT.search(line)
    return int(found.group(1)) if found else None
