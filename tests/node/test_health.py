"""A node whose work stands still says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.config import NodeConfig
from node.health import Readiness, readiness, survey
from node.state import DeliveryRecord, DeliveryState, Generation, SeriesRecord, State
from tests.node.conftest import DOUBLE, Site
from tests.node.series import write_series
from tests.peers import NodeProcess, free_port, peer, storescu

NOW = 1_000_000.0
CONFIG = NodeConfig(min_free_disk=100, stalled_after_s=300.0)


def record(state: State, since: float, **more: Any) -> SeriesRecord:
    """Return a series that is in a state since a time."""
    generation = Generation(
        number=1, images=["a"], complete=since, last_received=since, begun=since, state=state
    )
    is_open = state is State.RECEIVING
    return SeriesRecord(
        key="key",
        series_uid="1.2.3",
        calling_ae="CT",
        first_received=since,
        last_received=since,
        receiving=is_open,
        generations=[] if is_open else [generation.model_copy(update=more)],
    )


def judge(*records: SeriesRecord, **more: float) -> Readiness:
    facts = {"now": NOW, "started": 0.0, "free_disk": 100, "unsorted": NOW, **more}
    return readiness(
        CONFIG,
        survey(records),
        now=facts["now"],
        started=facts["started"],
        free_disk=int(facts["free_disk"]),
        unsorted=facts["unsorted"],
    )


def codes(found: Readiness) -> list[str]:
    return [item.code for item in found.problems]


def test_idle_node_is_ready() -> None:
    found = judge(record(State.DONE, 0.0), record(State.FAILED, 0.0))
    assert found.is_ready
    assert found.as_json()["series"] == {"DONE": 1, "FAILED": 1}
    assert not found.oldest_s


@pytest.mark.parametrize(
    ("state", "allowed_s"),
    [(State.RECEIVING, 360.0), (State.QUEUED, 660.0), (State.COMPUTING, 660.0)],
)
def test_work_that_stands_still_is_stalled(state: State, allowed_s: float) -> None:
    assert judge(record(state, NOW - allowed_s + 1)).is_ready
    found = judge(record(state, NOW - allowed_s - 1))
    assert codes(found) == ["stalled"]
    assert "1.2.3" in found.problems[0].text
    assert found.oldest_s[state] == allowed_s + 1
    assert judge(record(state, 0.0), started=NOW - 10).is_ready, "after a start it has time anew"


def test_queue_that_moves_is_not_stalled() -> None:
    assert judge(record(State.QUEUED, 0.0), record(State.COMPUTING, NOW - 10)).is_ready


def test_delivery_is_stalled_when_overdue_and_late_when_the_peer_is_down() -> None:
    def delivering(**more: Any) -> SeriesRecord:
        delivery = DeliveryRecord(since=0.0, state=DeliveryState.WAITING, attempts=9, **more)
        return record(State.DELIVERING, 0.0, deliveries={"pacs": delivery})

    waiting = judge(delivering(next_attempt=NOW + 5))
    assert waiting.is_ready
    assert [item.code for item in waiting.warnings] == ["undelivered"]
    assert codes(judge(delivering(next_attempt=NOW - 1000))) == ["stalled"]
    assert codes(judge(delivering(begun=NOW - 1000))) == ["stalled"]
    assert judge(delivering(begun=NOW - 10)).is_ready


def test_full_disk_and_unsorted_objects_are_problems() -> None:
    assert codes(judge(free_disk=99)) == ["disk"]
    assert codes(judge(unsorted=NOW - 301)) == ["stalled"]


def test_node_says_that_it_is_not_ready(make_node: Callable[..., NodeProcess]) -> None:
    node = make_node(DOUBLE, min_free_disk=1 << 60)
    node.start()
    assert node.wait_for_event("not_ready")["code"] == "disk"


def test_node_says_that_results_wait_for_long(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    away = peer("away", "AWAY", free_port())
    site = make_site(peers=[away], also_send_to=["away"], stalled_after_s=1.0)
    uid, files = write_series(tmp_path, "late")
    storescu(site.node.port, files)
    line = site.node.wait_for_event("needs_attention")
    assert line["code"] == "undelivered"
    assert uid in line["reason"]
