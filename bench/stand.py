"""Everything that runs: the sandbox, the systems that are compared, and the load generator, each in its processes."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from bench import postgres
from bench.leads import record_of
from bench.processes import BenchError, Process
from integration.demo.stage import SERVE, clean_environment, find_port, rules_at_any_hour

OURS = "Ringback, SQLite"
OURS_POSTGRES = "Ringback, PostgreSQL"
TUTORIAL = "the tutorial's way"
LETTER = "the tutorial to the letter"
FLOOR = "the floor, SQLite"
FLOOR_POSTGRES = "the floor, PostgreSQL"


@dataclass(frozen=True, slots=True)
class System:
    """One of those that are compared, up and listening."""

    name: str
    process: Process
    port: int


class Sandbox:
    """Contact centre and CRM, asked from outside."""

    def __init__(self, contact_centre_url: str, crm_url: str, crm_token: str) -> None:
        self.contact_centre_url = contact_centre_url
        self.crm_url = crm_url
        self._crm_token = crm_token
        self._contact_centre = http.client.HTTPConnection(urlsplit(contact_centre_url).netloc)
        self._crm = http.client.HTTPConnection(urlsplit(crm_url).netloc)

    def reset(self, latency_ms: int) -> None:
        """Forget the past; from now on the contact centre takes this long for each request."""
        self._ask(self._contact_centre, "POST", "/_sandbox/reset")
        self._ask(self._crm, "POST", "/_sandbox/reset")
        for kind in ("call", "token", "list") if latency_ms else ():
            order = {"behaviour": f"slow:{latency_ms}", "on": kind}
            self._ask(self._contact_centre, "POST", "/_sandbox/behaviour", order)

    def create_records(self, numbers: range) -> None:
        """Have the CRM know these leads."""
        for n in numbers:
            self._ask(self._crm, "POST", "/leads", record_of(n))

    def told(self) -> int:
        """How many requests the CRM has had since the reset; without faults, how many leads came to their end."""
        return int(self._ask(self._crm, "GET", "/_sandbox/summary")["requests"])

    def calls(self) -> list[dict[str, Any]]:
        """The requests to ring somebody since the reset."""
        seen = self._ask(self._contact_centre, "GET", "/_sandbox/requests")
        return [one for one in seen if one["kind"] == "call"]

    def write_backs(self) -> list[dict[str, Any]]:
        """The write-backs since the reset."""
        return [one for one in self._ask(self._crm, "GET", "/_sandbox/requests") if one["method"] == "PATCH"]

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self._crm_token}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise BenchError(f"the sandbox answered {answer.status} to {method} {path}")
        return json.loads(said) if said else None


class Load:
    """The load generator's process."""

    def __init__(self, secret: str, environ: dict[str, str]) -> None:
        self._secret = secret
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,
        )

    def fire(self, system: System, numbers: range, **how: object) -> list[tuple[int, int, float, float]]:
        """Send these leads' webhooks; see `bench.load`. Number, status, sent at, answered at."""
        order = {"port": system.port, "secret": self._secret, "first": numbers.start, "count": len(numbers), **how}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            raise BenchError("the load generator has ended")
        return [(n, status, sent, answered) for n, status, sent, answered in json.loads(said)["sent"]]

    def stop(self) -> None:
        self._process.communicate()


class Stand:
    """Starts processes; ends them all, and removes their files, when its block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.systems: list[System] = []
        self.left_out: list[str] = []
        self._stack = contextlib.ExitStack()
        self._environ = clean_environment()
        self._secret = secrets.token_hex(24)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # ends what has begun when the rest cannot begin
            self._stack = stack
            self._set_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, arguments: list[str], environ: dict[str, str] | None = None) -> Process:
        """A process that ends with the stand."""
        process = Process(name, arguments, self.folder, {**self._environ, **(environ or {})})
        self._stack.callback(process.stop)
        return process

    def _set_up(self) -> None:
        sandbox = "integration.sandbox"
        contact_centre = self.start("contact centre", ["-m", sandbox, "contact-centre"])
        crm = self.start("CRM", ["-m", sandbox, "crm"])
        crm_said = crm.wait_for(json_line)
        self.sandbox = Sandbox(contact_centre.wait_for(json_line)["url"], crm_said["url"], crm_said["token"])
        self._settings = {
            "RINGBACK_RULES": str(rules_at_any_hour(self.folder)),
            "CXONE_BASE_URL": self.sandbox.contact_centre_url,
            "CXONE_CLIENT_ID": "sandbox-client",
            "CXONE_CLIENT_SECRET": "sandbox-secret",
            "CRM_URL": self.sandbox.crm_url,
            "OUR_CRM_TOKEN": crm_said["token"],
            "OUR_CRM_SECRET": self._secret,
        }
        self.load = Load(self._secret, self._environ)
        self._stack.callback(self.load.stop)
        urls = self._stack.enter_context(self._databases())
        self._start_ours(OURS, f"sqlite:///{self.folder / 'ringback.db'}")
        self._start_tutorial(TUTORIAL, {})
        self._start_tutorial(LETTER, {"TO_THE_LETTER": "yes"})
        self._start_floor(FLOOR, f"sqlite:///{self.folder / 'floor.db'}")
        if urls:
            self._start_ours(OURS_POSTGRES, urls["ringback"])
            self._start_floor(FLOOR_POSTGRES, urls["floor"])

    @contextlib.contextmanager
    def _databases(self) -> Iterator[dict[str, str]]:
        programs = postgres.programs()
        if programs is None:
            self.left_out.append("PostgreSQL is not installed: nothing is measured over it")
            yield {}
            return
        with postgres.cluster(programs, ["ringback", "floor"]) as urls:
            yield urls

    def _start_ours(self, name: str, database_url: str) -> None:
        settings = {**self._settings, "DATABASE_URL": database_url}
        if not database_url.startswith("sqlite"):
            subprocess.run(
                [sys.executable, "-m", "integration", "release"],
                env={**self._environ, **settings},
                check=True,
                capture_output=True,
            )
        process = self.start(name, list(SERVE), settings)
        self.systems.append(System(name, process, process.wait_for(find_port)))

    def _start_tutorial(self, name: str, environ: dict[str, str]) -> None:
        if importlib.util.find_spec("gunicorn") is None:
            self.left_out.append(f"gunicorn is not installed: {name} is not measured")
            return
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = int(sock.getsockname()[1])
        command = ["-m", "gunicorn", "--workers", "2", "--worker-class", "sync", "--bind", f"127.0.0.1:{port}"]
        process = self.start(name, [*command, "bench.tutorial:app"], {**self._settings, **environ})
        self.systems.append(System(name, process, port))
        wait_for_port(port)

    def _start_floor(self, name: str, database_url: str) -> None:
        process = self.start(name, ["-m", "bench.floor"], {**self._settings, "DATABASE_URL": database_url})
        self.systems.append(System(name, process, int(process.wait_for(json_line)["port"])))


def json_line(line: str) -> dict[str, Any] | None:
    """What a process says of itself in a line of JSON."""
    if not line.startswith("{"):
        return None
    said: dict[str, Any] = json.loads(line)
    return said


def wait_for_port(port: int) -> None:
    """Raises BenchError when nobody listens there in time."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchError(f"nobody listens on port {port}")


def commit_ms(folder: Path) -> float:
    """What it takes this disk to make 4 KB durable: the median of 50, in milliseconds."""
    taken = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(50):
            began_at = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began_at) * 1000)
    return sorted(taken)[25]
