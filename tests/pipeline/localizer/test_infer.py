from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from pipeline.geometry import InPlaneView
from pipeline.localizer.decode import choose
from pipeline.localizer.infer import WEIGHTS, LevelEvidence, Localizer, load_localizer
from pipeline.model_card import CARD, WeightsError
from pipeline.regions import Level
from pipeline.series import load_series
from pipeline.volume import Volume, to_volume


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return load_localizer()


@pytest.fixture(scope="module")
def volume(ct_ge: list[Path]) -> Volume:
    return to_volume(load_series([pydicom.dcmread(path) for path in ct_ge]))


@pytest.fixture(scope="module")
def answer(localizer: Localizer, volume: Volume) -> LevelEvidence:
    return localizer.evidence(volume)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))


def turned(volume: Volume, *, transpose: bool, flip_rows: bool, flip_columns: bool) -> Volume:
    """The same patient, with pixels stored in another order."""
    view = InPlaneView(transpose=transpose, flip_rows=flip_rows, flip_columns=flip_columns)
    return Volume(
        voxels=view.undo(volume.voxels),
        pixel_affines=volume.pixel_affines,
        pixel_spacing_mm=volume.pixel_spacing_mm[::-1] if transpose else volume.pixel_spacing_mm,
        distances_mm=volume.distances_mm,
        slice_thickness_mm=volume.slice_thickness_mm,
        view=view,
    )


def test_a_real_head_of_another_scanner(answer: LevelEvidence, volume: Volume) -> None:
    evidence = answer
    low, high = choose(evidence.positions_mm, evidence.log_evidence)
    # 14 x 4 mm, then 14 x 7 mm, tilted by 18.5 degrees, with an old infarct
    assert low.index in {15, 16}
    assert high.index in {19, 20}
    assert evidence.probability(Level.GANGLIONIC).sum() == pytest.approx(1)
    assert evidence.of(Level.SUPRAGANGLIONIC).shape == volume.distances_mm.shape
    assert evidence.estimate_mm(Level.GANGLIONIC) < evidence.estimate_mm(Level.SUPRAGANGLIONIC)
    assert not evidence.log_evidence.flags.writeable


@pytest.mark.parametrize(("transpose", "flip"), [(False, True), (True, False)])
def test_the_order_of_the_pixels_does_not_matter(
    localizer: Localizer, volume: Volume, answer: LevelEvidence, transpose: bool, flip: bool
) -> None:
    other = turned(volume, transpose=transpose, flip_rows=flip, flip_columns=not flip)
    np.testing.assert_array_equal(localizer.evidence(other).log_evidence, answer.log_evidence)


@pytest.mark.usefixtures("threads")
def test_the_answer_is_the_same_for_any_number_of_threads(
    localizer: Localizer, volume: Volume
) -> None:
    answers = []
    for count in (1, 2, 3, 4):
        torch.set_num_threads(count)
        answers.append(localizer.evidence(volume).log_evidence.tobytes())
    assert len(set(answers)) == 1


def test_a_level_below_the_scan_is_said_to_be_there(localizer: Localizer, volume: Volume) -> None:
    evidence = localizer.weigh(
        volume.view.apply(volume.voxels[20:]),
        volume.distances_mm[20:] - volume.distances_mm[20],
        volume.pixel_spacing_mm,
    )
    assert evidence.estimate_mm(Level.GANGLIONIC) < -5


def test_altered_weights_are_refused(folder: Path) -> None:
    path = next(folder.glob("resnet10-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="not the file"):
        load_localizer(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    path = next(folder.glob("resnet10-*.safetensors"))
    path.unlink()
    with pytest.raises(WeightsError, match=path.name):
        load_localizer(folder)


def test_without_a_card_nothing_is_loaded(folder: Path) -> None:
    (folder / CARD).unlink()
    with pytest.raises(WeightsError, match=CARD):
        load_localizer(folder)


def test_a_fold_that_was_not_trained_is_refused() -> None:
    with pytest.raises(WeightsError, match="lists no weights"):
        load_localizer(fold=99)
