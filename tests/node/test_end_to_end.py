"""The main job with the real pipeline: Orthanc and dcmtk on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from tests.peers import NodeProcess, Orthanc, StoreScp, free_port, peer, storescu, tool, wait_for
from tests.peers import run as run_tool

pytestmark = pytest.mark.timeout(300)

WORK_S = 150.0
"""Several times what the work takes on two busy cores."""


@pytest.fixture
def site(
    make_node: Callable[..., NodeProcess], make_orthanc: Callable[..., Orthanc], pacs: StoreScp
) -> tuple[NodeProcess, Orthanc, StoreScp]:
    """A node, an Orthanc that it knows, and a storescp that gets everything."""
    port = free_port()
    orthanc = make_orthanc({"node": ("ASPECTS", port)})
    node = make_node(
        port=port,
        quiet_time_s=1.0,
        also_send_to=["pacs"],
        peers=[peer("orthanc", "ORTHANC", orthanc.port), peer("pacs", "PACS", pacs.port)],
    )
    orthanc.start()
    node.start()
    return node, orthanc, pacs


def test_head_goes_in_and_regions_come_back(
    site: tuple[NodeProcess, Orthanc, StoreScp], ct_ge: list[Path], tmp_path: Path
) -> None:
    node, orthanc, pacs = site
    orthanc.add(ct_ge)
    (series,) = orthanc.get("/series")
    orthanc.post("/modalities/node/store", series.encode())
    ct = [dcmread(path, stop_before_pixels=True) for path in ct_ge]
    uid = str(ct[0].SeriesInstanceUID)

    node.wait_for_event("delivered", WORK_S, series=uid, destination="orthanc")
    node.wait_for_event("delivered", WORK_S, series=uid, destination="pacs")
    assert orthanc.modalities() == ["CT", "SEG", "SR"]
    by_class = {str(item.SOPClassUID): item for item in pacs.wait_for(2)}
    seg, sr = by_class[SegmentationStorage], by_class[Comprehensive3DSRStorage]

    _refer_to(seg, sr, ct)
    assert _uids_of(orthanc) >= {str(seg.SOPInstanceUID), str(sr.SOPInstanceUID)}
    for dataset in (seg, sr):
        _assert_no_errors(dataset, tmp_path)

    row = node.wait_for_state(uid, "DONE")
    assert row["calling_ae"] == "ORTHANC"
    assert row["images"] == len(ct_ge)
    assert set(row["deliveries"]) == {"orthanc", "pacs"}
    _stages_are_logged(node, uid)


def _refer_to(seg: Dataset, sr: Dataset, ct: Sequence[Dataset]) -> None:
    series = {str(item.SeriesInstanceUID) for item in seg.ReferencedSeriesSequence}
    assert series == {str(ct[0].SeriesInstanceUID)}
    assert seg.FrameOfReferenceUID == ct[0].FrameOfReferenceUID
    assert {str(seg.StudyInstanceUID), str(sr.StudyInstanceUID)} == {str(ct[0].StudyInstanceUID)}
    evidence = {
        str(item.ReferencedSOPInstanceUID)
        for study in sr.CurrentRequestedProcedureEvidenceSequence
        for series_item in study.ReferencedSeriesSequence
        for item in series_item.ReferencedSOPSequence
    }
    assert str(seg.SOPInstanceUID) in evidence
    assert evidence & {str(item.SOPInstanceUID) for item in ct}


def _uids_of(orthanc: Orthanc) -> set[str]:
    found = set()
    for key in orthanc.get("/instances"):
        url = f"http://127.0.0.1:{orthanc.http}/instances/{key}/file"
        with urlopen(url, timeout=20) as answer:
            found.add(str(dcmread(BytesIO(answer.read())).SOPInstanceUID))
    return found


def _assert_no_errors(dataset: Dataset, folder: Path) -> None:
    if tool("dciodvfy") is None:
        pytest.skip("not installed: dicom3tools")
    path = folder / f"{dataset.Modality}.dcm"
    dataset.save_as(path)
    answer = run_tool("dciodvfy", "-new", path, check=False)
    lines = (answer.stdout + answer.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


def _stages_are_logged(node: NodeProcess, uid: str) -> None:
    """The demo adds these up: each stage ends later than the one before."""
    (complete,) = node.events("complete", series=uid)
    (computed,) = node.events("computed", series=uid)
    (delivered,) = node.events("delivered", series=uid, destination="orthanc")
    ends = [item["seconds_since_last_image"] for item in (complete, computed, delivered)]
    assert ends == sorted(ends)
    assert computed["timings_s"]
    assert sum(computed["timings_s"].values()) <= computed["seconds"] + 0.1


def test_series_that_cannot_be_mapped_is_rejected(
    site: tuple[NodeProcess, Orthanc, StoreScp], shared_data: Path
) -> None:
    node, orthanc, pacs = site
    phantom = sorted(
        path for path in (shared_data / "ct-phantom-philips").rglob("*") if _is_object(path)
    )
    series = {str(dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in phantom}
    storescu(node.port, phantom)
    rows = wait_for(
        lambda: found if _all_rejected(found := node.status(), len(series)) else None,
        WORK_S,
        "all series rejected",
    )
    assert {row["series"] for row in rows} == series
    assert all(row["code"] and row["reason"] for row in rows)
    assert pacs.received() == []
    assert orthanc.get("/instances") == []


def _all_rejected(rows: list[dict[str, object]], count: int) -> bool:
    return len(rows) == count and all(row["state"] == "REJECTED" for row in rows)


def _is_object(path: Path) -> bool:
    """Tell whether a file is a DICOM object that belongs to a series."""
    if not path.is_file() or path.read_bytes()[128:132] != b"DICM":
        return False
    return "SeriesInstanceUID" in dcmread(path, stop_before_pixels=True)
