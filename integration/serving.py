"""The processes that run: `serve` is everything in one; `web` keeps webhooks and `worker` moves leads, on PostgreSQL.

Each begins with all that can be wrong, and ends within one budget of time after SIGTERM or SIGINT. What it works with
is loaded by its own function: a web process loads neither requests nor Procrastinate, a worker no Flask.
"""

from __future__ import annotations

import gc
import queue
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from integration.bootstrap import (
    demand_migrated,
    make_dialer,
    open_serving_ledger,
    read_for_serving,
    read_for_web,
)
from integration.settings import DialerSettings, Settings, SettingsError

if TYPE_CHECKING:
    from integration.dialers import Dialer
    from integration.ledger import Ledger
    from integration.rules import Rules
    from integration.runner import Runner
    from integration.runner.local import LocalRunner
    from integration.web.server import WebServer

WEB_DRAIN_SECONDS = 1.0
EXIT_SECONDS = 9.0  # in all: a dial that was begun before the stop ends within its own 8 s
START_AGAIN_SECONDS = 1.0  # between two attempts to begin while the database is away
# Connections to PostgreSQL. A small plan of a PaaS has 20 in all; one web and one worker take at most 14 of them:
# the worker's queue has 3 more (`ledger.wakeups`). `serve` takes the ledger's default of 8.
WEB_CONNECTIONS = 5
WORKER_CONNECTIONS = 6


# ---- the three processes --------------------------------------------------------------------------


def serve(*, host: str | None = None, port: int | None = None) -> int:
    """Web and worker threads in this one process, until SIGTERM or SIGINT. The exit code.

    `host` and `port` replace what the settings say. Raises SettingsError, RulesError, LedgerUnavailable,
    and OSError when the port cannot be had, before anything has begun.
    """
    from integration.log import set_up_logging  # noqa: PLC0415

    settings, dialer_settings, rules = read_for_serving()
    settings = _listening(settings, host, port)
    set_up_logging(settings.log_level)
    ledger = open_serving_ledger(settings, works_itself=True)
    dialer, runner = _make_worker(settings, dialer_settings, rules, ledger)
    server = _make_server(settings, rules, ledger, wake=runner)
    stopping = threading.Event()
    _start(runner, ledger, stopping)
    _say_what_runs("server.started", settings, rules, port=server.port, dials=True)
    threading.Thread(target=_warm_up, args=(dialer, rules), name="warm-up", daemon=True).start()
    server.run()
    return _end(ledger, server=server, runner=runner, stopping=stopping)


def serve_web(*, host: str | None = None, port: int | None = None) -> int:
    """Keep webhooks, and leave the leads to workers, until SIGTERM or SIGINT. The exit code.

    Raises as `serve` does, and SettingsError on SQLite.
    """
    from integration.log import set_up_logging  # noqa: PLC0415

    settings, rules = read_for_web()
    _demand_postgres(settings, "web")
    settings = _listening(settings, host, port)
    set_up_logging(settings.log_level)
    ledger = open_serving_ledger(settings, pool_size=WEB_CONNECTIONS)
    server = _make_server(settings, rules, ledger)
    _say_what_runs("server.started", settings, rules, port=server.port)
    server.run()
    return _end(ledger, server=server)


def work() -> int:
    """Move the leads that web processes have kept, until SIGTERM or SIGINT. The exit code.

    Raises SettingsError, also on SQLite, RulesError and LedgerUnavailable.
    """
    from integration.log import set_up_logging  # noqa: PLC0415
    from integration.runner.queue import QueueRunner  # noqa: PLC0415

    settings, dialer_settings, rules = read_for_serving()
    _demand_postgres(settings, "worker")
    asked_to_stop: queue.SimpleQueue[None] = queue.SimpleQueue()  # which a signal may fill at any moment
    _on_signals(lambda: asked_to_stop.put(None))
    set_up_logging(settings.log_level)
    ledger = open_serving_ledger(settings, pool_size=WORKER_CONNECTIONS)
    dialer, local = _make_worker(settings, dialer_settings, rules, ledger, is_woken=True)
    runner = QueueRunner(local, settings.database_url, at_once=settings.dial_threads)
    stopping = threading.Event()
    _start(runner, ledger, stopping)
    _say_what_runs("worker.started", settings, rules, dials=True)
    threading.Thread(target=_warm_up, args=(dialer, rules), name="warm-up", daemon=True).start()
    asked_to_stop.get()
    return _end(ledger, runner=runner, stopping=stopping)


def _demand_postgres(settings: Settings, command: str) -> None:
    if settings.database_url.startswith("sqlite:"):
        mistake = (
            f"DATABASE_URL: `ringback {command}` is for several processes on one PostgreSQL database, and this is "
            "SQLite; run `ringback serve`, which does all in one process, or set DATABASE_URL to postgres://..."
        )
        raise SettingsError([mistake])


def _listening(settings: Settings, host: str | None, port: int | None) -> Settings:
    return replace(settings, host=host or settings.host, port=settings.port if port is None else port)


# ---- their parts ----------------------------------------------------------------------------------


def _make_worker(
    settings: Settings, dialer_settings: DialerSettings, rules: Rules, ledger: Ledger, *, is_woken: bool = False
) -> tuple[Dialer, LocalRunner]:
    from integration.http import Client  # noqa: PLC0415
    from integration.pipeline import Pipeline, Services  # noqa: PLC0415
    from integration.runner.local import LocalRunner  # noqa: PLC0415

    client = Client()
    dialer = make_dialer(dialer_settings, client)
    worker_id = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:12]}"
    services = Services(
        ledger=ledger,
        rules=rules,
        dialer=dialer,
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
        is_woken=is_woken,
    )
    return dialer, runner


def _make_server(settings: Settings, rules: Rules, ledger: Ledger, *, wake: Runner | None = None) -> WebServer:
    """The web doors, listening from now on and stopped by a signal. Without a runner others move the leads."""
    from integration.web import WebServices, create_app  # noqa: PLC0415
    from integration.web.server import WebServer  # noqa: PLC0415

    woken = _nobody if wake is None else wake.wake
    app = create_app(WebServices(ledger, rules, woken, settings.public_url, others_work=wake is None))
    doors = [source.path for source in rules.sources.values()]
    server = WebServer(app, settings.host, settings.port, settings.web_threads, doors=doors)
    _on_signals(server.stop)
    return server


def _nobody(_: object) -> None:
    """The job that was kept with the lead wakes whoever is to move it."""


def _on_signals(stop: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _end(
    ledger: Ledger,
    *,
    server: WebServer | None = None,
    runner: Runner | None = None,
    stopping: threading.Event | None = None,
) -> int:
    """Begin nothing new, finish what is under way as long as there is time, and say how it came out."""
    from integration.log import get_log  # noqa: PLC0415

    name = "worker" if server is None else "server"
    get_log().info(f"{name}.stopping")
    until = time.monotonic() + EXIT_SECONDS
    if stopping is not None:
        stopping.set()
    if runner is not None:
        runner.halt()
    if server is not None:
        server.drain(WEB_DRAIN_SECONDS)
    finished = runner is None or runner.stop(until - time.monotonic())
    ledger.close()
    get_log().info(f"{name}.stopped", everything_finished=finished)
    for number in (signal.SIGTERM, signal.SIGINT):  # else one that comes while the interpreter ends takes the exit code
        signal.signal(number, signal.SIG_IGN)
    return 0


def _start(runner: Runner, ledger: Ledger, stopping: threading.Event) -> None:
    """Start the workers: now, or as soon as a PostgreSQL that is away answers.

    The web doors are open meanwhile: they answer 503, and 200 as soon as they can store again. What they store is
    found in the ledger by the workers. Raises LedgerUnavailable for SQLite, which does not go away.
    """
    from integration.ledger import LedgerUnavailable  # noqa: PLC0415

    try:
        runner.start()
        _look_at_the_list(ledger)
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
                _look_at_the_list(ledger)
        except LedgerUnavailable as error:
            get_log().error("database.unavailable", detail=str(error), next_look_seconds=START_AGAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - webhooks are taken meanwhile: somebody must go on trying
            get_log().error("worker.not_started", error=describe_error(error))
        else:
            get_log().info("worker.started")
            return


def _look_at_the_list(ledger: Ledger) -> None:
    """Say at once when nobody will be rung because the do-not-call list cannot be read."""
    from integration.log import get_log  # noqa: PLC0415

    problem = ledger.do_not_call.why_unreadable()
    if problem is not None:
        get_log().error("do_not_call.unreadable", detail=f"{problem}; until then nobody is rung")


def _warm_up(dialer: Dialer, rules: Rules) -> None:
    """Fetch token and accounts before the first lead needs them, and say at once what is wrong with them.

    Nothing depends on it: a lead that comes earlier, or after a failure here, asks for itself.
    """
    from integration.dialers import DialerError  # noqa: PLC0415
    from integration.house import read_tables  # noqa: PLC0415
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
    if rules.house.hours is not None:
        read_tables()
    gc.collect()
    gc.freeze()  # what stays for good is not looked through again: each time that held up every thread for 35 ms


def _say_what_runs(
    event: str, settings: Settings, rules: Rules, *, port: int | None = None, dials: bool = False
) -> None:
    from integration.log import get_log  # noqa: PLC0415

    for warning in settings.warnings:
        get_log().warning("settings.warning", detail=warning)
    for mistake in (*rules.advice, *rules.warnings):
        get_log().warning(
            "rules.warning", place=f"{rules.name}:{mistake.line}:{mistake.column}", detail=mistake.message
        )
    get_log().info(
        event,
        port=port,
        sources=",".join(rules.sources),
        rules=rules.digest,
        dialing=_whom(settings) if dials else None,
    )


def _whom(settings: Settings) -> str:
    if settings.dialing.is_off:
        return "nobody"
    listed = len(settings.dialing.only)
    return (
        "everybody" if settings.dialing.everybody else f"only {listed} listed {'number' if listed == 1 else 'numbers'}"
    )
