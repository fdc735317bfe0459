"""One lead's way to one call. Here the database keeps the promise that nobody is rung twice.

`take` looks at a lead that may be moved; `claim`, `wait`, `begin` and `finish` succeed only for who saw its latest
epoch. `begin` is one transaction: epoch, the verdict's instant, people's brakes, pauses, do-not-call, limits, phone
guard, attempt. The request may be sent only after it returned `Begun`, once. What came of it is recorded by `settle`,
in a room of its own. Each line that these write into a lead's history carries what was asked and seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from integration.crash_points import reach
from integration.ledger import brakes, do_not_call, rates
from integration.ledger.database import (
    CommitInDoubt,
    ConstraintHeld,
    Database,
    LedgerUnavailable,
    Row,
    Statement,
    Tx,
    Unforeseen,
)
from integration.ledger.guards import holder, take_guard, taking_guard
from integration.ledger.history import evidence_of, write_history
from integration.ledger.moving import GIVE_UP_SECONDS, put_back
from integration.ledger.pauses import COUNT, give_back, pause_if_asked, read_pauses, standing, take_probes
from integration.ledger.settling import settle, withdraw
from integration.ledger.steps import (
    Begun,
    Claimed,
    Held,
    LeadWork,
    SetBack,
    Settled,
    fields_as_kept,
    known_reason,
    milliseconds,
)
from integration.ledger.writebacks import enqueue_writeback
from integration.model import (
    GO,
    MOVING_STATES,
    AttemptId,
    Check,
    CheckVerdict,
    Decision,
    LeadId,
    LeadState,
    Limits,
    Outcome,
    Reason,
    Tree,
    Verdict,
)

CLAIM_LEASE_SECONDS = 30.0  # a claimed lead whose worker says nothing for so long is free again: nothing was sent
DIALING_LEASE_SECONDS = 120.0  # 6 times send_by and deadline together: no request is under way any more
NO_PASSES: Mapping[str, int] = MappingProxyType({})
NO_LIMITS = Limits()
BUSY_WAIT_SECONDS = 10.0  # how long a lead waits while its number is being dialled for another
SHORTEST_WAIT_SECONDS = 1.0  # a verdict that was long on its way may name an instant that has passed
FOR_EVER_MS = 2**62

_TAKE = """
    SELECT lead.id, lead.epoch, lead.source, lead.item, lead.received_at, lead.attempts, lead.reason, lead.detail,
           lead.renewed_at, {now} AS looked_at,
           delivery.body, delivery.content_type,
           CASE WHEN lead.give_up_at <= {now} THEN 1 ELSE 0 END AS gave_up,
           {now} + :give_up - COALESCE(lead.give_up_at, {now} + :give_up) AS held_up
    FROM lead JOIN delivery ON delivery.id = lead.delivery_id
    WHERE lead.id = :id AND lead.state IN ('received', 'waiting', 'ready')
      AND (lead.due_at IS NULL OR lead.due_at <= {now})
"""

_DECIDED = """record_id = :record_id, to_number = :to_number, account = :account, rule_name = :rule_name,
           rule_line = :rule_line, rules_digest = :rules_digest, fields = :fields"""

_CLAIM = f"""
    UPDATE lead SET state = 'claimed', epoch = epoch + 1, worker_id = :worker_id, updated_at = {{now}},
           lease_until = {{now}} + :lease, {_DECIDED}
    WHERE id = :id AND epoch = :epoch AND state IN ('received', 'waiting', 'ready')
    RETURNING epoch
"""

_DIAL = f"""
    UPDATE lead SET state = 'dialing', epoch = epoch + 1, worker_id = :worker_id, attempts = attempts + 1,
           updated_at = {{now}}, lease_until = {{now}} + :lease, due_at = NULL, {_DECIDED}
    WHERE id = :id AND epoch = :epoch AND state IN ('received', 'waiting', 'ready', 'claimed')
      AND {{now}} < :valid_until
    RETURNING attempts, epoch, {COUNT.format(account=":account")} AS pauses, {brakes.COUNT} AS brakes,
           {do_not_call.ASKED}
"""

_MOVE = f"""
    UPDATE lead SET state = :state, epoch = epoch + 1, reason = :reason, detail = :detail, updated_at = {{now}},
           worker_id = NULL, lease_until = NULL, due_at = NULL, {_DECIDED}
    WHERE id = :id AND epoch = :epoch AND state IN ('received', 'waiting', 'ready', 'claimed')
"""

# The time in which it may not be called is none in which it could not be placed: the give-up clock starts anew.
_WAIT = f"""
    UPDATE lead SET state = 'waiting', epoch = epoch + 1, reason = :reason, detail = :detail, updated_at = {{now}},
           worker_id = NULL, lease_until = NULL, give_up_at = NULL,
           due_at = CASE WHEN :due_at > {{now}} + :shortest THEN :due_at ELSE {{now}} + :shortest END, {_DECIDED}
    WHERE id = :id AND epoch = :epoch AND state IN ('received', 'waiting', 'ready', 'claimed')
"""

_INSERT_ATTEMPT = f"""
    INSERT INTO attempt (lead_id, n, state, account, account_id, to_number, caller_id, worker_id, intent_at, message)
    VALUES (:lead_id, :n, 'intent', :account, :account_id, :to_number, :caller_id, :worker_id, {{now}}, '')
    RETURNING id, intent_at, {brakes.COUNT} AS brakes, {do_not_call.ASKED}
"""

_SURFACE = """
    UPDATE lead SET state = 'unknown', epoch = epoch + 1, reason = :reason, detail = :detail, updated_at = {now},
           worker_id = NULL, lease_until = NULL, due_at = NULL
    WHERE id = :id AND epoch = :epoch AND state IN ('received', 'waiting', 'ready', 'claimed')
"""

_SURFACED = (
    "an earlier call of this lead stands in the ledger as placed or unclear, so it is not dialled again; "
    "settle it with `ringback resolve`"
)

_STUMBLE = """
    UPDATE lead SET stumbles = stumbles + 1, epoch = epoch + 1, updated_at = {now}, worker_id = NULL,
           lease_until = NULL,
           state = CASE WHEN stumbles + 1 >= :most THEN 'parked' ELSE 'waiting' END,
           reason = 'poison', detail = :detail,
           due_at = CASE WHEN stumbles + 1 >= :most THEN NULL ELSE {now} + 1000 * (stumbles + 1) * (stumbles + 1) END
    WHERE id = :id AND state IN ('received', 'waiting', 'ready', 'claimed')
    RETURNING state
"""


class _Lost(Exception):
    """Another worker moved the lead first. Rolls the transaction back."""


class IntentInDoubt(LedgerUnavailable):
    """The commit of an intent was not confirmed, and may stand. Whoever gets this sends nothing."""

    def __init__(self, why: str, begun: Begun, *, lasts: bool = False) -> None:
        super().__init__(why, lasts=lasts)
        self.begun = begun


class Calls:
    """Moves leads. Every method raises LedgerUnavailable when the database does not answer."""

    def __init__(self, database: Database, key: do_not_call.NumberKey | None = None) -> None:
        self._database = database
        self._key = key

    def take(self, lead_id: LeadId) -> LeadWork | None:
        """The lead, if it may be moved now; None when another worker has it or nothing is due."""
        with self._database.read() as tx:
            row = tx.one(_TAKE, {"id": lead_id, "give_up": milliseconds(GIVE_UP_SECONDS)})
        if row is None:
            return None
        return LeadWork(
            id=lead_id,
            epoch=row["epoch"],
            source=row["source"],
            item=row["item"],
            body=bytes(row["body"]),
            content_type=row["content_type"],
            received_at_ms=row["received_at"],
            looked_at_ms=row["looked_at"],
            attempts=row["attempts"],
            last_reason=known_reason(row["reason"]),
            last_detail=row["detail"],
            held_up_seconds=max(0, row["held_up"]) / 1000,
            gave_up=bool(row["gave_up"]),
            renewed_at_ms=row["renewed_at"],
        )

    def claim(
        self,
        lead: LeadWork,
        decision: Decision,
        rules_digest: str,
        worker_id: str,
        *,
        checks: Sequence[Check] = (),
    ) -> Claimed | Held | None:
        """Keep other workers away while something slow is prepared. None when another was first.

        A pause is met here already, so that a paused dialer is left in peace; the one lead that may try whether
        it is over has taken its turn when this returns.
        """
        values = {"id": lead.id, "epoch": lead.epoch, "worker_id": worker_id, **_decided(decision, rules_digest)}
        try:
            with self._database.write() as tx:
                claimed = _claim(tx, lead, decision, values, checks)
                reach("claim.before_commit")
        except _Lost:
            return None
        reach("claim.committed")
        return claimed

    def finish(
        self,
        lead: LeadWork,
        epoch: int,
        state: LeadState,
        decision: Decision,
        rules_digest: str,
        *,
        checks: Sequence[Check] = (),
    ) -> bool:
        """End a lead without a call, with the decision's reason. False when another worker was first."""
        assert decision.reason is not None
        with self._database.write() as tx:
            values = {"id": lead.id, "epoch": epoch, "state": state, **_decided(decision, rules_digest)}
            if tx.run(_MOVE, {**values, "reason": decision.reason, "detail": decision.detail}) != 1:
                return False
            told = _because(decision.reason, decision.detail, decision)
            write_history(tx, lead.id, state, told, evidence_of(checks, rules_digest))
            enqueue_writeback(tx, lead.id)
            reach("finish.before_commit")
        reach("finish.committed")
        return True

    def wait(self, lead: LeadWork, epoch: int, decision: Decision, verdict: Verdict, rules_digest: str) -> bool:
        """Put a lead off until the verdict's instant. False when another worker was first."""
        assert verdict.until is not None
        assert verdict.reason is not None
        due = {"due_at": milliseconds(verdict.until.timestamp()), "shortest": milliseconds(SHORTEST_WAIT_SECONDS)}
        told = {"reason": verdict.reason, "detail": verdict.detail}
        with self._database.write() as tx:
            if tx.run(_WAIT, {"id": lead.id, "epoch": epoch, **due, **told, **_decided(decision, rules_digest)}) != 1:
                return False
            why = _because(verdict.reason, verdict.detail, decision)
            write_history(tx, lead.id, LeadState.WAITING, why, evidence_of(verdict.checks, rules_digest))
            reach("wait.before_commit")
        reach("wait.committed")
        return True

    def set_back(
        self,
        lead: LeadWork,
        epoch: int,
        after: SetBack,
        message: str,
        account: str,
        *,
        checks: Sequence[Check] = (),
        rules_digest: str = "",
    ) -> bool:
        """Put a lead off whose call could not even be prepared. False when another worker was first."""
        with self._database.write() as tx:
            if not put_back(tx, lead.id, epoch, after, message):
                return False
            pause_if_asked(tx, after, message)
            told = f"{after.reason}: {message} (account {account})"
            asked = [*checks, Check("dialer", "wait", {"not_ready": str(after.reason)})]
            write_history(tx, lead.id, after.state, told, evidence_of(asked, rules_digest))
            if after.state.is_result:
                enqueue_writeback(tx, lead.id)
            reach("set_back.before_commit")
        reach("set_back.committed")
        return True

    def begin(
        self,
        lead: LeadWork,
        epoch: int,
        decision: Decision,
        *,
        account_id: str,
        rules_digest: str,
        worker_id: str,
        cooldown_seconds: float,
        passes: Mapping[str, int] = NO_PASSES,
        verdict: Verdict = GO,
        limits: Limits = NO_LIMITS,
    ) -> Begun | Held | None:
        """Commit the intent to send one request. None when another worker moved the lead first, or when the
        verdict holds no longer by the database's clock: the lead is to be judged again.

        `epoch` and `passes` are those of `claim`; without a claim the lead's own epoch, and none. Raises IntentInDoubt.
        """
        assert decision.account is not None
        until = FOR_EVER_MS if verdict.until is None else milliseconds(verdict.until.timestamp())
        stated = {"account_id": account_id, "worker_id": worker_id, "valid_until": until}
        beginning = _Beginning(
            lead,
            Claimed(epoch, passes),
            decision,
            {**stated, **_decided(decision, rules_digest)},
            limits.of(lead.source, decision.account.key),
            cooldown_seconds,
            self._key,
            verdict.checks,
        )
        try:
            try:
                return self._begin(beginning, foresees=True)
            except (Unforeseen, ConstraintHeld):
                return self._begin(beginning, foresees=False)
        except _Lost:
            return None
        except ConstraintHeld:  # a live attempt exists: the database itself says no
            return self._surface(lead, epoch)

    def _begin(self, beginning: _Beginning, *, foresees: bool) -> Begun | Held:
        begun: Begun | Held | None = None
        try:
            with self._database.write(urgent=True) as tx:
                begun = beginning.begin(tx, foresees=foresees)
                reach("intent.before_commit")
        except CommitInDoubt as error:
            if isinstance(begun, Begun):
                raise IntentInDoubt(str(error), begun, lasts=error.lasts) from None
            raise
        reach("intent.committed")
        return begun

    def _surface(self, lead: LeadWork, epoch: int) -> Held | None:
        """Show a person a lead whose own attempts forbid another; left ready it would come back for ever."""
        told = {"reason": Reason.ANSWER_UNCLEAR, "detail": _SURFACED}
        with self._database.write() as tx:
            if tx.run(_SURFACE, {"id": lead.id, "epoch": epoch, **told}) != 1:
                return None
            write_history(tx, lead.id, LeadState.UNKNOWN, f"{Reason.ANSWER_UNCLEAR}: {_SURFACED}")
            enqueue_writeback(tx, lead.id)
        return Held(LeadState.UNKNOWN, Reason.ANSWER_UNCLEAR, _SURFACED)

    def settle(
        self,
        lead_id: LeadId,
        attempt_id: AttemptId,
        outcome: Outcome,
        after: SetBack | None,
        *,
        lease: bool = False,
    ) -> Settled | None:
        """Record what an attempt came to; `after` goes with a NOT_PLACED one.

        A late answer counts as long as nothing newer contradicts it. None when the lead stays where it is.
        With `lease` the write-back of what the answer says is leased at once. Safe to repeat after an error.
        """
        return settle(self._database, lead_id, attempt_id, outcome, after, lease=lease)

    def withdraw(self, lead_id: LeadId, begun: Begun) -> bool:
        """Free a lead whose intent was in doubt, by the word of who would have sent the request and did not.

        Whether the intent stood. Safe to repeat after an error.
        """
        return withdraw(self._database, lead_id, begun)

    def stumble(self, lead_id: LeadId, detail: str, most: int = 5) -> LeadState | None:
        """A step ended in an error of ours before anything was sent: wait, and after `most` of them park."""
        with self._database.write() as tx:
            row = tx.one(_STUMBLE, {"id": lead_id, "detail": detail, "most": most})
            if row is None:
                return None
            write_history(tx, lead_id, "stumbled", detail)
            state = LeadState(row["state"])
            if state is LeadState.PARKED:
                enqueue_writeback(tx, lead_id)
            return state


def _claim(
    tx: Tx, lead: LeadWork, decision: Decision, values: Mapping[str, object], checks: Sequence[Check]
) -> Claimed | Held:
    assert decision.account is not None
    row = tx.one(_CLAIM, {**values, "lease": milliseconds(CLAIM_LEASE_SECONDS)})
    if row is None:
        raise _Lost
    pauses = read_pauses(tx, decision.account.key)
    stop = standing(pauses, NO_PASSES)
    if stop is not None:
        asked = [*checks, _paused(stop[0].reason)]
        return _hold(tx, lead.id, row["epoch"], *stop, evidence=evidence_of(asked, str(values["rules_digest"])))
    passes = take_probes(tx, pauses, NO_PASSES)
    if passes is None:
        raise _Lost
    return Claimed(row["epoch"], passes)


def _paused(reason: Reason) -> Check:
    return Check("dialer", "wait", {"paused": str(reason)})


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The last questions before one call, in their order. The first that says no stops it."""

    lead: LeadWork
    turn: Claimed
    decision: Decision
    values: Mapping[str, object]
    scopes: rates.Scopes
    cooldown_seconds: float
    key: do_not_call.NumberKey | None
    checks: Sequence[Check]

    def begin(self, tx: Tx, *, foresees: bool) -> Begun | Held:
        """`foresees`: ask all at once, as if nothing said no. Raises Unforeseen where something does."""
        lead, decision, asked = self.lead, self.decision, [*self.checks]
        assert decision.account is not None
        assert decision.to is not None
        of_brakes = brakes.scopes_of(lead.source, decision.account.key, decision.rule_name)
        hidden = b"" if self.key is None else self.key.hide(decision.to)
        at_last = {**of_brakes, "hidden": hidden}
        names = {"id": lead.id, "epoch": self.turn.epoch, "lease": milliseconds(DIALING_LEASE_SECONDS)}
        dial = _DIAL, {**self.values, **names, **at_last}
        if foresees:
            guard = taking_guard(decision.to, lead.id, self.cooldown_seconds)
            insert = self._inserting(lead.attempts + 1, at_last)
            tx.foresee([dial, *rates.asking_for_room(self.scopes), guard, insert])
        row = tx.one(*dial)
        if row is None:
            raise _Lost
        stop = brakes.braked(tx, row["brakes"], of_brakes, asked)
        if stop is not None:
            return self._held(tx, row, stop, asked)
        pauses = read_pauses(tx, decision.account.key) if row["pauses"] else []
        stop = standing(pauses, self.turn.passes)
        if stop is not None:
            asked.append(_paused(stop[0].reason))
            return self._held(tx, row, stop, asked, gives_back=False)
        stop = do_not_call.listed(row, self.key, asked) or rates.full(tx, self.scopes, asked)
        if stop is not None:
            return self._held(tx, row, stop, asked)
        saw: dict[str, Tree] = {"lasts": f"{self.cooldown_seconds / 60:g} minutes"}
        if not take_guard(tx, decision.to, lead.id, self.cooldown_seconds):
            stop = _guarded(tx, decision.to)
            asked.append(Check("cooldown", _VERDICTS[stop[0].state], {**saw, "found": stop[1]}))
            return self._held(tx, row, stop, asked)
        asked.append(Check("cooldown", "ok", saw))
        if take_probes(tx, pauses, self.turn.passes) is None:
            raise _Lost  # looked at again within a second, and then held by the pause
        attempt = tx.one(*self._inserting(row["attempts"], at_last))
        assert attempt is not None
        # All this may have waited for others: a brake or an opt-out that came meanwhile counts as well.
        if brakes.braked(tx, attempt["brakes"], of_brakes, []) or do_not_call.listed(attempt, self.key, []):
            raise _Lost  # looked at again within a second, and then held
        rates.note(tx, self.scopes, attempt["intent_at"], attempt["id"])
        told = _dialing(row["attempts"], decision)
        write_history(tx, lead.id, LeadState.DIALING, told, self._evidence(asked))
        return Begun(AttemptId(attempt["id"]), row["attempts"], attempt["intent_at"])

    def _inserting(self, n: int, at_last: Mapping[str, object]) -> Statement:
        assert self.decision.account is not None
        stated = {"lead_id": self.lead.id, "n": n, "caller_id": self.decision.account.caller_id}
        return _INSERT_ATTEMPT, {**self.values, **stated, **at_last}

    def _held(
        self, tx: Tx, row: Row, stop: tuple[SetBack, str], asked: Sequence[Check], *, gives_back: bool = True
    ) -> Held:
        if gives_back:
            give_back(tx, self.turn.passes)
        return _hold(tx, self.lead.id, row["epoch"], *stop, uncounted=1, evidence=self._evidence(asked))

    def _evidence(self, asked: Sequence[Check]) -> str | None:
        return evidence_of(asked, str(self.values["rules_digest"]))


_VERDICTS: Mapping[LeadState, CheckVerdict] = {LeadState.WAITING: "wait", LeadState.BLOCKED: "refused"}


def _guarded(tx: Tx, phone: str) -> tuple[SetBack, str]:
    """The number was dialled for another lead a short time ago, or is being dialled at this moment."""
    other = holder(tx, phone)
    if other["state"] in MOVING_STATES or other["is_short"]:
        detail = f"the same number is being dialled for lead {other['id']}"
        return SetBack(LeadState.WAITING, Reason.NUMBER_BUSY, wait_seconds=BUSY_WAIT_SECONDS), detail
    rung = "already called" if other["state"] == LeadState.CALLED else "perhaps called"
    at = f"{datetime.fromtimestamp((other['intent_at'] or 0) / 1000, UTC):%H:%M} UTC"
    call = f", call {other['call_id']}" if other["call_id"] else ""
    return SetBack(LeadState.BLOCKED, Reason.COOLDOWN), f"{rung} at {at} for lead {other['id']}{call}"


def _hold(
    tx: Tx,
    lead_id: LeadId,
    epoch: int,
    after: SetBack,
    detail: str,
    *,
    uncounted: int = 0,
    evidence: str | None = None,
) -> Held:
    """Nothing is sent. An attempt that the lead had counted for itself is taken back."""
    if not put_back(tx, lead_id, epoch, after, detail, uncounted=uncounted):
        raise _Lost
    write_history(tx, lead_id, after.state, f"{after.reason}: {detail}", evidence)
    if after.state.is_result:
        enqueue_writeback(tx, lead_id)
    return Held(after.state, after.reason, detail)


def _decided(decision: Decision, rules_digest: str) -> dict[str, object]:
    return {
        "record_id": decision.record_id,
        "to_number": decision.to,
        "account": decision.account.key if decision.account else None,
        "rule_name": decision.rule_name,
        "rule_line": decision.rule_line,
        "rules_digest": rules_digest,
        "fields": fields_as_kept(decision),
    }


def _because(reason: Reason, detail: str, decision: Decision) -> str:
    rule = f' by rule "{decision.rule_name}", line {decision.rule_line}' if decision.rule_name else ""
    return f"{reason}{rule}: {detail}" if detail else f"{reason}{rule}"


def _dialing(n: int, decision: Decision) -> str:
    assert decision.account is not None
    return f'attempt {n}: account {decision.account.key} by rule "{decision.rule_name}", line {decision.rule_line}'
