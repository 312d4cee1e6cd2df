"""Mid-sagittal alignment: the in-plane turn and shift that make a head symmetric.

Only the transform is found here; voxels are resampled once, later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.volume import Volume

WORKING_MM: Final = 3.0
"""Step of the grid on which heads are compared with their mirror images."""
_WINDOW_HU: Final = (-10.0, 70.0)
CAP_HU: Final = 20.0
"""A lesion's difference counts no more than that."""
OUTSIDE_HU: Final = -30.0
"""Stands for all that is not brain."""
_MAX_ANGLE_DEGREES: Final = 45.0
MAX_SHIFT_MM: Final = 18.0
"""The midline is sought no further from the middle of the brain."""
_AWAY_COST: Final = 0.02  # HU for each squared degree away from the head's midline
_LARGE_SECTION: Final = 0.6
_HEAD_SLICES: Final = 8
_LEVEL_REACH_MM: Final = 10.5
_LEVEL_SLICES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Midline:
    """Where the mid-sagittal plane cuts a slice, in the radiologist's view.

    Attributes
    ----------
    angle_degrees : float
        Turn of the head about the slice normal; positive where the anterior
        end of the midline points to the right edge of the view (the
        patient's left).
    point : tuple of float
        (row, column) in pixels of a point on the midline near the middle of the brain.
    asymmetry : float
        Mean absolute difference of head and mirror that is left, in HU, each
        pixel capped at 20 HU.
    """

    angle_degrees: float
    point: tuple[float, float]
    asymmetry: float

    def to_pixels(self, spacing_mm: tuple[float, float]) -> FloatArray:
        """Map head coordinates to pixels of the view.

        Parameters
        ----------
        spacing_mm : tuple of float
            Between rows, then between columns, in the view.

        Returns
        -------
        numpy.ndarray, shape (2, 3), float64
            ``m @ (down, across, 1)`` with millimetres along the midline to
            posterior and from it to the patient's left gives (row, column).
        """
        angle = np.radians(self.angle_degrees)
        cosine, sine = np.cos(angle), np.sin(angle)
        # unit steps of the head's own axes, in mm of the view
        down = np.array([cosine, -sine])
        across = np.array([sine, cosine])
        scale = 1.0 / np.asarray(spacing_mm)
        return np.column_stack((down * scale, across * scale, self.point))


Guess = Callable[[HuArray], tuple[float, float]]
"""From a slab, as `working_slab` makes it, to about the turn in degrees and the shift in mm."""


def align_head(volume: Volume, brain: MaskArray, guess: Guess | None = None) -> Midline:
    """Find the midline common to all slices of a head.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.
    guess : callable, optional
        Where to begin; without it everywhere is looked. A head that is turned
        far, or has a large lesion on one side, can be more symmetric about a
        wrong axis than about its own.

    Returns
    -------
    Midline
        In the radiologist's view.
    """
    return _align_slices(volume, brain, large_sections(brain, _HEAD_SLICES), guess=guess)


def large_sections(brain: MaskArray, about: int) -> npt.NDArray[np.intp]:
    """Choose slices through the larger part of a brain, evenly.

    Parameters
    ----------
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.
    about : int
        How many; up to twice as many are returned.
    """
    sections = brain.sum(axis=(1, 2))
    large = np.flatnonzero(sections > _LARGE_SECTION * sections.max())
    return np.asarray(large[:: max(1, len(large) // about)])


def align_level(volume: Volume, brain: MaskArray, index: int, head: Midline) -> Midline:
    """Find the midline at one slice, from the slices about it.

    One slice alone may mislead, by a lesion or by oblique cutting: the slices
    within 10 mm vote together, and the head's own midline holds them.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
    index : int
        Slice; its brain mask is not empty.
    head : Midline
        Of the whole head.
    """
    near = np.abs(volume.distances_mm - volume.distances_mm[index]) <= _LEVEL_REACH_MM
    near &= brain.any(axis=(1, 2))
    chosen = np.flatnonzero(near)
    step = max(1, len(chosen) // _LEVEL_SLICES)
    chosen = chosen[(chosen - index) % step == 0]
    return _align_slices(volume, brain, chosen, near_degrees=head.angle_degrees)


def _align_slices(
    volume: Volume,
    brain: MaskArray,
    chosen: npt.NDArray[np.intp],
    *,
    near_degrees: float | None = None,
    guess: Guess | None = None,
) -> Midline:
    view = volume.view
    spacing_mm = view.spacing(volume.pixel_spacing_mm)
    slab, centre = working_slab(
        view.apply(volume.voxels[chosen]), view.apply(brain[chosen]), spacing_mm
    )
    start = None if guess is None else guess(slab)
    return midline_at(slab, centre, spacing_mm, optimised(slab, near_degrees, start))


def align_midline(
    voxels: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    *,
    near_degrees: float | None = None,
) -> Midline:
    """Find the midline of a slab of slices.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        HU in the radiologist's view.
    brain : numpy.ndarray, shape (slice, row, column), bool
        Brain mask; not empty.
    spacing_mm : tuple of float
        Between rows, then between columns.
    near_degrees : float, optional
        Where the angle is expected; what is far from it costs.

    Returns
    -------
    Midline

    Notes
    -----
    Minimises the capped L1 difference of the brain and its mirror image over
    turn and shift: an exhaustive search at 3 mm, then Nelder-Mead. The loss is
    that of the alignment network of Sun et al.; the cap keeps a one-sided
    lesion from pulling the plane.
    """
    slab, centre = working_slab(voxels, brain, spacing_mm)
    return midline_at(slab, centre, spacing_mm, optimised(slab, near_degrees))


def optimised(
    slab: HuArray, near_degrees: float | None = None, start: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Find the turn in degrees and the shift in mm that make a slab most symmetric.

    Parameters
    ----------
    slab : numpy.ndarray, shape (slice, row, column), float32
        From `working_slab`.
    near_degrees : float, optional
        As for `align_midline`.
    start : tuple of float, optional
        Look about there alone.
    """

    def cost(angle_degrees: float) -> float:
        away = 0.0 if near_degrees is None else angle_degrees - near_degrees
        return _AWAY_COST * away**2

    start = start or _search(slab, cost)
    best = optimize.minimize(
        lambda x: asymmetry_at(slab, float(x[0]), float(x[1])) + cost(float(x[0])),
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": [start, (start[0] + 2, start[1]), (start[0], start[1] + 1.5)],
            "xatol": 0.05,
            "fatol": 1e-3,
            "maxiter": 60,
        },
    )
    return float(best.x[0]), float(best.x[1])


def midline_at(
    slab: HuArray, centre: FloatArray, spacing_mm: tuple[float, float], found: tuple[float, float]
) -> Midline:
    """Describe the midline that a turn and a shift on the working grid stand for.

    Parameters
    ----------
    slab : numpy.ndarray, shape (slice, row, column), float32
    centre : numpy.ndarray, shape (2,)
        Both from `working_slab`.
    spacing_mm : tuple of float
        Between rows, then between columns, of the slices themselves.
    found : tuple of float
        Turn in degrees, shift in mm.
    """
    angle, shift = found
    across = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    point = centre + shift * across / np.asarray(spacing_mm)
    return Midline(
        angle_degrees=angle,
        point=(float(point[0]), float(point[1])),
        asymmetry=asymmetry_at(slab, angle, shift),
    )


def brain_axis(brain: MaskArray, spacing_mm: tuple[float, float]) -> Midline:
    """Take the long axis of the brain's outline for the midline.

    A start for where symmetry fails: noisy, but it sees neither lesion nor skull.

    Parameters
    ----------
    brain : numpy.ndarray, shape (row, column), bool
        Not empty.
    spacing_mm : tuple of float
        Between rows, then between columns.
    """
    points_mm = np.argwhere(brain) * np.asarray(spacing_mm)
    middle = points_mm.mean(axis=0)
    centred = points_mm - middle
    axes = np.linalg.eigh(centred.T @ centred)[1]
    down = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    row, column = (middle / np.asarray(spacing_mm)).tolist()
    return Midline(
        angle_degrees=float(np.degrees(np.arctan2(-down[1], down[0]))),
        point=(row, column),
        asymmetry=CAP_HU,
    )


def working_slab(
    voxels: HuArray, brain: MaskArray, spacing_mm: tuple[float, float]
) -> tuple[HuArray, FloatArray]:
    """Sample a slab on a square 3 mm grid centred on the brain's centroid.

    Parameters
    ----------
    voxels, brain, spacing_mm
        As for `align_midline`.

    Returns
    -------
    slab : numpy.ndarray, shape (slice, 75, 75), float32
        HU, clipped to -10 ... 70 in the brain.
    centre : numpy.ndarray, shape (2,)
        Row and column of its middle.
    """
    rows, columns = np.nonzero(brain.any(axis=0))
    centre = np.array([rows.mean(), columns.mean()])
    half = int(np.ceil(110.0 / WORKING_MM))
    offsets = np.arange(-half, half + 1) * WORKING_MM
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"))
    pixels = centre[:, None, None] + grid / np.asarray(spacing_mm)[:, None, None]
    sigma = tuple(0.4 * WORKING_MM / step for step in spacing_mm)
    slices = []
    for hu, mask in zip(voxels, brain, strict=True):
        shown = np.where(mask, np.clip(hu, *_WINDOW_HU), OUTSIDE_HU)
        smooth = ndimage.gaussian_filter(shown.astype(np.float32), sigma)
        slices.append(
            ndimage.map_coordinates(smooth, pixels, order=1, mode="constant", cval=OUTSIDE_HU)
        )
    return np.stack(slices).astype(np.float32), centre


def _turned(slab: HuArray, angle_degrees: float, shift_mm: float) -> HuArray:
    half = (slab.shape[1] - 1) / 2
    angle = np.radians(angle_degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    middle = np.array([half, half])
    offset = middle - matrix @ middle + (shift_mm / WORKING_MM) * matrix[:, 1]
    return np.stack(
        [ndimage.affine_transform(hu, matrix, offset, order=1, cval=OUTSIDE_HU) for hu in slab]
    )


def _difference(slab: HuArray, mirror: HuArray) -> float:
    inside = (slab > OUTSIDE_HU / 2) | (mirror > OUTSIDE_HU / 2)
    capped = np.minimum(np.abs(slab - mirror), CAP_HU)
    return float(capped[inside].mean()) if inside.any() else CAP_HU


def asymmetry_at(slab: HuArray, angle_degrees: float, shift_mm: float) -> float:
    """Return the capped mean difference of a slab and its mirror after a turn and shift, HU."""
    if abs(angle_degrees) > _MAX_ANGLE_DEGREES or abs(shift_mm) > MAX_SHIFT_MM:
        return 2 * CAP_HU
    turned = _turned(slab, angle_degrees, shift_mm)
    return _difference(turned, turned[:, :, ::-1])


def _search(slab: HuArray, cost: Callable[[float], float]) -> tuple[float, float]:
    """Every 4 degrees, every 1.5 mm; a whole-pixel shift of the mirror moves the axis by half."""
    limit = int(MAX_SHIFT_MM / WORKING_MM * 2)
    coarse = slab[:: max(1, len(slab) // 3)]
    found = (np.inf, 0.0, 0.0)
    for angle in np.arange(-44.0, 45.0, 4.0):
        turned = _turned(coarse, float(angle), 0.0)
        mirror = turned[:, :, ::-1]
        for pixels in range(-limit, limit + 1, 1):
            shifted = np.roll(mirror, pixels, axis=2)
            loss = _difference(turned, shifted) + cost(float(angle))
            if loss < found[0]:
                found = (loss, float(angle), pixels * WORKING_MM / 2)
    return found[1], found[2]
