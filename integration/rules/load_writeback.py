"""Reads `write_back:`: the request that tells the CRM, checked as far as it can be before any lead is there."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable
from urllib.parse import quote, urlsplit

from integration.model import LeadState
from integration.rules.addresses import HOLE, host_is_open, is_dots, shape_of
from integration.rules.placeholders import (
    JsonList,
    JsonLiteral,
    JsonObject,
    JsonTemplate,
    JsonText,
    Placeholder,
    PlaceholderMistake,
    Template,
    parse_template,
)
from integration.rules.reader import Reader, literal, nearest
from integration.rules.shapes import WriteBack
from integration.rules.yaml_tree import Items, Node, Scalar, shorten

KEYS = ("request", "bearer", "basic", "headers", "json", "on", "allow_hosts", "sign")
METHODS = ("POST", "PUT", "PATCH")
RESULTS = tuple(state.value for state in LeadState if state.is_result)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MIN_SIGN_BYTES = 24
# Characters of a literal address that stay as they are; `%` is taken for an escape that is already there.
_URL_SAFE = "%/:=&?~!$,;'@()*[]+"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?)(:[0-9]{1,5})?")
# Headers that the HTTP library sets; another value would change where a message ends or goes.
_NOT_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


def read_write_back(reader: Reader, node: Node, fields: Collection[str] | None, *, has_id: bool) -> WriteBack | None:
    """The write-back of a source, or None when it cannot be used. `fields` None: they are not known."""
    return _Reading(reader, fields, has_id).write_back(node)


class _Reading:
    def __init__(self, reader: Reader, fields: Collection[str] | None, has_id: bool) -> None:
        self._reader = reader
        self._fields = fields
        self._has_id = has_id

    def write_back(self, node: Node) -> WriteBack | None:
        reader, before = self._reader, len(self._reader.mistakes)
        found = reader.keys(node, "`write_back:`", KEYS)
        if found is None:
            return None
        if "request" not in found:
            reader.wrong(node, "`write_back:` has no `request:`; add a line like `request: PATCH https://...`")
        hosts = self._allow_hosts(found.get("allow_hosts"))
        method, address = self._request(found.get("request"), hosts)
        headers = self._headers(found)
        json = self._json(found["json"]) if "json" in found else None
        if json is not None and "content-type" not in {name.lower() for name, _ in headers}:
            headers = (("Content-Type", ("application/json",)), *headers)
        on = self._on(found.get("on"))
        keys = self._sign(found.get("sign"))
        if len(reader.mistakes) > before:
            return None
        return WriteBack(method, address, headers, json, on, hosts, keys)

    def _filled(self, node: Node | None, what: str, *, address: bool = False) -> Template | None:
        """Text with placeholders and variables. The placeholders are read first: a secret may hold `{{`."""
        raw = self._reader.raw(node, what)
        template = () if node is None or raw is None else self._template(node, raw)
        return self._reader.filled(node, template, address=address) if node is not None and template else None

    def _template(self, node: Node, text: str) -> Template:
        try:
            template = parse_template(text, self._fields)
        except PlaceholderMistake as error:
            self._reader.wrong(node, str(error))
            return ()
        uses_id = any(isinstance(p, Placeholder) and (p.room, p.name) == ("lead", "id") for p in template)
        if uses_id and not self._has_id:
            self._reader.wrong(node, "`{{ lead.id }}` needs `id:` in this source: where the record keeps its own id")
        return template

    # ---- the address ----------------------------------------------------------------------

    def _request(self, node: Node | None, hosts: frozenset[str]) -> tuple[str, Template]:
        filled = self._filled(node, "`request:`", address=True)
        if node is None or filled is None:
            return "", ()
        first = filled[0] if isinstance(filled[0], str) else ""
        method, _, rest = first.lstrip().partition(" ")
        template = _trimmed((rest, *filled[1:]))
        if method.upper() not in METHODS or not template:
            self._reader.wrong(node, "`request:` wants POST, PUT or PATCH, a space and an address: `PATCH https://...`")
            return "", ()
        wrong = _address_mistake(template, hosts)
        if wrong is not None:
            self._reader.wrong(node, wrong)
        elif hosts and not host_is_open(template):
            self._reader.warn(node.line, node.column, "`allow_hosts:` has no effect: the host is fixed here")
        self._warn_plain_http(node, template)
        return method.upper(), tuple(
            quote(part, safe=_URL_SAFE) if isinstance(part, str) else part for part in template
        )

    def _warn_plain_http(self, node: Node, template: Template) -> None:
        first = template[0]
        if isinstance(first, str) and first.lower().startswith("http://"):
            host = urlsplit(shape_of(template)).hostname
            if host not in LOOPBACK:
                self._reader.warn(node.line, node.column, "this address is not encrypted; write https://")

    def _allow_hosts(self, node: Node | None) -> frozenset[str]:
        hosts = set()
        for item in self._reader.one_or_more(node, "`allow_hosts:`") if node is not None else ():
            text = self._reader.text(item, "`allow_hosts:`")
            if text is None:
                continue
            if _HOST.fullmatch(text.strip().lower()):
                hosts.add(text.strip().lower())
            else:
                self._reader.wrong(
                    item, "`allow_hosts:` wants a plain host like hooks.example.com, or one with `:port`"
                )
        return frozenset(hosts)

    # ---- headers and credentials ----------------------------------------------------------

    def _headers(self, found: dict[str, Node]) -> tuple[tuple[str, Template], ...]:
        reader = self._reader
        headers: list[tuple[str, Template]] = []
        if "bearer" in found and "basic" in found:
            reader.wrong(found["basic"], "`bearer:` and `basic:` are both here; keep the one that the CRM wants")
        if "bearer" in found:
            token = self._credential(found["bearer"], "`bearer:`")
            headers.append(("Authorization", (f"Bearer {token}",)))
        elif "basic" in found:
            headers.append(("Authorization", (self._basic(found["basic"]),)))
        block = reader.block(found.get("headers"), "`headers:`")
        seen = {name.lower() for name, _ in headers}
        for key, value in reader.entries(block, lists=False) if block is not None else ():
            lower = key.text.lower()
            if not _HEADER_NAME.fullmatch(key.text) or lower in _NOT_OURS:
                reader.wrong(key, f"`{shorten(key.text)}` cannot be set as a header; take it out")
            elif lower in seen:
                reader.wrong(key, f"the header `{shorten(key.text)}` is set twice; keep one of them")
            else:
                seen.add(lower)
                headers.append((key.text, self._header_value(value, f"header `{key.text}`")))
        return tuple(headers)

    def _header_value(self, node: Node, what: str) -> Template:
        filled = self._filled(node, what)
        if filled is None or not self._fits_a_header(node, what, [part for part in filled if isinstance(part, str)]):
            return ()
        return _trimmed(filled)

    def _credential(self, node: Node | None, what: str) -> str:
        expanded = self._reader.secret(node, what)
        if node is None or expanded is None or not self._fits_a_header(node, what, [expanded.text]):
            return ""
        if not expanded.from_variable:
            self._reader.warn_of_written_secret(node, what)
        if isinstance(node, Scalar) and "{{" in node.text:
            self._reader.wrong(node, f"{what} is a fixed secret; placeholders cannot stand in it")
        return expanded.text.strip()

    def _fits_a_header(self, node: Node, what: str, texts: Iterable[str]) -> bool:
        """Whether all is printable ASCII; a mistake is noted where it is not."""
        if all(text.isascii() and text.isprintable() for text in texts):
            return True
        self._reader.wrong(node, f"{what} holds a character that no header can hold; use plain ASCII in one line")
        return False

    def _basic(self, node: Node) -> str:
        found = self._reader.keys(node, "`basic:`", ("user", "password"))
        if found is None:
            return ""
        if "user" not in found:
            self._reader.wrong(node, "`basic:` has no `user:`; add it, `password:` may be left out")
        user = self._reader.secret(found.get("user"), "`user:` of `basic:`")
        password = self._credential(found.get("password"), "`password:` of `basic:`")
        name = "" if user is None else user.text.strip()
        if ":" in name:
            self._reader.wrong(found["user"], "the user of `basic:` cannot hold a colon; take the right name")
        return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode("ascii")

    def _sign(self, node: Node | None) -> tuple[bytes, ...]:
        expanded = self._reader.secret(node, "`sign:`")
        if node is None or expanded is None:
            return ()
        if not expanded.from_variable:
            self._reader.warn_of_written_secret(node, "`sign:`")
        keys = []
        for word in expanded.text.split():
            try:
                key = base64.b64decode(word.removeprefix("whsec_"), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if len(key) < MIN_SIGN_BYTES:
                self._reader.wrong(node, "`sign:` wants a secret of the form `whsec_` and at least 24 bytes in base64")
                return ()
            keys.append(key)
        return tuple(keys)

    # ---- body and results -----------------------------------------------------------------

    def _json(self, node: Node) -> JsonTemplate:
        if isinstance(node, Items):
            return JsonList(tuple(self._json(item) for item in node.nodes))
        if not isinstance(node, Scalar):
            entries = self._reader.entries(node, lists=False)
            return JsonObject(tuple((self._json_key(key), self._json(value)) for key, value in entries))
        value = literal(node)
        if not isinstance(value, str):
            return JsonLiteral(value)
        if not value:
            return JsonText(())
        text = self._reader.text(node, "`json:`") if value.strip() else value
        return JsonText(() if text is None else self._template(node, text))

    def _json_key(self, key: Scalar) -> str:
        if "{{" in key.text or "${" in key.text:
            self._reader.wrong(key, "a key of `json:` is a fixed text; placeholders stand on the right of the colon")
        return key.text

    def _on(self, node: Node | None) -> frozenset[LeadState]:
        if node is None:
            return frozenset(LeadState(result) for result in RESULTS)
        found = set()
        for item in self._reader.one_or_more(node, "`on:`"):
            text = self._reader.text(item, "`on:`")
            if text is not None and text.strip() in RESULTS:
                found.add(LeadState(text.strip()))
            elif text is not None:
                self._reader.wrong(item, f"`{shorten(text)}` is no result of a lead; {nearest(text, RESULTS)}")
        return frozenset(found)


def _trimmed(template: Template) -> Template:
    """The template without spaces around it, and without empty literals."""
    parts = list(template)
    if parts and isinstance(parts[0], str):
        parts[0] = parts[0].lstrip()
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return tuple(part for part in parts if part != "")


# ---- addresses --------------------------------------------------------------------------------


def _address_mistake(template: Template, hosts: frozenset[str]) -> str | None:
    shape = shape_of(template)
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in shape.replace(HOLE, "")):
        return "the address of `request:` holds a space, a backslash or an invisible character; take it out"
    if "#" in shape:
        return "the address of `request:` cannot have a part after `#`; take it out"
    if host_is_open(template) and not hosts:
        return "the host of this address comes from data; list the hosts that may be called: `allow_hosts: [...]`"
    if shape.startswith(HOLE):
        rest = shape[1:]
        good = not rest or rest[0] in "/?"
        return None if good else "after a placeholder for a whole address only `/` or `?` can follow; add it"
    return _fixed_address_mistake(shape)


def _fixed_address_mistake(shape: str) -> str | None:
    scheme, found, rest = shape.partition("://")
    if not found or scheme.lower() not in ("https", "http"):
        return "the address of `request:` does not begin with https://; write the whole address"
    authority, _, path = rest.partition("?")[0].partition("/")
    if "@" in authority:
        return "the address of `request:` holds a user or password; use `basic:` or `bearer:` for it"
    if not _HOST.fullmatch(authority.replace(HOLE, "a").lower()):
        return "the address of `request:` has no host that can be called; write it like https://crm.example.com/..."
    if any(is_dots(segment) for segment in path.split("/")):
        return "the address of `request:` has a part `.` or `..`; write the path that is meant"
    return None
