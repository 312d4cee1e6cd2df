"""Heads are taken; chests, bellies, water, contrast and half heads are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from pipeline.brain import extract_brain
from pipeline.eligibility import Eligibility, check_eligibility, check_metadata
from pipeline.errors import ContrastSeriesError, CoverageError, NotHeadError
from pipeline.phantom import SliceBlock
from pipeline.series import load_series
from pipeline.volume import to_volume
from tests.pipeline.heads import HEAD, SMALL, body, datasets, stack
from tests.pipeline.test_volume import copies


def looked_at(images: list[Dataset]) -> Eligibility:
    found = load_series(images)
    volume = to_volume(found)
    return check_eligibility(found, volume, extract_brain(volume))


def test_a_head_is_eligible() -> None:
    found = looked_at(datasets())
    assert 900 < found.brain_ml < 2000
    assert found.score == 1.0
    assert found.notes == ()


def test_a_real_head_is_eligible(ct_ge: list[Path]) -> None:
    found = looked_at([dcmread(path) for path in ct_ge])
    assert 900 < found.brain_ml < 2000


@pytest.mark.parametrize("kind", ["chest", "belly", "water"])
def test_other_bodies_are_no_head(kind: str) -> None:
    with pytest.raises(NotHeadError):
        looked_at(body(kind))


def test_noise_is_no_head() -> None:
    with pytest.raises(NotHeadError):
        looked_at(stack())


def test_a_real_chest_is_no_head(shared_data: Path) -> None:
    one = dcmread(shared_data / "dicom-fixtures/cornerstone_ct_all_syntaxes/CTImage.dcm")
    found = copies(one)
    volume = to_volume(found)
    with pytest.raises(NotHeadError):
        check_eligibility(found, volume, extract_brain(volume))


def test_a_real_skull_phantom_is_no_head(shared_data: Path) -> None:
    folder = shared_data / "ct-phantom-philips/S2010"
    with pytest.raises(NotHeadError):
        looked_at([dcmread(path) for path in sorted(folder.iterdir()) if path.name != "DIRFILE"])


@pytest.mark.parametrize("part", [slice(10, 18), slice(21, 32)])
def test_half_a_head_is_not_enough(part: slice) -> None:
    with pytest.raises(CoverageError):
        looked_at(datasets()[part])


def test_no_brain_at_all_is_no_head() -> None:
    found = load_series(datasets())
    volume = to_volume(found)
    with pytest.raises(NotHeadError):
        check_eligibility(found, volume, np.zeros(volume.voxels.shape, dtype=bool))


@pytest.mark.parametrize("agent", ["Iomeprol 300", "APPLIED", "YES"])
def test_contrast_is_refused(agent: str) -> None:
    images = datasets()
    images[9].ContrastBolusAgent = agent
    with pytest.raises(ContrastSeriesError):
        check_metadata(load_series(images))


@pytest.mark.parametrize("agent", [None, "", "NONE", "no ", "Without"])
def test_no_contrast_agent_by_any_name(agent: str | None) -> None:
    images = datasets()
    for ds in images:
        ds.ContrastBolusAgent = agent
    check_metadata(load_series(images))


def test_doubts_lower_the_score() -> None:
    acquisition = replace(SMALL, blocks=(SliceBlock(count=16, thickness_mm=10, step_mm=10),))
    images = datasets(replace(HEAD, acquisition=acquisition))
    for ds in images:
        ds.ConvolutionKernel = ["H60s", "3"]
    del images[3]
    found = looked_at(images)
    assert len(found.notes) == 3
    assert found.score == pytest.approx(0.1)


def test_every_second_slice_missing_is_doubted() -> None:
    found = looked_at(datasets()[::2])
    assert any("gaps between them" in note for note in found.notes)
