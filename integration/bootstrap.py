"""Settings and rules become wired services. The only place that names a vendor.

Most of what is wired here is slow to load (requests 0.1 s, the log 0.1 s, Flask, the rules), and most commands
need a part of it only. So each function loads its own.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from integration.settings import (
    SETTINGS,
    DialerSettings,
    Environment,
    Settings,
    SettingsError,
    read_dialer_settings,
    read_settings,
)

if TYPE_CHECKING:
    from integration.dialers import Dialer
    from integration.http import Client
    from integration.ledger import Ledger
    from integration.rules import Rules
    from integration.runner import Runner

WEB_DRAIN_SECONDS = 1.0
EXIT_SECONDS = 9.0  # in all: a dial that was begun before the stop ends within its own 8 s
START_AGAIN_SECONDS = 1.0  # between two attempts to begin while the database is away
DEFAULT_RULES = Path(SETTINGS["RINGBACK_RULES"][0])
_VARIABLE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_environment() -> dict[str, str]:
    """The process's environment with `NAME_FILE` resolved. Raises SettingsError."""
    return Environment(os.environ).values()


def read_environment_to_judge() -> tuple[dict[str, str], list[str]]:
    """The same, and what is wrong, also with the variables that the rules name. For whoever goes on all the same."""
    environment = Environment(os.environ)
    try:
        raw = read_rules_file(rules_path(environment.read()[0]))
    except SettingsError:  # told by whoever needs the rules
        raw = b""
    return environment.read(_variables(raw))


def read_environment_for_rules() -> dict[str, str]:
    """The same for whoever needs no settings but the place of the rules. Raises SettingsError when that is unclear."""
    environ, mistakes = Environment(os.environ).read()
    unclear = [mistake for mistake in mistakes if mistake.startswith("RINGBACK_RULES")]
    if unclear:
        raise SettingsError(unclear)
    return environ


def read_all_settings(environ: Mapping[str, str]) -> tuple[Settings, DialerSettings]:
    """Settings and the dialer's. Raises SettingsError with the mistakes of both."""
    mistakes: list[str] = []
    try:
        settings = read_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    try:
        dialer_settings = read_dialer_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    if mistakes:
        raise SettingsError(mistakes)
    return settings, dialer_settings


def read_for_serving() -> tuple[Settings, DialerSettings, Rules]:
    """All that serving needs: settings, the dialer's, and rules with every `${VAR}` set.

    Raises SettingsError with the mistakes of all three, or RulesError when nothing but the rules is wrong.
    """
    from integration.rules import RulesError, load_rules  # noqa: PLC0415

    environ, mistakes = read_environment_to_judge()
    unread = {mistake.partition(":")[0].removesuffix("_FILE") for mistake in mistakes}
    path = rules_path(environ)
    rules, rules_error, told = None, None, []
    try:
        rules = load_rules(read_rules_file(path), name=str(path), environ=environ)
    except SettingsError as error:
        told = error.mistakes
    except RulesError as error:
        rules_error = error
        told = _not_about(unread, str(error).splitlines())
        told += [f"{path} cannot be used; `ringback check` says the same"] if told else []
    settings, dialer_settings = None, None
    try:
        settings, dialer_settings = read_all_settings(environ)
    except SettingsError as error:
        mistakes += _not_about(unread, error.mistakes)
    if rules is not None:
        public_url = environ.get("PUBLIC_URL", "").strip() or None
        mistakes += _not_about(unread, _missing_public_url(rules, public_url))
    if rules_error is not None and not mistakes:
        raise rules_error
    if settings is None or dialer_settings is None or rules is None or mistakes:
        raise SettingsError([*mistakes, *told])
    return settings, dialer_settings, rules


def _not_about(names: Collection[str], mistakes: Iterable[str]) -> list[str]:
    """Without those that follow from a variable whose own mistake has been told already."""
    return [
        mistake
        for mistake in mistakes
        if mistake.partition(":")[0] not in names and not any(f"${{{name}}}" in mistake for name in names)
    ]


def _variables(rules: bytes) -> set[str]:
    """The variables that a rules file names as `${NAME}`, also one that cannot be loaded."""
    return {name.decode() for name in _VARIABLE.findall(rules)}


def rules_path(environ: Mapping[str, str]) -> Path:
    """The rules file that the settings name."""
    return Path(environ.get("RINGBACK_RULES", "").strip() or DEFAULT_RULES)


def read_rules_to_look(path: Path, environ: Mapping[str, str]) -> Rules:
    """The rules for looking at accounts and decisions, never for serving: a `${VAR}` that is not set is
    replaced by a harmless text. Raises RulesError, SettingsError."""
    from integration.rules import load_rules  # noqa: PLC0415

    raw = read_rules_file(path)
    return load_rules(raw, name=str(path), environ=environ, declared=_variables(raw))


def read_rules_file(path: Path) -> bytes:
    """The file's bytes. Raises SettingsError with words for people."""
    limit = 2_000_000
    if path == DEFAULT_RULES and not path.exists():
        missing = f"{path} is not in this folder ({Path.cwd()}); go to the clone or set RINGBACK_RULES"
        raise SettingsError([missing])
    try:
        if path.exists() and not path.is_file():
            raise SettingsError([f"RINGBACK_RULES: {path} is no ordinary file"])
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        problem = (error.strerror or "cannot be read").lower()
        raise SettingsError([f"RINGBACK_RULES: {path}: {problem}; give the path of your rules file"]) from None


def need_public_url(settings: Settings, rules: Rules) -> None:
    """Raises SettingsError when a source's signature covers the public address and nobody has told it."""
    mistakes = _missing_public_url(rules, settings.public_url)
    if mistakes:
        raise SettingsError(mistakes)


def _missing_public_url(rules: Rules, public_url: str | None) -> list[str]:
    sources = [name for name, source in rules.sources.items() if source.scheme.signs_url]
    if not sources or public_url is not None:
        return []
    mistake = (
        f"PUBLIC_URL: not set, and the signature of source {', '.join(sources)} covers the address under "
        "which the CRM reaches this server; set it to that address, or every webhook is refused"
    )
    return [mistake]


# ---- the database -------------------------------------------------------------------------------


def make_database(settings: Settings) -> bool:
    """Create or migrate the database. Whether there was anything to do. Raises LedgerUnavailable."""
    from integration.ledger import migrate  # noqa: PLC0415

    open_ledger(settings).close()  # says in words what is wrong with a file or a server
    return migrate(settings.database_url)


def open_ledger(settings: Settings, *, exclusive: bool = False, ask_first: bool = True) -> Ledger:
    """The ledger. With `ask_first` a PostgreSQL that is away raises here. Raises LedgerUnavailable, LedgerInUse."""
    from integration.ledger import Ledger, open_database  # noqa: PLC0415

    return Ledger(open_database(settings.database_url, exclusive=exclusive, ask_first=ask_first))


def open_serving_ledger(settings: Settings) -> Ledger:
    """The ledger for `serve`: on SQLite this process is the only one, and may migrate it itself.

    A PostgreSQL that does not answer is no reason not to begin. One that says no (a wrong password, not migrated)
    is. Raises LedgerUnavailable, LedgerInUse.
    """
    from integration.ledger import LedgerUnavailable, migrate  # noqa: PLC0415
    from integration.log import get_log  # noqa: PLC0415

    try:
        ledger = open_ledger(settings, exclusive=True)
    except LedgerUnavailable as error:
        if error.lasts or settings.database_url.startswith("sqlite:"):
            raise
        get_log().error("database.unavailable", detail=str(error))
        return open_ledger(settings, ask_first=False)
    try:
        if ledger.database.dialect == "sqlite" and not ledger.is_migrated():
            migrate(settings.database_url)
            get_log().info("database.migrated")
        demand_migrated(ledger)
    except LedgerUnavailable as error:
        if error.lasts or ledger.database.dialect == "sqlite":
            ledger.close()
            raise
    return ledger


def demand_migrated(ledger: Ledger) -> None:
    """Raises LedgerUnavailable when the database does not answer or is not migrated."""
    from integration.ledger import LedgerUnavailable  # noqa: PLC0415

    if not ledger.is_migrated():
        raise LedgerUnavailable("the database is not migrated; run `ringback release`", lasts=True)


# ---- serving ------------------------------------------------------------------------------------


def make_dialer(settings: DialerSettings, client: Client) -> Dialer:
    """The dialer that these settings ask for."""
    from integration.dialers.personal_connection import PersonalConnection  # noqa: PLC0415 - the one vendor

    return PersonalConnection(
        base_url=settings.base_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        token_encoding=settings.token_encoding,
        client_auth=settings.client_auth,
        client=client,
    )


def serve(*, host: str | None = None, port: int | None = None) -> int:
    """Web and worker threads in this one process, until SIGTERM or SIGINT. The exit code.

    `host` and `port` replace what the settings say. Raises SettingsError, RulesError, LedgerUnavailable,
    and OSError when the port cannot be had, before anything has begun.
    """
    from integration.http import Client  # noqa: PLC0415
    from integration.log import flush_log, get_log, set_up_logging  # noqa: PLC0415
    from integration.pipeline import Pipeline, Services  # noqa: PLC0415
    from integration.runner.local import LocalRunner  # noqa: PLC0415
    from integration.web import WebServices, create_app  # noqa: PLC0415
    from integration.web.server import WebServer  # noqa: PLC0415

    settings, dialer_settings, rules = read_for_serving()
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    set_up_logging(settings.log_level)
    ledger = open_serving_ledger(settings)
    client = Client()
    worker_id = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:12]}"
    services = Services(
        ledger=ledger,
        rules=rules,
        dialer=make_dialer(dialer_settings, client),
        client=client,
        dialing=settings.dialing,
        cooldown_seconds=settings.cooldown_seconds,
        worker_id=worker_id,
    )
    pipeline = Pipeline(services, leases_ahead=True)
    runner = LocalRunner(
        pipeline,
        ledger,
        worker_id=worker_id,
        alone=ledger.database.dialect == "sqlite",
        dial_threads=settings.dial_threads,
        writeback_threads=settings.writeback_threads,
    )
    app = create_app(WebServices(ledger, rules, runner.wake, settings.public_url))
    server = WebServer(app, settings.host, settings.port, settings.web_threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    stopping = threading.Event()
    _start(runner, ledger, stopping)
    _say_what_runs(settings, rules, server.port)
    threading.Thread(target=_warm_up, args=(services.dialer, rules), name="warm-up", daemon=True).start()
    server.run()
    get_log().info("server.stopping")
    stopping.set()
    until = time.monotonic() + EXIT_SECONDS
    runner.halt()
    server.drain(WEB_DRAIN_SECONDS)
    finished = runner.stop(until - time.monotonic())
    ledger.close()
    get_log().info("server.stopped", everything_finished=finished)
    flush_log()
    return 0


def _start(runner: Runner, ledger: Ledger, stopping: threading.Event) -> None:
    """Start the workers: now, or as soon as a PostgreSQL that is away answers.

    The web doors are open meanwhile: they answer 503, and 200 as soon as they can store again. What they store is
    found in the ledger by the workers. Raises LedgerUnavailable for SQLite, which does not go away.
    """
    from integration.ledger import LedgerUnavailable  # noqa: PLC0415

    try:
        runner.start()
    except LedgerUnavailable:
        if ledger.database.dialect == "sqlite":
            raise
        threading.Thread(target=_start_later, args=(runner, ledger, stopping), name="starter", daemon=True).start()


def _start_later(runner: Runner, ledger: Ledger, stopping: threading.Event) -> None:
    from integration.ledger import LedgerUnavailable  # noqa: PLC0415
    from integration.log import describe_error, get_log  # noqa: PLC0415

    while not stopping.wait(START_AGAIN_SECONDS):
        try:
            demand_migrated(ledger)
            if not stopping.is_set():
                runner.start()
        except LedgerUnavailable as error:
            get_log().error("database.unavailable", detail=str(error), next_look_seconds=START_AGAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - webhooks are taken meanwhile: somebody must go on trying
            get_log().error("worker.not_started", error=describe_error(error))
        else:
            get_log().info("worker.started")
            return


def _warm_up(dialer: Dialer, rules: Rules) -> None:
    """Fetch token and accounts before the first lead needs them, and say at once what is wrong with them.

    Nothing depends on it: a lead that comes earlier, or after a failure here, asks for itself.
    """
    from integration.dialers import DialerError  # noqa: PLC0415
    from integration.log import describe_error, get_log  # noqa: PLC0415
    from integration.rules import run_tests  # noqa: PLC0415

    for account in rules.accounts.values():
        try:
            dialer.prepare(account)
        except DialerError as error:
            get_log().error("dialer.not_ready", account=account.key, detail=error.outcome.message)
        except Exception as error:  # noqa: BLE001 - a thread of its own: nobody else would say what happened
            get_log().error("dialer.not_ready", account=account.key, error=describe_error(error))
    run_tests(rules)  # loads what reading the first phone number would otherwise wait for
    gc.collect()
    gc.freeze()  # what stays for good is not looked through again: each time that held up every thread for 35 ms


def _say_what_runs(settings: Settings, rules: Rules, port: int) -> None:
    from integration.log import get_log  # noqa: PLC0415

    for warning in settings.warnings:
        get_log().warning("settings.warning", detail=warning)
    for mistake in rules.warnings:
        get_log().warning(
            "rules.warning", place=f"{rules.name}:{mistake.line}:{mistake.column}", detail=mistake.message
        )
    listed = len(settings.dialing.only)
    only = f"only {listed} listed {'number' if listed == 1 else 'numbers'}"
    dialing = "everybody" if settings.dialing.everybody else only
    get_log().info(
        "server.started",
        port=port,
        sources=",".join(rules.sources),
        rules=rules.digest,
        dialing="nobody" if settings.dialing.is_off else dialing,
    )
