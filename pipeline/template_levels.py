"""Match the atlas templates along z: the second opinion on the two levels.

Each slice is brought to the template's size and pose by its brain mask and
the midline, nothing else, and compared with the template of each level by a
weighted correlation that looks at the middle of the brain: ventricles, deep
nuclei, Sylvian fissures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.atlas import Atlas
from pipeline.geometry import InPlaneView
from pipeline.midline import Midline, align_midline
from pipeline.regions import Level
from pipeline.volume import Volume, along_z

_GRID: Final = (72, 60)
_REACH: Final = 1.06  # of the brain's half length and half width
_SMOOTH_MM: Final = 1.0
_CLIP_HU: Final = (0.0, 50.0)
_BROAD: Final = 8.0  # grid points; what is broader than that is no landmark
_SHIFTS: Final = (-4.0, -2.0, 0.0, 2.0, 4.0)
_STRETCHES: Final = (0.94, 1.0, 1.06)
_NO_MATCH: Final = -1.0


def match_templates(
    volume: Volume, brain: MaskArray, midline: Midline, atlases: Sequence[Atlas]
) -> FloatArray:
    """Compare every slice with the templates of both levels.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.
    midline : Midline
        Of the head, in the radiologist's view.
    atlases : sequence of Atlas
        Of one or more age groups, both levels of each.

    Returns
    -------
    numpy.ndarray, shape (2, slice), float64
        Weighted correlation, -1 to 1, with the ganglionic (row 0) and the
        supraganglionic (row 1) template; -1 where there is too little brain.
        Thin slices are averaged over 5 mm and compared every 2.4 mm or more;
        between those, the similarity is interpolated.
    """
    view = volume.view
    spacing = view.spacing(volume.pixel_spacing_mm)
    variants = {
        level: np.concatenate([_variants(atlas) for atlas in atlases if atlas.level is level])
        for level in Level
    }
    return along_z(
        volume,
        brain,
        lambda hu, mask: _scores(hu, mask, view, spacing, midline, variants),
        otherwise=_NO_MATCH,
    )


def _scores(
    hu: HuArray,
    brain: MaskArray,
    view: InPlaneView,
    spacing: tuple[float, float],
    midline: Midline,
    variants: dict[Level, FloatArray],
) -> tuple[float, float]:
    picture, mask = _normalised(view.apply(hu), view.apply(brain), spacing, midline)
    ganglionic, supraganglionic = (
        float(_correlations(picture, mask, variants[level]).max()) for level in Level
    )
    return ganglionic, supraganglionic


def _variants(atlas: Atlas) -> FloatArray:
    """Return the template, shifted and stretched a little, shape (variant, 2, *grid)."""
    brain = np.asarray(ndimage.binary_fill_holes(atlas.template > 0))
    midline = align_midline(atlas.template[None], brain[None], atlas.spacing_mm)
    picture, mask = _normalised(atlas.template, brain, atlas.spacing_mm, midline)
    both = np.stack((picture, mask.astype(float)))
    middle = (_GRID[0] - 1) / 2
    return np.stack(
        [
            np.stack(
                [
                    ndimage.affine_transform(
                        plane,
                        np.diag([stretch, 1.0]),
                        ((1 - stretch) * middle + shift, 0.0),
                        order=1,
                        mode="nearest",
                    )
                    for plane in both
                ]
            )
            for shift in _SHIFTS
            for stretch in _STRETCHES
        ]
    )


def _normalised(
    hu: HuArray, brain: MaskArray, spacing: tuple[float, float], midline: Midline
) -> tuple[FloatArray, MaskArray]:
    """Sample a slice on a grid that its brain mask fills, landmarks enhanced."""
    to_pixels = midline.to_pixels(spacing)
    inside = (np.argwhere(brain) - to_pixels[:, 2]) @ np.linalg.inv(to_pixels[:, :2]).T
    low, high = np.percentile(inside, [1, 99], axis=0)
    along, across = np.meshgrid(
        np.linspace(-_REACH, _REACH, _GRID[0]),
        np.linspace(-_REACH, _REACH, _GRID[1]),
        indexing="ij",
    )
    half = (high - low) / 2
    middle = (high + low) / 2
    # across, the midline counts for as much as the mask's own middle
    points = np.stack((middle[0] + along * half[0], middle[1] / 2 + across * half[1]))
    pixels = to_pixels @ np.vstack((points.reshape(2, -1), np.ones(points[0].size)))
    sigma = tuple(_SMOOTH_MM / step for step in spacing)
    smooth = ndimage.gaussian_filter(np.clip(hu, -10, 70).astype(np.float32), sigma)
    sampled = ndimage.map_coordinates(smooth, pixels, order=1).reshape(_GRID)
    mask = ndimage.map_coordinates(brain.astype(np.float32), pixels, order=1).reshape(_GRID) > 0.5
    picture = np.clip(sampled, *_CLIP_HU)
    if mask.any():
        picture = np.where(mask, picture, picture[mask].mean())
    return np.asarray(picture - ndimage.gaussian_filter(picture, _BROAD), dtype=float), mask


def _focus() -> FloatArray:
    along, across = np.meshgrid(
        np.linspace(-_REACH, _REACH, _GRID[0]),
        np.linspace(-_REACH, _REACH, _GRID[1]),
        indexing="ij",
    )
    return np.asarray(0.05 + np.exp(-((along / 0.65) ** 2) - (across / 0.55) ** 2))


_FOCUS: Final = _focus()


def _correlations(picture: FloatArray, mask: MaskArray, variants: FloatArray) -> FloatArray:
    """Correlate a slice with each variant, weighted, shape (variant,)."""
    weights = _FOCUS * mask * (variants[:, 1] > 0.5)
    total = weights.sum(axis=(1, 2)) + 1e-9
    template = variants[:, 0]
    one = picture - ((weights * picture).sum(axis=(1, 2)) / total)[:, None, None]
    other = template - ((weights * template).sum(axis=(1, 2)) / total)[:, None, None]
    covariance = (weights * one * other).sum(axis=(1, 2))
    power = (weights * one**2).sum(axis=(1, 2)) * (weights * other**2).sum(axis=(1, 2))
    return np.asarray(covariance / np.sqrt(power + 1e-9))
