"""Settings and rules become wired services. The only place that names a vendor.

Most of what is wired here is slow to load (requests 0.1 s, the log 0.1 s, Flask, the rules), and most commands
need a part of it only. So each function loads its own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from integration.model import LeadId
from integration.settings import (
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

WEB_DRAIN_SECONDS = 1.0
WORK_DRAIN_SECONDS = 8.5  # longer than a dial's own deadline of 8 s


def read_environment() -> dict[str, str]:
    """The process's environment with `NAME_FILE` resolved. Raises SettingsError."""
    return Environment(os.environ).values()


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


def read_rules(path: Path, environ: Mapping[str, str]) -> Rules:
    """The rules for serving: every `${VAR}` must be set. Raises RulesError, SettingsError."""
    from integration.rules import load_rules  # noqa: PLC0415

    return load_rules(read_rules_file(path), name=str(path), environ=environ)


def read_rules_to_look(path: Path, environ: Mapping[str, str]) -> Rules:
    """The rules for looking at accounts and decisions, never for serving: a `${VAR}` that is not set is
    replaced by a harmless text. Raises RulesError, SettingsError."""
    from integration.rules import load_rules  # noqa: PLC0415

    text = read_rules_file(path)
    named = {name.decode() for name in re.findall(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", text)}
    return load_rules(text, name=str(path), environ=environ, declared=named)


def read_rules_file(path: Path) -> bytes:
    """The file's bytes. Raises SettingsError with words for people."""
    limit = 2_000_000
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
    sources = [name for name, source in rules.sources.items() if source.scheme.signs_url]
    if sources and settings.public_url is None:
        mistake = (
            f"PUBLIC_URL: not set, and the signature of source {', '.join(sources)} covers the address under "
            "which the CRM reaches this server; set it to that address, or every webhook is refused"
        )
        raise SettingsError([mistake])


def make_database(settings: Settings) -> bool:
    """Create or migrate the database. Whether there was anything to do. Raises LedgerUnavailable."""
    from integration.ledger import migrate  # noqa: PLC0415

    if settings.database_url.startswith("sqlite:"):
        open_ledger(settings).close()  # says in words what is wrong with a file
    return migrate(settings.database_url)


def open_ledger(settings: Settings, *, exclusive: bool = False) -> Ledger:
    """The ledger. Raises LedgerUnavailable, LedgerInUse."""
    from integration.ledger import Ledger, open_database  # noqa: PLC0415

    return Ledger(open_database(settings.database_url, exclusive=exclusive))


def open_serving_ledger(settings: Settings) -> Ledger:
    """The ledger for `serve`: on SQLite this process is the only one, and may migrate it itself."""
    from integration.ledger import is_migrated, migrate  # noqa: PLC0415
    from integration.log import get_log  # noqa: PLC0415

    ledger = open_ledger(settings, exclusive=True)
    if ledger.database.dialect == "sqlite" and not is_migrated(ledger.database):
        migrate(settings.database_url)
        get_log().info("database.migrated")
    return ledger


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
    from integration.log import get_log, set_up_logging  # noqa: PLC0415
    from integration.pipeline import Pipeline, Services  # noqa: PLC0415
    from integration.runner.local import LocalRunner  # noqa: PLC0415
    from integration.web import WebServices, create_app  # noqa: PLC0415
    from integration.web.server import WebServer  # noqa: PLC0415

    environ = read_environment()
    settings, dialer_settings = read_all_settings(environ)
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    set_up_logging(settings.log_level)
    rules = read_rules(settings.rules_path, environ)
    need_public_url(settings, rules)
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
    pipeline = Pipeline(services)
    runner = LocalRunner(
        pipeline,
        ledger,
        worker_id=worker_id,
        alone=ledger.database.dialect == "sqlite",
        dial_threads=settings.dial_threads,
        writeback_threads=settings.writeback_threads,
    )

    def wake(lead_id: LeadId) -> None:
        runner.wake(lead_id)

    app = create_app(WebServices(ledger, rules, wake, settings.public_url))
    server = WebServer(app, settings.host, settings.port, settings.web_threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    runner.start()
    _say_what_runs(settings, rules, server.port)
    threading.Thread(target=_warm_up, args=(services.dialer, rules), name="warm-up", daemon=True).start()
    server.run()
    get_log().info("server.stopping")
    server.drain(WEB_DRAIN_SECONDS)
    finished = runner.stop(WORK_DRAIN_SECONDS)
    ledger.close()
    get_log().info("server.stopped", everything_finished=finished)
    return 0


def _warm_up(dialer: Dialer, rules: Rules) -> None:
    """Fetch token and accounts before the first lead needs them, and say at once what is wrong with them.

    Nothing depends on it: a lead that comes earlier, or after a failure here, asks for itself.
    """
    from integration.dialers import DialerError  # noqa: PLC0415
    from integration.log import get_log  # noqa: PLC0415
    from integration.rules import run_tests  # noqa: PLC0415

    for account in rules.accounts.values():
        try:
            dialer.prepare(account)
        except DialerError as error:
            get_log().error("dialer.not_ready", account=account.key, detail=error.outcome.message)
    run_tests(rules)  # loads what reading the first phone number would otherwise wait for


def _say_what_runs(settings: Settings, rules: Rules, port: int) -> None:
    from integration.log import get_log  # noqa: PLC0415

    for warning in settings.warnings:
        get_log().warning("settings.warning", detail=warning)
    for mistake in rules.warnings:
        get_log().warning(
            "rules.warning", place=f"{rules.name}:{mistake.line}:{mistake.column}", detail=mistake.message
        )
    dialing = "everybody" if settings.dialing.everybody else f"only {len(settings.dialing.only)} listed numbers"
    get_log().info(
        "server.started",
        port=port,
        sources=",".join(rules.sources),
        rules=rules.digest,
        dialing="nobody" if settings.dialing.is_off else dialing,
    )
