"""What may stand under `verify:`, and the sentence for everything that may not."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import integration.signatures
from integration.crms import scheme_from, scheme_presets
from integration.signatures import (
    Cause,
    Kind,
    Refused,
    SchemeMistake,
    SignedRequest,
    credential,
    jwt,
    parts,
    sign,
    stamped,
    verify,
)
from integration.signatures import scheme_from as bare_scheme_from

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-secret-of-the-tests"
PACKAGE = Path(integration.signatures.__file__).parent

# settings, the key at fault, a piece of the sentence
MISTAKES: dict[str, tuple[dict[str, object], str | None, str]] = {
    "no scheme": ({"secret": SECRET}, "scheme", "name the scheme"),
    "empty scheme": ({"scheme": "", "secret": SECRET}, "scheme", "name the scheme"),
    "scheme is a list": ({"scheme": ["hmac"], "secret": SECRET}, "scheme", "name the scheme"),
    "scheme none": ({"scheme": "none"}, "scheme", "no scheme without proof"),
    "unknown scheme": ({"scheme": "hubspt-v3", "secret": SECRET}, "scheme", 'Did you mean "hubspot-v3"?'),
    "unknown scheme, no neighbour": ({"scheme": "qqqq"}, "scheme", "Known are: activecampaign"),
    "unknown setting": ({"scheme": "hmac", "heder": "X", "secret": SECRET}, "heder", 'Did you mean "header"?'),
    "setting of another kind": ({"scheme": "static", "header": "X", "parts": ["body"]}, "parts", "no such setting"),
    "no secret": ({"scheme": "hmac"}, "secret", "missing"),
    "empty secret": ({"scheme": "hmac", "secret": ""}, "secret", "empty"),
    "blank secret": ({"scheme": "hmac", "secret": " \n"}, "secret", "empty"),
    "empty secret in a list": ({"scheme": "hmac", "secret": [SECRET, ""]}, "secret", "empty"),
    "empty list of secrets": ({"scheme": "hmac", "secret": []}, "secret", "empty"),
    "secret is a number": ({"scheme": "hmac", "secret": 12345}, "secret", "as text"),
    "secret of many words": ({"scheme": "hmac", "secret": "a b c"}, "secret", "written as a list"),
    "variable not replaced": ({"scheme": "hmac", "secret": "${OUR_CRM_SECRET}"}, "secret", "not replaced"),
    "no hex": ({"scheme": "hmac", "key": "hex", "secret": "xyz"}, "secret", "no hex text"),
    "no base64": ({"scheme": "hmac", "key": "base64", "secret": "a!"}, "secret", "no base64 text"),
    "short whsec": ({"scheme": "hmac", "key": "whsec", "secret": "whsec_QUFBQQ=="}, "secret", "24 bytes"),
    "empty whsec": ({"scheme": "hmac", "key": "whsec", "secret": "whsec_"}, "secret", "24 bytes"),
    "wrong key": ({"scheme": "hmac", "key": "hexx", "secret": SECRET}, "key", 'Did you mean "hex"?'),
    "a44 sha1": ({"scheme": "hmac", "hash": "sha1", "secret": SECRET}, "hash", "outdated"),
    "a44 md5": ({"scheme": "github", "hash": "md5", "secret": SECRET}, "hash", "outdated"),
    "a44 sha1 chosen by hand over a preset": (
        {"scheme": "twilio", "hash": "sha1", "secret": SECRET},
        "hash",
        "outdated",
    ),
    "a44 sha1 for itsdangerous": ({"scheme": "itsdangerous", "hash": "sha1", "secret": SECRET}, "hash", "outdated"),
    "unknown hash": ({"scheme": "hmac", "hash": "sha255", "secret": SECRET}, "hash", 'Did you mean "sha256"?'),
    "a44 header with a line end": (
        {"scheme": "hmac", "header": "X\r\nY", "secret": SECRET},
        "header",
        "no header name",
    ),
    "header with a colon": ({"scheme": "hmac", "header": "X-Sig:", "secret": SECRET}, "header", "no header name"),
    "empty header": ({"scheme": "hmac", "header": "", "secret": SECRET}, "header", "no header name"),
    "a44 body not covered": (
        {"scheme": "hmac", "parts": ["id"], "id_header": "I", "secret": SECRET},
        "parts",
        "must cover the body",
    ),
    "empty parts": ({"scheme": "hmac", "parts": [], "secret": SECRET}, "parts", "write a list"),
    "unknown part": ({"scheme": "hmac", "parts": ["bdy"], "secret": SECRET}, "parts", 'Did you mean "body"?'),
    "literal with letters": ({"scheme": "hmac", "parts": ["v0:", "body"], "secret": SECRET}, "parts", '{text: "v0:"}'),
    "wrong literal": ({"scheme": "hmac", "parts": [{"txt": "a"}, "body"], "secret": SECRET}, "parts", "is written"),
    "a part twice": ({"scheme": "hmac", "parts": ["body", "body"], "secret": SECRET}, "parts", "twice"),
    "a part is a number": ({"scheme": "hmac", "parts": [1, "body"], "secret": SECRET}, "parts", "a word or a text"),
    "secret in an hmac": (
        {"scheme": "hmac", "parts": ["secret", "body"], "secret": SECRET},
        "parts",
        "only the scheme hash",
    ),
    "hash without secret": ({"scheme": "hash", "parts": ["body"], "secret": SECRET}, "parts", "proves nothing"),
    "id without header": (
        {"scheme": "hmac", "parts": ["id", ".", "body"], "secret": SECRET},
        "id_header",
        "name the header",
    ),
    "time without header": (
        {"scheme": "hmac", "parts": ["timestamp", "body"], "secret": SECRET},
        "timestamp_header",
        "name the header",
    ),
    "time not signed": (
        {"scheme": "hmac", "timestamp_header": "T", "secret": SECRET},
        "timestamp_header",
        "not signed",
    ),
    "tolerance without time": (
        {"scheme": "hmac", "tolerance_seconds": 5, "secret": SECRET},
        "tolerance_seconds",
        "not signed",
    ),
    "id beside time": (
        {
            "scheme": "hmac",
            "parts": ["id", "timestamp", "body"],
            "id_header": "I",
            "timestamp_header": "T",
            "secret": SECRET,
        },
        "parts",
        "run into each other",
    ),
    "tolerance in words": (
        {"scheme": "stripe", "tolerance_seconds": "5 min", "secret": SECRET},
        "tolerance_seconds",
        "like 300",
    ),
    "tolerance is true": (
        {"scheme": "stripe", "tolerance_seconds": True, "secret": SECRET},
        "tolerance_seconds",
        "like 300",
    ),
    "tolerance of nothing": (
        {"scheme": "stripe", "tolerance_seconds": 0, "secret": SECRET},
        "tolerance_seconds",
        "from 1 to 86400",
    ),
    "tolerance of years": (
        {"scheme": "stripe", "tolerance_seconds": "999999", "secret": SECRET},
        "tolerance_seconds",
        "from 1 to 86400",
    ),
    "tolerance is no number": (
        {"scheme": "stripe", "tolerance_seconds": float("nan"), "secret": SECRET},
        "tolerance_seconds",
        "from 1",
    ),
    "unknown unit": (
        {"scheme": "zendesk", "timestamp_unit": "min", "secret": SECRET},
        "timestamp_unit",
        "Known are: iso, ms, s",
    ),
    "raw in a header": ({"scheme": "hmac", "encoding": "raw", "secret": SECRET}, "encoding", "raw bytes"),
    "prefix in pairs": ({"scheme": "stripe", "prefix": "x=", "secret": SECRET}, "prefix", "has no prefix"),
    "prefix with a line end": ({"scheme": "hmac", "prefix": "a\n", "secret": SECRET}, "prefix", "plain ASCII"),
    "pair name in the plain form": ({"scheme": "hmac", "signature_key": "v1", "secret": SECRET}, "form", "form: pairs"),
    "bad escape": ({"scheme": "hubspot-v3", "url_decode": ["3A"], "secret": SECRET}, "url_decode", "list of escapes"),
    "static nowhere": ({"scheme": "static", "secret": SECRET}, None, "say in one way"),
    "static in two places": (
        {"scheme": "static", "header": "X", "query": "t", "secret": SECRET},
        "query",
        "say in one way",
    ),
    "basic without colon": ({"scheme": "pipedrive", "secret": SECRET}, "secret", "USER:PASSWORD"),
    "basic is no": ({"scheme": "static", "basic": False, "secret": "u:p"}, "basic", "basic: true"),
    "prefix in the query": (
        {"scheme": "odoo", "query": "t", "prefix": "x", "secret": SECRET},
        "prefix",
        "only a secret in",
    ),
    "format without body": (
        {"scheme": "static", "header": "X", "body_format": "xml", "secret": SECRET},
        "body_format",
        "belongs to",
    ),
    "empty path": ({"scheme": "static", "body": "a..b", "secret": SECRET}, "body", "empty part"),
    "no public key": ({"scheme": "ed25519"}, "public_key", "missing"),
    "public key is junk": ({"scheme": "ed25519", "public_key": "junk!"}, "public_key", "no public key"),
    "public key of another kind": (
        {"scheme": "rsa-sha256", "public_key": "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg="},
        "public_key",
        "not an RSA key",
    ),
    "private key is junk": ({"scheme": "ghl", "private_key": "junk"}, "private_key", "no private key"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_it_explains_a_mistake_in_the_settings(name):
    settings, key, piece = MISTAKES[name]
    with pytest.raises(SchemeMistake) as caught:
        scheme_from(settings)
    assert caught.value.key == key
    assert piece in caught.value.message
    assert SECRET not in str(caught.value)


def test_a_mistake_never_repeats_the_secret():
    for key in ("hex", "base64", "whsec"):
        with pytest.raises(SchemeMistake) as caught:
            scheme_from({"scheme": "hmac", "key": key, "secret": "canary-!-canary-!-canary"})
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_scheme_never_shows_its_secret():
    for settings in (
        {"scheme": "hmac"}, {"scheme": "hash"}, {"scheme": "jwt"}, {"scheme": "itsdangerous"},
        {"scheme": "static", "header": "X"},
    ):  # fmt: skip
        scheme = scheme_from({**settings, "secret": "canary-canary-canary"})
        assert "canary" not in repr(scheme)
        assert "canary" not in str(scheme.warnings)


def test_a_request_shows_neither_headers_nor_body():
    request = SignedRequest("POST", "https://c.example.com", [("X", "canary")], "t=canary", b"canary")
    assert "canary" not in repr(request)


def test_short_secrets_are_warned_about():
    for secret, warned in (("x" * 15, True), ("x" * 16, False)):
        scheme = scheme_from({"scheme": "itsdangerous", "secret": secret})
        assert any("under 16" in warning for warning in scheme.warnings) is warned


def test_a_list_takes_a_secret_with_spaces_as_it_stands():
    assert scheme_from({"scheme": "github", "secret": ["It's a Secret to Everybody"]}).keys == 1
    assert scheme_from({"scheme": "github", "secret": "one-secret two-secret"}).keys == 2
    assert scheme_from({"scheme": "github", "secret": " one-secret\n"}).keys == 1


def test_only_a_preset_may_use_an_outdated_hash():
    assert any("sha1 is outdated" in w for w in scheme_from({"scheme": "twilio", "secret": SECRET}).warnings)


@pytest.mark.parametrize("value", [5, 5.0, Decimal(5), "5", "5.0"])
def test_a_number_may_come_as_text(value):
    scheme = scheme_from({"scheme": "stripe", "tolerance_seconds": value, "secret": SECRET})
    assert scheme.method.clock.tolerance_seconds == 5.0


def test_settings_can_be_checked_without_their_secrets():
    for name, preset in scheme_presets().items():
        settings: dict[str, object] = {"scheme": name, "secret": "${SOME_SECRET}"}
        if preset["scheme"] in {"ed25519", "rsa-sha256"}:
            settings = {"scheme": name, "public_key": "${SOME_KEY}"}
        elif set(preset) == {"scheme"}:
            settings["header"] = "X-Token"
        scheme = scheme_from(settings, without_secrets=True)
        assert scheme.keys == 0
        request = SignedRequest("POST", None, [], "", b"{}")
        assert verify(scheme, request, NOW) == Refused(Cause.NO_KEY)
        assert Cause.NO_KEY.is_ours
        with pytest.raises(SchemeMistake):
            sign(scheme, request, NOW)


def test_settings_of_the_user_override_a_preset():
    scheme = scheme_from({"scheme": "calendly", "tolerance_seconds": 60, "header": "X-Mine", "secret": SECRET})
    assert scheme.method.clock.tolerance_seconds == 60.0
    assert scheme.method.place.header == "X-Mine"
    moved = scheme_from({"scheme": "bitrix24", "header": "X-Token", "secret": SECRET})
    assert moved.method.name == "X-Token"


def test_presets_are_data_of_another_room():
    with pytest.raises(SchemeMistake, match="unknown"):
        bare_scheme_from({"scheme": "github", "secret": SECRET})
    vendors = ["hubspot", "salesforce", "twilio", "stripe", "github", "facebook", "zendesk", "pipedrive", "bitrix"]
    vendors += ["zoho", "espocrm", "frappe", "monday", "slack", "svix", "calendly", "highlevel", "typeform", "attio"]
    for path in PACKAGE.glob("*.py"):
        code = path.read_text(encoding="utf-8").lower()
        assert not [vendor for vendor in vendors if vendor in code], path.name


def test_there_are_presets_for_each_scheme_we_know():
    assert sorted(scheme_presets()) == [
        "activecampaign", "address-token", "attio", "bitrix24", "calendly", "close", "copper", "dataverse", "espocrm",
        "espocrm-legacy", "facebook", "follow-up-boss", "frappe", "freshsales", "ghl", "ghl-legacy",
        "ghl-workflow", "github", "hubspot-v1", "hubspot-v2", "hubspot-v3", "keap", "monday", "odoo",
        "pipedrive", "salesforce-apex", "salesforce-flow", "salesforce-outbound", "slack",
        "standard-webhooks", "standard-webhooks-ed25519", "stripe", "svix", "twenty", "twilio", "typeform",
        "zendesk", "zoho", "zoho-workflow",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "keys"),
    [
        (parts, parts.HMAC_KEYS | parts.HASH_KEYS | parts.PUBLIC_KEYS),
        (stamped, stamped.KEYS),
        (credential, credential.KEYS),
        (jwt, jwt.KEYS),
    ],
)
def test_each_setting_has_a_row_in_the_table_of_its_module(module, keys):
    rows = {line.split("|")[1].strip() for line in module.__doc__.splitlines() if line.startswith("|")}
    assert rows - {"setting", "---"} == keys


def test_a_signature_is_never_compared_with_an_equals_sign():
    """Digests meet in hmac.compare_digest alone: `==` stops at the first different byte."""
    secretive = {"digest", "expected", "signature", "signatures", "key", "keys", "secret", "given", "mac"}
    found = []
    for path in PACKAGE.glob("*.py"):
        if path.name == "doctor.py":  # compares a key with its own stripped form, for a person at a terminal
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
                continue
            names = {side.id for side in (node.left, *node.comparators) if isinstance(side, ast.Name)}
            if names & secretive:
                found.append(f"{path.name}:{node.lineno}")
    # The keys of settings files are words of the settings, not secrets.
    assert [place for place in found if not place.startswith(("settings.py", "build.py"))] == []


def test_nothing_heavy_is_imported_for_the_common_schemes():
    code = (
        "import sys; from integration.signatures import scheme_from; "
        "scheme_from({'scheme': 'hmac', 'secret': 'a-secret-of-the-tests'}); "
        "print([m for m in ('cryptography', 'flask', 'requests', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_kinds_are_the_primitives():
    assert [str(kind) for kind in Kind] == ["hmac", "hash", "ed25519", "rsa-sha256", "static", "jwt", "itsdangerous"]
