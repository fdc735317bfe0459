"""The production server: waitress, made strict, with a deadline on each request's arrival and an orderly end.

Waitress reads whole requests in one loop before a thread sees them, so a slow sender holds no thread. What it
lacks is added here: a request that has not arrived within REQUEST_SECONDS is cut off however steadily it drips;
connections that only wait make room when there are many, and bodies in arrival when they hold too much memory;
what could be read in two ways is refused; every answer that is not the application's is constant text; and a
stop answers what has arrived before the sockets close. Refusals and GET /healthz are answered by the loop
itself: they need no web thread, so a database that holds all of these leaves them alone.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections import deque
from collections.abc import Collection
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, InternalServerError

from integration.crew import NO_SOURCE, Crew, Manners, Step
from integration.web.app import PLAIN_HEADERS, RETRY_AFTER_SECONDS, constant_answer
from integration.web.heads import what_is_wrong
from integration.web.health import ALIVE
from integration.web.hooks import BODY_LIMIT

REQUEST_SECONDS = 10.0  # a request must have arrived whole by then
IDLE_SECONDS = 60.0  # a kept connection without a request is closed after that
LINGER_SECONDS = 2.0  # after the last answer, for the sender to take it before the connection is closed
KEPT_SECONDS = 0.4  # at the end, for a kept connection to send what it is sending
HEADER_LIMIT = 16 * 1024
CONNECTION_LIMIT = 800  # below the 1,024 files that a process may open on many systems; half of them are a crowd
OTHER_FILES = 100  # of the database, of calls and of write-backs
CROWDED_SECONDS = 1.0  # but none before it has waited so long
TURNS = Manners(at_once=2, longest_busy_seconds=0.01, flood=4, courtesy_share=5, rests_up_to=100)
BODY_BUDGET = 64 * 1024 * 1024  # bytes that all bodies together may hold before a web thread has them


class WebServer:
    """Serves an application from the calling thread until `stop`.

    `doors` are the paths that take turns; all the others have one turn together.
    """

    def __init__(
        self,
        app: Flask,
        host: str,
        port: int,
        threads: int,
        *,
        doors: Collection[str] = (),
        request_seconds: float = REQUEST_SECONDS,
        body_budget: int = BODY_BUDGET,
    ) -> None:
        connections = _connections_that_fit()
        self._crowded = connections // 2  # from so many on, the longest waiting go first
        settings = Adjustments(
            host=host,
            port=port,
            threads=threads,
            ident=None,
            connection_limit=connections,
            backlog=1024,
            channel_timeout=int(IDLE_SECONDS),
            cleanup_interval=1,
            max_request_header_size=HEADER_LIMIT,
            max_request_body_size=BODY_LIMIT + 1,
            inbuf_overflow=2 * BODY_LIMIT,  # never a file for a body: files run out before memory does
            asyncore_use_poll=True,
            log_socket_errors=False,
            expose_tracebacks=False,
        )
        self._dispatcher = _Dispatcher(threads, frozenset(doors))
        self._map: dict[int, Any] = {}
        self._server = _Server(app, self._map, dispatcher=self._dispatcher, adj=settings)
        self._server.body_budget = body_budget
        self._stopping = False
        self._request_seconds = request_seconds
        self._look_seconds = min(0.25, request_seconds / 4)
        self._looked_at = time.monotonic()

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 had been asked for."""
        return int(self._server.effective_port)

    def run(self) -> None:
        """Serve until `stop` is called."""
        while not self._stopping:
            self._turn(self._look_seconds if self._server.active_channels else 1.0)

    def stop(self) -> None:
        """End `run` soon. Safe to call from a signal handler, and more than once."""
        self._stopping = True
        with contextlib.suppress(OSError):  # a second signal while everything is closing
            self._server.pull_trigger()

    def drain(self, within_seconds: float) -> None:
        """Take what has already come in, answer it, and close everything."""
        until = time.monotonic() + within_seconds
        self._dispatcher.hurry()
        while _has_news(self._server) and time.monotonic() < until:  # the kernel's queue, one by one
            self._turn(0.0)
        self._server.accepting = False
        self._server.del_channel(self._map)
        self._server.socket.close()
        # Not before: whoever is told so connects anew, and the kernel would reset that.
        self._server.last_answers = True
        self._answer_the_kept(until)
        self._dispatcher.shutdown(timeout=max(0.1, until - time.monotonic()))
        for channel in self._channels():
            channel.flush_last()
        wasyncore.close_all(self._map, ignore_all=True)

    def _answer_the_kept(self, until: float) -> None:
        """Answer what is under way, and once more each kept connection that speaks up within a moment.

        Its sender may be writing already: it gets an answer that ends the connection, and not a broken pipe.
        """
        busy_at = time.monotonic()
        while self._channels() and time.monotonic() < until and time.monotonic() - busy_at < KEPT_SECONDS:
            self._turn(0.02)
            if any(_is_busy(channel) for channel in self._channels()):
                busy_at = time.monotonic()

    def _turn(self, timeout: float) -> None:
        wasyncore.loop(timeout=0.0 if self._server.at_once else timeout, map=self._map, use_poll=True, count=1)
        self._server.read_the_new()
        self._server.make_room()
        self._server.answer_at_once()
        now = time.monotonic()
        if now - self._looked_at >= self._look_seconds:
            self._looked_at = now
            self._cut_off(now)

    def _cut_off(self, now: float) -> None:
        """Close what has been arriving, lingering or (in a crowd) waiting for too long."""
        channels = self._channels()
        for channel in channels:
            if channel.is_overdue(now, self._request_seconds):
                channel.will_close = True
        too_many = len(channels) - self._crowded
        if too_many > 0:
            waiting = sorted((c for c in channels if not c.requests), key=lambda channel: channel.waits_since)
            for channel in waiting[:too_many]:
                if now - channel.waits_since > CROWDED_SECONDS:
                    channel.will_close = True

    def _channels(self) -> list[_Channel]:
        return list(self._server.active_channels.values())


def _connections_that_fit() -> int:
    """Fewer than there are files for: where none is left, nobody is let in and the loop turns without a pause."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fit = CONNECTION_LIMIT if files == resource.RLIM_INFINITY else files - OTHER_FILES
    return max(16, min(CONNECTION_LIMIT, fit))


def _has_news(one: Any) -> bool:
    """Whether something waits to be read or accepted."""
    poll = select.poll()
    try:
        poll.register(one.socket, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False


def _is_busy(channel: _Channel) -> bool:
    if channel.lingers_since is not None:
        return False
    return bool(channel.requests or channel.total_outbufs_len or channel.request is not None or _has_news(channel))


class _Dispatcher:
    """Has requests answered by web threads: those of each door in turn, and few of a flood's at once.

    Stands in the place of the library's `ThreadedTaskDispatcher`, which has them answered as they come.
    """

    def __init__(self, threads: int, doors: frozenset[str]) -> None:
        self._doors = doors
        more = max(1, threads // 5)
        self._crew: Crew[_Channel] = Crew("web", max(1, threads - more), TURNS, _serve, more=more)
        self._crew.start()

    def add_task(self, channel: _Channel) -> None:
        path = channel.requests[0].path
        self._crew.add(channel, path if path in self._doors else NO_SOURCE)

    def hurry(self) -> None:
        self._crew.hurry()

    def shutdown(self, timeout: float) -> None:
        left = self._crew.release()
        self._crew.join(time.monotonic() + timeout)
        for channel in left:
            channel.cancel()


def _serve(channel: _Channel, _: Step) -> bool:
    channel.service()
    return True


class _Parser(HTTPRequestParser):
    """Refuses what two readers could read differently, and what makes the library stumble."""

    path = ""  # the library looks at it even where no request could be read
    body_rcv: Any
    error: Any

    @property
    def asks_for_health(self) -> bool:
        """Whether this whole request is GET or HEAD /healthz."""
        return (
            self.error is None and self.command in ("GET", "HEAD") and self.request_uri.partition("?")[0] == "/healthz"
        )

    def give_up(self, error: Any) -> None:
        """Complete it with this error, and let go of what it holds."""
        self.close()
        self.body_rcv = None
        self.header_plus = b""
        self.body_bytes_received = 0
        self.error = error
        self.completed = True

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        unfinished = not self.headers_finished and not self.completed
        if unfinished and self.header_plus.count(b"\n") != self.header_plus.count(b"\r\n"):
            self._refuse("a bare line feed")
        if self.completed and self.chunked and self.body_rcv.trailer:
            self._refuse("a trailer")
        if self.error is not None:
            self.expect_continue = False  # the library would ask for the body of a refused request
        return consumed

    def _refuse(self, why: str) -> None:
        self.error = BadRequest(why)
        self.completed = True

    def parse_header(self, header_plus: bytes) -> None:
        wrong = what_is_wrong(header_plus)
        if wrong is None:
            try:
                super().parse_header(header_plus)
            except ValueError:  # of urlsplit, for http://[::1/
                wrong = "an address that is none"
            if wrong is None and self.version != "1.1" and "TRANSFER_ENCODING" in self.headers:
                wrong = "chunks in HTTP/1.0"
        if wrong is not None:
            self.error = BadRequest(wrong)
            self.content_length = 0
            self.body_rcv = None  # nothing more is read: `received` completes the request


class _Answer(WSGITask):
    """The application's answer. After a refusal nothing more is read: what follows may be the rest of it."""

    def build_response_header(self) -> bytes:
        if self.channel.server.last_answers or not self.status.startswith("2"):
            self.set_close_on_finish()
        return bytes(super().build_response_header())


class _Alive(_Answer):
    """What the application answers to GET /healthz, without the application."""

    def execute(self) -> None:
        self.complete = True
        self.response_headers += [("Content-Type", "application/json"), *PLAIN_HEADERS.items()]
        self.content_length = len(ALIVE)
        if self.request.command != "HEAD":
            self.write(ALIVE)


def _task(channel: _Channel, request: _Parser) -> _Answer:
    return (_Alive if request.asks_for_health else _Answer)(channel, request)


class _Refusal(ErrorTask):
    """The server's own answer to what never reaches the application: constant, without a word of the request."""

    def execute(self) -> None:
        code = self.request.error.code
        status = code if code < 500 else 503  # what is wrong with the request itself is a 4xx by now
        body = constant_answer(status)
        self.status = f"{status} {self.request.error.reason if status < 500 else 'Service Unavailable'}"
        self.response_headers.append(("Content-Type", "application/json"))
        if status == 503:
            self.response_headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    parser_class = _Parser
    task_class = staticmethod(_task)
    error_task_class = _Refusal
    request: Any
    requests: list[Any]
    will_close: bool
    close_when_flushed: bool

    def __init__(self, *args: Any, **named: Any) -> None:
        self.waits_since = time.monotonic()  # for the rest of a request, or for the next one
        self.lingers_since: float | None = None
        super().__init__(*args, **named)
        self.server.new.append(self)

    def is_overdue(self, now: float, request_seconds: float) -> bool:
        """Whether it has been arriving, or lingering, for too long."""
        if self.lingers_since is not None:
            return now - self.lingers_since > LINGER_SECONDS
        return self.request is not None and now - self.waits_since > request_seconds

    def readable(self) -> bool:
        return self.lingers_since is not None or bool(super().readable())

    def arriving_bytes(self) -> int:
        """What the body in arrival holds by now."""
        return 0 if self.request is None else int(self.request.body_bytes_received)

    def held_bytes(self) -> int:
        """The same, with the whole bodies that wait for a web thread."""
        return self.arriving_bytes() + sum(int(request.body_bytes_received) for request in list(self.requests))

    def received(self, data: bytes) -> bool:
        self.server.arrived_bytes += len(data)
        before = self.request
        taken = bool(super().received(data))
        if self.request is not before:
            self.waits_since = time.monotonic()
        return taken

    def handle_read(self) -> None:
        """The library closes at the end of the input; a request cut short by that is answered first."""
        try:
            data = self.socket.recv(self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if data and self.lingers_since is None:
            self.last_activity = time.time()
            self.received(data)
        elif not data and not (self.lingers_since is None and self.refuse(BadRequest("cut short"))):
            self.handle_close()

    def handle_expt(self) -> None:
        """An urgent byte: it stands among the others (SO_OOBINLINE) and has just been read with them."""

    def refuse(self, error: Any) -> bool:
        """Answer a request that will never be whole. Whether there was one."""
        with self.requests_lock:
            if self.request is None or self.requests:
                return False
            self.request.give_up(error)
            self.requests.append(self.request)
            self.request = None
            self.server.add_task(self)
        return True

    def send(self, data: bytes, do_close: bool = True) -> int:  # noqa: ARG002 - as the library calls it
        """How many bytes the socket took. Where it is broken, the loop closes it, and never a web thread."""
        sock = self.socket
        if sock is None:
            return 0
        try:
            return int(sock.send(data))
        except BlockingIOError:
            return 0
        except OSError:
            self.will_close = True
            return 0

    def handle_write(self) -> None:
        """After the last answer only the sending side is closed: a reset would take the answer with it."""
        if self.close_when_flushed and not self.will_close:
            self._flush_some()
            if not self.total_outbufs_len:
                self.close_when_flushed = False
                self._linger()
        else:
            super().handle_write()

    def _linger(self) -> None:
        self.lingers_since = time.monotonic()
        self.request = None
        if self.socket is not None:  # it is None where the sender's end has just been seen
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()

    def flush_last(self) -> None:
        """Hand the socket what is left to send, before it is closed."""
        if self.connected and self.total_outbufs_len:
            self._flush_some()


class _Server(TcpWSGIServer):
    channel_class = _Channel
    last_answers = False  # each answer from now on is the last one of its connection
    body_budget = BODY_BUDGET
    arrived_bytes = 0  # since the bodies were last counted
    _held_bytes = 0  # by all bodies then

    def __init__(self, *args: Any, **named: Any) -> None:
        self.at_once: deque[_Channel] = deque()  # answered by the loop itself
        self.new: deque[_Channel] = deque()  # accepted a moment ago
        super().__init__(*args, **named)

    def set_socket_options(self, conn: socket.socket) -> None:
        super().set_socket_options(conn)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Else an urgent byte, which nobody reads, wakes the loop again and again without a pause.
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def add_task(self, task: _Channel) -> None:
        """Have a channel's first request answered. Called by the loop and by web threads."""
        task.waits_since = time.monotonic()
        request = task.requests[0]
        if request.error is not None or request.asks_for_health:
            self.at_once.append(task)
        else:
            super().add_task(task)

    def read_the_new(self) -> None:
        """Look at once whether what has connected has also sent: nearly all have, which saves a turn of the loop."""
        while self.new:
            channel = self.new.popleft()
            if channel.connected:
                wasyncore.read(channel)

    def answer_at_once(self) -> None:
        """Answer what needs no web thread; of each connection one request, so that none keeps the loop."""
        for _ in range(len(self.at_once)):
            channel = self.at_once.popleft()
            try:
                channel.service()
            except Exception:  # noqa: BLE001 - a stranger's request: the loop must outlive it
                channel.handle_error()

    def make_room(self) -> None:
        """Refuse bodies in arrival while all bodies hold more than the budget: the longest arriving first.

        A body below an equal share is left alone. A usual webhook is, and so the flood that holds the rest makes
        room. The sender is told to come again.
        """
        if self._held_bytes + self.arrived_bytes <= self.body_budget:
            return
        channels = sorted(self.active_channels.values(), key=lambda channel: channel.waits_since)
        self.arrived_bytes = 0
        self._held_bytes = sum(channel.held_bytes() for channel in channels)
        for channel in channels:
            if self._held_bytes <= self.body_budget:
                break
            held = channel.arriving_bytes()
            if held > self.body_budget // CONNECTION_LIMIT and channel.refuse(InternalServerError("no room")):
                self._held_bytes -= held
