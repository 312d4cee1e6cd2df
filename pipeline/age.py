"""The patient's age at the study, from whatever the header gives."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from pydicom import Dataset

OLDEST_YEARS: Final = 130.0
"""Above this an age is a dummy value; nobody was proven to be older than 122."""

_PER_YEAR: Final = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def patient_age_years(dataset: Dataset) -> float | None:
    """Return the patient's age in years, or None where it is not known.

    ``PatientAge`` (0010,1010) where it can be read, else ``StudyDate``
    (0008,0020) minus ``PatientBirthDate`` (0010,0030).

    Parameters
    ----------
    dataset : pydicom.Dataset
        One image of the series.

    Returns
    -------
    float or None
        None where both are missing, malformed, negative or beyond
        `OLDEST_YEARS`. Years from dates count the birthdays, with the share of
        the running year as fraction.

    References
    ----------
    DICOM PS3.5, 6.2 "Value Representation (VR)": AS is three digits and one of
    D, W, M, Y; DA is YYYYMMDD. Missing leading zeros (``65Y``) are accepted,
    as is the older form of the date, YYYY.MM.DD.

    Examples
    --------
    >>> ds = Dataset()
    >>> ds.PatientAge = "018M"
    >>> patient_age_years(ds)
    1.5
    """
    for years in (
        _from_age_string(_text(dataset, "PatientAge")),
        _between(_date(_text(dataset, "PatientBirthDate")), _date(_text(dataset, "StudyDate"))),
    ):
        if years is not None and 0 <= years <= OLDEST_YEARS:
            return years
    return None


def _text(dataset: Dataset, keyword: str) -> str:
    """Return a value as stored: decoding it would put a bad one into a warning."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    value = element.value if element is not None else None
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    return "" if value is None else str(value).strip(" \0")


def _from_age_string(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,3})([DWMY])", text)
    return int(match[1]) / _PER_YEAR[match[2]] if match else None


def _date(text: str) -> date | None:
    match = re.fullmatch(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})", text)
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def _between(birth: date | None, study: date | None) -> float | None:
    if birth is None or study is None or study < birth:
        return None
    years = study.year - birth.year - (study < _birthday(birth, study.year))
    last, following = (_birthday(birth, birth.year + years + more) for more in (0, 1))
    return years + (study - last).days / (following - last).days


def _birthday(birth: date, year: int) -> date:
    try:
        return birth.replace(year=year)
    except ValueError:  # born on 29 February
        return date(year, 3, 1)
