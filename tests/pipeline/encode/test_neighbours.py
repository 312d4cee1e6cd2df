"""Regions on further slices: more frames of the same segments, measured where they were."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from pipeline.encode.findings import Findings
from pipeline.encode.objects import ObjectKind, encode
from pipeline.encode.result_json import neighbours_document
from pipeline.encode.seg import source_of_frame
from pipeline.regions import Level
from tests.pipeline.encode.builders import NEW_UID, NOW, ct_series, findings
from tests.pipeline.encode.test_seg import to_bytes
from tests.pipeline.encode.test_sr import groups, named, texts
from tests.pipeline.encode.test_validators import saved, unexplained

FURTHER = {4: Level.GANGLIONIC, 6: Level.GANGLIONIC, 10: Level.SUPRAGANGLIONIC}
KINDS = (ObjectKind.SEG, ObjectKind.SR, ObjectKind.LABELMAP, ObjectKind.TISSUE_SEG)


def wide() -> Findings:
    """Return findings whose regions are on three more slices, a row lower."""
    plain = findings()
    levels = plain.region_map.levels
    more = tuple(
        replace(
            levels[level],
            slice_index=index,
            labels=np.roll(levels[level].labels, 1, axis=0),
            tissue=np.roll(levels[level].tissue, 1, axis=0),
        )
        for index, level in FURTHER.items()
    )
    return replace(plain, region_map=replace(plain.region_map, neighbours=more))


@pytest.fixture(scope="module")
def made() -> dict[str, Dataset]:
    encoded = encode(wide(), KINDS, new_uid=NEW_UID, now=NOW)
    return {name: dcmread(BytesIO(to_bytes(one))) for name, one in encoded.items()}


@pytest.mark.parametrize("name", ["seg.dcm", "seg-labelmap.dcm", "tissue-seg.dcm"])
def test_further_frames_lie_on_their_images(made: dict[str, Dataset], name: str) -> None:
    seg = made[name]
    uids = ct_series().sop_instance_uids
    frames = seg.PerFrameFunctionalGroupsSequence
    shown = {source_of_frame(frame) for frame in frames}
    assert shown == {uids[index] for index in (5, 9, *FURTHER)}
    for frame in frames:
        (image,) = [
            ds for ds in ct_series().datasets if ds.SOPInstanceUID == source_of_frame(frame)
        ]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == pytest.approx(image.ImagePositionPatient)


def test_binary_frames_hold_the_regions_of_their_slice(made: dict[str, Dataset]) -> None:
    seg, region_map = made["seg.dcm"], wide().region_map
    by_uid = {
        ct_series().sop_instance_uids[one.slice_index]: one
        for one in (*region_map.levels.values(), *region_map.neighbours)
    }
    frames = zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True)
    for frame, plane in frames:
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        expected = by_uid[source_of_frame(frame)].labels == number
        assert np.array_equal(plane > 0, expected)


@pytest.mark.parametrize("name", ["sr.dcm", "sr-labelmap.dcm"])
def test_report_measures_on_the_levels_and_says_so(made: dict[str, Dataset], name: str) -> None:
    sr, uids = made[name], ct_series().sop_instance_uids
    for group in groups(sr)[1:]:
        (source,) = named(group, "Source Image for Segmentation")
        drawn_on = source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert drawn_on in {uids[5], uids[9]}
    assert "carried to 3 more slices; measured on the two levels alone" in texts(sr)


def test_result_json_lists_the_slices() -> None:
    found = neighbours_document(ct_series(), wide().region_map.neighbours)
    assert [(item["index"], item["level"]) for item in found] == [
        (index, str(level)) for index, level in FURTHER.items()
    ]
    counts = np.bincount(wide().region_map.neighbours[0].labels.ravel())
    assert found[0]["n"] == {str(k): int(n) for k, n in enumerate(counts) if k and n}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_takes_them(made: dict[str, Dataset], tmp_path: Path) -> None:
    assert unexplained({name: saved(tmp_path, name, ds) for name, ds in made.items()}) == []
