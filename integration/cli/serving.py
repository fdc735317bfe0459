"""`serve`, `web`, `worker`, `release` and `demo`: what a machine runs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from integration import bootstrap
from integration.cli.terminal import CannotBegin, Whole, clean, say

if TYPE_CHECKING:
    from integration.cli.judging import Verdict

_NO_PORT = {
    errno.EADDRINUSE: "it is in use already; stop what uses it, or choose another with --port",
    errno.EACCES: "this user may not listen there; choose one above 1023 with --port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another with --host",
}


_HOST = click.option(
    "--host", metavar="ADDRESS", help="Listen here. Default: every interface when PORT is set, else 127.0.0.1."
)
_PORT = click.option(
    "--port", type=Whole(0, 65535), help="Listen on this port, 0 for a free one. Default: PORT, else 8000."
)


@click.command()
@_HOST
@_PORT
def serve(host: str | None, port: int | None) -> None:
    """Receive webhooks, place calls and tell the CRM, in one process.

    Runs until SIGTERM or Ctrl-C, and ends calls under way first. Over SQLite it makes and migrates its database
    itself; over PostgreSQL `ringback release` does that, and while the server does not answer webhooks get 503. Exit
    code 2 when it cannot begin: settings, rules, database or port, each mistake a line.

    \b
    Example:
      ringback serve
      ringback serve --port 9000
    """
    from integration import serving  # noqa: PLC0415 - `release` and `demo` do without

    raise click.exceptions.Exit(_listen(serving.serve, host, port))


@click.command()
@_HOST
@_PORT
def web(host: str | None, port: int | None) -> None:
    """Receive webhooks only, and leave the calls to workers. For PostgreSQL.

    Any number of these may run, beside any number of `ringback worker` and `ringback serve`, on one database that
    `ringback release` has made. It needs no CXONE_ settings. `/readyz` says when no worker runs. Ends as `serve` does.

    \b
    Example:
      ringback web
      ringback web --port 9000
    """
    from integration import serving  # noqa: PLC0415

    raise click.exceptions.Exit(_listen(serving.serve_web, host, port))


@click.command()
def worker() -> None:
    """Place calls and tell the CRM, without a web door. For PostgreSQL.

    Takes the leads that `ringback web` has kept. Any number of workers may run on one database. Each ends calls under
    way first when it is told to stop; what a killed one left is taken over within a minute, and what it may have
    rung is shown as `unknown`. Exit code 2 when it cannot begin: settings, rules or database.

    \b
    Example:
      ringback worker
    """
    from integration import serving  # noqa: PLC0415

    raise click.exceptions.Exit(serving.work())


def _listen(run: Callable[..., int], host: str | None, port: int | None) -> int:
    if host is not None:
        _demand_address(host)
    try:
        return run(host=host, port=port)
    except OSError as error:
        if error.errno not in _NO_PORT:
            raise
        raise CannotBegin(f"the port cannot be listened on: {_NO_PORT[error.errno]}") from None


def _demand_address(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CannotBegin(f"--host: {host!r} is no address; use one of this machine, such as 127.0.0.1") from None


@click.command()
def release() -> None:
    """Make the database and the rules ready for a new version.

    Judges settings and rules as `serve` will need them, every variable set and every test passed, and only then
    creates or migrates the database. The dialer is asked as well; what it says is a warning only. For the release
    phase of a PaaS: an exit code other than 0 keeps the old version running. 1 when nothing but the rules is wrong, 2
    for settings and database.

    \b
    Example:
      ringback release
    """
    # These load the rules and requests; `serve` loads its own.
    from integration.cli.access import connect  # noqa: PLC0415
    from integration.cli.examining import Level, examine_dialer, say_finding  # noqa: PLC0415
    from integration.cli.judging import Verdict  # noqa: PLC0415
    from integration.rules import RulesError, run_tests  # noqa: PLC0415

    try:
        settings, dialer_settings, rules = bootstrap.read_for_serving()
    except RulesError as error:
        _say_verdict(Verdict(error.name, None, error.mistakes, ()))
        raise click.exceptions.Exit(1) from None
    verdict = Verdict(rules.name, rules, (), run_tests(rules))
    _say_verdict(verdict)
    if not verdict.is_good:
        raise click.exceptions.Exit(1)
    migrated = bootstrap.make_database(settings)
    say("✓ the database was migrated" if migrated else "✓ the database needs no migration")
    for finding in examine_dialer(connect(dialer_settings), dialer_settings.base_url, rules):
        if finding.level is Level.OK:
            say_finding(finding)
        else:
            say(f"warning: {finding.about}: {finding.says}")


def _say_verdict(verdict: Verdict) -> None:
    for line in (*verdict.lines(), verdict.summary()):
        click.echo(clean(line))


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and print how to send another lead.")
def demo(keep: bool) -> None:
    """Watch leads being called: everything rehearsed on this machine.

    Starts a contact centre that rings nobody, a small CRM and the real server, sends signed webhooks, and shows what
    became of each. Needs no account, no settings and no database. Exit code 0 only when every lead came out right.

    \b
    Example:
      ringback demo
      ringback demo --keep
    """
    from integration.demo import run_demo  # noqa: PLC0415 - nothing else needs it

    raise click.exceptions.Exit(run_demo(keep=keep))
