from __future__ import annotations

import json

import pytest

from integration.ledger import NewEvent
from integration.model import Burst, LeadState
from tests.cli.conftest import PLACED, Terminal


@pytest.fixture
def paused(desk, office):
    """All dialling is paused, and three leads wait."""
    assert desk("pause", "--why", "wrong script, call +1 555 123 4567", "--by", "Kim").exit_code == 0
    return [office.lead() for _ in range(3)]


def reasons(office, leads):
    return [office.ledger.reading.story(lead).lead.reason for lead in leads]


def test_a_pause_holds_every_lead_and_says_how_to_go_on(desk, office):
    result = desk("pause", "--why", "wrong script")
    assert result.exit_code == 0
    assert "All dialling is paused: no new call begins, on any machine." in result.stdout
    assert "`ringback resume all`" in result.stdout
    lead = office.lead()
    story = office.ledger.reading.story(lead)
    assert (story.lead.state, story.lead.reason) == (LeadState.WAITING, "paused_by_person")


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("source:our-crm", "Source our-crm is paused"),
        ("account:us-east", "Account us-east is paused"),
        ("account:US-East", "Account us-east is paused"),
        ("rule:everyone ELSE", "Rule Everyone else is paused"),
        (" all ", "All dialling is paused"),
    ],
)
def test_a_scope_is_meant_as_the_rules_name_it(desk, office, scope, said):
    assert desk("pause", scope, "--why", "x").stdout.startswith(said)
    assert reasons(office, [office.lead()]) == ["paused_by_person"]


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (
            "account:us-eest",
            "the rules have no account 'us-eest', so this would stop nothing; there are: us-east, dach",
        ),
        ("us-east", "'us-east' cannot be paused; write all, source:NAME, account:NAME or rule:NAME"),
        ("burst:our-crm", "'burst:our-crm' cannot be paused"),
        ("rule:", "'rule:' cannot be paused"),
    ],
)
def test_a_scope_that_would_stop_nothing_is_refused(desk, office, scope, told):
    result = desk("pause", scope, "--why", "x")
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert office.ledger.brakes.standing() == []


def test_rules_that_cannot_be_read_hinder_no_pause(desk: Terminal, office):
    desk.write("config/rules.yaml", "accounts: [")
    assert desk("pause", "account:us-east", "--why", "x").exit_code == 0


def test_why_is_asked_for(desk, office):
    assert desk("pause").exit_code == 2
    assert desk("pause", "--why", " ").exit_code == 2


def test_what_waits_is_shown_before_it_goes(desk, office, paused):
    result = desk("resume", "all", stdin="n\n")
    assert result.exit_code == 1
    assert "3 leads wait; the oldest was received" in result.stdout
    assert "Let 3 leads go? [y/N]" in result.stdout
    assert "+…03" in result.stdout
    assert "+1555" not in result.stdout
    assert reasons(office, paused) == ["paused_by_person"] * 3
    result = desk("resume", "all", "--per-minute", "5", stdin="y\n")
    assert result.exit_code == 0
    assert "All dialling goes on; 3 leads let go." in result.stdout
    assert reasons(office, paused) == ["let_go"] * 3
    assert office.ledger.brakes.standing() == []


@pytest.mark.parametrize("options", [("--dry-run",), ("--dry-run", "--yes"), ("--dry-run", "--json")])
def test_a_dry_run_lets_nobody_go(desk, office, paused, options):
    assert desk("resume", "all", *options).exit_code == 0
    assert reasons(office, paused) == ["paused_by_person"] * 3
    assert len(office.ledger.brakes.standing()) == 1


def test_for_scripts_it_is_json(desk, office, paused):
    said = json.loads(desk("resume", "--json").stdout)
    assert [(one["scope"], one["by"], one["withheld"]) for one in said["paused"]] == [("all", "Kim", 3)]
    assert said["paused"][0]["why"] == "wrong script, call +…67"
    said = json.loads(desk("resume", "all", "--yes", "--json").stdout)
    assert (said["count"], said["let_go"], [one["id"] for one in said["first"]]) == (3, True, paused[::-1])
    assert desk("resume", "all", "--json").exit_code == 2


def test_without_a_scope_it_lists_what_is_in_force(desk, office, paused):
    result = desk("resume")
    assert "All dialling is paused since" in result.stdout
    assert "3 leads wait" in result.stdout
    assert desk("resume", "all", "--yes").exit_code == 0
    assert desk("resume").stdout == "Nothing is paused, and nothing is held.\n"


def test_what_is_not_in_force_cannot_be_let_go(desk, office, paused):
    result = desk("resume", "account:us-east", "--yes")
    assert result.exit_code == 1
    assert "'account:us-east' is not paused, and nothing is held of it; in force: all" in result.stderr


def test_a_pause_without_leads_ends_without_a_question(desk, office):
    desk("pause", "--why", "x")
    result = desk("resume", "all")
    assert result.exit_code == 0
    assert "No lead waits for it." in result.stdout


def test_a_burst_is_let_go_in_the_same_way(desk, office):
    events = [NewEvent(f"id:{n}") for n in range(5)]
    office.ledger.intake.receive(
        source="our-crm", body=b"{}", content_type=None, received_at_ms=1, events=events, burst=Burst(2, 600)
    )
    assert "3 leads of source our-crm held" in desk("resume").stdout
    assert desk("resume", "burst:our-crm", "--yes").stdout.endswith(
        "The burst of source our-crm goes on; 3 leads let go.\n"
    )
    assert desk("resume", "burst:our-crm", "--yes").exit_code == 1


def test_doctor_names_what_is_held_back(desk, office, paused):
    result = desk("doctor")
    assert "All dialling is paused since" in " ".join(result.stdout.split())
    assert office.lead(PLACED)
