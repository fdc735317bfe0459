"""A process dies at every point of a lead's way, whatever the dialer does, on both databases; another one goes on.

The witness is the contact centre, which counts at its socket and takes the worst case: where an answer proves
nothing, the phone rang. Whatever happens, it rings at most once, no acknowledged lead is lost, each ends in a
named result, and the CRM hears that result.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import integration
from integration.ledger import LeadStory, Ledger, open_database
from integration.model import LeadId
from integration.sandbox.contact_centre import ContactCentre
from integration.sandbox.crm import Crm
from tests.crash.driver import KILLED
from tests.ledger.conftest import emptied, shared_ledger, sqlite_template
from tests.postgres import databases

__all__ = ["shared_ledger", "sqlite_template"]

pytestmark = pytest.mark.slow

NUMBER = "+12125552001"

# What the lead ends as when the dialer behaves so at its first call, and nothing else goes wrong.
BEHAVIOURS = {
    "answer": "called",
    "no_id": "called",
    "status_429": "called",
    "status_400": "blocked",
    "status_404": "called",
    "expire_token": "called",
    "status_500": "unknown",
    "status_503": "unknown",
    "reset_before": "unknown",
    "reset_after": "unknown",
    "hang": "unknown",
    "garbage": "unknown",
}

REFUSALS = (400, 401, 404, 429)  # the contact centre's words that nobody was rung

# A process that dies between the intent and its record leaves a doubt, though nothing may have been sent.
UNKNOWN_POINTS = ("intent.committed", "call.before_send", "call.answer_read", "settle.before_commit")
OTHER_POINTS = (
    "intake.before_commit",
    "intake.committed",
    "claim.before_commit",
    "claim.committed",
    "prepare.done",
    "intent.before_commit",
    "settle.committed",
    "writeback.taken",
    "writeback.answered",
    "writeback.before_commit",
    "writeback.committed",
)
SPECIAL_POINTS = (
    "set_back.before_commit",
    "set_back.committed",
    "finish.before_commit",
    "finish.committed",
    "wait.before_commit",
    "wait.committed",
    "recover.before_commit",
    "recover.committed",
)


def test_every_point_in_the_source_is_tried() -> None:
    source = Path(integration.__file__).parent
    found = {
        name
        for path in source.rglob("*.py")
        for name in re.findall(r'\breach\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert found == {*UNKNOWN_POINTS, *OTHER_POINTS, *SPECIAL_POINTS}


class Forks:
    """The driver, and the children it makes."""

    def __init__(self) -> None:
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(integration.__file__).parent.parent,
        )
        assert self._read() == {"ready": True}

    def _read(self) -> dict[str, Any]:
        assert self._driver.stdout is not None
        line = self._driver.stdout.readline()
        assert line, "the driver died"
        found: dict[str, Any] = json.loads(line)
        return found

    def _write(self, what: dict[str, Any]) -> None:
        assert self._driver.stdin is not None
        self._driver.stdin.write(json.dumps(what) + "\n")
        self._driver.stdin.flush()

    def begin(self, order: dict[str, Any]) -> int:
        """Start a child; its process id."""
        self._write(order)
        said = self._read()
        while "pid" not in said:  # the child may speak first
            said = self._read()
        return int(said["pid"])

    def end(self, pid: int) -> int:
        """Wait for a child; its exit code, or minus the signal that ended it."""
        self._write({"wait": pid})
        said = self._read()
        while "exit" not in said:
            assert "error" not in said, said
            said = self._read()
        return int(said["exit"])

    def run(self, order: dict[str, Any]) -> int:
        return self.end(self.begin(order))

    def close(self) -> None:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.close()
        self._driver.wait(5)
        self._driver.stdout.close()


class Scene:
    """One lead, the processes that work on it, and the witness."""

    def __init__(self, ledger: Ledger, forks: Forks, centre: ContactCentre, crm: Crm) -> None:
        self.ledger = ledger
        self.forks = forks
        self.centre = centre
        self.crm = crm
        self.record = crm.create({"Phone": NUMBER, "Email": "jo@example.org"})
        self.order: dict[str, Any] = {
            "database_url": ledger.database.url,
            "centre_url": centre.url,
            "crm_url": crm.url,
            "crm_token": crm.token,
            "body": json.dumps(self.record),
            "is_sent": True,
        }

    def begin(self, **more: Any) -> int:
        return self.forks.begin({**self.order, **more})

    def run(self, **more: Any) -> int:
        return self.forks.run({**self.order, **more})

    def go_on(self) -> None:
        """What happens after a death: the CRM, which may not have been answered, sends again; all work is done."""
        assert self.run() == 0

    def story(self) -> LeadStory:
        """The only lead there is."""
        assert self.ledger.reading.broken_invariants() == {}
        (lead,) = self.ledger.reading.leads()
        story = self.ledger.reading.story(LeadId(lead.id))
        assert story is not None
        return story

    def check(self, result: str) -> LeadStory:
        """The promises, and that the lead ended so."""
        calls = self.centre.calls_to(NUMBER)
        refused = [call for call in calls if call.answered in REFUSALS]
        assert sum(call.rang for call in calls) <= 1
        assert len(calls) - len(refused) <= 1
        story = self.story()
        assert story.lead.state == result
        assert story.lead.writeback_state == "done"
        told = self.crm.lead(self.record["Id"])
        assert told is not None
        assert (told["result"], told["call_id"]) == (result, story.lead.call_id)
        if story.lead.call_id is not None:
            assert [call.call_id for call in calls if call.rang] == [story.lead.call_id]
        return story


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="module")
def centre() -> Iterator[ContactCentre]:
    with ContactCentre() as made:
        yield made


@pytest.fixture(scope="module")
def crm() -> Iterator[Crm]:
    with Crm(token="crm-token") as made:
        yield made


@pytest.fixture(params=databases())
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, forks: Forks, centre: ContactCentre, crm: Crm
) -> Iterator[Scene]:
    centre.reset()
    crm.journal.reset()
    if request.param == "postgresql":
        ledger: Ledger = request.getfixturevalue("shared_ledger")
        emptied(ledger)
        yield Scene(ledger, forks, centre, crm)
        return
    path = tmp_path / "ringback.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    ledger = Ledger(open_database(f"sqlite:///{path}"))
    yield Scene(ledger, forks, centre, crm)
    ledger.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_without_a_crash_each_behaviour_has_its_end(scene: Scene, behaviour: str) -> None:
    scene.centre.behave(behaviour, times=1)
    assert scene.run() == 0
    scene.check(BEHAVIOURS[behaviour])


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("point", UNKNOWN_POINTS)
def test_a_death_between_intent_and_record_leaves_a_doubt_and_no_second_call(
    scene: Scene, point: str, behaviour: str
) -> None:
    scene.centre.behave(behaviour, times=1)
    assert scene.run(point=point) == KILLED
    asked = len(scene.centre.calls_to(NUMBER))
    scene.go_on()
    story = scene.check("unknown")
    assert story.lead.reason == "worker_lost"
    assert len(scene.centre.calls_to(NUMBER)) == asked  # nothing was sent after the death


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("point", OTHER_POINTS)
def test_a_death_anywhere_else_changes_nothing(scene: Scene, point: str, behaviour: str) -> None:
    scene.centre.behave(behaviour, times=1)
    assert scene.run(point=point) == KILLED
    scene.go_on()
    scene.check(BEHAVIOURS[behaviour])


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("point", ["set_back.before_commit", "set_back.committed"])
def test_a_death_while_a_lead_is_put_off_changes_nothing(scene: Scene, point: str, behaviour: str) -> None:
    scene.centre.behave("status_503", times=1, on="token")
    scene.centre.behave(behaviour, times=1)
    assert scene.run(point=point) == KILLED
    scene.go_on()
    scene.check(BEHAVIOURS[behaviour])


@pytest.mark.parametrize("point", ["finish.before_commit", "finish.committed"])
def test_a_death_while_a_lead_is_skipped_changes_nothing(scene: Scene, point: str) -> None:
    scene.order["body"] = json.dumps({**scene.record, "Email": "qa@example.com"})
    assert scene.run(point=point) == KILLED
    scene.go_on()
    scene.check("skipped")
    assert scene.centre.calls() == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("point", ["wait.before_commit", "wait.committed"])
def test_a_death_while_a_lead_is_to_wait_for_the_calling_hours_changes_nothing(
    scene: Scene, point: str, behaviour: str
) -> None:
    scene.centre.behave(behaviour, times=1)
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    assert scene.run(point=point, more_rules=f"hours: {{everywhere: {{{in_three_days}: 00:00-24:00}}}}\n") == KILLED
    assert scene.centre.calls() == []
    scene.go_on()  # with rules that know no hours
    scene.check(BEHAVIOURS[behaviour])


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("point", ["recover.before_commit", "recover.committed"])
def test_a_death_while_another_one_is_recovered_from_changes_nothing(scene: Scene, point: str, behaviour: str) -> None:
    scene.centre.behave(behaviour, times=1)
    assert scene.run(point="call.answer_read") == KILLED
    assert scene.run(point=point) == KILLED
    scene.go_on()
    scene.check("unknown")


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)


@pytest.mark.parametrize("behaviour", ["hang", "slow:2000", "drip_body:500"])
def test_a_process_killed_while_the_dialer_has_its_request_sends_no_other(scene: Scene, behaviour: str) -> None:
    scene.centre.behave(behaviour, times=1)
    pid = scene.begin(deadline_seconds=8.0)
    until(lambda: len(scene.centre.calls_to(NUMBER)) == 1)
    os.kill(pid, signal.SIGKILL)
    assert scene.forks.end(pid) == -signal.SIGKILL
    scene.go_on()
    scene.check("unknown")
    assert len(scene.centre.calls_to(NUMBER)) == 1


@pytest.mark.parametrize("point", ["intent.committed", "call.before_send"])
def test_a_process_that_was_suspended_before_sending_sends_nothing_when_it_wakes_too_late(
    scene: Scene, point: str
) -> None:
    pid = scene.begin(point=point, stops=True, send_by_seconds=0.2)
    until(lambda: is_stopped(pid))
    assert scene.story().lead.state == "dialing"
    time.sleep(0.25)  # it sleeps beyond its `send_by`; nothing else tells time to a stopped process
    scene.go_on()
    assert scene.story().lead.state == "unknown"
    assert scene.centre.calls() == []
    os.kill(pid, signal.SIGCONT)
    assert scene.forks.end(pid) == 0
    story = scene.check("called")  # its proof that nothing was sent frees the lead, which is then called once
    assert [attempt.state for attempt in story.attempts] == ["not_placed", "placed"]


# Outside of transactions: inside of one a process that sleeps holds the others up, and they wait.
SLEEPY_POINTS = (
    "intake.committed",
    "claim.committed",
    "prepare.done",
    "intent.committed",
    "call.before_send",
    "call.answer_read",
    "settle.committed",
    "writeback.taken",
    "writeback.answered",
    "writeback.committed",
)


@pytest.mark.parametrize("behaviour", ["answer", "no_id", "status_429", "status_400", "status_500"])
@pytest.mark.parametrize("point", SLEEPY_POINTS)
def test_a_process_that_sleeps_while_another_takes_its_place_changes_nothing(
    scene: Scene, point: str, behaviour: str
) -> None:
    """The other one takes it for dead. When it wakes it goes on as if nothing had been."""
    scene.centre.behave(behaviour, times=1)
    pid = scene.begin(point=point, stops=True)
    until(lambda: is_stopped(pid))
    scene.go_on()
    assert scene.story().lead.state.is_result
    os.kill(pid, signal.SIGCONT)
    assert scene.forks.end(pid) == 0
    scene.check(BEHAVIOURS[behaviour])


def test_a_result_that_is_told_late_never_stands_over_a_newer_one(scene: Scene) -> None:
    scene.centre.behave("status_500", times=1)
    pid = scene.begin(point="writeback.taken", stops=True, leased_seconds=0.2)
    until(lambda: is_stopped(pid))
    scene.ledger.people.was_rung(scene.story().lead.id, by="a person", call_id=None)
    scene.go_on()
    scene.check("called")
    time.sleep(0.25)  # beyond what the lease allows
    os.kill(pid, signal.SIGCONT)
    assert scene.forks.end(pid) == 0
    scene.check("called")


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
