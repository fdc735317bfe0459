"""Requests written by hand against the real server, bad ones above all. Row names are those of the catalogue of faults.

Whatever comes, the answer is constant text, nothing of a bad request is kept, and the server goes on.
"""

from __future__ import annotations

import gzip

import pytest

from integration.web.server import HEADER_LIMIT
from tests.web.door import Caller, Door, body_of, request_of, signature_of

MEGABYTE = 1024 * 1024


def _chunked(body: bytes, size: int = 50) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _in_chunks(body: bytes, chunks: bytes | None = None, *extra: str) -> bytes:
    head = request_of(b"", "Transfer-Encoding: chunked", *extra, signature=signature_of(body), length=None)
    return head + (_chunked(body) if chunks is None else chunks)


def _assert_refused(door: Door, data: bytes, status: int, *, then_close: bool = False) -> None:
    answer = door.ask(data, then_close=then_close)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}
    assert answer.headers.get("connection") == "close"
    assert door.kept() == (0, 0)
    assert door.woken == []


def test_a_signed_webhook_is_kept_and_its_lead_is_woken(door: Door) -> None:
    answer = door.ask(request_of(body_of()))
    assert (answer.status, answer.json["status"]) == (200, "accepted")
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert door.kept() == (1, 1)
    assert door.woken == [answer.json["lead"]]


# ---- T1, T2: compressed bodies --------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "GZIP", "x"])
def test_a_compressed_body_is_refused_and_never_inflated(door: Door, coding: str) -> None:
    bomb = gzip.compress(b" " * 50 * MEGABYTE)
    _assert_refused(door, request_of(bomb, f"Content-Encoding: {coding}"), 415)


def test_identity_is_no_compression(door: Door) -> None:
    assert door.ask(request_of(body_of(), "Content-Encoding: identity")).status == 200


# ---- T3 to T5: chunked bodies ---------------------------------------------------------------------


def test_a_chunked_body_is_taken(door: Door) -> None:
    body = body_of(Note="x" * 5000)
    assert door.ask(_in_chunks(body)).json["status"] == "accepted"


def test_a_chunk_may_carry_an_extension(door: Door) -> None:
    body = body_of()
    assert door.ask(_in_chunks(body, b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(body), body))).status == 200


@pytest.mark.parametrize(
    "chunks",
    {
        "a size that is no number": b"xyz\r\nabc\r\n0\r\n\r\n",
        "a negative size": b"-5\r\nabcde\r\n0\r\n\r\n",
        "a size with a sign": b"+5\r\nabcde\r\n0\r\n\r\n",
        "a size with 0x": b"0x5\r\nabcde\r\n0\r\n\r\n",
        "a chunk longer than its size": b"3\r\nabcde\r\n0\r\n\r\n",
        "a broken extension": b"3;=;\r\nabc\r\n0\r\n\r\n",
        "trailers": b"3\r\nabc\r\n0\r\nX-Signature: abc\r\n\r\n",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_broken_chunk_is_refused(door: Door, chunks: tuple[str, bytes]) -> None:
    _assert_refused(door, _in_chunks(b"abc", chunks[1]), 400)


def test_a_chunked_body_over_the_limit_is_refused_and_not_cut(door: Door) -> None:
    _assert_refused(door, _in_chunks(b"x" * 3 * MEGABYTE, _chunked(b"x" * 3 * MEGABYTE, 65536)), 413)


def test_a_chunk_extension_without_end_is_refused(door: Door) -> None:
    _assert_refused(door, _in_chunks(b"", b"5;" + b"x" * 2 * MEGABYTE), 413)


# ---- T6 to T9: lengths ----------------------------------------------------------------------------


def test_a_length_over_the_limit_is_refused_before_the_body_comes(door: Door) -> None:
    _assert_refused(door, request_of(b"", length=str(MEGABYTE + 1)), 413)


def test_a_length_over_the_limit_is_refused_also_where_the_sender_waits_to_be_asked(door: Door) -> None:
    _assert_refused(door, request_of(b"", "Expect: 100-continue", length=str(MEGABYTE + 1)), 413)


def test_the_refusal_reaches_a_sender_that_does_not_stop_sending(door: Door) -> None:
    _assert_refused(door, request_of(b"x" * 3 * MEGABYTE), 413)


def test_a_body_of_exactly_the_limit_is_taken(door: Door) -> None:
    frame = len(body_of(Note=""))
    body = body_of(Note="x" * (MEGABYTE - frame))
    assert len(body) == MEGABYTE
    assert door.ask(request_of(body)).status == 200


def test_a_body_shorter_than_its_length_is_refused_when_the_sender_stops(door: Door) -> None:
    body = body_of()
    _assert_refused(door, request_of(body, length=str(len(body) + 1)), 400, then_close=True)


def test_a_head_without_an_end_is_refused_when_the_sender_stops(door: Door) -> None:
    _assert_refused(door, b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\n", 400, then_close=True)


def test_a_body_longer_than_its_length_is_no_second_request(door: Door) -> None:
    smuggled = request_of(body_of())
    with Caller(door.port) as caller:
        caller.send(request_of(b"abc" + smuggled, signature="0" * 64, length="3", close=False))
        assert caller.answer().status == 401
        assert caller.is_closed()
    assert door.kept() == (0, 0)


@pytest.mark.parametrize("length", ["+7", "-1", "7, 8", "7,7", "0x7", "7 7", "7.0", "", "\u0667", "9" * 5000])
def test_a_length_that_is_no_plain_number_is_refused(door: Door, length: str) -> None:
    head = request_of(b"1234567", length=None, signature="x")
    data = head.replace(b"\r\n\r\n", b"\r\nContent-Length: " + length.encode() + b"\r\n\r\n", 1)
    _assert_refused(door, data, 400)


@pytest.mark.parametrize("second", ["7", "8"])
def test_a_second_length_is_refused(door: Door, second: str) -> None:
    _assert_refused(door, request_of(b"1234567", f"Content-Length: {second}"), 400)


# ---- T10, T11: what two readers could read differently --------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: identity, chunked"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding:"],
    ],
)
def test_an_unusual_transfer_encoding_is_refused(door: Door, lines: list[str]) -> None:
    head = "\r\n".join(["POST /hooks/our-crm HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")
    _assert_refused(door, head + b"3\r\nabc\r\n0\r\n\r\n", 400)


def test_a_transfer_encoding_in_http_1_0_is_refused(door: Door) -> None:
    body = body_of()
    line = "POST /hooks/our-crm HTTP/1.0"
    data = request_of(b"", "Transfer-Encoding: chunked", line=line, signature=signature_of(body), length=None)
    _assert_refused(door, data + _chunked(body), 400)


@pytest.mark.parametrize(
    "data",
    {
        "line feeds alone": b"POST /hooks/our-crm HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
        "one line feed alone": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\nX-A: b\r\nContent-Length: 0\r\n\r\n",
        "a carriage return alone": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\rX-A: b\r\nContent-Length: 0\r\n\r\n",
        "a folded header": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        "a fold before any header": b"POST /hooks/our-crm HTTP/1.1\r\n Host: x\r\n\r\n",
        "a space before the colon": b"POST /hooks/our-crm HTTP/1.1\r\nHost : x\r\nContent-Length: 0\r\n\r\n",
        "a NUL in a header": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\nContent-Length: 0\r\n\r\n",
        "a NUL in a name": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\nX\x00A: b\r\nContent-Length: 0\r\n\r\n",
        "a header without a colon": b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
        "two hosts": b"POST /hooks/our-crm HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
        "a first line of one word": b"POST\r\nHost: x\r\n\r\n",
        "a first line of four words": b"POST /hooks/our-crm /x HTTP/1.1\r\nHost: x\r\n\r\n",
        "a method in small letters": b"post /hooks/our-crm HTTP/1.1\r\nHost: x\r\n\r\n",
        "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_malformed_head_is_refused(door: Door, data: tuple[str, bytes]) -> None:
    answer = door.ask(data[1])
    assert answer.status in {400, 404, 405}
    assert set(answer.json) == {"error"}
    assert door.kept() == (0, 0)


# ---- T12, T13: headers ----------------------------------------------------------------------------


def test_an_underscore_does_not_stand_in_for_a_hyphen(door: Door) -> None:
    body = body_of()
    data = request_of(body, f"X_Signature: {signature_of(body)}", signature="0" * 64)
    _assert_refused(door, data, 401)


def test_a_signature_header_that_comes_twice_is_refused(door: Door) -> None:
    body = body_of()
    _assert_refused(door, request_of(body, f"X-Signature: {signature_of(body)}"), 401)


@pytest.mark.parametrize(
    "header", ["X-A: " + "a" * HEADER_LIMIT, "\r\n".join(f"X-{n}: {'b' * 90}" for n in range(200))]
)
def test_too_much_header_is_refused(door: Door, header: str) -> None:
    _assert_refused(door, request_of(body_of(), header), 431)


@pytest.mark.parametrize("host", ["evil.example", "", "a b", "[", "x" * 5000, "\xff", "localhost:99999999"])
def test_no_host_header_changes_anything(door: Door, host: str) -> None:
    data = request_of(body_of()).replace(b"Host: localhost", b"Host: " + host.encode("latin-1"))
    assert door.ask(data).status in {200, 400}


def test_forwarded_headers_change_nothing(door: Door) -> None:
    extra = ("X-Forwarded-Proto: javascript", "X-Forwarded-Host: evil", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=a")
    assert door.ask(request_of(body_of(), *extra)).status == 200


# ---- T16, T18: asking first, pipelining, content types ---------------------------------------------


def test_a_sender_that_asks_first_is_told_to_go_on(door: Door) -> None:
    body = body_of()
    whole = request_of(body, "Expect: 100-continue")
    with Caller(door.port) as caller:
        caller.send(whole[: -len(body)])
        assert caller.line() == b"HTTP/1.1 100 Continue"
        assert door.kept() == (0, 0)
        caller.send(body)
        assert caller.answer().status == 200


def test_pipelined_requests_are_answered_one_each_and_in_order(door: Door) -> None:
    bodies = [body_of(f"e-{n}", kind) for n, kind in enumerate(["lead.created", "other", "lead.created"])]
    with Caller(door.port) as caller:
        caller.send(b"".join(request_of(body, close=False) for body in bodies))
        assert [caller.answer().json["status"] for _ in bodies] == ["accepted", "ignored", "accepted"]
    assert door.kept() == (3, 2)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "application/json; charset=utf-8", "nonsense", "", "multipart/form-data"],
)
def test_the_content_type_never_loses_an_authentic_lead(door: Door, content_type: str) -> None:
    answer = door.ask(request_of(body_of(), f"Content-Type: {content_type}"))
    assert (answer.status, answer.json["status"]) == (200, "accepted")


# ---- A40 to A42: methods and addresses -------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH", "BREW"])
def test_only_post_is_taken(door: Door, method: str) -> None:
    data = request_of(body_of(), line=f"{method} /hooks/our-crm HTTP/1.1")
    answer = door.ask(data, has_body=method != "HEAD")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert b"trace" not in answer.body.lower()
    assert door.kept() == (0, 0)


@pytest.mark.parametrize(
    "target",
    [
        "//hooks/our-crm",
        "/%68ooks/our-crm",
        "/hooks/our%2Dcrm",
        "/hooks/our-crm/",
        "/hooks//our-crm",
        "/Hooks/our-crm",
        "/hooks/Our-CRM",
        "/hooks/../hooks/our-crm",
        "/hooks/./our-crm",
        "/hooks/our-crm;a",
        "/hooks/our-crm#a",
        "/hooks/our-crm%20",
        "/hooks/our-crm%00",
        "http://localhost/hooks/our-crm",
        "http://evil.example/hooks/our-crm",
        "hooks/our-crm",
        "*",
        "/hooks/",
        "/hooks",
        "/",
        "/hooks/nobody",
        "/hooks/..",
        "/hooks/../etc/passwd",
        "/hooks/" + "a" * 10_000,
        "/hooks/%ff%fe",
        "/hooks/\xff",
        "/static/x",
        "http://[::1/hooks/our-crm",
    ],
)
def test_there_is_one_spelling_of_the_address(door: Door, target: str) -> None:
    answer = door.ask(request_of(body_of(), line=f"POST {target} HTTP/1.1"))
    assert answer.status in {404, 405} or (answer.status == 400 and ("[" in target or "\xff" in target))
    assert b"passwd" not in answer.body
    assert door.kept() == (0, 0)


def test_a_query_does_not_change_the_address(door: Door) -> None:
    assert door.ask(request_of(body_of(), line="POST /hooks/our-crm?a=%2F&b HTTP/1.1")).status == 200


def test_the_signature_of_one_source_is_none_for_another(door: Door) -> None:
    _assert_refused(door, request_of(body_of(), line="POST /hooks/other-crm HTTP/1.1"), 401)


def test_an_old_client_is_served(door: Door) -> None:
    answer = door.ask(request_of(body_of(), line="POST /hooks/our-crm HTTP/1.0"))
    assert answer.status == 200
