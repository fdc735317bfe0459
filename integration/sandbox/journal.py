"""What a sandbox server was asked, counted at its socket before anything was understood.

Crash tests ask this journal, never the program's own counters, how often a phone would have rung.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from integration.sandbox.faults import ANSWER, Behaviour, read_behaviour
from integration.sandbox.wire import Reply, Request


@dataclass(slots=True)
class Seen:
    """One request. The fields after `at` stay empty if the request broke off before saying so."""

    number: int  # 1, 2, 3, ... in the order of arrival
    monotonic: float  # time.monotonic() when its first byte came; comparable within one machine
    at: str  # the wall clock at that moment, UTC
    connection: int = 0  # which of the server's connections it came over: 1, 2, 3, ...
    method: str = ""
    path: str = ""
    body: str = ""
    kind: str = ""  # "call", "token", "list", "lead" or "" for anything else
    to: str | None = None
    account: str | None = None
    behaviour: str = ""
    answered: int | None = None  # the status that was sent in full; None: none was
    rang: bool = False  # a phone rang, or may have: the worst case of an unclear answer
    call_id: str | None = None
    control: bool = False  # a request to the sandbox itself


@dataclass(slots=True)
class _Rule:
    behaviour: Behaviour
    kind: str
    to: str | None
    times: int | None


class Journal:
    """The requests seen and the behaviours ordered. Safe for many threads."""

    def __init__(self, default_kind: str) -> None:
        self._default_kind = default_kind
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._rules: list[_Rule] = []

    def arrive(self, connection: int) -> Seen:
        """Count a request whose first byte has come."""
        monotonic, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            seen = Seen(len(self._seen) + 1, monotonic, at, connection)
            self._seen.append(seen)
        return seen

    def all(self, where: Callable[[Seen], bool] | None = None) -> list[Seen]:
        """The requests so far, without those to the sandbox itself."""
        with self._lock:
            return [seen for seen in self._seen if not seen.control and (where is None or where(seen))]

    def behave(self, behaviour: str, *, to: str | None = None, times: int | None = None, on: str | None = None) -> None:
        """From now on behave so: towards `to` only, `times` times only, for requests of kind `on`.

        A later order goes before an earlier one; one without `times` replaces those like it.
        Raises ValueError for an unknown behaviour.
        """
        rule = _Rule(read_behaviour(behaviour), on or self._default_kind, to, times)
        with self._lock:
            if times is None:
                self._rules = [r for r in self._rules if (r.kind, r.to) != (rule.kind, rule.to)]
            self._rules.append(rule)

    def expects(self, names: tuple[str, ...]) -> bool:
        """Whether one of these behaviours is on order. Cheap when nothing is."""
        return bool(self._rules) and any(rule.behaviour.name in names for rule in self._rules)

    def choose(self, kind: str, to: str | None, *, among: tuple[str, ...] | None = None) -> Behaviour:
        """The behaviour for this request, used up by one."""
        if not self._rules:
            return ANSWER
        with self._lock:
            for rule in reversed(self._rules):
                fits = rule.kind == kind and rule.to in {None, to}
                if not fits or (among is not None and rule.behaviour.name not in among):
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule.behaviour
        return ANSWER

    def reset(self) -> None:
        """Forget every request and every order."""
        with self._lock:
            self._seen.clear()
            self._rules.clear()

    def control(self, request: Request) -> Reply:
        """The sandbox's own addresses, for use from other processes."""
        match request.method, request.path:
            case "GET", "/_sandbox/requests":
                wanted = parse_qs(request.query.replace("+", "%2B")).get("to")
                return Reply(200, [asdict(s) for s in self.all(lambda s: not wanted or s.to in wanted)])
            case "GET", "/_sandbox/summary":
                return Reply(200, self._summary())
            case "POST", "/_sandbox/reset":
                self.reset()
                return Reply(204)
            case "POST", "/_sandbox/behaviour":
                return self._order(request)
            case _:
                return Reply(404, {"message": "the sandbox has requests, summary, behaviour and reset"})

    def _summary(self) -> dict[str, Any]:
        seen = self.all()
        rang: dict[str, int] = {}
        for each in seen:
            if each.rang and each.to is not None:
                rang[each.to] = rang.get(each.to, 0) + 1
        calls = sum(each.kind == "call" for each in seen)
        return {"requests": len(seen), "calls": calls, "rang": sum(rang.values()), "rang_by_number": rang}

    def _order(self, request: Request) -> Reply:
        try:
            order = request.json()
            times = order.get("times")
            to, kind = order.get("to"), order.get("on")
            self.behave(order["behaviour"], to=to, times=None if times is None else int(times), on=kind)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            example = '{"behaviour": "slow:200", "to": "+15551234567", "times": 3, "on": "call"}'
            return Reply(400, {"message": f"{error}; an order looks like {example}, all but the first optional"})
        return Reply(204)
