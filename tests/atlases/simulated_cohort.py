"""A cohort whose mean shape is known: one brain, bent by fields that cancel out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, LabelArray, MaskArray
from pipeline.regions import Level
from pipeline.registration_grid import grid_index, grid_points
from pipeline.registration_pairs import Upright

GRID_MM = 1.0
_SHAPE = (201, 169)
_NOISE_HU = 2.0
# number, middle (down, across) and half axes in mm, of the right half
_REGIONS = (
    (1, (-22, -11), (8, 5)),
    (2, (-6, -25), (15, 8)),
    (3, (-4, -14), (14, 3)),
    (4, (-4, -38), (18, 3)),
    (5, (-42, -36), (12, 9)),
    (6, (-5, -52), (18, 7)),
    (7, (34, -44), (13, 8)),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedCohort:
    """Heads, and the head that they are bent from.

    Attributes
    ----------
    mean : Upright
        Without noise: what a construction should find.
    mean_regions : numpy.ndarray, shape (row, column), uint8
    heads : tuple of Upright
    regions : tuple of numpy.ndarray
    """

    mean: Upright
    mean_regions: LabelArray
    heads: tuple[Upright, ...]
    regions: tuple[LabelArray, ...]

    def store(self, folder: Path) -> tuple[Path, ...]:
        """Write the heads as prepared pictures of the ganglionic level."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, (head, regions) in enumerate(zip(self.heads, self.regions, strict=True)):
            paths.append(folder / f"head{number:02d}.npz")
            level = Level.GANGLIONIC
            arrays: dict[str, Any] = {
                f"{level}_hu": head.hu,
                f"{level}_brain": head.brain,
                f"{level}_regions": regions,
            }
            np.savez(paths[-1], **arrays)
        return tuple(paths)


def simulate(count: int, seed: int, bend_mm: float) -> SimulatedCohort:
    """Bend a brain of ellipses by smooth random fields whose sum is zero."""
    rng = np.random.default_rng(seed)
    points = grid_points(_SHAPE, GRID_MM)
    fields = np.stack([_field(rng) for _ in range(count)])
    fields -= fields.mean(axis=0)
    fields *= bend_mm / np.hypot(fields[:, 0], fields[:, 1]).mean()
    hu, brain, regions = _brain(points)
    heads, drawn = [], []
    for field in fields:
        index = grid_index(points + field, _SHAPE, GRID_MM)
        bent = ndimage.map_coordinates(hu, index, order=1, mode="nearest")
        noisy = bent + rng.normal(0, _NOISE_HU, _SHAPE)
        mask = ndimage.map_coordinates(brain.astype(float), index, order=1) > 0.5
        heads.append(Upright(hu=noisy.astype(np.float32), brain=mask, grid_mm=GRID_MM))
        drawn.append(ndimage.map_coordinates(regions, index, order=0).astype(np.uint8))
    mean = Upright(hu=hu.astype(np.float32), brain=brain, grid_mm=GRID_MM)
    return SimulatedCohort(
        mean=mean, mean_regions=regions, heads=tuple(heads), regions=tuple(drawn)
    )


def _field(rng: np.random.Generator) -> FloatArray:
    white = rng.normal(size=(2, *_SHAPE))
    return np.stack([ndimage.gaussian_filter(plane, 14.0, mode="wrap") for plane in white])


def _brain(points: FloatArray) -> tuple[FloatArray, MaskArray, LabelArray]:
    brain = _ellipse(points, (0, 0), (75, 62))
    hu = np.full(_SHAPE, 28.0)
    # grey matter under the skull, and a pattern of gyri to hold on to
    shell = ~_ellipse(points, (0, 0), (68, 55))
    hu[shell] = 36.0
    angle = np.arctan2(points[1], points[0])
    hu[shell & (np.sin(26 * angle) > 0.8)] = 12.0
    regions = np.zeros(_SHAPE, dtype=np.uint8)
    for number, (down, across), half in _REGIONS:
        for side in (1, -1):
            inside = _ellipse(points, (down, side * across), half)
            regions[inside] = number
            hu[inside] = 28.0 if number == 3 else 36.0
    for side in (1, -1):
        hu[_ellipse(points, (-22, side * 5), (11, 3))] = 8.0
        hu[_ellipse(points, (26, side * 22), (8, 4))] = 8.0
    hu = ndimage.gaussian_filter(hu, 0.7)
    return hu, brain, regions


def _ellipse(
    points: FloatArray, middle: tuple[float, float], half: tuple[float, float]
) -> MaskArray:
    down, across = ((points[axis] - middle[axis]) / half[axis] for axis in range(2))
    return np.asarray(down**2 + across**2 < 1)
