"""A CT series: checked, sorted, read-only; every defect is a named error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage

from pipeline.arrays import FloatArray, frozen
from pipeline.errors import (
    EmptySeriesError,
    GeometryError,
    HeaderError,
    IncompleteSeriesError,
    InconsistentSeriesError,
    NotAxialError,
    TooLargeError,
    UnsupportedImageTypeError,
    UnsupportedSOPClassError,
)
from pipeline.geometry import slice_normal
from pipeline.header import has_value, number, numbers, text, texts, uid, without_unreadable

MIN_SLICES: Final = 8
"""Fewer slices cannot hold both levels and their neighbours."""
MAX_SLICES: Final = 2000
MAX_ROWS: Final = 2048
"""And columns."""
MAX_VOXELS: Final = 600_000_000
"""Of the whole series: 2.4 GB in memory, over 2000 slices of 512 x 512."""
MAX_TILT_DEGREES: Final = 40.0
"""Between the slice normal and the body axis; head CT is tilted to about 30."""

_CT: Final = str(CTImageStorage)
_FARTHEST_MM: Final = 10_000.0
_SAME_POSITION_MM: Final = 0.01
_GAP_FACTOR: Final = 1.5
_UNSUPPORTED_IMAGE_TYPES: Final = frozenset(
    {"MIP", "MINIP", "PROJECTION IMAGE", "PERFUSION", "CBF", "CBV", "MTT", "TMAX", "VRT", "SSD"}
    | {"SCREEN SAVE", "DOSE_INFO"}
)
_COMMON: Final = ("Rows", "Columns", "FrameOfReferenceUID", "PatientID")
_THICKNESS_RANGE_MM: Final = (0.0, 50.0)
_ORIENTATION_TOLERANCE: Final = 2e-3
_SPACING_TOLERANCE_MM: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CtSeries:
    """One axial CT series, its images in order from inferior to superior.

    Attributes
    ----------
    datasets : tuple of pydicom.Dataset
        One single-frame CT image each. Treat as read-only.
    study_instance_uid, series_instance_uid : str
    sop_instance_uids : tuple of str
    image_orientation : numpy.ndarray, shape (6,), float64
        ``ImageOrientationPatient`` (0020,0037), common to all images.
    pixel_spacing_mm : tuple of float
        ``PixelSpacing`` (0028,0030): between rows, then between columns.
    rows, columns : int
    positions_mm : numpy.ndarray, shape (n, 3), float64
        ``ImagePositionPatient`` (0020,0032), LPS.
    distances_mm : numpy.ndarray, shape (n,), float64
        Distance of each slice from the first along the slice normal; rises.
    slice_thickness_mm : numpy.ndarray, shape (n,), float64
        ``SliceThickness`` (0018,0050), or the local step where it is absent.
    gaps : tuple of int
        Index of each slice above which at least one slice is missing.
    notes : tuple of str
        What was put right on the way, in words (duplicates dropped and so on).
    """

    datasets: tuple[Dataset, ...]
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    image_orientation: FloatArray
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int
    positions_mm: FloatArray
    distances_mm: FloatArray
    slice_thickness_mm: FloatArray
    gaps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.datasets)


def load_series(datasets: Iterable[Dataset]) -> CtSeries:
    """Check and sort the images of one series.

    Parameters
    ----------
    datasets : iterable of pydicom.Dataset
        In any order; repeated instances are dropped if they are identical.

    Returns
    -------
    CtSeries
        Sorted from inferior to superior, whatever the order of acquisition.

    Raises
    ------
    EmptySeriesError
        No image at all.
    UnsupportedSOPClassError
        Anything but single-frame CT images.
    UnsupportedImageTypeError
        Projections, perfusion maps and the like.
    NotAxialError
        A scout, or slices that are not roughly axial.
    InconsistentSeriesError
        Two series, two grids, or two different images at one position.
    GeometryError
        Position, orientation, spacing or frame of reference is missing.
    IncompleteSeriesError
        Too few slices.
    HeaderError
        A value that is needed is missing or malformed.
    TooLargeError
        More images or pixels than any head CT has.

    References
    ----------
    DICOM PS3.3, C.7.6.2 "Image Plane Module", C.8.2.1 "CT Image Module".
    """
    notes: list[str] = []
    images = _drop_repeated_instances(list(datasets), notes)
    _check_kind(images)
    images = _drop_scouts(images, notes)
    series = uid(images[0], "SeriesInstanceUID")
    _check_common(images, series)
    orientation = _common_orientation(images, series)
    images = _sorted_along(orientation, images, notes, series)
    if len(images) < MIN_SLICES:
        raise IncompleteSeriesError(
            f"series {series}: {len(images)} axial slices; at least {MIN_SLICES} are needed. "
            "Send the whole head."
        )
    return _assemble(images, orientation, series, notes)


def _assemble(
    images: list[Dataset], orientation: FloatArray, series: str, notes: list[str]
) -> CtSeries:
    positions = np.stack([numbers(image, "ImagePositionPatient", 3) for image in images])
    distances = np.abs((positions - positions[0]) @ slice_normal(orientation))
    steps = np.diff(distances)
    thickness = _thickness(images, steps)
    first, unreadable = without_unreadable(images[0])
    if unreadable:
        notes.append(f"{unreadable} malformed header value(s) of the lowest slice ignored")
    rows, columns = (int(numbers(first, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    row_spacing, column_spacing = numbers(first, "PixelSpacing", 2).tolist()
    return CtSeries(
        datasets=(first, *images[1:]),
        study_instance_uid=uid(first, "StudyInstanceUID"),
        series_instance_uid=series,
        sop_instance_uids=tuple(uid(image, "SOPInstanceUID") for image in images),
        image_orientation=frozen(orientation),
        pixel_spacing_mm=(row_spacing, column_spacing),
        rows=rows,
        columns=columns,
        positions_mm=frozen(positions),
        distances_mm=frozen(distances),
        slice_thickness_mm=frozen(thickness),
        gaps=_gaps(steps, thickness),
        notes=tuple(notes),
    )


def _name(images: Sequence[Dataset]) -> str:
    return uid(images[0], "SeriesInstanceUID") or "without a SeriesInstanceUID"


def _drop_repeated_instances(images: list[Dataset], notes: list[str]) -> list[Dataset]:
    if not images:
        raise EmptySeriesError("no DICOM image was found: check the folder or the transfer")
    if len(images) > MAX_SLICES:
        raise TooLargeError(
            f"series {_name(images)}: {len(images)} images; at most {MAX_SLICES} are read. "
            "Send one head series."
        )
    kept: dict[str, Dataset] = {}
    for image in images:
        instance = uid(image, "SOPInstanceUID")
        if not instance:
            raise InconsistentSeriesError(
                f"series {_name(images)}: an image has no valid SOPInstanceUID"
            )
        known = kept.setdefault(instance, image)
        if known is not image and not _same_image(known, image):
            raise InconsistentSeriesError(
                f"series {_name(images)}: two different images share one SOPInstanceUID"
            )
    repeated = len(images) - len(kept)
    if repeated:
        notes.append(f"{repeated} repeated instance(s) dropped")
    return list(kept.values())


def _same_image(one: Dataset, other: Dataset) -> bool:
    return one.get("PixelData") == other.get("PixelData") and all(
        text(one, keyword) == text(other, keyword)
        for keyword in ("ImagePositionPatient", "SeriesInstanceUID")
    )


def _check_kind(images: list[Dataset]) -> None:
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):
        found = {uid(image, keyword) for image in images}
        if len(found) > 1:
            raise InconsistentSeriesError(
                f"series {_name(images)}: images of {len(found)} series or studies are mixed "
                f"({keyword}). Give one series at a time."
            )
        if found == {""}:
            raise InconsistentSeriesError(f"the images have no valid {keyword}")
    kinds = {uid(image, "SOPClassUID") for image in images}
    if other := sorted(UID(kind).name or "objects without SOPClassUID" for kind in kinds - {_CT}):
        raise UnsupportedSOPClassError(
            f"series {_name(images)}: {', '.join(other)} instead of CT Image Storage. "
            "Send the original axial CT images, one frame each."
        )
    if {text(image, "Modality") for image in images} != {"CT"}:
        raise HeaderError(f"series {_name(images)}: Modality is not CT in every image")


def _image_type(image: Dataset) -> set[str]:
    return {value.upper() for value in texts(image, "ImageType")}


def _drop_scouts(images: list[Dataset], notes: list[str]) -> list[Dataset]:
    kept = [image for image in images if "LOCALIZER" not in _image_type(image)]
    if not kept:
        raise NotAxialError(
            f"series {_name(images)}: a scout (localizer), not axial slices. Send the head series."
        )
    if len(kept) < len(images):
        notes.append(f"{len(images) - len(kept)} scout image(s) left out")
    computed = set.union(*map(_image_type, kept)) & _UNSUPPORTED_IMAGE_TYPES
    if computed:
        raise UnsupportedImageTypeError(
            f"series {_name(kept)}: image type {', '.join(sorted(computed))}. "
            "Send the original non-contrast slices."
        )
    return kept


def _check_common(images: list[Dataset], series: str) -> None:
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
    for keyword in (*needed, "FrameOfReferenceUID"):
        missing = sum(1 for image in images if not has_value(image, keyword))
        if missing:
            raise GeometryError(f"series {series}: {keyword} is missing in {missing} image(s)")
    for keyword in _COMMON:
        found = {text(image, keyword) for image in images}
        if len(found) > 1:
            raise InconsistentSeriesError(f"series {series}: {len(found)} values of {keyword}")
    if not uid(images[0], "FrameOfReferenceUID"):
        raise GeometryError(f"series {series}: FrameOfReferenceUID is no valid UID")
    _check_size(images, series)
    spacing = np.stack([numbers(image, "PixelSpacing", 2) for image in images])
    if np.ptp(spacing, axis=0).max() > _SPACING_TOLERANCE_MM:
        raise InconsistentSeriesError(f"series {series}: several values of PixelSpacing")
    if not 0.1 <= spacing.min() <= spacing.max() <= 3.0:
        raise GeometryError(f"series {series}: PixelSpacing outside 0.1 to 3 mm")


def _check_size(images: list[Dataset], series: str) -> None:
    """Bound the memory before a pixel is read."""
    rows, columns = (int(numbers(images[0], keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    if min(rows, columns) < 1:
        raise GeometryError(f"series {series}: Rows or Columns is not positive")
    if max(rows, columns) > MAX_ROWS or rows * columns * len(images) > MAX_VOXELS:
        raise TooLargeError(
            f"series {series}: {len(images)} images of {rows} x {columns} pixels; "
            f"at most {MAX_ROWS} rows or columns and {MAX_VOXELS // 10**6} million pixels are read"
        )


def _common_orientation(images: list[Dataset], series: str) -> FloatArray:
    orientations = np.stack([numbers(image, "ImageOrientationPatient", 6) for image in images])
    if np.ptp(orientations, axis=0).max() > _ORIENTATION_TOLERANCE:
        raise InconsistentSeriesError(
            f"series {series}: the slices are not parallel (several ImageOrientationPatient)"
        )
    orientation: FloatArray = orientations[0]
    columns, rows = orientation.reshape(2, 3)
    lengths = np.linalg.norm([columns, rows], axis=1)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(columns @ rows) > 1e-2:
        raise GeometryError(f"series {series}: ImageOrientationPatient is no pair of unit vectors")
    if abs(slice_normal(orientation)[2]) < np.cos(np.radians(MAX_TILT_DEGREES)):
        raise NotAxialError(
            f"series {series}: the slices are not axial (tilt over {MAX_TILT_DEGREES:.0f} degrees)"
        )
    return orientation


def _sorted_along(
    orientation: FloatArray, images: list[Dataset], notes: list[str], series: str
) -> list[Dataset]:
    normal = slice_normal(orientation)
    upwards = normal if normal[2] > 0 else -normal
    positions = np.stack([numbers(image, "ImagePositionPatient", 3) for image in images])
    if np.abs(positions).max() > _FARTHEST_MM:
        raise GeometryError(f"series {series}: ImagePositionPatient is metres away")
    where = positions @ upwards
    by_position: dict[int, Dataset] = {}
    order = np.argsort(where, kind="stable")
    last: int | None = None
    for index in order.tolist():
        image = images[index]
        if last is not None and where[index] - where[last] < _SAME_POSITION_MM:
            if images[last].get("PixelData") != image.get("PixelData"):
                raise InconsistentSeriesError(
                    f"series {series}: two different images at one position. "
                    "Send one reconstruction, one phase."
                )
            notes.append("an image repeated under another SOPInstanceUID dropped")
            continue
        by_position[index] = image
        last = index
    return list(by_position.values())


def _thickness(images: list[Dataset], steps: FloatArray) -> FloatArray:
    local = np.append(steps, steps[-1])
    given = np.array(
        [number(image, "SliceThickness", 0.0, _THICKNESS_RANGE_MM) for image in images]
    )
    return np.asarray(np.where(given > 0, given, local), dtype=float)


def _gaps(steps: FloatArray, thickness: FloatArray) -> tuple[int, ...]:
    """Find the steps that are too long for their neighbourhood.

    A step between two blocks of different thickness may be as long as the
    longer of the two usual steps.
    """
    usual: dict[float, list[float]] = defaultdict(list)
    for step, below, above in zip(steps, thickness[:-1], thickness[1:], strict=True):
        if abs(below - above) < 0.1:
            usual[round(float(below), 1)].append(float(step))
    expected = {key: float(np.median(values)) for key, values in usual.items()}

    def limit(index: int) -> float:
        around = (thickness[index], thickness[index + 1])
        return _GAP_FACTOR * max(
            expected.get(round(float(value), 1), float(value)) for value in around
        )

    return tuple(index for index, step in enumerate(steps) if step > limit(index))
