"""The brain mask against the phantom's anatomy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from pipeline.brain import BrainMethod, extract_brain
from pipeline.regions import Level
from pipeline.series import load_series
from pipeline.volume import to_volume
from tests.pipeline.heads import POSES, datasets, phantom, series


@pytest.mark.parametrize("pose", ["standard", "transposed", "tilted"])
def test_regions_lie_in_the_brain_and_bone_does_not(pose: str) -> None:
    truth = phantom(POSES[pose])
    volume = to_volume(series(POSES[pose]))
    brain = extract_brain(volume)
    for level in Level:
        labels = truth.labels[truth.stored_index(level)]
        assert brain[truth.levels[level]][labels > 0].mean() > 0.98
    assert volume.voxels[brain].min() > -100
    assert (volume.voxels[brain] > 300).mean() < 0.005


@pytest.mark.parametrize("method", ["skull", "paper"])
def test_both_methods_find_a_real_brain(ct_ge: list[Path], method: BrainMethod) -> None:
    volume = to_volume(load_series([dcmread(path) for path in ct_ge]))
    brain = extract_brain(volume, method=method)
    assert brain.shape == volume.voxels.shape
    middle = brain[15:20].sum(axis=(1, 2)) * np.prod(volume.pixel_spacing_mm)
    assert (middle > 9000).all()
    assert (middle < 20000).all()


def test_air_holds_no_brain() -> None:
    images = datasets()
    for ds in images:
        ds.PixelData = bytes(len(ds.PixelData))
    assert not extract_brain(to_volume(load_series(images))).any()


def test_a_slice_with_half_its_skull_open_takes_its_neighbours_brain() -> None:
    whole = to_volume(series(POSES["standard"]))
    middle = phantom(POSES["standard"]).levels[Level.SUPRAGANGLIONIC]
    voxels = whole.voxels.copy()
    bone = voxels[middle] > 120
    bone[:, : bone.shape[1] // 2] = False
    voxels[middle][bone] = 40
    opened = replace(whole, voxels=voxels)
    expected = extract_brain(whole)[middle]
    found = extract_brain(opened)[middle]
    overlap = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    assert overlap > 0.9
