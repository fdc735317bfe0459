"""GET /healthz: the process lives. GET /readyz: it can do its work. Neither tells a stranger more than a word.

Ready means that a webhook could be kept now: the database answers, is migrated, and has taken a small write. A
disk that is full or has become read-only still reads, so only a write that is committed shows it.

Where other processes work the queue, it is told when there is none. That is no reason to be less than ready: who
took a platform at its word and sent no more webhooks here would lose leads that could be kept until a worker comes.
"""

from __future__ import annotations

import threading
import time

from flask import Blueprint, Response, jsonify

from integration.ledger import Ledger, LedgerUnavailable
from integration.ledger.upkeep import READINESS
from integration.web.app import WebServices

ALIVE = b'{"status":"alive"}\n'
WRITE_EVERY_SECONDS = 2.0
NOBODY_WORKS = "nobody works the queue: webhooks are kept, and nobody is called until a `ringback worker` runs"


def blueprint(services: WebServices) -> Blueprint:
    """The health doors."""
    health = Blueprint("health", __name__)
    readiness = _Readiness(services.ledger, others_work=services.others_work)

    @health.get("/healthz")
    def healthz() -> Response:
        """The server answers this itself before it comes here; other servers and tests do not."""
        return Response(ALIVE, content_type="application/json")

    @health.get("/readyz")
    def readyz() -> Response:
        problem = readiness.problem()
        is_ready = problem in (None, NOBODY_WORKS)
        response = jsonify(status="ready" if is_ready else "not ready", problem=problem)
        if not is_ready:
            response.status_code = 503
            response.headers["Retry-After"] = "5"
        return response

    return health


class _Readiness:
    """Looks at the ledger for anybody who asks, but one look at a time, and a good one holds for 2 s.

    So strangers who ask without end cost neither writes nor web threads.
    """

    def __init__(self, ledger: Ledger, *, others_work: bool) -> None:
        self._ledger = ledger
        self._others_work = others_work
        self._looking = threading.Lock()
        self._ready_at: float | None = None
        self._problem: str | None = "the database has not answered yet"

    def problem(self) -> str | None:
        """Why no webhook can be kept, or why nobody is called; None when all is well.

        While somebody else looks, it is what was last seen.
        """
        if not self._looking.acquire(blocking=False):
            return self._problem
        try:
            if self._ready_at is None or time.monotonic() - self._ready_at >= WRITE_EVERY_SECONDS:
                self._problem = _problem(self._ledger, others_work=self._others_work)
                self._ready_at = time.monotonic() if self._problem in (None, NOBODY_WORKS) else None
            return self._problem
        finally:
            self._looking.release()


def _problem(ledger: Ledger, *, others_work: bool) -> str | None:
    try:
        if not ledger.is_migrated():
            return "the database is not migrated: run `ringback release`"
    except LedgerUnavailable:
        return "the database does not answer"
    try:
        ledger.upkeep.heartbeat(READINESS)
    except LedgerUnavailable:
        return "the database takes no writes"
    try:
        return NOBODY_WORKS if others_work and not ledger.upkeep.somebody_works() else None
    except LedgerUnavailable:
        return "the database does not answer"
