"""A disk that is full, fails, or takes half: nothing is acknowledged that is not kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from node.assembly import Assembly, Patience
from node.inbox import Inbox
from node.state import Ledger
from tests.faults.shimmed import ERRORS, Disk
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, StoreScp, peer, storescu, wait_for

MakeNode = Callable[..., NodeProcess]


def objects_in(node: NodeProcess) -> list[Path]:
    """Return every object that the node holds, acknowledged or not."""
    return [path for path in node.data.glob("incoming/*") if path.stat().st_size]


def test_a_failing_disk_acknowledges_nothing(
    make_node: MakeNode, pacs: StoreScp, tmp_path: Path
) -> None:
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    disk = Disk(node, tmp_path)
    node.start()
    uid, files = write_series(tmp_path, "a", 2)
    for call in ("write", "fsync"):
        for number in ERRORS.values():
            disk.fail(call, number)
            answer = storescu(node.port, files, "-v", check=False)
            assert "OutOfResources" in answer.stdout + answer.stderr
            assert "(Success)" not in answer.stdout + answer.stderr
            assert objects_in(node) == []
    disk.mend()
    storescu(node.port, files)  # the node has not to be started again
    assert node.wait_for_state(uid, "DONE")["images"] == 2
    assert len(pacs.wait_for(2)) == 2


def test_short_writes_lose_nothing(make_node: MakeNode, pacs: StoreScp, tmp_path: Path) -> None:
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    disk = Disk(node, tmp_path)
    node.start()
    disk.fail("write", 0)
    uid, files = write_series(tmp_path, "a", 2)
    storescu(node.port, files)
    assert node.wait_for_state(uid, "DONE")["images"] == 2
    kept = {path.read_bytes()[-1000:] for path in node.data.glob("series/*/images/*.dcm")}
    assert kept == {path.read_bytes()[-1000:] for path in files}


def test_records_that_cannot_be_written_stop_nothing_for_good(
    make_node: MakeNode, pacs: StoreScp, tmp_path: Path
) -> None:
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    disk = Disk(node, tmp_path)
    node.start()
    disk.fail("write", ERRORS["ENOSPC"], "/series/")
    uid, files = write_series(tmp_path, "a", 2)
    storescu(node.port, files)  # the image itself has room
    node.wait_for_event("not_sorted")
    disk.mend()
    row = node.wait_for_state(uid, "DONE", 30.0)
    assert row["images"] == 2


@pytest.mark.timeout(90)
def test_a_locked_database_delays_only(make_node: MakeNode, pacs: StoreScp, tmp_path: Path) -> None:
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    node.start()
    database = sqlite3.connect(node.data / "work.sqlite", isolation_level=None, timeout=20)
    uid, files = write_series(tmp_path, "a", 2)
    try:
        wait_for(lambda: _lock(database), what="the database is locked")
        storescu(node.port, files)  # receiving needs no database
        node.wait_for_event("complete", series=uid)
    finally:
        database.close()
    assert node.wait_for_state(uid, "DONE", 60.0)["images"] == 2


def _lock(database: sqlite3.Connection) -> bool:
    try:
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


def test_work_that_is_not_taken_is_offered_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "series")
    inbox = Inbox(tmp_path, ledger, 0)
    offered: list[tuple[str, int]] = []

    def submit(key: str, number: int) -> None:
        offered.append((key, number))
        if len(offered) == 1:
            raise sqlite3.OperationalError("database is locked")

    patience = Patience(quiet_s=0.1, incomplete_s=0.1, longest_s=0.1)
    assembly = Assembly(inbox, ledger, submit, patience)
    assembly.start()
    try:
        _, files = write_series(tmp_path, "a", 1)
        assembly.stored(inbox.store(b"", files[0].read_bytes()), 1)
        assembly.closed(1)
        wait_for(lambda: len(offered) == 2, what="offered again")
    finally:
        assembly.stop()
    assert offered[0] == offered[1]
