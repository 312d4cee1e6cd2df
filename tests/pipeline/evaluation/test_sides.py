"""Sides of regions that are numbered alike on both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from atlases.read import load_atlas_set
from pipeline.arrays import LabelArray
from pipeline.atlas import AgeGroup
from pipeline.evaluation.sides import with_sides
from pipeline.regions import LEFT_OFFSET, Level
from tests.pipeline.heads import SHARED_DATA


def alike(labels: LabelArray) -> LabelArray:
    return np.where(labels > LEFT_OFFSET, labels - LEFT_OFFSET, labels).astype(np.uint8)


@pytest.mark.parametrize("degrees", [-15, 0, 15])
@pytest.mark.parametrize("level", list(Level))
def test_the_sides_of_an_atlas_come_back_however_it_is_turned(level: Level, degrees: int) -> None:
    folder = SHARED_DATA / "aspects-281"
    if not folder.is_dir():
        pytest.skip("needs the ASPECTS-281 files in ../shared/data/aspects-281")
    labels = load_atlas_set(folder).get(AgeGroup.AGE_50_69, level).labels
    turned = ndimage.rotate(labels, degrees, order=0, reshape=False)
    assert (with_sides(alike(turned)) == turned).mean() > 0.9999


def test_a_stray_goes_to_its_side() -> None:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[2:6, 3:8], labels[2:6, 22:27] = 5, 5
    labels[12:16, 3:8], labels[12:16, 22:27] = 7, 7
    labels[18, 28] = 7
    found = with_sides(labels)
    assert found[18, 28] == 17
    assert set(np.unique(found[:, :15])) == {0, 5, 7}
    assert set(np.unique(found[:, 15:])) == {0, 15, 17}


def test_one_side_alone_cannot_be_told() -> None:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[2:6, 3:8] = 5
    with pytest.raises(ValueError, match="11-20"):
        with_sides(labels)
