"""What is deleted, what never is, and that a deleted series can come anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.keeping_settings import Retention
from node.retention import is_finished, to_delete
from node.state import (
    Commitment,
    CommitState,
    DeliveryRecord,
    DeliveryState,
    Generation,
    SeriesRecord,
    State,
)
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, StoreScp, free_port, peer, storescu, to_toml

DAY = 86400.0


def record(uid: str, state: State, last: float, **more: Any) -> SeriesRecord:
    generation = Generation(
        number=1, images=["a"], complete=last, last_received=last, state=state, **more
    )
    return SeriesRecord(
        key=uid, series_uid=uid, calling_ae="CT", first_received=last, last_received=last,
        receiving=state is State.RECEIVING, generations=[generation],
    )  # fmt: skip


@pytest.mark.parametrize("state", list(State))
def test_only_finished_series_may_go(state: State) -> None:
    finished = {"DONE", "REJECTED", "IGNORED", "CANCELLED", "SUPERSEDED"}
    assert is_finished(record("a", state, 0.0)) == (state in finished)


def test_results_that_nobody_confirmed_stay() -> None:
    for state in CommitState:
        commitment = Commitment(transaction="1.2", state=state)
        delivery = DeliveryRecord(since=0.0, state=DeliveryState.DELIVERED, commitment=commitment)
        found = record("a", State.DONE, 0.0, deliveries={"pacs": delivery})
        assert is_finished(found) == (state is CommitState.COMMITTED)


def test_note_of_a_rejection_that_waits_stays() -> None:
    waiting = DeliveryRecord(since=0.0, state=DeliveryState.WAITING)
    assert not is_finished(record("a", State.REJECTED, 0.0, deliveries={"pacs": waiting}))


def test_age_and_room_decide() -> None:
    now = 100 * DAY
    series = [
        (record("young", State.DONE, now - 1 * DAY), 10),
        (record("old", State.DONE, now - 40 * DAY), 10),
        (record("failed", State.FAILED, now - 90 * DAY), 10),
        (record("middle", State.REJECTED, now - 20 * DAY), 10),
    ]

    def deleted(**settings: Any) -> list[str]:
        found = to_delete(Retention.model_construct(**settings), series, now)
        return [item.series_uid for item in found]

    assert deleted(keep_days=30.0, max_bytes=None) == ["old"]
    assert deleted(keep_days=None, max_bytes=None) == []
    assert deleted(keep_days=None, max_bytes=25) == ["old", "middle"]
    assert deleted(keep_days=None, max_bytes=35) == ["old"]
    assert deleted(keep_days=None, max_bytes=1) == ["old", "middle", "young"]


def test_deleted_series_leaves_nothing_and_can_come_anew(
    make_node: Callable[..., NodeProcess], pacs: StoreScp, tmp_path: Path
) -> None:
    config: dict[str, Any] = {
        "port": free_port(),
        "default_peer": "pacs",
        "peers": [peer("pacs", "PACS", pacs.port)],
    }
    node = make_node(DOUBLE, **config)
    node.start()
    uid, files = write_series(tmp_path, "head")
    bad, more = write_series(tmp_path, "bad", modality="MR")
    storescu(node.port, [*files, *more])
    node.wait_for_state(uid, "DONE")
    node.wait_for_state(bad, "REJECTED")
    assert node.stop() == 0
    text = node.config_file.read_text()
    node.config_file.write_text(text + to_toml({"retention": {"keep_days": 1e-9}}))
    node.start()
    node.wait_for_event("deleted", series=uid)
    node.wait_for_event("deleted", series=bad)
    assert node.states() == {}
    assert not list((node.data / "series").iterdir())
    storescu(node.port, files)
    node.wait_for_state(uid, "DONE")
    assert len(pacs.received()) == 2, "the same results with the same UIDs"
    trail = "".join(path.read_text() for path in (node.data / "audit").iterdir())
    assert trail.count('"EventActionCode": "D"') == 2
