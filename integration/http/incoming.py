"""An answer as it comes in: llhttp reads it, through httptools; what it leaves open is decided here.

llhttp is the reader of Node.js. It refuses what could be read in two ways (two lengths, a length beside a coding, a
folded line). It has no limits, though, does not say where in the bytes an answer has ended, and knows nothing of the
end of a connection.
"""

from __future__ import annotations

import http.client

import httptools

BODY_LIMIT = 64 * 1024
HEAD_LIMIT = 64 * 1024  # of all heads up to the answer's own
LINES_LIMIT = 100  # of one head
WHOLE_LIMIT = 1024 * 1024  # with chunk sizes and trailers, which may be longer than the body


class Incoming:
    """One answer. The `on_` methods are what llhttp calls."""

    def __init__(self) -> None:
        self.status = 0  # until the head is whole
        self.headers: list[tuple[str, str]] = []  # the last line first: in a dict the first one of a name stays
        self.body = bytearray()
        self.complete = False
        self.fit = False  # for another request: the connection on which it came
        self._came = 0
        self._begun = bytearray()  # what came before the head was whole
        self._lines: list[tuple[str, str]] = []  # of the head that is coming in
        self._lenient = False  # about the ends of lines; the connection of such an answer is not kept
        self._parser = self._new_parser()

    @property
    def wants_more(self) -> bool:
        return not self.complete and len(self.body) <= BODY_LIMIT and self._came <= WHOLE_LIMIT

    def take(self, piece: bytes) -> None:
        """What has come. Raises HttpParserError for what is no answer, or no more of one."""
        self._came += len(piece)
        if self.status:
            self._feed(piece)
        else:
            self._take_head(piece)

    def _take_head(self, piece: bytes) -> None:
        self._begun += piece
        if not b"HTTP/".startswith(bytes(self._begun[:5])):  # llhttp passes over empty lines, and speaks RTSP as well
            raise httptools.HttpParserError("something else than an answer")
        try:
            self._feed(piece)
        except httptools.HttpParserError:
            if self.status or self._lenient:
                raise
            self._lenient = True
            self._lines.clear()
            self._parser = self._new_parser()
            self._feed(bytes(self._begun))
        if not self.status and (len(self._begun) > HEAD_LIMIT or len(self._lines) > LINES_LIMIT):
            raise httptools.HttpParserError("a head without end")

    def end(self, *, cut: bool) -> None:
        """Nothing more comes; `cut` where that was our doing."""
        if not self.status:
            raise http.client.RemoteDisconnected("the head of the answer broke off")
        ends_so = not self._said("content-length") and "chunked" not in self._said("transfer-encoding")
        self.complete = ends_so and not cut

    def let_go(self) -> None:
        """Nothing more is taken. The parser holds this object, which would wait for the garbage collector."""
        del self._parser

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_keep_alive=True,  # an interim answer with `Connection: close` is not the last
            lenient_spaces_after_chunk_size=True,  # old servers keep room for the longest
            lenient_optional_cr_before_lf=self._lenient,  # old appliances end their lines so
        )
        return parser

    def _feed(self, piece: bytes) -> None:
        """The last byte goes alone: an answer that is complete without it has something behind it."""
        try:
            self._parser.feed_data(piece[:-1])
            if self.complete:
                self.fit = False
                return
            self._parser.feed_data(piece[-1:])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fit = False
            if not self.complete:
                raise

    def _said(self, name: str) -> str:
        """All that the head says under this name, in small letters."""
        return ",".join([value for each, value in self.headers if each.lower() == name]).lower()

    def _ends_in_one_way(self) -> bool:
        """Whether the server, too, must see the answer's end where llhttp sees it. Else the rest of it could be taken
        for the answer to the next request."""
        coding = self._said("transfer-encoding")
        if self.status in {204, 304}:
            return not coding and self._said("content-length") in {"", "0"}
        # In HTTP/1.0 llhttp lets keep-alive count for more than close.
        return self.status != 101 and coding in {"", "chunked"} and "close" not in self._said("connection")

    # ---- called by llhttp, which stops at what is raised here and says HttpParserCallbackError ----

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else a trailer
            self._lines.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        if self.status:
            return
        status = self._parser.get_status_code()
        if status < 100 or self._parser.get_http_version() not in {"1.0", "1.1"}:
            raise httptools.HttpParserError("no status or version that is known")
        if len(self._lines) > LINES_LIMIT:
            raise httptools.HttpParserError("a head of too many lines")
        if status >= 200 or status == 101:
            self.status = status
            self.headers = self._lines[::-1]

    def on_body(self, body: bytes) -> None:
        if not self.status:
            raise httptools.HttpParserError("a body before the answer")
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        if not self.status:
            self._lines.clear()  # of an interim answer
        elif not self.complete:
            self.complete = len(self.body) <= BODY_LIMIT
            self.fit = (
                self.complete and not self._lenient and self._parser.should_keep_alive() and self._ends_in_one_way()
            )
