"""The rules file from bytes to `Rules`, or every mistake in it at once, each with its place.

The order of the parts below is the order of the file. Each part goes on after a mistake, so that an
admin meets all of them in one run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from integration.house import House, Terms
from integration.model import Account
from integration.phone import PhonePolicy
from integration.rules.doubts import Doubt, Kind, doubts_of, known_of, worth_telling
from integration.rules.load_conditions import Names, contradiction, country_word, covers, read_when
from integration.rules.load_house import (
    RULE_TERMS,
    TERMS,
    HoursRead,
    read_account,
    read_hours,
    read_terms,
    warn_of_long_nights,
)
from integration.rules.load_limits import read_limits
from integration.rules.load_sources import read_fields, read_source
from integration.rules.load_tests import read_tests, unseen_paths
from integration.rules.reader import Reader
from integration.rules.shapes import FieldPaths, Mistake, Rule, Rules, RulesError, RulesTest, Source
from integration.rules.yaml_tree import Block, Node, Scalar, read_yaml, shorten

TOP = ("accounts", "phones", "hours", *TERMS, "limits", "fields", "rules", "tests", "sources")
# Names without spaces, `_` and `-` that people give to fields: which field is meant, and the part that looks at it.
_LOOK_ALIKES = {
    **dict.fromkeys(("timezone", "tz"), ("time_zone", "hours")),
    **dict.fromkeys(("zip", "zipcode", "postcode", "postalcode", "plz"), ("postal_code", "hours")),
    **dict.fromkeys(("created", "createdat", "createddate", "createdate"), ("created_at", "fresh_for")),
}
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME_IN_WORDS = "`a-z`, `A-Z`, `0-9`, `-` and `_`, at most 64, a letter or digit first"
# Each rule is compared with those before it, which takes long where somebody has generated thousands.
MAX_COMPARED = 100
FINDERS = ("id", "name", "number")


def load_rules(
    text: str | bytes, *, name: str, environ: Mapping[str, str], declared: Collection[str] | None = None
) -> Rules:
    """Read a rules file. Raises RulesError with every mistake.

    `name` is the file's name in messages. `environ` holds the variables for `${NAME}`. With `declared`
    (the names in .env.example) the file is only checked: a declared variable that is not set is replaced
    by a harmless text, and such a source refuses every request. Without it each variable must be set.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    reader = Reader(environ, declared)
    root, mistakes = read_yaml(raw)
    reader.mistakes += [Mistake(*place, message) for place, message in mistakes]
    parts = None if root is None else reader.keys(root, "the rules file", TOP)
    rules = None
    if root is not None and parts is not None:
        _note_missing(reader, root, parts)
        rules = _Loading(reader, parts).load(name, hashlib.sha256(raw).hexdigest()[:12])
    if reader.mistakes or rules is None:
        raise RulesError(name, tuple(sorted(set(reader.mistakes))))
    return rules


def _note_missing(reader: Reader, root: Node, parts: dict[str, Node]) -> None:
    """Notes the parts that the file cannot do without. What is there is still read if one is missing."""
    for key, example in (
        ("accounts", "us-east: {id: acc-east}"),
        ("phones", "may_call: [US]"),
        ("rules", "- {name: Everyone, call: us-east}"),
        ("sources", "our-crm: {...}"),
    ):
        if key not in parts:
            reader.wrong(root, f"`{key}:` is missing; add it with lines like `{example}`")


class _Loading:
    """One pass over one file."""

    def __init__(self, reader: Reader, parts: dict[str, Node]) -> None:
        self._reader = reader
        self._parts = parts
        self._uses_shared = False
        self._conditions: list[Node] = []  # the `when:` of each rule that could be read
        self._doubts: list[Doubt] = []
        self._terms = Terms()
        self._by_rule: dict[str, Terms] = {}  # of the rules that have their own
        self._consents: list[Node] = []  # where it is asked for

    def load(self, name: str, digest: str) -> Rules:
        accounts = self._accounts()
        phones = self._phones(accounts)
        hours = self._house(accounts, phones)
        shared = read_fields(self._reader, self._parts.get("fields"), "`fields:`")
        sources = self._sources(shared)
        self._uses_shared = any(source.fields is shared for source in sources.values())
        field_names = tuple(dict.fromkeys([*(shared or {}), *(field for s in sources.values() for field in s.fields)]))
        source_names = self._keys("sources")  # also those with mistakes, which are told already
        rules = self._rules(accounts, Names(field_names, source_names))
        house = House(self._terms, MappingProxyType(self._by_rule))
        if hours is not None:
            house = replace(house, hours=hours.hours, spread=hours.spread)
        self._check_consent(sources)
        limits = read_limits(self._reader, self._parts.get("limits"), source_names, tuple(accounts))
        tests = read_tests(self._reader, self._parts.get("tests"), tuple(accounts), source_names)
        self._warn(rules, sources, tests)
        known = known_of(sources, tests, self._conditions)
        for doubt in self._doubts:
            if worth_telling(doubt, known) and not (doubt.kind is Kind.COUNTRY and doubt.word in phones.may_call):
                self._reader.warn(doubt.line, doubt.column, doubt.message)
        return Rules(
            name,
            digest,
            MappingProxyType(accounts),
            phones,
            rules,
            MappingProxyType(sources),
            tests,
            tuple(sorted(set(self._reader.warnings))),
            house,
            limits,
        )

    def _keys(self, part: str) -> tuple[str, ...]:
        block = self._parts.get(part)
        return tuple(key.text for key, _ in block.entries) if isinstance(block, Block) else ()

    # ---- accounts and phones --------------------------------------------------------------

    def _accounts(self) -> dict[str, Account]:
        block = self._reader.block(self._parts.get("accounts"), "`accounts:`")
        accounts: dict[str, Account] = {}
        for key, node in block.entries if block is not None else ():
            accounts[key.text] = self._account(key, node)
        return accounts

    def _account(self, key: Scalar, node: Node) -> Account:
        reader, what = self._reader, f"account `{shorten(key.text)}`"
        if not _NAME.fullmatch(key.text):
            reader.wrong(key, f"{what} needs a name of {_NAME_IN_WORDS}; rename it")
        if isinstance(node, Scalar) and node.text.strip():
            text = node.text.strip()
            finder = "number" if _E164.fullmatch(text) else "name" if " " in text else "id"
            help_ = f"write `{{{finder}: {shorten(text)}}}`"
            reader.wrong(node, f"{what} wants lines of `key: value`, not a text; {help_}")
            return Account(key.text)
        found = reader.keys(node, what, (*FINDERS, "caller_id"))
        if found is None:
            return Account(key.text)
        given = [finder for finder in FINDERS if finder in found]
        if len(given) != 1:
            reader.wrong(node, f"{what} wants exactly one of `id:`, `name:` and `number:`; see `ringback accounts`")
        texts = {finder: reader.text(found[finder], f"`{finder}:` of {what}") for finder in given}
        number = self._e164(found.get("number"), f"`number:` of {what}")
        caller_id = self._e164(found.get("caller_id"), f"`caller_id:` of {what}")
        return Account(key.text, texts.get("id"), texts.get("name"), number, caller_id)

    def _e164(self, node: Node | None, what: str) -> str | None:
        text = self._reader.text(node, what)
        if node is None or text is None:
            return None
        squeezed = re.sub(r"[\s().-]", "", text)
        if _E164.fullmatch(text):
            return text
        help_ = "write it without spaces and signs" if _E164.fullmatch(squeezed) else "write it like +4930901820"
        self._reader.wrong(node, f"{what} is no number with `+` and country code; {help_}")
        return None

    def _phones(self, accounts: dict[str, Account]) -> PhonePolicy:
        reader, node = self._reader, self._parts.get("phones")
        found = reader.keys(node, "`phones:`", ("may_call", "read_as", "refuse_fictional")) or {}
        if node is not None and isinstance(node, Block) and "may_call" not in found:
            reader.wrong(node, "`may_call:` is missing; list the countries that may be dialled: `may_call: [US]`")
        may_call: set[str] = set()
        if "may_call" in found:
            words = reader.one_or_more(found["may_call"], "`may_call:`")
            read = [country_word(reader, word, "`may_call:`") for word in words]
            may_call = {country for country in read if country is not None}
        read_as = None
        if "read_as" in found:
            read_as = country_word(reader, found["read_as"], "`read_as:`")
            if read_as is not None and may_call and read_as not in may_call:
                place = found["read_as"]
                reader.warn(place.line, place.column, f"`read_as: {read_as}` is not in `may_call:`; add it there")
        fictional = found.get("refuse_fictional")
        own = {n for account in accounts.values() for n in (account.number, account.caller_id) if n is not None}
        return PhonePolicy(
            frozenset(may_call),
            read_as,
            bool(fictional is not None and reader.flag(fictional, "`refuse_fictional:`")),
            frozenset(own),
        )

    # ---- the rules of the house -----------------------------------------------------------

    def _house(self, accounts: Mapping[str, Account], phones: PhonePolicy) -> HoursRead | None:
        hours = read_hours(self._reader, self._parts.get("hours"), phones.may_call)
        parts = {name: self._parts[name] for name in TERMS if name in self._parts}
        self._terms = read_terms(self._reader, parts, Terms(), accounts)
        if self._terms.consent is not None:
            self._consents.append(parts["consent"])
        if hours is not None:
            self._terms = replace(self._terms, outside=hours.outside)
            if "fresh_for" in parts:
                warn_of_long_nights(self._reader, parts["fresh_for"], hours.hours, self._terms)
        return hours

    def _check_consent(self, sources: Mapping[str, Source]) -> None:
        """Without the field nobody could ever have given it."""
        without = [name for name, source in sources.items() if "consent" not in source.fields]
        for node in self._consents if without else ():
            message = "add `consent:` and its path there"
            if len(without) == len(sources):
                self._reader.wrong(node, f"`fields:` has no `consent`, so that every lead would be blocked; {message}")
            elif node is self._parts.get("consent"):
                names = shorten(", ".join(without))
                message = f"the fields of {names} have no `consent`, so that its leads are blocked; {message}"
                self._reader.warn(node.line, node.column, message)

    # ---- sources --------------------------------------------------------------------------

    def _sources(self, shared: Mapping[str, FieldPaths] | None) -> dict[str, Source]:
        block = self._reader.block(self._parts.get("sources"), "`sources:`")
        sources: dict[str, Source] = {}
        for key, node in block.entries if block is not None else ():
            if not _NAME.fullmatch(key.text):
                self._reader.wrong(
                    key,
                    f"source `{shorten(key.text)}` becomes part of an address (/hooks/...);"
                    f" name it with {_NAME_IN_WORDS}",
                )
            source = read_source(self._reader, key, node, shared)
            if source is not None:
                sources[key.text] = source
        return sources

    # ---- rules ----------------------------------------------------------------------------

    def _rules(self, accounts: Mapping[str, Account], names: Names) -> tuple[Rule, ...]:
        items = self._reader.items(self._parts.get("rules"), "`rules:`")
        if items == ():
            self._reader.wrong(self._parts["rules"], "`rules:` is empty, so nobody is ever called; add a rule")
        rules: list[Rule] = []
        lines: dict[str, int] = {}
        for node in items or ():
            rule = self._rule(node, accounts, names)
            if rule is None:
                continue
            folded = rule.name.casefold()
            if folded in lines:
                self._reader.wrong(
                    node,
                    f"the rule of line {lines[folded]} is also called `{shorten(rule.name)}`; give each its own name",
                )
            lines.setdefault(folded, rule.line)
            self._check_reach(rule, node, rules)
            rules.append(rule)
        return tuple(rules)

    def _rule(self, node: Node, accounts: Mapping[str, Account], names: Names) -> Rule | None:
        reader, before = self._reader, len(self._reader.mistakes)
        found = reader.keys(node, "a rule", ("name", "when", "call", "skip", *RULE_TERMS))
        if found is None:
            return None
        name = reader.text(found.get("name"), "`name:` of a rule")
        if "name" not in found:
            reader.wrong(node, "this rule has no name; add `name:`, it is shown wherever the rule decides")
        when = read_when(reader, found["when"], names) if "when" in found else None
        skip = reader.text(found.get("skip"), "`skip:`")
        account = read_account(reader, found.get("call"), accounts)
        own = {key: found[key] for key in RULE_TERMS if key in found}
        terms = read_terms(reader, own, self._terms, accounts)
        if own and "skip" in found:
            key = next(iter(own))
            reader.wrong(own[key], f"`{key}:` belongs to a rule that calls; take it out here")
        if ("call" in found) == ("skip" in found):
            what = "has both `call:` and `skip:`; keep one" if "call" in found else "says neither `call:` nor `skip:`"
            reader.wrong(node, f"this rule {what}" + ("" if "call" in found else "; add one of them"))
        if name is None or len(reader.mistakes) > before:
            return None
        if "when" in found:
            self._conditions.append(found["when"])
            self._doubts += [one for one in doubts_of(found["when"]) if one.kind is not Kind.COUNTRY or account]
        if terms.consent is not None and "consent" in own:
            self._consents.append(own["consent"])
        if own:
            self._by_rule[name.strip()] = terms
        return Rule(name.strip(), node.line, when, account, None if skip is None else skip.strip())

    def _check_reach(self, rule: Rule, node: Node, earlier: list[Rule]) -> None:
        conflict = contradiction(rule.when)
        if conflict is not None:
            self._reader.wrong(
                node, f"rule `{shorten(rule.name)}` can never fit: {conflict} exclude each other; change one"
            )
            return
        for old in earlier[:MAX_COMPARED]:
            if covers(old.when, rule.when):
                self._reader.wrong(
                    node,
                    f"rule `{shorten(rule.name)}` is never reached: `{shorten(old.name)}` in line {old.line}"
                    " takes every lead that it could take; move it up or delete it",
                )
                return

    # ---- warnings -------------------------------------------------------------------------

    def _warn(self, rules: tuple[Rule, ...], sources: Mapping[str, Source], tests: tuple[RulesTest, ...]) -> None:
        called = [rule.account for rule in rules]
        called += [terms.stale_account for terms in (self._terms, *self._by_rule.values())]
        used = {account.key for account in called if account is not None}
        block = self._parts.get("accounts")
        for key, _ in block.entries if isinstance(block, Block) else ():
            if key.text not in used:
                self._reader.warn(key.line, key.column, f"no rule calls account `{key.text}`; is one missing?")
        shared = self._parts.get("fields")
        if isinstance(shared, Block) and sources and not self._uses_shared:
            message = "no source uses these fields: each has its own, or those of its preset; move them into the source"
            self._reader.warn(shared.line, shared.column, message)
        for line, column, message in unseen_paths(sources, tests):
            self._reader.warn(line, column, message)
        self._warn_of_own_names(shared)
        of_sources = self._parts.get("sources")
        for _, node in of_sources.entries if isinstance(of_sources, Block) else ():
            for key, value in node.entries if isinstance(node, Block) else ():
                if key.text == "fields":
                    self._warn_of_own_names(value)

    def _warn_of_own_names(self, fields: Node | None) -> None:
        """A name that looks like one with a meaning has none, and the hours or the freshness would not see it."""
        entries = fields.entries if isinstance(fields, Block) else ()
        there = {key.text for key, _ in entries}
        for key, _ in entries:
            meant, part = _LOOK_ALIKES.get(re.sub(r"[\s_-]", "", key.text.casefold()), ("", ""))
            if key.text != meant and meant not in there and part in self._parts:
                message = f"`{shorten(key.text)}` is a name of your own, and `{part}:` does not look at it"
                self._reader.warn(key.line, key.column, f"{message}; did you mean `{meant}`?")
