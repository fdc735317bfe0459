"""Reads `limits:`: how many calls, and how many new leads of one source are normal."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from types import MappingProxyType

from integration.model import Burst, Limit, Limits
from integration.rules.load_house import read_span
from integration.rules.reader import Reader, nearest
from integration.rules.yaml_tree import Node, shorten

LIMITS = ("everything", "sources", "accounts", "burst")
RATES = {"per_minute": (60, "minute"), "per_hour": (3_600, "hour"), "per_day": (86_400, "day")}
BURST = ("more_than", "within")
_MOST = 1_000_000
_LONGEST_BURST = timedelta(days=1)


def read_limits(reader: Reader, node: Node | None, sources: Collection[str], accounts: Collection[str]) -> Limits:
    """The limits; none where nothing is said of them."""
    found = reader.keys(node, "`limits:`", LIMITS) or {}
    return Limits(
        _rates(reader, found.get("everything"), "`everything:`"),
        _each(reader, found.get("sources"), "source", sources),
        _each(reader, found.get("accounts"), "account", accounts),
        _burst(reader, found.get("burst")),
    )


def _each(
    reader: Reader, node: Node | None, kind: str, known: Collection[str]
) -> MappingProxyType[str, tuple[Limit, ...]]:
    block = reader.block(node, f"`{kind}s:` of `limits:`")
    limits: dict[str, tuple[Limit, ...]] = {}
    for key, value in reader.entries(block, known) if block is not None else ():
        if known and key.text not in known:  # without any, that is the mistake
            reader.wrong(key, f"no {kind} is called `{shorten(key.text)}`; {nearest(key.text, known)}")
        limits[key.text] = _rates(reader, value, f"the limits of {kind} `{shorten(key.text)}`")
    return MappingProxyType(limits)


def _rates(reader: Reader, node: Node | None, what: str) -> tuple[Limit, ...]:
    """The limits of one scope, that of the shortest time first."""
    found = reader.keys(node, what, RATES) or {}
    limits: list[Limit] = []
    for name, (seconds, word) in RATES.items():
        value = found.get(name)
        most = None if value is None else _whole(reader, value, f"`{name}:`")
        if value is None or most is None:
            continue
        limit = Limit(most, seconds, word)
        wider = next((other for other in limits if other.most > most), None)
        if wider is not None:
            message = f"{limit} is less than {wider}, which is never reached; is one of them a typing error?"
            reader.warn(value.line, value.column, message)
        limits.append(limit)
    return tuple(limits)


def _whole(reader: Reader, node: Node, what: str, least: int = 1) -> int | None:
    number = reader.number(node, what)
    if number is None:
        return None
    if number != number.to_integral_value() or not least <= number <= _MOST:
        nobody = "; to stop all calls: `ringback pause`" if number == 0 and least == 1 else ""
        reader.wrong(node, f"{what} wants a whole number from {least} to {_MOST:,}{nobody}")
        return None
    return int(number)


def _burst(reader: Reader, node: Node | None) -> Burst | None:
    found = reader.keys(node, "`burst:`", BURST)
    if node is None or found is None:
        return None
    for name, example in (("more_than", "200"), ("within", "10 minutes")):
        if name not in found:
            reader.wrong(node, f"`burst:` needs `{name}:`; add `{name}: {example}`")
    if len(found) < len(BURST):
        return None
    more_than = _whole(reader, found["more_than"], "`more_than:`")
    within = read_span(reader, found["within"], "`within:`", "10 minutes")
    if within is not None and not timedelta() < within <= _LONGEST_BURST:
        reader.wrong(found["within"], "`within:` can be from 1 second to 1 day")
        return None
    return None if more_than is None or within is None else Burst(more_than, round(within.total_seconds()))
