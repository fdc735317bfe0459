"""SIGTERM: what was acknowledged stays, what is under way is finished, and the process ends in time."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from itertools import count

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Burst, Rig, Sent, number_of, wait_until

pytestmark = pytest.mark.slow

LONGEST_STOP_SECONDS = 10.0


def test_an_idle_server_ends_at_once(rig: Rig) -> None:
    rig.start()
    began_at = time.monotonic()
    rig.terminate()
    assert rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
    assert time.monotonic() - began_at < 3.0


@pytest.mark.parametrize("kept", [True, False], ids=["kept connections", "new connections"])
def test_under_load_nothing_that_was_acknowledged_is_lost(rig: Rig, kept: bool) -> None:
    rig.contact_centre.latency_ms = 20
    rig.start()
    with Burst(rig, count(), threads=16, kept=kept) as burst:
        wait_until(lambda: burst.acknowledged > 50)
        rig.terminate()
        assert rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
        sent = burst.join()
    # Whoever was told that the connection ends came again, to a server that was gone. Nobody on a kept connection was
    # cut off; a new one whose handshake ends in the instant in which the port is closed is reset by the kernel.
    gone = {"ConnectionRefusedError"} if kept else {"ConnectionRefusedError", "ConnectionResetError"}
    assert {one.error for one in sent if one.status is None} <= gone
    assert rig.states()[LeadState.DIALING] == 0
    assert rig.states()[LeadState.CLAIMED] == 0
    rig.start()
    wait_until(rig.is_quiet, 20)
    assert rig.assert_nothing_was_lost(sent)[LeadState.UNKNOWN] == 0


def test_calls_under_way_are_waited_for(rig: Rig) -> None:
    rig.contact_centre.behave("slow:3000")
    rig.start()
    sent = [rig.send(n) for n in range(5)]
    wait_until(lambda: len(rig.contact_centre.calls()) == 5)
    rig.terminate()
    assert rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
    assert rig.states() == {LeadState.CALLED: 5}
    rig.contact_centre.behave("answer")
    rig.start()
    wait_until(rig.is_quiet)
    rig.assert_nothing_was_lost(sent)
    assert rig.asked() == {number_of(n): 1 for n in range(5)}


def test_a_call_that_never_ends_does_not_hold_up_the_exit(sqlite_rig: Rig) -> None:
    sqlite_rig.contact_centre.behave("hang")
    sqlite_rig.start()
    sent = [sqlite_rig.send(n) for n in range(3)]
    wait_until(lambda: len(sqlite_rig.contact_centre.calls()) == 3)
    began_at = time.monotonic()
    sqlite_rig.terminate()
    assert sqlite_rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
    assert time.monotonic() - began_at < LONGEST_STOP_SECONDS
    assert sqlite_rig.states() == {LeadState.UNKNOWN: 3}
    sqlite_rig.start()
    wait_until(sqlite_rig.is_quiet)
    sqlite_rig.assert_nothing_was_lost(sent)


def test_a_request_that_is_being_kept_is_answered_before_the_end(sqlite_rig: Rig) -> None:
    sqlite_rig.start()
    assert sqlite_rig.send(0).status == 200
    wait_until(sqlite_rig.is_quiet)
    other = sqlite3.connect(sqlite_rig.database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    sent: list[Sent] = []
    thread = threading.Thread(target=lambda: sent.append(sqlite_rig.send(1)))
    thread.start()
    time.sleep(0.2)  # nothing outside shows that the request has reached the database
    sqlite_rig.terminate()
    time.sleep(0.2)
    other.execute("ROLLBACK")
    other.close()
    thread.join()
    assert [one.status for one in sent] == [200]
    assert sqlite_rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0


def test_more_than_one_signal_changes_nothing(sqlite_rig: Rig) -> None:
    sqlite_rig.contact_centre.behave("slow:1000")
    sqlite_rig.start()
    sqlite_rig.send(0)
    wait_until(lambda: len(sqlite_rig.contact_centre.calls()) == 1)
    assert sqlite_rig.server is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        sqlite_rig.server.process.send_signal(number)
        time.sleep(0.1)
    assert sqlite_rig.wait_for_exit(LONGEST_STOP_SECONDS) == 0
    assert sqlite_rig.states() == {LeadState.CALLED: 1}


def test_signals_that_come_until_the_very_end_leave_the_exit_code_alone(sqlite_rig: Rig) -> None:
    sqlite_rig.start()
    assert sqlite_rig.server is not None
    process = sqlite_rig.server.process
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert process.returncode == 0
