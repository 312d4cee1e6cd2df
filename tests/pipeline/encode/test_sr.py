"""The report says what was measured, where, by what, and that it is no score."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from pipeline.encode.common import EncodeSettings, SrClass
from pipeline.encode.sr import build_sr
from pipeline.errors import EncodingError
from pipeline.regions import REGION_SIDES, Level
from tests.pipeline.encode.builders import (
    NEW_UID,
    NOW,
    both,
    ct_series,
    levels,
    measurements,
    provenance,
    quality,
    region_map,
)
from tests.pipeline.encode.test_seg import to_bytes


def items(node: Dataset) -> Iterator[Dataset]:
    for item in node.get("ContentSequence") or []:
        yield item
        yield from items(item)


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def groups(sr: Dataset) -> list[Dataset]:
    return [
        item
        for item in items(sr)
        if item.ValueType == "CONTAINER" and meaning(item) == "Measurement Group"
    ]


def named(group: Dataset, name: str) -> list[Dataset]:
    return [item for item in group.ContentSequence if meaning(item) == name]


def texts(node: Dataset) -> str:
    return "\n".join(str(item.TextValue) for item in items(node) if item.ValueType == "TEXT")


@pytest.fixture(scope="module")
def seg_and_sr() -> tuple[Dataset, Dataset]:
    seg, sr = both(ct_series(), region_map(ct_series(), without=(4,)))
    return seg, dcmread(io.BytesIO(to_bytes(sr)))


def test_document(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    seg, sr = seg_and_sr
    assert sr.SOPClassUID == Comprehensive3DSRStorage
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert sr.PatientName == "Müller^Zoë"
    assert sr.SeriesInstanceUID != seg.SeriesInstanceUID
    assert sr.ReferencedRequestSequence[0].AccessionNumber == "A4711"
    assert (sr.SeriesDate, sr.InstanceCreationDate) == ("20240506", "20240506")
    observers = [item for item in items(sr) if meaning(item) == "Observer Type"]
    assert [item.ConceptCodeSequence[0].CodeMeaning for item in observers] == ["Device"]


def test_evidence_lists_every_image_and_the_seg(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    seg, sr = seg_and_sr
    (study,) = sr.CurrentRequestedProcedureEvidenceSequence
    listed = {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {*ct_series().sop_instance_uids, seg.SOPInstanceUID}


def test_levels_are_told_in_words(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    group = groups(sr)[0]
    series = ct_series()
    images = named(group, "Source of Measurement")
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images] == [
        series.sop_instance_uids[5],
        series.sop_instance_uids[9],
    ]
    said = texts(group)
    assert "Ganglionic level: slice 6 of 12" in said
    assert "Supraganglionic level: slice 10 of 12" in said
    assert "next best slice 7 (index 6), margin 0.25" in said
    assert "Quality, warn, ganglionic-similarity-low: The ganglionic slice resembles" in said
    assert "ganglionic_ncc 0.9125" in said
    assert "Atlas aspects-281 52144cb, age group 50-69 years" in said
    for sha256 in ("ab" * 32, "cd" * 32, "ef" * 32):
        assert sha256 in said
    verdict = named(group, "Quality of the mapping")[0].ConceptCodeSequence[0]
    assert verdict.CodeValue == "WARN"


def test_regions_refer_to_their_frames(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    seg, sr = seg_and_sr
    regions = groups(sr)[1:]
    assert len(regions) == 20
    for region, group, segment in zip(REGION_SIDES, regions, seg.SegmentSequence, strict=True):
        assert named(group, "Tracking Identifier")[0].TextValue == segment.TrackingID
        assert segment.TrackingUID == named(group, "Tracking Unique Identifier")[0].UID
        site = named(group, "Finding Site")[0]
        side = site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning
        assert side == {"R": "Right", "L": "Left"}[region.side]
        if region.number == 4:
            continue
        (reference,) = named(group, "Referenced Segmentation Frame")
        reference = reference.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        frame = seg.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == region.number
        (source,) = named(group, "Source Image for Segmentation")
        drawn_on = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert (
            source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            == drawn_on.ReferencedSOPInstanceUID
        )


def test_numbers_of_a_region(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    group = groups(sr)[15]
    (area,) = named(group, "Area")
    # two rows of 3 + 15 columns, 0.8 mm by 0.6 mm
    assert float(area.MeasuredValueSequence[0].NumericValue) == pytest.approx(36 * 0.48)
    derived = {
        item.ContentSequence[-1].ConceptCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in named(group, "Attenuation Coefficient")
    }
    assert derived == {
        "Mean": (35.0, "[hnsf'U]"),
        "Median": (35.0, "[hnsf'U]"),
        "Standard Deviation": (1.5, "[hnsf'U]"),
    }
    (difference,) = named(group, "Difference from the other side")
    assert float(difference.MeasuredValueSequence[0].NumericValue) == -1.25


def test_outlines_lie_around_the_regions(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    series = ct_series()
    for region, group in zip(REGION_SIDES, groups(sr)[1:], strict=True):
        (area,) = named(group, "Area")
        (outline,) = area.ContentSequence
        (image,) = outline.ContentSequence
        slice_index = 5 if region.level is Level.GANGLIONIC else 9
        reference = image.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == series.sop_instance_uids[slice_index]
        columns, rows = np.reshape(outline.GraphicData, (-1, 2)).T
        if region.number == 4:  # not mapped: the whole slice
            assert (min(columns), max(columns), min(rows), max(rows)) == (0, 53, 0, 61)
            continue
        labels = region_map(series).levels[region.level].labels
        of_row, of_column = np.nonzero(labels == region.number)
        assert (min(columns), max(columns)) == (min(of_column), max(of_column) + 1)
        assert (min(rows), max(rows)) == (min(of_row), max(of_row) + 1)


def test_every_group_has_coordinates(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    """A widely used viewer ends with an error at a measurement without them."""
    _, sr = seg_and_sr
    for group in groups(sr):
        assert [item for item in items(group) if item.ValueType == "SCOORD"]


def test_empty_region_is_said_to_be_empty(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    group = groups(sr)[4]
    assert not named(group, "Referenced Segmentation Frame")
    assert named(group, "Region mapped")[0].ConceptCodeSequence[0].CodeMeaning == "No"
    (area,) = named(group, "Area")
    assert area.MeasuredValueSequence[0].NumericValue == 0
    assert "R I (Insula) was not mapped" in texts(group)


def test_missing_numbers_are_named() -> None:
    series = ct_series()
    mapped = region_map(series)
    seg, _ = both(series, mapped)
    numbers = [replace(item, hu_sd=None, noise_hu=float("nan")) for item in measurements(mapped)]
    sr = build_sr(
        series,
        levels(series),
        numbers,
        quality(),
        provenance(),
        seg,
        new_uid=NEW_UID,
        now=NOW,
    )
    group = groups(sr)[1]
    assert len(named(group, "Attenuation Coefficient")) == 3
    missing = "Standard Deviation, Attenuation Coefficient; Standard Deviation, Noise of the slice"
    assert f"Not measured: {missing}." in texts(group)


def test_highdicom_reads_the_report(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    seg, sr = seg_and_sr
    report = hd.sr.Comprehensive3DSR.from_dataset(sr).content
    found = report.get_planar_roi_measurement_groups(
        tracking_uid=seg.SegmentSequence[14].TrackingUID
    )
    assert len(found) == 1
    assert found[0].finding_type.value == "M1"
    assert found[0].finding_sites[0].laterality.meaning == "Left"
    assert found[0].reference_type.meaning == "Referenced Segmentation Frame"


def test_no_score_and_the_reading_notes(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    said = texts(sr)
    assert "The two levels are a template: every slice has to be read." in said
    assert "not for primary diagnosis. No ASPECTS score was computed." in said
    names = {meaning(item) for item in items(sr)}
    assert not [name for name in names if "score" in name.lower()]
    assert not [
        item
        for item in items(sr)
        for code in item.get("ConceptCodeSequence") or []
        if code.CodeValue == "1290003007"
    ]


def test_laterality_of_the_seg_does_not_leak(seg_and_sr: tuple[Dataset, Dataset]) -> None:
    _, sr = seg_and_sr
    for item in items(sr):
        for code in item.get("ConceptCodeSequence") or []:
            assert "SegmentedPropertyTypeModifierCodeSequence" not in code


def test_same_content_as_enhanced_sr() -> None:
    plain = both(ct_series())[1]
    enhanced = both(ct_series(), settings=EncodeSettings(sr_class=SrClass.ENHANCED))[1]
    assert enhanced.SOPClassUID == EnhancedSRStorage
    assert enhanced.SOPInstanceUID != plain.SOPInstanceUID
    assert texts(enhanced) == texts(plain)


def test_same_input_gives_same_bytes() -> None:
    assert to_bytes(both(ct_series())[1]) == to_bytes(both(ct_series(reverse=True))[1])


def test_no_order_where_none_is_known() -> None:
    def anonymous(image: Dataset) -> None:
        image.AccessionNumber = ""

    assert "ReferencedRequestSequence" not in both(ct_series(change=anonymous))[1]


def test_procedure_of_the_study_comes_first() -> None:
    def coded(image: Dataset) -> None:
        code = Dataset()
        code.CodeValue = "24725-4"
        code.CodingSchemeDesignator = "LN"
        code.CodeMeaning = "CT Head"
        image.ProcedureCodeSequence = [code]

    sr = both(ct_series(change=coded))[1]
    reported = [
        item.ConceptCodeSequence[0].CodeValue
        for item in sr.ContentSequence
        if meaning(item) == "Procedure reported"
    ]
    assert reported == ["24725-4", "25045-6"]


def test_measured_region_without_a_frame_is_our_defect() -> None:
    series = ct_series()
    seg, _ = both(series, region_map(series, without=(4,)))
    with pytest.raises(EncodingError, match="R I was measured"):
        build_sr(
            series,
            levels(series),
            measurements(region_map(series)),
            quality(),
            provenance(),
            seg,
            new_uid=NEW_UID,
            now=NOW,
        )
