"""The least that a program could do: take a webhook, commit one row, answer, post twice. No check, no rules, no log.

Nothing of the message is verified, nothing is done about a failure, and a second webhook rings a second time. It
says how much of Ringback's time is Ringback's, and how much is this machine's and Python's.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg

ACCOUNT = "acc-east"
TAKERS = 8
DIALERS = 16


def main() -> None:
    """Listen on a free port, which is printed, until the process is ended."""
    contact_centre, crm = os.environ["CXONE_BASE_URL"], os.environ["CRM_URL"]
    work: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    keep = _sqlite(os.environ["DATABASE_URL"]) if os.environ["DATABASE_URL"].startswith("sqlite") else _postgres
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    token = _token(contact_centre)
    for _ in range(DIALERS):
        threading.Thread(target=_work, args=(work, contact_centre, crm, token), daemon=True).start()
    for _ in range(TAKERS):
        threading.Thread(target=_take, args=(listener, keep, work), daemon=True).start()
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


def _take(listener: socket.socket, keep: Callable[[bytes], None], work: queue.SimpleQueue[dict[str, Any]]) -> None:
    while True:
        sock, _ = listener.accept()
        with sock:
            got = b""
            while b"\r\n\r\n" not in got:
                got += sock.recv(65536)
            head, _, body = got.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += sock.recv(65536)
            keep(body)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        work.put(json.loads(body)["data"])


def _work(work: queue.SimpleQueue[dict[str, Any]], contact_centre: str, crm: str, token: str) -> None:
    told = http.client.HTTPConnection(urlsplit(crm).netloc)
    path = f"/api/v2/contactcenter/personalconnections/{ACCOUNT}/calls"
    while True:
        record = work.get()
        rung = http.client.HTTPConnection(urlsplit(contact_centre).netloc)
        call = _exchange(rung, "POST", path, {"to": record["Phone"]}, token)
        rung.close()
        facts = {"ringback_call_id": call["id"], "ringback_result": "called"}
        _exchange(told, "PATCH", f"/leads/{record['Id']}", facts, os.environ["OUR_CRM_TOKEN"])


def _token(contact_centre: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(contact_centre).netloc)
    fields = {"grant_type": "client_credentials"}
    fields |= {"client_id": os.environ["CXONE_CLIENT_ID"], "client_secret": os.environ["CXONE_CLIENT_SECRET"]}
    return str(_exchange(connection, "POST", "/api/v2/oauth/token", fields, "none yet")["access_token"])


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, fields: dict[str, str], token: str
) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection.request(method, path, json.dumps(fields), headers)
    said: dict[str, Any] = json.loads(connection.getresponse().read())
    return said


def _sqlite(url: str) -> Callable[[bytes], None]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    lock = threading.Lock()

    def keep(body: bytes) -> None:
        with lock:
            connection.execute("INSERT INTO kept (body) VALUES (?)", (body,))

    return keep


_own = threading.local()


def _postgres(body: bytes) -> None:
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        _own.connection.execute("SELECT pg_advisory_lock(1)")
        _own.connection.execute("CREATE TABLE IF NOT EXISTS kept (id BIGSERIAL PRIMARY KEY, body BYTEA NOT NULL)")
        _own.connection.execute("SELECT pg_advisory_unlock(1)")
    _own.connection.execute("INSERT INTO kept (body) VALUES (%s)", (body,))


if __name__ == "__main__":
    main()
