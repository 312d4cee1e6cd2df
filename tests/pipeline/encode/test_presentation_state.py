"""Presentation states: the outlines enclose the labels, on the right image, in colour."""

from __future__ import annotations

from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from pipeline.encode.presentation_state import build_presentation_states
from pipeline.regions import Level, region_side
from tests.pipeline.encode.builders import NEW_UID, NOW, SPACING, ct_series, findings
from tests.pipeline.encode.test_outline import filled
from tests.pipeline.encode.test_seg import to_bytes


def made(**how: object) -> list[Dataset]:
    states = build_presentation_states(findings(**how), new_uid=NEW_UID, now=NOW)  # type: ignore[arg-type]
    return [dcmread(BytesIO(to_bytes(item))) for item in states]


@pytest.mark.parametrize("without", [(), (4, 18)])
def test_outlines_enclose_the_labels(without: tuple[int, ...]) -> None:
    found = findings(without=without)
    for state, level in zip(made(without=without), Level, strict=True):
        labels = np.zeros_like(found.region_map.levels[level].labels)
        for annotation in state.GraphicAnnotationSequence:
            (name,) = (item.UnformattedTextValue for item in annotation.TextObjectSequence)
            (item,) = (
                region_side(number) for number in range(1, 21) if region_side(number).name == name
            )
            assert annotation.GraphicLayer == str(item.region)
            lines = [
                np.reshape(graphic.GraphicData, (-1, 2))
                for graphic in annotation.GraphicObjectSequence
            ]
            labels[filled(lines, labels.shape)] = item.number
            column, row = annotation.TextObjectSequence[0].AnchorPoint
            assert labels[int(row), int(column)] == item.number
        assert np.array_equal(labels, found.region_map.levels[level].labels)


def test_each_level_is_shown_on_its_own_slice_in_the_stroke_window() -> None:
    series = ct_series()
    for state, index in zip(made(), (5, 9), strict=True):
        (reference,) = state.ReferencedSeriesSequence
        assert reference.SeriesInstanceUID == series.series_instance_uid
        (image,) = reference.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == series.sop_instance_uids[index]
        (window,) = state.SoftcopyVOILUTSequence
        assert (window.WindowCenter, window.WindowWidth) == (40, 40)
        assert (state.RescaleSlope, state.RescaleIntercept) == (1, 0)
        (area,) = state.DisplayedAreaSelectionSequence
        assert [float(value) for value in area.PresentationPixelSpacing] == list(SPACING)
        assert (state.Modality, state.PresentationCreationDate) == ("PR", "20240506")


def test_each_region_has_a_layer_in_its_colour() -> None:
    for state in made():
        for layer in state.GraphicLayerSequence:
            item = next(
                region_side(number)
                for number in range(1, 11)
                if str(region_side(number).region) == layer.GraphicLayer
            )
            colour = hd.color.CIELabColor.from_rgb(*item.rgb)
            assert list(layer.GraphicLayerRecommendedDisplayCIELabValue) == list(colour.value)


def test_rescale_is_that_of_the_slice_shown() -> None:
    def differ(image: Dataset) -> None:
        image.RescaleIntercept = str(-int(image.InstanceNumber))

    states = made(series=ct_series(change=differ))
    assert [int(state.RescaleIntercept) for state in states] == [-6, -10]
