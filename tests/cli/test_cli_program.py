"""The program as a whole: its commands, their help, how it starts and how it ends."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from integration.cli import COMMANDS, ringback
from tests.cli.conftest import RULES, SECRETS, UNCLEAR

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
HEAVY = {"flask", "psycopg", "alembic", "sqlalchemy", "requests", "structlog", "waitress", "cryptography"}


def run(
    *args: str, cwd: Path, env: Mapping[str, str] | None = None, **more: object
) -> subprocess.CompletedProcess[str]:
    """The program as its own process, with an environment of its own."""
    return subprocess.run(
        [sys.executable, "-m", "integration", *args],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,
    )


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name."""
    context = click.Context(ringback)
    for name in ringback.list_commands(context):
        command = ringback.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield f"{name} {inner}", found


ALL = dict(commands())


# ---- help and documentation ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_a_purpose_an_example_and_help_for_each_option(name):
    command = ALL[name]
    assert command.help is not None
    purpose = command.help.split("\n\n")[0]
    assert purpose.endswith(".")
    assert "\n" not in purpose
    assert f"Example:\n  ringback {name}" in inspect.cleandoc(command.help)
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_the_same_as_their_help(name):
    help_text = ALL[name].help
    assert help_text is not None
    assert help_text.startswith(COMMANDS[name].purpose)


@pytest.mark.parametrize("name", ALL)
def test_each_command_and_option_is_documented(name):
    section = re.search(rf"^## `ringback {re.escape(name)}`\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None
    for parameter in ALL[name].params:
        for word in parameter.opts if isinstance(parameter, click.Option) else [(parameter.name or "").upper()]:
            assert f"`{word}" in section[1], word
    assert "Exit code" in section[1]
    assert "```" in section[1]


def test_the_documentation_has_no_command_that_is_not_there():
    assert re.findall(r"^## `ringback (.*)`$", DOCS, re.MULTILINE) == list(ALL)


def test_each_module_of_a_command_exists():
    for name, listed in COMMANDS.items():
        assert hasattr(importlib.import_module(f"integration.cli.{listed.module}"), name)


def test_help_lists_every_command_with_its_purpose(terminal):
    result = terminal("--help")
    assert result.exit_code == 0
    for name, listed in COMMANDS.items():
        assert f"  {name:<8}  {listed.purpose}" in result.stdout


def test_a_command_that_is_not_there_is_a_usage_error(terminal):
    result = terminal("chekc")
    assert result.exit_code == 2
    assert "No such command 'chekc'" in result.stderr


# ---- starting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["check"], ["check", "--help"], ["explain", "m.json"]])
def test_it_starts_without_what_it_does_not_need(tmp_path, args):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.yaml").write_text(RULES)
    (tmp_path / "m.json").write_text(json.dumps({"type": "lead.created", "data": {"Id": 1, "Phone": "+15551234567"}}))
    program = (
        "import sys; from integration.cli import main\n"
        f"sys.argv[1:] = {args!r}\n"
        "try: main()\n"
        "finally: print('LOADED', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **SECRETS}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stderr.split("LOADED")[1].split()) == set()


def test_help_needs_none_of_the_commands(tmp_path):
    program = (
        "import sys; from integration.cli import main\ntry: main()\nfinally: print(len(sys.modules), *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = {name for name in done.stdout.split() if name.startswith("integration")}
    assert loaded == {"integration", "integration.cli"}


# ---- beside a running server --------------------------------------------------------------------


def test_an_order_to_ring_again_reaches_a_running_server(desk, office, centre):
    lead = office.lead(UNCLEAR)
    office.ledger.close()
    env = {**desk.env, **SECRETS, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "integration", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=desk.folder, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert any("event=server.started" in line for line in server.stdout)
            assert desk("resolve", str(lead), "--ring-again", "--yes").exit_code == 0
            assert any(f"event=call.placed lead={lead} attempt=2" in line for line in server.stdout)
        finally:
            server.send_signal(signal.SIGTERM)
            if server.stdout is not None:
                server.stdout.read()  # to the end: it writes while it stops
    assert [seen.to for seen in centre.calls()] == ["+15551230001"]
    assert json.loads(desk("leads", "--json").stdout)[0]["state"] == "called"


# ---- ending -------------------------------------------------------------------------------------


def test_python_m_integration_is_the_same_program(tmp_path):
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ringback, version 0.1.0\n")


def test_settings_mistakes_end_serve_with_2_and_a_line_each(tmp_path):
    done = run("serve", cwd=tmp_path, env={"RINGBACK_DAILING": "off", "PORT": "http"})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert all(line.startswith("Error: ") for line in lines)
    assert "RINGBACK_DAILING: there is no such setting; did you mean RINGBACK_DIALING?" in lines[0]
    assert any("CXONE_CLIENT_SECRET: not set" in line for line in lines)
    assert done.stdout == ""


SERVING = {"CXONE_BASE_URL": "http://127.0.0.1:9", "CXONE_CLIENT_ID": "a", "CXONE_CLIENT_SECRET": "b", **SECRETS}


def test_broken_rules_end_serve_with_2_and_their_places(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES.replace("call: dach", "call: dahc"))
    done = run("serve", cwd=tmp_path, env={**SERVING, "RINGBACK_RULES": "rules.yaml"})
    assert done.returncode == 2
    assert done.stderr.startswith("Error: rules.yaml:18:11: no account is called `dahc`")
    assert not (tmp_path / "ringback.db").exists()


def test_a_port_in_use_ends_serve_with_2_and_a_sentence(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, cwd=tmp_path, env={**SERVING, "RINGBACK_RULES": "rules.yaml"})
    assert done.returncode == 2
    assert "in use already" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7"])
def test_a_host_that_is_not_ours_ends_serve_with_2(tmp_path, host):
    (tmp_path / "rules.yaml").write_text(RULES)
    done = run("serve", "--host", host, "--port", "0", cwd=tmp_path, env={**SERVING, "RINGBACK_RULES": "rules.yaml"})
    assert done.returncode == 2
    assert "--host" in done.stderr


def test_serve_runs_until_it_is_told_to_stop_and_a_second_one_is_refused(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    env = {**SERVING, "RINGBACK_RULES": "rules.yaml", "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "integration", "serve", "--port", "0"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert any("event=server.started" in line for line in server.stdout)
            second = run("serve", "--port", "0", cwd=tmp_path, env=env)
            assert second.returncode == 2
            assert second.stderr.startswith("Error: another `ringback serve` works ")
            assert "ringback.db; stop it first" in second.stderr
            assert run("leads", cwd=tmp_path, env=env).stdout == "No leads yet.\n"
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.stdout.read() if server.stdout else ""
    assert server.returncode == 0
    assert "event=server.stopped" in rest


def test_a_fault_of_ours_is_one_line_and_70(tmp_path):
    program = (
        "import sys, integration.cli.judging as judging\n"
        "def broken(*a, **k): raise RuntimeError('a secret text')\n"
        "judging.judge = broken\n"
        "from integration.cli import main; main()"
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.yaml").write_text(RULES)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    for level, lines in (("info", 1), ("debug", 5)):
        done = subprocess.run(
            [sys.executable, "-c", program, "check"],
            cwd=tmp_path,
            env={**env, "LOG_LEVEL": level},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 70
        assert "Error: a fault of Ringback itself: RuntimeError at <string>:2 in broken" in done.stderr
        assert ("a secret text" in done.stderr) is (level == "debug")
        assert (len(done.stderr.splitlines()) == 1) is (lines == 1)


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.yaml").write_text("rules: [" + "{}, " * 50_000 + "]\n")
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-m", "integration", "check"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        _, told = process.communicate(timeout=60)
    assert told == ""
    assert process.returncode == 1


def test_ctrl_c_is_quiet(terminal, monkeypatch, desk):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("integration.cli.judging.judge", stopped)
    result = desk("check")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_an_old_terminal_gets_question_marks_and_no_fault(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.yaml").write_text(RULES)
    done = run("check", cwd=tmp_path, env={"PYTHONIOENCODING": "latin-1", **SECRETS})
    assert done.returncode == 0
    assert "? config/rules.yaml: 3 rules" in done.stdout


def test_there_is_no_colour_but_on_a_terminal(desk, centre, office, secrets):
    desk.env |= secrets
    assert "\x1b" not in desk("doctor").stdout
