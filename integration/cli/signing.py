"""`doctor signature`: why a captured request is refused, for the person who holds the request and the settings.

A capture rarely is what was sent: editors add a line end, tools write LF for CRLF, and hours pass. What can be undone
is undone, and what cannot is said, because each of these looks like a wrong signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO
from urllib.parse import urlsplit

import click

from integration.bootstrap import read_environment, read_rules_to_look
from integration.cli.judging import LARGEST_MESSAGE
from integration.cli.looking import Since
from integration.cli.terminal import CannotBegin, clean, counted, say, say_json
from integration.settings import read_settings
from integration.signatures import Diagnosis, SignedRequest, Suspect, diagnose

_REQUEST_LINE = re.compile(rb"([A-Z]{3,10}) ([^\s]{1,8000}) HTTP/1\.[01]\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,100}\r?\n")


@dataclass(frozen=True, slots=True)
class Captured:
    """One request as a file has it. `notes` are sentences on what the capture itself got wrong."""

    method: str
    target: str  # path and query
    headers: tuple[tuple[str, str], ...]
    body: bytes
    notes: tuple[str, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


def read_capture(raw: bytes) -> Captured | None:
    """A raw HTTP request; None when the bytes do not begin like one."""
    first = _REQUEST_LINE.match(raw)
    if first is None:
        return None
    ends = [(at, len(end)) for end in (b"\r\n\r\n", b"\n\n") if (at := raw.find(end, first.end() - 2)) >= 0]
    at, width = min(ends, default=(len(raw), 0))
    lines = raw[first.end() : max(at, first.end())].replace(b"\r\n", b"\n").split(b"\n")
    pairs = [line.decode("latin-1").partition(":") for line in lines if b":" in line]
    headers = tuple((name.strip(), value.strip()) for name, _, value in pairs)
    target = first[2].decode("latin-1")
    if not target.startswith("/"):  # as proxies write it
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    captured = Captured(first[1].decode("ascii"), target, headers, raw[at + width :])
    return _unwrapped(captured)


def _unwrapped(captured: Captured) -> Captured:
    """The capture with its body cut to what the headers announce."""
    if (captured.header("Transfer-Encoding") or "").lower() == "chunked":
        body = _joined_chunks(captured.body)
        if body is not None:
            return replace(captured, body=body)
        note = "The headers announce chunks and the body has none: the tool that captured it may have joined them."
        return replace(captured, notes=(note,))
    length = captured.header("Content-Length") or ""
    if not length.isascii() or not length.isdigit() or len(length) > 9:
        return captured
    have, announced = len(captured.body), int(length)
    if have > announced and not captured.body[announced:].strip():
        return replace(captured, body=captured.body[:announced])  # an editor's line end
    if have != announced:
        note = (
            f"The file holds {counted(have, 'byte')} of body, and Content-Length says {announced}: the capture is not "
            "what was sent (cut off, or line ends changed), so what follows may be about the capture alone."
        )
        return replace(captured, notes=(note,))
    return captured


def _joined_chunks(raw: bytes) -> bytes | None:
    """The body out of its chunks, or None when these are none."""
    pieces: list[bytes] = []
    at = 0
    while (size := _CHUNK_SIZE.match(raw, at)) is not None:
        length = int(size[1], 16)
        piece = raw[size.end() : size.end() + length]
        if length == 0:
            return b"".join(pieces)
        if len(piece) < length:
            return None
        pieces.append(piece)
        at = size.end() + length
        at += 2 if raw[at : at + 2] == b"\r\n" else 1
    return None


# ---- the command --------------------------------------------------------------------------------


@click.command()
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="A header, when FILE is a body alone."
)
@click.option("--method", metavar="METHOD", help="The method, when FILE is a body alone. Default: POST.")
@click.option("--url", metavar="URL", help="The whole address that the CRM calls. Default: made from PUBLIC_URL.")
@click.option("--retired-secret-env", "retired", metavar="NAME", multiple=True, help="A variable with an old secret.")
@click.option(
    "--received", type=Since(), help="When the request came: 20m, 2h, or 2026-11-01T08:00 (UTC). Default: now."
)
@click.option("--json", "as_json", is_flag=True, help="Print the finding as JSON.")
def signature(
    *,
    source: str,
    file: IO[bytes],
    headers: Sequence[str],
    method: str | None,
    url: str | None,
    retired: Sequence[str],
    received: datetime | None,
    as_json: bool,
) -> None:
    """Say why a captured request is refused.

    FILE is a whole HTTP request as `nc` or a request bin shows it, or a body alone with --header for each header.
    Tries the usual mistakes one by one: another secret, a blank at its edge, hex for base64, a body changed on its
    way, another address, clocks that differ. Neither the secret nor the right signature is ever shown. Exit code 0
    when the signature is right, 1 when it is not, 2 when the key is not held here.

    \b
    Example:
      ringback doctor signature our-crm captured.txt
      ringback doctor signature our-crm body.json --header 'X-Signature: sha256=2c26b4'
      ringback doctor signature our-crm captured.txt --retired-secret-env OLD_SECRET --received 2h
    """
    environ = read_environment()
    settings = read_settings(environ)
    rules = read_rules_to_look(settings.rules_path, environ)
    if source not in rules.sources:
        raise CannotBegin(f"the rules have no source {source!r}; there are: {', '.join(rules.sources)}")
    scheme = rules.sources[source].scheme
    if scheme.keys == 0:
        raise CannotBegin(
            f"the key of source {source} is not held here: set the variables that its `verify:` names, as for `serve`"
        )
    captured = _captured(file.read(LARGEST_MESSAGE), headers, method, rules.sources[source].path)
    asked = url or (None if settings.public_url is None else settings.public_url + captured.target)
    query = (url or captured.target).partition("?")[2]
    request = SignedRequest(captured.method, asked, captured.headers, query, captured.body)
    found = diagnose(scheme, request, received or datetime.now(UTC), _retired(environ, retired))
    if found.suspect is Suspect.NOTHING and scheme.signs_url:
        found = _not_ours(url, settings.public_url, captured.target) or found
    message = found.message
    if found.suspect is Suspect.CLOCK and received is None:
        message += " If this is an older capture, say with --received when it came."
    if as_json:
        say_json(
            {"suspect": found.suspect, "proved": found.is_proved, "message": message, "capture": list(captured.notes)}
        )
    else:
        for note in captured.notes:
            say(note)
        certain = "" if found.suspect is Suspect.NOTHING else "Proved: " if found.is_proved else "Likely: "
        say(certain + message)
    if found.suspect is not Suspect.NOTHING:
        raise click.exceptions.Exit(1)


def _not_ours(called: str | None, public_url: str | None, target: str) -> Diagnosis | None:
    """What is wrong when a signature fits the address of --url, and the server would check another one."""
    if called is None or public_url is None:
        return None
    fitting, checked = (address.partition("?")[0] for address in (called, public_url + target))
    if fitting == checked:
        return None
    text = (
        f"The signature fits {fitting}, and PUBLIC_URL makes it {checked}: "
        "correct PUBLIC_URL, or the address in the CRM."
    )
    return Diagnosis(Suspect.PUBLIC_URL, text, is_proved=True)


def _captured(raw: bytes, headers: Sequence[str], method: str | None, target: str) -> Captured:
    whole = None if headers else read_capture(raw)
    if whole is not None:
        return whole if method is None else replace(whole, method=method.upper())
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise CannotBegin(f"--header: {clean(name)[:60]!r} is no header; write 'Name: value'")
        pairs.append((name.strip(), value.strip()))
    if not pairs:
        raise CannotBegin(
            "FILE is no whole HTTP request (it must begin with a line like `POST /hooks/our-crm HTTP/1.1`); "
            "for a body alone give each header with --header 'Name: value'"
        )
    return Captured((method or "POST").upper(), target, tuple(pairs), raw)


def _retired(environ: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The retired secrets; two in one variable are separated by a space, as in the rules."""
    missing = [name for name in names if not environ.get(name, "").strip()]
    if missing:
        raise CannotBegin(*(f"--retired-secret-env: the variable {clean(name)} is not set" for name in missing))
    return [word for name in names for word in (environ[name], *environ[name].split())]
