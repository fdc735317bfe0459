"""Processes of the run: started with a log file of their own, looked at through /proc, ended with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

START_SECONDS = 20.0
STOP_SECONDS = 12.0

_T = TypeVar("_T")


class BenchError(Exception):
    """The run cannot go on. The message is for the person who started it."""


class Process:
    """One process, with its children, writing into a file."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name.replace(' ', '-').replace(',', '')}.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environ),
                start_new_session=True,
            )

    def wait_for(self, find: Callable[[str], _T | None]) -> _T:
        """What `find` makes of the first line that it takes. Raises BenchError when none comes in time."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            lines = self._log.read_text(errors="replace").splitlines()
            for line in lines:
                found = find(line)
                if found is not None:
                    return found
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        last = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
        raise BenchError(f"{self.name} did not start. Its last lines:\n{last}")

    def stop(self) -> None:
        """Ask it to end, and make it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    # ---- what it uses -----------------------------------------------------------------------------

    def resident_mb(self) -> float:
        """Resident memory of the process and its children, counted in full for each."""
        return sum(_resident_kb(pid) for pid in self._pids()) / 1024

    def cpu_seconds(self) -> float:
        """Time on a processor so far."""
        return sum(_cpu_seconds(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        own = self._process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *(int(pid) for pid in children)]


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def _cpu_seconds(pid: int) -> float:
    """To the nanosecond, ended threads included, where /proc/PID/stat counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)  # Linux's name for another process's clock, as of clock_getcpuclockid
