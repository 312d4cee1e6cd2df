"""Turn the heads of a cohort into upright brain pictures, one for each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from atlases.construct.cohort import Subject
from atlases.errors import CohortError
from pipeline.arrays import FloatArray, HuArray, LabelArray, MaskArray
from pipeline.brain import extract_brain
from pipeline.errors import PipelineError
from pipeline.geometry import InPlaneView, pixel_affine
from pipeline.midline import Midline, align_head, align_level
from pipeline.regions import LEFT_OFFSET, Level
from pipeline.registration_grid import grid_points
from pipeline.registration_pairs import Upright
from pipeline.series import load_series
from pipeline.volume import Volume, slab, to_volume

_HALF_MM: Final = (112.0, 96.0)  # down, across
_TISSUE_HU: Final = (-10.0, 90.0)  # bone and air would ring under cubic interpolation
_AS_STORED: Final = InPlaneView(transpose=False, flip_rows=False, flip_columns=False)
_AXIAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """One level of a head, before it is put upright.

    Attributes
    ----------
    hu : numpy.ndarray, shape (row, column), float32
        Mean of about 5 mm, in the radiologist's view.
    brain : numpy.ndarray, shape (row, column), bool
    regions : numpy.ndarray, shape (row, column), uint8, or None
        1-10, both sides alike.
    spacing_mm : tuple of float
        Between rows, then between columns.
    midline : Midline
    """

    hu: HuArray
    brain: MaskArray
    regions: LabelArray | None
    spacing_mm: tuple[float, float]
    midline: Midline

    @property
    def area_mm2(self) -> float:
        """Area of the brain."""
        return float(self.brain.sum() * self.spacing_mm[0] * self.spacing_mm[1])


def grid_shape(grid_mm: float) -> tuple[int, int]:
    """Return rows and columns of the grid that all pictures share.

    Examples
    --------
    >>> grid_shape(0.5)
    (449, 385)
    """
    down, across = (round(2 * half / grid_mm) + 1 for half in _HALF_MM)
    return down, across


def read_slices(subject: Subject) -> dict[Level, Slice]:
    """Find brain and midline of a head, and cut out both levels.

    Raises
    ------
    CohortError
        The image cannot be read, a level lies outside it, or there is no brain
        on it.
    """
    volume = _read_volume(subject)
    view = volume.view
    regions = None if subject.regions is None else _read_nifti(subject, subject.regions)[1]
    for level, index in subject.levels.items():
        if not 0 <= index < len(volume.voxels):
            raise CohortError(f"subject {subject.name}: {level} slice {index} is not there")
    brain = extract_brain(volume)
    if regions is not None and regions.shape != view.apply(volume.voxels).shape:
        raise CohortError(f"subject {subject.name}: image and regions have different grids")
    empty = [level for level, index in subject.levels.items() if not brain[index].any()]
    if empty:
        raise CohortError(f"subject {subject.name}: no brain was found on the {empty[0]} level")
    head = align_head(volume, brain)
    return {
        level: Slice(
            hu=view.apply(slab(volume, index)),
            brain=view.apply(brain[index]),
            regions=None if regions is None else _one_sided(regions[index]),
            spacing_mm=view.spacing(volume.pixel_spacing_mm),
            midline=align_level(volume, brain, index, head),
        )
        for level, index in subject.levels.items()
    }


def fitted_scale(slices: Mapping[Level, Slice], areas_mm2: Mapping[Level, float]) -> float:
    """Return the factor that gives a head's brain a wanted area.

    For heads whose pixel spacing is not known: shape is theirs, size is not.
    """
    wanted = sum(areas_mm2.values())
    return float(np.sqrt(wanted / sum(slices[level].area_mm2 for level in areas_mm2)))


def upright(one: Slice, grid_mm: float, scale: float = 1.0) -> Upright:
    """Sample a slice once, its midline upright in the middle of the grid.

    Parameters
    ----------
    one : Slice
    grid_mm : float
    scale : float
        The head is enlarged by this factor.
    """
    index, shape = _pixels(one, grid_mm, scale)
    clipped = np.clip(one.hu, *_TISSUE_HU).astype(np.float32)
    hu = ndimage.map_coordinates(clipped, index, order=3, mode="nearest")
    brain = ndimage.map_coordinates(one.brain.astype(np.float32), index, order=1)
    return Upright(
        hu=hu.reshape(shape).astype(np.float32), brain=brain.reshape(shape) > 0.5, grid_mm=grid_mm
    )


def upright_regions(one: Slice, grid_mm: float, scale: float = 1.0) -> LabelArray | None:
    """Sample the regions of a slice as `upright` does its HU; None where it has none."""
    if one.regions is None:
        return None
    index, shape = _pixels(one, grid_mm, scale)
    found = ndimage.map_coordinates(one.regions, index, order=0)
    return np.asarray(found.reshape(shape), dtype=np.uint8)


def _pixels(one: Slice, grid_mm: float, scale: float) -> tuple[FloatArray, tuple[int, int]]:
    shape = grid_shape(grid_mm)
    points = grid_points(shape, grid_mm).reshape(2, -1)
    row_mm, column_mm = one.spacing_mm
    to_pixels = one.midline.to_pixels((row_mm * scale, column_mm * scale))
    return to_pixels @ np.vstack((points, np.ones(points.shape[1]))), shape


def _read_volume(subject: Subject) -> Volume:
    if subject.image.is_dir():
        return _read_dicom(subject)
    image, voxels = _read_nifti(subject, subject.image)
    column_mm, row_mm, step_mm = image.GetSpacing()
    steps = np.arange(len(voxels)) * step_mm
    right, front, low = image.GetOrigin()
    affines = [
        pixel_affine((right, front, low + step), _AXIAL, (row_mm, column_mm)) for step in steps
    ]
    return Volume(
        voxels=voxels,
        pixel_affines=np.stack(affines),
        pixel_spacing_mm=(row_mm, column_mm),
        distances_mm=steps,
        slice_thickness_mm=np.full(len(voxels), step_mm),
        view=_AS_STORED,
    )


def _read_nifti(subject: Subject, path: Path) -> tuple[sitk.Image, HuArray]:
    """Return image and voxels (slice, row, column), the lowest first, in the reader's view."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    except RuntimeError as error:
        raise CohortError(f"subject {subject.name}: {path} is no NIfTI image") from error
    return image, sitk.GetArrayFromImage(image).astype(np.float32)


def _read_dicom(subject: Subject) -> Volume:
    datasets = []
    for path in sorted(subject.image.rglob("*")):
        if path.is_file():
            try:
                datasets.append(dcmread(path))
            except InvalidDicomError:
                continue
    try:
        return to_volume(load_series(datasets))
    except PipelineError as error:
        raise CohortError(f"subject {subject.name}: {error}") from error


def _one_sided(regions: HuArray) -> LabelArray:
    return np.where(regions > LEFT_OFFSET, regions - LEFT_OFFSET, regions).astype(np.uint8)
