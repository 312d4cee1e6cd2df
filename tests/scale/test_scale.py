"""Nodes that receive, processes that work, and one PostgreSQL between them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.node.double import CRASH_ONCE, DEFECT, HOLD, PAUSE
from tests.peers import NodeProcess, wait_for
from tests.postgres import Postgres
from tests.scale.conftest import Site

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 60.0


def _finished_once(node: NodeProcess, uid: str) -> None:
    node.wait_for_state(uid, "DONE", LIMIT_S)
    node.wait_for_event("delivered", series=uid)
    assert len(node.events("computed", series=uid)) == 1
    assert len(node.events("delivered", series=uid)) == 1


def _leftovers(node: NodeProcess) -> list[str]:
    """Return what lies among the results and is no result."""
    folders = (node.data / "series").glob("*/results/*")
    return [item.name for item in folders if item.is_dir() and not item.name.isdecimal()]


def test_every_series_finishes_once_though_a_worker_is_killed(site: Site) -> None:
    workers = site.have(3)
    held = site.send("held", HOLD)
    uids = [held, *(site.send(f"series-{number}") for number in range(8))]
    victim = site.holder(held)
    victim.kill()

    for uid in uids:
        _finished_once(site.node, uid)
    survivors = [worker for worker in workers if worker is not victim]
    assert sum(len(worker.events("handed_over")) for worker in survivors) == 1
    sent = site.pacs.wait_for(2 * len(uids))
    assert len({str(item.SOPInstanceUID) for item in sent}) == len(sent) == 2 * len(uids)
    assert not _leftovers(site.node)
    # what is over leaves nothing in the database
    count = "SELECT count(*) FROM dbos.workflow_status"
    wait_for(lambda: site.ask(count) == [(0,)], 10.0, "nothing is left in the database")
    assert site.ask("SELECT times FROM aspects_node.handovers") == [(1,)]
    assert site.ask("SELECT count(*) FROM aspects_node.executors") == [(2,)]


def test_worker_that_was_only_slow_changes_nothing(site: Site) -> None:
    site.have(2)
    uid = site.send("paused", PAUSE)
    slow = site.holder(uid)
    os.kill(slow.pid, signal.SIGSTOP)
    _finished_once(site.node, uid)
    before = _files(site.results(uid))
    (site.results(uid) / "go").touch()
    os.kill(slow.pid, signal.SIGCONT)

    slow.wait_for_event("was_taken_for_lost", LIMIT_S)
    others = [site.send(f"later-{number}") for number in range(4)]  # the slow one works again
    for item in (uid, *others):
        _finished_once(site.node, item)
    wait_for(lambda: not _leftovers(site.node), LIMIT_S, "it cleaned up after itself")
    assert _files(site.results(uid)) == before


def _files(folder: Path) -> list[str]:
    return sorted(f"{path} {path.stat().st_mtime_ns}" for path in folder.rglob("*.dcm"))


def test_worker_that_is_stopped_hands_over_at_once(site: Site) -> None:
    site.have(2)
    before = _found_out(site)
    uid = site.send("stopped", HOLD)
    assert site.holder(uid).stop() == 0
    _finished_once(site.node, uid)
    assert _found_out(site) == before


def _found_out(site: Site) -> list[int]:
    """Return how often workers had to find out that another one is lost."""
    names = ("worker_process_lost", "handed_over")
    return [len(item.events(name)) for item in site.workers for name in names]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_node_that_was_restarted_finds_what_was_computed_meanwhile(
    site: Site, ending: signal.Signals
) -> None:
    site.have(1)
    uid = site.send(f"restarted-{ending.name}", PAUSE)
    site.holder(uid)
    assert site.node.stop(ending) == (0 if ending is signal.SIGTERM else -ending)
    (site.results(uid) / "go").touch()
    query = "SELECT status, recovery_attempts FROM dbos.workflow_status"
    wait_for(lambda: site.ask(query) == [("SUCCESS", 1)], LIMIT_S, "it is computed")
    site.node.start()
    _finished_once(site.node, uid)
    assert not _leftovers(site.node)


def test_what_goes_wrong_in_a_worker_is_told_as_in_the_node(site: Site) -> None:
    site.have(1)
    crashed, broken = site.send("crashed", CRASH_ONCE), site.send("broken", DEFECT)
    _finished_once(site.node, crashed)
    assert len(site.node.events("worker_lost", series=crashed)) == 1
    row = site.node.wait_for_state(broken, "FAILED", LIMIT_S)
    assert row["code"] == "encoding"


def test_two_nodes_share_a_database_and_the_same_series(site: Site) -> None:
    site.have(1)
    nodes = [site.node, site.receiver("second")]
    (uid,) = {site.send("shared", node=node) for node in nodes}
    for node in nodes:
        _finished_once(node, uid)


def test_no_more_are_computed_at_a_time_than_all_together_may(site: Site) -> None:
    site.have(2)
    site.start_worker(most_at_once=1).wait_for_event("working", LIMIT_S)
    held = site.send("one", PAUSE)
    site.holder(held)
    others = [site.send(f"of-all-{number}") for number in range(2)]
    waiting = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'"
    wait_for(lambda: site.ask(waiting) == [(2,)], LIMIT_S, "both are in the queue")
    beaten = "SELECT max(seen) FROM aspects_node.executors"
    first = site.ask(beaten)[0][0]
    # some seconds in which two idle workers look for work ten times a second
    wait_for(lambda: (site.ask(beaten)[0][0] - first).total_seconds() > 2, LIMIT_S, "heartbeats")
    assert site.ask(waiting) == [(2,)]
    (site.results(held) / "go").touch()
    for uid in (held, *others):
        _finished_once(site.node, uid)


def test_database_that_goes_away_stops_nothing_but_the_computing(
    site: Site, postgres: Postgres
) -> None:
    (worker, *_) = site.have(1)
    _finished_once(site.node, site.send("before"))
    postgres.stop()
    uid = site.send("meanwhile")
    site.node.wait_for_event("work_database_lost", LIMIT_S)
    site.node.wait_for_state(uid, "COMPUTING", LIMIT_S)
    postgres.start()
    _finished_once(site.node, uid)
    assert site.node.events("work_database_back")
    assert worker.stop() == 0
