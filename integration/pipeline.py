"""Takes one lead one step further: decide, judge, dial, record, and apart from that tell the CRM.

The order inside `_dial` is the promise: token and account id in hand, then the intent committed, then one
request, then its outcome recorded. After an answer that leaves room for doubt nothing is sent again.
Nothing here retries by looping: what comes next is written into the ledger, where a person can see it.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from integration.crash_points import reach
from integration.dialers import Dialer, DialerError, Ticket
from integration.house import as_judged, judge
from integration.http import Answer, Client, HttpError, retry_after_seconds
from integration.ledger import (
    ALL_DIALING,
    Begun,
    Claimed,
    Held,
    IntentInDoubt,
    LeadWork,
    Ledger,
    LedgerUnavailable,
    SetBack,
    Settled,
    WritebackJob,
    leased_job,
)
from integration.log import describe_error, get_log
from integration.model import (
    ENDS,
    AttemptId,
    CallRequest,
    Check,
    Decision,
    DecisionKind,
    LeadId,
    LeadState,
    Next,
    Outcome,
    OutcomeKind,
    Reason,
    Tree,
    Verdict,
    VerdictKind,
)
from integration.payload import BadBody
from integration.phone import mask
from integration.rules import (
    BadWriteback,
    Messages,
    RenderedRequest,
    Rules,
    WritebackFacts,
    decide,
    item_of,
    render_writeback,
)
from integration.settings import Dialing

SEND_BY_SECONDS = 5.0  # a request that could not be sent so long after its intent is not sent at all
WRITEBACK_DEADLINE_SECONDS = 20.0
LEASED_SECONDS = 30.0  # a write-back is not begun later; with the deadline less than the ledger's lease of 60 s
MOST_LEASED = 64  # so that a CRM that hangs fills neither memory nor the ledger with leases
WRITEBACK_GIVE_UP_SECONDS = 3 * 24 * 3600.0
LIMITS_WARN_SECONDS = 60.0  # between two warnings that leads wait for room
_WRITEBACK_WAITS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_RETRY_WAITS = (2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 240.0)
_LONGEST_PREPARE_WAIT_SECONDS = 60.0


# Entered while somebody else is waited for, so that whoever drives the pipeline may begin something else meanwhile.
Waiting = AbstractContextManager[object]
_UNSEEN: Waiting = contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Services:
    """What the pipeline works with."""

    ledger: Ledger
    rules: Rules
    dialer: Dialer
    client: Client
    dialing: Dialing
    cooldown_seconds: float
    worker_id: str


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class Pipeline:
    """Moves leads. `advance` and `write_back` may be called from many threads, and twice for one lead.

    With `leases_ahead` a call's result and the lease of its write-back are one commit, and whoever calls `advance`
    calls `write_back` or `release` for each result, and `release_leased` in the end. A lead is judged as of the moment
    at which the database was asked for it, by the database's clock; tests may bring a `clock` of their own.
    """

    def __init__(
        self,
        services: Services,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], datetime] | None = None,
        leases_ahead: bool = False,
    ) -> None:
        self._s = services
        self._clock = clock
        self._ledger = services.ledger
        self._chance = chance
        self._leases_ahead = leases_ahead
        self._messages = Messages()
        self._warn_of_limits_at = 0.0
        # Outcomes that the database would not take. They are facts: they are offered again until it does.
        # With whether the recording that failed was to lease the write-back.
        self._unrecorded: dict[AttemptId, tuple[LeadId, Outcome, SetBack | None, bool]] = {}
        self._in_doubt: dict[AttemptId, tuple[LeadId, Begun]] = {}  # intents that may stand; nothing was sent
        self._unrecorded_lock = threading.Lock()
        # Write-backs that were leased with their result, and since when: they wait for `write_back`.
        self._leased: dict[LeadId, tuple[WritebackJob, float]] = {}

    # ---- one step of a lead -----------------------------------------------------------------

    def advance(self, lead_id: LeadId, known: LeadWork | None = None, waiting: Waiting = _UNSEEN) -> LeadState | None:
        """Take the lead one step. Its new state; None when it was not to be moved, or another worker has it.

        READY asks to be called again at once; a result asks for `write_back`. `known` is what was read of the lead
        before: if it has been moved since, nothing happens. `waiting` is entered while the dialer is waited for.
        Raises LedgerUnavailable.
        """
        lead = known or self._ledger.calls.take(lead_id)
        if lead is None:
            return None
        decision = self._decide(lead)
        if decision.kind is not DecisionKind.CALL:
            return self._finish(lead, ENDS[decision.kind], decision)
        verdict = self._judge(lead, decision)
        decision = as_judged(decision, verdict)
        if decision.kind is not DecisionKind.CALL:
            return self._finish(lead, ENDS[decision.kind], decision, verdict.checks)
        assert decision.to is not None
        if self._s.dialing.withholds(decision.to):
            return self._finish(lead, LeadState.REHEARSED, self._withheld(decision, verdict), verdict.checks)
        if lead.gave_up:
            detail = f"the call could not be placed for 15 minutes: {lead.last_detail}"
            given_up = replace(decision, reason=Reason.NOT_PLACED_IN_TIME, detail=detail)
            return self._finish(lead, LeadState.FAILED, given_up, verdict.checks)
        if verdict.kind is VerdictKind.WAIT:
            return self._wait(lead, decision, verdict)
        return self._dial(lead, decision, verdict, waiting)

    def _decide(self, lead: LeadWork) -> Decision:
        source = self._s.rules.sources.get(lead.source)
        if source is None:
            detail = f"the rules file has no source {lead.source} any more; put it back, or close the lead"
            return Decision(DecisionKind.PARK, Reason.SOURCE_GONE, detail)
        tree = self._messages.read(source, lead.body, lead.content_type)
        if isinstance(tree, BadBody):
            return Decision(DecisionKind.PARK, tree.reason, tree.detail)
        return decide(self._s.rules, lead.source, tree, lead.item)

    def _judge(self, lead: LeadWork, decision: Decision) -> Verdict:
        return judge(
            self._s.rules.house,
            decision,
            lead_id=lead.id,
            received_at=_instant(lead.received_at_ms),
            now=_instant(lead.looked_at_ms) if self._clock is None else self._clock(),
            renewed_at=None if lead.renewed_at_ms is None else _instant(lead.renewed_at_ms),
        )

    def _withheld(self, decision: Decision, verdict: Verdict) -> Decision:
        """A rehearsal does not wait: what it would have waited for stands in its detail."""
        would = f"; it would wait {verdict.detail}" if verdict.kind is VerdictKind.WAIT else ""
        if self._s.dialing.is_off:
            detail = f"RINGBACK_DIALING is off: this call was only rehearsed{would}"
            return replace(decision, reason=Reason.DIALING_OFF, detail=detail)
        detail = f"RINGBACK_DIALING does not list this number: this call was only rehearsed{would}"
        return replace(decision, reason=Reason.NOT_A_REHEARSAL_NUMBER, detail=detail)

    def _wait(self, lead: LeadWork, decision: Decision, verdict: Verdict) -> LeadState | None:
        if not self._ledger.calls.wait(lead, lead.epoch, decision, verdict, self._s.rules.digest):
            return None
        assert verdict.until is not None
        until = verdict.until.isoformat(timespec="seconds")
        get_log().info("lead.waiting", lead=lead.id, reason=str(verdict.reason), until=until, detail=verdict.detail)
        return LeadState.WAITING

    def _finish(
        self, lead: LeadWork, state: LeadState, decision: Decision, checks: Sequence[Check] = ()
    ) -> LeadState | None:
        if not self._ledger.calls.finish(lead, lead.epoch, state, decision, self._s.rules.digest, checks=checks):
            return None
        log = get_log().error if state is LeadState.FAILED else get_log().info
        log(
            f"lead.{state}",
            lead=lead.id,
            source=lead.source,
            reason=str(decision.reason),
            rule=decision.rule_name,
            line=decision.rule_line,
            to=mask(decision.to) if decision.to else None,
        )
        return state

    # ---- the call ---------------------------------------------------------------------------

    def _dial(self, lead: LeadWork, decision: Decision, verdict: Verdict, waiting: Waiting) -> LeadState | None:
        assert decision.account is not None
        claimed = Claimed(lead.epoch)
        ticket = self._s.dialer.ticket(decision.account)
        if ticket is None:  # something slow is needed first: keep other workers away meanwhile
            held = self._ledger.calls.claim(
                lead, decision, self._s.rules.digest, self._s.worker_id, checks=verdict.checks
            )
            if not isinstance(held, Claimed):
                return _log_held(lead, held)
            claimed = held
            try:
                with waiting:
                    ticket = self._s.dialer.prepare(decision.account)
            except DialerError as error:
                return self._not_prepared(lead, claimed, decision, error.outcome, verdict)
            reach("prepare.done")
        # Taken before the commit: a process that is suspended right after it must find this instant past.
        asked_at = time.monotonic()
        try:
            begun = self._ledger.calls.begin(
                lead,
                claimed.epoch,
                decision,
                account_id=ticket.account_id,
                rules_digest=self._s.rules.digest,
                worker_id=self._s.worker_id,
                cooldown_seconds=self._s.cooldown_seconds,
                passes=claimed.passes,
                verdict=verdict,
                limits=self._s.rules.limits,
            )
        except IntentInDoubt as error:  # only this process knows that nothing was sent
            with self._unrecorded_lock:
                self._in_doubt[error.begun.attempt_id] = (lead.id, error.begun)
            raise
        if isinstance(begun, Begun):
            send_by = asked_at + _seconds_to_send(verdict, begun)
            return self._place(lead, decision, ticket, begun, send_by=send_by, waiting=waiting)
        return _log_held(lead, begun)

    def _place(
        self, lead: LeadWork, decision: Decision, ticket: Ticket, begun: Begun, *, send_by: float, waiting: Waiting
    ) -> LeadState | None:
        assert decision.account is not None
        assert decision.to is not None
        get_log().info(
            "call.dialing",
            lead=lead.id,
            attempt=begun.n,
            to=mask(decision.to),
            account=decision.account.key,
            rule=decision.rule_name,
            line=decision.rule_line,
            after_ms=begun.at_ms - lead.received_at_ms,
        )
        call = CallRequest(decision.to, decision.account.caller_id, f"lead {lead.id} attempt {begun.n}")
        reach("call.before_send")
        try:
            with waiting:
                outcome = self._s.dialer.place(ticket, call, send_by)
        except Exception as error:  # noqa: BLE001 - a fault of ours after the intent: the phone may ring
            detail = f"an error of Ringback's own while the call was being placed: {describe_error(error)}"
            outcome = Outcome(OutcomeKind.UNCLEAR, Reason.ANSWER_UNCLEAR, detail)
        reach("call.answer_read")
        after = self._after(lead, decision, outcome, _RETRY_WAITS[min(begun.n, len(_RETRY_WAITS)) - 1])
        state = self._record(lead, decision, begun.attempt_id, outcome, after)  # the fact first, then the talk about it
        _log_outcome(lead.id, begun.n, outcome)
        return state

    def _after(self, lead: LeadWork, decision: Decision, outcome: Outcome, backoff_seconds: float) -> SetBack | None:
        """Where the lead goes when its call was surely not placed."""
        if outcome.kind is not OutcomeKind.NOT_PLACED:
            return None
        assert decision.account is not None
        account = decision.account.key
        match outcome.next:
            case Next.BLOCK:
                return SetBack(LeadState.BLOCKED, outcome.reason)
            case Next.REFRESH if lead.last_reason is not Reason.TOKEN_REFUSED:
                return SetBack(LeadState.READY, outcome.reason)
            case Next.REFRESH | Next.PAUSE_ALL:  # a fresh token was refused as well
                return SetBack(LeadState.WAITING, outcome.reason, wait_seconds=60.0, pause=ALL_DIALING)
            case Next.PAUSE_ACCOUNT:
                return SetBack(LeadState.WAITING, outcome.reason, wait_seconds=60.0, pause=account)
            case Next.RETRY | None:
                asked = outcome.retry_after_seconds
                wait = self._jittered(backoff_seconds) if asked is None else asked
                pause = account if outcome.reason is Reason.RATE_LIMITED else None
                return SetBack(LeadState.WAITING, outcome.reason, wait_seconds=wait, pause=pause)

    def _not_prepared(
        self, lead: LeadWork, claimed: Claimed, decision: Decision, outcome: Outcome, verdict: Verdict
    ) -> LeadState | None:
        assert decision.account is not None
        # As long again as the lead has been held up so far: no attempt was made that could be counted.
        backoff = min(max(lead.held_up_seconds, _RETRY_WAITS[0]), _LONGEST_PREPARE_WAIT_SECONDS)
        after = self._after(lead, decision, outcome, backoff)
        assert after is not None
        get_log().warning("call.not_prepared", lead=lead.id, reason=str(outcome.reason), detail=outcome.message)
        was_first = self._ledger.calls.set_back(
            lead,
            claimed.epoch,
            after,
            outcome.message,
            decision.account.key,
            checks=verdict.checks,
            rules_digest=self._s.rules.digest,
        )
        if not was_first:
            return None
        return after.state

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.8 + 0.4 * self._chance())

    # ---- facts that must not be lost ----------------------------------------------------------

    def _record(
        self, lead: LeadWork, decision: Decision, attempt_id: AttemptId, outcome: Outcome, after: SetBack | None
    ) -> LeadState | None:
        lease = self._leases_ahead and len(self._leased) < MOST_LEASED
        since = time.monotonic()
        try:
            settled = self._settle(lead.id, attempt_id, outcome, after, lease=lease)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being written, the fact itself is kept
            with self._unrecorded_lock:
                self._unrecorded[attempt_id] = (lead.id, outcome, after, lease)
            get_log().error(
                "call.not_recorded",
                lead=lead.id,
                attempt_id=attempt_id,
                outcome=str(outcome.kind),
                call_id=outcome.call_id,
                detail=str(error) if isinstance(error, LedgerUnavailable) else None,  # our own words: they quote no row
                error=describe_error(error),
            )
            return None
        if settled is None:
            return None
        job = leased_job(lead, decision, outcome, settled)
        if job is not None:
            self._leased[lead.id] = job, since
        return settled.state

    def _settle(
        self, lead_id: LeadId, attempt_id: AttemptId, outcome: Outcome, after: SetBack | None, *, lease: bool
    ) -> Settled | None:
        settled = self._ledger.calls.settle(lead_id, attempt_id, outcome, after, lease=lease)
        if settled is None:
            get_log().warning("call.late_answer", lead=lead_id, attempt_id=attempt_id, outcome=str(outcome.kind))
        elif settled.alert is not None:
            get_log().error("call.contradiction", lead=lead_id, attempt_id=attempt_id, detail=settled.alert)
        return settled

    def record_the_unrecorded(self) -> list[LeadId]:
        """Offer the ledger once more what it would not take. The leads that now stand elsewhere.

        Raises LedgerUnavailable at the first refusal, because each one costs a wait; the rest is kept.
        """
        self._withdraw_what_is_in_doubt()
        with self._unrecorded_lock:
            waiting = dict(self._unrecorded)
        moved = []
        for attempt_id, (lead_id, outcome, after, leased) in waiting.items():
            try:
                settled = self._settle(lead_id, attempt_id, outcome, after, lease=False)
            except LedgerUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one fact that cannot be written must not hide the others
                get_log().error("call.not_recorded", lead=lead_id, error=describe_error(error))
                continue
            with self._unrecorded_lock:
                self._unrecorded.pop(attempt_id, None)
            # Nothing was left to settle: the commit stood after all, with a lease for what nobody has begun.
            stood = leased and settled is None and outcome.kind is OutcomeKind.PLACED
            if settled is not None or (stood and self._ledger.writebacks.release_unbegun(lead_id)):
                moved.append(lead_id)
        return moved

    def let_in(self) -> None:
        """Make due as many of the leads that wait for room as `limits:` has room for now; warn of the others."""
        left = self._ledger.rates.let_in(self._s.rules.limits)
        now = time.monotonic()
        if left and now >= self._warn_of_limits_at:
            self._warn_of_limits_at = now + LIMITS_WARN_SECONDS
            get_log().warning(
                "limits.reached", waiting=left, detail="`limits:` leaves no room for more calls at present"
            )

    def judge_anew(self) -> int:
        """Have leads judged by these rules that others put off to an opening; as many as one look takes. How many."""
        return self._ledger.upkeep.judge_anew(self._s.rules.digest)

    def _withdraw_what_is_in_doubt(self) -> None:
        with self._unrecorded_lock:
            waiting = dict(self._in_doubt)
        for attempt_id, (lead_id, begun) in waiting.items():
            try:
                if self._ledger.calls.withdraw(lead_id, begun):
                    get_log().info("call.withdrawn", lead=lead_id, attempt=begun.n)
            except LedgerUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - left alone the lead is shown to a person; the others go on
                get_log().error("call.not_withdrawn", lead=lead_id, error=describe_error(error))
            with self._unrecorded_lock:
                self._in_doubt.pop(attempt_id, None)

    def unrecorded(self) -> int:
        """How many outcomes are known here and not yet in the ledger."""
        with self._unrecorded_lock:
            return len(self._unrecorded) + len(self._in_doubt)

    def stumbled(self, lead_id: LeadId, error: Exception) -> LeadState | None:
        """A step ended in an error of ours. The lead waits, and after five of them a person sees it."""
        described = describe_error(error)
        get_log().error("lead.stumbled", lead=lead_id, error=described)
        return self._ledger.calls.stumble(lead_id, f"an error of Ringback's own: {described}")

    # ---- telling the CRM ----------------------------------------------------------------------

    def write_back(self, lead_id: LeadId, waiting: Waiting = _UNSEEN) -> None:
        """Tell the CRM this lead's result, if it is due. Never reaches the dialer. `waiting` is entered while the CRM
        is waited for. Raises LedgerUnavailable."""
        now = time.monotonic()  # before the lease begins, as with a call: a suspended process finds the instant past
        job, since = self._at_hand(lead_id) or (self._ledger.writebacks.take(lead_id), now)
        if job is None:
            return
        reach("writeback.taken")
        try:
            self._tell(job, since + LEASED_SECONDS, waiting)
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the border of a worker's step: it is tried again, and in the end parked
            self._again(job, f"an error of Ringback's own: {describe_error(error)}", None, None)

    def _at_hand(self, lead_id: LeadId) -> tuple[WritebackJob, float] | None:
        """The write-back that was leased with its result, and since when, unless too little is left of the lease."""
        found = self._leased.pop(lead_id, None)
        if found is not None and time.monotonic() - found[1] > LEASED_SECONDS:
            self._ledger.writebacks.release(found[0])
            return None
        return found

    def release(self, lead_id: LeadId) -> None:
        """Leave this lead's write-back to whoever comes next, if it is leased here. Raises LedgerUnavailable."""
        found = self._leased.pop(lead_id, None)
        if found is not None:
            self._ledger.writebacks.release(found[0])

    def release_leased(self) -> None:
        """Leave the write-backs that were not begun to whoever comes next. Raises LedgerUnavailable."""
        while self._leased:
            with contextlib.suppress(KeyError):  # another thread has just taken the last one
                self._ledger.writebacks.release(self._leased.popitem()[1][0])

    def _tell(self, job: WritebackJob, send_by: float, waiting: Waiting) -> None:
        rendered = self._render(job)
        match rendered:
            case None:
                self._ledger.writebacks.not_wanted(job)
            case BadWriteback():
                get_log().error("writeback.parked", lead=job.lead_id, detail=rendered.detail)
                self._ledger.writebacks.park(job, Reason.BAD_WRITEBACK, rendered.detail)
            case RenderedRequest():
                self._send(job, rendered, send_by, waiting)

    def _render(self, job: WritebackJob) -> RenderedRequest | BadWriteback | None:
        source = self._s.rules.sources.get(job.source)
        if source is None or source.write_back is None or job.state not in source.write_back.on:
            return None
        tree = self._messages.read(source, job.body, job.content_type)
        message: Tree = None if isinstance(tree, BadBody) else tree
        record_id, fields = job.record_id, job.fields
        if record_id is None and message is not None:  # parked as it came in: whose record it is was never asked
            found = decide(self._s.rules, job.source, message, job.item)
            record_id, fields = found.record_id, {**found.fields, **fields}
        facts = WritebackFacts(
            record_id=record_id,
            result=job.state,
            reason_text=_reason_text(job),
            call_id=job.call_id,
            call_status=job.call_status,
            account=job.account,
            fields=fields,
            event=item_of(source, message, job.item),
            message=message,
            message_id=f"ringback-{job.lead_id}-{job.lease.version}",
            now=datetime.now(UTC),
        )
        return render_writeback(source.write_back, facts)

    def _send(self, job: WritebackJob, request: RenderedRequest, send_by: float, waiting: Waiting) -> None:
        try:
            with waiting:
                answer = self._s.client.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    body=request.body,
                    deadline_seconds=WRITEBACK_DEADLINE_SECONDS,
                    named=request.listed_hosts,
                    send_by=send_by,
                )
        except HttpError as error:
            detail = f"no answer from the CRM: {error}"
            if error.kind in _CANNOT_BE_SENT:
                get_log().error("writeback.parked", lead=job.lead_id, detail=detail)
                self._ledger.writebacks.park(job, Reason.BAD_WRITEBACK, detail)
            else:
                self._again(job, detail, None, None)
            return
        reach("writeback.answered")
        if 200 <= answer.status < 300:
            self._ledger.writebacks.done(job, answer.status, f"the CRM answered {answer.status}")
            get_log().info("writeback.done", lead=job.lead_id, result=str(job.state), status=answer.status)
        elif answer.status in _WORTH_ANOTHER_TRY or answer.status >= 500:
            asked = retry_after_seconds(answer.headers.get("Retry-After"), datetime.now(UTC))
            self._again(job, f"the CRM answered {answer.status}", answer.status, asked)
        else:
            detail = _refusal(answer)
            get_log().error("writeback.parked", lead=job.lead_id, status=answer.status, detail=detail)
            self._ledger.writebacks.park(job, Reason.CRM_REFUSED, detail, answer.status)

    def _again(self, job: WritebackJob, detail: str, status: int | None, asked_seconds: float | None) -> None:
        if job.age_seconds > WRITEBACK_GIVE_UP_SECONDS:
            get_log().error("writeback.parked", lead=job.lead_id, detail=detail)
            self._ledger.writebacks.park(job, Reason.CRM_UNREACHABLE, f"for 3 days {detail}", status)
            return
        wait = asked_seconds
        if wait is None:
            wait = self._jittered(_WRITEBACK_WAITS[min(job.tries, len(_WRITEBACK_WAITS)) - 1])
        get_log().warning("writeback.again", lead=job.lead_id, tries=job.tries, wait_seconds=round(wait), detail=detail)
        self._ledger.writebacks.again(job, wait, detail, status)


_CANNOT_BE_SENT = frozenset({"bad_address", "bad_request", "not_public"})
_WORTH_ANOTHER_TRY = frozenset({408, 423, 425, 429})

_REFUSALS = {
    401: "the CRM refused the credentials of the write-back; renew the secret that `write_back:` names",
    403: "the CRM's user may not change this record; give it the permission",
    404: "the CRM has no such record; it may have been deleted or merged, or the path in `write_back:` is wrong",
}


def _refusal(answer: Answer) -> str:
    advice = _REFUSALS.get(answer.status, "see `request:` and `json:` under `write_back:` in the rules file")
    return f"the CRM answered {answer.status}: {advice}; then `ringback resolve LEAD --tell-crm`"


def _reason_text(job: WritebackJob) -> str:
    """What `{{ lead.reason }}` says: the words for people, else the reason code."""
    if job.state is LeadState.CALLED:
        return ""
    return job.detail or str(job.reason or "")


def _seconds_to_send(verdict: Verdict, begun: Begun) -> float:
    """How long a request may take to leave after its intent: not beyond what the verdict allows."""
    if verdict.until is None:
        return SEND_BY_SECONDS
    return min(SEND_BY_SECONDS, verdict.until.timestamp() - begun.at_ms / 1000)


def _log_held(lead: LeadWork, held: Held | None) -> LeadState | None:
    if held is None:
        return None
    log = get_log().error if held.state is LeadState.UNKNOWN else get_log().info
    log(f"lead.{held.state}", lead=lead.id, reason=str(held.reason), detail=held.detail)
    return held.state


def _log_outcome(lead_id: LeadId, n: int, outcome: Outcome) -> None:
    event = {
        OutcomeKind.PLACED: "call.placed",
        OutcomeKind.NOT_PLACED: "call.not_placed",
        OutcomeKind.UNCLEAR: "call.unclear",
    }[outcome.kind]
    shouts = outcome.kind is OutcomeKind.UNCLEAR or outcome.next in (Next.PAUSE_ACCOUNT, Next.PAUSE_ALL)
    log = get_log().error if shouts else get_log().info
    log(
        event,
        lead=lead_id,
        attempt=n,
        call_id=outcome.call_id,
        status=outcome.http_status,
        reason=str(outcome.reason),
        detail=None if outcome.kind is OutcomeKind.PLACED and outcome.call_id else outcome.message,
    )
