"""The leads of a run: the n-th has a record, a fictional number and a signed webhook of its own, used once."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json

from integration.phone import Phone, PhonePolicy, read_phones

PATH = "/hooks/our-crm"


def number_of(n: int) -> str:
    """The n-th number set aside for fiction, E.164: 555-0100 to 555-0199 behind one area code after the other."""
    return f"+1{_area_codes()[n // 100]}55501{n % 100:02d}"


@functools.cache
def _area_codes() -> list[int]:
    """Those whose fictional numbers count as callable ones of the US, 600 and more."""
    policy = PhonePolicy(may_call=frozenset({"US"}), read_as="US")
    return [area for area in range(201, 800) if isinstance(read_phones([f"+1{area}5550100"], "US", policy), Phone)]


def record_of(n: int) -> dict[str, object]:
    """What the CRM keeps of the n-th lead; the size of a common lead-created message."""
    return {
        "Id": f"bench-{n}",
        "FirstName": "Example",
        "LastName": f"Person {n}",
        "Email": f"person-{n}@example.org",
        "Country": "USA",
        "Phone": number_of(n),
        "LeadSource": "Website",
        "Company": {"Name": f"Example Company {n}", "Industry": "Manufacturing", "Employees": 40},
        "Notes": "Asked for a demonstration and wants to be called as soon as possible.",
    }


def webhook_of(n: int, secret: str, port: int) -> bytes:
    """The n-th webhook as it goes over the wire, on a connection of its own."""
    message = {"type": "lead.created", "meta": {"id": f"bench-{n}", "sent_by": "bench"}, "data": record_of(n)}
    body = json.dumps(message).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Signature: sha256={signature}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
