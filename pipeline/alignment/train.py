"""Train network T without labels: symmetry is the only teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.alignment.net import AlignmentNet, asymmetry, move
from pipeline.arrays import HuArray
from pipeline.midline import OUTSIDE_HU

_TURN_DEGREES: Final = 35.0
_SHIFT_MM: Final = 14.0
_LESION_CHANCE: Final = 0.4
_WINDOW_HU: Final = (-10.0, 70.0)
_NOISE_HU: Final = 4.0

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and mean loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train."""

    epochs: int = 500
    batch: int = 8
    seed: int = 0
    rate: float = 1e-3


def train(heads: Sequence[HuArray], recipe: Recipe, progress: Progress) -> AlignmentNet:
    """Train a network on heads that are turned anew in every epoch.

    Parameters
    ----------
    heads : sequence of numpy.ndarray, shape (8, 75, 75), float32
        From `pipeline.alignment.infer.look`.
    recipe : Recipe
    progress : callable
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    net = AlignmentNet()
    stack = torch.from_numpy(np.stack(heads))
    steps = math.ceil(len(stack) / recipe.batch)
    optimiser = torch.optim.Adam(net.parameters(), recipe.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=steps * recipe.epochs
    )
    for epoch in range(recipe.epochs):
        losses = []
        for chosen in np.array_split(rng.permutation(len(stack)), steps):
            slabs = drawn(stack[torch.from_numpy(chosen)], rng)
            loss = asymmetry(move(slabs, net(slabs))).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        progress(epoch + 1, float(np.mean(losses)))
    return net.eval()


def drawn(slabs: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn, shift and mirror heads, with noise and lesions on one side."""
    count = len(slabs)
    found = np.stack(
        (
            rng.uniform(-_TURN_DEGREES, _TURN_DEGREES, count),
            rng.uniform(-_SHIFT_MM, _SHIFT_MM, count),
        ),
        axis=1,
    )
    moved = move(slabs, torch.from_numpy(found).float())
    flipped = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
    moved = torch.where(flipped, moved.flip(-1), moved)
    brain = moved > OUTSIDE_HU / 2
    noise = torch.from_numpy(rng.standard_normal(moved.shape, dtype=np.float32))
    moved = moved + noise * float(rng.uniform(0, _NOISE_HU))
    for index in np.flatnonzero(rng.random(count) < _LESION_CHANCE):
        moved[index] += _lesion(moved.shape[1:], rng)
    return torch.where(brain, moved.clamp(*_WINDOW_HU), torch.tensor(OUTSIDE_HU))


def with_lesion(slabs: Tensor, rng: np.random.Generator) -> Tensor:
    """Put a lesion into each head, in its brain alone."""
    lesions = torch.stack([_lesion(slabs.shape[1:], rng) for _ in slabs])
    return torch.where(slabs > OUTSIDE_HU / 2, (slabs + lesions).clamp(*_WINDOW_HU), slabs)


def _lesion(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Draw an infarct or a bleeding: an ellipsoid away from the middle."""
    slices, rows, columns = shape
    side = rng.choice((-1, 1)) * rng.uniform(0.1, 0.3)
    middle = (rng.uniform(0, slices), rng.uniform(0.25, 0.75) * rows, (0.5 + side) * columns)
    radius = (rng.uniform(2, 6), *rng.uniform(0.05, 0.25, 2) * (rows, columns))
    axes = [
        ((torch.arange(size) - at) / extent) ** 2
        for size, at, extent in zip(shape, middle, radius, strict=True)
    ]
    away = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None]
    change = rng.uniform(-25, -5) if rng.random() < 0.6 else rng.uniform(15, 40)
    lesion: Tensor = (away < 1).float() * float(change)
    return lesion


def save(net: AlignmentNet, path: Path, recipe: Recipe, patients: Sequence[str]) -> None:
    """Write the weights in half precision, and whom they learned from."""
    halved = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in net.state_dict().items()
    }
    metadata = {"epochs": str(recipe.epochs), "seed": str(recipe.seed)}
    save_file(halved, path, metadata | {"trained_on": ",".join(sorted(patients))})
