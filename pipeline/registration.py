"""Register an atlas template to a native slice: affine, then diffeomorphic.

Both pictures are first sampled, once, in the head's own frame: millimetres
along the midline and across it, found by the mid-sagittal alignment. There an
affine fit (correlation) and a greedy diffeomorphic fit (local correlation)
follow. What is returned is a map of coordinates, not a resampled picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy2D
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, MaskArray, frozen
from pipeline.atlas import Atlas
from pipeline.midline import Midline, align_midline
from pipeline.provenance import Algorithm
from pipeline.regions import Level

FRAME_MM: Final = 1.0
"""Grid step of the head frame in which the registration works."""
_FRAME_HALF_MM: Final = (112, 96)  # along the midline, across it
_OUTSIDE_HU: Final = -20.0  # well under CSF, so that the brain has an edge
_CLIP_HU: Final = (-5.0, 60.0)
_AFFINE_STEP: Final = 2
_TURNS_DEGREES: Final = tuple(float(turn) for turn in range(-28, 29, 4))
_TURN_COST: Final = 2e-4  # correlation for each squared degree
_SEED: Final = 7
_STEPS: Final = "-n 60x40x15"
# the nuclei have edges to follow; M4-M6 end at no edge, so hardly bend there
_DEFORM: Final = {
    Level.GANGLIONIC: "-m NCC 8x8 -s 3.0vox 1.7vox",
    Level.SUPRAGANGLIONIC: "-m NCC 8x8 -s 2.0vox 3.0vox",
}

GREEDY: Final = Algorithm(
    name="greedy",
    version="1.4.0.3",
    family="deformable-model",
    parameters=(*_DEFORM.values(), _STEPS, f"seed={_SEED}", f"grid_mm={FRAME_MM}"),
)
"""The diffeomorphic step, as reported in every result."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """Where each pixel of a native slice lies in the atlas.

    Attributes
    ----------
    level : Level
    atlas_pixels : numpy.ndarray, shape (2, row, column), float64
        For each pixel of the slice in the radiologist's view: its (row,
        column) in the atlas.
    ncc : float
        Correlation of slice and warped template inside the brain.
    affine_scale : tuple of float
        Slice over template, along the midline and across it.
    affine_rotation_degrees : float
        Left over after the mid-sagittal alignment.
    sd_log_jacobian : float
        Of the deformation inside the brain.
    folds : int
        Grid points inside the brain whose Jacobian is not positive.
    midline : Midline
        Of the slice.
    """

    level: Level
    atlas_pixels: FloatArray
    ncc: float
    affine_scale: tuple[float, float]
    affine_rotation_degrees: float
    sd_log_jacobian: float
    folds: int
    midline: Midline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Framed:
    """A picture in its own head frame, background apart from CSF."""

    hu: HuArray
    brain: MaskArray
    to_pixels: FloatArray
    extent_mm: tuple[float, float]
    middle_mm: tuple[float, float]


def register(
    slab: HuArray,
    brain: MaskArray,
    spacing_mm: tuple[float, float],
    atlas: Atlas,
    *,
    midline: Midline | None = None,
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

    Returns
    -------
    Registration

    References
    ----------
    Yushkevich et al., "Fast Automatic Segmentation of Hippocampal Subfields
    and Medial Temporal Lobe Subregions in 3 Tesla and 7 Tesla T2-Weighted
    MRI", Alzheimer's & Dementia 12 (2016): the greedy algorithm.
    """
    if midline is None:
        midline = align_midline(slab[None], brain[None], spacing_mm)
    fixed = _framed(slab, brain, spacing_mm, midline)
    moving = _framed_atlas(atlas)
    affine = _fit_affine(fixed, moving)
    warped = _resampled(moving.hu, affine)
    field_mm = _deform(fixed.hu, warped, atlas.level)
    return _compose(fixed, moving, affine, field_mm, (atlas.level, midline, slab.shape))


def _framed_atlas(atlas: Atlas) -> _Framed:
    brain = np.asarray(ndimage.binary_fill_holes(atlas.template > 0))
    midline = align_midline(atlas.template[None], brain[None], atlas.spacing_mm)
    # holes in the template are CSF that was rounded down to the background
    return _framed(atlas.template, brain, atlas.spacing_mm, midline)


def _framed(
    hu: HuArray, brain: MaskArray, spacing_mm: tuple[float, float], midline: Midline
) -> _Framed:
    to_pixels = midline.to_pixels(spacing_mm)
    inside = (np.argwhere(brain) - to_pixels[:, 2]) @ np.linalg.inv(to_pixels[:, :2]).T
    low, high = np.percentile(inside, [0.5, 99.5], axis=0)
    pixels = to_pixels @ _frame_points()
    sigma = tuple(0.45 * FRAME_MM / step for step in spacing_mm)
    clipped = np.where(brain, np.clip(hu, *_CLIP_HU), _OUTSIDE_HU).astype(np.float32)
    smooth = ndimage.gaussian_filter(clipped, sigma)
    shape = _frame_shape()
    sampled = ndimage.map_coordinates(smooth, pixels, order=1, cval=_OUTSIDE_HU)
    mask = ndimage.map_coordinates(brain.astype(np.float32), pixels, order=1)
    return _Framed(
        hu=sampled.reshape(shape).astype(np.float32),
        brain=mask.reshape(shape) > 0.5,
        to_pixels=to_pixels,
        extent_mm=(float(high[0] - low[0]), float(high[1] - low[1])),
        middle_mm=(float(high[0] + low[0]) / 2, float(high[1] + low[1]) / 2),
    )


def _frame_shape() -> tuple[int, int]:
    down, across = (int(2 * half / FRAME_MM) + 1 for half in _FRAME_HALF_MM)
    return down, across


def _frame_points() -> FloatArray:
    down, across = (
        np.arange(size) * FRAME_MM - half
        for size, half in zip(_frame_shape(), _FRAME_HALF_MM, strict=True)
    )
    grid = np.stack(np.meshgrid(down, across, indexing="ij")).reshape(2, -1)
    return np.vstack((grid, np.ones(grid.shape[1])))


def _as_image(array: HuArray) -> sitk.Image:
    """Wrap a frame as an ITK image whose points are (across, down) in mm."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((FRAME_MM, FRAME_MM))
    image.SetOrigin((-float(_FRAME_HALF_MM[1]), -float(_FRAME_HALF_MM[0])))
    return image


def _fit_affine(fixed: _Framed, moving: _Framed) -> sitk.AffineTransform:
    """Map points of the fixed frame to the moving frame, by correlation."""
    shrink = [_AFFINE_STEP, _AFFINE_STEP]
    target = sitk.Shrink(_as_image(fixed.hu), shrink)
    template = sitk.Shrink(_as_image(moving.hu), shrink)
    transform = _start(fixed, moving, _promising_turn(fixed, moving))
    method = sitk.ImageRegistrationMethod()
    # one thread: the sums, and so the result, do not depend on the machine
    method.SetNumberOfThreads(1)
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=80, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(target, template)
    return transform


def _start(fixed: _Framed, moving: _Framed, turn_degrees: float) -> sitk.AffineTransform:
    """Fit the brains' extents, after a turn about the middle of the brain."""
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    down, across = np.divide(moving.extent_mm, fixed.extent_mm)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix((np.diag([across, down]) @ turn).ravel().tolist())
    transform.SetCenter((fixed.middle_mm[1], fixed.middle_mm[0]))
    transform.SetTranslation(
        (moving.middle_mm[1] - fixed.middle_mm[1], moving.middle_mm[0] - fixed.middle_mm[0])
    )
    return transform


def _promising_turn(fixed: _Framed, moving: _Framed) -> float:
    """Try a few turns: symmetry alone misleads where much of one side is changed."""
    template = sitk.Shrink(_as_image(ndimage.gaussian_filter(moving.hu, 2.0)), [4, 4])
    target = sitk.Shrink(_as_image(ndimage.gaussian_filter(fixed.hu, 2.0)), [4, 4])
    inside = sitk.GetArrayFromImage(sitk.Shrink(_as_image(fixed.brain.astype(np.float32)), [4, 4]))
    eroded = ndimage.binary_erosion(inside > 0.5)
    wanted = sitk.GetArrayFromImage(target)[eroded]

    def likeness(turn_degrees: float) -> float:
        start = _start(fixed, moving, turn_degrees)
        moved = sitk.Resample(template, target, start, sitk.sitkLinear, _OUTSIDE_HU)
        correlation = np.corrcoef(wanted, sitk.GetArrayFromImage(moved)[eroded])[0, 1]
        return float(correlation) - _TURN_COST * turn_degrees**2

    return max(_TURNS_DEGREES, key=likeness)


def _resampled(hu: HuArray, affine: sitk.AffineTransform) -> HuArray:
    image = _as_image(hu)
    moved = sitk.Resample(image, image, affine, sitk.sitkLinear, _OUTSIDE_HU)
    return np.asarray(sitk.GetArrayFromImage(moved), dtype=np.float32)


def _deform(fixed: HuArray, moving: HuArray, level: Level) -> FloatArray:
    """Return the displacement (down, across) in mm from fixed to moving points."""
    greedy = Greedy2D()
    greedy.execute(
        f"-d 2 -i fixed moving -o warp -threads 1 -wp 0 -V 0 "
        f"-seed {_SEED} {_DEFORM[level]} {_STEPS}",
        out=io.StringIO(),
        fixed=_as_image(fixed),
        moving=_as_image(moving),
        warp=None,
    )
    field = np.asarray(sitk.GetArrayFromImage(greedy["warp"]), dtype=float)
    return np.stack((field[..., 1], field[..., 0]))


def _compose(
    fixed: _Framed,
    moving: _Framed,
    affine: sitk.AffineTransform,
    field_mm: FloatArray,
    about: tuple[Level, Midline, tuple[int, ...]],
) -> Registration:
    level, midline, shape = about
    matrix, offset = _plain_affine(affine)
    log_jacobian, folds = _jacobian(field_mm, fixed.brain)
    points = _frame_points()[:2].reshape(2, *_frame_shape()) + field_mm
    template_mm = np.einsum("ij,jrc->irc", matrix, points) + offset[:, None, None]
    template = _sample_frame(moving.hu, template_mm)
    rotation = np.degrees(np.arctan2(matrix[0, 1] - matrix[1, 0], matrix[0, 0] + matrix[1, 1]))
    return Registration(
        level=level,
        atlas_pixels=frozen(_native_to_atlas(fixed, moving, template_mm, shape)),
        ncc=_ncc(fixed.hu, template, fixed.brain),
        affine_scale=_stretch(matrix),
        affine_rotation_degrees=float(rotation),
        sd_log_jacobian=float(log_jacobian.std()),
        folds=folds,
        midline=midline,
    )


def _plain_affine(affine: sitk.AffineTransform) -> tuple[FloatArray, FloatArray]:
    """Return matrix and offset for (down, across) points."""
    matrix = np.array(affine.GetMatrix()).reshape(2, 2)
    centre = np.array(affine.GetCenter())
    offset = np.array(affine.GetTranslation()) + centre - matrix @ centre
    return np.ascontiguousarray(matrix[::-1, ::-1]), offset[::-1]


def _stretch(matrix: FloatArray) -> tuple[float, float]:
    down, across = np.linalg.norm(np.linalg.inv(matrix), axis=0)
    return float(down), float(across)


def _jacobian(field_mm: FloatArray, brain: MaskArray) -> tuple[FloatArray, int]:
    down_down, down_across = np.gradient(field_mm[0], FRAME_MM)
    across_down, across_across = np.gradient(field_mm[1], FRAME_MM)
    determinant = (1 + down_down) * (1 + across_across) - down_across * across_down
    inside = determinant[brain]
    return np.log(np.maximum(inside, 1e-3)), int((inside <= 0).sum())


def _native_to_atlas(
    fixed: _Framed, moving: _Framed, template_mm: FloatArray, shape: tuple[int, ...]
) -> FloatArray:
    """Look up, for every native pixel, its place in the atlas."""
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(2, -1)
    inverse = np.linalg.inv(fixed.to_pixels[:, :2])
    head_mm = inverse @ (pixels - fixed.to_pixels[:, 2:])
    index = _frame_index(head_mm)
    found = np.stack(
        [ndimage.map_coordinates(plane, index, order=1, mode="nearest") for plane in template_mm]
    )
    atlas_pixels = moving.to_pixels[:, :2] @ found + moving.to_pixels[:, 2:]
    last = np.array(_frame_shape())[:, None] - 1
    outside = ((index < 0) | (index > last)).any(axis=0)
    atlas_pixels[:, outside] = -1e4
    return np.asarray(atlas_pixels.reshape(2, *shape), dtype=float)


def _frame_index(points_mm: FloatArray) -> FloatArray:
    half = np.array(_FRAME_HALF_MM, dtype=float).reshape(2, *[1] * (points_mm.ndim - 1))
    return np.asarray((points_mm + half) / FRAME_MM)


def _sample_frame(hu: HuArray, points_mm: FloatArray) -> HuArray:
    sampled = ndimage.map_coordinates(hu, _frame_index(points_mm), order=1, cval=_OUTSIDE_HU)
    return np.asarray(sampled, dtype=np.float32)


def _ncc(fixed: HuArray, warped: HuArray, brain: MaskArray) -> float:
    inside = ndimage.binary_erosion(brain, iterations=3)
    if inside.sum() < 100:
        return 0.0
    return float(np.corrcoef(fixed[inside], warped[inside])[0, 1])
