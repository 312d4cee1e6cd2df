"""Everything the pipeline can refuse, grouped by what the caller then does.

::

    PipelineError
      x SeriesError          the series is at fault: REJECTED, kept, no retry
        - EmptySeriesError
        - UnsupportedSOPClassError
        - InconsistentSeriesError
        - IncompleteSeriesError
        - CoverageError
        - NotHeadError
        - ContrastSeriesError
        - NotAxialError
        - UnsupportedImageTypeError
        - GeometryError
        - LevelsError
        - PixelDecodeError
        - UnreadableFileError
        - HeaderError
        - TooLargeError
      x QualityError         mapped, but not fit to be shown without a warning
      x EncodingError        a defect of ours: FAILED

Every error has a stable ``code`` for machines, and names the series, never the
patient.
"""

from __future__ import annotations

from typing import ClassVar


class PipelineError(Exception):
    """Base of every error raised on purpose by the pipeline."""

    code: ClassVar[str] = "pipeline-error"


class SeriesError(PipelineError):
    """The series cannot be mapped; sending it again unchanged will not help."""

    code = "series-error"


class EmptySeriesError(SeriesError):
    """There is no DICOM image to read."""

    code = "empty-series"


class UnsupportedSOPClassError(SeriesError):
    """The objects are not single-frame CT images."""

    code = "unsupported-sop-class"


class InconsistentSeriesError(SeriesError):
    """The images do not belong to one series or do not share one grid."""

    code = "inconsistent-series"


class IncompleteSeriesError(SeriesError):
    """Slices are missing where they are needed."""

    code = "incomplete-series"


class CoverageError(SeriesError):
    """The scan does not reach both ASPECTS levels."""

    code = "coverage"


class NotHeadError(SeriesError):
    """The images show no adult-like head with a brain in it."""

    code = "not-a-head"


class ContrastSeriesError(SeriesError):
    """A contrast agent was given; ASPECTS is read on non-contrast CT."""

    code = "contrast"


class NotAxialError(SeriesError):
    """Scout, coronal or sagittal: not a stack of axial slices."""

    code = "not-axial"


class UnsupportedImageTypeError(SeriesError):
    """Computed from other images (projection, perfusion, screen save)."""

    code = "unsupported-image-type"


class GeometryError(SeriesError):
    """Position, orientation or spacing is missing or contradictory."""

    code = "geometry"


class LevelsError(SeriesError):
    """The two slices that a person chose are not in the series, or not in this order."""

    code = "levels"


class PixelDecodeError(SeriesError):
    """The pixel data cannot be decoded."""

    code = "pixel-data"


class UnreadableFileError(SeriesError):
    """A file begins as DICOM but cannot be read to its end."""

    code = "unreadable-file"


class HeaderError(SeriesError):
    """A header value that is needed is missing or malformed."""

    code = "header"


class TooLargeError(SeriesError):
    """More images or pixels than any head CT has."""

    code = "too-large"


class QualityError(PipelineError):
    """The mapping failed its own quality check."""

    code = "quality"


class EncodingError(PipelineError):
    """A result could not be written as DICOM: a defect of this software."""

    code = "encoding"
