"""Every way the sandbox's contact centre can behave, by name.

A behaviour is a name, for some with an argument: `slow:200`, `status_503`, `status_429:30`. In all of
them the request has been read and counted; `reset_before` and `slow_accept` act before that.

The witness takes the worst case: where an answer proves nothing (a 5xx, a broken connection), the
person's phone did ring. So whoever sends again after such an answer is caught.
"""

from __future__ import annotations

import functools
import gzip
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from integration.sandbox.wire import Reply, Wire

PLAIN = ("answer", "slow", "no_id", "call_id_key", "empty_200", "html_200", "redirect_307", "expire_token")
BEFORE_READING = ("reset_before", "slow_accept")
_UNCLEAR_STATUS = {303, 408, 409}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A behaviour's name and argument, read from text."""

    name: str
    argument: str = ""

    @property
    def milliseconds(self) -> float:
        return float(self.argument or "100")

    @property
    def status(self) -> int | None:
        """The status that `status_<n>` names."""
        return int(self.name[7:]) if self.name.startswith("status_") else None

    @property
    def rings(self) -> bool:
        """Whether a valid request rings a phone although the answer may be a bad one."""
        if self.status is not None:
            return self.status // 100 not in {3, 4} or self.status in _UNCLEAR_STATUS
        return self.name not in {"redirect_307", "expire_token", *BEFORE_READING}


ANSWER = Behaviour("answer")


def read_behaviour(text: str) -> Behaviour:
    """A behaviour from its text. Raises ValueError with a sentence for an unknown one."""
    name, _, argument = text.partition(":")
    known = name in PLAIN or name in BEFORE_READING or name in BREAKS or re.fullmatch(r"status_\d{3}", name)
    if not known:
        names = ", ".join([*PLAIN, *BEFORE_READING, *BREAKS, "status_<n>"])
        raise ValueError(f"there is no behaviour {name!r}; there are: {names}")
    behaviour = Behaviour(name, argument)
    if behaviour.status is None and argument:
        try:
            float(argument)
        except ValueError:
            raise ValueError(f"{name} takes milliseconds, not {argument!r}") from None
    return behaviour


def changed_reply(behaviour: Behaviour, normal: Reply) -> Reply:
    """The orderly answer that this behaviour gives in place of the normal one."""
    if behaviour.status is not None:
        headers = {"Retry-After": behaviour.argument} if behaviour.argument else {}
        return error_reply(behaviour.status, f"sandbox.status.{behaviour.status}", "As asked for.", headers)
    body = dict(normal.body) if isinstance(normal.body, dict) else {}
    match behaviour.name:
        case "no_id":
            body.pop("id", None)
            return Reply(normal.status, body)
        case "call_id_key":
            return Reply(normal.status, {"callId": body.pop("id", None), **body})
        case "empty_200":
            return Reply(200)
        case "html_200":
            return Reply(200, b"<!doctype html><title>Welcome</title><p>It works.", content_type="text/html")
        case "redirect_307":
            return Reply(307, headers={"Location": "/elsewhere"})
        case "expire_token":
            return error_reply(401, "bad.credentials", "The access token has expired.")
        case _:
            return normal


def error_reply(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error as this contact centre words it; the contract has no schema for errors."""
    bodyless = status // 100 == 1 or status in {204, 304}
    body = None if bodyless else {"status": status, "code": code, "message": message}
    return Reply(status, body, dict(headers or {}))


# ---- answers that break ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """What a broken answer has to play with."""

    wire: Wire
    normal: Reply  # what would have been answered
    how: Behaviour
    stopping: threading.Event


def _reset_after(scene: Scene) -> None:
    scene.wire.reset()


def _close_after(scene: Scene) -> None:
    scene.wire.close()


def _hang(scene: Scene) -> None:
    """Until the other side has had enough, or this server stops."""
    while not scene.stopping.is_set() and scene.wire.sock.recv(4096):
        pass


def _drip(scene: Scene, data: bytes) -> None:
    for at in range(len(data)):
        if scene.stopping.wait(scene.how.milliseconds / 1000):
            return
        scene.wire.send(data[at : at + 1])


def _drip_headers(scene: Scene) -> None:
    _drip(scene, scene.normal.as_bytes(close=True))


def _drip_body(scene: Scene) -> None:
    head, _, body = scene.normal.as_bytes(close=True).partition(b"\r\n\r\n")
    scene.wire.send(head + b"\r\n\r\n")
    _drip(scene, body)


def _cut_headers(scene: Scene) -> None:
    """The status line and half a header, then the end."""
    scene.wire.send(scene.normal.as_bytes()[:30])


def _cut_body(scene: Scene) -> None:
    """Half of the body, then the end."""
    whole = scene.normal.as_bytes(close=True)
    scene.wire.send(whole[: -len(whole.partition(b"\r\n\r\n")[2]) // 2])


def _cut_tail(scene: Scene) -> None:
    """All of the JSON, but the length promised more."""
    head, _, body = scene.normal.as_bytes(close=True).partition(b"\r\n\r\n")
    longer = b"Content-Length: %d" % (len(body) + 100)
    scene.wire.send(head.replace(b"Content-Length: %d" % len(body), longer) + b"\r\n\r\n" + body)


def _big_body(scene: Scene) -> None:
    """10 MB of valid JSON whose id comes first."""
    start, end = b'{"id": "big", "padding": "', b'"}'
    size = 10 * 1024 * 1024
    scene.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size)
    scene.wire.send(start)
    left = size - len(start) - len(end)
    while left > 0 and not scene.stopping.is_set():
        scene.wire.send(b"x" * min(left, 65536))
        left -= 65536
    scene.wire.send(end)


@functools.cache
def _bomb() -> bytes:
    """50 KB that become 50 MB of JSON: the same megabyte again and again, so that it is made in no time."""
    megabyte = gzip.compress(b"x" * 1024 * 1024)
    return gzip.compress(b'{"id": "bomb", "padding": "') + megabyte * 50 + gzip.compress(b'"}')


def _gzip_bomb(scene: Scene) -> None:
    scene.wire.send(Reply(200, _bomb(), {"Content-Encoding": "gzip"}).as_bytes(close=True))


def _garbage(scene: Scene) -> None:
    scene.wire.send(b"\x15\x03\x01\x00\x02\x02\x50 this is no HTTP\r\n\r\n")


def _no_status_line(scene: Scene) -> None:
    """As HTTP/0.9 did: the body alone."""
    scene.wire.send(scene.normal.as_bytes().partition(b"\r\n\r\n")[2])


def _continue_flood(scene: Scene) -> None:
    while not scene.stopping.wait(0.01):
        scene.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)


BREAKS: dict[str, Callable[[Scene], None]] = {
    "reset_after": _reset_after,
    "close_after": _close_after,
    "hang": _hang,
    "drip_headers": _drip_headers,
    "drip_body": _drip_body,
    "cut_headers": _cut_headers,
    "cut_body": _cut_body,
    "cut_tail": _cut_tail,
    "big_body": _big_body,
    "gzip_bomb": _gzip_bomb,
    "garbage": _garbage,
    "no_status_line": _no_status_line,
    "continue_flood": _continue_flood,
}
