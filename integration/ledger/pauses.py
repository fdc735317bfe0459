"""Pauses: an account, or all dialling, stands still until one lead has proved that it works again.

While a pause stands nobody is dialled. When its time has come, one lead at a time may pass and try; how it
fares decides for all. Only an answer to a call that began after the pause can end it: an older call's success
says nothing about a newer refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from integration.ledger.database import Row, Tx
from integration.ledger.steps import SetBack, milliseconds
from integration.model import LeadState, Outcome, OutcomeKind, Reason

ALL_DIALING = "*"  # the pause of everything
PROBE_AFTER_SECONDS = (60.0, 300.0, 900.0)  # when a paused account may be tried with one real lead
PROBE_BUSY_SECONDS = 15.0  # longer than one call takes: the next lead may try when this one never came back

# How many pauses concern an account, for a statement that has other things to ask as well.
COUNT = "(SELECT COUNT(*) FROM pause WHERE scope IN ('*', {account}))"

_READ = """
    SELECT scope, reason, message, probe_at, probe_at - {now} AS remaining FROM pause
    WHERE scope IN ('*', :account)
"""

_PROBE = """
    UPDATE pause SET step = step + 1,
           probe_at = {now} + CASE WHEN reason = 'rate_limited' THEN :busy
                                   WHEN step = 0 THEN :second ELSE :third END
    WHERE scope = :scope AND probe_at = :probe_at AND probe_at <= {now}
    RETURNING probe_at
"""

_REOPEN = "UPDATE pause SET probe_at = {now} WHERE scope = :scope AND probe_at > {now}"

# A dialer that is busy never shortens or renames a pause that has a graver cause; a graver cause replaces busy.
_PAUSE = """
    INSERT INTO pause (scope, reason, message, since, step, probe_at)
    VALUES (:scope, :reason, :message, {now}, 0, {now} + :wait)
    ON CONFLICT (scope) DO UPDATE SET
        reason = CASE WHEN excluded.reason = 'rate_limited' THEN pause.reason ELSE excluded.reason END,
        message = CASE WHEN excluded.reason = 'rate_limited' AND pause.reason <> 'rate_limited'
                       THEN pause.message ELSE excluded.message END,
        since = CASE WHEN pause.reason = 'rate_limited' THEN excluded.since ELSE pause.since END,
        step = CASE WHEN pause.reason = 'rate_limited' THEN 0 ELSE pause.step END,
        probe_at = CASE WHEN pause.reason <> 'rate_limited' AND excluded.reason <> 'rate_limited' THEN pause.probe_at
                        WHEN excluded.probe_at > pause.probe_at THEN excluded.probe_at ELSE pause.probe_at END
"""

_END = "DELETE FROM pause WHERE scope = :scope AND since <= :intent_at"

_REOPEN_FOR = "UPDATE pause SET probe_at = {now} WHERE scope = :scope AND since <= :intent_at AND probe_at > {now}"

_EVERY = "SELECT scope FROM pause"
_CLEAR = "DELETE FROM pause WHERE scope = :scope"


def read_pauses(tx: Tx, account: str) -> Sequence[Row]:
    """The pauses that concern this account, in the order in which every transaction takes them."""
    return sorted(tx.all(_READ, {"account": account}), key=_scope)


def _scope(row: Row) -> str:
    return str(row["scope"])


def standing(pauses: Sequence[Row], passes: Mapping[str, int]) -> tuple[SetBack, str] | None:
    """Why a lead may not be dialled now, or None. `passes` are those that this lead is trying."""
    for row in pauses:
        if row["remaining"] > 0 and passes.get(row["scope"]) != row["probe_at"]:
            reason = Reason.DIALING_PAUSED if row["scope"] == ALL_DIALING else Reason.ACCOUNT_PAUSED
            return SetBack(LeadState.WAITING, reason, wait_seconds=row["remaining"] / 1000), row["message"]
    return None


def take_probes(tx: Tx, pauses: Sequence[Row], passes: Mapping[str, int]) -> dict[str, int] | None:
    """Be the one lead that tries; None when another was first. Call it when nothing else can stop the lead."""
    taken = dict(passes)
    _, second, third = (milliseconds(seconds) for seconds in PROBE_AFTER_SECONDS)
    for row in pauses:
        if row["scope"] in passes:
            continue
        values = {"scope": row["scope"], "probe_at": row["probe_at"], "second": second, "third": third}
        probe = tx.one(_PROBE, {**values, "busy": milliseconds(PROBE_BUSY_SECONDS)})
        if probe is None:
            return None
        taken[row["scope"]] = probe["probe_at"]
    return taken


def give_back(tx: Tx, passes: Mapping[str, int]) -> None:
    """The lead that was to try will not: the next one may, at once."""
    for scope in sorted(passes):
        tx.run(_REOPEN, {"scope": scope})


def pause_if_asked(tx: Tx, after: SetBack, message: str) -> None:
    """Begin a pause, or note that it goes on."""
    if after.pause is not None:
        wait = milliseconds(after.wait_seconds or PROBE_AFTER_SECONDS[0])
        tx.run(_PAUSE, {"scope": after.pause, "reason": after.reason, "message": message, "wait": wait})


def learn(tx: Tx, outcome: Outcome, after: SetBack | None, account: str, intent_at: int) -> None:
    """End the pauses that this answer proves to be over; let the next lead try where it proves nothing."""
    if outcome.kind is OutcomeKind.PLACED or outcome.reason is Reason.NUMBER_REFUSED:  # token, scope, account are right
        change = _END
    elif after is not None and after.state is LeadState.READY:  # an old token; the new one is still untried
        change = _REOPEN_FOR
    else:
        return
    for row in read_pauses(tx, account):
        tx.run(change, {"scope": row["scope"], "intent_at": intent_at})


def clear(tx: Tx) -> int:
    """End every pause. How many."""
    return sum(tx.run(_CLEAR, {"scope": row["scope"]}) for row in sorted(tx.all(_EVERY), key=_scope))
