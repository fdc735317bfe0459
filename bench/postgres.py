"""A temporary PostgreSQL for the run, with full durability: unlike that of the tests, it calls fsync."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from bench.processes import BenchError


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the newest installed one, or the one on the PATH."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def cluster(folder: Path, names: list[str]) -> Iterator[dict[str, str]]:
    """A server until the block ends; the URL of an empty database for each name. Raises BenchError.

    `initdb` refuses to run as root, so there the cluster belongs to the user postgres.
    """
    home = Path(tempfile.mkdtemp(prefix="ringback-bench-pg-"))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        made = subprocess.run(
            [folder / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"],
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
        if made.returncode != 0:
            raise BenchError(f"initdb failed: {made.stderr.strip()[-500:]}")
        with _server(folder, home, identity) as url:
            yield {name: _create(url, name) for name in names}
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _server(folder: Path, home: Path, identity: dict[str, Any]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "shared_buffers=64MB"]
    options = [part for setting in settings for part in ("-c", setting)]
    with (home / "log").open("wb") as output:
        process = subprocess.Popen(
            [folder / "postgres", "-D", home / "data", *options],
            stdout=output,
            stderr=output,
            cwd=home,
            start_new_session=True,
            **identity,
        )
    try:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.send_signal(3)  # SIGQUIT: at once
            process.wait(5)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise BenchError("the temporary PostgreSQL does not answer") from None
            time.sleep(0.05)
        else:
            return


def _create(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return url.removesuffix("/postgres") + f"/{name}"
