"""The published signature vectors, and the settings of a source that each of them is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# The vectors' own names where they differ from our presets.
PRESETS = {
    "followupboss": "follow-up-boss",
    "salesforce_apex_b64": "salesforce-apex",
    "twilio_form": "twilio",
    "highlevel_ed25519": "ghl",
    "highlevel_rsa_legacy": "ghl-legacy",
    "monday_jwt": "monday",
    "pipedrive_basic": "pipedrive",
    "copper_header": "copper",
    "zoho_body_token": "zoho",
    "bitrix24_app_token": "bitrix24",
    "dataverse_webhookkey": "dataverse",
    "salesforce_outbound_org": "salesforce-outbound",
}
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "signature_vectors.json").read_text(encoding="utf-8")
)
NAMES = [f"{i}-{vector['scheme']}-{vector.get('tamper', 'valid')}" for i, vector in enumerate(VECTORS)]


def vector_settings(vector: dict[str, Any]) -> dict[str, object]:
    """What stands under `verify:`."""
    name = PRESETS.get(vector["scheme"], vector["scheme"].replace("_", "-"))
    settings: dict[str, object] = {"scheme": name}
    settings["public_key" if vector["scheme"].startswith("highlevel") else "secret"] = [vector["secret"]]
    if name == "copper":
        settings["header"] = "X-Copper-Webhook-Token"
    return settings
