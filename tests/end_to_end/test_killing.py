"""kill -9 in the middle of a burst: after a restart every acknowledged lead has a result, and nobody rang twice."""

from __future__ import annotations

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Burst, Rig, wait_until

pytestmark = pytest.mark.slow

BURST = 200


@pytest.mark.parametrize("acknowledged_before", [30, 150])
def test_a_killed_server_loses_nothing_and_rings_nobody_twice(rig: Rig, acknowledged_before: int) -> None:
    rig.contact_centre.latency_ms = 20
    rig.start()
    with Burst(rig, range(BURST)) as burst:
        wait_until(lambda: burst.acknowledged >= acknowledged_before)
        rig.kill()
        first = burst.join()
    _let_a_minute_pass(rig)
    rig.start()
    acknowledged = {one.n for one in first if one.status == 200}
    with Burst(rig, [n for n in range(BURST) if n not in acknowledged]) as burst:  # as a CRM does
        again = burst.join()
    assert {one.status for one in again} == {200}
    wait_until(rig.is_quiet, 20)
    states = rig.assert_nothing_was_lost([*first, *again])
    assert states[LeadState.CALLED] + states[LeadState.UNKNOWN] == BURST
    assert states[LeadState.UNKNOWN] <= 16  # no more than there are dial threads


def _let_a_minute_pass(rig: Rig) -> None:
    """On PostgreSQL a worker is taken for dead after 45 s, and a lease of its write-backs ends after 60 s.

    Everything in these columns belongs to the dead worker now, so its clock is moved instead of waited for.
    SQLite needs none of it: whoever holds the file is alone.
    """
    if rig.database_url.startswith("sqlite"):
        return
    ledger = rig.open_ledger()
    try:
        with ledger.database.write() as tx:
            assert tx.run("UPDATE worker SET heartbeat_at = heartbeat_at - 60000") == 1
            tx.run("UPDATE lead SET lease_until = lease_until - 60000")
            tx.run("UPDATE writeback SET lease_until = lease_until - 60000")
    finally:
        ledger.close()
