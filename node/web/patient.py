"""Name and birth date for the page of a series, where the site wants them there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydicom import dcmread

from node.inbox import UNREADABLE

_TAGS: Final = ["PatientName", "PatientBirthDate", "SpecificCharacterSet"]


class Patient(BaseModel):
    """Whom a series shows."""

    name: str
    birth_date: str


def read_patient(images: Path) -> Patient | None:
    """Return name and birth date from the first image; None where there is none."""
    for path in sorted(images.iterdir())[:1]:
        try:
            head = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            name = head.get("PatientName", "")
            return Patient(
                name=str(getattr(name, "formatted", str)("%(family_name)s, %(given_name)s"))
                if name
                else "",
                birth_date=str(head.get("PatientBirthDate", "")),
            )
        except UNREADABLE:
            return None
    return None
