"""Brain mask of every slice: what the skull encloses, less bone and air.

Two methods. ``skull`` (the default) takes what closed bone encloses, slice by
slice, and keeps the part that holds together in three dimensions; ``paper``
grows a region of brain-like HU from the middle of the head, as Sun et al. do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.arrays import HuArray, MaskArray, bounding_box
from pipeline.provenance import Algorithm
from pipeline.volume import Volume

BrainMethod = Literal["skull", "paper"]

ALGORITHMS: Final[dict[BrainMethod, Algorithm]] = {
    "skull": Algorithm(name="brain within the skull", version="1", family="image-processing"),
    "paper": Algorithm(name="brain as in the paper", version="1", family="image-processing"),
}
"""What each method reports about itself."""

_Array = TypeVar("_Array", bound=npt.NDArray[Any])

_THREADS: Final = 2
_WORKING_MM: Final = 1.0
_BONE_HU: Final = 150.0
_TISSUE_HU: Final = (-15.0, 110.0)
# a thin temporal bone or a suture needs little, a craniectomy a lot
_SEALS_MM: Final = (1.0, 3.0, 7.0, 13.0, 20.0)
_ENCLOSED_SHARE: Final = 0.55
_NECK_MM: Final = 4.0
_SECOND_PART: Final = 0.1
_BRIDGED_SLICES: Final = 2


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
    factors = _factors(volume)
    small = average_blocks(volume.voxels, factors)
    spacing = (
        volume.pixel_spacing_mm[0] * factors[0],
        volume.pixel_spacing_mm[1] * factors[1],
    )
    extract = _within_skull if method == "skull" else _grown_from_the_middle
    return _resized(extract(small, spacing), factors, volume.voxels.shape)


def _factors(volume: Volume) -> tuple[int, int]:
    row_mm, column_mm = volume.pixel_spacing_mm
    return max(1, round(_WORKING_MM / row_mm)), max(1, round(_WORKING_MM / column_mm))


def _each_slice(function: Callable[..., _Array], *stacks: Iterable[npt.NDArray[Any]]) -> _Array:
    """Apply a function slice by slice on two threads; the order is kept."""
    with ThreadPoolExecutor(_THREADS) as pool:
        result: Any = np.stack(list(pool.map(function, *stacks)))
    stacked: _Array = result
    return stacked


def average_blocks(voxels: HuArray, factors: tuple[int, int]) -> HuArray:
    """Average blocks of pixels of every slice.

    Parameters
    ----------
    voxels : numpy.ndarray, shape (slice, row, column), float32
    factors : tuple of int
        Rows and columns of a block; where the matrix is no multiple, its last
        row and column are repeated.
    """
    rows, columns = (-size % factor for size, factor in zip(voxels.shape[1:], factors, strict=True))
    padded = np.pad(voxels, ((0, 0), (0, rows), (0, columns)), mode="edge")
    slices, height, width = padded.shape
    blocks = padded.reshape(
        slices, height // factors[0], factors[0], width // factors[1], factors[1]
    )
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _resized(mask: MaskArray, factors: tuple[int, int], shape: tuple[int, ...]) -> MaskArray:
    if factors == (1, 1):
        return mask

    def enlarged(small: MaskArray) -> MaskArray:
        large = ndimage.zoom(
            small.astype(np.float32), factors, order=1, grid_mode=True, mode="nearest"
        )
        return np.asarray(large[: shape[1], : shape[2]] > 0.5)

    return _each_slice(enlarged, mask)


def _within_skull(voxels: HuArray, spacing: tuple[float, float]) -> MaskArray:
    def smoothed(hu: HuArray) -> HuArray:
        return np.asarray(ndimage.gaussian_filter(hu, (0.6 / spacing[0], 0.6 / spacing[1])))

    smooth = _each_slice(smoothed, voxels)
    enclosed = _each_slice(lambda hu: _enclosed(hu, spacing), smooth)
    tissue = enclosed & (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1])
    core = _large_components(_each_slice(lambda mask: _eroded(mask, spacing, _NECK_MM), tissue))
    grown = _each_slice(lambda mask: _dilated(mask, spacing, _NECK_MM + 1.5), core)
    brain = grown & enclosed & (smooth > _TISSUE_HU[0])
    tidy = _each_slice(lambda mask: _tidied(mask, spacing), brain)
    return _bridged(tidy, (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1]))


def _bridged(brain: MaskArray, tissue: MaskArray) -> MaskArray:
    """Fill a slice whose skull is too open with what its neighbours agree on."""
    found = np.flatnonzero(brain.any(axis=(1, 2)))
    bridged = brain.copy()
    for below, above in pairwise(found.tolist()):
        if 1 < above - below <= _BRIDGED_SLICES + 1:
            between = slice(below + 1, above)
            bridged[between] = brain[below] & brain[above] & tissue[between]
    return bridged


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
    return _each_slice(lambda hu: _grown(hu, spacing), voxels)


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
    window = bounding_box(mask, 0)
    padded = np.pad(mask[window], 1)
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1]
    eroded = np.zeros_like(mask)
    eroded[window] = distance > radius_mm
    return eroded


def _dilated(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    if not mask.any():
        return mask
    window = bounding_box(mask, int(np.ceil(radius_mm / min(spacing))))
    dilated = np.zeros_like(mask)
    distance = ndimage.distance_transform_edt(~mask[window], sampling=spacing)
    dilated[window] = distance <= radius_mm
    return dilated


def _opened(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    return _dilated(_eroded(mask, spacing, radius_mm), spacing, radius_mm)


def _closed(mask: MaskArray, spacing: tuple[float, float], radius_mm: float) -> MaskArray:
    if not mask.any():
        return mask
    margin = int(np.ceil(radius_mm / min(spacing))) + 1
    dilated = _dilated(np.pad(mask, margin), spacing, radius_mm)
    return _eroded(dilated, spacing, radius_mm)[margin:-margin, margin:-margin]
