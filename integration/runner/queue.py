"""The runner of one machine among many: the local runner's threads, woken by jobs of Procrastinate.

A job names a lead that may be moved. It is put to the dial threads and ends with the lead's step, so that no worker
fetches more than it can work on, and a dead one leaves no more behind than that. Procrastinate runs in a thread with an
event loop of its own. When that fails, because the database is away, it is begun anew; meanwhile, and whenever a
job went missing, the local runner's look for overdue leads finds what is to be done.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import procrastinate

from integration.ledger import LeadWork
from integration.ledger.wakeups import QUEUE, TASK, make_fetching_pool
from integration.log import describe_error, get_log
from integration.model import LeadId
from integration.runner.local import LocalRunner

# Procrastinate announces new jobs, but says nothing when the time of one has come: for those it looks.
LOOK_EVERY_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 1.0  # before it is begun anew
LONGEST_PAUSE_SECONDS = 10.0
CLOSE_SECONDS = 0.5


class QueueRunner:
    """A local runner that is woken from outside. `at_once` is how many leads may be under way."""

    def __init__(self, local: LocalRunner, database_url: str, *, at_once: int) -> None:
        self._local = local
        self._url = database_url
        self._at_once = at_once
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def wake(self, lead: LeadWork) -> None:
        self._local.wake(lead)

    def start(self) -> None:
        """Raises LedgerUnavailable."""
        self._local.start()
        self._thread.start()

    def halt(self) -> None:
        is_first = not self._stopping.is_set()
        self._stopping.set()
        if is_first and self._loop is not None and self._fetching is not None:  # a second one would cut the end short
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._fetching.cancel)
        self._local.halt()

    def stop(self, within_seconds: float) -> bool:
        """The jobs end with their leads' steps. Those that do not are given back by other workers."""
        until = time.monotonic() + within_seconds
        self.halt()
        finished = self._local.stop(within_seconds)
        if self._thread.is_alive():
            self._thread.join(max(CLOSE_SECONDS, until - time.monotonic()))
        return finished

    # ---- in the queue's own thread ------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._fetch())

    async def _fetch(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_complain)
        self._fetching = asyncio.current_task()
        pause = SHORTEST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began_at = time.monotonic()
            try:
                await self._fetch_until_trouble()
                why = None
            except Exception as error:  # noqa: BLE001 - the thread that brings work must not die
                why = describe_error(error)
            if time.monotonic() - began_at > LONGEST_PAUSE_SECONDS:
                pause = SHORTEST_PAUSE_SECONDS
            get_log().error("queue.unavailable", error=why, next_look_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _fetch_until_trouble(self) -> None:
        """One life of a Procrastinate worker. It ends with an error, or quietly after one of its helpers failed."""
        pool = make_fetching_pool(self._url)
        app = procrastinate.App(connector=procrastinate.PsycopgConnector())
        app.task(name=TASK, queue=QUEUE, retry=procrastinate.RetryStrategy(retry_exceptions=[_NotDone]))(self._wake)
        try:
            await pool.open(wait=True, timeout=pool.timeout)
            async with app.open_async(pool):
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=self._at_once,
                    fetch_job_polling_interval=LOOK_EVERY_SECONDS,
                    install_signal_handlers=False,
                    delete_jobs="always",
                )
        finally:
            await pool.close(timeout=CLOSE_SECONDS)

    async def _wake(self, lead_id: int, **_: object) -> None:
        """Have one lead moved, and wait for it. What else a newer release wrote into the job is ignored."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[bool] = loop.create_future()

        def ended(done: bool) -> None:
            with contextlib.suppress(RuntimeError):  # the loop did not wait for it
                loop.call_soon_threadsafe(_say, over, done)

        self._local.work(LeadId(lead_id), ended)
        if not await over:
            raise _NotDone


class _NotDone(Exception):
    """We stop before this lead's turn came, or the database was away: its job goes back for whoever is next."""


def _say(over: asyncio.Future[bool], done: bool) -> None:
    if not over.done():
        over.set_result(done)


def _complain(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What ends badly in a corner of the loop, such as the mark that a job is done: that only repeats a wake-up."""
    error = context.get("exception")
    get_log().warning("queue.complained", error=describe_error(error) if isinstance(error, BaseException) else None)
