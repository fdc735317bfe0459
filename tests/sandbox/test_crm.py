from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration.sandbox.crm import Crm


@pytest.fixture
def crm() -> Iterator[Crm]:
    with Crm(token="crm-token") as server:
        yield server


def ask(crm: Crm, method: str, path: str, token: str = "crm-token", **how: Any) -> requests.Response:
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {token}"}
        return session.request(method, crm.url + path, headers=headers, timeout=5, **how)


def test_a_lead_is_created_read_and_changed(crm: Crm) -> None:
    created = ask(crm, "POST", "/leads", json={"Country": "DE", "Phone": "030 9018201"})
    assert created.status_code == 201
    lead_id = created.json()["Id"]
    changed = ask(crm, "PATCH", f"/leads/{lead_id}", json={"ringback_call_id": "abc", "Country": "AT", "Id": "x"})
    assert changed.status_code == 200
    record = {"Id": "1", "Country": "AT", "Phone": "030 9018201", "ringback_call_id": "abc"}
    assert ask(crm, "GET", f"/leads/{lead_id}").json() == record
    assert crm.lead("1") == record
    assert crm.leads() == [record]
    assert ask(crm, "GET", "/leads").json() == [record]


def test_a_record_keeps_the_id_it_brings(crm: Crm) -> None:
    assert crm.create({"Id": 7})["Id"] == "7"
    assert crm.create({})["Id"] == "2"


def test_write_backs_are_kept_as_they_came(crm: Crm) -> None:
    crm.create({"Id": "a b"})
    ask(crm, "PATCH", "/leads/a%20b", json={"ringback_result": "called"})
    ask(crm, "PATCH", "/leads/gone", json={})
    (seen,) = crm.write_backs("a b")
    assert (seen.body, seen.answered) == ('{"ringback_result": "called"}', 200)
    assert [seen.answered for seen in crm.write_backs()] == [200, 404]
    assert len(ask(crm, "GET", "/_sandbox/requests").json()) == 2


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("PATCH", "/leads/1", {"json": {}, "token": "wrong"}, 401),
        ("GET", "/leads/1", {"token": ""}, 401),
        ("PATCH", "/leads/gone", {"json": {}}, 404),
        ("GET", "/leads/gone", {}, 404),
        ("GET", "/users", {}, 404),
        ("GET", "/leads/1/calls", {}, 404),
        ("POST", "/leads", {"data": "no json"}, 400),
        ("PATCH", "/leads/1", {"json": []}, 400),
        ("POST", "/leads/1", {"json": {}}, 405),
        ("DELETE", "/leads/1", {"json": {}}, 405),
    ],
)
def test_what_does_not_fit_is_refused(crm: Crm, method: str, path: str, how: dict[str, Any], status: int) -> None:
    crm.create({})
    assert ask(crm, method, path, **how).status_code == status
    assert crm.lead("1") == {"Id": "1"}


def test_an_error_asked_for_changes_nothing_and_ends_after_so_many_times(crm: Crm) -> None:
    crm.create({})
    assert ask(crm, "POST", "/_sandbox/behaviour", json={"behaviour": "status_500", "times": 2}).status_code == 204
    statuses = [ask(crm, "PATCH", "/leads/1", json={"a": n}).status_code for n in range(3)]
    assert statuses == [500, 500, 200]
    assert crm.lead("1") == {"Id": "1", "a": 2}


@pytest.mark.parametrize("behaviour", ["close_after", "reset_after"])
def test_a_broken_answer_comes_after_the_change(crm: Crm, behaviour: str) -> None:
    crm.create({})
    crm.behave(behaviour, times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        ask(crm, "PATCH", "/leads/1", json={"a": 1})
    assert crm.lead("1") == {"Id": "1", "a": 1}
    assert ask(crm, "PATCH", "/leads/1", json={"a": 2}).status_code == 200


def test_a_token_is_made_up_when_none_is_given() -> None:
    with Crm() as crm:
        assert len(crm.token) > 20
