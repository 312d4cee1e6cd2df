"""Say in the PACS why a series has no regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    ImageContentItem,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset

from pipeline.encode import codes
from pipeline.encode.codes import Concept
from pipeline.encode.common import (
    EncodeSettings,
    image_time,
    patient_header,
    restore_patient,
    stamp,
)
from pipeline.encode.context import device_observer, request_of
from pipeline.provenance import PIPELINE_VERSION, NewUid

SENTENCES: Final = (
    "Nothing was mapped: aspects-node made no ASPECTS regions of this series.",
    "That says nothing of the brain: every slice has to be read.",
)
_NEEDED: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
)
_CONTAINS: Final = RelationshipTypeValues.CONTAINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there are no regions.

    Attributes
    ----------
    code : str
        For a program to act upon, ``"incomplete-series"``.
    reason : str
        For people, without the patient's name.
    """

    code: str
    reason: str


def build_note(
    images: Sequence[Dataset],
    refusal: Refusal,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> Dataset | None:
    """Encode why a series has no regions, as a short structured report.

    Parameters
    ----------
    images : sequence of pydicom.Dataset
        Of one series, in whatever state; pixels are not needed.
    refusal : Refusal
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    pydicom.Dataset or None
        Enhanced SR, of plain sentences; COMPLETE, UNVERIFIED. Its root is no
        measurement report, for there is no measurement. The same images and
        reason give the same UIDs. None where no image says what it belongs to.

    References
    ----------
    DICOM PS3.3, A.35.2 "Enhanced SR IOD"; PS3.16, TID 1002 "Observer Context".
    """
    settings = settings or EncodeSettings()
    whole = sorted(
        (image for image in images if all(image.get(keyword) for keyword in _NEEDED)),
        key=lambda image: str(image.SOPInstanceUID),
    )
    if not whole:
        return None
    first = whole[0]
    of_series = [image for image in whole if image.SeriesInstanceUID == first.SeriesInstanceUID]
    parts = (
        *(str(image.SOPInstanceUID) for image in of_series),
        refusal.code,
        refusal.reason,
        PIPELINE_VERSION,
    )
    moment = image_time(first, now)
    equipment = settings.equipment
    note: Dataset = EnhancedSR(
        evidence=[patient_header(first), *(_reference(image) for image in of_series[1:])],
        content=_content(first, refusal, _observer(settings, new_uid)),
        series_instance_uid=new_uid("note-series", *parts),
        sop_instance_uid=new_uid("note-instance", *parts),
        series_number=settings.note_series_number,
        series_description="AI: ASPECTS regions not mapped, unverified",
        instance_number=1,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        device_serial_number=equipment.device_serial_number,
        software_versions=[f"aspects-node {PIPELINE_VERSION}"],
        content_date=moment.date(),
        content_time=moment.time(),
        series_date=moment.date(),
        series_time=moment.time(),
        coding_schemes=[codes.coding_scheme()],
        is_complete=True,
        is_verified=False,
        requested_procedures=request_of(first),
    )
    restore_patient(note, first)
    stamp(note, moment)
    return note


def _reference(image: Dataset) -> Dataset:
    copy = Dataset()
    for keyword in _NEEDED:
        setattr(copy, keyword, image[keyword].value)
    return copy


def _observer(settings: EncodeSettings, new_uid: NewUid) -> ObservationContext:
    return ObservationContext(
        observer_device_context=device_observer(settings, PIPELINE_VERSION, new_uid)
    )


def _content(
    image: Dataset, refusal: Refusal, observation_context: ObservationContext
) -> ContainerContentItem:
    root = ContainerContentItem(name=codes.NOT_MAPPED.to_code())
    root.ContentSequence = ContentSequence(is_root=True)
    language = CodeContentItem(
        name=CodedConcept("121049", "DCM", "Language of Content Item and Descendants"),
        value=CodedConcept("en-US", "RFC5646", "English (United States)"),
        relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    root.ContentSequence.extend([language, *observation_context])
    root.ContentSequence.extend(
        [
            _text(codes.COMMENT, SENTENCES[0]),
            _text(codes.REASON, f"{refusal.code}: {refusal.reason}"),
            _text(codes.COMMENT, SENTENCES[1]),
            _text(codes.COMMENT, f"aspects-node {PIPELINE_VERSION}."),
            ImageContentItem(
                name=codes.SOURCE_IMAGE.to_code(),
                referenced_sop_class_uid=image.SOPClassUID,
                referenced_sop_instance_uid=image.SOPInstanceUID,
                relationship_type=_CONTAINS,
            ),
        ]
    )
    return root


def _text(name: Concept, sentence: str) -> TextContentItem:
    return TextContentItem(name=name.to_code(), value=sentence, relationship_type=_CONTAINS)
