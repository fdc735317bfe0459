"""The seven leads of the demo, and what must become of each. All numbers are fictional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = "our-crm"


@dataclass(frozen=True, slots=True)
class Story:
    """One webhook of the demo and what is right, as it can be seen from outside."""

    title: str
    event_id: str
    record: dict[str, Any]  # as the CRM keeps it, without its Id
    rings: str | None = None  # E.164: the number that is asked for exactly once; None: nobody is
    from_account: str | None = None  # the contact centre's id of the account that rings
    result: str | None = None  # what the CRM's record says in the end; None: it is left alone
    status: int = 200
    word: str = "accepted"  # in the answer to the CRM
    rule: str | None = None
    forged: bool = False  # signed with another secret
    repeats: bool = False  # the delivery before, sent again byte for byte
    misbehaviour: str | None = None  # of the contact centre, towards this number


_SMALL = {"Employees": 12}
_LARGE = {"Employees": "800"}

STORIES: tuple[Story, ...] = (
    Story(
        title="A new lead with an American number is rung",
        event_id="demo-1",
        record={"Name": "Demo One", "Country": "USA", "Phone": "(555) 123-4101", "Company": _SMALL},
        rings="+15551234101",
        from_account="acc-east",
        result="called",
        rule="Everyone else",
    ),
    Story(
        title="The CRM sends the same webhook once more: nobody is rung again",
        event_id="demo-1",
        record={},
        rings="+15551234101",
        from_account="acc-east",
        result="called",
        word="duplicate",
        rule="Everyone else",
        repeats=True,
    ),
    Story(
        title="A large Austrian company is rung from the account for DACH",
        event_id="demo-3",
        record={"Country": "Austria", "MobilePhone": "n/a", "Phone": "01 9971234", "Company": _LARGE},
        rings="+4319971234",
        from_account="acc-dach",
        result="called",
        rule="Large German-speaking companies",
    ),
    Story(
        title="A lead without a usable number is parked until a person looks",
        event_id="demo-4",
        record={"Country": "USA", "Phone": "ask at reception", "Company": _SMALL},
        result="parked",
        rule="Everyone else",
    ),
    Story(
        title="A test lead of our own is skipped by a rule",
        event_id="demo-5",
        record={"Country": "USA", "Phone": "(555) 123-4105", "Email": "qa@example.com", "Company": _SMALL},
        result="skipped",
        rule="Our own test leads",
    ),
    Story(
        title="A forged webhook is turned away",
        event_id="demo-6",
        record={"Country": "USA", "Phone": "(555) 123-4106", "Company": _SMALL},
        status=401,
        word="",
        forged=True,
    ),
    Story(
        title="The contact centre breaks off: perhaps it rang, so it is never sent again",
        event_id="demo-7",
        record={"Country": "USA", "Phone": "(555) 123-4107", "Company": _SMALL},
        rings="+15551234107",
        from_account="acc-east",
        result="unknown",
        rule="Everyone else",
        misbehaviour="reset_after",
    ),
)

# One more, for the command that `--keep` prints.
SPARE = {"Country": "Canada", "Phone": "(555) 123-4108", "Company": _SMALL}
