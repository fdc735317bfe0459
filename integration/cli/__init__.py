"""The command line: which commands there are, and how each of them may end.

A command's module is loaded when that command is run: `ringback --help` loads none of them, and `ringback check`
neither Flask nor a database driver nor requests. Exit codes:

    0    done; what was asked about is fine
    1    it ran, and the answer is no: a failed check, trouble found, a call not placed
    2    it could not begin: a wrong argument or setting, rules that cannot be read, no database
    3    `call` alone: nobody knows whether the phone rang
    70   a fault of Ringback itself
    130  stopped by Ctrl-C
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, NoReturn, cast

import click

from integration import __version__

SOFTWARE_FAULT = 70
STOPPED_BY_KEYBOARD = 130


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as `ringback --help` lists it: the module that has it, and the first sentence of its help."""

    module: str
    purpose: str


COMMANDS: Mapping[str, Listed] = {
    "demo": Listed("serving", "Watch leads being called: everything rehearsed on this machine."),
    "serve": Listed("serving", "Receive webhooks, place calls and tell the CRM, in one process."),
    "web": Listed("serving", "Receive webhooks only, and leave the calls to workers."),
    "worker": Listed("serving", "Place calls and tell the CRM, without a web door."),
    "release": Listed("serving", "Make the database and the rules ready for a new version."),
    "check": Listed("judging", "Judge the rules file and run its tests."),
    "explain": Listed("judging", "Say which rule takes a message, and when; without side effects."),
    "hours": Listed("hours", "Show the calling hours in force, with the stricter US states."),
    "accounts": Listed("calling", "List the dialer's phone accounts, and which of them the rules use."),
    "call": Listed("calling", "Ring one number now, outside of any lead."),
    "send": Listed("sending", "Fire correctly signed webhooks at a running server."),
    "leads": Listed("looking", "List leads, the newest first."),
    "show": Listed("looking", "Tell the whole story of one lead."),
    "evidence": Listed("proving", "Say what was checked before each step of a lead."),
    "resolve": Listed("resolving", "Settle a lead that needs a person."),
    "pause": Listed("braking", "Let no new call begin, on any machine."),
    "resume": Listed("braking", "List what waits for a person, and let it go."),
    "dnc": Listed("do_not_call", "Look after the list of numbers that are never called."),
    "doctor": Listed("examining", "Ask the outside world, and say what does not work."),
}


class Commands(click.Group):
    """The group of all commands, and the border where known errors become sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        module = importlib.import_module(f"integration.cli.{listed.module}")
        return cast("click.Command", getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.purpose) for name, listed in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(STOPPED_BY_KEYBOARD) from None
        except Exception as error:
            known = _sentences(error)
            if known is None:
                raise
            from integration.cli.terminal import CannotBegin  # noqa: PLC0415 - only where something is wrong

            raise CannotBegin(*known) from None


def _sentences(error: Exception) -> list[str] | None:
    """What an error of the environment says to people; None for any other."""
    from integration.settings import SettingsError  # noqa: PLC0415

    if isinstance(error, SettingsError):
        return error.mistakes
    # These stand in rooms that most commands do without.
    from integration.ledger import LedgerInUse, LedgerUnavailable  # noqa: PLC0415
    from integration.rules import RulesError  # noqa: PLC0415

    match error:
        case RulesError():
            return [*str(error).splitlines(), error.closing]
        case LedgerInUse():
            return [str(error)]
        case LedgerUnavailable():
            # What says of itself that it is the database's needs no introduction.
            told = str(error)
            return [told if told.startswith("the database ") else f"the database cannot be used: {told}"]
    return None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="`ringback COMMAND --help` has an example. All commands: docs/commands.md",
)
@click.version_option(__version__, prog_name="ringback")
@click.pass_context
def ringback(ctx: click.Context) -> None:
    """Telephones a new lead seconds after the CRM creates it, and tells the CRM so.

    \b
    Example:
      ringback demo
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name in another script must not end a list on an old terminal
    try:
        ringback.main(prog_name="ringback")
    except Exception as error:  # noqa: BLE001 - the last resort
        _tell_of_fault(error)
    sys.exit(SOFTWARE_FAULT)


def _tell_of_fault(error: Exception) -> None:
    from integration.log import describe_error  # noqa: PLC0415 - 0.1 s that only this case needs

    if os.environ.get("LOG_LEVEL", "").strip().lower() == "debug":
        traceback.print_exception(error)
    click.echo(
        f"Error: a fault of Ringback itself: {describe_error(error)}. Please report this line; "
        "LOG_LEVEL=debug shows more.",
        err=True,
    )
