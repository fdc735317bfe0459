"""Small changes to the code that would break a promise: for each there is a test that fails.

Each mutant is made in a copy of the program, never here. One whose old text is not in its file any more fails loudly:
then the code has changed, and the mutant must be made anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, and the test that must not let it pass."""

    file: str
    old: str
    new: str
    test: str


MUTANTS = {
    "an intent without the epoch check": Mutant(
        "integration/ledger/calls.py",
        "AND epoch = :epoch AND state IN ('received', 'waiting', 'ready', 'claimed')\n      AND {{now}} < :valid_until",
        "AND state IN ('received', 'waiting', 'ready', 'claimed')\n      AND {{now}} < :valid_until",
        "tests/ledger/test_calls.py::test_a_worker_that_was_taken_for_dead_cannot_begin[sqlite]",
    ),
    "nobody waits for the disk": Mutant(
        "integration/ledger/database.py",
        "        if number is not None:\n            self._reach_the_disk(",
        "        if number is None:\n            self._reach_the_disk(",
        "tests/ledger/test_syncing.py::test_what_was_acknowledged_is_there_after_the_power_was_lost",
    ),
    "a sync that had begun before the commit counts": Mutant(
        "integration/ledger/syncing.py",
        "                self._on_disk = committed\n",
        "                self._on_disk = self._committed\n",
        "tests/ledger/test_syncing.py::test_a_commit_that_came_while_the_disk_was_at_work_waits_for_the_next_time",
    ),
    "no unique index over live attempts": Mutant(
        "integration/ledger/migrations/versions/0001_the_ledger.py",
        '"one_live_attempt", "attempt", ["lead_id"], live, unique=True',
        '"one_live_attempt", "attempt", ["lead_id"], live',
        "tests/ledger/test_calls.py::test_the_database_refuses_a_second_live_attempt[sqlite-unknown]",
    ),
    "a redirect is followed": Mutant(
        "integration/http/__init__.py",
        "        return _answer(response, exchange)\n",
        "        if response.status_code in (307, 308):\n"
        '            prepared.url = requests.compat.urljoin(prepared.url, response.headers["Location"])\n'
        "            response = adapter.send(prepared, stream=True, timeout=max(deadline_seconds, 0.001))\n"
        "        return _answer(response, exchange)\n",
        "tests/faults/test_http_faults.py::test_a_redirect_is_not_followed_and_its_target_sees_nothing",
    ),
    "a call that was not answered in time is tried again": Mutant(
        "integration/dialers/personal_connection.py",
        "        except Unclear as error:\n            return _unclear(",
        "        except Unclear as error:\n"
        '            return _not_placed(Reason.NOT_SENT, Next.RETRY, "again", None)\n'
        "            return _unclear(",
        "tests/crash/test_crash_points.py::test_without_a_crash_each_behaviour_has_its_end[sqlite-hang]",
    ),
    "nobody looks at send_by": Mutant(
        "integration/http/connections.py",
        "if self.send_by is not None and now > self.send_by:",
        "if self.send_by is not None and now < 0:",
        "tests/faults/test_tls_faults.py::test_a_handshake_that_ends_after_send_by_sends_nothing",
    ),
    "send_by is taken after the commit": Mutant(
        "integration/pipeline.py",
        "send_by = asked_at + _seconds_to_send(verdict, begun)\n",
        "send_by = time.monotonic() + _seconds_to_send(verdict, begun)\n",
        "tests/crash/test_crash_points.py::"
        "test_a_process_that_was_suspended_before_sending_sends_nothing_when_it_wakes_too_late[sqlite-intent.committed]",
    ),
    "a dial over a kept connection": Mutant(
        "integration/http/__init__.py",
        "return _exchange(self._fresh,",
        "return _exchange(self._kept,",
        "tests/faults/test_http_faults.py::test_a_dial_has_a_connection_of_its_own_and_others_share_one",
    ),
    "a dead worker's dialing lead is ready again": Mutant(
        "integration/ledger/upkeep.py",
        "UPDATE lead SET state = 'unknown', epoch = epoch + 1,",
        "UPDATE lead SET state = 'ready', epoch = epoch + 1,",
        "tests/ledger/test_upkeep.py::test_a_dialing_lead_is_never_made_ready[sqlite]",
    ),
    "a call that was not placed keeps its number": Mutant(
        "integration/ledger/settling.py",
        'free_guard(tx, attempt["to_number"], lead_id)',
        "pass",
        "tests/ledger/test_calls.py::test_a_call_that_was_not_placed_frees_the_number[sqlite]",
    ),
    "nobody guards a number": Mutant(
        "integration/ledger/calls.py",
        "if not take_guard(tx, decision.to, lead.id, self.cooldown_seconds):",
        "if not take_guard(tx, decision.to, lead.id, self.cooldown_seconds) and not decision.to:",
        "tests/ledger/test_calls.py::test_a_hundred_leads_with_one_number_ring_once[sqlite]",
    ),
    "the answer comes before the commit": Mutant(
        "integration/web/hooks.py",
        "receipt = _keep(services, source, body, received_at_ms)\n",
        "keep = __import__('flask').copy_current_request_context(_keep)\n"
        "        threading.Thread(target=keep, args=(services, source, body, received_at_ms)).start()\n"
        '        return Response(\'{"status": "accepted"}\')\n'
        "        receipt = _keep(services, source, body, received_at_ms)\n",
        "tests/web/test_answers.py::test_a_locked_database_is_our_trouble_and_the_crm_comes_again",
    ),
    "one call more than the limit": Mutant(
        "integration/ledger/rates.py",
        "reached = [use for use in uses if use.room <= 0]",
        "reached = [use for use in uses if use.room < 0]",
        "tests/ledger/test_rates.py::test_of_many_at_once_exactly_as_many_as_allowed_are_called[sqlite]",
    ),
    "an unclear call leaves its place to another": Mutant(
        "integration/ledger/settling.py",
        "    if outcome.kind is OutcomeKind.NOT_PLACED:\n        free_guard",
        "    if outcome.kind is not OutcomeKind.PLACED:\n        free_guard",
        "tests/ledger/test_rates.py::test_only_a_call_that_was_surely_not_placed_counts_no_longer",
    ),
    "the do-not-call list is not asked": Mutant(
        "integration/ledger/calls.py",
        "do_not_call.listed(row, self.key, asked) or ",
        "",
        "tests/ledger/test_do_not_call.py::test_a_number_on_the_list_is_not_rung[sqlite]",
    ),
    "a list with another key is taken for an empty one": Mutant(
        "integration/ledger/do_not_call.py",
        'if key is None or bytes(row["list_key"]) != key.mark:',
        "if False:",
        "tests/ledger/test_do_not_call.py::test_without_the_right_key_nobody_is_rung",
    ),
    "a brake that came after the claim is not seen": Mutant(
        "integration/ledger/calls.py",
        'stop = brakes.braked(tx, row["brakes"], of_brakes, asked)',
        "stop = brakes.braked(tx, 0, of_brakes, asked)",
        "tests/ledger/test_brakes.py::test_a_brake_that_came_after_the_lead_was_claimed_holds_it[sqlite]",
    ),
    "the brake goes before what it withholds has its time": Mutant(
        "integration/ledger/brakes.py",
        "        gone = 0\n",
        "        with self._database.write() as tx:\n"
        '            tx.run(_RELEASE, {"scope": scope})\n'
        "        gone = 0\n",
        "tests/ledger/test_brakes.py::"
        "test_after_a_crash_in_the_middle_the_brake_still_holds_and_the_order_can_be_given_again[sqlite]",
    ),
    "an order that came meanwhile is not asked for": Mutant(
        "integration/ledger/calls.py",
        'if brakes.braked(tx, attempt["brakes"], of_brakes, []) or',
        "if False and",
        "tests/ledger/test_database.py::test_an_order_that_came_while_a_call_waited_for_a_lock_stops_it",
    ),
    "a connection is kept whatever its answer said": Mutant(
        "integration/http/incoming.py",
        "and self._parser.should_keep_alive()",
        "",
        "tests/faults/test_incoming.py",
    ),
    "a connection is kept after an answer whose end is not sure": Mutant(
        "integration/http/incoming.py",
        "and self._ends_in_one_way()",
        "",
        "tests/faults/test_kept_connections.py",
    ),
    "a connection is kept although more has come": Mutant(
        "integration/http/incoming.py",
        "            if self.complete:\n                self.fit = False\n                return\n",
        "            if self.complete:\n                return\n",
        "tests/faults/test_kept_connections.py",
    ),
    "a line feed in a header": Mutant(
        "integration/http/connections.py",
        "if any(_UNFIT.search(line) for line in lines):",
        "if False:",
        "tests/faults/test_http_faults.py::test_a_header_that_http_does_not_take_is_not_sent",
    ),
    "leases are kept at the end": Mutant(
        "integration/runner/local.py",
        "            self._pipeline.release_leased()\n",
        "",
        "tests/pipeline/test_local_runner.py::test_a_write_back_that_waits_when_we_stop_is_left_to_the_next_worker",
    ),
    "what was prepared is remembered after a failure": Mutant(
        "integration/ledger/journeys.py",
        "if not _went_well(result) and (is_preparing or _sqlstate(result) in _STALE):",
        "if False:",
        "tests/ledger/test_database.py::test_a_failure_among_statements_that_travel_together_spoils_no_connection",
    ),
    "what was foreseen stands in for what is asked": Mutant(
        "integration/ledger/postgres.py",
        "if foreseen != (sql, params):",
        "if False:",
        "tests/ledger/test_database.py::test_what_was_foreseen_and_did_not_come_is_undone[postgresql]",
    ),
    "a commit before the last of what was foreseen": Mutant(
        "integration/ledger/postgres.py",
        "        self._demand_all_foreseen()\n        if self._connection is None and",
        "        if self._connection is None and",
        "tests/ledger/test_database.py::test_what_was_foreseen_and_did_not_come_is_undone[postgresql]",
    ),
    "a commit goes with the first journey, which may be made twice": Mutant(
        "integration/ledger/postgres.py",
        "if self._connection is None and len(self._waiting) > 1:",
        "if self._connection is None and len(self._waiting) > 1 and self._go([('COMMIT', {})]):",
        "tests/ledger/test_database.py::test_the_first_journey_is_made_again_and_never_holds_a_commit[True]",
    ),
    "a connection with answers still to come serves on": Mutant(
        "integration/ledger/journeys.py",
        "            self._connection.close()  # with answers still to come it is of no use to anybody\n",
        "",
        "tests/ledger/test_journeys.py::test_a_wait_that_is_interrupted_closes_the_connection",
    ),
    "one source after the other": Mutant(
        "integration/crew.py",
        "self._lanes[source] = lane  # to the end\n",
        "self._lanes[source] = lane\n                    self._lanes.move_to_end(source, last=False)\n",
        "tests/unit/test_crew.py::test_a_source_that_floods_delays_another_by_one_lead_each_time",
    ),
    "webhooks as they come": Mutant(
        "integration/web/server.py",
        "path if path in self._doors else NO_SOURCE",
        "NO_SOURCE",
        "tests/web/test_turns.py::test_a_source_is_answered_beside_a_flood_at_once",
    ),
    "one candidate zone is enough": Mutant(
        "integration/house/windows.py",
        "for name in names[1:]:",
        "for name in names[:0]:",
        "tests/house/test_windows.py::test_every_candidate_zone_must_be_open",
    ),
    "a day has one distance from UTC": Mutant(
        "integration/house/windows.py",
        "for probe in range(begin + HOUR_SECONDS, end + 1, HOUR_SECONDS):",
        "for probe in range(0):",
        "tests/house/test_windows_properties.py::test_around_every_change_of_clocks_the_answer_is_the_wall_clocks",
    ),
    "a window closes a minute late": Mutant(
        "integration/house/windows.py",
        "midnight + 60 * last) for",
        "midnight + 60 * last + 60) for",
        "tests/house/test_windows_properties.py::test_openings_and_ends_are_the_earliest",
    ),
    "a state widens the hours of its country": Mutant(
        "integration/house/windows.py",
        "        week &= rule.week\n",
        "        week = rule.week\n",
        "tests/house/test_windows.py::test_a_state_never_widens_the_countrys_hours",
    ),
    "an address hides where the number is from": Mutant(
        "integration/house/zones.py",
        "    if parsed is not None and number_country is not None:\n",
        "    if parsed is not None and number_country is not None and not search.zones:\n",
        "tests/house/test_zones.py::test_every_source_adds_its_candidates_and_says_how",
    ),
    "a call begins though its verdict is over": Mutant(
        "integration/ledger/calls.py",
        "      AND {{now}} < :valid_until\n",
        "      AND {{now}} < :valid_until + 1000000000\n",
        "tests/ledger/test_verdicts.py::test_a_call_does_not_begin_when_its_verdict_is_over_by_the_clock_of_the_database",
    ),
    "the night counts as trying": Mutant(
        "integration/ledger/calls.py",
        "worker_id = NULL, lease_until = NULL, give_up_at = NULL,",
        "worker_id = NULL, lease_until = NULL,",
        "tests/ledger/test_verdicts.py::test_the_time_in_which_it_may_not_be_called_does_not_count_as_trying",
    ),
    "a lead is judged once": Mutant(
        "integration/pipeline.py",
        "now=_instant(lead.looked_at_ms) if self._clock is None else self._clock(),",
        "now=_instant(lead.received_at_ms),",
        "tests/pipeline/test_verdicts.py::test_a_lead_that_waits_for_the_dialer_is_judged_anew_at_each_attempt",
    ),
    "a request may leave after the hours": Mutant(
        "integration/pipeline.py",
        "return min(SEND_BY_SECONDS, verdict.until.timestamp() - begun.at_ms / 1000)",
        "return SEND_BY_SECONDS",
        "tests/pipeline/test_verdicts.py::test_a_request_does_not_leave_after_the_verdict_has_ended",
    ),
    "a date in the future makes a lead fresh": Mutant(
        "integration/house/freshness.py",
        "    if written.at > received_at + SKEW:",
        "    if False:",
        "tests/house/test_judge.py::TestFreshness::test_a_date_that_cannot_be_believed_counts_from_receipt_and_says_so",
    ),
    "whatever is there is consent": Mutant(
        "integration/house/judge.py",
        "granted = any(text in self.terms.consent for text in texts)",
        "granted = bool(texts)",
        "tests/house/test_judge.py::TestConsent::test_anything_else_is_none",
    ),
    "the oldest first": Mutant(
        "integration/house/judge.py",
        "return opens_at + spread * (older",
        "return opens_at + spread * (1 - older",
        "tests/house/test_judge_hours.py::TestSpread::test_the_freshest_first",
    ),
    "a stale lead goes out without consent": Mutant(
        "integration/house/judge.py",
        '        if consent.verdict == "refused":\n',
        '        if consent.verdict == "refused" and fresh.verdict != "held":\n',
        "tests/house/test_judge.py::TestFreshness::test_a_stale_lead_without_consent_goes_to_no_account",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program and its tests in a folder of their own."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("integration", "tests", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(folder: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """These tests against the program in this folder, which Python finds before any other."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fits_the_code(name: str) -> None:
    mutant = MUTANTS[name]
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} does not hold this once any more: {mutant.old}"


@pytest.mark.slow
def test_without_a_change_all_of_them_pass(copy: Path) -> None:
    done = run(copy, sorted({mutant.test for mutant in MUTANTS.values()}))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(copy: Path, name: str) -> None:
    mutant = MUTANTS[name]
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    assert mutant.old in text
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        done = run(copy, [mutant.test])
    finally:
        path.write_text(text, encoding="utf-8")
    assert "1 failed" in done.stdout, f"{mutant.test} let it pass:\n{done.stdout[-3000:]}"
