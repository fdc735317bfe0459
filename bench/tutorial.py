"""What a tutorial would have one write: a Flask view that does everything before it answers.

It checks the signature and keeps the token, and is otherwise as short as such examples are: nothing is stored, a
webhook that comes again rings again, and a process that dies takes its leads with it. With `TO_THE_LETTER` set it
does for each lead what the tutorial's script does: token, list of accounts, call. Run by gunicorn with two
synchronous workers.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time

import requests
from flask import Flask, Response, jsonify, request

BASE_URL = os.environ["CXONE_BASE_URL"]
CONNECTIONS = f"{BASE_URL}/api/v2/contactcenter/personalconnections"
TIMEOUT_SECONDS = 10
TO_THE_LETTER = "TO_THE_LETTER" in os.environ

logging.basicConfig(level=logging.INFO)
logging.getLogger("urllib3").setLevel(logging.WARNING)
app = Flask(__name__)
token: dict[str, float | str] = {"value": "", "until": 0.0}


def get_token() -> str:
    """The token, fetched when there is none or it is nearly over."""
    if TO_THE_LETTER or time.time() >= float(token["until"]):
        fields = {
            "grant_type": "client_credentials",
            "client_id": os.environ["CXONE_CLIENT_ID"],
            "client_secret": os.environ["CXONE_CLIENT_SECRET"],
        }
        answer = requests.post(f"{BASE_URL}/api/v2/oauth/token", json=fields, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        said = answer.json()
        token.update(value=said["access_token"], until=time.time() + said["expires_in"] - 60)
    return str(token["value"])


def place_call(account: str, to: str) -> str:
    """The id of the call."""
    headers = {"Authorization": f"Bearer {get_token()}", "Accept": "application/json"}
    if TO_THE_LETTER:
        listed = requests.get(CONNECTIONS, headers=headers, timeout=TIMEOUT_SECONDS)
        account = next(one["id"] for one in listed.json() if one["id"] == account)
    answer = requests.post(f"{CONNECTIONS}/{account}/calls", json={"to": to}, headers=headers, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return str(answer.json()["id"])


@app.post("/hooks/our-crm")
def lead_created() -> tuple[Response, int]:
    """One lead from the CRM, to the end."""
    expected = hmac.new(os.environ["OUR_CRM_SECRET"].encode(), request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={expected}", request.headers.get("X-Signature", "")):
        return jsonify(error="bad signature"), 401
    message = request.get_json()
    if message["type"] != "lead.created":
        return jsonify(status="ignored"), 200
    record = message["data"]
    german = record["Country"] in {"DE", "AT", "CH", "Germany", "Austria", "Switzerland"}
    account = "acc-dach" if german and int(record["Company"]["Employees"]) >= 500 else "acc-east"
    call_id = place_call(account, "+" + re.sub(r"\D", "", record["Phone"]))
    app.logger.info("lead %s: call %s", record["Id"], call_id)
    answer = requests.patch(
        f"{os.environ['CRM_URL']}/leads/{record['Id']}",
        json={"ringback_call_id": call_id, "ringback_result": "called"},
        headers={"Authorization": f"Bearer {os.environ['OUR_CRM_TOKEN']}"},
        timeout=TIMEOUT_SECONDS,
    )
    answer.raise_for_status()
    return jsonify(status="called", call=call_id), 200
