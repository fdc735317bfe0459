"""From the webhook to the call to the CRM's record, with the real server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from integration.model import LeadState
from tests.end_to_end.rig import Burst, Cable, Rig, number_of, set_up_rig, wait_until

pytestmark = pytest.mark.slow


def test_every_lead_is_rung_once_and_the_crm_knows_the_call_id(rig: Rig) -> None:
    rig.start()
    with Burst(rig, range(100), threads=4) as burst:
        sent = burst.join()
    assert [one.status for one in sent] == [200] * 100
    wait_until(rig.is_quiet)
    assert rig.assert_nothing_was_lost(sent) == {LeadState.CALLED: 100}
    assert rig.asked() == {number_of(n): 1 for n in range(100)}


def test_the_answer_to_the_crm_waits_for_nobody(rig: Rig) -> None:
    """Dialer and CRM hang for ever; every webhook is answered at once all the same."""
    rig.contact_centre.behave("hang")
    rig.crm.behave("hang")
    rig.start()
    sent = [rig.send(n) for n in range(40)]
    assert [one.status for one in sent] == [200] * 40
    waits = sorted(one.took_seconds for one in sent)
    assert waits[20] < 0.25
    assert waits[-1] < 1.0
    assert rig.contact_centre.calls() != []


def test_a_crm_that_hangs_delays_no_call(sqlite_rig: Rig) -> None:
    sqlite_rig.crm.behave("hang")
    sqlite_rig.start()
    for n in range(30):
        sqlite_rig.send(n)
    wait_until(lambda: len(sqlite_rig.contact_centre.calls()) == 30)
    assert sqlite_rig.asked() == {number_of(n): 1 for n in range(30)}


def test_the_server_outlives_its_postgresql(tmp_path: Path, migrated_postgres_url: str) -> None:
    """503 while the database is away, and afterwards everything goes on, also what was under way."""
    cable = Cable(migrated_postgres_url)
    with set_up_rig(tmp_path, cable.url) as rig:
        rig.contact_centre.behave("slow:300")
        rig.start()
        sent = [rig.send(n) for n in range(5)]
        wait_until(lambda: len(rig.contact_centre.calls()) == 5)
        cable.cut()
        began_at = time.monotonic()
        refused = rig.send(5)
        assert refused.status == 503
        assert time.monotonic() - began_at < 4.0
        cable.mend()
        wait_until(lambda: rig.send(6).status == 200)
        sent.append(rig.send(6))
        wait_until(rig.is_quiet, 20)
        assert rig.assert_nothing_was_lost(sent) == {LeadState.CALLED: 6}
    cable.close()
