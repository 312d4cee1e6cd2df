"""Spoil a head on purpose, to see whether the spoilt result is noticed."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.arrays import FloatArray, HuArray

_AIR_HU: Final = -1000.0
_BONE_HU: Final = 200.0
_SCALP_HU: Final = 30.0
_BLOOD_HU: Final = 66.0
_BRAIN_HU: Final = (0.0, 60.0)
_Spacing = tuple[float, float, float]


class Failure(StrEnum):
    """What can be wrong with a head."""

    WRONG_LEVEL = "wrong level"
    UPSIDE_DOWN = "upside down"
    TRUNCATED = "truncated"
    WRONG_MODALITY = "wrong modality"
    HAEMATOMA = "large haematoma"
    CRANIECTOMY = "craniectomy"
    MOTION = "strong motion"
    TILT = "extreme tilt"


def inject(
    voxels: HuArray, spacing_mm: _Spacing, failure: Failure, rng: np.random.Generator
) -> HuArray:
    """Spoil the voxels of a head.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
        HU; from inferior to superior, to posterior, to the patient's left.
    spacing_mm : tuple of float
        Between slices, rows and columns.
    failure : Failure
        `Failure.WRONG_LEVEL` changes nothing: it is a matter of the slices.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (slice, row, column), float32
    """
    spoil = _SPOILERS.get(failure)
    return voxels if spoil is None else spoil(voxels, spacing_mm, rng)


def _upside_down(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Exchange front and back, as a wrong header does."""
    del spacing_mm, rng
    return np.ascontiguousarray(voxels[:, ::-1])


def _head_rows(voxels: HuArray) -> tuple[int, int]:
    rows = np.flatnonzero((voxels > _BONE_HU).any(axis=(0, 2)))
    return int(rows[0]), int(rows[-1])


def _truncated(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Cut a fifth to a third of the head's length away, in front."""
    del spacing_mm
    first, last = _head_rows(voxels)
    cut = first + round((last - first) * rng.uniform(0.2, 0.33))
    spoilt = voxels.copy()
    spoilt[:, :cut] = _AIR_HU
    return spoilt


def _as_magnetic_resonance(
    voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator
) -> HuArray:
    """Show bone and air dark, and tissue bright, as a scan without HU does."""
    del spacing_mm, rng
    tissue = np.clip(voxels, 0, 80)
    return np.where((voxels > -30) & (voxels < 100), 100 + 5 * (80 - tissue), 0).astype(np.float32)


def _ellipsoid(
    shape: tuple[int, ...], centre: FloatArray, radii_mm: FloatArray, spacing_mm: _Spacing
) -> FloatArray:
    """Return the squared distance from the centre in units of the radii."""
    axes = [
        ((np.arange(size) - middle) * step / radius) ** 2
        for size, middle, step, radius in zip(shape, centre, spacing_mm, radii_mm, strict=True)
    ]
    return np.asarray(axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None])


def _brain_box(voxels: HuArray) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest index of the skull's bounding box."""
    pieces, _ = ndimage.label(ndimage.binary_opening(voxels > _BONE_HU, np.ones((1, 2, 2))))
    # the head rest is a piece of its own
    places = np.argwhere(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
    return places.min(axis=0).astype(float), places.max(axis=0).astype(float)


def _bled(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Paste a bleed of 40-90 ml in one hemisphere, over both levels."""
    low, high = _brain_box(voxels)
    side = 0.3 if rng.random() < 0.5 else 0.7
    centre = low + (high - low) * np.array([rng.uniform(0.6, 0.7), rng.uniform(0.4, 0.6), side])
    radii = np.cbrt(rng.uniform(40, 90) * 1000 * 3 / (4 * np.pi)) * np.array([1.0, 1.25, 0.8])
    inside = _ellipsoid(voxels.shape, centre, radii, spacing_mm) < 1
    inside &= (voxels > _BRAIN_HU[0]) & (voxels < _BRAIN_HU[1])
    return np.where(inside, _BLOOD_HU + (voxels - 30) * 0.3, voxels).astype(np.float32)


def _opened(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Take a flap of 9-12 cm out of one side of the skull."""
    low, high = _brain_box(voxels)
    side = 0.0 if rng.random() < 0.5 else 1.0
    centre = low + (high - low) * np.array([0.65, rng.uniform(0.35, 0.5), side])
    radius = rng.uniform(45, 60)
    flap = _ellipsoid(voxels.shape, centre, np.array([radius, radius, 40.0]), spacing_mm) < 1
    return np.where(flap & (voxels > 70), _SCALP_HU, voxels).astype(np.float32)


def _moved(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Turn and shift every slice its own way, and show each twice."""
    spoilt = np.empty_like(voxels)
    for index, picture in enumerate(voxels):
        copies = []
        for _ in range(2):
            angle = np.radians(rng.normal(0, 5))
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            middle = np.array(picture.shape) / 2
            offset = middle - turn @ middle + rng.normal(0, 4, 2) / np.array(spacing_mm[1:])
            copies.append(ndimage.affine_transform(picture, turn, offset, order=1, cval=_AIR_HU))
        spoilt[index] = np.mean(copies, axis=0)
    return spoilt


def _tilted(voxels: HuArray, spacing_mm: _Spacing, rng: np.random.Generator) -> HuArray:
    """Nod the head by 35-45 degrees against the slices."""
    angle = np.radians(rng.uniform(35, 45) * (1 if rng.random() < 0.5 else -1))
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    scale = np.diag(spacing_mm)
    matrix = np.linalg.inv(scale) @ turn @ scale
    low, high = _brain_box(voxels)
    middle = (low + high) / 2
    return np.asarray(
        ndimage.affine_transform(voxels, matrix, middle - matrix @ middle, order=1, mode="nearest"),
        dtype=np.float32,
    )


_SPOILERS: Final[dict[Failure, Callable[[HuArray, _Spacing, np.random.Generator], HuArray]]] = {
    Failure.UPSIDE_DOWN: _upside_down,
    Failure.TRUNCATED: _truncated,
    Failure.WRONG_MODALITY: _as_magnetic_resonance,
    Failure.HAEMATOMA: _bled,
    Failure.CRANIECTOMY: _opened,
    Failure.MOTION: _moved,
    Failure.TILT: _tilted,
}
