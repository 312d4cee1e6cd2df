"""Brain mask of every slice: what the skull encloses, less bone and air.

Two methods. ``skull`` (the default) takes what closed bone encloses, slice by
slice, and keeps the part that holds together in three dimensions; ``paper``
grows a region of brain-like HU from the middle of the head, as Sun et al. do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import HuArray, MaskArray
from pipeline.volume import Volume

BrainMethod = Literal["skull", "paper"]

_WORKING_MM: Final = 1.0
_BONE_HU: Final = 150.0
_TISSUE_HU: Final = (-15.0, 110.0)
# a thin temporal bone or a suture needs little, a craniectomy a lot
_SEALS_MM: Final = (1.0, 3.0, 7.0, 13.0, 20.0)
_ENCLOSED_SHARE: Final = 0.55
_NECK_MM: Final = 4.0
_SECOND_PART: Final = 0.1


def extract_brain(volume: Volume, *, method: BrainMethod = "skull") -> MaskArray:
    """Mask the brain on every slice of a volume.

    Parameters
    ----------
    volume : Volume
    method : {"skull", "paper"}

    Returns
    -------
    numpy.ndarray, shape (slice, row, column), bool
        True inside the brain, its CSF spaces and calcifications included.
        Slices without a closed skull (face, neck) may be all False.
    """
    zoom = _working_zoom(volume)
    small: HuArray = ndimage.zoom(
        volume.voxels, (1, *zoom), order=1, grid_mode=True, mode="nearest"
    )
    spacing = (
        volume.pixel_spacing_mm[0] / zoom[0],
        volume.pixel_spacing_mm[1] / zoom[1],
    )
    extract: Callable[[HuArray, tuple[float, float]], MaskArray] = (
        _within_skull if method == "skull" else _grown_from_the_middle
    )
    mask = extract(small, spacing)
    return _resized(mask, volume.voxels.shape)


def _working_zoom(volume: Volume) -> tuple[float, float]:
    rows, columns = volume.voxels.shape[1:]
    row_mm, column_mm = volume.pixel_spacing_mm
    return (
        max(1, round(rows * min(1.0, row_mm / _WORKING_MM))) / rows,
        max(1, round(columns * min(1.0, column_mm / _WORKING_MM))) / columns,
    )


def _resized(mask: MaskArray, shape: tuple[int, ...]) -> MaskArray:
    if mask.shape == shape:
        return mask
    factors = (1, shape[1] / mask.shape[1], shape[2] / mask.shape[2])
    smooth = ndimage.zoom(mask.astype(np.float32), factors, order=1, grid_mode=True, mode="nearest")
    return np.asarray(smooth > 0.5)


def _within_skull(voxels: HuArray, spacing: tuple[float, float]) -> MaskArray:
    smooth = ndimage.gaussian_filter(voxels, (0, 0.6 / spacing[0], 0.6 / spacing[1]))
    enclosed = np.stack([_enclosed(hu, spacing) for hu in smooth])
    tissue = enclosed & (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1])
    core = np.stack([_eroded(mask, spacing, _NECK_MM) for mask in tissue])
    core = _large_components(core)
    grown = np.stack([_dilated(mask, spacing, _NECK_MM + 1.5) for mask in core])
    brain = grown & enclosed & (smooth > _TISSUE_HU[0])
    return np.stack([_tidied(mask, spacing) for mask in brain])


def _enclosed(hu: HuArray, spacing: tuple[float, float]) -> MaskArray:
    """Find what bone encloses on one slice, its gaps sealed as little as needed."""
    bone = hu > _BONE_HU
    head = ndimage.binary_fill_holes(hu > -200)
    area = int(head.sum())
    best = np.zeros_like(bone)
    if not bone.any():
        return best
    for seal_mm in _SEALS_MM:
        # a wall grown by half a gap is closed; what it holds is grown back
        wall = _dilated(bone, spacing, seal_mm)
        held = ndimage.binary_fill_holes(wall) & ~wall
        inside = _dilated(held, spacing, seal_mm + 0.5) & ~bone & head
        if inside.sum() > best.sum() * 1.15:
            best = inside
        if best.sum() > _ENCLOSED_SHARE * area:
            break
    return best


def _grown_from_the_middle(voxels: HuArray, spacing: tuple[float, float]) -> MaskArray:
    """Sun et al.: confidence-connected growth, closing, largest component.

    Their seed and box are fixed to a 512 x 512 matrix; here the seed is the
    most brain-like spot near the middle of the head of each slice.
    """
    masks = [_grown(hu, spacing) for hu in voxels]
    return np.stack(masks)


def _grown(hu: HuArray, spacing: tuple[float, float]) -> MaskArray:
    empty = np.zeros(hu.shape, dtype=bool)
    seed = _seed(hu)
    if seed is None:
        return empty
    image = sitk.GetImageFromArray(np.clip(hu, -100, 200))
    grown = sitk.ConfidenceConnected(
        image,
        seedList=[(seed[1], seed[0])],
        numberOfIterations=0,
        multiplier=12.0,
        initialNeighborhoodRadius=5,
        replaceValue=1,
    )
    mask = sitk.GetArrayFromImage(grown).astype(bool) & (hu > 0) & (hu < 120)
    mask = _largest_component(_opened(mask, spacing, 1.0))
    mask = _closed(mask, spacing, 5.0) & (hu < 120)
    return np.asarray(ndimage.binary_fill_holes(_largest_component(mask)))


def _seed(hu: HuArray) -> tuple[int, int] | None:
    head = ndimage.binary_fill_holes(hu > -200)
    if head.sum() < 100:
        return None
    rows, columns = (round(value) for value in ndimage.center_of_mass(head))
    smooth = ndimage.gaussian_filter(hu, 2)
    candidates = np.argwhere((smooth > 20) & (smooth < 45))
    if not len(candidates):
        return None
    nearest = np.argmin(((candidates - (rows, columns)) ** 2).sum(axis=1))
    return int(candidates[nearest][0]), int(candidates[nearest][1])


def _tidied(mask: MaskArray, spacing: tuple[float, float]) -> MaskArray:
    opened = _opened(mask, spacing, 2.0)
    return np.asarray(ndimage.binary_fill_holes(_closed(opened, spacing, 3.0)))


def _large_components(mask: MaskArray) -> MaskArray:
    """Keep the largest part, and others not much smaller: a slice may be lost."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes > _SECOND_PART * sizes.max())[labels])


def _largest_component(mask: MaskArray) -> MaskArray:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _eroded(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    if not mask.any():
        return mask
    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1]
    return np.asarray(distance > radius_mm)


def _dilated(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= radius_mm)


def _opened(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    return _dilated(_eroded(mask, spacing, radius_mm), spacing, radius_mm)


def _closed(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    if not mask.any():
        return mask
    margin = int(np.ceil(radius_mm / min(spacing))) + 1
    dilated = _dilated(np.pad(mask, margin), spacing, radius_mm)
    return _eroded(dilated, spacing, radius_mm)[margin:-margin, margin:-margin]
