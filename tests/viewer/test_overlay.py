"""The comparison with the truth tells a good overlay from a shifted or mirrored one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.arrays import LabelArray
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level
from tests.pipeline.encode.builders import ct_series, region_map
from tests.viewer.overlay import Placing, Screenshot, overlaps, shown_regions

PLACING = Placing(viewport=(488, 500), image=(61, 53), pixel_spacing=(0.8, 0.6))
TRUTH = region_map(ct_series()).levels[Level.GANGLIONIC].labels


def grey() -> Screenshot:
    return np.full((*PLACING.viewport, 3), 90, dtype=np.uint8)


def painted(labels: LabelArray, opacity: float = 0.5) -> Screenshot:
    """Draw labels half transparently, as a viewer does."""
    picture = grey()
    on_screen = PLACING.sample(labels, 0)
    for item in REGION_SIDES:
        inside = on_screen == item.number
        mixed = opacity * np.array(item.rgb) + (1 - opacity) * picture[inside]
        picture[inside] = np.rint(mixed)
    return picture


def agreement(labels: LabelArray) -> dict[int, float]:
    return overlaps(shown_regions(grey(), painted(labels)), TRUTH, PLACING)


def test_same_regions_agree() -> None:
    found = agreement(TRUTH)
    assert sorted(found) == list(range(8))
    assert min(found.values()) == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_overlay_does_not(axis: int) -> None:
    assert min(agreement(np.flip(TRUTH, axis)).values()) < 0.5


@pytest.mark.parametrize("axis", [0, 1])
def test_overlay_shifted_by_a_pixel_does_not(axis: int) -> None:
    assert min(agreement(np.roll(TRUTH, 1, axis)).values()) < 0.9


def test_swapped_colours_do_not() -> None:
    swapped = np.where(TRUTH > 0, (TRUTH - 1) // LEFT_OFFSET * LEFT_OFFSET + 1, 0).astype(np.uint8)
    found = agreement(swapped)
    assert found[0] == 1
    assert min(found.values()) == 0


def test_nothing_shown_is_no_agreement() -> None:
    assert max(agreement(np.zeros_like(TRUTH)).values()) == 0
