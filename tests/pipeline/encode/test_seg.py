"""Every SEG voxel lies on its CT voxel, and every attribute is in its place."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from pipeline.arrays import LabelArray
from pipeline.encode.common import EncodeSettings, Equipment
from pipeline.encode.seg import build_seg
from pipeline.errors import EncodingError
from pipeline.mapping import LevelMap, RegionMap
from pipeline.provenance import Provenance
from pipeline.regions import REGION_SIDES, Level
from pipeline.series import CtSeries, load_series
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    NEW_UID,
    NOW,
    SHARED_DATA,
    ct_ge_series,
    ct_images,
    ct_series,
    provenance,
    region_map,
)


def make_seg(
    series: CtSeries,
    mapped: RegionMap | None = None,
    made_by: Provenance | None = None,
    **how: Any,
) -> Dataset:
    return build_seg(
        series,
        mapped or region_map(series),
        made_by or provenance(),
        **{"new_uid": NEW_UID, "now": NOW, **how},
    )


def to_bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def reread(dataset: Dataset) -> Dataset:
    return dcmread(io.BytesIO(to_bytes(dataset)))


def painted_by_frame(seg: Dataset, series: CtSeries) -> LabelArray:
    """Paint each frame onto the CT image at the same position, without highdicom."""
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    frames = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(
        seg.NumberOfFrames, seg.Rows, seg.Columns
    )
    painted = np.zeros((len(series), seg.Rows, seg.Columns), dtype=np.uint8)
    for item, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        number = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = item.PlanePositionSequence[0].ImagePositionPatient
        index = [image.ImagePositionPatient for image in series.datasets].index(position)
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == series.datasets[index].SOPInstanceUID
        assert not painted[index][frame == 1].any()
        painted[index][frame == 1] = number
    return painted


def expected_labels(series: CtSeries, mapped: RegionMap) -> LabelArray:
    labels = np.zeros((len(series), series.rows, series.columns), dtype=np.uint8)
    for level in mapped.levels.values():
        labels[level.slice_index] = level.labels
    return labels


@pytest.mark.parametrize("empty_frames", [False, True])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_voxel_lies_on_its_image(name: str, empty_frames: bool) -> None:
    series = ct_series(**GEOMETRIES[name])
    mapped = region_map(series)
    seg = reread(make_seg(series, mapped, settings=EncodeSettings(empty_frames=empty_frames)))
    assert np.array_equal(painted_by_frame(seg, series), expected_labels(series, mapped))
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert orientation == series.datasets[0].ImageOrientationPatient
    assert seg.FrameOfReferenceUID == series.datasets[0].FrameOfReferenceUID


@pytest.mark.parametrize("name", GEOMETRIES)
def test_highdicom_reads_the_same_voxels(name: str, tmp_path: Path) -> None:
    series = ct_series(**GEOMETRIES[name])
    mapped = region_map(series)
    (tmp_path / "seg.dcm").write_bytes(to_bytes(make_seg(series, mapped)))
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    pixels = seg.get_pixels_by_source_instance(
        series.sop_instance_uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(pixels, expected_labels(series, mapped))


@pytest.mark.skipif(not (SHARED_DATA / "ct-ge").is_dir(), reason="the real CT is not here")
def test_real_tilted_series_of_mixed_spacing() -> None:
    series = ct_ge_series()
    mapped = region_map(series, slices=(12, 16))
    seg = reread(make_seg(series, mapped))
    assert np.array_equal(painted_by_frame(seg, series), expected_labels(series, mapped))
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]
    thickness = {
        float(item.PixelMeasuresSequence[0].SliceThickness)
        for item in seg.PerFrameFunctionalGroupsSequence
    }
    assert thickness == {4.0, 7.0}
    assert seg.PatientBirthDate in (None, "")


def test_step_of_the_source_not_of_the_levels() -> None:
    even = make_seg(ct_series())
    measures = even.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == 5.0
    assert [float(value) for value in measures.PixelSpacing] == [0.8, 0.6]
    mixed = ct_series(**GEOMETRIES["4 and 7 mm"])
    measures = (
        make_seg(mixed, region_map(mixed, slices=(8, 11)))
        .SharedFunctionalGroupsSequence[0]
        .PixelMeasuresSequence[0]
    )
    assert "SpacingBetweenSlices" not in measures
    assert float(measures.SliceThickness) == 7.0


def test_segments_are_fixed() -> None:
    seg = reread(make_seg(ct_series()))
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (seg.SegmentationType, seg.NumberOfFrames) == ("BINARY", 20)
    assert [item.SegmentNumber for item in seg.SegmentSequence] == list(range(1, 21))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == [
        item.name for item in REGION_SIDES
    ]
    for item, region in zip(seg.SegmentSequence, REGION_SIDES, strict=True):
        modifier = item.SegmentedPropertyTypeCodeSequence[
            0
        ].SegmentedPropertyTypeModifierCodeSequence[0]
        assert modifier.CodeMeaning == {"R": "Right", "L": "Left"}[region.side]
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentAlgorithmName == "registration"
        identified = item.SegmentationAlgorithmIdentificationSequence[0]
        assert "age_group=50-69" in identified.AlgorithmParameters
        assert item.TrackingID == f"ASPECTS {region.name}"
        shown = hd.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb()
        # out-of-gamut rounding of the 16-bit CIELab value
        assert np.allclose(shown, region.rgb, atol=2)
    assert len({item.TrackingUID for item in seg.SegmentSequence}) == 20


def test_all_source_images_are_referenced() -> None:
    series = ct_series()
    (referenced,) = reread(make_seg(series)).ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.series_instance_uid
    assert tuple(
        item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence
    ) == tuple(series.sop_instance_uids)
    (frame, *_) = make_seg(series).PerFrameFunctionalGroupsSequence
    derivation = frame.DerivationImageSequence[0]
    assert derivation.DerivationCodeSequence[0].CodeValue == "113076"
    purpose = derivation.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0]
    assert purpose.CodeValue == "121322"


def test_patient_and_study_are_copied_verbatim() -> None:
    series = ct_series()
    seg = reread(make_seg(series))
    for keyword in (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
    ):
        assert seg[keyword].value == series.datasets[0][keyword].value, keyword
    assert seg.SeriesInstanceUID != series.series_instance_uid
    assert (seg.SeriesDate, seg.SeriesTime) == ("20240506", "070809.123000")
    assert (seg.ContentDate, seg.InstanceCreationDate) == ("20240506", "20240506")
    assert seg.TimezoneOffsetFromUTC == "+0000"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "Παπαδόπουλος^Γιώργος"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 126", "Διονυσιος"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_in_other_scripts(charset: str | list[str], name: str) -> None:
    def written_in(image: Dataset) -> None:
        image.SpecificCharacterSet = charset
        image.PatientName = name

    series = load_series([reread(image) for image in ct_images(change=written_in)])
    seg = reread(make_seg(series))
    assert str(seg.PatientName) == name
    assert seg.SpecificCharacterSet == charset


def test_unusual_values_neither_stop_nor_leak() -> None:
    def odd(image: Dataset) -> None:
        image.PatientName = "NOCARET"
        with warnings.catch_warnings(action="ignore"):
            image.PatientSex = "divers"
            image.PatientBirthDate = "1960-01-01"
            image.StudyTime = "25:61"

    series = ct_series(change=odd)
    seg = make_seg(series)
    assert seg.PatientName == "NOCARET"
    assert seg.PatientSex == "divers"
    assert str(seg.PatientBirthDate) == "1960-01-01"


@pytest.mark.parametrize("empty", [True, False])
def test_missing_type_2_attributes_become_empty(empty: bool) -> None:
    keywords = (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyID",
        "SpecificCharacterSet",
        "Manufacturer",
        "PositionReferenceIndicator",
    )

    def strip(image: Dataset) -> None:
        for keyword in keywords:
            if empty:
                image[keyword].value = None
            else:
                del image[keyword]

    seg = reread(make_seg(ct_series(change=strip)))
    for keyword in keywords[:-3]:
        assert keyword in seg, keyword
        assert not seg[keyword].value, keyword


def test_source_time_zone_is_kept() -> None:
    def in_india(image: Dataset) -> None:
        image.TimezoneOffsetFromUTC = "+0530"

    seg = make_seg(ct_series(change=in_india))
    assert seg.TimezoneOffsetFromUTC == "+0530"
    assert str(seg.ContentTime) == "123809.123000"


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(EncodingError, match="time zone"):
        make_seg(ct_series(), now=datetime(2024, 5, 6))  # noqa: DTZ001 - the point of the test


def test_lossy_source_makes_a_lossy_result() -> None:
    series = ct_series()
    assert make_seg(series).LossyImageCompression == "00"

    def lossy(image: Dataset) -> None:
        if image.InstanceNumber > 3:
            image.LossyImageCompression = "01"
            image.LossyImageCompressionRatio = "8.5"
            image.LossyImageCompressionMethod = "ISO_10918_1"

    seg = reread(make_seg(ct_series(change=lossy)))
    assert seg.LossyImageCompression == "01"
    assert float(seg.LossyImageCompressionRatio) == 8.5
    assert seg.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize("without", [(3,), (7, 8, 20), tuple(range(1, 21))])
def test_empty_regions_are_described(without: tuple[int, ...]) -> None:
    series = ct_series()
    mapped = region_map(series, without=without)
    seg = reread(make_seg(series, mapped))
    assert len(seg.SegmentSequence) == 20
    assert np.array_equal(painted_by_frame(seg, series), expected_labels(series, mapped))


def test_same_input_gives_same_bytes() -> None:
    assert to_bytes(make_seg(ct_series())) == to_bytes(make_seg(ct_series(reverse=True)))


def test_uids_follow_what_made_the_result() -> None:
    series = ct_series()
    plain = make_seg(series)
    later = make_seg(series, now=NOW.replace(year=2025))
    assert later.SOPInstanceUID == plain.SOPInstanceUID
    weights = provenance()
    weights = replace(
        weights,
        algorithms=(replace(weights.algorithms[0], sha256="00" * 32), weights.algorithms[1]),
    )
    others = [
        make_seg(series, made_by=weights),
        make_seg(series, made_by=provenance(pipeline_version="9")),
        make_seg(series, made_by=provenance(atlas_sha256="11" * 32)),
        make_seg(series, made_by=provenance(age_group="70-89")),
        make_seg(series, region_map(series, without=(4,))),
        make_seg(series, settings=EncodeSettings(empty_frames=True)),
    ]
    assert len({seg.SOPInstanceUID for seg in [plain, *others]}) == 7
    assert len({seg.SeriesInstanceUID for seg in [plain, *others]}) == 7
    of_device = [
        [item.DeviceUID for item in seg.ContributingEquipmentSequence if "DeviceUID" in item]
        for seg in (plain, others[0])
    ]
    assert len(of_device[0]) == 2
    assert of_device[0][0] != of_device[1][0]
    assert of_device[0][1] == of_device[1][1]


def test_equipment_is_named() -> None:
    settings = EncodeSettings(
        equipment=Equipment(manufacturer="Site", device_serial_number="SN-7"),
        seg_series_number=77,
    )
    seg = reread(make_seg(ct_series(), settings=settings))
    assert (seg.Manufacturer, seg.ManufacturerModelName) == ("Site", "aspects-node")
    assert (seg.DeviceSerialNumber, seg.SeriesNumber) == ("SN-7", 77)
    assert list(seg.SoftwareVersions) == [
        "aspects-node 0.1.0",
        "level-finder 1.0 sha256:efefefefefefefef",
        "registration 0.9",
        "aspects-281 52144cb sha256:cdcdcdcdcdcdcdcd",
    ]
    (scheme,) = seg.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99ASPECTS"
    assert scheme.CodingSchemeUID == NEW_UID("coding-scheme", "99ASPECTS")


def test_slices_chosen_by_a_person_make_it_semiautomatic() -> None:
    seg = make_seg(ct_series(), made_by=provenance(levels_by="person"))
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_map_that_does_not_fit_is_refused() -> None:
    series = ct_series()
    mapped = region_map(series)
    ganglionic = mapped.levels[Level.GANGLIONIC]

    def refused(level: LevelMap, match: str) -> None:
        with pytest.raises(EncodingError, match=match):
            make_seg(series, RegionMap(levels={**mapped.levels, Level.GANGLIONIC: level}))

    labels = ganglionic.labels.copy()
    refused(replace(ganglionic, labels=labels[:-1]), "native grid")
    refused(replace(ganglionic, slice_index=12), "no slice 12")
    refused(replace(ganglionic, slice_index=9), "one slice")
    labels[0, 0] = 8
    refused(replace(ganglionic, labels=labels), "does not belong to the ganglionic level")
