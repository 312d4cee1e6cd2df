"""Write the report of one page as Encapsulated PDF."""

from __future__ import annotations

from datetime import datetime

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from pipeline.encode import codes
from pipeline.encode.common import (
    EncodeSettings,
    contributing_equipment,
    digest,
    identity,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    source_reference,
    stamp,
)
from pipeline.encode.findings import Findings
from pipeline.encode.page import render_page
from pipeline.provenance import NewUid
from pipeline.regions import Level


def build_pdf(
    findings: Findings,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> Dataset:
    """Encode the report of one page.

    Parameters
    ----------
    findings : Findings
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates and onto the page; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    pydicom.Dataset
        Encapsulated PDF Storage.

    References
    ----------
    DICOM PS3.3, A.45.1 "Encapsulated PDF IOD", C.24.2 "Encapsulated Document
    Module".
    """
    settings = settings or EncodeSettings()
    series, provenance = findings.series, findings.provenance
    moment = series_time(series, now)
    headers = source_headers(series)
    first = headers[0]
    page = render_page(findings, moment)
    parts = identity(series, provenance)
    document: Dataset = SOPClass(
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=new_uid("pdf-series", *parts),
        series_number=settings.pdf_series_number,
        sop_instance_uid=new_uid("pdf-instance", digest(page), *parts),
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description="AI: ASPECTS report, unverified",
        patient_id=first.PatientID,
        study_id=first.StudyID,
        accession_number=first.AccessionNumber,
        specific_character_set=None,
        **sop_arguments(provenance, settings, moment),
    )
    document.copy_patient_and_study_information(first)
    document._add_contributing_equipment(
        contributing_equipment(provenance, settings, new_uid), first
    )
    _enclose(document, page)
    document.SourceInstanceSequence = [
        source_reference(headers[findings.levels.get(level).index]) for level in Level
    ]
    restore_patient(document, series.datasets[0])
    stamp(document, moment)
    return document


def _enclose(document: Dataset, page: bytes) -> None:
    # the text of the element has an even length; the reader cuts at the length given
    document.EncapsulatedDocument = page + b"\x00" * (len(page) % 2)
    document.EncapsulatedDocumentLength = len(page)
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.DocumentTitle = "ASPECTS regions, unverified"
    document.ConceptNameCodeSequence = [codes.IMAGING_REPORT.to_code()]
    document.ConversionType = "WSD"
    document.BurnedInAnnotation = "NO"
    document.AcquisitionDateTime = None
