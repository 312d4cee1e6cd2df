"""Read the regions from a DICOM SEG."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from node.evaluation.errors import CaseError
from pipeline.arrays import LabelArray
from pipeline.geometry import slice_normal
from pipeline.regions import REGION_SIDES
from pipeline.series import CtSeries

_SEG: Final = UID("1.2.840.10008.5.1.4.1.1.66.4")
_LABELMAP_SEG: Final = UID("1.2.840.10008.5.1.4.1.1.66.7")
_NEAR: Final = 0.5


def read_segmentation(path: Path, series: CtSeries) -> dict[int, LabelArray]:
    """Read the regions of a SEG of a series.

    Parameters
    ----------
    path : Path
        Its segment numbers are those of this software: 1-10 right, 11-20 left.
    series : CtSeries
        The images it was made from.

    Returns
    -------
    dict of int to numpy.ndarray, shape (row, column), uint8
        Slice index to labels, on the stored grid.

    Raises
    ------
    CaseError
        No SEG, of another grid, of slices that are not there, or with other
        segments.

    References
    ----------
    DICOM PS3.3, C.8.20.2 "Segmentation Image Module" and C.8.20.4
    "Segmentation Macro".
    """
    dataset = _read(path, series)
    frames = np.atleast_3d(dataset.pixel_array).reshape(-1, series.rows, series.columns)
    found: dict[int, LabelArray] = {}
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        index = _slice_of(group, series, path)
        labels = found.setdefault(index, np.zeros(frame.shape, dtype=np.uint8))
        drawn = frame > 0
        labels[drawn] = _numbers(dataset, group, frame, path)[drawn]
    return found


def _read(path: Path, series: CtSeries) -> Dataset:
    try:
        dataset = dcmread(path)
    except (InvalidDicomError, OSError) as error:
        raise CaseError(f"{path.name} cannot be read as DICOM") from error
    if dataset.get("SOPClassUID") not in (_SEG, _LABELMAP_SEG):
        raise CaseError(f"{path.name} is no DICOM SEG")
    if (dataset.Rows, dataset.Columns) != (series.rows, series.columns):
        raise CaseError(
            f"{path.name} has {dataset.Rows} x {dataset.Columns} pixels, the images "
            f"{series.rows} x {series.columns}: give the SEG of these images"
        )
    return dataset


def _slice_of(group: Dataset, series: CtSeries, path: Path) -> int:
    """Find the slice of a frame by its position along the normal."""
    try:
        position = group.PlanePositionSequence[0].ImagePositionPatient
    except (AttributeError, IndexError) as error:
        raise CaseError(f"{path.name}: a frame has no ImagePositionPatient") from error
    away = np.abs(
        (series.positions_mm - np.array(position, dtype=float))
        @ slice_normal(series.image_orientation)
    )
    index = int(np.argmin(away))
    if away[index] > _NEAR * series.slice_thickness_mm[index]:
        raise CaseError(f"{path.name}: a frame lies on no slice of the images")
    return index


def _numbers(dataset: Dataset, group: Dataset, frame: LabelArray, path: Path) -> LabelArray:
    """Return the label of each pixel of a frame."""
    if dataset.SOPClassUID == _LABELMAP_SEG:
        labels = np.asarray(frame, dtype=np.uint8)
    else:
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels = np.full(frame.shape, segment, dtype=np.uint8)
    if labels.max() > len(REGION_SIDES):
        raise CaseError(f"{path.name}: segments other than 1-20, the regions of this software")
    return labels
