"""A large bleed is seen, a healthy head and thin bright lines are not."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.geometry import InPlaneView
from pipeline.hyperdense import hyperdense_ml
from pipeline.volume import Volume

SHAPE = (12, 120, 110)
SPACING_MM = (1.0, 1.1)


def _volume(voxels: HuArray, step_mm: float = 5.0) -> Volume:
    distances: FloatArray = np.arange(len(voxels), dtype=float) * step_mm
    return Volume(
        voxels=voxels,
        pixel_affines=np.zeros((len(voxels), 3, 3)),
        pixel_spacing_mm=SPACING_MM,
        distances_mm=distances,
        slice_thickness_mm=np.full(len(voxels), step_mm),
        view=InPlaneView(transpose=False, flip_rows=False, flip_columns=False),
    )


@pytest.fixture
def brain() -> MaskArray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 10:110, 10:100] = True
    return mask


@pytest.fixture
def voxels() -> HuArray:
    noise = np.random.default_rng(1).normal(0, 4, SHAPE)
    return (33 + noise).astype(np.float32)


def test_healthy_brain_has_none(voxels: HuArray, brain: MaskArray) -> None:
    assert hyperdense_ml(_volume(voxels), brain) < 0.5


@pytest.mark.parametrize("step_mm", [2.5, 5.0])
def test_size_of_a_bleed(voxels: HuArray, brain: MaskArray, step_mm: float) -> None:
    voxels[3:7, 40:70, 40:60] += 35
    expected_ml = 4 * step_mm * 30 * SPACING_MM[0] * 20 * SPACING_MM[1] / 1000
    assert hyperdense_ml(_volume(voxels, step_mm), brain) == pytest.approx(expected_ml, rel=0.15)


def test_thin_falx_and_bright_rim_do_not_count(voxels: HuArray, brain: MaskArray) -> None:
    voxels[:, 10:110, 54:56] += 35
    voxels[:, 10:13, :] += 40
    assert hyperdense_ml(_volume(voxels), brain) < 1.0


def test_calcification_is_too_bright(voxels: HuArray, brain: MaskArray) -> None:
    voxels[3:7, 40:70, 40:60] = 200
    assert hyperdense_ml(_volume(voxels), brain) < 1.0
