"""What reads bytes of strangers or of a hasty admin, given what is nearly right: a genuine thing with edits.

Noise alone is refused at the first look; tests beside each reader try it. These go deeper. Each fuzzer is bounded: all
of them take well under a minute.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import phonenumbers
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.crms import preset_names, scheme_from
from integration.http import retry_after_seconds
from integration.model import LeadState
from integration.payload import BadBody, parse_body
from integration.phone import Phone, PhonePolicy, PhoneRefused, mask_numbers, read_phone
from integration.rules import RulesError, WritebackFacts, decide, explain, load_rules, read_events, render_writeback
from integration.signatures import Refused, Scheme, SignedRequest, Verified, likely_cause, verify
from tests.vectors import NAMES, VECTORS, vector_settings

ROOT = Path(__file__).parents[2]
MUCH = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def edited(text: str, draw: st.DrawFn, pieces: st.SearchStrategy[str], most: int = 3) -> str:
    """A text with a few pieces put in, taken out or doubled."""
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 8))
        middle = draw(st.one_of(pieces, st.just(text[at:end] * 2), st.just("")))
        text = text[:at] + middle + text[end:]
    return text


# ---- signatures --------------------------------------------------------------------------------------

GENUINE = [vector for vector in VECTORS if vector["valid"]]
SIGNS = st.sampled_from(
    [*"=,. :;/+-_%&?\t\x00\xe9\u0661", "v1,", "t=", "sha256=", "==", "\r\n", "0", "A", "a", "9" * 30]
)


def scheme_of(vector: dict[str, Any]) -> Scheme:
    scheme = scheme_from(vector_settings(vector))
    assert isinstance(scheme, Scheme)
    return scheme


SCHEMES = [scheme_of(vector) for vector in GENUINE]


def request_of(vector: dict[str, Any], **changed: Any) -> SignedRequest:
    sent = {"method": vector["method"], "url": vector["url"], "headers": tuple(vector["headers"].items())}
    sent |= {"query": urlsplit(vector["url"]).query, "body": vector["body"].encode()}
    return SignedRequest(**{**sent, **changed})


def moment(vector: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(vector["now"], UTC)


def covers_the_body(vector: dict[str, Any], scheme: Scheme) -> bool:
    if vector["scheme"] == "twilio_form":  # signs names and values put together, so that `ab=c` and `a=bc` are alike
        return False
    body = vector["body"].encode()
    others = [body + b" ", b" " + body, body + b"&x=1", b"x=1&" + body, body.replace(b"{", b'{"x": 1, ', 1)]
    others += [body.replace(b">", b' x="1">', 1), body.replace(b"><", b"> <")]
    return all(
        isinstance(verify(scheme, request_of(vector, body=other), moment(vector)), Refused)
        for other in others
        if other != body
    )


COVERS = [covers_the_body(vector, scheme) for vector, scheme in zip(GENUINE, SCHEMES, strict=True)]


def test_the_genuine_ones_are_accepted_and_there_is_one_of_each_scheme() -> None:
    assert {vector["scheme"] for vector in GENUINE} == {vector["scheme"] for vector in VECTORS}
    for vector, scheme in zip(GENUINE, SCHEMES, strict=True):
        assert isinstance(verify(scheme, request_of(vector), moment(vector)), Verified)
    assert 20 <= sum(COVERS) < len(COVERS)
    assert len(NAMES) == len(VECTORS)


@MUCH
@given(data=st.data(), which=st.integers(0, len(GENUINE) - 1), seconds=st.sampled_from([0, 0, 0, 299, -299, 301, -301]))
def test_a_signature_that_was_tampered_with_raises_nothing_and_covers_no_other_body(
    data: st.DataObject, which: int, seconds: int
) -> None:
    vector, scheme = GENUINE[which], SCHEMES[which]
    headers = [*vector["headers"].items()]
    changed: dict[str, Any] = {}
    for what in data.draw(
        st.lists(st.sampled_from(["header", "body", "query", "drop", "twice"]), min_size=1, max_size=3)
    ):
        at = data.draw(st.integers(0, max(len(headers) - 1, 0)))
        if what == "header" and headers:
            headers[at] = headers[at][0], edited(headers[at][1], data.draw, SIGNS)
        elif what == "drop" and headers:
            del headers[at]
        elif what == "twice" and headers:
            headers.insert(at, (headers[at][0].upper(), edited(headers[at][1], data.draw, SIGNS)))
        elif what == "body":
            text = edited(vector["body"], data.draw, SIGNS)
            changed["body"] = text.encode("utf-8", "surrogatepass")
        elif what == "query":
            changed["query"] = edited(urlsplit(vector["url"]).query, data.draw, SIGNS)
    request = request_of(vector, headers=tuple(headers), **changed)
    at_that_time = moment(vector) + timedelta(seconds=seconds)
    verdict = verify(scheme, request, at_that_time)
    if isinstance(verdict, Verified):
        assert not COVERS[which] or request.body == vector["body"].encode()
    else:
        assert not verdict.cause.is_ours
        assert likely_cause(scheme, request, at_that_time).message.isprintable()


# ---- JSON --------------------------------------------------------------------------------------------

SAMPLES = [path.read_text("utf-8") for path in sorted((ROOT / "tests/data/payload_samples").glob("*.json"))]
BITS = st.sampled_from(
    [
        *'{}[]",:\\ \n\t\x00-+.eE01u/\ufeff',
        '"a":',
        "\\ud800",
        "\\u0000",
        "NaN",
        "-Infinity",
        "1e400",
        "00",
        "'",
        "//x",
        "null",
        "true",
        "tru",
        "\\x",
        '"a": 1, "a": 2',
        "[" * 40,
        "9" * 120,
        "1e-400",
        "-0",
        "1.",
        ".5",
        "\u2028",
    ]
)

VALUES = st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "1e-400",
        "-0",
        "-0.0",
        "1E5",
        "9" * 120,
        "0.1",
        "01",
        '"\\ud800"',
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '{"a": 1, "a": 2}',
        '{"a": 1, "\\u0061": 2}',
        "[" * 33 + "]" * 33,
        "{}",
        '"\t"',
        "tru",
        '"\u2028"',
    ]
)


class Loose(Exception):
    """What the library takes, and the strict reader must not."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Loose
    return dict(pairs)


def _constant(_: str) -> None:
    raise Loose


def library_reads(text: str) -> Any:
    """What Python's own reader makes of it, or an exception."""
    return json.loads(text, parse_float=Decimal, object_pairs_hook=_pairs, parse_constant=_constant)


def texts_in(tree: Any) -> Iterator[str]:
    match tree:
        case dict():
            yield from tree
            for value in tree.values():
                yield from texts_in(value)
        case list():
            for value in tree:
                yield from texts_in(value)
        case str():
            yield tree


@MUCH
@given(st.data())
def test_json_is_read_as_the_library_reads_it_or_refused_with_a_sentence(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SAMPLES))
    if data.draw(st.booleans()):
        text = edited(text, data.draw, BITS)
    else:  # another value in the place of one
        tokens = re.finditer(r'"(?:[^"\\]|\\.)*"(\s*:)?|-?[0-9][0-9.]*|true|false|null', text)
        one = data.draw(st.sampled_from([token for token in tokens if token[1] is None]))
        text = text[: one.start()] + data.draw(VALUES) + text[one.end() :]
    found = parse_body(text.encode("utf-8", "surrogatepass"), "application/json", form="json")
    if isinstance(found, BadBody):
        assert found.detail.isprintable()
        assert found.detail != "The body cannot be read; send plain JSON in UTF-8."  # the last resort: a fault of ours
        return
    assert found == library_reads(text)
    for each in texts_in(found):
        assert "\0" not in each
        each.encode()  # no half of a surrogate pair
    json.dumps(found, default=str).encode()


# ---- rules files -------------------------------------------------------------------------------------

ENVIRON = dict.fromkeys(("CRM_URL", "CALLBACK_SECRET", "OUR_CRM_TOKEN"), "https://crm.example.com")
ENVIRON["OUR_CRM_SECRET"] = ENVIRON["SECRET"] = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def _yaml_blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text("utf-8"), re.DOTALL)


FILES = [
    (ROOT / "integration/demo/rules.yaml").read_text("utf-8"),
    *(path.read_text("utf-8") for path in sorted((ROOT / "tests/bad_rules").glob("[a-m]*_*.yaml"))[::9]),
    *(text for name in ("rules.md", "signatures.md") for text in _yaml_blocks(name)[::3]),
]
SHIPPED = yaml.load(FILES[0], Loader=yaml.BaseLoader)  # every value as the text that it is
LOOSE_VALUES = st.recursive(
    st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            1.5,
            "",
            " ",
            "x",
            "DE",
            "call",
            "{{ lead.id }}",
            "${CRM_URL}",
            "${NONE}",
            "*",
            "a.b[0]",
            "us-east",
            "+15551234567",
            "https://{{ event.x }}/y",
            "hmac",
            "none",
            "\u0000",
            "\U0001f600",
            "x" * 5000,
            10**40,
            *preset_names()[:6],
        ]
    )
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def judged(text: str | bytes) -> None:
    """Load a file, and use it as far as it goes. What is wrong is told with its place, and nothing else is raised."""
    try:
        rules = load_rules(text, name="rules.yaml", environ=ENVIRON)
    except RulesError as error:
        lines = str(error).splitlines()
        assert lines
        last = lines.pop() if len(lines) > 50 else ""
        assert last == "" or last.endswith("more; correct these first")
        for line in lines:
            assert re.match(r"rules\.yaml:[1-9]\d*:[1-9]\d*: .", line), line
            assert len(line) < 1000
        return
    message: Any = {
        "type": "lead.created",
        "meta": {"id": 1},
        "data": {"Id": 7, "Phone": "+15551234567", "Country": "US"},
    }
    for name, source in rules.sources.items():
        decide(rules, name, message)
        explain(rules, name, message)
        read_events(source, message)
        if source.write_back is not None:
            facts = WritebackFacts("7", LeadState.CALLED, "", "call-1", None, None, {"phone": "x"}, message)
            render_writeback(source.write_back, facts)


@MUCH
@given(st.data())
def test_a_rules_file_with_edits_is_loaded_or_refused_with_places(data: st.DataObject) -> None:
    signs = st.sampled_from(
        [*"{}[]:,-#'\"&*!|>%@`\t\n \r", ": ", "- ", "\n  ", "\n- ", "? ", "<<: ", "---\n", "${", "{{ "]
    )
    judged(edited(data.draw(st.sampled_from(FILES)), data.draw, signs | st.characters(codec="utf-8"), most=5))


@settings(MUCH, max_examples=200)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_a_rules_file_or_refused_with_a_place(text: str | bytes) -> None:
    judged(text)


@settings(MUCH, max_examples=300)
@given(st.data())
def test_a_rules_file_with_another_value_somewhere_is_loaded_or_refused_with_its_place(data: st.DataObject) -> None:
    tree = copy.deepcopy(SHIPPED)
    for _ in range(data.draw(st.integers(1, 2))):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            if not keys:
                break
            key = data.draw(st.sampled_from([*keys]))
            if not isinstance(node[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
                node[key] = data.draw(LOOSE_VALUES)
                break
            node = node[key]
    judged(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=10_000))


# ---- phone numbers -----------------------------------------------------------------------------------

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
NUMBERS = [number for region in REGIONS if (number := phonenumbers.example_number(region)) is not None]
FORMS = [
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
]
DIALS = st.sampled_from(
    [
        *"0123456789+-()./ #*,;x\r\n\x00&pw",
        "ext. 5",
        ";ext=9",
        ",,1#",
        "tel:",
        "sip:",
        "00",
        "011",
        " / ",
        " or ",
        "@a.b",
        "\u0663",
        "\uff15",
        "\u00b2",
        "\u202a",
        "\u200b",
        "&To=+1",
        "*67",
        "#31#",
        ";phone-context=+1",
        "+",
    ]
)
EVERYWHERE = PhonePolicy(frozenset(REGIONS), read_as="US")
SOME = PhonePolicy(frozenset({"US", "DE"}), read_as="DE")


def digits_of(text: str) -> str:
    """The digits of a text, in whatever script they are written."""
    return "".join(str(unicodedata.decimal(char)) for char in unicodedata.normalize("NFKC", text) if char.isdecimal())


@MUCH
@given(
    data=st.data(),
    number=st.sampled_from(NUMBERS),
    form=st.sampled_from(FORMS),
    policy=st.sampled_from([EVERYWHERE, SOME]),
)
def test_a_number_with_edits_is_refused_or_is_one_of_the_numbers_that_stand_there(
    data: st.DataObject, number: Any, form: int, policy: PhonePolicy
) -> None:
    text = phonenumbers.format_number(number, form)
    if data.draw(st.booleans()):
        text = edited(text, data.draw, DIALS)
    country = data.draw(st.sampled_from([None, "US", "DE", phonenumbers.region_code_for_number(number)]))
    found = read_phone(text, country, policy)
    if isinstance(found, PhoneRefused):
        assert found.reason
        return
    assert isinstance(found, Phone)
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", found.e164)
    assert found.country in policy.may_call
    parsed = phonenumbers.parse(found.e164, None)
    assert phonenumbers.is_valid_number(parsed)
    # Its end stands in the text. Before that the library adds what some plans leave out, or takes out what they add.
    assert found.e164[-5:] in digits_of(text)
    assert found.e164[1:-2] not in mask_numbers(f"to {found.e164}")


# ---- Retry-After -------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAYS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30))  # noqa: DTZ001 - as the strategy wants them
STAMPS = st.sampled_from(
    [*"0123456789:,+- GMT", "+9999", "-0000", "Feb", "31", "99999", "(x)", "\x00", "\xe9", "\u0661"]
)


@MUCH
@given(st.data())
def test_a_date_with_edits_never_raises_and_stays_within_a_second_and_an_hour(data: st.DataObject) -> None:
    at = data.draw(DAYS).replace(tzinfo=UTC)
    text = format_datetime(at, usegmt=True)
    right = retry_after_seconds(text, NOW)
    assert right == min(max((at.replace(microsecond=0) - NOW).total_seconds(), 1.0), 3600.0)
    found = retry_after_seconds(edited(text, data.draw, STAMPS), NOW)
    assert found is None or 1.0 <= found <= 3600.0


@settings(MUCH, max_examples=100)
@given(st.integers(0, 10**50), st.sampled_from(["", " ", "\t"]))
def test_any_number_of_seconds_is_held_within_a_second_and_an_hour(seconds: int, blank: str) -> None:
    found = retry_after_seconds(f"{blank}{seconds}{blank}", NOW)
    assert found == (min(max(float(seconds), 1.0), 3600.0) if seconds < 10**40 else None)
