"""GET /healthz: the process lives. GET /readyz: it can do its work. Neither tells a stranger more than a word."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from integration.ledger import LedgerUnavailable
from integration.web.app import WebServices


def blueprint(services: WebServices) -> Blueprint:
    """The health doors."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @health.get("/readyz")
    def readyz() -> Response:
        problem = _problem(services)
        response = jsonify(status="ready" if problem is None else "not ready", problem=problem)
        if problem is not None:
            response.status_code = 503
            response.headers["Retry-After"] = "5"
        return response

    return health


def _problem(services: WebServices) -> str | None:
    try:
        if not services.ledger.is_migrated():
            return "the database is not migrated: run `ringback release`"
    except LedgerUnavailable:
        return "the database does not answer"
    return None
