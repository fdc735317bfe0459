"""The real server as a process, between a contact centre and a CRM in this one, seen only from outside.

The contact centre counts at its socket: it is the witness of how often a phone would have rung.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from integration.demo.stage import SERVE, Child, clean_environment, find_port, rules_at_any_hour
from integration.ledger import LeadRow, Ledger, open_database
from integration.model import LeadId, LeadState, WritebackState
from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.crm import Crm

SECRET = "rig-secret-rig-secret-rig-secret"
TOKEN = "rig-token"


def number_of(n: int) -> str:
    """The n-th fictional number, E.164."""
    return f"+1555123{2000 + n}"


@dataclass(frozen=True, slots=True)
class Sent:
    """One webhook and how it was answered."""

    n: int
    status: int | None  # None: no answer
    lead: int | None = None
    took_seconds: float = 0.0
    error: str = ""


@dataclass
class Rig:
    """Start and stop the server as often as wanted; everything else stays."""

    folder: Path
    database_url: str
    contact_centre: ContactCentre
    crm: Crm
    server: Child | None = None
    port: int = 0

    # ---- the server -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self.server = Child("The server", SERVE, self.folder, self.environ())
        self.port = self.server.wait_for(find_port)

    def environ(self) -> dict[str, str]:
        """The settings of every process of ours."""
        return {
            **clean_environment(),
            "DATABASE_URL": self.database_url,
            "RINGBACK_RULES": str(rules_at_any_hour(self.folder)),
            "CXONE_BASE_URL": self.contact_centre.url,
            "CXONE_CLIENT_ID": "sandbox-client",
            "CXONE_CLIENT_SECRET": "sandbox-secret",
            "CRM_URL": self.crm.url,
            "OUR_CRM_SECRET": SECRET,
            "OUR_CRM_TOKEN": TOKEN,
        }

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        assert self.server is not None
        self.server.process.send_signal(signal.SIGTERM)

    def wait_for_exit(self, within_seconds: float) -> int:
        """The exit code; fails when it does not come in time."""
        assert self.server is not None
        code = self.server.process.wait(within_seconds)
        self.server.stop()
        self.server = None
        return code

    def kill(self) -> None:
        """kill -9."""
        if self.server is not None:
            self.server.process.kill()
            self.server.process.wait()
            self.server.stop()
            self.server = None

    # ---- the CRM's part -------------------------------------------------------------------------

    def send(self, n: int, connection: http.client.HTTPConnection | None = None) -> Sent:
        """Make the n-th record and fire its webhook, over a connection of its own unless one is given."""
        record = self.crm.lead(str(n)) or self.crm.create({"Id": str(n), "Country": "USA", "Phone": number_of(n)})
        body = json.dumps({"type": "lead.created", "meta": {"id": f"event-{n}"}, "data": record}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": f"sha256={signature}", "Content-Type": "application/json"}
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        began_at = time.monotonic()
        try:
            own.request("POST", "/hooks/our-crm", body, headers)
            answer = own.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            own.close()
            return Sent(n, None, None, time.monotonic() - began_at, type(error).__name__)
        finally:
            if connection is None:
                own.close()
        return Sent(n, answer.status, said.get("lead"), time.monotonic() - began_at)

    # ---- witnesses ------------------------------------------------------------------------------

    def asked(self) -> Counter[str]:
        """How often the contact centre was asked to ring each number."""
        return Counter(str(call.to) for call in self.contact_centre.calls())

    def leads(self) -> dict[int, LeadRow]:
        """Every lead of the ledger."""
        ledger = self.open_ledger()
        try:
            return {row.id: row for row in ledger.reading.leads(most=10_000)}
        finally:
            ledger.close()

    def states(self) -> Counter[LeadState]:
        return Counter(lead.state for lead in self.leads().values())

    def is_quiet(self) -> bool:
        """Whether every lead has its result and the CRM knows it."""
        return all(
            lead.state.is_result and lead.writeback_state is WritebackState.DONE for lead in self.leads().values()
        )

    def broken_promises(self) -> dict[str, list[int]]:
        ledger = self.open_ledger()
        try:
            return ledger.reading.broken_invariants()
        finally:
            ledger.close()

    def open_ledger(self) -> Ledger:
        return Ledger(open_database(self.database_url, pool_size=2))

    def assert_nothing_was_lost(self, sent: Iterable[Sent]) -> Counter[LeadState]:
        """Every webhook that was acknowledged came to a result that the CRM knows, and nobody rang twice."""
        leads = self.leads()
        for one in sent:
            if one.status != 200:
                continue
            lead = leads[LeadId(one.lead or 0)]
            told = self.crm.lead(str(one.n)) or {}
            asked = self.contact_centre.calls_to(number_of(one.n))
            assert lead.state in {LeadState.CALLED, LeadState.UNKNOWN}, (one, lead)
            assert told.get("ringback_result") == lead.state, (one, lead)
            assert len(asked) <= 1, (one, lead)
            if lead.state is LeadState.CALLED:
                assert [call.call_id for call in asked] == [lead.call_id] == [told.get("ringback_call_id")]
        assert max(self.asked().values(), default=0) <= 1
        assert self.broken_promises() == {}
        return self.states()


@contextlib.contextmanager
def set_up_rig(folder: Path, database_url: str) -> Iterator[Rig]:
    """Contact centre and CRM run; the server is not started yet, and is killed at the end if it still runs."""
    with ContactCentre() as contact_centre, Crm(token=TOKEN) as crm:
        rig = Rig(folder, database_url, contact_centre, crm)
        try:
            yield rig
        finally:
            rig.kill()


def send_at_once(rig: Rig, numbers: range) -> list[Sent]:
    """One webhook for each number, all at the same time; what became of them."""
    sent: list[Sent] = []
    threads = [threading.Thread(target=lambda n=n: sent.append(rig.send(n))) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent


class Burst:
    """Fires webhooks from several threads until told to stop or done.

    Each thread keeps one connection (`kept`), or makes a new one for each webhook.
    """

    def __init__(self, rig: Rig, numbers: Iterable[int], threads: int = 8, *, kept: bool = True) -> None:
        self._rig = rig
        self._kept = kept
        self._numbers = iter(numbers)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.sent: list[Sent] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> list[Sent]:
        """Wait for the end; everything that was sent."""
        for thread in self._threads:
            thread.join()
        return self.sent

    @property
    def acknowledged(self) -> int:
        return sum(one.status == 200 for one in list(self.sent))

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._rig.port, timeout=15)
        while not self._stop.is_set():
            with self._lock:
                n = next(self._numbers, None)
            if n is None:
                break
            sent = self._rig.send(n, connection if self._kept else None)
            self.sent.append(sent)
            if sent.status is None:
                break  # the server is gone
        connection.close()


class Cable:
    """A way to the PostgreSQL at `url` that can be cut, or fall silent: a port that forwards what it gets.

    `url` of the cable itself is that of the same database at its other end.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        near = f"{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=near).geturl()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection off and take no new one."""
        with self._lock:
            self._is_cut = True
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def freeze(self) -> None:
        """Hold everything back, and keep every connection and take new ones: the server at the other end froze."""
        self._flows.clear()

    def thaw(self) -> None:
        """Deliver what was held back, and go on."""
        self._flows.set()

    def close(self) -> None:
        self.cut()
        self.thaw()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(self._to, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()


def wait_until(holds: Callable[[], Any], within_seconds: float = 10.0) -> None:
    """Poll what another process brings about; fails when it does not."""
    until = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.02)
