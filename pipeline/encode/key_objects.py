"""Write a Key Object Selection that points at the two slices, the SEG and the SR."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset

from pipeline.encode import codes
from pipeline.encode.common import (
    EncodeSettings,
    complete_header,
    contributing_equipment,
    identity,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    stamp,
)
from pipeline.encode.context import device_observer, requests
from pipeline.encode.findings import Findings
from pipeline.encode.words import READING_NOTES
from pipeline.provenance import NewUid
from pipeline.regions import Level


def build_key_objects(
    findings: Findings,
    results: Sequence[Dataset],
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> Dataset:
    """Encode which objects of the study are worth a look.

    Parameters
    ----------
    findings : Findings
    results : sequence of pydicom.Dataset
        What was made of the series and is sent with this document.
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    pydicom.Dataset
        Key Object Selection Document, "Of Interest": the CT image of each
        level, then the results.

    References
    ----------
    DICOM PS3.3, A.35.4 "Key Object Selection Document IOD"; PS3.16, TID 2010
    "Key Object Selection".
    """
    settings = settings or EncodeSettings()
    series, provenance = findings.series, findings.provenance
    moment = series_time(series, now)
    headers = source_headers(series)
    chosen = [headers[findings.levels.get(level).index] for level in Level]
    parts = (*identity(series, provenance), *(str(item.SOPInstanceUID) for item in results))
    document: Dataset = KeyObjectSelectionDocument(
        evidence=[complete_header(headers[0], chosen[0]), *chosen[1:], *results],
        content=KeyObjectSelection(
            document_title=codes.OF_INTEREST.to_code(),
            referenced_objects=[*chosen, *results],
            observer_device_context=device_observer(settings, provenance.pipeline_version, new_uid),
            description=f"Slices of the two ASPECTS levels and what was mapped. {READING_NOTES[0]}",
        ),
        series_instance_uid=new_uid("ko-series", *parts),
        sop_instance_uid=new_uid("ko-instance", *parts),
        series_number=settings.ko_series_number,
        series_description="AI: ASPECTS key objects, unverified",
        requested_procedures=requests(series),
        contributing_equipment=contributing_equipment(provenance, settings, new_uid),
        **sop_arguments(provenance, settings, moment),
    )
    _take_purposes_away(document)
    document.copy_patient_and_study_information(headers[0])
    restore_patient(document, series.datasets[0])
    stamp(document, moment)
    return document


def _take_purposes_away(document: Dataset) -> None:
    """Leave the references without a concept name, as TID 2010 has them; the encoder adds one."""
    for item in document.ContentSequence:
        if item.ValueType in {"IMAGE", "COMPOSITE"}:
            del item.ConceptNameCodeSequence
