"""Every state has its paragraph and every reason its row, and the document speaks of no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.model import AttemptState, DeliveryState, LeadState, Reason, WritebackState

TEXT = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def paragraphs(part: str) -> dict[str, str]:
    return {
        title.strip(): body.strip()
        for title, body in re.findall(r"^### ([^\n]+)\n(.*?)(?=^### |\Z)", PARTS[part], re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize(
    ("part", "states"),
    [
        ("States of a lead", LeadState),
        ("States of an attempt", AttemptState),
        ("States of a write-back", WritebackState),
        ("States of a delivery", DeliveryState),
    ],
)
def test_each_state_has_a_paragraph(part: str, states: type[LeadState]) -> None:
    found = paragraphs(part)
    assert sorted(found) == sorted(str(state) for state in states)
    assert min(len(body) for body in found.values()) > 15


def test_each_lead_state_says_whether_a_person_is_needed_or_what_one_may_do() -> None:
    for state, body in paragraphs("States of a lead").items():
        assert "erson is" in body or "ringback resolve" in body, state


def test_each_reason_has_a_row_that_says_what_it_means_and_what_to_do() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \| (.+?) \|$", PARTS["Reasons"], re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(str(reason) for reason in Reason)
