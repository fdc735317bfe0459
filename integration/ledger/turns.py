"""A lock whose waiters have their turn in the order in which they came, those for whom seconds decide first."""

from __future__ import annotations

import threading
from collections import deque

MOST_IN_A_ROW = 3  # urgent ones, while another one waits


class TurnLock:
    """As `threading.Lock`, and fair. Costs half a microsecond more.

    With a plain lock whoever asks just as it is free goes before those who wait. With 16 calls under way at once that
    made a webhook wait 350 ms where 80 are enough, at the same throughput.
    """

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._is_held = False
        # A closed gate for each who waits, opened when its turn comes.
        self._urgent: deque[threading.Lock] = deque()
        self._others: deque[threading.Lock] = deque()
        self._in_a_row = 0

    def acquire(self, timeout: float, *, urgent: bool = False) -> bool:
        """Whether it was had within `timeout` seconds."""
        line = self._urgent if urgent else self._others
        with self._state:
            if not self._is_held:
                self._is_held = True
                return True
            gate = threading.Lock()
            gate.acquire()
            line.append(gate)
        if gate.acquire(timeout=timeout):
            return True
        with self._state:
            if gate not in line:  # its turn came just now
                return True
            line.remove(gate)
            return False

    def release(self) -> None:
        """Hand it to the next; while somebody waits it is never free."""
        with self._state:
            line = self._next_line()
            if line:
                line.popleft().release()
            else:
                self._is_held = False

    def _next_line(self) -> deque[threading.Lock]:
        if self._urgent and (self._in_a_row < MOST_IN_A_ROW or not self._others):
            self._in_a_row += 1
            return self._urgent
        self._in_a_row = 0
        return self._others

    def waiting(self) -> int:
        """How many wait."""
        return len(self._urgent) + len(self._others)
