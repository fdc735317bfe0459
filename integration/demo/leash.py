"""Runs a module as `python -m` would, but not for longer than the demo that started it.

`python -P leash.py FOLDER MODULE ARGUMENTS...`. The demo holds the other end of this process's standard input and
never writes to it. Its end means that the demo is gone without having stopped us, as after `kill -9`: then the
module is stopped by SIGTERM, and FOLDER, the demo's own, is removed. Whoever of the demo's processes ends last
removes what the others could not.

This file is run by its path and imports nothing of Ringback, so that the watch begins before anything slow.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import threading
import time
from types import FrameType

STOP_SECONDS = 12.0  # the server lets calls under way end, for up to 10 s

_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Run the module until it ends; its exit code is ours."""
    folder, module, *arguments = sys.argv[1:]
    orphaned = threading.Event()
    signal.signal(signal.SIGTERM, _leave)  # until the module has a handler of its own
    sys.argv = [module, *arguments]
    try:
        threading.Thread(target=_watch, args=(folder, orphaned), name="leash", daemon=True).start()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        if orphaned.is_set():
            shutil.rmtree(folder, ignore_errors=True)


def _leave(*_: int | FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _watch(folder: str, orphaned: threading.Event) -> None:
    """Wait for the end of standard input, then end this process."""
    while os.read(0, 4096):
        pass
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # nobody reads what is said from now on; a write into the broken pipe would raise
    os.dup2(nowhere, 2)
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(_TERMINATED)


if __name__ == "__main__":
    main()
