"""A process of the demo ends when the demo is gone, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.demo.stage import LEASH

pytestmark = pytest.mark.slow

STUBBORN = """
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
threading.Event().wait()
"""
ORDERLY = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("here", flush=True)
stop.wait()
print("going " * 100_000, flush=True)
open(sys.argv[1], "w").write("ended in good order")
"""
IMPATIENT = "import sys; from integration.demo import leash; leash.STOP_SECONDS = 0.2; leash.main()"


class Leashed:
    """A module of this text on a leash, in a folder of the demo."""

    def __init__(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "module_on_a_leash.py").write_text(text)
        self.folder = tmp_path / "ringback-demo-x"
        self.folder.mkdir()
        (self.folder / "demo.db").write_text("")
        self.witness = tmp_path / "witness"
        self._path = os.pathsep.join([str(tmp_path), str(LEASH.parents[2])])

    def start(self, *how: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *(how or ("-P", str(LEASH))), str(self.folder), "module_on_a_leash", str(self.witness)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": self._path},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def test_it_runs_the_module_and_passes_arguments_and_exit_code_on(tmp_path: Path) -> None:
    leashed = Leashed(tmp_path, "import sys\nprint(__name__, sys.argv[1:])\nsys.exit(7)\n")
    process = leashed.start()
    assert process.stdout is not None
    assert process.stdout.read() == f"__main__ ['{leashed.witness}']\n"
    assert process.wait(15) == 7
    process.communicate(timeout=15)
    assert leashed.folder.exists()


def test_a_module_that_ends_by_itself_or_is_stopped_leaves_the_folder_to_the_demo(tmp_path: Path) -> None:
    leashed = Leashed(tmp_path, ORDERLY)
    process = leashed.start()
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.terminate()
    process.stdout.read()
    assert process.wait(15) == 0
    assert process.stdin is not None
    process.stdin.close()
    process.stdout.close()
    assert (leashed.folder / "demo.db").exists()


def test_when_the_demo_is_gone_the_module_ends_in_good_order_and_the_folder_is_removed(tmp_path: Path) -> None:
    leashed = Leashed(tmp_path, ORDERLY)
    process = leashed.start()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.stdout.close()  # as of a reader that was killed
    process.stdin.close()
    assert process.wait(15) == 0
    assert leashed.witness.read_text() == "ended in good order"
    assert not leashed.folder.exists()


def test_a_demo_that_is_gone_at_once_leaves_nothing(tmp_path: Path) -> None:
    leashed = Leashed(tmp_path, "import threading\nthreading.Event().wait()\n")
    process = leashed.start(stdin=subprocess.DEVNULL)
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert not leashed.folder.exists()


def test_a_module_that_does_not_listen_is_ended_all_the_same(tmp_path: Path) -> None:
    leashed = Leashed(tmp_path, STUBBORN)
    process = leashed.start("-c", IMPATIENT)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert not leashed.folder.exists()
