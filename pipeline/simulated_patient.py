"""Patients made from a template: another anatomy, noise, and an infarct on one side.

The deformation is a cubic B-spline with control points drawn one by one, so
that left and right change apart, and it is not of the family that the
registration searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray, LabelArray, MaskArray, frozen
from pipeline.atlas import Atlas
from pipeline.head_frame import framed_atlas
from pipeline.midline import Midline
from pipeline.regions import LEFT_OFFSET

_CONTROL_MM: Final = 25.0
_DEFORMATION_RMS_MM: Final = 3.0
_TURN_DEGREES: Final = 10.0
_SHIFT_MM: Final = 5.0
_NOISE_HU: Final = (3.0, 5.0)
_NOISE_GRAIN_PIXELS: Final = 0.8
_DROP_HU: Final = (4.0, 10.0)
_LESION_EDGE_MM: Final = 1.5
_MOST_REGIONS: Final = 6
_FIT_EVERY: Final = 97
_SULCUS_HU: Final = 18.0  # CSF does not become darker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedPatient:
    """One slice of a patient whose regions are known.

    Attributes
    ----------
    healthy, ischaemic : numpy.ndarray, shape (row, column), float32
        HU, the same noise in both; 0 outside the brain.
    brain : numpy.ndarray, shape (row, column), bool
    labels : numpy.ndarray, shape (row, column), uint8
        The true regions, 1-20.
    midline : Midline
        The template's, turned and shifted with the patient; the deformation
        beyond that knows no midline.
    lesioned : tuple of int
        Labels with a drop of density, all of one side.
    drop_hu : float
    """

    healthy: HuArray
    ischaemic: HuArray
    brain: MaskArray
    labels: LabelArray
    midline: Midline
    lesioned: tuple[int, ...]
    drop_hu: float


def simulate_patient(source: Atlas, rng: np.random.Generator) -> SimulatedPatient:
    """Make a patient from a template.

    Parameters
    ----------
    source : Atlas
        Not the one that is to be registered.
    rng : numpy.random.Generator

    Returns
    -------
    SimulatedPatient
        On the grid of the template: turned by up to 10 degrees, shifted by up
        to 5 mm, deformed by 3 mm (root mean square), with 3-5 HU of noise and
        4-10 HU of hypodensity in one to six regions of one side.
    """
    transform = _draw_transform(source, rng)
    filled = np.asarray(ndimage.binary_fill_holes(source.template > 0))
    hu = _resampled(source, np.array(source.template), transform, sitk.sitkLinear)
    brain = _resampled(source, filled.astype(np.float32), transform, sitk.sitkLinear) > 0.5
    labels = _resampled(source, np.array(source.labels), transform, sitk.sitkNearestNeighbor)
    lesioned, drop_hu, fall = _draw_lesion(labels, hu, source.spacing_mm, rng)
    noise = _draw_noise(hu.shape, rng)
    return SimulatedPatient(
        healthy=frozen(np.where(brain, hu + noise, 0).astype(np.float32)),
        ischaemic=frozen(np.where(brain, hu - fall + noise, 0).astype(np.float32)),
        brain=frozen(brain),
        labels=frozen(labels.astype(np.uint8)),
        midline=_true_midline(source, brain, transform),
        lesioned=lesioned,
        drop_hu=drop_hu,
    )


def _image(source: Atlas, array: HuArray | LabelArray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(source.spacing_mm[::-1])
    return image


def _draw_transform(source: Atlas, rng: np.random.Generator) -> sitk.Transform:
    grid = _image(source, np.array(source.labels))
    size_mm = np.array(grid.GetSize()) * np.array(grid.GetSpacing())
    mesh = [max(1, round(length / _CONTROL_MM)) for length in size_mm.tolist()]
    spline = sitk.BSplineTransformInitializer(grid, mesh, order=3)
    # the spline smooths independent control points to about 0.47 of their spread
    count = len(spline.GetParameters())
    spline.SetParameters(rng.normal(0, _DEFORMATION_RMS_MM / 0.47, count).tolist())
    turn = sitk.Euler2DTransform()
    turn.SetCenter(grid.TransformContinuousIndexToPhysicalPoint([n / 2 for n in grid.GetSize()]))
    turn.SetAngle(float(np.radians(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES))))
    turn.SetTranslation(rng.uniform(-_SHIFT_MM, _SHIFT_MM, 2).tolist())
    return sitk.CompositeTransform([spline, turn])


def _true_midline(source: Atlas, brain: MaskArray, transform: sitk.Transform) -> Midline:
    """Move the template's midline by the affine part of the patient's transform."""
    own = framed_atlas(source).to_pixels
    scale = np.asarray(source.spacing_mm)
    pixels = np.argwhere(brain)[::_FIT_EVERY]
    moved_mm = np.array(
        [transform.TransformPoint(point[::-1].tolist())[::-1] for point in pixels * scale]
    )
    design = np.column_stack((pixels * scale, np.ones(len(pixels))))
    fitted, *_ = np.linalg.lstsq(design, moved_mm, rcond=None)
    back = np.linalg.inv(fitted[:2].T)
    down = back @ (own[:, 0] * scale)
    point = back @ (own[:, 2] * scale - fitted[2]) / scale
    return Midline(
        angle_degrees=float(np.degrees(np.arctan2(-down[1], down[0]))),
        point=(float(point[0]), float(point[1])),
        asymmetry=0.0,
    )


def _resampled(
    source: Atlas, array: HuArray | LabelArray, transform: sitk.Transform, how: int
) -> FloatArray:
    image = _image(source, array)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, image, transform, how, 0.0)))


def _draw_lesion(
    labels: FloatArray, hu: FloatArray, spacing_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[tuple[int, ...], float, FloatArray]:
    """Choose the regions; return them, the drop, and the fall of density everywhere."""
    side = LEFT_OFFSET * int(rng.integers(2))
    there = [n for n in np.unique(labels).astype(int).tolist() if 0 < n - side <= LEFT_OFFSET]
    count = int(rng.integers(1, min(_MOST_REGIONS, len(there)) + 1))
    lesioned = tuple(sorted(rng.choice(there, count, replace=False).tolist()))
    drop_hu = float(rng.uniform(*_DROP_HU))
    sigma = [_LESION_EDGE_MM / step for step in spacing_mm]
    soft = ndimage.gaussian_filter(np.isin(labels, lesioned).astype(np.float32), sigma)
    return lesioned, drop_hu, drop_hu * soft * (hu > _SULCUS_HU)


def _draw_noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), _NOISE_GRAIN_PIXELS)
    return np.asarray(grain / grain.std() * rng.uniform(*_NOISE_HU))
