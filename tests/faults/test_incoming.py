"""What is made of an answer's bytes, in whatever pieces they come; and that it is what the standard library makes of
them, where they can be read in one way."""

from __future__ import annotations

import gc
import http.client
import io
import string
import weakref
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from integration.http.incoming import BODY_LIMIT, HEAD_LIMIT, LINES_LIMIT, WHOLE_LIMIT, Incoming

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\n{}"
NOT_HTTP, BROKEN_OFF = "not HTTP", "broken off"
Pieces = list[bytes]


def read(pieces: Pieces) -> Incoming | str:
    """As a connection does it; after the last piece it ends."""
    incoming = Incoming()
    try:
        for piece in pieces:
            if not incoming.wants_more:
                return incoming
            incoming.take(piece)
        if incoming.wants_more:
            incoming.end(cut=False)
    except httptools.HttpParserError:
        return incoming if incoming.status else NOT_HTTP
    except http.client.RemoteDisconnected:
        return BROKEN_OFF
    finally:
        incoming.let_go()
    return incoming


def seen(outcome: Incoming | str) -> tuple[object, ...] | str:
    if isinstance(outcome, str):
        return outcome
    return outcome.status, bytes(outcome.body), outcome.complete, outcome.fit


def split(raw: bytes) -> list[Pieces]:
    """Whole, one byte at a time, and in two pieces at each place."""
    return [[raw], [raw[n : n + 1] for n in range(len(raw))], *([raw[:n], raw[n:]] for n in range(1, len(raw)))]


# Status, body, whether it is complete, whether its connection is fit for another request.
READ: list[tuple[str, bytes, tuple[int, bytes, bool, bool]]] = [
    ("a length", WHOLE, (200, b"{}", True, True)),
    ("a length of nothing", OK + b"Content-Length: 0\r\n\r\n", (200, b"", True, True)),
    ("no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", (200, b"", True, True)),
    ("a reason that is not ASCII", b"HTTP/1.1 200 G\xfct\r\nContent-Length: 0\r\n\r\n", (200, b"", True, True)),
    ("names in small letters", OK + b"content-length:2\r\n\r\n{}", (200, b"{}", True, True)),
    ("chunks", CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", (200, b"abc0123456789", True, True)),
    ("chunks with extensions", CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n', (200, b"abc", True, True)),
    ("chunks with a trailer", CHUNKED + b"3\r\nabc\r\n0\r\nX: 1\r\nStatus: 500\r\n\r\n", (200, b"abc", True, True)),
    ("chunks with room in their sizes", CHUNKED + b"3   \r\nabc\r\n0   \r\n\r\n", (200, b"abc", True, True)),
    ("no chunk", CHUNKED + b"0\r\n\r\n", (200, b"", True, True)),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True, True)),
    ("204 with a length of nothing", b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", (204, b"", True, True)),
    ("204 with a length", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", (204, b"", True, False)),
    ("204 with chunks", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", (204, b"", True, False)),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b"", True, True)),
    ("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, b"", True, False)),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True, False)),
    (
        "HTTP/1.0 that keeps",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}",
        (200, b"{}", True, True),
    ),
    (
        "HTTP/1.0 that keeps and closes",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\n{}",
        (200, b"{}", True, False),
    ),
    ("no length", OK + b"\r\nuntil the end\r\n", (200, b"until the end\r\n", True, False)),
    ("HTTP/1.0 without a length", b"HTTP/1.0 200 OK\r\n\r\n{}", (200, b"{}", True, False)),
    ("nothing without a length", OK + b"Connection: close\r\n\r\n", (200, b"", True, False)),
    ("close", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True, False)),
    ("close among others", OK + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True, False)),
    ("close that is odd", OK + b"Connection: close;q=1\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True, False)),
    (
        "close in a second line",
        OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        (200, b"{}", True, False),
    ),
    ("a coding without chunks", OK + b"Transfer-Encoding: gzip\r\n\r\nabc", (200, b"abc", True, False)),
    (
        "chunks over another coding",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        (200, b"abc", True, False),
    ),
    (
        "chunks, said twice",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        (200, b"abc", True, False),
    ),
    ("chunks below another coding", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nabc", (200, b"abc", False, False)),
    ("100 before it", b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, (200, b"{}", True, True)),
    ("100 with a length", b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n" + WHOLE, (200, b"{}", True, True)),
    ("100 that closes", b"HTTP/1.1 100 Go\r\nConnection: close\r\n\r\n" + WHOLE, (200, b"{}", True, True)),
    ("100 of HTTP/1.0", b"HTTP/1.0 100 Go\r\n\r\n" + WHOLE, (200, b"{}", True, True)),
    (
        "103 and 100",
        b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 Go\r\n\r\n" + WHOLE,
        (200, b"{}", True, True),
    ),
    ("an interim one that nobody knows", b"HTTP/1.1 199 Hm\r\n\r\n" + WHOLE, (200, b"{}", True, True)),
    ("101", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", (101, b"", True, False)),
    (
        "101 to something",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        (101, b"", True, False),
    ),
    (
        "an offer to upgrade",
        OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
        (200, b"{}", True, True),
    ),
    ("lines that end with LF", WHOLE.replace(b"\r\n", b"\n"), (200, b"{}", True, False)),
    ("one line that does", OK + b"X: 1\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True, False)),
    ("100 that does", b"HTTP/1.1 100 Go\n\n" + WHOLE, (200, b"{}", True, False)),
    ("LF and no length", b"HTTP/1.0 200 OK\nX: 1\n\nabc\n", (200, b"abc\n", True, False)),
    ("999", b"HTTP/1.1 999 Hm\r\nContent-Length: 2\r\n\r\n{}", (999, b"{}", True, True)),
    # What breaks off, or ceases to be HTTP, when the status is known already.
    ("a body that breaks off", OK + b"Content-Length: 9\r\n\r\nfirst", (200, b"first", False, False)),
    ("no byte of a body", OK + b"Content-Length: 9\r\n\r\n", (200, b"", False, False)),
    ("chunks that break off", CHUNKED + b"3\r\nabc\r\n", (200, b"abc", False, False)),
    ("chunks without the last line end", CHUNKED + b"3\r\nabc\r\n0\r\n", (200, b"abc", False, False)),
    ("a chunk without a size", CHUNKED + b"3\r\nabc\r\nzz\r\n", (200, b"abc", False, False)),
    ("a chunk of negative size", CHUNKED + b"-5\r\nabc\r\n", (200, b"", False, False)),
    ("a chunk longer than said", CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", (200, b"abc", False, False)),
    ("a length among the trailers", CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", (200, b"", False, False)),
]

NO_ANSWER: list[tuple[str, bytes, str]] = [
    ("nothing", b"", BROKEN_OFF),
    ("half a version", b"HTT", BROKEN_OFF),
    ("half a status", b"HTTP/1.1 20", BROKEN_OFF),
    ("half a status line", b"HTTP/1.1 200 O", BROKEN_OFF),
    ("half a name", OK + b"Retry-Af", BROKEN_OFF),
    ("half a value", OK + b"Retry-After: 1", BROKEN_OFF),
    ("no empty line", OK + b"Content-Length: 0\r\n", BROKEN_OFF),
    ("half an empty line", OK + b"Content-Length: 0\r\n\r", BROKEN_OFF),
    ("LF that breaks off", b"HTTP/1.1 200 OK\nContent-Length: 0\n", BROKEN_OFF),
    ("nothing after 100", b"HTTP/1.1 100 Continue\r\n\r\n", BROKEN_OFF),
    ("something else", b"220 mail.example ESMTP\r\n", NOT_HTTP),
    ("an empty line", b"\r\n\r\n", NOT_HTTP),
    ("an empty line first", b"\r\n" + WHOLE, NOT_HTTP),
    ("HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", NOT_HTTP),
    ("HTTP/2 in letters", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("HTTP/0.9", b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("another protocol", b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("a request", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", NOT_HTTP),
    ("status 0", b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n" + WHOLE, NOT_HTTP),
    ("status 99", b"HTTP/1.1 99 No\r\n\r\n", NOT_HTTP),
    ("status 1000", b"HTTP/1.1 1000 No\r\n\r\n", NOT_HTTP),
    ("a status of letters", b"HTTP/1.1 OK OK\r\n\r\n", NOT_HTTP),
    ("two lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", NOT_HTTP),
    ("one length, said twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("two lengths in a line", OK + b"Content-Length: 2, 3\r\n\r\n{}", NOT_HTTP),
    ("a length beside chunks", OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NOT_HTTP),
    ("chunks beside a length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", NOT_HTTP),
    ("a length with a sign", OK + b"Content-Length: +2\r\n\r\n{}", NOT_HTTP),
    ("a negative length", OK + b"Content-Length: -2\r\n\r\n{}", NOT_HTTP),
    ("a length of letters", OK + b"Content-Length: 0x2\r\n\r\n{}", NOT_HTTP),
    ("an empty length", OK + b"Content-Length:\r\n\r\n{}", NOT_HTTP),
    ("a length beyond belief", OK + b"Content-Length: 99999999999999999999\r\n\r\n{}", NOT_HTTP),
    ("a line without a colon", OK + b"no header\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("a line without a name", OK + b": x\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("a space before the colon", OK + b"Content-Length : 2\r\n\r\n{}", NOT_HTTP),
    ("a folded line", OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("CR alone", OK + b"X: a\rContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("NUL in a value", OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}", NOT_HTTP),
    ("an interim answer with a body", b"HTTP/1.1 199 Hm\r\nContent-Length: 2\r\n\r\n{}" + WHOLE, NOT_HTTP),
]


@pytest.mark.parametrize(("raw", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(raw: bytes, expected: tuple[object, ...]) -> None:
    assert {seen(read(pieces)) for pieces in split(raw)} == {expected}


@pytest.mark.parametrize(("raw", "expected"), [row[1:] for row in NO_ANSWER], ids=[row[0] for row in NO_ANSWER])
def test_what_is_no_answer_is_none_in_whatever_pieces_it_comes(raw: bytes, expected: str) -> None:
    assert {seen(read(pieces)) for pieces in split(raw)} == {expected}


BEHIND = [b"\n", b"\r\n", b"\x00", b"{}", b"HTTP/1.1", WHOLE, b"HTTP/1.1 500 No\r\nX: 1\r\n\r\nnot mine"]
ENDS_BY_ITSELF = [row for row in READ if (row[2][2] and b"ength" in row[1]) or row[2][3] or row[2][0] == 101]


@pytest.mark.parametrize("raw", [row[1] for row in ENDS_BY_ITSELF], ids=[row[0] for row in ENDS_BY_ITSELF])
@pytest.mark.parametrize("behind", BEHIND)
def test_what_comes_behind_an_answer_changes_nothing_but_that_its_connection_is_not_kept(
    raw: bytes, behind: bytes
) -> None:
    alone, followed = read([raw]), read([raw + behind])
    assert isinstance(alone, Incoming)
    assert isinstance(followed, Incoming)
    assert seen(followed) == (alone.status, bytes(alone.body), True, False)
    assert followed.headers == alone.headers


def test_the_first_line_of_a_name_counts_and_outer_blanks_do_not() -> None:
    raw = OK + b"Retry-After:  7\t \r\nX: \xe9\r\nEmpty:\r\nretry-after: 9\r\nContent-Length: 0\r\n\r\n"
    for pieces in split(raw):
        outcome = read(pieces)
        assert isinstance(outcome, Incoming)
        headers = CaseInsensitiveDict(outcome.headers)
        assert dict(headers.lower_items()) == {"retry-after": "7", "x": "é", "empty": "", "content-length": "0"}


def test_nothing_of_an_interim_answer_or_a_trailer_is_taken_for_the_answers_own() -> None:
    interim = b"HTTP/1.1 103 Hints\r\nRetry-After: 7\r\nConnection: close\r\n\r\n"
    outcome = read([interim + CHUNKED + b"0\r\nRetry-After: 9\r\n\r\n"])
    assert isinstance(outcome, Incoming)
    assert outcome.headers == [("Transfer-Encoding", "chunked")]


def test_a_body_that_the_deadline_cut_off_is_not_complete() -> None:
    incoming = Incoming()
    incoming.take(OK + b"\r\nso far")
    incoming.end(cut=True)
    assert seen(incoming) == (200, b"so far", False, False)


# ---- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 16384])
def test_a_head_has_limits(size: int) -> None:
    def pieces(raw: bytes) -> Pieces:
        return [raw[n : n + size] for n in range(0, len(raw), size)]

    end = b"Content-Length: 0\r\n\r\n"
    assert seen(read(pieces(OK + b"X: 1\r\n" * (LINES_LIMIT - 1) + end))) == (200, b"", True, True)
    assert seen(read(pieces(OK + b"X: 1\r\n" * LINES_LIMIT + end))) == NOT_HTTP
    assert seen(read(pieces(OK + b"X: 1\r\n" * (LINES_LIMIT + 2)))) == NOT_HTTP
    assert seen(read(pieces(OK + b"X: " + b"y" * (HEAD_LIMIT - 100) + b"\r\n" + end))) == (200, b"", True, True)
    assert seen(read(pieces(OK + b"X: " + b"y" * HEAD_LIMIT))) == NOT_HTTP
    assert seen(read(pieces(b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_LIMIT // 25 + 1)))) == NOT_HTTP
    assert seen(read(pieces(b"HTTP/1.1 200 " + b"y" * HEAD_LIMIT))) == NOT_HTTP


@pytest.mark.parametrize("head", [OK + b"Content-Length: %d\r\n\r\n", OK + b"\r\n"])
def test_a_body_has_a_limit(head: bytes) -> None:
    def sent(size: int) -> Pieces:
        return [head % size if b"%d" in head else head, *[b"x" * 8191] * 8, b"x" * (size - 8 * 8191)]

    exact, beyond = read(sent(BODY_LIMIT)), read(sent(BODY_LIMIT + 1))
    assert isinstance(exact, Incoming)
    assert isinstance(beyond, Incoming)
    assert (len(exact.body), exact.complete) == (BODY_LIMIT, True)
    assert (beyond.complete, beyond.fit) == (False, False)


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"X" * 100])
def test_what_is_no_body_has_a_limit_too(endless: bytes) -> None:
    incoming = Incoming()
    incoming.take(CHUNKED + b"1\r\nx\r\n0\r\n")
    took = 0
    while incoming.wants_more:
        incoming.take(endless)
        took += len(endless)
    assert WHOLE_LIMIT - 100 < took < WHOLE_LIMIT + 100
    assert seen(incoming) == (200, b"x", False, False)


def test_an_answer_that_was_read_leaves_nothing_to_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        incoming = read([WHOLE])
        assert isinstance(incoming, Incoming)
        gone = weakref.ref(incoming)
        del incoming
        assert gone() is None
    finally:
        gc.enable()


# ---- beside the standard library ---------------------------------------------------------------

TOKEN = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20)
VISIBLE = "".join(map(chr, [*range(0x21, 0x7F), *range(0xA1, 0x100)]))
VALUE = st.lists(st.text(VISIBLE, max_size=20), max_size=4).map(" ".join).map(str.strip)
FRAMING = {"content-length", "transfer-encoding", "connection", "proxy-connection", "upgrade"}
LINES = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in FRAMING), VALUE), max_size=12)


class _Socket:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


def by_the_library(raw: bytes) -> tuple[object, ...]:
    answer = http.client.HTTPResponse(_Socket(raw), method="POST")  # type: ignore[arg-type]
    answer.begin()
    headers: Any = CaseInsensitiveDict(answer.headers)  # type: ignore[arg-type]
    return answer.status, dict(headers.lower_items()), answer.read()


@settings(max_examples=500, deadline=None)
@given(
    version=st.sampled_from([b"1.0", b"1.1"]),
    status=st.integers(200, 599),
    reason=st.text(VISIBLE + " ", max_size=20),
    lines=LINES,
    body=st.binary(max_size=200),
    framing=st.sampled_from(["length", "chunks", "close"]),
    size=st.integers(1, 300),
)
def test_a_well_formed_answer_is_read_as_the_standard_library_reads_it(  # noqa: PLR0917 - named by `given`
    version: bytes, status: int, reason: str, lines: list[tuple[str, str]], body: bytes, framing: str, size: int
) -> None:
    if status in {204, 304}:
        framing, body = "close", b""
    head = [b"HTTP/%s %d %s" % (version, status, reason.encode("latin-1"))]
    head += [f"{name}: {value}".encode("latin-1") for name, value in lines]
    if framing == "length":
        head.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        head.append(b"Transfer-Encoding: chunked")
        chunks = [body[n : n + size] for n in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    raw = b"\r\n".join([*head, b"", body])
    outcome = read([raw[n : n + size] for n in range(0, len(raw), size)])
    assert isinstance(outcome, Incoming)
    headers = dict(CaseInsensitiveDict(outcome.headers).lower_items())
    assert (outcome.status, headers, bytes(outcome.body)) == by_the_library(raw)
    assert outcome.complete
    assert outcome.fit == ((framing != "close" or status in {204, 304}) and version == b"1.1")


EDITS = st.lists(
    st.tuples(
        st.integers(0, 200),
        st.integers(0, 6),  # bytes that are taken out there
        st.one_of(
            st.sampled_from(
                [b"", b"\r\n", b"\n", b"\r", b" ", b":", b",", b"0", b"5", b"\x00", b"\xff", b"close", b"chunked"]
            ),
            st.sampled_from(
                [b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", OK, b"3\r\nabc\r\n", b"0\r\n\r\n"]
            ),
            st.binary(max_size=3),
        ),
    ),
    max_size=3,
)


@settings(max_examples=500, deadline=None)
@given(row=st.sampled_from([*READ, *NO_ANSWER]), edits=EDITS, cut=st.integers(0, 200))
def test_also_a_damaged_answer_is_the_same_in_whatever_pieces_it_comes(
    row: tuple[str, bytes, object], edits: list[tuple[int, int, bytes]], cut: int
) -> None:
    raw = row[1]
    for at, gone, new in edits:
        raw = raw[:at] + new + raw[at + gone :]
    outcomes = [
        seen(read(pieces)) for pieces in ([raw], [raw[n : n + 1] for n in range(len(raw))], [raw[:cut], raw[cut:]])
    ]
    # Whether something is behind its end shows only in the piece that holds the end.
    assert len({outcome[:3] for outcome in outcomes}) == 1
