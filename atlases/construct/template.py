"""The template: its start, and how each round renews it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.registration_grid import grid_index, grid_points
from pipeline.registration_pairs import Upright

UPDATES: Final = 4
"""How often the shape update is applied, as the script of ANTs does."""
_RIM_MM: Final = 1.0
_NEAR_SKULL_MM: Final = 8.0
_BRIGHT_HU: Final = 55.0
_FEWEST_SHARE: Final = 0.2
_UNSHARP_MM: Final = 1.5
_UNSHARP_AMOUNT: Final = 0.7


class Sharpening(StrEnum):
    """What is done to the template of each round, before it is registered to."""

    UNSHARP = "unsharp"
    LAPLACIAN = "laplacian"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """How far one round moved, means over the template's brain.

    Attributes
    ----------
    deformation_mm : float
        How far the subjects are bent beyond their affine maps; mean over them.
    update_mm : float
        How far the mean of their maps is from standing still. 0 where the
        template has the mean shape.
    """

    deformation_mm: float
    update_mm: float


def symmetrised_mean(pictures: Sequence[Upright]) -> Upright:
    """Average the pictures and their mirror images: a start that is nobody's head."""
    both = [
        Upright(hu=turn(one.hu), brain=turn(one.brain), grid_mm=one.grid_mm)
        for one in pictures
        for turn in (np.asarray, np.fliplr)
    ]
    still = grid_points(both[0].hu.shape, both[0].grid_mm)
    return averaged(both, [still] * len(both))


def mean_displacement(template: Upright, points_mm: Iterable[FloatArray]) -> FloatArray:
    """Average the maps of all subjects.

    Parameters
    ----------
    template : Upright
    points_mm : iterable of numpy.ndarray, shape (2, row, column)
        Where each pixel of the template lies in each subject, (down, across)
        in mm; at least one.

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64
        What the mean moves, in mm.
    """
    total, count = np.zeros((2, *template.hu.shape)), 0
    for one in points_mm:
        total += one
        count += 1
    return total / count - grid_points(template.hu.shape, template.grid_mm)


def shape_update(displacement_mm: FloatArray, grid_mm: float, gradient_step: float) -> FloatArray:
    """Undo a mean displacement: where the new template's points lie in the old.

    Parameters
    ----------
    displacement_mm : numpy.ndarray, shape (2, row, column)
    grid_mm : float
    gradient_step : float
        Share that each of the `UPDATES` undoes.

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64

    References
    ----------
    Avants et al., "The optimal template effect in hippocampus studies of
    diseased populations", NeuroImage 49 (2010): template = average appearance
    in the average shape.
    """
    still = grid_points(displacement_mm.shape[1:], grid_mm)
    step = still - gradient_step * displacement_mm
    update = still
    for _ in range(UPDATES):
        update = sampled(update, step, grid_mm)
    return update


def sampled(points_mm: FloatArray, where_mm: FloatArray, grid_mm: float) -> FloatArray:
    """Look a map up at other points: ``points(where(x))``."""
    index = grid_index(where_mm, points_mm.shape[1:], grid_mm)
    found = [ndimage.map_coordinates(plane, index, order=1, mode="nearest") for plane in points_mm]
    return np.stack(found)


def averaged(pictures: Iterable[Upright], points_mm: Iterable[FloatArray]) -> Upright:
    """Average pictures, each looked up once, where a map says.

    Inside the brain of more than half of them; each counts where its own brain
    is, so that the rim is not darkened by anybody's background.

    Parameters
    ----------
    pictures : iterable of Upright
    points_mm : iterable of numpy.ndarray, shape (2, row, column)
        For each picture.
    """
    weights, total, inside, count, grid_mm = 0.0, 0.0, 0.0, 0, 1.0
    for one, where in zip(pictures, points_mm, strict=True):
        grid_mm = one.grid_mm
        index = grid_index(where, one.hu.shape, grid_mm)
        tissue = _tissue(one)
        weight = ndimage.map_coordinates(tissue.astype(np.float64), index, order=1)
        hu = ndimage.map_coordinates(filled(one.hu, tissue), index, order=3, mode="nearest")
        total, weights = total + weight * hu, weights + weight
        inside = inside + ndimage.map_coordinates(one.brain.astype(np.float64), index, order=1)
        count += 1
    brain = _one_piece(np.asarray(inside) > count / 2)
    mean = np.asarray(total / np.maximum(weights, 1e-6), dtype=np.float32)
    known = brain & (np.asarray(weights) > _FEWEST_SHARE * count)
    hu = np.where(brain, filled(mean, known), np.float32(0.0))
    return Upright(hu=hu, brain=brain, grid_mm=grid_mm)


def sharpened(template: Upright, how: Sharpening) -> Upright:
    """Sharpen inside the brain, without a halo at its rim.

    The background takes the value of the nearest brain before: there is no
    edge from which a halo could come.

    Parameters
    ----------
    template : Upright
    how : Sharpening
        ``laplacian`` as the script of ANTs does, which works on single pixels
        and raises the noise; ``unsharp`` at the scale of the nuclei.
    """
    if how is Sharpening.NONE:
        return template
    whole = filled(template.hu, template.brain)
    if how is Sharpening.LAPLACIAN:
        sharp = sitk.GetArrayFromImage(sitk.LaplacianSharpening(sitk.GetImageFromArray(whole)))
    else:
        blurred = ndimage.gaussian_filter(whole, _UNSHARP_MM / template.grid_mm)
        sharp = whole + _UNSHARP_AMOUNT * (whole - blurred)
    hu = np.where(template.brain, sharp, 0.0).astype(np.float32)
    return Upright(hu=hu, brain=template.brain, grid_mm=template.grid_mm)


def filled(hu: HuArray, brain: MaskArray) -> HuArray:
    """Give every pixel outside a mask the value of the nearest inside.

    Examples
    --------
    >>> filled(np.array([[0, 5, 7, 0]], "f4"), np.array([[False, True, True, False]])).tolist()
    [[5.0, 5.0, 7.0, 7.0]]
    """
    nearest = ndimage.distance_transform_edt(~brain, return_distances=False, return_indices=True)
    return np.asarray(hu[tuple(nearest)])


def _tissue(one: Upright) -> MaskArray:
    """Leave out the rim, and what is bright near it: the skull shines in."""
    distance_mm = ndimage.distance_transform_edt(one.brain) * one.grid_mm
    shone_on = (distance_mm < _NEAR_SKULL_MM) & (one.hu > _BRIGHT_HU)
    tissue = np.asarray((distance_mm > _RIM_MM) & ~shone_on)
    return tissue if tissue.any() else one.brain


def _one_piece(mask: MaskArray) -> MaskArray:
    parts, count = ndimage.label(ndimage.binary_fill_holes(mask))
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        return np.asarray(parts == sizes.argmax())
    return np.asarray(parts > 0)
