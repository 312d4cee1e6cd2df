"""Check that a series is a non-contrast head that reaches both levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray, MaskArray
from pipeline.errors import ContrastSeriesError, CoverageError, NotHeadError
from pipeline.header import text, texts
from pipeline.series import CtSeries
from pipeline.volume import Volume

_MIN_BRAIN_ML: Final = 250.0
_MIN_SECTION_MM2: Final = 6000.0  # the largest cut through an infant's brain
_MIN_BRAIN_HEIGHT_MM: Final = 45.0
_BRAIN_HU: Final = (15.0, 55.0)
_NO_CONTRAST: Final = frozenset({"", "NO", "NONE", "N", "NON", "WITHOUT", "NO CONTRAST", "NATIVE"})
_GAPPED: Final = 1.5  # step over thickness
_SHARP_KERNELS: Final = ("BONE", "EDGE", "LUNG", "H60", "H70", "HR60", "B60", "B70", "FC30", "FC81")


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """What was found when a series was looked at.

    Attributes
    ----------
    brain_ml : float
        Volume inside the skull that the scan covers.
    score : float
        0 to 1: how well the series suits the method; to choose one of a study.
    notes : tuple of str
        What makes it less suitable, in words.
    """

    brain_ml: float
    score: float
    notes: tuple[str, ...]


def check_metadata(series: CtSeries) -> None:
    """Refuse a series that says itself that a contrast agent was given.

    Raises
    ------
    ContrastSeriesError

    References
    ----------
    DICOM PS3.3, C.7.6.4 "Contrast/Bolus Module".
    """
    agents = {text(dataset, "ContrastBolusAgent").upper() for dataset in series.datasets}
    if agents - _NO_CONTRAST:
        raise ContrastSeriesError(
            f"series {series.series_instance_uid}: ContrastBolusAgent is set. "
            "ASPECTS is read on the non-contrast series: send that one."
        )


def check_eligibility(series: CtSeries, volume: Volume, brain: MaskArray) -> Eligibility:
    """Check by its voxels that a series shows a head with a brain in it.

    Parameters
    ----------
    series : CtSeries
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool

    Returns
    -------
    Eligibility

    Raises
    ------
    NotHeadError
        No closed skull with brain-like tissue inside: another body part, or a
        phantom.
    CoverageError
        Too little of the brain is in the scan.
    """
    uid = series.series_instance_uid
    pixel_mm2 = volume.pixel_spacing_mm[0] * volume.pixel_spacing_mm[1]
    sections_mm2 = brain.sum(axis=(1, 2)) * pixel_mm2
    millilitres = float(sections_mm2 @ _slice_heights(volume.distances_mm)) / 1000.0
    typical_hu = float(np.median(volume.voxels[brain])) if brain.any() else -1000.0
    if sections_mm2.max() < _MIN_SECTION_MM2 or not _BRAIN_HU[0] < typical_hu < _BRAIN_HU[1]:
        raise NotHeadError(
            f"series {uid}: no closed skull with brain tissue inside was found. "
            "Send a head CT (soft-tissue reconstruction)."
        )
    covered = volume.distances_mm[sections_mm2 > 0.3 * sections_mm2.max()]
    if millilitres < _MIN_BRAIN_ML or np.ptp(covered) < _MIN_BRAIN_HEIGHT_MM:
        raise CoverageError(
            f"series {uid}: only {np.ptp(covered):.0f} mm of brain are in the scan. "
            "Send the whole head."
        )
    notes = _doubts(series, volume)
    return Eligibility(brain_ml=millilitres, score=max(0.0, 1.0 - 0.3 * len(notes)), notes=notes)


def _slice_heights(distances_mm: FloatArray) -> FloatArray:
    return np.asarray(np.gradient(distances_mm))


def _doubts(series: CtSeries, volume: Volume) -> tuple[str, ...]:
    notes = []
    kernels = texts(series.datasets[0], "ConvolutionKernel")
    if any(name.upper().startswith(_SHARP_KERNELS) for name in kernels):
        notes.append("sharp reconstruction kernel: HU values are noisy")
    if volume.slice_thickness_mm.max() > 8.0:
        notes.append("slices thicker than 8 mm")
    if np.median(np.diff(volume.distances_mm)) > _GAPPED * np.median(volume.slice_thickness_mm):
        notes.append("the slices leave gaps between them: every second one may be missing")
    if series.gaps:
        notes.append(f"{len(series.gaps)} place(s) where slices are missing")
    return tuple(notes)
