"""The default registration: an affine fit by correlation, then greedy.

Both pictures are first sampled, once, in their head frames. What is returned
is a map of coordinates, not a resampled picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.atlas import Atlas
from pipeline.coarse_turn import likeness_by_turn, turned
from pipeline.evened import one_sided_fall
from pipeline.greedy_field import greedy_field_mm
from pipeline.head_frame import (
    FRAME_MM,
    OUTSIDE_HU,
    Framed,
    as_image,
    frame_index,
    frame_points,
    frame_shape,
    framed,
    framed_atlas,
)
from pipeline.midline import Midline
from pipeline.provenance import Algorithm
from pipeline.regions import Level

_AFFINE_STEP: Final = 2
_AFFINE_RATES: Final = (1.0, 0.5, 0.25)
_TURNS_DEGREES: Final = tuple(float(turn) for turn in range(-28, 29, 4))
_TURN_COST: Final = 2e-4  # correlation for each squared degree
_EVENINGS: Final = 1
_FALL_MM2: Final = 1400.0  # healthy brains stay below, but for few
_SEED: Final = 7
_STEPS: Final = "-n 60x40x5"
# the nuclei have edges to follow; M4-M6 end at no edge, so hardly bend there
_DEFORM: Final = {
    Level.GANGLIONIC: "-m NCC 8x8 -s 3.0vox 1.7vox",
    Level.SUPRAGANGLIONIC: "-m NCC 8x8 -s 2.0vox 3.0vox",
}

GREEDY: Final = Algorithm(
    name="greedy",
    version="1.4.0.3",
    family="deformable-model",
    parameters=(
        *_DEFORM.values(),
        _STEPS,
        f"seed={_SEED}",
        f"grid_mm={FRAME_MM}",
        f"evenings={_EVENINGS}",
    ),
)
"""The diffeomorphic step, as reported in every result."""

AFFINE: Final = Algorithm(
    name="affine correlation", version=sitk.Version.VersionString(), family="image-processing"
)
"""The affine step alone, for comparison."""


def greedy_map(
    slab: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlas: Atlas,
    midline: Midline,
    *,
    bend: bool = True,
) -> FloatArray:
    """Map the pixels of a slice to an atlas: affine, then diffeomorphic.

    Parameters
    ----------
    slab : numpy.ndarray, shape (row, column), float32
        HU in the radiologist's view.
    brain : numpy.ndarray, shape (row, column), bool
    spacing_mm : tuple of float
        Between rows, then between columns.
    atlas : Atlas
    midline : Midline
        Of the slice.
    bend : bool
        False stops after the affine fit.

    Returns
    -------
    numpy.ndarray, shape (2, row, column), float64
        For each pixel its (row, column) in the atlas.

    References
    ----------
    Yushkevich et al., "Fast Automatic Segmentation of Hippocampal Subfields
    and Medial Temporal Lobe Subregions in 3 Tesla and 7 Tesla T2-Weighted
    MRI", Alzheimer's & Dementia 12 (2016): the greedy algorithm.
    """
    fixed = framed(slab, brain, spacing_mm, midline)
    moving = framed_atlas(atlas)
    affine = fit_affine(fixed, moving)
    if bend:
        template_mm = _bent(fixed, moving, affine, atlas.level)
    else:
        template_mm = _template_mm(affine, np.zeros((2, *frame_shape())))
    return _native_to_atlas(fixed, moving, template_mm, slab.shape)


def _bent(fixed: Framed, moving: Framed, affine: sitk.AffineTransform, level: Level) -> FloatArray:
    """Bend the template to the slice; once more where one side is darker."""
    warped = _resampled(moving.hu, affine)
    template_mm = _template_mm(affine, _deform(fixed.hu, warped, level))
    for _ in range(_EVENINGS):
        fall_hu, area_mm2 = one_sided_fall(fixed, moving, template_mm, *plain_affine(affine))
        if area_mm2 < _FALL_MM2:
            break
        evened = (fixed.hu + fall_hu).astype(np.float32)
        template_mm = _template_mm(affine, _deform(evened, warped, level))
    return template_mm


def fit_affine(fixed: Framed, moving: Framed) -> sitk.AffineTransform:
    """Map points of the fixed frame to the moving frame, by correlation.

    A first step can be so long that the search ends far away; what correlates
    less than the start is sought again with shorter steps.
    """
    shrink = [_AFFINE_STEP, _AFFINE_STEP]
    target = sitk.Shrink(as_image(fixed.hu), shrink)
    template = sitk.Shrink(as_image(moving.hu), shrink)
    start = turned(fixed, moving, _promising_turn(fixed, moving))
    with _one_itk_thread():
        for rate in _AFFINE_RATES:
            transform, gain = _climbed(target, template, start, rate)
            if gain > 0:
                return transform
    return start


def _climbed(
    target: sitk.Image, template: sitk.Image, start: sitk.AffineTransform, rate: float
) -> tuple[sitk.AffineTransform, float]:
    """Return an affine map from a start upwards, and the squared correlation it gained."""
    transform = sitk.AffineTransform(start)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=rate, minStep=1e-3, numberOfIterations=80, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    before = method.MetricEvaluate(target, template)
    method.Execute(target, template)
    return transform, before - method.GetMetricValue()


@contextmanager
def _one_itk_thread() -> Iterator[None]:
    """Keep sums in one order, so that the result does not depend on the machine.

    The registration method's own setting does not reach its metric; this does.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _promising_turn(fixed: Framed, moving: Framed) -> float:
    """Try a few turns: symmetry alone misleads where much of one side is changed."""
    likeness = likeness_by_turn(fixed, moving)
    return max(_TURNS_DEGREES, key=lambda turn: likeness(turn) - _TURN_COST * turn**2)


def _resampled(hu: HuArray, affine: sitk.AffineTransform) -> HuArray:
    image = as_image(hu)
    moved = sitk.Resample(image, image, affine, sitk.sitkLinear, OUTSIDE_HU)
    return np.asarray(sitk.GetArrayFromImage(moved), dtype=np.float32)


def _deform(fixed: HuArray, moving: HuArray, level: Level) -> FloatArray:
    """Return the displacement (down, across) in mm from fixed to moving points."""
    return greedy_field_mm(
        as_image(fixed), as_image(moving), f"-seed {_SEED} {_DEFORM[level]} {_STEPS}"
    )


def _template_mm(affine: sitk.AffineTransform, field_mm: FloatArray) -> FloatArray:
    """Return where each grid point of the slice lies in the template's frame."""
    matrix, offset = plain_affine(affine)
    points = frame_points()[:2].reshape(2, *frame_shape()) + field_mm
    return np.asarray(np.einsum("ij,jrc->irc", matrix, points) + offset[:, None, None])


def plain_affine(affine: sitk.AffineTransform) -> tuple[FloatArray, FloatArray]:
    """Return matrix and offset for (down, across) points."""
    matrix = np.array(affine.GetMatrix()).reshape(2, 2)
    centre = np.array(affine.GetCenter())
    offset = np.array(affine.GetTranslation()) + centre - matrix @ centre
    return np.ascontiguousarray(matrix[::-1, ::-1]), offset[::-1]


def _native_to_atlas(
    fixed: Framed, moving: Framed, template_mm: FloatArray, shape: tuple[int, ...]
) -> FloatArray:
    """Look up, for every native pixel, its place in the atlas."""
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(2, -1)
    inverse = np.linalg.inv(fixed.to_pixels[:, :2])
    head_mm = inverse @ (pixels - fixed.to_pixels[:, 2:])
    index = frame_index(head_mm)
    found = np.stack(
        [ndimage.map_coordinates(plane, index, order=1, mode="nearest") for plane in template_mm]
    )
    atlas_pixels = moving.to_pixels[:, :2] @ found + moving.to_pixels[:, 2:]
    last = np.array(frame_shape())[:, None] - 1
    outside = ((index < 0) | (index > last)).any(axis=0)
    atlas_pixels[:, outside] = -1e4
    return np.asarray(atlas_pixels.reshape(2, *shape), dtype=float)
