"""Areas and Hounsfield units against a plain count."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from pipeline.atlas import AgeGroup, Atlas
from pipeline.mapping import LevelMap, RegionMap
from pipeline.measure import RegionMeasurement, measure
from pipeline.regions import REGION_SIDES, Level, at_level
from pipeline.series import load_series
from pipeline.volume import Volume, to_volume
from tests.pipeline.heads import stack

ROWS, COLUMNS = 14, 11


def _maps(seed: int) -> RegionMap:
    rng = np.random.default_rng(seed)
    levels = {}
    for index, level in ((4, Level.GANGLIONIC), (8, Level.SUPRAGANGLIONIC)):
        numbers = [0] + [item.number for item in REGION_SIDES if item.level is level]
        labels = rng.choice(numbers, (ROWS, COLUMNS)).astype(np.uint8)
        kind = rng.random(labels.shape)
        tissue, dense = (
            np.where(mask, labels, 0).astype(np.uint8) for mask in (kind < 0.7, kind > 0.9)
        )
        levels[level] = LevelMap(
            level=level, slice_index=index, labels=labels, tissue=tissue, dense=dense
        )
    return RegionMap(levels=levels)


def _atlases(left_darker_hu: float = 0.0) -> dict[Level, Atlas]:
    """A template with tissue in each region, darker on the left."""
    return {level: _atlas(level, left_darker_hu) for level in Level}


def _atlas(level: Level, left_darker_hu: float) -> Atlas:
    labels = np.zeros((60, 80), dtype=np.uint8)
    for place, item in enumerate(at_level(level)):
        top, left = divmod(place, 4)
        labels[15 * top : 15 * top + 14, 20 * left : 20 * left + 19] = item.number
    template = np.where(labels > 10, 34.0 - left_darker_hu, 34.0).astype(np.float32)
    return Atlas(
        template=template,
        labels=labels,
        spacing_mm=(1.0, 1.0),
        level=level,
        age_group=AgeGroup.AGE_50_69,
        name="blocks",
        version="1",
        sha256="",
    )


def _volume() -> Volume:
    return to_volume(load_series(stack()))


def _by_name(found: tuple[RegionMeasurement, ...]) -> dict[str, RegionMeasurement]:
    return {item.region_side.name: item for item in found}


def test_numbers_are_those_of_a_plain_count() -> None:
    volume, maps = _volume(), _maps(1)
    found = measure(volume, maps, _atlases())
    assert [item.region_side for item in found] == list(REGION_SIDES)
    for item in found:
        level_map = maps.levels[item.region_side.level]
        values = [
            float(volume.voxels[level_map.slice_index, row, column])
            for row in range(ROWS)
            for column in range(COLUMNS)
            if level_map.labels[row, column] == item.region_side.number
        ]
        assert item.n == len(values)
        assert item.area_mm2 == pytest.approx(len(values) * 0.5 * 0.4)
        assert item.hu_mean == pytest.approx(statistics.mean(values))
        assert item.hu_median == pytest.approx(statistics.median_grouped(values))
        assert item.hu_sd == pytest.approx(statistics.stdev(values))
        assert item.slice_index == level_map.slice_index
        assert 0 < item.tissue_n < item.n
        number = item.region_side.number
        assert item.dense_n == np.count_nonzero(level_map.dense == number)
        assert item.fluid_n == len(values) - item.tissue_n - item.dense_n
        assert item.fluid_area_mm2 == pytest.approx(item.fluid_n * 0.2)
    assert sum(item.dense_n for item in found) > 0
    assert sum(item.fluid_n for item in found) > 0


def test_sides_are_compared_with_opposite_signs() -> None:
    found = _by_name(measure(_volume(), _maps(2), _atlases()))
    for name in ("C", "I", "M3", "M5"):
        right, left = found[f"R {name}"], found[f"L {name}"]
        assert right.tissue_hu_median is not None
        assert left.tissue_hu_median is not None
        assert right.difference_hu is not None
        assert right.difference_hu == pytest.approx(right.tissue_hu_median - left.tissue_hu_median)
        assert left.difference_hu == pytest.approx(-right.difference_hu)
        if min(right.tissue_hu_median, left.tissue_hu_median) > 0:
            assert right.ratio == pytest.approx(right.tissue_hu_median / left.tissue_hu_median)
        else:
            # a ratio of densities below that of water means nothing
            assert None in {right.ratio, left.ratio}


def test_empty_and_single_regions_have_no_made_up_numbers() -> None:
    labels = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    labels[3, 4] = 1
    empty = np.zeros_like(labels)
    maps = RegionMap(
        levels={
            level: LevelMap(
                level=level,
                slice_index=2,
                labels=labels.copy(),
                tissue=empty.copy(),
                dense=empty.copy(),
            )
            for level in Level
        }
    )
    found = _by_name(measure(_volume(), maps, _atlases()))
    one, other = found["R C"], found["L C"]
    assert (one.n, one.hu_sd, one.tissue_hu_median, one.difference_hu) == (1, None, None, None)
    assert one.hu_mean is not None
    assert one.noise_hu is None
    assert not one.is_marked
    assert (other.n, other.area_mm2, other.hu_mean, other.hu_median) == (0, 0.0, None, None)
