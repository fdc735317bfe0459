"""A verdict and its checks in words, for `ringback explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from integration.house.freshness import in_words
from integration.model import Check, Tree, Verdict, VerdictKind


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was looked at. `good`: it stands in nobody's way."""

    what: str
    good: bool
    text: str


def tell(check: Check) -> Iterator[Told]:
    """What was seen: one for each zone, and one for any other check. Nothing for what is not asked."""
    if check.verdict == "not asked":
        return
    good = check.verdict == "ok"
    match check.name:
        case "consent":
            yield Told("consent", good, _consent(check.saw))
        case "freshness":
            yield Told("age", good, _freshness(check.saw))
        case "hours":
            yield from _zones(check.saw)


def when(verdict: Verdict) -> str:
    """The verdict in one line."""
    match verdict.kind:
        case VerdictKind.GO:
            return f"would call now, {verdict.detail}" if verdict.detail else "would call now, and at any hour"
        case VerdictKind.WAIT:
            return f"would wait {verdict.detail}"
    return f"would not call: {verdict.detail}"


def _consent(saw: Mapping[str, Tree]) -> str:
    found = ", ".join(f"`{value}`" for value in _texts(saw.get("field"))) or "nothing"
    return f"the field holds {found}; what counts: {', '.join(_texts(saw.get('counts')))}"


def _freshness(saw: Mapping[str, Tree]) -> str:
    age, most = (timedelta(seconds=int(str(saw[key]))) for key in ("age_seconds", "fresh_for_seconds"))
    since = {"created_at": "the field `created_at`", "order": "a person's order"}.get(str(saw["which_is"]), "receipt")
    note = f"; {saw['note']}" if "note" in saw else ""
    return f"{_rough(age)} old, fresh for {in_words(most)}; counted from {since}, {saw['counts_from']}{note}"


def _rough(age: timedelta) -> str:
    """An age as people say it: what is below its largest two units does not matter."""
    seconds = max(0, int(age.total_seconds()))
    step = 1 if seconds < 60 else 60 if seconds < 3_600 else 3_600 if seconds < 172_800 else 86_400
    return in_words(timedelta(seconds=seconds // step * step))


def _zones(saw: Mapping[str, Tree]) -> Iterator[Told]:
    local, found, closed = (_mapping(saw.get(key)) for key in ("local", "zones", "closed_by"))
    for zone, at in local.items():
        how = "; ".join(_texts(found.get(zone))) or "`unknown_zone:`"
        clock = f"{datetime.fromisoformat(str(at)):%Y-%m-%d %H:%M}"
        shut = f"; closed by {closed[zone]}" if zone in closed else ""
        yield Told("zone", zone not in closed, f"{zone} ({how}): {clock} there{shut}")
    for doubt in _texts(saw.get("doubts")):
        yield Told("zone", False, doubt)


def _texts(value: Tree) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _mapping(value: Tree) -> Mapping[str, Tree]:
    return value if isinstance(value, dict) else {}
