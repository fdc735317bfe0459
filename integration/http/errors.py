"""The two ways in which a request can end without an answer, and what each of them proves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

NotSentKind = Literal[
    "bad_address", "bad_request", "not_public", "dns", "refused", "unreachable", "connect_timeout", "tls", "too_late"
]
UnclearKind = Literal["timeout", "reset", "closed", "protocol"]

_SENTENCES: Mapping[str, str] = {
    "bad_address": "the address cannot be used; nothing was sent",
    "bad_request": "the request cannot be written down as HTTP; nothing was sent",
    "not_public": "the host leads to an address that is not public; nothing was sent",
    "dns": "the name could not be resolved; nothing was sent",
    "refused": "the connection was refused; nothing was sent",
    "unreachable": "no connection could be made; nothing was sent",
    "connect_timeout": "no connection in time; nothing was sent",
    "tls": "no trusted TLS connection could be made; nothing was sent",
    "too_late": "the connection stood too late; nothing was sent",
    "timeout": "the request was sent, and no answer came in time",
    "reset": "the request was sent, and the connection broke",
    "closed": "the request was sent, and the connection was closed without an answer",
    "protocol": "the request was sent, and the answer was not HTTP",
}


class HttpError(Exception):
    """No answer. `host` is a name and port as written in the URL, `detail` a few safe words or empty."""

    kind: str

    def __init__(self, kind: str, host: str, detail: str = "") -> None:
        super().__init__(f"{host}: {_SENTENCES[kind]}" + (f" ({detail})" if detail else ""))
        self.kind = kind
        self.host = host
        self.detail = detail


class NotSent(HttpError):
    """Proved: no byte of the request was handed to the socket."""

    kind: NotSentKind

    def __init__(self, kind: NotSentKind, host: str, detail: str = "") -> None:
        super().__init__(kind, host, detail)


class Unclear(HttpError):
    """Request bytes were handed to the socket and no whole status line and headers came back."""

    kind: UnclearKind

    def __init__(self, kind: UnclearKind, host: str, detail: str = "") -> None:
        super().__init__(kind, host, detail)
