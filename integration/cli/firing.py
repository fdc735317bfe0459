"""How signed events leave: one after another or several at once, at a pace, each signed as it goes.

A repetition follows the answer to its original, as a CRM's does, so that the server must know it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from integration.http import Client, HttpError
from integration.signatures import Scheme, SignedRequest, sign, signed_query

DEADLINE_SECONDS = 30.0
KNOWN_WORDS = frozenset({"accepted", "duplicate", "ignored", "parked"})


@dataclass(frozen=True, slots=True)
class Result:
    """What one request came to."""

    n: int  # the event's number, from 1
    is_repeat: bool
    status: int | None  # None: no answer
    word: str  # the server's word for what it did; empty when it said none
    lead: int | None
    took_ms: float
    problem: str = ""  # why there is no answer


@dataclass(frozen=True, slots=True)
class Sender:
    """Signs and sends events to one address.

    `address` is where requests go, `signed_address` what the signature covers where it covers the address: the one
    under which the CRM knows the server. Both are without a query.
    """

    client: Client
    scheme: Scheme
    address: str
    signed_address: str
    content_type: str

    def prepared(self, body: bytes, now: datetime) -> tuple[str, dict[str, str]]:
        """The URL and the headers of this event. Raises SchemeMistake when it cannot be signed."""
        query = signed_query(self.scheme, "")
        tail = f"?{query}" if query else ""
        given = [("Content-Type", self.content_type)]
        request = SignedRequest("POST", self.signed_address + tail, given, query, body)
        return self.address + tail, dict([*given, *sign(self.scheme, request, now)])

    def send(self, n: int, body: bytes, *, is_repeat: bool = False) -> Result:
        """One request. Never raises for what the other side does."""
        url, headers = self.prepared(body, datetime.now(UTC))
        began = time.perf_counter()
        try:
            answer = self.client.request("POST", url, headers=headers, body=body, deadline_seconds=DEADLINE_SECONDS)
        except HttpError as error:
            return Result(n, is_repeat, None, "", None, 1000 * (time.perf_counter() - began), str(error))
        took_ms = 1000 * (time.perf_counter() - began)
        word, lead = _said(answer.body)
        return Result(n, is_repeat, answer.status, word, lead, took_ms)


def _said(body: bytes) -> tuple[str, int | None]:
    """The word and the lead of an answer of Ringback; nothing for anyone else's."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    word, lead = (said.get("status"), said.get("lead")) if isinstance(said, dict) else ("", None)
    known = isinstance(word, str) and word in KNOWN_WORDS
    return (str(word) if known else ""), (lead if isinstance(lead, int) else None)


def fire(
    sender: Sender, bodies: Iterator[bytes], *, twice: bool, at_once: int, per_second: float | None
) -> Iterator[Result]:
    """Each body sent, and once more if `twice`; the results as they come. At most `at_once` are under way."""

    def shoot(n: int, body: bytes) -> list[Result]:
        first = sender.send(n, body)
        return [first, sender.send(n, body, is_repeat=True)] if twice else [first]

    under_way: set[Future[list[Result]]] = set()
    began = time.monotonic()
    with ThreadPoolExecutor(at_once, thread_name_prefix="send") as pool:
        for n, body in enumerate(bodies, 1):
            if per_second is not None:
                time.sleep(max(0.0, began + (n - 1) / per_second - time.monotonic()))
            while len(under_way) >= at_once:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (result for one in done for result in one.result())
            under_way.add(pool.submit(shoot, n, body))
        for one in under_way:
            yield from one.result()
