"""Register an atlas template to a native slice, and say how well that went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray, bounding_box, frozen
from pipeline.atlas import AgeGroup, Atlas
from pipeline.head_frame import framed_atlas
from pipeline.midline import Midline, align_midline
from pipeline.provenance import Algorithm
from pipeline.regions import Level
from pipeline.registration_ants import ANTS, ants_map
from pipeline.registration_greedy import AFFINE, GREEDY, greedy_map

_SAMPLE_MM: Final = 1.0
_RIM_MM: Final = 3.0  # the edge of the brain resembles itself on every slice
_SMOOTH_MM: Final = 0.7
_REACH: Final = 4.0  # standard deviations after which a Gaussian ends
_CLIP_HU: Final = (-5.0, 60.0)
_MIN_SAMPLES: Final = 100


class Method(StrEnum):
    """How the template is registered."""

    GREEDY = "greedy"
    ANTS = "ants"
    AFFINE = "affine"


ALGORITHMS: Final[dict[Method, Algorithm]] = {
    Method.GREEDY: GREEDY,
    Method.ANTS: ANTS,
    Method.AFFINE: AFFINE,
}
"""What each method reports about itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """Where each pixel of a native slice lies in the atlas.

    The numbers are taken from the map alone, so that they mean the same for
    every method.

    Attributes
    ----------
    level : Level
    age_group : AgeGroup
        Of the atlas.
    method : Method
    atlas_pixels : numpy.ndarray, shape (2, row, column), float64
        For each pixel of the slice in the radiologist's view: its (row,
        column) in the atlas.
    ncc : float
        Correlation of slice and warped template inside the brain, less 3 mm
        of its rim.
    affine_scale : tuple of float
        Slice over template, along the midline and across it, of the affine
        map that fits best.
    affine_rotation_degrees : float
        What that map turns beyond the mid-sagittal alignment.
    sd_log_jacobian : float
        Of the deformation beyond that map, inside the brain.
    folds : int
        Samples (1 mm) inside the brain whose Jacobian is not positive.
    midline : Midline
        Of the slice.
    """

    level: Level
    age_group: AgeGroup
    method: Method
    atlas_pixels: FloatArray
    ncc: float
    affine_scale: tuple[float, float]
    affine_rotation_degrees: float
    sd_log_jacobian: float
    folds: int
    midline: Midline


def register(
    slab: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlas: Atlas,
    *,
    midline: Midline | None = None,
    method: Method = Method.GREEDY,
) -> Registration:
    """Register one atlas to one slice.

    Parameters
    ----------
    slab : numpy.ndarray, shape (row, column), float32
        HU of the slice in the radiologist's view; for thin slices the mean of
        about 5 mm around it.
    brain : numpy.ndarray, shape (row, column), bool
        Brain mask of the slice in the same view; not empty.
    spacing_mm : tuple of float
        Between rows, then between columns, in the view.
    atlas : Atlas
    midline : Midline, optional
        Of the slice; found from the slice alone where absent.
    method : Method

    Returns
    -------
    Registration
    """
    if midline is None:
        midline = align_midline(slab[None], brain[None], spacing_mm)
    if method is Method.ANTS:
        atlas_pixels = ants_map(slab, brain, spacing_mm, atlas)
    else:
        bend = method is Method.GREEDY
        atlas_pixels = greedy_map(slab, brain, spacing_mm, atlas, midline, bend=bend)
    scale, turn_degrees, log_jacobian, folds = _shape_of(
        atlas_pixels, brain, spacing_mm, atlas.spacing_mm
    )
    own_degrees = midline.angle_degrees - _atlas_degrees(atlas)
    return Registration(
        level=atlas.level,
        age_group=atlas.age_group,
        method=method,
        atlas_pixels=frozen(atlas_pixels),
        ncc=_similarity(slab, brain, spacing_mm, atlas, atlas_pixels),
        affine_scale=scale,
        affine_rotation_degrees=turn_degrees - own_degrees,
        sd_log_jacobian=float(log_jacobian.std()),
        folds=folds,
        midline=midline,
    )


def _atlas_degrees(atlas: Atlas) -> float:
    """Read the template's own turn off its head frame."""
    down = framed_atlas(atlas).to_pixels[:, 0] * np.asarray(atlas.spacing_mm)
    return float(np.degrees(np.arctan2(-down[1], down[0])))


def _shape_of(
    atlas_pixels: FloatArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlas_spacing_mm: tuple[float, float],
) -> tuple[tuple[float, float], float, FloatArray, int]:
    """Split a map in its affine part and what is bent beyond it.

    Returns
    -------
    scale : tuple of float
        Slice over template, along and across.
    turn_degrees : float
    log_jacobian : numpy.ndarray, shape (samples,)
    folds : int
    """
    steps = tuple(max(1, round(_SAMPLE_MM / step)) for step in spacing_mm)
    coarse = atlas_pixels[:, :: steps[0], :: steps[1]]
    inside = ndimage.binary_erosion(brain[:: steps[0], :: steps[1]])
    template_mm = coarse * np.asarray(atlas_spacing_mm)[:, None, None]
    grid_mm = (steps[0] * spacing_mm[0], steps[1] * spacing_mm[1])
    gradients = [np.gradient(plane, *grid_mm) for plane in template_mm]
    jacobian = np.array([[part[inside] for part in rows] for rows in gradients])
    determinant = jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]
    points_mm = np.argwhere(inside) * grid_mm
    design = np.column_stack((points_mm, np.ones(len(points_mm))))
    fitted, *_ = np.linalg.lstsq(design, template_mm[:, inside].T, rcond=None)
    affine = fitted[:2].T
    beyond = determinant / np.linalg.det(affine)
    back = np.linalg.inv(affine)
    turn = np.degrees(np.arctan2(affine[1, 0] - affine[0, 1], affine[0, 0] + affine[1, 1]))
    along, across = np.linalg.norm(back @ _rotation(float(turn)), axis=0)
    log_jacobian = np.log(np.maximum(beyond, 1e-3))
    return (float(along), float(across)), float(turn), log_jacobian, int((beyond <= 0).sum())


def _rotation(degrees: float) -> FloatArray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _similarity(
    slab: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlas: Atlas,
    atlas_pixels: FloatArray,
) -> float:
    if not brain.any():
        return 0.0
    sigma = tuple(_SMOOTH_MM / step for step in spacing_mm)
    box = bounding_box(brain, margin=math.ceil(_REACH * max(sigma)) + 1)
    distance_mm = ndimage.distance_transform_edt(brain[box], sampling=spacing_mm)
    inside = np.asarray(distance_mm > _RIM_MM)
    if inside.sum() < _MIN_SAMPLES:
        return 0.0
    smooth = ndimage.gaussian_filter(np.clip(slab[box], *_CLIP_HU), sigma, truncate=_REACH)
    template = ndimage.map_coordinates(
        np.clip(atlas.template, *_CLIP_HU), atlas_pixels[:, *box][:, inside], order=1, cval=0.0
    )
    return float(np.corrcoef(smooth[inside], template)[0, 1])
