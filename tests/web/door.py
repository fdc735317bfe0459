"""The real server of integration/web in a thread, and a client that writes bytes by hand."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from integration.ledger import Ledger, open_database
from integration.model import LeadId
from integration.rules import load_rules
from integration.web import WebServices, create_app
from integration.web.server import WebServer

SECRET = "only-this-test-and-the-sender-know-it"
RULES = f"""
accounts: {{main: {{id: acc-1}}}}
phones: {{may_call: [US]}}
fields: {{phone: Phone}}
rules:
  - name: Everyone
    call: main
sources:
  our-crm:
    verify: {{scheme: hmac, header: X-Signature, secret: "{SECRET}"}}
    only: {{type: lead.created}}
    event_id: meta.id
    record: data
    id: Id
  other-crm:
    verify: {{scheme: hmac, header: X-Signature, secret: "another-secret-for-another-source"}}
    id: Id
"""


def body_of(event_id: str = "e-1", kind: str = "lead.created", **record: object) -> bytes:
    """A webhook's body."""
    lead = {"Id": "1", "Phone": "+15551234567", **record}
    return json.dumps({"type": kind, "meta": {"id": event_id}, "data": lead}).encode()


def signature_of(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def request_of(
    body: bytes,
    *extra: str,
    line: str = "POST /hooks/our-crm HTTP/1.1",
    signature: str | None = None,
    length: str | None = "right",
    close: bool = True,
) -> bytes:
    """A whole signed request. `extra` are header lines; `length` None leaves Content-Length out."""
    head = [line, "Host: localhost", f"X-Signature: {signature or signature_of(body)}", *extra]
    if length is not None:
        head.append(f"Content-Length: {len(body) if length == 'right' else length}")
    if close:
        head.append("Connection: close")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One connection."""

    def __init__(self, port: int, patience_seconds: float = 5.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=patience_seconds)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end_of_input(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def line(self) -> bytes:
        """What comes up to an empty line."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer. Raises EOFError when the server closed without one."""
        first, *lines = self.line().decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._buffer) < length:
            self._buffer += self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(int(first.split(" ")[1]), headers, body)

    def is_closed(self) -> bool:
        """Wait for the server's end of the connection; False if it says something first."""
        if self._buffer:
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def has_news(self, within_seconds: float) -> bool:
        """Whether the server says something, or closes, within so many seconds."""
        return bool(self._buffer or select.select([self.sock], [], [], within_seconds)[0])

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data


@dataclass
class Door:
    """A running server over an SQLite ledger."""

    ledger: Ledger
    path: Path
    server: WebServer
    woken: list[LeadId] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port

    def ask(self, data: bytes, *, then_close: bool = False, has_body: bool = True) -> Answer:
        """Send these bytes on a connection of their own; the first answer to them."""
        with Caller(self.port) as caller:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                caller.send(data)
            if then_close:
                caller.end_of_input()
            return caller.answer(has_body=has_body)

    def kept(self) -> tuple[int, int]:
        """How many deliveries and leads the ledger holds."""
        with self.ledger.database.read() as tx:
            deliveries = tx.one("SELECT COUNT(*) AS n FROM delivery")
            leads = tx.one("SELECT COUNT(*) AS n FROM lead")
        assert deliveries is not None
        assert leads is not None
        return deliveries["n"], leads["n"]

    def empty(self) -> None:
        """Forget everything that was kept."""
        with self.ledger.database.write() as tx:
            for table in ("writeback", "history", "lead", "delivery"):
                tx.run(f"DELETE FROM {table}")
        self.woken.clear()


@contextlib.contextmanager
def open_door(
    path: Path,
    *,
    rules: str = RULES,
    public_url: str | None = None,
    request_seconds: float = 10.0,
    threads: int = 5,  # four for any request, and one for sources of which nothing is under way
    **limits: int,
) -> Iterator[Door]:
    """A server over the migrated SQLite file at `path`, until the block ends. `limits` are WebServer's."""
    ledger = Ledger(open_database(f"sqlite:///{path}"))
    woken: list[LeadId] = []
    loaded = load_rules(rules, name="rules.yaml", environ={})
    app = create_app(WebServices(ledger, loaded, lambda lead: woken.append(lead.id), public_url))
    server = WebServer(app, "127.0.0.1", 0, threads, request_seconds=request_seconds, **limits)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield Door(ledger, path, server, woken)
    finally:
        server.stop()
        thread.join(5)
        assert not thread.is_alive()
        server.drain(1.0)
        ledger.close()


def wait_until(holds: Any, within_seconds: float = 5.0) -> None:
    """Poll a condition that another thread or process brings about; fails when it does not."""
    until = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.005)
