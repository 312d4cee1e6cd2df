"""Areas and Hounsfield units against a plain count."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from pipeline.mapping import LevelMap, RegionMap
from pipeline.measure import RegionMeasurement, measure
from pipeline.regions import REGION_SIDES, Level
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
        tissue = np.where(rng.random(labels.shape) < 0.7, labels, 0).astype(np.uint8)
        levels[level] = LevelMap(level=level, slice_index=index, labels=labels, tissue=tissue)
    return RegionMap(levels=levels)


def _volume() -> Volume:
    return to_volume(load_series(stack()))


def _by_name(found: tuple[RegionMeasurement, ...]) -> dict[str, RegionMeasurement]:
    return {item.region_side.name: item for item in found}


def test_numbers_are_those_of_a_plain_count() -> None:
    volume, maps = _volume(), _maps(1)
    found = measure(volume, maps)
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
        assert item.hu_median == pytest.approx(statistics.median(values))
        assert item.hu_sd == pytest.approx(statistics.stdev(values))
        assert item.slice_index == level_map.slice_index
        assert 0 < item.tissue_n < item.n


def test_sides_are_compared_with_opposite_signs() -> None:
    found = _by_name(measure(_volume(), _maps(2)))
    for name in ("C", "I", "M3", "M5"):
        right, left = found[f"R {name}"], found[f"L {name}"]
        assert right.tissue_hu_median is not None
        assert left.tissue_hu_median is not None
        assert right.difference_hu is not None
        assert right.difference_hu == pytest.approx(right.tissue_hu_median - left.tissue_hu_median)
        assert left.difference_hu == pytest.approx(-right.difference_hu)
        assert right.ratio == pytest.approx(right.tissue_hu_median / left.tissue_hu_median)


def test_empty_and_single_regions_have_no_made_up_numbers() -> None:
    labels = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    labels[3, 4] = 1
    empty = np.zeros_like(labels)
    maps = RegionMap(
        levels={
            level: LevelMap(level=level, slice_index=2, labels=labels.copy(), tissue=empty.copy())
            for level in Level
        }
    )
    found = _by_name(measure(_volume(), maps))
    one, other = found["R C"], found["L C"]
    assert (one.n, one.hu_sd, one.tissue_hu_median, one.difference_hu) == (1, None, None, None)
    assert one.hu_mean is not None
    assert (other.n, other.area_mm2, other.hu_mean, other.hu_median) == (0, 0.0, None, None)
