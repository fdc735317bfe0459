"""One of several processes that dial as fast as the limits let them. No test: `test_rates_many` starts it."""

from __future__ import annotations

import itertools
import random
import sys
import time
import uuid

from integration.ledger import Begun, Ledger, LedgerUnavailable, SetBack, open_database
from integration.model import (
    Account,
    Decision,
    DecisionKind,
    LeadId,
    LeadState,
    Limit,
    Limits,
    Next,
    Outcome,
    OutcomeKind,
    Reason,
)

LIMITS = Limits(everything=(Limit(6, 1, "second"), Limit(40, 10, "ten")), accounts={"east": (Limit(4, 1, "second"),)})
ACCOUNTS = (Account("east", id="acc-east"), Account("west", id="acc-west"))


def main(url: str, seconds: float) -> None:
    ledger = Ledger(open_database(url, pool_size=2))
    until = time.monotonic() + seconds
    chance = random.Random()
    print("ready", flush=True)
    for _ in itertools.takewhile(lambda _: time.monotonic() < until, itertools.count()):
        try:
            ledger.rates.let_in(LIMITS)
            due = list(ledger.upkeep.due_leads())
            chance.shuffle(due)
            for lead_id in due[:20]:
                dial(ledger, lead_id, chance)
        except LedgerUnavailable:  # SQLite under four processes
            time.sleep(0.01)
        time.sleep(0.02)
    ledger.close()


def dial(ledger: Ledger, lead_id: LeadId, chance: random.Random) -> None:
    work = ledger.calls.take(lead_id)
    if work is None:
        return
    to = f"+1555{lead_id:07}"
    decision = Decision(DecisionKind.CALL, account=ACCOUNTS[lead_id % 2], to=to, rule_name="Everyone", rule_line=1)
    begun = ledger.calls.begin(
        work, work.epoch, decision,
        account_id="a", rules_digest="d", worker_id="w", cooldown_seconds=600.0, limits=LIMITS,
    )  # fmt: skip
    if not isinstance(begun, Begun):
        return
    if chance.random() < 0.2:
        refused = Outcome(OutcomeKind.NOT_PLACED, Reason.NOT_SENT, "not sent", next=Next.RETRY)
        later = SetBack(LeadState.WAITING, Reason.NOT_SENT, wait_seconds=0.1)
        ledger.calls.settle(lead_id, begun.attempt_id, refused, later)
    else:
        placed = Outcome(OutcomeKind.PLACED, Reason.PLACED, "taken", call_id=uuid.uuid4().hex)
        ledger.calls.settle(lead_id, begun.attempt_id, placed, None)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
