"""Write the key images as RGB Secondary Capture, for viewers without SEG and SR."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.encode import codes
from pipeline.encode.common import (
    EncodeSettings,
    contributing_equipment,
    digest,
    identity,
    propagate_lossy,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    source_reference,
    stamp,
)
from pipeline.encode.findings import Findings
from pipeline.encode.key_image import PRESETS, render_key_image
from pipeline.provenance import NewUid
from pipeline.regions import Level

_ORIENTATION: Final = ("L", "P")


def build_secondary_captures(
    findings: Findings,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> tuple[Dataset, ...]:
    """Encode one page for each window preset, all in one series.

    Parameters
    ----------
    findings : Findings
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    tuple of pydicom.Dataset
        Secondary Capture Image Storage, RGB, 1024 x 1024: W40 L40, then
        W30 L35. Nothing that names the patient is burned in.

    References
    ----------
    DICOM PS3.3, A.8.1 "Secondary Capture Image IOD", C.8.6.1 "SC Equipment
    Module".
    """
    settings = settings or EncodeSettings()
    return tuple(
        _capture(findings, number, new_uid, now, settings) for number in range(1, len(PRESETS) + 1)
    )


def _capture(
    findings: Findings, number: int, new_uid: NewUid, now: datetime, settings: EncodeSettings
) -> Dataset:
    series, provenance = findings.series, findings.provenance
    moment = series_time(series, now)
    headers = source_headers(series)
    window = PRESETS[number - 1]
    rgb = render_key_image(findings, window)
    parts = identity(series, provenance)
    capture: Dataset = SCImage.from_ref_dataset(
        ref_dataset=headers[0],
        pixel_array=rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_ORIENTATION,
        series_instance_uid=new_uid("sc-series", *parts),
        sop_instance_uid=new_uid("sc-instance", digest(rgb.tobytes()), str(window), *parts),
        series_number=settings.sc_series_number,
        series_description="AI: ASPECTS key images, unverified",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=None,
        contributing_equipment=contributing_equipment(provenance, settings, new_uid),
        **{**sop_arguments(provenance, settings, moment), "instance_number": number},
    )
    capture.copy_patient_and_study_information(headers[0])
    _describe(capture, findings, headers, window)
    capture.DateOfSecondaryCapture = moment.date()
    capture.TimeOfSecondaryCapture = moment.time()
    propagate_lossy(series.datasets, capture)
    restore_patient(capture, series.datasets[0])
    stamp(capture, moment)
    return capture


def _describe(
    capture: Dataset, findings: Findings, headers: list[Dataset], window: tuple[float, float]
) -> None:
    """Say how the picture came about, and from which images."""
    centre, width = window
    # a person digitised nothing: the page was drawn by a workstation
    capture.ConversionType = "WSD"
    capture.BurnedInAnnotation = "NO"
    capture.BodyPartExamined = "HEAD"
    capture.ImageComments = (
        f"ASPECTS regions on two levels, W{width:.0f} L{centre:.0f}. Not for primary diagnosis."
    )
    capture.DerivationDescription = "Two CT images with outlines of the ASPECTS regions"
    capture.DerivationCodeSequence = [codes.SEGMENTATION.to_code()]
    capture.SourceImageSequence = [
        source_reference(headers[findings.levels.get(level).index]) for level in Level
    ]
