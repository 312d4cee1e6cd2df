"""Other looks of the same slices: scanners, kernels, tables, lesions, age."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.localizer.frames import AIR_HU, BONE_HU

_BRAIN_HU: Final = (0.0, 60.0)


def vary(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change the look of a series, not its anatomy.

    Parameters
    ----------
    images : Tensor, shape (slice, row, column), float32
        Hounsfield units.
    rng : numpy.random.Generator

    Returns
    -------
    Tensor of the same shape
        -1000 ... 1500 HU.
    """
    for chance, change in _CHANGES:
        if rng.random() < chance:
            images = change(images, rng)
    return images.clamp(AIR_HU, BONE_HU)


def cut_mix(images: Tensor, other: Tensor, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Put a box of another series into a series, at the same place on every slice.

    Parameters
    ----------
    images, other : Tensor, shape (slice, row, column)
        Cut at the same heights.
    rng : numpy.random.Generator

    Returns
    -------
    images : Tensor of the same shape
    share : float
        What is left of the first series, by area.

    References
    ----------
    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers
    with Localizable Features", ICCV 2019; alpha = 1.
    """
    size = images.shape[-1]
    side = round(size * float(np.sqrt(1 - rng.random())))
    row, column = rng.integers(-side // 2, size - side // 2, 2)
    box = (slice(max(0, row), row + side), slice(max(0, column), column + side))
    mixed = images.clone()
    mixed[:, *box] = other[:, *box]
    return mixed, 1 - mixed[0, *box].numel() / size**2


def _age(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Widen the CSF spaces (atrophy), or narrow them (swelling)."""
    widened = -functional.max_pool2d(-images[:, None], 3, 1, 1)[:, 0]
    narrowed = functional.max_pool2d(images[:, None], 3, 1, 1)[:, 0]
    other = widened if rng.random() < 0.6 else narrowed
    low, high = _BRAIN_HU
    brain = (images > low) & (images < high) & (other > low - 5) & (other < high)
    share = float(rng.uniform(0.3, 1.0))
    return torch.where(brain, images + share * (other - images), images)


def _lesion(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Paste a haemorrhage or an infarct: an ellipsoid in the brain."""
    count, size = len(images), images.shape[-1]
    centre = rng.uniform(
        (0.2 * count, 0.25 * size, 0.25 * size), (0.9 * count, 0.75 * size, 0.75 * size)
    )
    radius = rng.uniform((1.0, 0.03, 0.03), (5.0, 0.16, 0.16)) * (1, size, size)
    axes = [
        ((torch.arange(length) - middle) / extent) ** 2
        for length, middle, extent in zip(images.shape, centre, radius, strict=True)
    ]
    away = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None]
    change = rng.uniform(15, 45) if rng.random() < 0.5 else rng.uniform(-25, -6)
    low, high = _BRAIN_HU
    inside = (away < 1) & (images > low) & (images < high)
    return torch.where(inside, (images + float(change)).clamp(min=low), images)


def _table(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw a table or a head rest behind the head."""
    size = images.shape[-1]
    across = torch.arange(size, dtype=torch.float32) / size - 0.5
    bend = float(rng.uniform(-1.5, 1.0))
    depth = (float(rng.uniform(0.86, 1.0)) + bend * across**2) * size
    away = (torch.arange(size, dtype=torch.float32)[:, None] - depth[None]).abs()
    drawn = (away < float(rng.uniform(0.5, 2.5))) & (images < AIR_HU / 2)
    return torch.where(drawn, torch.tensor(float(rng.uniform(-600, 600))), images)


def _hand(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Lay a hand or an arm beside the head: soft tissue about some bones, on the lower slices."""
    count, size = images.shape[0], images.shape[-1]
    side = 0.06 if rng.random() < 0.5 else 0.94
    middle = np.array((rng.uniform(0.2, 0.9), side)) * size
    radius = rng.uniform((0.05, 0.04), (0.16, 0.09)) * size
    axes = [(torch.arange(size) - at) / extent for at, extent in zip(middle, radius, strict=True)]
    away = axes[0][:, None] ** 2 + axes[1][None] ** 2
    hand = torch.full((size, size), float(rng.uniform(20, 70)))
    for bone in rng.uniform(-0.6, 0.6, (int(rng.integers(2, 6)), 2)):
        hand[(axes[0][:, None] - bone[0]) ** 2 + (axes[1][None] - bone[1]) ** 2 < 0.03] = 700.0
    reach = int(rng.integers(1, max(2, count)))
    drawn = (away < 1)[None] & (images < AIR_HU / 2) & (torch.arange(count) < reach)[:, None, None]
    return torch.where(drawn, hand[None], images)


def _filter(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur or sharpen: another reconstruction kernel."""
    sigma = float(rng.uniform(0.4, 1.0))
    taps = torch.exp(-(torch.arange(-2, 3) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    padded = functional.pad(images[:, None], (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(padded, taps[None, None, None])
    blurred = functional.conv2d(blurred, taps[None, None, :, None])[:, 0]
    if rng.random() < 0.5:
        return blurred
    return images + float(rng.uniform(0, 0.6)) * (images - blurred)


def _noise(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Add quantum noise, part of it coarse."""
    shape = images.shape
    fine = rng.standard_normal(shape, dtype=np.float32)
    coarse = rng.standard_normal((shape[0], 1, shape[1] // 2, shape[2] // 2), dtype=np.float32)
    wide = functional.interpolate(torch.from_numpy(coarse), shape[1:], mode="bilinear")[:, 0]
    share = float(rng.uniform(0, 1))
    noise = (1 - share) * torch.from_numpy(fine) + share * wide
    return images + float(rng.uniform(0, 9)) * noise


def _calibration(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift and stretch HU: another tube, another scanner, cupping."""
    size = images.shape[-1]
    axis = torch.linspace(-1, 1, size) ** 2
    cupping = (axis[:, None] + axis[None]) * float(rng.normal(0, 2))
    changed = images * float(rng.normal(1, 0.04)) + float(rng.normal(0, 4)) + cupping
    return torch.where(images > AIR_HU / 2, changed, images)


_CHANGES: Final = (
    (0.3, _age),
    (0.3, _lesion),
    (0.2, _table),
    (0.1, _hand),
    (0.4, _filter),
    (0.7, _noise),
    (0.8, _calibration),
)
