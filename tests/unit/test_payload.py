"""What `parse_body` takes and refuses, and how paths find values. Rows are the failure catalogue's."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from pathlib import Path as File

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.model import Reason
from integration.payload import (
    BadBody,
    PathMistake,
    as_text,
    compile_jmespath,
    compile_path,
    is_nothing,
    parse_body,
    paths_in,
)
from tests.json_rows import ACCEPTED_JSON, REFUSED_JSON

SAMPLES = File(__file__).parents[1] / "data/payload_samples"
FORM = "application/x-www-form-urlencoded"
XML = "text/xml; charset=utf-8"


def refused(raw, content_type=None, **options):
    found = parse_body(raw, content_type, **options)
    assert isinstance(found, BadBody), found
    assert found.reason is Reason.BAD_BODY
    return found.detail


# ---- real CRMs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("activecampaign_subscribe.form", "contact.phone", "+15551234123"),
        ("activecampaign_subscribe.form", "contact.fields.1", ">60"),
        ("bitrix24_oncrmleadadd.form", "data.FIELDS.ID", "1000983"),
        ("close_lead_created.json", "event.object_type", "lead"),
        ("hubspot_contact_creation.json", "0.subscriptionType", "contact.creation"),
        ("salesforce_outbound_message.xml", "Envelope.Body.notifications.Notification.Id", "04l0800002nrC5BAAU"),
        (
            "salesforce_outbound_message.xml",
            "Envelope.Body.notifications.Notification.sObject.MobilePhone",
            "+1 415 555 0199",
        ),
        ("salesforce_outbound_message.xml", "Envelope.Body.notifications.Notification.sObject.@type", "sf:Lead"),
        ("salesforce_outbound_message.xml", "Envelope.Body.notifications.SessionId", None),
        ("salesforce_outbound_ack.xml", "Envelope.Body.notificationsResponse.Ack", "true"),
    ],
)
def test_it_finds_what_a_crm_sent(name, path, value):
    kind = {".form": FORM, ".xml": XML, ".json": "application/json"}[File(name).suffix]

    tree = parse_body((SAMPLES / name).read_bytes(), kind)

    assert compile_path(path).find(tree) == value


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda file: file.name)
def test_each_path_it_lists_in_a_sample_leads_to_its_value(sample):
    tree = parse_body(sample.read_bytes(), {".form": FORM, ".xml": XML}.get(sample.suffix))

    paths = paths_in(tree)

    assert paths
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert not isinstance(compile_path(path).find(tree), dict) or compile_path(path).find(tree) == {}


# ---- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "raw", "says"), REFUSED_JSON)
def test_it_refuses_json_that_would_fail_later(row, raw, says):
    detail = refused(raw, "application/json")

    assert says in detail, row
    assert detail.endswith(".")


@pytest.mark.parametrize("raw", [b"", b" \r\n\t"])
@pytest.mark.parametrize("kind", [None, "application/json", FORM, XML])
def test_an_empty_body_has_a_reason_of_its_own(raw, kind):
    assert parse_body(raw, kind).reason is Reason.EMPTY_BODY


@pytest.mark.parametrize(("row", "raw", "tree"), ACCEPTED_JSON)
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "application/vnd.api+json", "; ;", FORM])
def test_it_reads_json_whatever_its_label(row, raw, tree, kind):
    found = parse_body(raw, kind)

    assert not isinstance(found, BadBody), row
    assert tree is None or found == tree


def test_a_number_keeps_its_digits():
    found = parse_body(b'{"a": 14155552671.0, "b": 1.10, "c": 12345678901234567890.123456789}', None)

    assert [str(value) for value in found.values()] == ["14155552671.0", "1.10", "12345678901234567890.123456789"]


def test_no_refusal_repeats_a_value():
    for raw in (
        b'{"secret": "canary" x',
        b'{"a": "canary',
        b'["canary\\ud800"]',
        b'{"a": canary}',
        b"canary",
        b"canary\xff",
    ):
        assert "canary" not in refused(raw)
    assert "canary" not in refused(b"a=canary&a=canary", FORM)
    assert "canary" not in refused(b"<a>canary", XML)
    assert "canary" not in refused(b"<!DOCTYPE canary><a/>", XML)


def test_a_long_or_odd_key_is_shortened_and_made_harmless():
    detail = refused(b'{"' + b"k" * 10_000 + b'": {}, "' + b"k" * 10_000 + b'": {}}')
    assert len(detail) < 150

    assert "\x1b" not in refused(b'{"\\u001b[2J\\u202e": 1, "\\u001b[2J\\u202e": 2}')


@pytest.mark.parametrize("number", ["+15559871201", "(555) 987-1201", "0555 - 987 . 1201", "tel:555/9871201"])
def test_a_key_that_is_a_phone_number_is_not_shown(number):
    key = json.dumps(number).encode()
    assert not re.search("1201|987", refused(b"{%s: 1, %s: 2}" % (key, key)))


HOSTILE = {
    "quotes": b'{"a": "' + b'\\"' * 500_000,
    "backslashes": b'["' + b"\\" * 1_000_000,
    "open brackets after a text": b'["a"' + b",[" * 400_000,
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(60_000)) + b',"7":1}',
    "digits": b"[" + b"9" * 1_000_000 + b"]",
    "escapes": b'["\\ud800' + b'","\\u00e9' * 100_000 + b'"]',
    "pairs": b"[" + b"{}," * 300_000 + b"{}]",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_takes_a_fraction_of_a_second(raw):
    start = time.perf_counter()
    parse_body(raw, None)
    assert time.perf_counter() - start < 2


# ---- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"a=1&b=x+y&c=%2B49&d", {"a": "1", "b": "x y", "c": "+49", "d": ""}),
        (b"a[b]=1&a[c][d]=2", {"a": {"b": "1", "c": {"d": "2"}}}),
        (b"a%5Bb%5D=1", {"a": {"b": "1"}}),
        (b"p[]=1&p[]=2", {"p": ["1", "2"]}),
        (b"p[][n]=1&p[][n]=2", {"p": [{"n": "1"}, {"n": "2"}]}),
        (b"p[0][n]=1&p[1][n]=2", {"p": {"0": {"n": "1"}, "1": {"n": "2"}}}),
        (b"a[b=1&c]=2", {"a[b": "1", "c]": "2"}),
        (b"a[b]c=1&a[b[c]]=2", {"a[b]c": "1", "a[b[c]]": "2"}),
        (b"&&a=1&", {"a": "1"}),
        (b"=1", {"": "1"}),
        (b"a=b=c", {"a": "b=c"}),
        ("name=Jos\u00e9".encode(), {"name": "Jos\u00e9"}),
        (b"a=%zz", {"a": "%zz"}),
    ],
)
def test_it_reads_a_form_into_a_tree(raw, tree):
    assert parse_body(raw, FORM) == tree
    assert parse_body(raw, "text/plain", form="form") == tree


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"a=1&a=2", "`a` comes twice"),
        (b"a[b]=1&a[b]=2", "`a` comes twice"),
        (b"a=1&a[b]=2", "`a` has two shapes"),
        (b"a[b]=1&a[]=2", "`a` has two shapes"),
        (b"a[]=1&a=2", "`a` has two shapes"),
        (b"a" + b"[b]" * 32 + b"=1", "deeper than 32 levels"),
        (b"a" + b"[]" * 100_000 + b"=1", "deeper than 32 levels"),
        (b"&".join([b"a[]=1"] * 2_001), "more than 2000 fields"),
        (b"b=1&a=%ff", "Field 2 of the form is not UTF-8"),
        (b"a=%ed%a0%80", "Field 1 of the form is not UTF-8"),
        (b"a=%00", "Field 1 of the form holds a NUL"),
        (b"%00=a", "Field 1 of the form holds a NUL"),
        (b"a=\xff", "not UTF-8 at byte 3"),
    ],
)
def test_it_refuses_a_form_it_cannot_keep(raw, says):
    assert says in refused(raw, FORM)


# ---- XML --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tree"),
    [
        (b"<a/>", {"a": ""}),
        (b"<a>x &amp; y</a>", {"a": "x & y"}),
        (b"<a><b>1</b><b>2</b><b/></a>", {"a": {"b": ["1", "2", ""]}}),
        (b"<a>\n <b>1</b>\n</a>", {"a": {"b": "1"}}),
        (b'<a x="1">t</a>', {"a": {"@x": "1", "#text": "t"}}),
        (b'<n:a xmlns:n="urn:x" n:x="2" x="1"><n:b/></n:a>', {"a": {"@x": "1", "b": ""}}),
        (b"<a><![CDATA[<b>]]></a>", {"a": "<b>"}),
        (b"\xef\xbb\xbf<a/>", {"a": ""}),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<a>\xc3\xa9</a>', {"a": "\u00e9"}),
        (
            b'<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><b i:nil="true"/><c i:nil="0"/></a>',
            {"a": {"b": None, "c": ""}},
        ),
    ],
)
def test_it_reads_xml_into_a_tree(raw, tree):
    for kind in ("text/xml", "Application/XML; charset=utf-8", "application/soap+xml"):
        assert parse_body(raw, kind) == tree


LAUGHS = b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (LAUGHS, "DOCTYPE"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        (b"<a>&b;</a>", "line 1, column 4: undefined entity"),
        (b"<a>&#0;</a>", "no valid XML"),
        (b"<a>&#xD800;</a>", "no valid XML"),
        (b"<a>\n<b></a>", "line 2, column"),
        (b"<a/><b/>", "no valid XML"),
        (b"{}", "no valid XML"),
        (b"<a>" * 40, "deeper than 32 levels"),
        (b"<a>" + b"<b/>" * 20_001 + b"</a>", "more than 20000 elements"),
        (b"<a>\xff</a>", "not UTF-8 at byte 4"),
        ("<a/>".encode("utf-16"), "UTF-16"),
    ],
)
def test_it_refuses_xml_that_is_broken_or_clever(raw, says):
    assert says in refused(raw, XML)


# ---- whatever comes ---------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), JSON_VALUES), st.booleans())
def test_it_reads_back_what_json_writes(tree, ascii_only):
    raw = json.dumps(tree, ensure_ascii=ascii_only).encode()

    assert parse_body(raw, "application/json") == tree
    for path in paths_in(tree):
        compile_path(path).find(tree)


@given(st.binary(max_size=200), st.sampled_from([None, FORM, XML]))
def test_no_bytes_make_it_fail(raw, kind):
    found = parse_body(raw, kind)

    if isinstance(found, BadBody):
        assert found.detail != "The body cannot be read; send plain JSON in UTF-8."
    else:
        json.dumps(found, default=str).encode()
        assert isinstance(found, dict | list)


@given(st.text(alphabet='{}[]",:\\ u0dD8ab1e+-.\n<>/&=%', max_size=60), st.sampled_from([None, FORM, XML]))
def test_no_near_miss_makes_it_fail(text, kind):
    found = parse_body(text.encode(), kind)

    assert not isinstance(found, BadBody) or found.detail != "The body cannot be read; send plain JSON in UTF-8."


# ---- paths ------------------------------------------------------------------------------------

TREE = {
    "Company": {"Employees": 800, "Name": None},
    "phones": [{"value": "+1"}, {"value": "+2"}],
    "a.b": {"c": 1},
    "First Name": "Ada",
    "fields": {"0": "zero"},
    "it's": 2,
    "": {"x": 3},
    'say "hi"\\': 4,
    "@type": "Lead",
    "gr\u00f6\u00dfe": Decimal("1.5"),
    "zero": 0,
    "list": [],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Company.Employees", 800),
        (" Company.Employees ", 800),
        ("Company.Name", None),
        ("company.Employees", None),
        ("phones.1.value", "+2"),
        ("phones.2.value", None),
        ("phones.-1.value", None),
        ("phones.01.value", "+2"),
        ("phones.99999999999999999999.value", None),
        ("phones.value", None),
        ("phones.\u0661.value", None),
        ('"a.b".c', 1),
        ("a.b.c", None),
        ("First Name", "Ada"),
        ("fields.0", "zero"),
        ('"it\'s"', 2),
        ('"".x', 3),
        ('"say \\"hi\\"\\\\"', 4),
        ("@type", "Lead"),
        ("gr\u00f6\u00dfe", Decimal("1.5")),
        ("zero", 0),
        ("zero.real", None),
        ("Company.__class__", None),
        ("Company.items", None),
        ("phones.append", None),
        ("First Name.0", None),
    ],
)
def test_a_path_walks_objects_and_lists_and_nothing_else(path, value):
    found = compile_path(path).find(TREE)

    assert found == value
    assert (found is None) == (value is None)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (".a", "name is missing at character 1"),
        ("a..b", "name is missing at character 3"),
        ("a.", "name is missing at character 3"),
        ('"a', "quote is out of place at character 1"),
        ('a."b', "quote is out of place at character 3"),
        ('"a"b', "out of place at character 4"),
        ('a"b"', "quote is out of place at character 2"),
        ("phones[0].value", "bracket at character 7"),
        ("a. b", "space at character 3"),
        ("a .b", "space at character 2"),
        ("it's", "out of place at character 3"),
        ("a.*", "out of place at character 3"),
        ("{{ a }}", "out of place at character 1"),
        ("a|b", "out of place at character 2"),
        ("a\nb", "space at character 2"),
    ],
)
def test_a_path_that_cannot_be_one_is_a_mistake_with_a_place(path, says):
    with pytest.raises(PathMistake, match=r"\.$") as caught:
        compile_path(path)

    assert says in caught.value.message


def test_the_paths_in_a_tree_are_written_as_they_are_read():
    assert paths_in(TREE) == [
        "Company.Employees",
        "Company.Name",
        "phones.0.value",
        "phones.1.value",
        '"a.b".c',
        "First Name",
        "fields.0",
        '"it\'s"',
        '"".x',
        '"say \\"hi\\"\\\\"',
        "@type",
        "gr\u00f6\u00dfe",
        "zero",
        "list",
    ]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_any_names_can_be_written_as_a_path(names):
    tree = "found"
    for name in reversed(names):
        tree = {name: tree}

    [path] = paths_in(tree)

    assert compile_path(path).find(tree) == "found"


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_a_mistake(text):
    try:
        compile_path(text).find(TREE)
    except PathMistake as mistake:
        assert mistake.message.endswith(".")  # noqa: PT017 - either outcome is right


def test_paths_of_one_text_in_one_language_are_equal():
    assert compile_path(" a.b ") == compile_path("a.b")
    assert compile_path("a.b") != compile_jmespath("a.b")
    assert compile_path("a.b").text == "a.b"


FACEBOOK = {"field_data": [{"name": "phone_number", "values": ["+5491100000000"]}, {"name": "n", "values": []}]}


@pytest.mark.parametrize(
    ("query", "tree", "value"),
    [
        ("field_data[?name=='phone_number'].values[0] | [0]", FACEBOOK, "+5491100000000"),
        ("field_data[?name=='fax'].values[0] | [0]", FACEBOOK, None),
        ("field_data[].name", FACEBOOK, ["phone_number", "n"]),
        ("length(field_data)", FACEBOOK, 2),
        ("length(missing)", FACEBOOK, None),
        ("{a: field_data[0].name}", FACEBOOK, {"a": "phone_number"}),
        ("a > `2`", {"a": Decimal("2.5")}, True),
        ("sum(a)", {"a": [Decimal("2.5")]}, None),
        ("avg(a)", {"a": [1, 2]}, Decimal("1.5")),
        ("to_number(a)", {"a": "15551234567"}, 15551234567),
        ("to_number(a)", {"a": "nan"}, None),
        ("a", {"a": Decimal("1.10")}, Decimal("1.10")),
        ("&a", {"a": 1}, None),
        ("a.real", {"a": 1}, None),
        ("__class__", {"a": 1}, None),
    ],
)
def test_a_jmespath_query_finds_a_value_or_nothing(query, tree, value):
    assert compile_jmespath(query).find(tree) == value


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("a[", "no JMESPath query"),
        ("", "no JMESPath query"),
        ("a ~ b", "no JMESPath query"),
        ("(" * 5_000 + "a" + ")" * 5_000, "no JMESPath query"),
        ("lenght(a)", "no function `lenght`"),
        ("a[?starts_with(b, 'x') && nope(c)]", "no function `nope`"),
    ],
)
def test_a_query_that_cannot_run_is_a_mistake(query, says):
    with pytest.raises(PathMistake, match=r"\.$") as caught:
        compile_jmespath(query)

    assert says in caught.value.message


@pytest.mark.parametrize("value", [None, False, "", " \n\u00a0", [], {}])
def test_nothing_is_there(value):
    assert is_nothing(value)


@pytest.mark.parametrize("value", [0, Decimal(0), True, "0", "false", [None], {"a": None}])
def test_something_is_there(value):
    assert not is_nothing(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a b ", "a b"),
        ("  ", None),
        (0, "0"),
        (-1, "-1"),
        (2**64, "18446744073709551616"),
        (Decimal("1.0"), "1"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0"), "0"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (Decimal("1E+1000000"), None),
        (True, None),
        (None, None),
        (["a"], None),
        ({"a": 1}, None),
    ],
)
def test_a_value_as_text(value, text):
    assert as_text(value) == text
