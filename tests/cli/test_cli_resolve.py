from __future__ import annotations

import pytest

from integration.model import AttemptState, LeadState, WritebackState
from tests.cli.conftest import PLACED, REFUSED, UNCLEAR


@pytest.fixture
def unknown(office):
    """A lead of which nobody knows whether the phone rang."""
    return office.lead(UNCLEAR)


def test_a_call_that_was_found_makes_the_lead_called(desk, office, unknown):
    result = desk("resolve", str(unknown), "--rung", "--call-id", " call-9 ", "--by", "Kim", "--note", "in the report")
    assert result.exit_code == 0
    assert f"Lead {unknown} is called now." in result.stdout
    story = office.ledger.reading.story(unknown)
    assert story.lead.call_id == "call-9"
    assert story.history[-1].detail == "confirmed as placed by Kim: in the report"
    assert story.writeback.state is WritebackState.PENDING


def test_giving_up_closes_the_lead(desk, office, unknown):
    assert desk("resolve", str(unknown), "--give-up").exit_code == 0
    assert office.state(unknown) is LeadState.FAILED


def test_ringing_again_explains_the_risk_and_wants_a_yes(desk, office, unknown):
    for answer in ("", "n\n"):
        result = desk("resolve", str(unknown), "--ring-again", stdin=answer)
        assert result.exit_code == 1
        assert "may have rung" in result.stdout
        assert "a second time" in result.stdout
        assert office.state(unknown) is LeadState.UNKNOWN
    assert desk("resolve", str(unknown), "--ring-again", stdin="y\n").exit_code == 0
    story = office.ledger.reading.story(unknown)
    assert story.lead.state is LeadState.READY
    assert story.attempts[0].state is AttemptState.RELEASED


def test_yes_leaves_the_question_out_but_not_the_warning(desk, office, unknown):
    result = desk("resolve", str(unknown), "--ring-again", "--yes")
    assert result.exit_code == 0
    assert "may have rung" in result.stdout
    assert office.state(unknown) is LeadState.READY


@pytest.mark.parametrize("order", ["--rung", "--give-up", "--ring-again", "--decide-again"])
def test_a_called_lead_is_not_rung_again_by_any_order(desk, office, order):
    called = office.lead(PLACED)
    result = desk("resolve", str(called), order, "--yes")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: lead {called} is called")
    assert office.state(called) is LeadState.CALLED


def test_a_blocked_lead_can_be_decided_again(desk, office):
    blocked = office.lead(REFUSED)
    assert desk("resolve", str(blocked), "--decide-again").exit_code == 0
    assert office.state(blocked) is LeadState.RECEIVED


def test_the_crm_can_be_told_again(desk, office):
    called = office.lead(PLACED)
    assert desk("resolve", str(called), "--tell-crm").exit_code == 0
    assert office.state(called) is LeadState.CALLED
    story = office.ledger.reading.story(called)
    assert story.history[-1].what == "write-back ordered"


@pytest.mark.parametrize(
    "args",
    [
        ("1",),
        ("1", "--by", "Kim"),
        ("1", "--give-up", "--call-id", "x"),
        ("1", "--rung", "--call-id", ""),
        ("1", "--rung", "--call-id", "a\u001bb"),
        ("1", "--rung", "--call-id", "x" * 201),
        ("1", "--give-up", "--by", " "),
        ("0", "--give-up"),
        ("99999999999999999999", "--give-up"),
    ],
)
def test_an_order_that_makes_no_sense_ends_with_2_and_changes_nothing(desk, office, unknown, args):
    assert desk("resolve", *args).exit_code == 2
    assert office.state(unknown) is LeadState.UNKNOWN


def test_two_orders_at_once_are_refused_and_neither_is_obeyed(desk, office, unknown):
    result = desk("resolve", str(unknown), "--give-up", "--ring-again", "--yes")
    assert result.exit_code == 2
    assert "give one order only: --give-up or --ring-again" in result.stderr
    assert office.state(unknown) is LeadState.UNKNOWN
    twice = desk("resolve", str(unknown), "--give-up", "--give-up")
    assert twice.exit_code == 0


def test_an_order_that_moves_nothing_does_not_say_that_it_did(desk, office):
    blocked = office.lead(REFUSED)
    told = desk("resolve", str(blocked), "--tell-crm").stdout
    assert f"Lead {blocked} stays blocked; its write-back goes out again" in told
    told = desk("resolve", str(blocked), "--decide-again").stdout
    assert f"Lead {blocked} goes to the rules again." in told


def test_a_no_is_answered_in_words(desk, office, unknown):
    result = desk("resolve", str(unknown), "--ring-again", stdin="n\n")
    assert f"Lead {unknown} is not rung again; it stays unknown." in result.stdout


def test_a_lead_that_is_not_there_ends_with_1(desk, office):
    result = desk("resolve", "99", "--give-up")
    assert result.exit_code == 1
    assert "there is no lead 99" in result.stderr


def test_the_history_names_this_machines_user_unless_told_otherwise(desk, office, unknown, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ops")
    desk("resolve", str(unknown), "--give-up", "--note", "they rang us from +1 555 123 9999\nyesterday")
    story = office.ledger.reading.story(unknown)
    assert story.history[-1].detail == "closed by ops: they rang us from +…99 yesterday"


def test_a_user_without_a_name_is_asked_for_one(desk, office, unknown, monkeypatch):
    def nobody() -> str:
        raise KeyError("uid 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    result = desk("resolve", str(unknown), "--give-up")
    assert result.exit_code == 2
    assert "--by NAME" in result.stderr
