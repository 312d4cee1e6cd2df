"""Storage commitment in both directions, with Orthanc."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread

from node.state import CommitState, read_records
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, Orthanc, free_port, peer, storescu, wait_for

MakeNode = Callable[..., NodeProcess]
MakeOrthanc = Callable[..., Orthanc]


def test_archive_commits_to_keep_results(
    make_node: MakeNode, make_orthanc: MakeOrthanc, tmp_path: Path
) -> None:
    port = free_port()
    orthanc = make_orthanc({"node": ("ASPECTS", port)})
    orthanc.start()
    node = make_node(
        DOUBLE,
        port=port,
        default_peer="archive",
        peers=[peer("archive", "ORTHANC", orthanc.port, commit=True)],
        delivery={"commit_timeout_s": 2.0},
    )
    node.start()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(node.port, files)
    node.wait_for_event("committed", series=uid, destination="archive", missing=0)
    assert commitment(node) == (CommitState.COMMITTED, 1)


def test_commitment_without_an_answer_is_asked_for_again(
    make_node: MakeNode, make_orthanc: MakeOrthanc, tmp_path: Path
) -> None:
    port = free_port()
    # Orthanc answers where it believes the node to be, and nobody is there
    orthanc = make_orthanc({"node": ("ASPECTS", free_port())})
    orthanc.start()
    node = make_node(
        DOUBLE,
        port=port,
        default_peer="archive",
        peers=[peer("archive", "ORTHANC", orthanc.port, commit=True)],
        delivery={"commit_timeout_s": 0.3, "commit_attempts": 2},
    )
    node.start()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(node.port, files)
    node.wait_for_state(uid, "DONE")
    node.wait_for_event("not_committed", series=uid)
    assert commitment(node) == (CommitState.FAILED, 2)


def commitment(node: NodeProcess) -> tuple[CommitState, int]:
    (record,) = read_records(node.data / "series")
    assert record.latest is not None
    found = record.latest.deliveries["archive"].commitment
    assert found is not None
    return found.state, found.attempts


def test_node_commits_to_what_it_has_on_disk(
    make_node: MakeNode, make_orthanc: MakeOrthanc, tmp_path: Path
) -> None:
    port = free_port()
    orthanc = make_orthanc({"node": ("ASPECTS", port)})
    node = make_node(DOUBLE, port=port, peers=[peer("archive", "ORTHANC", orthanc.port)])
    orthanc.start()
    node.start()
    _, files = write_series(tmp_path, "a", 2)
    storescu(node.port, files[:1], aet="ORTHANC")
    kept, missing = (dcmread(path, stop_before_pixels=True) for path in files)
    report = ask(orthanc, [kept, missing])
    assert [item["SOPInstanceUID"] for item in report["Success"]] == [kept.SOPInstanceUID]
    (failure,) = report["Failures"]
    assert failure["SOPInstanceUID"] == missing.SOPInstanceUID
    assert failure["FailureReason"] == 0x0112
    kept_requests = node.data / "commitments"
    wait_for(lambda: not list(kept_requests.iterdir()), what="the answered request is gone")


def ask(orthanc: Orthanc, images: list[Any]) -> Any:
    """Let Orthanc ask the node for commitment and return the report it got."""
    wanted = [
        {"SOPClassUID": str(item.SOPClassUID), "SOPInstanceUID": str(item.SOPInstanceUID)}
        for item in images
    ]
    body = json.dumps({"DicomInstances": wanted}).encode()
    path = orthanc.post("/modalities/node/storage-commitment", body)["Path"]
    return wait_for(
        lambda: found if (found := orthanc.get(path))["Status"] != "Pending" else None,
        what="the report",
    )
