"""Synthetic heads: a skull, a brain, and a ventricle that tells the height."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import FloatArray, HuArray
from pipeline.localizer.data import LabelledHead


def positions(count: int, step_mm: float) -> FloatArray:
    """Distances of equally spaced slices."""
    return np.arange(count, dtype=np.float64) * np.float64(step_mm)


def ellipse_head(
    slices: int = 24, size: int = 96, spacing_mm: float = 2.4, centre: tuple[float, float] = (0, 0)
) -> HuArray:
    """An egg of bone and brain in air, its ventricle widest half-way up; (slice, row, column)."""
    rows, columns = ((np.arange(size) - size / 2 + 0.5) * spacing_mm - shift for shift in centre)
    voxels = np.full((slices, size, size), -1000, np.float32)
    for index in range(slices):
        height = index / (slices - 1) * 2 - 1
        scale = 1 - 0.25 * height**2
        away = np.hypot(rows[:, None] / (90 * scale), columns[None] / (70 * scale))
        voxels[index][away < 1] = 1200
        voxels[index][away < 0.92] = 35
        voxels[index][away < 0.35 * (1 - abs(height))] = 5
    return voxels


def labelled(name: str, slices: int = 24, ganglionic: int = 11) -> LabelledHead:
    """A synthetic head with 5 mm slices and both levels."""
    levels = (5.0 * ganglionic, 5.0 * (ganglionic + 4))
    return LabelledHead(
        name=name,
        patient=name,
        voxels=ellipse_head(slices),
        distances_mm=positions(slices, 5.0),
        spacing_mm=(2.4, 2.4),
        levels_mm=levels,
        targets_mm=levels,
    )
