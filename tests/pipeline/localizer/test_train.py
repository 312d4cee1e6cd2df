from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.localizer.infer import load_net
from pipeline.localizer.train import (
    Batch,
    Recipe,
    Trainer,
    collate,
    draw_series,
    loss_of,
    prepare,
)
from tests.pipeline.localizer.heads import labelled

RECIPE = Recipe(epochs=2, batch=2, seed=3, mixed=False)


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def trainer(recipe: Recipe = RECIPE) -> Trainer:
    return Trainer(recipe, [labelled("a", 14, 5), labelled("b", 16, 6)])


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    epochs: list[int] = []
    whole = trainer()
    whole.run(tmp_path / "whole.checkpoint", lambda epoch, _: epochs.append(epoch))

    def stop(epoch: int, loss: float) -> None:
        raise KeyboardInterrupt

    first = trainer()
    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path / "parts.checkpoint", stop)
    first.save(tmp_path / "parts.checkpoint")
    second = trainer()
    second.run(tmp_path / "parts.checkpoint", lambda epoch, _: epochs.append(epoch))
    assert epochs == [1, 2, 2]
    for name, value in whole.average.items():
        torch.testing.assert_close(second.average[name], value)


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    run = trainer()
    run.export(tmp_path / "net.safetensors", fold="0")
    metadata, net = load_net(tmp_path / "net.safetensors")
    assert metadata["encoder"] == "resnet10"
    assert metadata["trained_on"] == "a,b"
    assert not net.training
    for name, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(value, run.average[name].half().float())


def test_the_truth_has_the_least_loss() -> None:
    rng = np.random.default_rng(4)
    source = prepare(labelled("a"), 112)
    batch = collate([draw_series(source, rng), draw_series(source, rng)])
    truth = torch.stack([5 - batch.away_mm.abs(), batch.away_mm.clamp(-45, 45) / 15], dim=-1)
    wrong = torch.stack([batch.away_mm.abs() - 5, -batch.away_mm / 15], dim=-1)
    assert loss_of(truth, batch) < loss_of(torch.zeros_like(truth), batch) < loss_of(wrong, batch)


def test_a_drawn_series_has_its_level_where_it_says() -> None:
    rng = np.random.default_rng(5)
    source = prepare(labelled("a"), 112)
    seen = 0
    for _ in range(12):
        images, steps, away = draw_series(source, rng)
        assert len(images) == len(steps) == len(away)
        assert (away.diff(dim=0) < 0).all()
        inside = (away[:, 0].min() < -10) & (away[:, 0].max() > 15)
        if inside:
            # the ventricle is widest 2.5 mm above the ganglionic level
            dark = ((images[:, 50:62] < 20) & (images[:, 50:62] > -100)).sum(dim=(1, 2)).float()
            seen += abs(float(away[dark.argmax(), 0]) + 2.5) < 12
    assert seen >= 4


def test_a_mixed_series_has_its_upper_level_in_between() -> None:
    head = labelled("a", 14, 4)
    wider = (head.targets_mm[0], head.targets_mm[0] + 35)
    near, far = prepare(head, 112), prepare(replace(head, targets_mm=wider), 112)
    gaps: list[float] = []
    for _ in range(8):
        _, _, away = draw_series(near, np.random.default_rng(len(gaps)), far)
        gaps.append(float(away[0, 1] - away[0, 0]))
    low, high = (source.levels_mm[1] - source.levels_mm[0] for source in (near, far))
    assert all(0.85 * low < gap < high + 1e-3 for gap in gaps)
    assert max(gaps) - min(gaps) > 2


def test_time_is_spared_where_the_recipe_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(Recipe(epochs=2, batch=2, half_epochs=1, longest=6))
    seen: list[Batch] = []

    def keep(batch: Batch, _: int) -> float:
        seen.append(batch)
        return 1.0

    monkeypatch.setattr(run, "_step", keep)
    run.run(tmp_path / "run.checkpoint", lambda *_: None)
    half, whole = seen
    assert half.images.shape[-1] == 56
    assert whole.images.shape[-1] == 112
    for batch in seen:
        for away in torch.split(batch.away_mm, batch.lengths.tolist()):
            # what is left still holds the ganglionic level
            assert len(away) <= 6
            assert away[:, 0].abs().min() < 8


def test_training_learns(tmp_path: Path) -> None:
    run = trainer(Recipe(epochs=10, batch=1, seed=1, mixed=False, cut_mix=0.3))
    losses: list[float] = []
    run.run(tmp_path / "run.checkpoint", lambda _, loss: losses.append(loss))
    assert np.mean(losses[-2:]) < 0.8 * losses[0]
