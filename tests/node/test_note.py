"""A destination that asks for it is told why a series was not mapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from tests.node.double import CRASH
from tests.node.series import write_series
from tests.peers import NodeProcess, Orthanc, StoreScp, peer, storescu

pytestmark = pytest.mark.timeout(300)

WORK_S = 150.0
DOUBLE = "tests.node.double:compute"


def texts(note: Dataset) -> str:
    return "\n".join(item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT")


def test_rejected_series(
    make_node: Callable[..., NodeProcess],
    make_orthanc: Callable[..., Orthanc],
    pacs: StoreScp,
    ct_ge: list[Path],
) -> None:
    asks, asks_not = make_orthanc({}, "asks"), make_orthanc({}, "asks-not")
    with_note = ["seg", "sr", "note"]
    node = make_node(
        default_peer="pacs",
        also_send_to=["asks", "asks-not"],
        peers=[
            peer("pacs", "PACS", pacs.port, objects=with_note),
            peer("asks", "ASKS", asks.port, objects=with_note),
            peer("asks-not", "ASKSNOT", asks_not.port),
        ],
    )
    for one in (asks, asks_not, node):
        one.start()
    few = ct_ge[10:13]
    uid = str(dcmread(few[0], stop_before_pixels=True).SeriesInstanceUID)
    storescu(node.port, few)
    (note,) = pacs.wait_for(1, WORK_S)
    node.wait_for_event("delivered", WORK_S, series=uid, destination="asks")
    (row,) = node.status()
    assert row["state"] == "REJECTED"
    assert set(row["deliveries"]) == {"pacs", "asks"}
    assert note.SOPClassUID == EnhancedSRStorage
    assert f"{row['code']}: {row['reason']}" in texts(note)
    assert "Nothing was mapped" in texts(note)
    assert note.PatientID == dcmread(few[0], stop_before_pixels=True).PatientID
    assert asks.modalities() == ["SR"]
    assert asks_not.modalities() == []
    # tried again: the same reason, the same note
    assert node.run("reprocess", uid).returncode == 0
    node.wait_for_event("delivered", WORK_S, series=uid, destination="asks", generation=2)
    assert asks.modalities() == ["SR"]
    (again,) = pacs.received()
    assert again.SOPInstanceUID == note.SOPInstanceUID


def test_failed_series(
    make_node: Callable[..., NodeProcess], pacs: StoreScp, tmp_path: Path
) -> None:
    node = make_node(
        DOUBLE,
        default_peer="pacs",
        compute_attempts=1,
        peers=[peer("pacs", "PACS", pacs.port, objects=["note"])],
    )
    node.start()
    uid, files = write_series(tmp_path, "head", protocol=CRASH)
    storescu(node.port, files)
    (note,) = pacs.wait_for(1, WORK_S)
    row = node.wait_for_state(uid, "FAILED")
    assert note.SOPClassUID == EnhancedSRStorage
    assert row["deliveries"]["pacs"]["statuses"] == {"note.dcm": "0x0000"}
