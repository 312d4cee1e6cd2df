"""Key images: readable in a viewport and in grey, right regions, no patient on them."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage
from scipy import ndimage

from pipeline.encode.findings import Findings
from pipeline.encode.key_image import PAGE, PRESETS, STYLE, draw_level, render_key_image
from pipeline.encode.panel import line_colour
from pipeline.encode.secondary_capture import build_secondary_captures
from pipeline.mapping import RegionMap
from pipeline.quality import QualityReason, Verdict
from pipeline.regions import REGION_SIDES, Level, Side, at_level
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    NEW_UID,
    NOW,
    ct_series,
    findings,
    quality,
)
from tests.pipeline.encode.test_seg import to_bytes

SIZE = (566, 504)


@pytest.fixture(scope="module")
def captures() -> list[Dataset]:
    made = build_secondary_captures(findings(), new_uid=NEW_UID, now=NOW)
    return [dcmread(BytesIO(to_bytes(item))) for item in made]


def test_one_page_for_each_window(captures: list[Dataset]) -> None:
    assert PRESETS == ((40.0, 40.0), (35.0, 30.0))
    for number, (item, window) in enumerate(zip(captures, PRESETS, strict=True), start=1):
        assert item.SOPClassUID == SecondaryCaptureImageStorage
        assert (item.Modality, item.InstanceNumber, item.SeriesNumber) == ("OT", number, 9303)
        assert (item.Rows, item.Columns) == (PAGE, PAGE) == (1024, 1024)
        assert (item.PhotometricInterpretation, item.SamplesPerPixel) == ("RGB", 3)
        assert np.array_equal(item.pixel_array, render_key_image(findings(), window))
    assert len({item.SeriesInstanceUID for item in captures}) == 1


def test_it_says_what_it_is_and_where_from(captures: list[Dataset]) -> None:
    series = ct_series()
    for item in captures:
        assert (item.ConversionType, item.BurnedInAnnotation) == ("WSD", "NO")
        assert list(item.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert "Not for primary diagnosis" in item.ImageComments
        sources = [source.ReferencedSOPInstanceUID for source in item.SourceImageSequence]
        assert sources == [series.sop_instance_uids[5], series.sop_instance_uids[9]]
        assert (item.DateOfSecondaryCapture, item.InstanceCreationDate) == ("20240506",) * 2


def test_patient_is_in_no_pixel() -> None:
    def rename(image: Dataset) -> None:
        image.PatientName, image.PatientID = "Other^Name", "PID-2"
        image.PatientBirthDate = "19990101"

    other = findings(ct_series(change=rename))
    for window in PRESETS:
        assert np.array_equal(render_key_image(findings(), window), render_key_image(other, window))


@pytest.mark.parametrize("name", ["standard", "face down", "rows to left", "tilted"])
def test_right_of_the_patient_is_at_the_left(name: str) -> None:
    made = findings(ct_series(**GEOMETRIES[name]))
    for level in Level:
        plain = np.asarray(draw_level(replace_labels(made, level), level, PRESETS[0], SIZE)[0])
        drawn = np.asarray(draw_level(made, level, PRESETS[0], SIZE)[0])
        # the regions are coloured, the slice is grey
        coloured = np.ptp(drawn.astype(int), axis=2) > 0
        assert not (np.ptp(plain.astype(int), axis=2) > 0).any()
        assert coloured.any()
    view = made.volume.view
    for item in REGION_SIDES:
        labels = view.apply(made.region_map.levels[item.level].labels)
        assert (labels == item.number).any()


def replace_labels(made: Findings, level: Level) -> Findings:
    """Return the findings without a region on one level."""
    levels = dict(made.region_map.levels)
    levels[level] = replace(levels[level], labels=np.zeros_like(levels[level].labels))
    return replace(made, region_map=RegionMap(levels=levels))


@pytest.mark.parametrize("level", list(Level))
def test_outlines_stand_out_in_grey(level: Level) -> None:
    drawn, _ = draw_level(findings(), level, PRESETS[1], SIZE)
    grey = np.asarray(Image.fromarray(drawn).convert("L")).astype(int)
    for item in at_level(level):
        line = (drawn == np.array(line_colour(item, STYLE))).all(axis=2)
        assert line.any(), item.name
        assert grey[line].min() >= 150
        # and beside it there is its black rim
        beside = ndimage.binary_dilation(line) & ~line
        assert (grey[beside] < 10).mean() > 0.25, item.name


def test_colours_of_the_two_sides_are_the_same_and_all_others_differ() -> None:
    colours = {item.region: line_colour(item, STYLE) for item in REGION_SIDES}
    assert len(set(colours.values())) == 10
    assert all(
        line_colour(item, STYLE) == colours[item.region]
        for item in REGION_SIDES
        if item.side is Side.LEFT
    )


def test_page_shows_verdict_and_numbers() -> None:
    made = findings()
    page = render_key_image(made, PRESETS[0])
    failed = replace(quality(), verdict=Verdict.FAIL)
    for other in (replace(made, quality=failed), findings(without=(4,))):
        assert not np.array_equal(render_key_image(other, PRESETS[0]), page)


def test_many_reasons_leave_the_footer_free() -> None:
    text = "The slice is not like the atlas, at some length, so that it takes two lines. " * 2
    reason = QualityReason(code="x", verdict=Verdict.WARN, text=text)
    crowded = findings(quality=replace(quality(), reasons=(reason,) * 9))
    footer = slice(PAGE - 52, PAGE)
    page = render_key_image(findings(), PRESETS[0])
    assert np.array_equal(render_key_image(crowded, PRESETS[0])[footer], page[footer])
