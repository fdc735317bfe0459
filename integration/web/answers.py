"""The answer to a message that was taken, in the form that its CRM understands."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import Response

from integration.ledger import Receipt
from integration.model import DeliveryState
from integration.rules import Source

WORDS: Mapping[DeliveryState, str] = {
    DeliveryState.STORED: "accepted",
    DeliveryState.DUPLICATE: "duplicate",
    DeliveryState.IGNORED: "ignored",
}

# Salesforce, "Understanding Outbound Messaging" (developer.salesforce.com, November 2026): without this
# acknowledgement the message comes again for 24 hours.
SOAP_ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>\n"
)


def taken(source: Source, receipt: Receipt) -> Response:
    """The delivery is on disk, whatever it came to: the CRM need not send it again."""
    if source.answers.soap_ack:
        return Response(SOAP_ACK, 200, content_type="text/xml; charset=utf-8")
    if source.answers.taken == 204:
        return Response(status=204)
    leads = [*receipt.created, *receipt.repeated]
    needs_a_person = bool(receipt.parked) and len(receipt.parked) == len(receipt.created)
    said: dict[str, object] = {
        "status": "parked" if needs_a_person else WORDS[receipt.state],
        "lead": leads[0] if leads else None,
    }
    if source.items is not None:
        said["leads"] = len(set(leads))
    return Response(
        json.dumps(said, separators=(",", ":")) + "\n", source.answers.taken, content_type="application/json"
    )
