"""Nodes that receive, processes that work, and one PostgreSQL between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from node.state import series_key
from tests.node.double import CRASH_ONCE, DEFECT, HOLD, PAUSE
from tests.peers import NodeProcess, wait_for
from tests.postgres import Postgres
from tests.scale.conftest import Site, WorkProcess

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 60.0

Send = Callable[..., str]


def test_every_series_finishes_once_though_a_worker_is_killed(site: Site, send: Send) -> None:
    node = site.receiver()
    workers = [site.worker(f"worker-{number}", wait=False) for number in range(3)]
    held = send(node, "held", HOLD)
    uids = [held, *(send(node, f"series-{number}") for number in range(8))]
    victim = _holder(site, workers)

    victim.kill()
    for uid in uids:
        node.wait_for_state(uid, "DONE", LIMIT_S)
        _finished_once(node, uid)
    survivors = [worker for worker in workers if worker is not victim]
    assert sum(len(worker.events("handed_over")) for worker in survivors) == 1
    sent = site.pacs.wait_for(2 * len(uids))
    assert len({str(item.SOPInstanceUID) for item in sent}) == len(sent) == 2 * len(uids)
    assert not _leftovers(node)
    # what is over leaves nothing in the database
    wait_for(lambda: site.ask("SELECT count(*) FROM dbos.workflow_status") == [(0,)], 10.0)
    assert site.ask("SELECT times FROM aspects_node.handovers") == [(1,)]
    assert site.ask("SELECT count(*) FROM aspects_node.executors") == [(2,)]


def _holder(site: Site, workers: list[WorkProcess]) -> WorkProcess:
    """Return the worker that computes what does not end."""

    def find() -> WorkProcess | None:
        if not all(item.events("working") for item in workers):
            return None
        running = site.computing()
        return next((item for item in workers if running == [item.executor]), None)

    return wait_for(find, LIMIT_S, "one worker holds one series, all else is done")


def _finished_once(node: NodeProcess, uid: str) -> None:
    assert len(node.events("computed", series=uid)) == 1
    node.wait_for_event("delivered", series=uid)
    assert len(node.events("delivered", series=uid)) == 1


def _leftovers(node: NodeProcess) -> list[str]:
    """Return what lies among the results and is no result."""
    folders = (node.data / "series").glob("*/results/*")
    return [item.name for item in folders if item.is_dir() and not item.name.isdecimal()]


def test_worker_that_was_only_slow_changes_nothing(site: Site, send: Send) -> None:
    node = site.receiver()
    slow = site.worker("slow")
    uid = send(node, "paused", PAUSE)
    wait_for(lambda: site.computing() == [slow.executor], LIMIT_S, "it computes")
    results = node.data / "series" / series_key(uid) / "results"
    wait_for((results / "tried").exists, LIMIT_S, "its process has begun")

    os.kill(slow.pid, signal.SIGSTOP)
    site.worker("quick")
    node.wait_for_state(uid, "DONE", LIMIT_S)
    before = _files(results)
    (results / "go").touch()
    os.kill(slow.pid, signal.SIGCONT)

    slow.wait_for_event("was_taken_for_lost", LIMIT_S)
    later = send(node, "later")  # the slow one works again
    node.wait_for_state(later, "DONE", LIMIT_S)
    assert wait_for(lambda: _files(results) == before, LIMIT_S, "nothing new among the results")
    for item in (uid, later):
        _finished_once(node, item)
    assert len(site.pacs.wait_for(4)) == 4


def _files(folder: Path) -> list[str]:
    return sorted(f"{path} {path.stat().st_mtime_ns}" for path in folder.rglob("*.dcm"))


def test_database_that_goes_away_stops_nothing_but_the_computing(
    site: Site, postgres: Postgres, send: Send
) -> None:
    node = site.receiver()
    worker = site.worker("worker")
    first = send(node, "first")
    node.wait_for_state(first, "DONE", LIMIT_S)

    postgres.stop()
    second = send(node, "second")
    node.wait_for_event("work_database_lost", LIMIT_S)
    node.wait_for_state(second, "COMPUTING", LIMIT_S)
    postgres.start()
    node.wait_for_state(second, "DONE", LIMIT_S)
    assert node.events("work_database_back")
    assert worker.stop() == 0


def test_two_nodes_share_a_database_and_the_same_series(site: Site, send: Send) -> None:
    nodes = [site.receiver(f"node-{number}") for number in range(2)]
    site.worker("worker")
    (uid,) = {send(node, "shared") for node in nodes}
    for node in nodes:
        node.wait_for_state(uid, "DONE", LIMIT_S)
        _finished_once(node, uid)


def test_what_goes_wrong_in_a_worker_is_told_as_in_the_node(site: Site, send: Send) -> None:
    node = site.receiver()
    site.worker("worker")
    crashed = send(node, "crashed", CRASH_ONCE)
    broken = send(node, "broken", DEFECT)
    node.wait_for_state(crashed, "DONE", LIMIT_S)
    assert len(node.events("worker_lost", series=crashed)) == 1
    row = node.wait_for_state(broken, "FAILED", LIMIT_S)
    assert row["code"] == "encoding"


def test_node_that_was_restarted_finds_what_was_computed_meanwhile(site: Site, send: Send) -> None:
    node = site.receiver()
    uid = send(node, "restarted")
    node.wait_for_state(uid, "COMPUTING", LIMIT_S)
    wait_for(lambda: site.ask("SELECT status FROM dbos.workflow_status") == [("ENQUEUED",)])
    node.kill()
    site.worker("worker")
    done = [("SUCCESS", 1)]
    query = "SELECT status, recovery_attempts FROM dbos.workflow_status"
    wait_for(lambda: site.ask(query) == done, LIMIT_S, "it is computed")
    node.start()
    node.wait_for_state(uid, "DONE", LIMIT_S)
    _finished_once(node, uid)
    assert not _leftovers(node)


def test_worker_that_is_stopped_hands_over_at_once(site: Site, send: Send) -> None:
    node = site.receiver()
    first = site.worker("first", work={**site.work, "lost_after_s": 600.0, "heartbeat_s": 5.0})
    uid = send(node, "held", HOLD)
    wait_for(lambda: site.computing() == [first.executor], LIMIT_S, "it computes")
    wait_for((node.data / "series" / series_key(uid) / "results" / "tried").exists, LIMIT_S)
    assert first.stop() == 0
    assert site.computing() == []
    site.worker("second", work={**site.work, "lost_after_s": 600.0, "heartbeat_s": 5.0})
    node.wait_for_state(uid, "DONE", LIMIT_S)
    _finished_once(node, uid)
