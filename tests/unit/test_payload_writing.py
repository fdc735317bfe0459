"""Trees written as bodies: what is written is read back the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.payload import CONTENT_TYPES, CannotWrite, form_of_body, parse_body, put, steps_of, write_body
from integration.payload.paths import compile_jmespath, compile_path

SAMPLES = Path(__file__).parents[1] / "data/payload_samples"
READABLE = [path for path in sorted(SAMPLES.iterdir()) if path.read_bytes().strip()]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_a_crms_message_is_the_same_tree_after_it_was_written_again(path):
    raw = path.read_bytes()
    form = form_of_body(raw)
    assert form == path.suffix.removeprefix(".")
    tree = parse_body(raw, CONTENT_TYPES[form])
    assert isinstance(tree, dict | list)
    assert parse_body(write_body(tree, form), CONTENT_TYPES[form]) == tree


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
NAMES = st.text("abXZ_", min_size=1, max_size=4)
VALUES = TEXTS | st.integers() | st.booleans() | st.none()
quickly = settings(max_examples=50, deadline=None)


@quickly
@given(
    st.dictionaries(
        TEXTS, VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3), max_size=4
    )
)
def test_any_json_comes_back(tree):
    assert parse_body(write_body(tree, "json"), "application/json") == tree


@quickly
@given(
    st.dictionaries(
        NAMES,
        TEXTS | st.dictionaries(NAMES, TEXTS | st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_any_form_of_texts_comes_back(tree):
    assert parse_body(write_body(tree, "form"), CONTENT_TYPES["form"]) == tree


@quickly
@given(
    NAMES,
    st.dictionaries(NAMES, st.text("az <>&\"'ü", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=3),
)
def test_any_xml_of_texts_comes_back(name, inner):
    assert parse_body(write_body({name: inner}, "xml"), "text/xml") == {name: inner}


def test_attributes_and_repeated_elements_come_back():
    tree = {"a": {"@k": 'x"<', "b": ["1", "2"], "c": {"@n": "1", "#text": "t&"}}}
    assert parse_body(write_body(tree, "xml"), "text/xml") == tree


@pytest.mark.parametrize(
    ("tree", "form"),
    [({"a": "1", "b": "2"}, "xml"), ([], "xml"), ({"a": ["1"]}, "xml"), ({"a b": "1"}, "xml"), (["1"], "form")],
)
def test_what_a_form_cannot_hold_is_refused(tree, form):
    with pytest.raises(CannotWrite):
        write_body(tree, form)


def test_a_value_is_put_into_a_copy_and_what_is_missing_is_made():
    before = {"a": [{"x": 1}], "b": "text"}
    assert put(before, ("a", "0", "y"), 2) == {"a": [{"x": 1, "y": 2}], "b": "text"}
    assert put(before, ("a", "1", "0"), 3) == {"a": [{"x": 1}, [3]], "b": "text"}
    assert put(None, ("0", "k"), 4) == [{"k": 4}]
    assert before == {"a": [{"x": 1}], "b": "text"}
    for steps in (("b", "c"), ("a", "5"), ("a", "x")):
        with pytest.raises(CannotWrite):
            put(before, steps, 0)


def test_a_path_of_names_tells_its_steps_and_a_query_none():
    assert steps_of(compile_path('a."b.c".0')) == ("a", "b.c", "0")
    assert steps_of(compile_jmespath("a.b")) is None


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (b'  {"a": 1}', "json"),
        (b"[]", "json"),
        (b"\n<a/>", "xml"),
        (b"a=1&b=2", "form"),
        (b"a[b][]=1", "form"),
        (b"", "json"),
        (b"nonsense", "json"),
        (b'"a=b"', "json"),
    ],
)
def test_a_body_is_told_by_its_look(raw, form):
    assert form_of_body(raw) == form
