"""The published signature vectors as raw requests to the running server, which must judge as the function does.

The vectors were made for one address, `https://calls.example.com/hooks/crm`, which is what the server here is told to
be; a vector for another scheme or host meets a server with another PUBLIC_URL, as behind a proxy. The server's clock
stands at the vector's instant.

Five vectors cannot be sent as they stand: their senders called `/webhook_uri` and `/myapp.php`, their signatures cover
that path, and Ringback has no address but `/hooks/<source>`. They go to our address instead, with a signature that is
made here with the standard library for that address, and must come out as the vector says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from integration.ledger import migrate
from integration.web import hooks
from tests.vectors import NAMES, VECTORS, vector_settings
from tests.web.door import Answer, open_door

OURS = "/hooks/crm"
ELSEWHERE = [i for i, vector in enumerate(VECTORS) if not urlsplit(vector["url"]).path.startswith(OURS)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "ringback.db"
    migrate(f"sqlite:///{path}")
    return path


def rules_of(vector: dict[str, Any]) -> str:
    """JSON is YAML: the secret stands in the file as it is, whatever signs it is made of."""
    return json.dumps(
        {
            "accounts": {"main": {"id": "acc-1"}},
            "phones": {"may_call": ["US"]},
            "fields": {"phone": "Phone"},
            "rules": [{"name": "Everyone", "call": "main"}],
            "sources": {"crm": {"verify": vector_settings(vector), "id": "Id"}},
        }
    )


def at_our_address(vector: dict[str, Any]) -> dict[str, Any]:
    """The same message as its sender would send it to us; a false signature stays a false one."""
    url = vector["url"].replace(urlsplit(vector["url"]).path, OURS, 1)
    return {**vector, "url": url, "headers": {**vector["headers"], **_signed_anew(vector, url)}}


def _signed_anew(vector: dict[str, Any], url: str) -> dict[str, str]:
    secret, body = vector["secret"], vector["body"]
    if vector.get("tamper") == "secret":
        secret += "?"
    match vector["scheme"]:
        case "hubspot_v2":
            text = secret + vector["method"] + url + body
            return {"X-HubSpot-Signature": hashlib.sha256(text.encode()).hexdigest()}
        case "hubspot_v3":
            text = vector["method"] + url + body + vector["headers"]["X-HubSpot-Request-Timestamp"]
            mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256)
            return {"X-HubSpot-Signature-v3": base64.b64encode(mac.digest()).decode()}
        case "twilio_form":
            fields = sorted(parse_qsl(body, keep_blank_values=True))
            if vector.get("tamper") == "body":
                fields = fields[1:]
            text = url + "".join(name + value for name, value in fields)
            mac = hmac.new(secret.encode(), text.encode(), hashlib.sha1)
            return {"X-Twilio-Signature": base64.b64encode(mac.digest()).decode()}
        case other:
            raise AssertionError(other)


def sent(vector: dict[str, Any], database: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """The answer to the vector's own bytes."""
    url = urlsplit(vector["url"])
    body = vector["body"].encode()
    target = url.path + (f"?{url.query}" if url.query else "")
    head = [f"{vector['method']} {target} HTTP/1.1", f"Host: {url.netloc}"]
    head += [f"{name}: {value}" for name, value in vector["headers"].items()]
    head += [f"Content-Length: {len(body)}", "Connection: close"]

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(vector["now"], tz)

    monkeypatch.setattr(hooks, "datetime", Then)
    with open_door(database, rules=rules_of(vector), public_url=f"{url.scheme}://{url.netloc}") as door:
        door.empty()
        answer = door.ask("\r\n".join([*head, "", ""]).encode() + body)
        assert door.kept()[0] == (answer.status == 200)  # 200 and on disk, or refused and nothing left behind
        return answer


def test_five_vectors_were_made_for_an_address_that_ringback_does_not_have() -> None:
    assert {VECTORS[i]["url"] for i in ELSEWHERE} == {
        "https://www.example.com/webhook_uri",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
    }
    assert len(ELSEWHERE) == 5


@pytest.mark.parametrize("number", range(len(VECTORS)), ids=NAMES)
def test_the_endpoint_judges_each_published_vector_rightly(
    number: int, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = at_our_address(VECTORS[number]) if number in ELSEWHERE else VECTORS[number]
    answer = sent(vector, database, monkeypatch)
    if vector["valid"]:
        assert answer.status == 200
    elif vector["method"] != "POST":
        assert answer.status == 405
    elif urlsplit(vector["url"]).path != OURS:  # the slash too many has an answer before its signature is looked at
        assert answer.status == 404
    else:
        assert (answer.status, answer.json) == (401, {"error": "The signature is missing or wrong."})


@pytest.mark.parametrize("number", ELSEWHERE)
def test_the_signature_of_another_address_is_refused_at_ours(
    number: int, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = VECTORS[number]
    moved = {**vector, "url": at_our_address(vector)["url"]}  # with the signature that it came with
    answer = sent(moved, database, monkeypatch)
    assert answer.status == 401
    assert answer.json == {"error": "The signature is missing or wrong."}
