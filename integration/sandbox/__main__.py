"""`python -m integration.sandbox contact-centre` or `crm`: one sandbox server as a process.

It prints one line of JSON when it is ready, {"url": "...", ...}, and stops on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from integration.sandbox.certificate import self_signed
from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.crm import Crm


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 then, 2 for arguments that make no sense, 1 if it cannot start."""
    options = _options(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="ringback-sandbox-") as folder:
        try:
            server, said = _server(options, Path(folder))
        except (OSError, RuntimeError) as error:
            sys.stderr.write(f"The sandbox cannot start: {error}\n")
            return 1
        with server:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
            stop.wait()
    return 0


def _server(options: argparse.Namespace, folder: Path) -> tuple[ContactCentre | Crm, dict[str, str]]:
    tls, trust = self_signed(folder) if options.tls else (None, None)
    server: ContactCentre | Crm
    if options.what == "crm":
        server = Crm(host=options.host, port=options.port, token=options.token, tls=tls)
        said = {"url": server.url, "token": server.token}
    else:
        server = ContactCentre(
            host=options.host,
            port=options.port,
            tls=tls,
            latency_ms=options.latency_ms,
            token_seconds=options.token_seconds,
        )
        said = {"url": server.url}
    if trust is not None:
        said["certificate"] = str(trust)  # for SSL_CERT_FILE
    return server, said


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m integration.sandbox", description=__doc__)
    parser.add_argument("what", choices=["contact-centre", "crm"])
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any free one")
    parser.add_argument("--tls", action="store_true", help="with a certificate made on the spot")
    parser.add_argument("--latency-ms", type=float, default=0, help="contact centre: each call takes this long")
    parser.add_argument("--token-seconds", type=float, default=3600, help="contact centre: lifetime of a token")
    parser.add_argument("--token", help="crm: the bearer token it wants; left out, one is made up and printed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
