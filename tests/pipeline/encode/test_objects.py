"""Everything that can be made of a result, and that the same work gives the same bytes."""

from __future__ import annotations

from collections import Counter
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from pipeline.encode.objects import ObjectKind, encode
from tests.pipeline.encode.builders import NEW_UID, NOW, ct_series, findings
from tests.pipeline.encode.test_seg import to_bytes


@pytest.fixture(scope="module")
def encoded() -> dict[str, Dataset]:
    return encode(findings(), list(ObjectKind), new_uid=NEW_UID, now=NOW)


def test_same_work_gives_the_same_bytes(encoded: dict[str, Dataset]) -> None:
    again = encode(findings(), list(ObjectKind), new_uid=NEW_UID, now=NOW)
    assert list(again) == list(encoded)
    for name, dataset in encoded.items():
        assert to_bytes(again[name]) == to_bytes(dataset), name


def test_every_object_is_an_instance_of_its_own(encoded: dict[str, Dataset]) -> None:
    assert len({item.SOPInstanceUID for item in encoded.values()}) == len(encoded)
    # viewers show the last instance of a SEG series alone
    of_seg = [item.SeriesInstanceUID for item in encoded.values() if item.Modality == "SEG"]
    assert max(Counter(of_seg).values()) == 1


def test_every_object_belongs_to_patient_and_study(encoded: dict[str, Dataset]) -> None:
    source = ct_series().datasets[0]
    for name, made in encoded.items():
        item = dcmread(BytesIO(to_bytes(made)))
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyInstanceUID",
            "StudyDate",
            "StudyID",
            "AccessionNumber",
            "SpecificCharacterSet",
        ):
            assert item[keyword].value == source[keyword].value, (name, keyword)
        assert item.SeriesInstanceUID != source.SeriesInstanceUID
        assert item.SeriesDate == "20240506"
        assert item.TimezoneOffsetFromUTC == "+0000"
        assert "unverified" in item.SeriesDescription


def test_label_map_holds_the_same_regions_with_the_same_tracking(
    encoded: dict[str, Dataset],
) -> None:
    binary, labels = encoded["seg.dcm"], encoded["seg-labelmap.dcm"]
    tracked = {item.SegmentNumber: item.get("TrackingUID") for item in labels.SegmentSequence}
    for item in binary.SegmentSequence:
        assert tracked[item.SegmentNumber] == item.TrackingUID
    made = findings()
    by_slice = {
        str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID): array
        for frame, array in zip(
            labels.PerFrameFunctionalGroupsSequence, labels.pixel_array, strict=True
        )
    }
    for level in made.region_map.levels.values():
        uid = made.series.sop_instance_uids[level.slice_index]
        assert np.array_equal(by_slice[uid], level.labels)


def test_report_on_a_label_map_refers_to_segments(encoded: dict[str, Dataset]) -> None:
    seg = encoded["seg-labelmap.dcm"]
    text = str(encoded["sr-labelmap.dcm"])
    assert text.count(str(seg.SOPInstanceUID)) == 1 + 20  # in the evidence, and for each region
    assert str(encoded["seg.dcm"].SOPInstanceUID) not in text
    assert text.count("Referenced Segment Number") == 20


def test_enhanced_report_says_the_same(encoded: dict[str, Dataset]) -> None:
    report, enhanced = encoded["sr.dcm"], encoded["sr-enhanced.dcm"]
    assert enhanced.SOPClassUID == enhanced.file_meta.MediaStorageSOPClassUID == EnhancedSRStorage
    assert enhanced.ContentSequence == report.ContentSequence
    assert enhanced.SOPInstanceUID != report.SOPInstanceUID


@pytest.mark.parametrize("encoding", ["", "-labelmap", "-enhanced"])
def test_key_objects_point_at_slices_seg_and_sr(encoded: dict[str, Dataset], encoding: str) -> None:
    document = encoded[f"ko{encoding}.dcm"]
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    references = [item for item in document.ContentSequence if "ReferencedSOPSequence" in item]
    assert not [item for item in references if "ConceptNameCodeSequence" in item]
    pointed_at = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in document.ContentSequence
        if item.ValueType in {"IMAGE", "COMPOSITE"}
    ]
    made = findings()
    seg = encoded["seg-labelmap.dcm" if encoding == "-labelmap" else "seg.dcm"]
    assert pointed_at == [
        made.levels.ganglionic.sop_instance_uid,
        made.levels.supraganglionic.sop_instance_uid,
        seg.SOPInstanceUID,
        encoded[f"sr{encoding}.dcm"].SOPInstanceUID,
    ]
    read = hd.ko.KeyObjectSelectionDocument.from_dataset(document)
    assert read.resolve_reference(seg.SOPInstanceUID)[1] == seg.SeriesInstanceUID


def test_tissue_is_a_segmentation_of_its_own(encoded: dict[str, Dataset]) -> None:
    full, tissue = encoded["seg.dcm"], encoded["tissue-seg.dcm"]
    assert tissue.SeriesInstanceUID != full.SeriesInstanceUID
    assert tissue.SegmentSequence[0].SegmentLabel == "R C tissue"
    uids = {item.TrackingUID for item in (*full.SegmentSequence, *tissue.SegmentSequence)}
    assert len(uids) == 40
    level = next(iter(findings(tissue_columns=slice(0, 9)).region_map.levels.values()))
    made = encode(
        findings(tissue_columns=slice(0, 9)), [ObjectKind.TISSUE_SEG], new_uid=NEW_UID, now=NOW
    )["tissue-seg.dcm"]
    segment = int(level.tissue.max())
    of_segment = [
        array
        for frame, array in zip(
            made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True
        )
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment
    ]
    assert np.array_equal(of_segment[0] > 0, level.tissue == segment)


def test_nothing_is_made_that_was_not_asked_for() -> None:
    made = encode(findings(), [ObjectKind.GSPS, ObjectKind.PDF], new_uid=NEW_UID, now=NOW)
    assert list(made) == ["gsps-ganglionic.dcm", "gsps-supraganglionic.dcm", "pdf.dcm"]
