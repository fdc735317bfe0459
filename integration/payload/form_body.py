"""Forms, with the brackets by which PHP writes objects and lists into names.

`contact[fields][3]=x` is the value `contact.fields.3`; `phones[]=a&phones[]=b` is the list `phones`.
Every value is text. ActiveCampaign and Bitrix24 send such forms.
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from integration.model import Tree
from integration.payload.refusal import MAX_DEPTH, BodyRefusedError, show

MAX_FORM_FIELDS = 2_000


def parse_form(text: str) -> Tree:
    """Read an urlencoded form. Raises BodyRefusedError.

    A name that comes twice is refused, as a key in JSON is, unless it ends in `[]`.
    """
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > MAX_FORM_FIELDS:
        raise BodyRefusedError(f"The form has more than {MAX_FORM_FIELDS} fields; send fewer.")
    tree: dict[str, Tree] = {}
    for number, pair in enumerate(pairs, 1):
        name, _, value = pair.partition("=")
        try:
            key, content = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise BodyRefusedError(f"Field {number} of the form is not UTF-8; send it as UTF-8.") from None
        if "\0" in key or "\0" in content:
            raise BodyRefusedError(f"Field {number} of the form holds a NUL character; leave it out.")
        _put(tree, _steps(key), content)
    return tree


def _steps(key: str) -> list[str]:
    """`contact[fields][3]` -> contact, fields, 3. Empty brackets stay an empty text; a name whose
    brackets do not match is a plain name."""
    name, bracket, rest = key.partition("[")
    if not (name and bracket and rest.endswith("]")):
        return [key]
    steps = [name, *rest[:-1].split("][")]
    if any("[" in step or "]" in step for step in steps):
        return [key]
    if len(steps) > MAX_DEPTH:
        raise BodyRefusedError(f"The form's field {show(name)} is nested deeper than {MAX_DEPTH} levels.")
    return steps


def _put(tree: dict[str, Tree], steps: list[str], content: str) -> None:
    here: Tree = tree
    for index, step in enumerate(steps):
        is_last = index + 1 == len(steps)
        fresh: Tree = content if is_last else [] if steps[index + 1] == "" else {}
        if isinstance(here, list):
            here.append(fresh)  # `fresh` was a list only because this step is empty
            here = fresh
        elif isinstance(here, dict):
            known = here.setdefault(step, fresh)
            if known is not fresh:
                _refuse_clash(steps[0], known, fresh)
            here = known


def _refuse_clash(name: str, known: Tree, fresh: Tree) -> None:
    if type(known) is not type(fresh):
        raise BodyRefusedError(f"The form's field {show(name)} has two shapes; send a text, a list or an object.")
    if isinstance(known, str):
        raise BodyRefusedError(f"The form's field {show(name)} comes twice; send it once, or as a list with [].")
