"""Rows T20 and F33: strangers by the thousand, and a system with few files, against the real server as a process."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.rig import Rig, set_up_rig
from tests.web.door import Caller, body_of, request_of

pytestmark = pytest.mark.slow

FEW_FILES = """
import resource, sys
from pathlib import Path
from integration.ledger import migrate
from tests.web.door import open_door
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
migrate(f"sqlite:///{sys.argv[1]}")
with open_door(Path(sys.argv[1])) as door:
    print(door.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with set_up_rig(tmp_path, f"sqlite:///{tmp_path / 'ringback.db'}") as rig:
        yield rig


def _memory_kb(rig: Rig) -> int:
    assert rig.server is not None
    status = Path(f"/proc/{rig.server.process.pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def _forge(port: int, until: float, refused: list[int]) -> None:
    """Wrongly signed webhooks without a pause."""
    body = b'{"data": {"Id": "1", "Phone": "+15551234567"}}' + b" " * 20_000
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    while time.monotonic() < until:
        connection.request("POST", "/hooks/our-crm", body, {"X-Signature": "sha256=" + "0" * 64})
        answer = connection.getresponse()
        answer.read()
        refused.append(answer.status)
    connection.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc: every Linux has it")
def test_t20_a_flood_of_forged_webhooks_holds_up_no_signed_one_and_takes_no_memory(rig: Rig) -> None:
    rig.start()
    rig.send(1)
    refused: list[int] = []
    until = time.monotonic() + 4.0
    strangers = [threading.Thread(target=_forge, args=(rig.port, until, refused)) for _ in range(8)]
    for stranger in strangers:
        stranger.start()
    time.sleep(0.5)
    before_kb = _memory_kb(rig)
    sent = []
    while time.monotonic() < until - 0.2:
        sent.append(rig.send(len(sent) + 2))
        time.sleep(0.05)
    grown_kb = _memory_kb(rig) - before_kb
    for stranger in strangers:
        stranger.join()
    assert {one.status for one in sent} == {200}
    assert max(one.took_seconds for one in sent) < 1.0
    assert set(refused) == {401}
    assert len(refused) > 200
    assert grown_kb < 20_000
    assert len(rig.leads()) == len(sent) + 1


def _answered(port: int, patience_seconds: float) -> int:
    with Caller(port, patience_seconds) as caller:
        caller.send(request_of(body_of()))
        return caller.answer().status


def test_f33_strangers_who_hold_more_connections_than_there_are_files_keep_nobody_out_for_long(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FEW_FILES, str(tmp_path / "ringback.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with contextlib.ExitStack() as strangers:
            for _ in range(400):
                strangers.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(3):
                assert _answered(port, patience_seconds=10.0) == 200
        assert _answered(port, patience_seconds=5.0) == 200
        server.stdin.close()
        assert server.wait(10) == 0
