"""Places where a test may end the program, by name. No setting and no variable arms one: only a call can.

A point stands wherever a process may die between two facts: before a commit, after it, around a request.
`tests/crash` finds every point in the source and kills a process at each.
"""

from __future__ import annotations

from collections.abc import Callable

_armed: dict[str, Callable[[], object]] = {}


def reach(name: str) -> None:
    """Say that the program is here. Does nothing unless a test armed this point."""
    if _armed and name in _armed:
        _armed[name]()


def arm(name: str, act: Callable[[], object]) -> None:
    """Have `act` called when this point is reached, in this process. For tests."""
    _armed[name] = act


def disarm() -> None:
    """Make every point harmless again."""
    _armed.clear()
