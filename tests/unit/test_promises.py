"""docs/promises.md and the tests that it names stay in step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = ["P1", "P2", "P2b", *(f"P{n}" for n in range(3, 18))]
NOT_YET = "Not there yet"

_NAMED = re.compile(r"`(tests/[\w/]+\.py::\w+)`")


def sections() -> dict[str, tuple[str, str]]:
    """Of each promise the heading that it stands under, and its text."""
    found = {}
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        for promise in re.split(r"^### ", rest, flags=re.MULTILINE)[1:]:
            found[promise.partition(" ")[0]] = heading, promise
    return found


def test_each_promise_has_its_place() -> None:
    assert sorted(sections()) == sorted(PROMISES)


def test_each_promise_that_is_kept_names_a_test_and_only_the_others_do_without() -> None:
    for promise, (heading, text) in sections().items():
        assert bool(_NAMED.findall(text)) == (heading != NOT_YET), promise


def test_what_is_kept_in_part_says_what_is_not_there() -> None:
    for promise, (heading, text) in sections().items():
        assert (NOT_YET in text) == (heading == "Kept in part"), promise


@pytest.mark.slow
def test_each_test_that_is_named_is_there() -> None:
    """As pytest itself finds it."""
    named = set(_NAMED.findall(PAGE))
    assert len(named) == len(set(re.findall(r"tests/\S+::\w+", PAGE))), "a name is not written as the others are"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *sorted(named)],
        cwd=ROOT,
        env={**environ, "CI": "1"},  # where there is no PostgreSQL its tests are left out, but not in CI
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert named == {line.partition("[")[0] for line in done.stdout.splitlines() if line.startswith("tests/")}
