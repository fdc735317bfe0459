"""The rules as values: what a rules file says once it has been read without a mistake.

Nothing here can be changed after loading, and nothing here shows a secret in its `repr`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from integration.house import House
from integration.model import Account, Decision, DecisionKind, LeadState, Limits, Reason, Tree
from integration.payload import Form, ItemsPath, Path
from integration.phone import PhonePolicy
from integration.rules.conditions import Condition
from integration.rules.placeholders import JsonTemplate, Template
from integration.signatures import Scheme

_NO_HOURS = "there is no `hours:`, so people are called at any hour of their night; docs/rules.md has an example"


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong in the file, or worth a warning. Line and column count from 1."""

    line: int
    column: int
    message: str


class RulesError(Exception):
    """The file cannot be used. `str()` gives a line per mistake: `config/rules.yaml:14:9: what; what to do`."""

    SHOWN: ClassVar[int] = 50  # a broken file of a million lines must not fill a terminal

    def __init__(self, name: str, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__(name, mistakes)
        self.name = name
        self.mistakes = mistakes

    def __str__(self) -> str:
        lines = [f"{self.name}:{m.line}:{m.column}: {m.message}" for m in self.mistakes[: self.SHOWN]]
        if len(self.mistakes) > self.SHOWN:
            lines.append(f"{self.name}: and {len(self.mistakes) - self.SHOWN} more; correct these first")
        return "\n".join(lines)

    @property
    def closing(self) -> str:
        """What to say below the mistakes where the file was to be used; `check` does without variables."""
        if all(_UNSET.match(mistake.message) for mistake in self.mistakes):
            return f"{self.name} cannot be used without; `ringback check` looks at all the rest of it"
        return f"{self.name} cannot be used; `ringback check` says the same"


_UNSET = re.compile(r"\$\{\w+\} is (not set|empty);")


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """One of our fields, and where the CRM's record keeps it, in the order to look."""

    name: str
    paths: tuple[Path, ...]
    places: tuple[tuple[int, int], ...] = ()  # line and column of each path


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Exactly one of `account` and `skip` is set; `when` None fits every lead."""

    name: str
    line: int
    when: Condition | None = None
    account: Account | None = None
    skip: str | None = None


@dataclass(frozen=True, slots=True)
class WriteBack:
    """How a source's CRM is told a result. `integration.rules.render_writeback` makes the request of it."""

    method: str
    address: Template = field(repr=False)  # the whole URL; literal parts may hold a secret
    headers: tuple[tuple[str, Template], ...] = field(default=(), repr=False)
    json: JsonTemplate | None = None
    on: frozenset[LeadState] = frozenset()  # the results that are told
    allow_hosts: frozenset[str] = frozenset()  # "host" or "host:port", lower case
    sign_keys: tuple[bytes, ...] = field(default=(), repr=False)  # Standard Webhooks; the first is the newest


@dataclass(frozen=True, slots=True)
class Answers:
    """What a CRM understands as an answer."""

    taken: int = 200  # stored, ignored or a duplicate
    trouble: int = 503  # we could not store it: send it again
    soap_ack: bool = False  # what was taken is answered with the acknowledgement that Salesforce wants


class HandshakeKind(StrEnum):
    """How a CRM asks, before its first message, whether the address is one that expects it."""

    GET_CHALLENGE = "get_challenge"  # GET ?hub.mode=subscribe&hub.verify_token=...&hub.challenge=...
    POST_CHALLENGE = "post_challenge"  # POST {"challenge": "..."}
    ECHO_HEADER = "echo_header"  # a header that the answer must carry too


@dataclass(frozen=True, slots=True)
class Handshake:
    """The question that a source answers. It makes no lead and keeps nothing."""

    kind: HandshakeKind
    header: str = ""  # of ECHO_HEADER
    token: bytes = field(default=b"", repr=False)  # of GET_CHALLENGE; empty: not known, nothing is answered


@dataclass(frozen=True, slots=True)
class Source:
    """One connection to a CRM: POST /hooks/<name>.

    With `items` a message holds several events. Each path then starts at the event, and a MessagePath
    at the message; without, the message is the event.
    """

    name: str
    line: int
    scheme: Scheme
    fields: Mapping[str, FieldPaths]
    only: Condition | None = None  # its field names are paths into the message
    only_paths: Mapping[str, Path] = field(default_factory=dict)
    event_id: tuple[Path, ...] = ()
    record: Path | None = None  # None: the event itself is the record
    id: tuple[Path, ...] = ()
    write_back: WriteBack | None = None
    answers: Answers = Answers()
    items: ItemsPath | None = None
    event_key: Template = ()  # in place of `event_id`: the parts of a key that no single path holds
    body: Form = "auto"
    handshake: Handshake | None = None
    needs_fetch: bool = False  # the event holds no more than the record's id
    preset: str | None = None
    opt_out: Condition | None = None  # its field names are paths too: an event that says that somebody wants no calls
    opt_out_paths: Mapping[str, Path] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where its webhooks go; a name needs no encoding in an address."""
        return f"/hooks/{self.name}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a test of the rules file wants. `text` is the skip text; `to` is E.164.

    A CALL with `wait_until` is one that is made at that opening, by any account if none is named.
    """

    kind: DecisionKind
    account: str | None = None
    to: str | None = None
    text: str | None = None
    reason: Reason | None = None
    wait_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RulesTest:
    """One entry of `tests:`."""

    name: str
    line: int
    source: str
    record: Tree
    expect: Expectation
    at: datetime | None = None  # None: what is asked at any moment alone


@dataclass(frozen=True, slots=True)
class Rules:
    """A rules file without a mistake. `digest` names this version: 12 hex digits of the SHA-256 of its bytes."""

    name: str
    digest: str
    accounts: Mapping[str, Account]
    phones: PhonePolicy
    rules: tuple[Rule, ...]
    sources: Mapping[str, Source]
    tests: tuple[RulesTest, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    house: House = field(default_factory=House)
    limits: Limits = field(default_factory=Limits)

    @property
    def advice(self) -> tuple[Mistake, ...]:
        """What works, and most people would not want: for whoever checks the file, and whoever serves with it."""
        return (Mistake(1, 1, _NO_HOURS),) if self.house.hours is None else ()


@dataclass(frozen=True, slots=True)
class Event:
    """An event for us.

    `key` is `id:<text>`, or `sha256:<hex>` of an item without an id of its own. None: the message is the
    event, has no usable id, and is known again by its body. `item` counts from 0 in the message. `opts_out`: it
    says that somebody wants no calls, and makes no lead to ring.
    """

    key: str | None
    item: int = 0
    opts_out: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """An authentic message that cannot be taken apart: a person must look. `detail` holds no content."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """An authentic event that `only:` leaves out. `why` names the path and what was wanted, no content."""

    why: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """What one entry of `tests:` came to. `message` is for people; empty when it passed."""

    __test__: ClassVar[bool] = False  # pytest must not take it for a test

    name: str
    line: int
    passed: bool
    message: str
    decision: Decision
