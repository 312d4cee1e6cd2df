"""Whom a series shows, for targets that are told so; read when it is sent, kept nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydicom import Dataset, dcmread

from node.inbox import UNREADABLE

_KEYWORDS: Final = {
    "id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "placer_order": "PlacerOrderNumberImagingServiceRequest",
    "filler_order": "FillerOrderNumberImagingServiceRequest",
}


class Patient(BaseModel):
    """What the header of the first image says; empty where it says nothing.

    Dates are ``YYYYMMDD`` as in the header. The name is in its DICOM form,
    without the carets' meaning lost: family, given, middle, prefix, suffix.
    """

    name: tuple[str, ...] = ()
    id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    placer_order: str = ""
    filler_order: str = ""

    @property
    def full_name(self) -> str:
        """Family name, given name."""
        return ", ".join(part for part in self.name[:2] if part)


def read_patient(images: Path) -> Patient | None:
    """Return whom the first readable image shows; None where there is none."""
    for path in sorted(images.glob("*")):
        try:
            head = dcmread(
                path,
                stop_before_pixels=True,
                specific_tags=["PatientName", "SpecificCharacterSet", *_KEYWORDS.values()],
            )
            return _patient(head)
        except UNREADABLE:
            continue
    return None


def _patient(head: Dataset) -> Patient:
    alphabetic = str(head.get("PatientName") or "").split("=")[0]
    texts = {name: str(head.get(keyword) or "") for name, keyword in _KEYWORDS.items()}
    return Patient(name=tuple(alphabetic.split("^")), **texts)
