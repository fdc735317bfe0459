"""Every preset as a source behind the real endpoint, and a pipeline that decides without ringing anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from integration.crms import preset_names
from integration.dialers import Dialer
from integration.http import Client
from integration.ledger import Ledger
from integration.model import LeadId
from integration.pipeline import Pipeline, Services
from integration.rules import Rules, load_rules
from integration.settings import Dialing
from integration.signatures import SignedRequest, sign, signed_query
from integration.web import WebServices, create_app

SAMPLES = Path(__file__).parent.parent / "data" / "payload_samples"
PUBLIC_URL = "https://calls.example.com"
CONTENT_TYPES = {".json": "application/json", ".form": "application/x-www-form-urlencoded", ".xml": "text/xml"}

NO_SWAPS: Mapping[bytes, bytes] = {}
_KEY = Ed25519PrivateKey.generate()
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()

ENVIRON = {
    "TEXT": "only-this-test-and-the-sender-know-it",
    "HEX": "0123456789abcdef0123456789abcdef",
    "BASIC": "ringback:only-this-test-knows-it",
    "ZOHO": "TOKEN_FOR_VERIFICATION_OF_1000000068001",
    "BITRIX": "51856fefc120afa4b628cc82d3935cce",
    "PUBLIC": PUBLIC,
    "META": "meatyhamhock",
}
# What a deployer adds to each preset.
OWN = dict.fromkeys(preset_names(), 'verify: {secret: "${TEXT}"}') | {
    "close": 'verify: {secret: "${HEX}"}',
    "copper": 'verify: {secret: "${TEXT}", header: X-Copper-Token}',
    "gohighlevel": 'verify: {public_key: "${PUBLIC}"}',
    "pipedrive": 'verify: {secret: "${BASIC}"}',
    "pipedrive-lead": 'verify: {secret: "${BASIC}"}',
    "pipedrive-v1": 'verify: {secret: "${BASIC}"}',
    "zoho": 'verify: {secret: "${ZOHO}"}',
    "bitrix24": 'verify: {secret: "${BITRIX}"}',
    "facebook": 'verify: {secret: "${TEXT}"}\n    handshake: {token: "${META}"}',
}
HEAD = """\
accounts: {main: {id: acc-1}}
phones: {may_call: [US, GB, CA], read_as: US}
rules: [{name: Everyone, call: main}]
"""


def rules_of(sources: str) -> Rules:
    """Rules with these sources, each of them indented by two."""
    return load_rules(f"{HEAD}sources:\n{sources}", name="rules.yaml", environ=ENVIRON)


def preset_rules() -> Rules:
    """A source for each preset, under the preset's own name."""
    return rules_of("".join(f"  {name}:\n    preset: {name}\n    {own}\n" for name, own in OWN.items()))


@dataclass
class Office:
    """The web door over a ledger, with a pipeline behind it."""

    ledger: Ledger
    rules: Rules
    woken: list[LeadId] = field(default_factory=list)

    @property
    def client(self) -> FlaskClient:
        services = WebServices(self.ledger, self.rules, lambda lead: self.woken.append(lead.id), PUBLIC_URL)
        return create_app(services).test_client()

    def post(self, source: str, body: bytes, content_type: str = "application/json", **headers: str) -> TestResponse:
        """A rightly signed POST. A preset's public key stands in for the vendor's."""
        scheme = self.rules.sources[source].scheme
        if source == "gohighlevel":
            scheme = _signing_scheme()
        query = signed_query(scheme, "")
        target = f"/hooks/{source}" + (f"?{query}" if query else "")
        asked = SignedRequest("POST", PUBLIC_URL + target, list(headers.items()), query, body)
        signed = sign(scheme, asked, datetime.now(UTC))
        return self.client.post(target, data=body, content_type=content_type, headers={**headers, **dict(signed)})

    def post_sample(self, name: str, source: str, swaps: Mapping[bytes, bytes] = NO_SWAPS) -> TestResponse:
        """A sample's bytes without the newline at their end, perhaps with some of them swapped."""
        path = SAMPLES / name
        body = path.read_bytes().rstrip()
        for old, new in swaps.items():
            body = body.replace(old, new)
        return self.post(source, body, CONTENT_TYPES[path.suffix])

    def decide_all(self, dialer: Dialer | None = None) -> None:
        """Let the pipeline take each woken lead to its result. Without a dialer dialling is off: nobody is rung."""
        services = Services(
            ledger=self.ledger,
            rules=self.rules,
            dialer=cast("Any", dialer),
            client=Client(),
            dialing=Dialing(everybody=dialer is not None, only=frozenset()),
            cooldown_seconds=600.0,
            worker_id="worker",
        )
        for lead_id in self.woken:
            Pipeline(services).advance(lead_id)

    def leads(self) -> list[dict[str, Any]]:
        """Each lead: its place in the message, its key, what it came to and why, its id and its number."""
        sql = "SELECT item, dedupe_key, state, reason, record_id, to_number, fields FROM lead ORDER BY id"
        with self.ledger.database.read() as tx:
            return [dict(row) for row in tx.all(sql)]


def _signing_scheme() -> Any:
    rules = load_rules(
        f"{HEAD}sources:\n  ghl:\n    preset: gohighlevel\n"
        '    verify: {public_key: "${PUBLIC}", private_key: "${PRIVATE}"}\n',
        name="rules.yaml",
        environ={**ENVIRON, "PRIVATE": PRIVATE},
    )
    return rules.sources["ghl"].scheme
