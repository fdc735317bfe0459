"""What can be seen from outside: HTTP answers, the contact centre's journal, the CRM's records, the ledger.

Nothing here asks the server how it did. Latency is measured between two readings of the machine's monotonic
clock: before the webhook is sent here, and by the contact centre when the first byte of its request arrives.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from integration.demo.stage import Stage
from integration.demo.stories import SOURCE, Story
from integration.http import Client
from integration.ledger import LeadRow, Ledger, open_database
from integration.model import LeadId

DEADLINE_SECONDS = 3.0
LOOK_EVERY_SECONDS = 0.01
RESULT_SECONDS = 3.0  # how long one lead may take until the CRM knows its result


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it goes out."""

    record_id: str
    body: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that became of one story's webhook, as it is known now."""

    status: int
    answer: dict[str, Any]
    answered_ms: float
    sent_at: float  # time.monotonic()
    record: dict[str, Any]
    lead: LeadRow | None
    calls: tuple[dict[str, Any], ...]  # the contact centre's entries for the number of this story

    @property
    def call_after_ms(self) -> float | None:
        """From the webhook's sending to the first byte at the contact centre; None if that came before it."""
        if not self.calls:
            return None
        after = (float(self.calls[0]["monotonic"]) - self.sent_at) * 1000
        return after if after >= 0 else None


class Witness:
    """Plays the CRM's part and watches."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client = Client()
        self._ledger = Ledger(open_database(stage.database_url))

    def close(self) -> None:
        self._ledger.close()
        self._client.close()

    # ---- the CRM's part ---------------------------------------------------------------------

    def create_record(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Keep a record in the CRM; it as it is kept, with its Id."""
        return cast("dict[str, Any]", self._crm("POST", "/leads", fields))

    def deliver(self, story: Story) -> Delivery:
        """The webhook of a new record, signed as the rules file says: HMAC-SHA256 of the body, in hex."""
        record = self.create_record(story.record)
        message = {"type": "lead.created", "meta": {"id": story.event_id}, "data": record}
        body = json.dumps(message).encode()
        secret = "somebody-elses-secret" if story.forged else self._stage.secret
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return Delivery(str(record["Id"]), body, f"sha256={signature}")

    def misbehave(self, behaviour: str, to: str | None = None) -> None:
        """Order a behaviour of the contact centre."""
        order = {"behaviour": behaviour, "to": to}
        self._json("POST", f"{self._stage.contact_centre_url}/_sandbox/behaviour", order)

    def send(self, delivery: Delivery) -> tuple[int, dict[str, Any], float, float]:
        """Status, answer, milliseconds it took, and the instant before it was sent. Raises HttpError."""
        headers = {"Content-Type": "application/json", "X-Signature": delivery.signature}
        url = f"{self._stage.server_url}/hooks/{SOURCE}"
        sent_at = time.monotonic()
        answer = self._client.request(
            "POST", url, headers=headers, body=delivery.body, deadline_seconds=DEADLINE_SECONDS
        )
        took_ms = (time.monotonic() - sent_at) * 1000
        said = json.loads(answer.body)
        return answer.status, said if isinstance(said, dict) else {}, took_ms, sent_at

    # ---- watching ---------------------------------------------------------------------------

    def record(self, record_id: str) -> dict[str, Any]:
        """The CRM's record as it is now."""
        return cast("dict[str, Any]", self._crm("GET", f"/leads/{quote(record_id, safe='')}"))

    def wait_for_result(self, record_id: str, until: float) -> None:
        """Until the CRM's record holds a result, or this instant of the monotonic clock."""
        until = min(until, time.monotonic() + RESULT_SECONDS)
        while "ringback_result" not in self.record(record_id) and time.monotonic() < until:
            time.sleep(LOOK_EVERY_SECONDS)

    def calls(self) -> list[dict[str, Any]]:
        """Every request to ring somebody that reached the contact centre, in the order of arrival."""
        journal = self._json("GET", f"{self._stage.contact_centre_url}/_sandbox/requests")
        return [entry for entry in cast("list[dict[str, Any]]", journal) if entry["kind"] == "call"]

    def asked(self) -> Counter[str]:
        """How often the contact centre was asked to ring each number."""
        return Counter(str(entry["to"]) for entry in self.calls())

    def lead(self, lead_id: int | None) -> LeadRow | None:
        """The ledger's row."""
        story = None if lead_id is None else self._ledger.reading.story(LeadId(lead_id))
        return None if story is None else story.lead

    def leads_kept(self) -> int:
        """How many leads the ledger holds."""
        return sum(self._ledger.reading.counts().values())

    def broken_promises(self) -> list[str]:
        """Which of the ledger's invariants do not hold."""
        return list(self._ledger.reading.broken_invariants())

    def _crm(self, method: str, path: str, body: object = None) -> object:
        return self._json(
            method, self._stage.crm_url + path, body, {"Authorization": f"Bearer {self._stage.crm_token}"}
        )

    def _json(self, method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> object:
        sent = None if body is None else json.dumps(body).encode()
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        answer = self._client.request(method, url, headers=all_headers, body=sent, deadline_seconds=DEADLINE_SECONDS)
        return json.loads(answer.body or b"null")
