"""Keeps what the CRM sent, before anyone is answered. One transaction per delivery."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from integration.crash_points import reach
from integration.ledger.database import ConstraintHeld, Database, Params, Row, Tx
from integration.ledger.do_not_call import ListUnreadable, NumberKey, add_numbers
from integration.ledger.history import write_history
from integration.ledger.steps import LeadWork, milliseconds
from integration.ledger.writebacks import enqueue_writeback
from integration.model import Burst, DeliveryId, DeliveryState, LeadId, LeadState, Reason


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event of a delivery that is a new lead, or must be looked at by a person."""

    dedupe_key: str  # `id:<text>` or `sha256:<hex>`, unique within the source
    parked: tuple[Reason, str] | None = None  # set when nothing can be decided: why, in words
    item: int = 0  # which event of the message it is; ignored ones count too
    # The numbers of somebody who wants no calls. Such an event makes a lead only when a person must look (`parked`).
    opted_out: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a delivery came to. It is durable."""

    delivery_id: DeliveryId
    state: DeliveryState
    created: tuple[LeadId, ...]  # new leads
    parked: tuple[LeadId, ...]  # those of them that need a person
    work: tuple[LeadWork, ...]  # the others, as whoever moves them first need not read them again
    repeated: tuple[LeadId, ...]  # leads that had been received before
    held: tuple[LeadId, ...] = ()  # those of `parked` that are beyond what is normal of their source
    opted_out: int = 0  # numbers that are on the do-not-call list because of it


_INSERT_DELIVERY = """
    INSERT INTO delivery (source, received_at, state, note, content_type, body, body_sha256)
    VALUES (:source, :received_at, :state, :note, :content_type, :body, :body_sha256)
    RETURNING id
"""

_INSERT_LEAD = """
    INSERT INTO lead (delivery_id, item, source, dedupe_key, state, reason, detail, received_at, updated_at)
    VALUES (:delivery_id, :item, :source, :dedupe_key, :state, :reason, :detail, :received_at, {now})
    ON CONFLICT (source, dedupe_key) DO NOTHING
    RETURNING id, updated_at
"""

# A delivery of one new lead: nothing when the lead is known, and refused when it becomes so at the same moment.
_RECEIVE_IN_ONE = """
    WITH delivered AS (
        INSERT INTO delivery (source, received_at, state, note, content_type, body, body_sha256)
        SELECT :source, :received_at, :state, :note, :content_type, :body, :body_sha256
        WHERE NOT EXISTS (SELECT 1 FROM lead WHERE source = :source AND dedupe_key = :dedupe_key)
        RETURNING id),
    created AS (
        INSERT INTO lead (delivery_id, item, source, dedupe_key, state, reason, detail, received_at, updated_at)
        SELECT id, :item, :source, :dedupe_key, :lead_state, NULL, '', :received_at, {now} FROM delivered
        RETURNING id, delivery_id, updated_at)
    SELECT id, delivery_id, updated_at FROM created
"""

_SEEN_BEFORE = """
    SELECT lead.id, delivery.body_sha256
    FROM lead JOIN delivery ON delivery.id = lead.delivery_id
    WHERE lead.source = :source AND lead.dedupe_key = :dedupe_key
"""

_ARRIVED = "INSERT INTO arrival (source, at, lead_id) VALUES (:source, :at, :lead_id)"
_FORGET_ARRIVALS = "DELETE FROM arrival WHERE source = :source AND at <= :since"

# Counts no further than is needed to know that there were too many.
_ARRIVALS = """
    SELECT COUNT(*) AS count FROM (
        SELECT 1 FROM arrival WHERE source = :source AND at > :since LIMIT :most) AS lately
"""

_HOLD = """
    UPDATE lead SET state = 'parked', reason = 'burst_held', detail = :detail, updated_at = {now} WHERE id = :id
    RETURNING id
"""

_MARK_DUPLICATE = "UPDATE delivery SET state = 'duplicate', note = :note, body = :body WHERE id = :id"


def body_digest(body: bytes) -> str:
    """What names a body in the ledger and, without an event id, the event: SHA-256 in hex."""
    return hashlib.sha256(body).hexdigest()


class Intake:
    """Receives deliveries."""

    def __init__(self, database: Database, key: NumberKey | None = None) -> None:
        self._database = database
        self._key = key

    def receive(
        self,
        *,
        source: str,
        body: bytes,
        content_type: str | None,
        received_at_ms: int,
        events: Sequence[NewEvent],
        note: str = "",
        burst: Burst | None = None,
    ) -> Receipt:
        """Keep one delivery and make its leads, in one durable transaction.

        No events: the delivery is kept as ignored, with the reason in `note`. An event whose key is known
        makes no second lead. Of more new leads than `burst` allows those beyond are parked. The numbers of opt-outs go
        onto the do-not-call list; where that cannot be, the event makes a parked lead.
        Raises LedgerUnavailable: then the CRM must come again. Nothing was kept, or (CommitInDoubt) it may have been;
        the same message makes no second lead.
        """
        digest = body_digest(body)
        state = DeliveryState.STORED if events else DeliveryState.IGNORED
        delivery = {
            "source": source,
            "received_at": received_at_ms,
            "state": state,
            "note": note,
            "content_type": content_type,
            "body": body,
            "body_sha256": digest,
        }
        if self._database.writes_in_one and burst is None and _is_one_new_lead(events):
            kept = self._keep_in_one(delivery, events[0])
            if kept is not None:
                at = kept["updated_at"]
                lead = LeadWork(LeadId(kept["id"]), 0, source, events[0].item, body, content_type, received_at_ms, at)
                return Receipt(DeliveryId(kept["delivery_id"]), state, (lead.id,), (), (lead,), ())
        created: list[LeadId] = []
        parked: list[LeadId] = []
        work: list[LeadWork] = []
        with self._database.write(urgent=True) as tx:
            events, opted_out = self._list_opt_outs(tx, events, source)
            if opted_out and not note:
                delivery["note"] = f"opt-out: {opted_out} on the do-not-call list"
            row = tx.one(_INSERT_DELIVERY, delivery)
            assert row is not None
            delivery_id = DeliveryId(row["id"])
            fixed = {"delivery_id": delivery_id, "source": source, "received_at": received_at_ms}
            # In the order of their keys: two deliveries of the same events never wait for each other in a circle.
            in_order = sorted(events, key=_key)
            inserted = tx.each(_INSERT_LEAD, [_lead_row(event, fixed) for event in in_order])
            again: list[NewEvent] = []
            for event, new in zip(in_order, inserted, strict=True):
                if new is None:
                    again.append(event)
                    continue
                lead_id = LeadId(new["id"])
                created.append(lead_id)
                if event.parked is not None:
                    parked.append(lead_id)
                    reason, detail = event.parked
                    write_history(tx, lead_id, LeadState.PARKED, f"{reason}: {detail}")
                    enqueue_writeback(tx, lead_id)
                else:
                    work.append(
                        LeadWork(lead_id, 0, source, event.item, body, content_type, received_at_ms, new["updated_at"])
                    )
            held = [] if burst is None else _hold_burst(tx, burst, source, received_at_ms, work)
            repeated, all_the_same = _note_repeats(tx, again, source, delivery_id, digest)
            if again and not created:
                state = DeliveryState.DUPLICATE
                note = "the same body again" if all_the_same else "the same event with another body"
                wanted = None if all_the_same else body
                tx.add(_MARK_DUPLICATE, {"id": delivery_id, "note": note, "body": wanted})
            reach("intake.before_commit")
        reach("intake.committed")
        free = work[: len(work) - len(held)]
        return Receipt(
            delivery_id, state, tuple(created), (*parked, *held), tuple(free), tuple(repeated), tuple(held), opted_out
        )

    def _keep_in_one(self, delivery: Params, event: NewEvent) -> Row | None:
        """Keep a delivery of one new lead by one statement; None when the lead is known."""
        own = {"item": event.item, "dedupe_key": event.dedupe_key, "lead_state": LeadState.RECEIVED}
        reach("intake.before_commit")
        row = None
        with contextlib.suppress(ConstraintHeld):
            row = self._database.write_one(_RECEIVE_IN_ONE, {**delivery, **own}, urgent=True)
        if row is not None:
            reach("intake.committed")
        return row

    def _list_opt_outs(self, tx: Tx, events: Sequence[NewEvent], source: str) -> tuple[list[NewEvent], int]:
        """Put the numbers of opt-outs onto the list. The events that make leads, and how many numbers there are."""
        leads: list[NewEvent] = []
        numbers: set[str] = set()
        for event in events:
            parked = event.parked
            if event.opted_out:
                try:
                    add_numbers(tx, self._key, event.opted_out, f"source {source}")
                    numbers.update(event.opted_out)
                except ListUnreadable as error:
                    parked = Reason.OPT_OUT_UNREAD, str(error)
            if event.opted_out is None or parked is not None:
                leads.append(event if parked is event.parked else replace(event, parked=parked))
        return leads, len(numbers)


def _note_repeats(
    tx: Tx, again: Sequence[NewEvent], source: str, delivery_id: DeliveryId, digest: str
) -> tuple[list[LeadId], bool]:
    """The leads of events that were seen before, and whether all of them came with the same body then."""
    repeated: list[LeadId] = []
    all_the_same = True
    keys = [{"source": source, "dedupe_key": event.dedupe_key} for event in again]
    for known in tx.each(_SEEN_BEFORE, keys):
        assert known is not None
        repeated.append(LeadId(known["id"]))
        if known["body_sha256"] != digest:
            all_the_same = False
            detail = f"the CRM sent this event again with another body, kept as delivery {delivery_id}"
            write_history(tx, known["id"], "duplicate", detail)
    return repeated, all_the_same


def _hold_burst(tx: Tx, burst: Burst, source: str, received_at_ms: int, work: Sequence[LeadWork]) -> list[LeadId]:
    """Park what is beyond the normal number of new leads, those held before counted as well. The leads it held."""
    since = {"source": source, "since": received_at_ms - milliseconds(burst.within_seconds)}
    row = tx.one(_ARRIVALS, {**since, "most": burst.more_than})
    assert row is not None
    room = burst.more_than - row["count"]
    for lead in work:
        tx.add(_ARRIVED, {"source": source, "at": received_at_ms, "lead_id": lead.id})
    tx.add(_FORGET_ARRIVALS, since)
    held = [lead.id for lead in work[room:]]
    minutes = f"{burst.within_seconds / 60:g} minutes"
    detail = (
        f"more than {burst.more_than} new leads of {source} within {minutes}: held until a person has looked and said "
        f"`ringback resume burst:{source}`"
    )
    tx.each(_HOLD, [{"id": lead_id, "detail": detail} for lead_id in held])
    for lead_id in held:
        write_history(tx, lead_id, LeadState.PARKED, f"{Reason.BURST_HELD}: {detail}")
        enqueue_writeback(tx, lead_id)
    return held


def _is_one_new_lead(events: Sequence[NewEvent]) -> bool:
    return len(events) == 1 and events[0].parked is None and events[0].opted_out is None


def _key(event: NewEvent) -> str:
    return event.dedupe_key


def _lead_row(event: NewEvent, fixed: Params) -> Params:
    reason, detail = event.parked or (None, "")
    state = LeadState.RECEIVED if event.parked is None else LeadState.PARKED
    own = {"item": event.item, "dedupe_key": event.dedupe_key, "state": state, "reason": reason, "detail": detail}
    return {**fixed, **own}
