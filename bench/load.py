"""The load generator, a process of its own: each webhook on a fresh connection, as most CRMs send them.

It reads orders from its input and writes what came of each to its output, one line of JSON each:

    {"port": 8000, "secret": "...", "first": 0, "count": 50, "rate": 10}      evenly spaced, whatever the answers do
    {"port": 8000, "secret": "...", "first": 50, "count": 1000, "senders": 8} as fast as the senders get answers

    -> {"sent": [[n, status, sent_at, answered_at], ...]}                     instants of time.monotonic()

`sent_at` is the moment before the connection is opened. Status 0 says that there was no answer.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from bench.leads import webhook_of

PACED_SENDERS = 16
TIMEOUT_SECONDS = 60.0


def main() -> None:
    """Carry out orders until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"sent": fire(json.loads(line))}) + "\n")
        sys.stdout.flush()


def fire(order: dict[str, Any]) -> list[tuple[int, int, float, float]]:
    """Send what the order says; what came of each webhook."""
    first, port = order["first"], order["port"]
    numbers = range(first, first + order["count"])
    webhooks = {n: webhook_of(n, order["secret"], port) for n in numbers}
    rate = order.get("rate")
    begin_at = time.monotonic() + 0.05
    turns = iter([(n, 0.0 if rate is None else begin_at + i / rate) for i, n in enumerate(numbers)])
    lock = threading.Lock()
    sent: list[tuple[int, int, float, float]] = []

    def send() -> None:
        for n, at in _shared(turns, lock):
            time.sleep(max(0.0, at - time.monotonic()))
            sent.append((n, *_send(port, webhooks[n])))

    threads = [threading.Thread(target=send) for _ in range(order.get("senders", PACED_SENDERS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(sent)


def _shared(turns: Iterator[tuple[int, float]], lock: threading.Lock) -> Iterator[tuple[int, float]]:
    for _ in itertools.count():
        with lock:
            turn = next(turns, None)
        if turn is None:
            return
        yield turn


def _send(port: int, webhook: bytes) -> tuple[int, float, float]:
    """Status, and the instants before the connection and after the whole answer."""
    sent_at = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(webhook)
            status = _read_answer(sock)
    except (OSError, ValueError, IndexError):
        status = 0
    return status, sent_at, time.monotonic()


def _read_answer(sock: socket.socket) -> int:
    """The status of an answer, once its body is here. Raises ValueError or IndexError for what is none."""
    got = b""
    length: int | None = None
    end = -1
    while length is None or len(got) < end + 4 + length:
        piece = sock.recv(65536)
        if not piece:
            break
        got += piece
        end = got.find(b"\r\n\r\n")
        if end >= 0 and length is None:
            fields = (line.partition(b":") for line in got[:end].split(b"\r\n"))
            length = next(int(value) for name, _, value in fields if name.lower() == b"content-length")
    return int(got.split(b" ", 2)[1])


if __name__ == "__main__":
    main()
