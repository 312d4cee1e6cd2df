"""The picture shows the right slices, the right way round, in true proportions."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline.arrays import MaskArray
from pipeline.encode.panel import PANEL, RgbArray, common_field, plain_panel, region_panel
from pipeline.encode.picture import png_bytes, render_levels
from pipeline.geometry import in_plane_view
from pipeline.quality import Verdict
from pipeline.regions import Level, Side, region_side
from pipeline.volume import Volume, to_volume
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    ct_series,
    levels,
    provenance,
    quality,
    region_map,
)


def volume_of(name: str) -> Volume:
    return to_volume(ct_series(**GEOMETRIES[name]))


def outline(panel: RgbArray, number: int) -> MaskArray:
    return np.asarray((panel == np.array(region_side(number).rgb)).all(axis=-1))


def render(verdict: Verdict = Verdict.WARN, without: tuple[int, ...] = ()) -> RgbArray:
    series = ct_series()
    return render_levels(
        to_volume(series),
        region_map(series, without=without),
        levels(series),
        replace(quality(), verdict=verdict),
        provenance(),
    )


@pytest.mark.parametrize("name", ["standard", "face down", "rows to left", "tilted"])
def test_regions_are_drawn_where_their_voxels_are_seen(name: str) -> None:
    volume = volume_of(name)
    rows, columns = volume.voxels.shape[1:]
    # one block, drawn in the radiologist's view: anterior, on the patient's right
    seen = np.zeros(volume.view.apply(np.zeros((rows, columns))).shape, dtype=np.uint8)
    seen[8:20, 8:20] = 1
    labels = np.ascontiguousarray(volume.view.undo(seen))
    field = common_field(volume, [5])
    panel = region_panel(plain_panel(volume, 5, field), volume, labels, field)
    drawn = np.argwhere(outline(panel, 1))
    assert drawn[:, 0].max() < PANEL[0] / 2
    assert drawn[:, 1].max() < PANEL[1] / 2
    spacing = volume.view.spacing(volume.pixel_spacing_mm)
    size_mm = (np.ptp(drawn, axis=0) + 1) * field.mm_per_pixel
    assert np.allclose(size_mm, 12 * np.array(spacing), atol=0.5)


def test_same_field_for_both_levels_holds_the_head() -> None:
    volume = volume_of("standard")
    field = common_field(volume, [5, 9])
    panel = plain_panel(volume, 9, field)[..., 0]
    head = np.argwhere(panel > 0)
    assert head.min() > 0
    # centre to centre of 53 rows of 0.8 mm and 43 columns of 0.6 mm
    size_mm = (np.ptp(head, axis=0) + 1) * field.mm_per_pixel
    assert np.allclose(size_mm, (41.6, 25.2), atol=0.2)


def test_window_is_80_around_40() -> None:
    volume = volume_of("standard")
    field = common_field(volume, [5])
    centre = plain_panel(volume, 5, field)[PANEL[0] // 2, PANEL[1] // 2]
    # 35 HU: 5 below the centre, 255 * (0.5 - 5 / 80)
    assert centre.tolist() == [112, 112, 112]


def test_air_only_still_gives_a_picture() -> None:
    volume = volume_of("standard")
    empty = replace(volume, voxels=np.full_like(volume.voxels, -1000.0))
    field = common_field(empty, [5])
    assert plain_panel(empty, 5, field).max() == 0


def test_whole_picture_is_deterministic() -> None:
    picture, again = render(), render()
    encoded = png_bytes(picture)
    assert encoded == png_bytes(again)
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.mode == "RGB"
        assert image.info == {}
        assert np.array_equal(np.asarray(image), picture)


def test_every_region_is_drawn_and_empty_ones_do_not_stop_it() -> None:
    picture = render(without=(4, 18))
    for number in range(1, 21):
        item = region_side(number)
        half = slice(0, PANEL[1] // 2) if item.side is Side.RIGHT else slice(PANEL[1] // 2, None)
        place = list(Level).index(item.level)
        below = picture[-PANEL[0] - 58 : -58, 10 + place * (PANEL[1] + 10) :][:, : PANEL[1]]
        parts = ndimage.label(outline(below[:, half], number))[1]
        assert (parts > 0) == (number not in (4, 18)), number


def test_verdicts_look_different() -> None:
    pictures = [render(verdict) for verdict in Verdict]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


def test_view_of_the_tests_is_not_the_identity() -> None:
    assert in_plane_view(GEOMETRIES["rows to left"]["orientation"]).transpose
