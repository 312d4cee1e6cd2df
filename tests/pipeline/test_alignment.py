"""Network T, alone and as the start of the direct optimiser."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipeline.alignment.evaluate import follow
from pipeline.alignment.infer import WEIGHTS, load_aligner, load_alignment, look
from pipeline.alignment.net import AlignmentNet, asymmetry, move
from pipeline.alignment.train import Recipe, drawn, save, train
from pipeline.arrays import HuArray
from pipeline.brain import extract_brain
from pipeline.midline import asymmetry_at, optimised
from pipeline.model_card import WeightsError
from pipeline.volume import to_volume
from tests.pipeline.heads import series


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def slab() -> HuArray:
    volume = to_volume(series())
    return look(volume, extract_brain(volume))[0]


def test_a_fresh_network_moves_nothing(slab: HuArray) -> None:
    head = torch.from_numpy(slab)[None]
    found = AlignmentNet()(head)
    assert found.abs().max() == 0
    torch.testing.assert_close(move(head, found), head, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("turn", "shift"), [(12.0, 0.0), (-25.0, 6.0), (0.0, -9.0)])
def test_turn_and_shift_mean_what_they_mean_to_the_optimiser(
    slab: HuArray, turn: float, shift: float
) -> None:
    moved = move(torch.from_numpy(slab)[None], torch.tensor([[turn, shift]]))
    assert float(asymmetry(moved)[0]) == pytest.approx(
        asymmetry_at(slab, turn, shift), rel=0.03, abs=0.1
    )


def test_symmetry_alone_teaches(slab: HuArray, tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = Recipe(epochs=90, batch=4, seed=1)
    net = train([slab] * 8, recipe, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    save(net, tmp_path / "net.safetensors", recipe, ["b", "a"])
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert file.metadata() == {"epochs": "90", "seed": "1", "trained_on": "a,b"}
    again = load_alignment(tmp_path / "net.safetensors")
    head = torch.from_numpy(slab)[None]
    torch.testing.assert_close(again(head), net(head), atol=0.2, rtol=0.02)


def test_the_same_seed_draws_the_same(slab: HuArray) -> None:
    heads = torch.from_numpy(slab)[None].repeat(3, 1, 1, 1)
    first, second = (drawn(heads, np.random.default_rng(5)) for _ in range(2))
    assert (first == second).all()
    assert (first[0] != first[1]).any()


def test_the_shipped_network_follows_a_phantom_and_ends_the_search_nearer(slab: HuArray) -> None:
    aligner = load_aligner()
    alone = follow(aligner.exact, [slab])
    both = follow(lambda one: optimised(one, start=aligner(one)), [slab])
    assert alone.degrees < 6
    assert both.degrees < 1.5
    assert both.mm < 1.0
    assert both.asymmetry_hu <= alone.asymmetry_hu


def test_a_guess_is_the_same_for_any_number_of_threads(slab: HuArray) -> None:
    aligner = load_aligner()
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        found.append(aligner(slab))
    assert all(one == other for one, other in pairwise(found))


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WEIGHTS.parent, tmp_path / "weights"))
    assert load_aligner(folder / WEIGHTS.name).algorithm.sha256 == load_aligner().sha256
    (folder / WEIGHTS.name).write_bytes(WEIGHTS.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="not the file"):
        load_aligner(folder / WEIGHTS.name)
