"""What a new connection to a dialer with TLS costs, as a process of its own: `python -m bench.connecting URL`.

The certificate is trusted through SSL_CERT_FILE (ours) and REQUESTS_CA_BUNDLE (plain `requests`). Each cost is
the median of exchanges over new connections less that of exchanges over a kept one, in milliseconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import requests

from integration.http import Client

EXCHANGES = 60
PATH = "/_sandbox/summary"


def main() -> None:
    """Print one line of JSON."""
    url = sys.argv[1] + PATH
    client, session = Client(), requests.Session()

    def kept() -> None:
        client.request("GET", url, headers={}, deadline_seconds=5)

    def fresh() -> None:
        client.request_once("GET", url, headers={}, deadline_seconds=5, send_by=time.monotonic() + 5)

    def session_kept() -> None:
        session.get(url, timeout=5)

    def plain() -> None:
        requests.get(url, timeout=5)

    times = _median_ms([kept, fresh, session_kept, plain])
    costs = {"ringback_ms": times[1] - times[0], "requests_ms": times[3] - times[2]}
    sys.stdout.write(json.dumps(costs) + "\n")


def _median_ms(exchanges: list[Callable[[], None]]) -> list[float]:
    """The median time of each, taken in turns."""
    taken: list[list[float]] = [[] for _ in exchanges]
    for _ in range(EXCHANGES):
        for exchange, times in zip(exchanges, taken, strict=True):
            began_at = time.perf_counter()
            exchange()
            times.append((time.perf_counter() - began_at) * 1000)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    main()
