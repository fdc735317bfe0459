"""The senders' own libraries and this verifier must agree, each on what the other signed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import jwt
import pytest
import standardwebhooks
import stripe
import svix
from hubspot.utils.signature import Signature
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import WebhookVerificationError
from twilio.request_validator import RequestValidator

from integration.crms import scheme_from
from integration.signatures import Refused, SignedRequest, Verified, sign, verify

URL = "https://calls.example.com/hooks/crm?tenant=7"
SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODIES = ['{"a":1}', "{}", "[]", '{"name":"Zoë Müller","note":"naïve ✓ \\u00e9"}', '{"a": "' + "x" * 5000 + '"}\n']


def request(body: str, headers: list[tuple[str, str]] | None = None) -> SignedRequest:
    return SignedRequest("POST", URL, headers or [], "tenant=7", body.encode("utf-8"))


def peer_standard(body: str, headers: dict[str, str]) -> bool:
    try:
        standardwebhooks.Webhook(WHSEC).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def peer_svix(body: str, headers: dict[str, str]) -> bool:
    try:
        svix.Webhook(WHSEC).verify(body, headers)
    except svix.WebhookVerificationError:
        return False
    return True


def peer_stripe(body: str, headers: dict[str, str]) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, headers["Stripe-Signature"], SECRET, tolerance=300)
    except stripe.SignatureVerificationError:
        return False
    return True


def peer_hubspot(version: str) -> Callable[[str, dict[str, str]], bool]:
    def check(body: str, headers: dict[str, str]) -> bool:
        value = headers["X-HubSpot-Signature-v3" if version == "v3" else "X-HubSpot-Signature"]
        stamp = headers.get("X-HubSpot-Request-Timestamp")
        return bool(
            Signature.is_valid(
                value, SECRET, body, signature_version=version, http_uri=URL, http_method="POST", timestamp=stamp
            )
        )

    return check


def peer_slack(body: str, headers: dict[str, str]) -> bool:
    return bool(SignatureVerifier(SECRET).is_valid_request(body, headers))


def peer_twilio(body: str, headers: dict[str, str]) -> bool:
    fields = dict(parse_qsl(body, keep_blank_values=True))
    return bool(RequestValidator(SECRET).validate(URL, fields, headers["X-Twilio-Signature"]))


PEERS = {
    "slack": (SECRET, peer_slack),
    "standard-webhooks": (WHSEC, peer_standard),
    "svix": (WHSEC, peer_svix),
    "stripe": (SECRET, peer_stripe),
    "hubspot-v1": (SECRET, peer_hubspot("v1")),
    "hubspot-v2": (SECRET, peer_hubspot("v2")),
    "hubspot-v3": (SECRET, peer_hubspot("v3")),
}


FORMS = ["CallSid=CA123&From=%2B14155552671&To=%2B18005551212", "a=&b=1+2&c=%C3%A9", "z=1&a=2&Z=3", ""]


@pytest.mark.parametrize(
    ("name", "body"), [*((name, body) for name in PEERS for body in BODIES), *(("twilio", form) for form in FORMS)]
)
def test_the_senders_library_accepts_what_we_sign_and_refuses_what_we_refuse(name, body):
    secret, peer = (SECRET, peer_twilio) if name == "twilio" else PEERS[name]
    scheme = scheme_from({"scheme": name, "secret": secret})
    now = datetime.now(UTC)
    headers = sign(scheme, request(body), now)
    assert isinstance(verify(scheme, request(body, headers), now), Verified)
    assert peer(body, dict(headers))
    other = body + "&other=1" if name == "twilio" else body + " "
    assert isinstance(verify(scheme, request(other, headers), now), Refused)
    assert not peer(other, dict(headers))


@pytest.mark.parametrize("body", BODIES)
def test_we_accept_what_the_senders_library_signs(body):
    now = datetime.now(UTC)
    standard = standardwebhooks.Webhook(WHSEC).sign("msg_1", now, body)
    stamp = str(int(now.timestamp()))
    headers = [("webhook-id", "msg_1"), ("webhook-timestamp", stamp), ("webhook-signature", standard)]
    scheme = scheme_from({"scheme": "standard-webhooks", "secret": WHSEC})
    assert verify(scheme, request(body, headers), now) == Verified(key_index=0, signed_id="msg_1")
    hubspot = Signature.get_signature(SECRET, body, "v3", http_uri=URL, http_method="POST", timestamp=f"{stamp}000")
    headers = [("X-HubSpot-Signature-v3", hubspot), ("X-HubSpot-Request-Timestamp", f"{stamp}000")]
    scheme = scheme_from({"scheme": "hubspot-v3", "secret": SECRET})
    assert isinstance(verify(scheme, request(body, headers), now), Verified)


def test_tokens_are_exchanged_with_the_usual_library():
    now = int(time.time())
    scheme = scheme_from({"scheme": "monday", "secret": SECRET})
    made = jwt.encode({"iat": now, "exp": now + 300}, SECRET, algorithm="HS256")
    at = datetime.fromtimestamp(now, UTC)
    assert isinstance(verify(scheme, request("{}", [("Authorization", made)]), at), Verified)
    [(_, ours)] = sign(scheme, request("{}"), at)
    assert jwt.decode(ours, SECRET, algorithms=["HS256"])["exp"] == now + 300
