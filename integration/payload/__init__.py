"""What a webhook's body may look like, and how a value is found in it.

A body is bytes from a stranger, or from a CRM on a bad day. `parse_body` turns it into one tree of
JSON's own shapes, or into a `BadBody` that says where it is wrong. It never raises. It runs before the
acknowledgement, so it must be fast for a few kilobytes and harmless for a megabyte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from integration.model import Reason, Tree
from integration.payload.form_body import parse_form
from integration.payload.items import ItemsPath, compile_items
from integration.payload.json_body import decode, parse_json
from integration.payload.paths import (
    Path,
    PathMistake,
    as_text,
    compile_jmespath,
    compile_path,
    is_nothing,
    paths_in,
    steps_of,
    walk,
)
from integration.payload.refusal import MAX_DEPTH, BodyRefusedError
from integration.payload.texts import TOO_LARGE, fold, folded_texts, usable_text
from integration.payload.writing import (
    CONTENT_TYPES,
    CannotWrite,
    Steps,
    WrittenForm,
    form_of_body,
    put,
    write_body,
)

__all__ = [
    "CONTENT_TYPES",
    "MAX_DEPTH",
    "TOO_LARGE",
    "BadBody",
    "CannotWrite",
    "Form",
    "ItemsPath",
    "Path",
    "PathMistake",
    "Steps",
    "WrittenForm",
    "as_text",
    "compile_items",
    "compile_jmespath",
    "compile_path",
    "fold",
    "folded_texts",
    "form_of_body",
    "is_nothing",
    "parse_body",
    "paths_in",
    "put",
    "steps_of",
    "usable_text",
    "walk",
    "write_body",
]

Form = Literal["json", "form", "xml", "auto"]


@dataclass(frozen=True, slots=True)
class BadBody:
    """Why a body is no tree. `detail` names a place and a remedy, and repeats no value of the body."""

    reason: Reason
    detail: str


def parse_body(raw: bytes, content_type: str | None, *, form: Form = "auto") -> Tree | BadBody:
    """Read a body as JSON, as a form or as XML. The tree is an object or a list.

    With `auto` the content type picks form or XML, and everything else is JSON whatever its label: many
    senders label JSON wrongly. For the same reason a body labelled as a form that opens with a brace or
    a bracket is JSON; a form writes these signs as %7B and %5B.
    """
    body = raw.strip(b" \t\r\n")
    if not body:
        return BadBody(Reason.EMPTY_BODY, "The body is empty; let the CRM send the record, or its id, in it.")
    try:
        match _form_of(body, content_type) if form == "auto" else form:
            case "form":
                return parse_form(decode(body))
            case "xml":
                from integration.payload.xml_body import parse_xml  # noqa: PLC0415 - expat for the few

                return parse_xml(raw)
            case _:
                return parse_json(raw)
    except BodyRefusedError as refusal:
        return BadBody(Reason.BAD_BODY, str(refusal))
    except Exception:  # noqa: BLE001 - hostile bytes are read here: none of them may become a 500
        return BadBody(Reason.BAD_BODY, "The body cannot be read; send plain JSON in UTF-8.")


def _form_of(body: bytes, content_type: str | None) -> Form:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return "json" if body.startswith((b"{", b"[")) else "form"
    if kind in ("text/xml", "application/xml") or kind.endswith("+xml"):
        return "xml"
    return "json"
