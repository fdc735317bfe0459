"""What an SQLite file has acknowledged survives the loss of power, and many commits go to the disk together."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.ledger import LedgerUnavailable, open_database, syncing
from integration.ledger.database import CommitInDoubt, Database, SqliteDatabase
from integration.ledger.syncing import LogSync


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one table, in which rows are made."""
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")
    connection.close()
    return path


def write(database: Database, number: int) -> None:
    with database.write() as tx:
        tx.run("INSERT INTO row (id, text) VALUES (:id, :text)", {"id": number, "text": "x" * 500})


def in_threads(count: int, work: Callable[[int], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


class Disk:
    """In place of the call that brings the log to the disk: knows how much of it has arrived."""

    def __init__(self) -> None:
        self.size = 0
        self.syncs = 0
        self.answers = threading.Event()
        self.answers.set()
        self.is_asked = threading.Event()
        self.error: Exception | None = None
        self.fails_once: Exception | None = None

    def __call__(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        self.is_asked.set()
        assert self.answers.wait(10)
        if self.fails_once is not None:
            error, self.fails_once = self.fails_once, None
            raise error
        if self.error is not None:
            raise self.error
        os.fdatasync(descriptor)
        self.size = size
        self.syncs += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(syncing, "_to_disk", disk)
    return disk


def test_what_was_acknowledged_is_there_after_the_power_was_lost(path: Path, disk: Disk, tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{path}")
    acknowledged: list[
        tuple[int, int]
    ] = []  # a row, and how much of the log was on the disk when it was said to be kept

    def keep(n: int) -> None:
        for number in range(100 * n, 100 * n + 15):
            write(database, number)
            acknowledged.append((number, disk.size))

    for thread in in_threads(4, keep):
        thread.join()
    log = Path(f"{path}-wal").read_bytes()
    assert len(acknowledged) == 60
    for number, size in acknowledged:
        after = tmp_path / f"{number}.db"
        after.write_bytes(path.read_bytes())
        Path(f"{after}-wal").write_bytes(log[:size])
        connection = sqlite3.connect(after)
        assert connection.execute("SELECT COUNT(*) FROM row WHERE id = ?", (number,)).fetchone() == (1,)
        connection.close()
    database.close()


def test_commits_that_wait_for_the_disk_go_there_together(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.answers.clear()
    first = in_threads(1, lambda _: write(database, 100))
    assert disk.is_asked.wait(5)
    others = in_threads(8, lambda n: write(database, n))
    until = time.monotonic() + 5
    with sqlite3.connect(path) as look:
        while look.execute("SELECT COUNT(*) FROM row").fetchone() != (9,):
            assert time.monotonic() < until
            time.sleep(0.001)
    look.close()
    time.sleep(0.05)  # so that all of them wait for the disk, too
    disk.answers.set()
    for thread in [*first, *others]:
        thread.join()
    assert disk.syncs == 2
    database.close()


def test_a_commit_that_came_while_the_disk_was_at_work_waits_for_the_next_time(path: Path, disk: Disk) -> None:
    log = LogSync(path)
    first = log.count()
    disk.answers.clear()
    at_work = in_threads(1, lambda _: log.wait(first, 5))
    assert disk.is_asked.wait(5)
    second = log.count()
    disk.answers.set()
    at_work[0].join()
    assert disk.syncs == 1
    log.wait(second, 5)
    assert disk.syncs == 2
    log.wait(first, 5)
    assert disk.syncs == 2
    log.close()


def test_a_transaction_that_changes_nothing_asks_nothing_of_the_disk(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    write(database, 1)
    with database.write() as tx:
        assert tx.run("UPDATE row SET text = '' WHERE id = 2") == 0
    assert disk.syncs == 1
    database.close()


def test_after_the_disk_has_refused_nothing_more_is_promised(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(CommitInDoubt, match=r"the disk refused .*ledger\.db-wal: Input/output error") as refused:
        write(database, 1)
    assert refused.value.lasts
    disk.error = None  # Linux reports such an error once
    with pytest.raises(LedgerUnavailable, match="the disk refused") as later:
        write(database, 2)
    assert later.value.lasts
    with database.read() as tx:
        assert [row["id"] for row in tx.all("SELECT id FROM row")] == [1]
    database.close()


def test_all_who_wait_are_told_that_the_disk_refused(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.answers.clear()
    told: list[str] = []

    def keep(n: int) -> None:
        try:
            write(database, n)
        except LedgerUnavailable as error:
            told.append(str(error))

    threads = in_threads(1, lambda _: keep(100))
    assert disk.is_asked.wait(5)
    threads += in_threads(4, keep)
    time.sleep(0.1)
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    disk.answers.set()
    for thread in threads:
        thread.join()
    assert len(told) == 5
    assert all("No space left on device" in each for each in told)
    database.close()


def test_one_refusal_is_enough_for_those_who_come_after_it(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.answers.clear()
    disk.fails_once = OSError(errno.EIO, "Input/output error")
    told: list[str] = []

    def keep(n: int) -> None:
        with pytest.raises(CommitInDoubt) as refused:
            write(database, n)
        told.append(str(refused.value))

    first = in_threads(1, lambda _: keep(100))
    assert disk.is_asked.wait(5)
    others = in_threads(3, keep)
    time.sleep(0.1)
    disk.answers.set()
    for thread in [*first, *others]:
        thread.join()
    assert len(told) == 4
    with pytest.raises(LedgerUnavailable, match="the disk refused"):
        write(database, 200)
    database.close()


def test_trouble_of_another_kind_is_a_refusal_as_well(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.error = MemoryError()
    for n in (1, 2):
        with pytest.raises(LedgerUnavailable, match="the disk refused") as refused:
            write(database, n)
        assert refused.value.lasts
    database.close()


def test_what_a_refusal_left_in_the_log_is_in_the_database_before_anything_new_is_kept(path: Path, disk: Disk) -> None:
    """It would be read from memory and never be written again, and take all with it that is kept behind it."""
    database = open_database(f"sqlite:///{path}", exclusive=True)
    disk.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(CommitInDoubt):
        write(database, 1)
    left = {name: Path(f"{path}{name}").read_bytes() for name in ("", "-wal")}  # as after a kill
    database.close()
    for name, content in left.items():
        Path(f"{path}{name}").write_bytes(content)
    Path(f"{path}-shm").unlink(missing_ok=True)
    again = open_database(f"sqlite:///{path}", exclusive=True)
    after = path.with_name("after.db")
    after.write_bytes(path.read_bytes())  # without the log
    connection = sqlite3.connect(after)
    assert connection.execute("SELECT id FROM row").fetchall() == [(1,)]
    connection.close()
    again.close()


def test_a_server_does_not_begin_while_the_log_cannot_be_carried_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(f"sqlite:///{path}")
    write(database, 1)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM row").fetchall()
    write(database, 2)
    monkeypatch.setattr("integration.ledger.database.LOCK_WAIT_SECONDS", 0.2)
    with pytest.raises(LedgerUnavailable, match=r"another process reads .*; let it end, and start again"):
        open_database(f"sqlite:///{path}", exclusive=True)
    reader.execute("ROLLBACK")
    open_database(f"sqlite:///{path}", exclusive=True).close()
    reader.close()
    database.close()


def test_closing_lets_those_who_wait_for_the_disk_have_their_answer(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    disk.answers.clear()
    kept: list[int] = []

    def keep(n: int) -> None:
        write(database, n)
        kept.append(n)

    threads = in_threads(1, keep)
    assert disk.is_asked.wait(5)
    database.close()
    disk.answers.set()
    threads[0].join()
    assert kept == [0]
    with pytest.raises(LedgerUnavailable, match="the database is closed"):
        write(database, 1)


def test_a_disk_that_does_not_answer_is_given_up_in_time_and_then_used_again(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.ledger.database.LOCK_WAIT_SECONDS", 0.6)
    database = open_database(f"sqlite:///{path}")
    disk.answers.clear()
    first = in_threads(1, lambda _: write(database, 100))
    assert disk.is_asked.wait(5)
    took: list[float] = []

    def give_up(n: int) -> None:
        began = time.monotonic()
        with pytest.raises(CommitInDoubt, match="the disk did not answer in time") as late:
            write(database, n)
        assert not late.value.lasts
        took.append(time.monotonic() - began)

    for thread in in_threads(3, give_up):
        thread.join()
    assert len(took) == 3
    assert max(took) < 1.2
    disk.answers.set()
    first[0].join()
    write(database, 200)
    for thread in in_threads(4, lambda n: write(database, 300 + n)):
        thread.join()
    database.close()


def test_a_log_that_began_anew_is_brought_to_the_disk_as_well(path: Path, disk: Disk) -> None:
    database = open_database(f"sqlite:///{path}")
    assert isinstance(database, SqliteDatabase)
    write(database, 1)
    write(database, 2)
    database._writer.execute("PRAGMA wal_checkpoint(RESTART)")
    write(database, 3)
    log = Path(f"{path}-wal").read_bytes()
    assert disk.syncs == 3
    assert database._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] < len(log) // 4096, "begun anew"
    database.close()
