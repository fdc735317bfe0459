"""`ringback demo` as a person runs it, and as it must fail."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.demo import run_demo, stage, witness
from integration.demo.judge import problems_of_journal
from integration.demo.stage import ROOT, RULES, Stage, admins_rules_differ, rules_at_any_hour
from integration.demo.stories import STORIES
from integration.house import Terms
from integration.http import Client
from integration.rules import load_rules, run_tests
from tests.end_to_end.rig import wait_until

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "integration", "demo"]


def _environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT), **more}


def test_the_demo_comes_out_right(tmp_path: Path) -> None:
    began_at = time.monotonic()
    finished = subprocess.run(
        DEMO, check=False, env=_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert time.monotonic() - began_at < 15
    assert "7 of 7 came out right" in finished.stdout
    assert "The contact centre was asked 3 times, for each lead at most once." in finished.stdout
    assert finished.stdout.count("✓") == 7
    assert (
        "rules                integration/demo/rules.yaml, a copy of the config/rules.yaml that ships"
        in finished.stdout
    )
    assert "differs" not in finished.stdout
    assert "\x1b" not in finished.stdout
    assert max(len(line) for line in finished.stdout.splitlines()) <= 100
    assert finished.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_demo_uses_nothing_of_the_users_own_settings(tmp_path: Path) -> None:
    environ = _environment(
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/real",
        RINGBACK_DIALING="off",
        RINGBACK_NONSENSE="1",
        CXONE_BASE_URL="https://real.example",
        OUR_CRM_SECRET="real",
        DYNO="web.1",
        PORT="1",
    )
    finished = subprocess.run(DEMO, check=False, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_demo_says_that_it_rehearses_the_shipped_rules_and_not_the_admins_own(tmp_path: Path) -> None:
    own = tmp_path / "config" / "rules.yaml"
    own.parent.mkdir()
    own.write_text("rules: [not, ready, yet]\n")
    finished = subprocess.run(
        DEMO, check=False, env=_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert (
        "your config/rules.yaml differs from the one that ships; the demo rehearses the shipped one; for yours: "
        "`ringback check`, `ringback explain FILE`"
    ) in " ".join(finished.stdout.split())
    assert max(len(line) for line in finished.stdout.splitlines()) <= 100


def test_line_ends_alone_are_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not admins_rules_differ()
    own = tmp_path / "config" / "rules.yaml"
    own.parent.mkdir()
    own.write_bytes(RULES.read_bytes().replace(b"\n", b"\r\n"))
    assert not admins_rules_differ()
    own.write_bytes(RULES.read_bytes().replace(b"500", b"250"))
    assert admins_rules_differ()
    own.unlink()
    own.mkdir()
    assert not admins_rules_differ()


# ---- the demo must see what is wrong ----------------------------------------------------------------


def test_the_judge_sees_each_call_too_many_and_too_few() -> None:
    first, third = STORIES[0], STORIES[2]
    assert problems_of_journal(Counter({"+15551234101": 1, "+4319971234": 1}), [first, third]) == []
    assert problems_of_journal(Counter({"+15551234101": 2}), [first, third]) == [
        "the contact centre was asked to ring +15551234101 2 times, not once",
        "the contact centre was asked to ring +4319971234 never, not once",
    ]
    assert problems_of_journal(Counter({"+15551234106": 1}), []) == [
        "the contact centre was asked to ring +15551234106 once, not never"
    ]


def _order(behaviour: str) -> Callable[[Stage], None]:
    def meddle(stage: Stage) -> None:
        client = Client()
        answer = client.request(
            "POST",
            f"{stage.contact_centre_url}/_sandbox/behaviour",
            headers={"Content-Type": "application/json"},
            body=f'{{"behaviour": "{behaviour}"}}'.encode(),
            deadline_seconds=5,
        )
        assert answer.status == 204
        client.close()

    return meddle


def _kill(name: str) -> Callable[[Stage], None]:
    def meddle(stage: Stage) -> None:
        child = getattr(stage, name)
        child.process.kill()
        child.process.wait()

    return meddle


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (_order("status_500"), "the CRM's record says unknown, not called"),
        (_order("status_400"), "the CRM's record says blocked, not called"),
        (_kill("contact_centre"), "The sandbox contact centre has ended by itself"),
        (_kill("crm"), "The sandbox CRM has ended by itself"),
        (_kill("server"), "The server (`ringback serve`) has ended by itself"),
    ],
    ids=["status_500", "status_400", "no contact centre", "no CRM", "no server"],
)
def test_the_demo_fails_and_says_what_went_wrong(
    meddle: Callable[[Stage], None],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(witness, "RESULT_SECONDS", 1.0)
    began_at = time.monotonic()
    assert run_demo(keep=False, meddle=meddle) == 1
    assert time.monotonic() - began_at < 15
    printed = capsys.readouterr().out
    assert said in printed
    assert "7 of 7" not in printed
    assert "The server's last lines:" in printed


def test_a_server_that_does_not_start_is_told_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "SERVE", ("-m", "integration", "serve", "--host", "no room on this machine"))
    assert run_demo(keep=False) == 1
    printed = capsys.readouterr().err
    assert "The server (`ringback serve`) did not start" in printed
    assert "| Error: --host: 'no room on this machine' is no address" in printed


def test_a_server_that_is_never_ready_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "SERVE", stage.CRM)
    monkeypatch.setattr(stage, "START_SECONDS", 1.0)
    assert run_demo(keep=False) == 1
    assert "was not ready within 1 s" in capsys.readouterr().err


# ---- --keep, and the end ----------------------------------------------------------------------------


def _keep(tmp_path: Path, until: str = "sleep 1; curl") -> tuple[subprocess.Popen[str], str]:
    """A demo that keeps running, and all it said until a line that begins so."""
    process = subprocess.Popen(
        [*DEMO, "--keep"],
        env=_environment(PYTHONUNBUFFERED="1", TMPDIR=str(tmp_path)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(until):
            break
    return process, said


def test_a_kept_demo_takes_another_lead_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process, said = _keep(tmp_path)
    try:
        assert "All of it keeps running until Ctrl-C." in said
        command = said[said.index("body=") :]
        run = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=30)
        assert '"status":"accepted"' in run.stdout, run.stdout + run.stderr
        assert '"ringback_result": "called"' in run.stdout
        again = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=30)
        assert '"status":"duplicate"' in again.stdout
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=15)
    assert process.returncode == 0, rest
    assert "Stopped." in rest
    url = said[said.index("http://127.0.0.1") :].split()[0]
    assert _is_gone(url)


def _in_shell(*lines: str) -> str:
    """What a shell prints that is given these lines, and nothing of this process's settings."""
    run = subprocess.run(
        ["sh", "-c", "\n".join(lines)], check=False, env=_environment(), capture_output=True, text=True, timeout=30
    )
    return run.stdout + run.stderr


def test_one_line_of_a_kept_demo_points_every_command_at_it(tmp_path: Path) -> None:
    process, said = _keep(tmp_path)
    ringback = f"{sys.executable} -m integration"
    try:
        (export,) = (line for line in said.splitlines() if line.startswith("export "))
        kept = json.loads(_in_shell(export, f"{ringback} leads --json"))
        assert {lead["record_id"] for lead in kept} == {"1", "2", "3", "4", "6"}
        assert "Lead 1: called" in _in_shell(export, f"{ringback} show 1")
        assert "US East" in _in_shell(export, f"{ringback} accounts")
        doctor = _in_shell(export, f"{ringback} doctor")
        assert "ERROR" not in doctor
        assert "No problem" in doctor
        assert "Placed: call " in _in_shell(export, f"{ringback} call +15551234109 --account us-east --yes")
        assert "1 accepted" in _in_shell(export, f"{ringback} send our-crm")
        (records,) = (line for line in said.splitlines() if line.startswith("curl ") and "/leads " in line)
        assert len(json.loads(_in_shell(records))) == 7
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)


@pytest.mark.parametrize("until", ["Nobody's phone rings", "sleep 1; curl"], ids=["in a story", "while it is kept"])
def test_a_killed_demo_leaves_nothing_behind(tmp_path: Path, until: str) -> None:
    process, said = _keep(tmp_path, until)
    process.kill()
    rest, _ = process.communicate(timeout=15)
    wait_until(lambda: list(tmp_path.iterdir()) == [])
    urls = {word.split("/hooks")[0] for word in (said + rest).split() if word.startswith("http://127.0.0.1")}
    wait_until(lambda: all(_is_gone(url.split("/_sandbox")[0].split("/leads")[0]) for url in urls))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after_seconds", [0.3, 0.6, 1.2])
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, after_seconds: float, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [*DEMO, "--keep"],
        env=_environment(TMPDIR=str(tmp_path)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(after_seconds)  # wherever it then is
    process.send_signal(number)
    process.communicate(timeout=15)  # ends only when nobody holds its output any more
    assert list(tmp_path.iterdir()) == []


def _is_gone(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with contextlib.closing(socket.socket()) as sock:
        return sock.connect_ex((host, int(port))) != 0


def test_the_rules_at_any_hour_are_the_shipped_ones_line_by_line_without_what_the_clock_decides(tmp_path: Path) -> None:
    lines = rules_at_any_hour(tmp_path).read_text(encoding="utf-8").splitlines()
    shipped = RULES.read_text(encoding="utf-8").splitlines()
    assert all(new in (old, f"# {old}") for new, old in zip(lines, shipped, strict=True))
    declared = {"OUR_CRM_SECRET", "OUR_CRM_TOKEN", "CRM_URL"}
    whole = load_rules("\n".join(shipped), name="r", environ={}, declared=declared)
    rules = load_rules("\n".join(lines), name="r", environ={}, declared=declared)
    assert (rules.house.hours, rules.house.terms) == (None, Terms())
    assert [test.name for test in rules.tests] == [test.name for test in whole.tests if test.at is None]
    assert (rules.rules, rules.warnings) == (whole.rules, ())
    assert all(result.passed for result in run_tests(rules))
