"""Look for what does not belong in a non-contrast head: contrast agent, metal, streaks.

Cheap tests on HU, size and spread, beside that for blood in
`pipeline.hyperdense`; they gate or warn, they detect nothing small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, MaskArray
from pipeline.brain import average_blocks
from pipeline.volume import Volume, slab

VESSEL_HU: Final = (100.0, 700.0)
"""Opacified vessels lie between; blood below, bone and metal above."""
METAL_HU: Final = 2400.0
"""Above petrous bone and below what 12 bits can hold; bone at 5 mm stays under 2000."""
DARK_HU: Final = -10.0
"""Darker than CSF, after smoothing: a streak, or air."""

_RANGE_MM: Final = (-25.0, 15.0)  # below the ganglionic, above the supraganglionic level
_STEP_MM: Final = 4.5
_WORKING_MM: Final = 1.0
_RIM_MM: Final = 6.0  # bone, sinuses, and what is calcified in the membranes
_PART_ML: Final = 0.03
_SECTION_MM2: Final = 8.0
_BONE_HU: Final = 300.0
_DEPTH_MM: Final = 20.0  # from the outside of the skull: past bone and frontal sinus
_STREAK_SIGMA_MM: Final = 1.5
_STREAK_HU: Final = (-200.0, 200.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignDensity:
    """What was found about the two levels.

    Attributes
    ----------
    vessel_ml : float
        As dense as opacified vessels, inside the brain.
    vessel_parts : int
        Separate parts of it, of 0.03 ml and more.
    vessel_share : float
        Share of the slices that show 8 mm2 and more of it, 0 to 1.
    metal_ml : float
        As dense as metal, in or beside the head.
    streak_share : float
        Share of the depth of the head on the worse of the two levels that is
        darker than fluid, 0 to 1.
    """

    vessel_ml: float
    vessel_parts: int
    vessel_share: float
    metal_ml: float
    streak_share: float


def foreign_density(volume: Volume, brain: MaskArray, levels: tuple[int, int]) -> ForeignDensity:
    """Look for contrast agent, metal and streaks about the two levels.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
    levels : tuple of int
        The ganglionic and the supraganglionic slice.

    Returns
    -------
    ForeignDensity

    Notes
    -----
    What is calcified in a native head (pineal gland, choroid plexus, falx,
    pallidum) is as dense as contrast agent, but lies in few places and on few
    slices; vessels are in many, on most slices. So number and spread count.
    """
    first, last = (float(volume.distances_mm[index]) for index in levels)
    low, high = first + _RANGE_MM[0], last + _RANGE_MM[1]
    near = np.flatnonzero((volume.distances_mm >= low) & (volume.distances_mm <= high))
    millilitres, parts, share = _vessels(volume, brain, _spread(near.tolist(), volume.distances_mm))
    return ForeignDensity(
        vessel_ml=millilitres,
        vessel_parts=parts,
        vessel_share=share,
        metal_ml=_metal_ml(volume, slice(int(near[0]), int(near[-1]) + 1)),
        streak_share=max(_streaks(volume, index) for index in levels),
    )


def _spread(found: list[int], distances_mm: FloatArray) -> list[int]:
    """Choose slices far enough from each other to be averaged over 5 mm."""
    kept = found[:1]
    for index in found[1:]:
        if distances_mm[index] - distances_mm[kept[-1]] >= _STEP_MM:
            kept.append(index)
    return kept


def _vessels(volume: Volume, brain: MaskArray, chosen: list[int]) -> tuple[float, int, float]:
    """Return millilitres, parts and the share of slices."""
    row_mm, column_mm = volume.pixel_spacing_mm
    factors = (max(1, round(_WORKING_MM / row_mm)), max(1, round(_WORKING_MM / column_mm)))
    spacing = (row_mm * factors[0], column_mm * factors[1])
    hu = average_blocks(np.stack([slab(volume, index) for index in chosen]), factors)
    mask = average_blocks(brain[chosen].astype(np.float32), factors) > 0.5
    inner = np.stack([_inner(one, spacing, _RIM_MM) for one in mask])
    bright = inner & (hu > VESSEL_HU[0]) & (hu < VESSEL_HU[1])
    pixel_mm2 = spacing[0] * spacing[1]
    labels, count = ndimage.label(bright, np.ones((3, 3, 3), dtype=bool))
    heights = np.gradient(volume.distances_mm[chosen]) if len(chosen) > 1 else np.array([_STEP_MM])
    each = np.broadcast_to(heights[:, None, None] * pixel_mm2 / 1000.0, labels.shape)
    sizes = ndimage.sum_labels(each, labels, np.arange(1, count + 1))
    sections = bright.sum(axis=(1, 2)) * pixel_mm2
    share = float((sections >= _SECTION_MM2).mean())
    return float(sizes.sum()), int((sizes >= _PART_ML).sum()), share


def _inner(mask: MaskArray, spacing: tuple[float, float], rim_mm: float) -> MaskArray:
    """Fill a brain mask (bright vessels are no brain) and take off its rim."""
    closed = ndimage.binary_closing(np.pad(mask, 4), iterations=3)
    filled = ndimage.binary_fill_holes(closed)
    distance = ndimage.distance_transform_edt(filled, sampling=spacing)
    return np.asarray(distance[4:-4, 4:-4] > rim_mm)


def _metal_ml(volume: Volume, near: slice) -> float:
    counts = (volume.voxels[near] > METAL_HU).sum(axis=(1, 2))
    heights = np.gradient(volume.distances_mm)[near]
    row_mm, column_mm = volume.pixel_spacing_mm
    return float(counts @ heights) * row_mm * column_mm / 1000.0


def _streaks(volume: Volume, index: int) -> float:
    """Look in the depth of the head, whatever streaks left of the brain mask."""
    spacing = volume.pixel_spacing_mm
    hu = slab(volume, index)
    enclosed = _between_bone(hu > _BONE_HU)
    distance = ndimage.distance_transform_edt(np.pad(enclosed, 1), sampling=spacing)[1:-1, 1:-1]
    deep = distance > _DEPTH_MM
    if not deep.any():
        return 0.0
    sigma = tuple(_STREAK_SIGMA_MM / step for step in spacing)
    dark = ndimage.gaussian_filter(np.clip(hu, *_STREAK_HU), sigma) < DARK_HU
    return float(dark[deep].mean())


def _between_bone(bone: MaskArray) -> MaskArray:
    """Return the pixels from which bone is seen along row and column, both ways."""
    seen = np.ones_like(bone)
    for axis in (0, 1):
        seen &= np.maximum.accumulate(bone, axis=axis)
        seen &= np.flip(np.maximum.accumulate(np.flip(bone, axis), axis=axis), axis)
    return seen
