"""The Flask application: its routes, and the one answer that every error gets.

Each 4xx and 5xx has constant text: nothing of a request, a rule or an exception comes back out. Our own
trouble is a 503 with Retry-After, because CRMs drop leads on a 4xx; or what the source's `answers:` say, for
the CRM that comes again after a 429 only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from integration.ledger import LeadWork, Ledger, LedgerUnavailable
from integration.log import describe_error, get_log
from integration.rules import Rules

RETRY_AFTER_SECONDS = 30
PLAIN_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_MESSAGES = {
    400: "The request could not be read.",
    401: "The signature is missing or wrong.",
    403: "The verification token is wrong.",
    404: "There is nothing here.",
    405: "This address takes another method.",
    413: "The body is too large.",
    415: "Send the body without compression.",
    431: "The headers are too large.",
    501: "The body's encoding is not understood.",
}
_NOT_STORED = "Not stored: please send this again later."


@dataclass(frozen=True, slots=True)
class WebServices:
    """What the doors work with."""

    ledger: Ledger
    rules: Rules
    wake: Callable[[LeadWork], None]
    public_url: str | None = None
    others_work: bool = False  # the leads are moved by other processes, which may be missing


def create_app(services: WebServices) -> Flask:
    """The application, ready for any WSGI server."""
    from integration.web import health, hooks  # noqa: PLC0415 - they import this module's answers

    app = Flask("ringback", static_folder=None)
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.register_blueprint(hooks.blueprint(services))
    app.register_blueprint(health.blueprint(services))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(LedgerUnavailable, _ledger_error)
    app.register_error_handler(Exception, _our_error)
    app.after_request(_plain_headers)
    return app


def constant_answer(status: int) -> bytes:
    """The body of every refusal with this status, as JSON."""
    usual = _NOT_STORED if _is_trouble(status) else "The request was refused."
    return json.dumps({"error": _MESSAGES.get(status, usual)}).encode() + b"\n"


def _is_trouble(status: int) -> bool:
    """Whether the fault is ours, so that the same message is welcome later."""
    return status >= 500 or status == 429


def refusal(status: int) -> Response:
    """The constant answer for this status."""
    response = Response(constant_answer(status), status, content_type="application/json")
    if status == 405:
        response.headers["Allow"] = "POST"
    if status != 501 and _is_trouble(status):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _our_trouble() -> Response:
    """The answer that makes this CRM send the same again: 503, unless its source says otherwise."""
    return refusal(g.get("trouble_status", 503))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _our_trouble()
    response = refusal(status)
    allowed = error.get_response().headers.get("Allow", "")
    if status == 405 and allowed and "POST" not in allowed:
        response.headers["Allow"] = allowed
    return response


def _ledger_error(error: LedgerUnavailable) -> Response:
    get_log().error("database.unavailable", detail=str(error))
    return _our_trouble()


def _our_error(error: Exception) -> Response:
    """The last resort. The CRM sends it again, and nothing is lost."""
    get_log().error("web.failed", error=describe_error(error))
    return _our_trouble()


def _plain_headers(response: Response) -> Response:
    response.headers.update(PLAIN_HEADERS)
    return response
