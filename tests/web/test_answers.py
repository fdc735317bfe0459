"""What a CRM is answered, and what that answer promises."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask

from integration.ledger import Intake, LedgerUnavailable
from integration.model import DeliveryState
from integration.rules import load_rules
from integration.web import WebServices, create_app
from tests.web.door import RULES, Answer, Door, body_of, request_of, wait_until

UNAVAILABLE = b'{"error": "Not stored: please send this again later."}\n'


def _assert_503(answer: Answer) -> None:
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, UNAVAILABLE, "30")


def test_the_same_event_again_is_a_duplicate_and_wakes_nobody(door: Door) -> None:
    first = door.ask(request_of(body_of()))
    again = door.ask(request_of(body_of()))
    assert again.json == {"status": "duplicate", "lead": first.json["lead"]}
    assert door.kept() == (2, 1)
    assert len(door.woken) == 1


def test_the_same_event_with_another_body_is_a_duplicate_and_kept(door: Door) -> None:
    door.ask(request_of(body_of()))
    assert door.ask(request_of(body_of(Phone="+15551239999"))).json["status"] == "duplicate"
    assert door.kept() == (2, 1)


def test_another_event_is_ignored_and_kept(door: Door) -> None:
    answer = door.ask(request_of(body_of(kind="lead.deleted")))
    assert (answer.status, answer.json) == (200, {"status": "ignored", "lead": None})
    assert door.kept() == (1, 0)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00", b'{"a": ' + b"[" * 5000, b'{"a": NaN}'])
def test_an_authentic_body_that_cannot_be_read_is_parked_for_a_person(door: Door, body: bytes) -> None:
    answer = door.ask(request_of(body))
    assert (answer.status, answer.json["status"]) == (200, "parked")
    assert door.kept() == (1, 1)
    assert door.woken == []


@pytest.mark.parametrize("signature", ["0" * 64, "", "x", "0" * 63, "\xff" * 64, "sha256=" + "0" * 64, "A" * 9000])
def test_each_wrong_signature_has_the_same_answer_and_leaves_nothing(door: Door, signature: str) -> None:
    data = request_of(body_of(), signature="0" * 64).replace(b"0" * 64, signature.encode("latin-1"))
    answer = door.ask(data)
    assert (answer.status, answer.body) == (401, b'{"error": "The signature is missing or wrong."}\n')
    assert door.kept() == (0, 0)


def test_a_missing_signature_has_the_same_answer(door: Door) -> None:
    answer = door.ask(b"POST /hooks/our-crm HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    assert (answer.status, answer.body) == (401, b'{"error": "The signature is missing or wrong."}\n')


def test_health_says_that_the_process_lives(door: Door) -> None:
    answer = door.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.json) == (200, {"status": "alive"})


def test_ready_says_that_the_database_is_there(door: Door) -> None:
    answer = door.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.json) == (200, {"status": "ready", "problem": None})


# ---- our own trouble ------------------------------------------------------------------------------


@pytest.fixture
def locked(door: Door) -> Iterator[sqlite3.Connection]:
    """Somebody else holds the database's only write lock."""
    connection = sqlite3.connect(door.path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.close()


def test_a_locked_database_is_our_trouble_and_the_crm_comes_again(door: Door, locked: sqlite3.Connection) -> None:
    began_at = time.monotonic()
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(door.ask(request_of(body_of(f"e-{n}"))))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    health = door.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for thread in threads:
        thread.join()
    assert time.monotonic() - began_at < 4.5
    assert health.status == 200
    for answer in answers:
        _assert_503(answer)
    locked.execute("ROLLBACK")
    assert door.kept() == (0, 0)
    assert door.ask(request_of(body_of())).status == 200


def test_a_database_that_is_free_again_in_time_takes_the_lead(door: Door, locked: sqlite3.Connection) -> None:
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(door.ask(request_of(body_of()))))
    thread.start()
    wait_until(lambda: threading.active_count() > 1)
    locked.execute("ROLLBACK")
    thread.join()
    assert answers[0].status == 200


@pytest.mark.parametrize("error", [LedgerUnavailable("the disk is full"), RuntimeError("a bug with +15551234567")])
def test_an_error_of_ours_is_a_503_without_a_word_of_it(
    door: Door, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Intake, "receive", fail)
    _assert_503(door.ask(request_of(body_of())))


def test_an_error_below_the_application_is_the_same_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug with +15551234567")

    monkeypatch.setattr(Flask, "wsgi_app", fail)
    _assert_503(door.ask(request_of(body_of())))


def test_a_signature_that_our_own_settings_cannot_check_is_our_trouble(door: Door) -> None:
    text = RULES.replace('secret: "only-this', 'parts: [url, body], secret: "only-this')
    rules = load_rules(text, name="rules.yaml", environ={})
    app = create_app(WebServices(door.ledger, rules, lambda lead: door.woken.append(lead.id), None))
    response = app.test_client().post("/hooks/our-crm", data=b"{}", headers={"X-Signature": "0" * 64})
    assert (response.status_code, response.data) == (503, UNAVAILABLE)


def test_every_delivery_state_has_a_word() -> None:
    from integration.web.answers import WORDS  # noqa: PLC0415

    assert set(WORDS) == set(DeliveryState)
