"""A CRM that keeps leads and takes write-backs, to rehearse against.

`POST /leads` creates a record and answers it with its `Id`; `GET` and `PATCH /leads/<id>` read and
change it, the latter only with the Bearer token. It sends no webhooks: `ringback send` and the demo do.
"""

from __future__ import annotations

import secrets
import ssl
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from integration.sandbox.faults import BEFORE_READING, BREAKS, Behaviour, Scene, changed_reply, error_reply
from integration.sandbox.journal import Journal, Seen
from integration.sandbox.wire import Reply, Request, Wire, WireServer


class Crm:
    """`with Crm(token="...") as crm:` serves on `crm.url` until the block ends.

    `token` guards every request but those to the sandbox itself; left out, one is made up.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.journal = Journal("lead")
        self._leads: dict[str, dict[str, Any]] = {}
        self._last_id = 0
        self._lock = threading.Lock()
        self._server = WireServer(self._serve, host=host, port=port, tls=tls)
        self.url = f"{'https' if tls else 'http'}://{host}:{self._server.port}"

    def start(self) -> Self:
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def create(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep a record and return it with its `Id` (text; its own if it brings one)."""
        with self._lock:
            self._last_id += 1
            lead = {**record, "Id": str(record.get("Id") or self._last_id)}
            self._leads[lead["Id"]] = lead
            return dict(lead)

    def lead(self, lead_id: str) -> dict[str, Any] | None:
        """The record as it stands, or None."""
        with self._lock:
            found = self._leads.get(lead_id)
            return None if found is None else dict(found)

    def leads(self) -> list[dict[str, Any]]:
        """All records, in the order of creation."""
        with self._lock:
            return [dict(lead) for lead in self._leads.values()]

    def write_backs(self, lead_id: str | None = None) -> list[Seen]:
        """The PATCH requests so far, to all leads or to one."""
        path = None if lead_id is None else f"/leads/{lead_id}"
        return self.journal.all(lambda s: s.method == "PATCH" and path in {None, unquote(s.path)})

    def requests(self) -> list[Seen]:
        """Every request so far, in the order of arrival."""
        return self.journal.all()

    def behave(self, behaviour: str, times: int | None = None) -> None:
        """Misbehave towards the next requests; see `faults`."""
        self.journal.behave(behaviour, times=times)

    def _serve(self, wire: Wire) -> None:
        while not self._server.stopping.is_set() and wire.wait():
            seen = self.journal.arrive(wire.number)
            request = wire.read_request()
            close = request.headers.get("connection", "").lower() == "close"
            if request.path.startswith("/_sandbox/"):
                seen.control = True
                wire.send(self.journal.control(request).as_bytes(close=close))
                continue
            seen.kind, seen.method, seen.path = "lead", request.method, request.path
            seen.body = request.body[:4000].decode("utf-8", "replace")
            behaviour = self.journal.choose("lead", None)
            seen.behaviour = behaviour.name
            if behaviour.name in BREAKS:
                reply = self._reply(request)
                BREAKS[behaviour.name](Scene(wire, reply, behaviour, self._server.stopping))
                return
            reply = self._misbehaved(request, behaviour)
            seen.answered = reply.status
            wire.send(reply.as_bytes(close=close))
            if close:
                return

    def _misbehaved(self, request: Request, behaviour: Behaviour) -> Reply:
        """An error asked for leaves the records alone; anything else happens, then is answered so."""
        if behaviour.status is not None and behaviour.status // 100 != 2:
            return changed_reply(behaviour, Reply(200))
        if behaviour.name in {"slow", *BEFORE_READING}:
            self._server.stopping.wait(behaviour.milliseconds / 1000)
        return changed_reply(behaviour, self._reply(request))

    def _reply(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return error_reply(401, "unauthorized", "The bearer token is missing or wrong.")
        parts = request.path.strip("/").split("/")
        if parts[0] != "leads" or len(parts) > 2:
            return error_reply(404, "not.found", "There are only leads here.")
        lead_id = unquote(parts[1]) if len(parts) > 1 else None
        if request.method == "GET":
            found = self.leads() if lead_id is None else self.lead(lead_id)
            return error_reply(404, "not.found", "No such lead.") if found is None else Reply(200, found)
        try:
            sent = request.json()
        except ValueError:
            sent = None
        if not isinstance(sent, dict):
            return error_reply(400, "bad.request", "The body is not a JSON object.")
        if request.method == "POST" and lead_id is None:
            return Reply(201, self.create(sent))
        if request.method == "PATCH" and lead_id is not None:
            return self._patch(lead_id, sent)
        return error_reply(405, "method.not.allowed", "This resource does not take this method.")

    def _patch(self, lead_id: str, sent: dict[str, Any]) -> Reply:
        with self._lock:
            lead = self._leads.get(lead_id)
            if lead is None:
                return error_reply(404, "not.found", "No such lead.")
            lead.update({name: value for name, value in sent.items() if name != "Id"})
            return Reply(200, dict(lead))
