"""The patient's age, from headers as they come."""

from __future__ import annotations

from datetime import date
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from pipeline.age import patient_age_years


def _dataset(**values: str) -> Dataset:
    """Return a data set as read from a file, whatever the values are."""
    tags = {
        "StudyDate": (0x0008, 0x0020),
        "PatientBirthDate": (0x0010, 0x0030),
        "PatientAge": (0x0010, 0x1010),
    }
    content = b""
    for keyword, (group, element) in tags.items():
        if keyword in values:
            value = values[keyword].encode() + b" " * (len(values[keyword]) % 2)
            content += group.to_bytes(2, "little") + element.to_bytes(2, "little")
            content += len(value).to_bytes(4, "little") + value
    return dcmread(BytesIO(content), force=True)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("065Y", 65.0),
        ("100Y", 100.0),
        ("018M", 1.5),
        ("012W", 12 * 7 / 365.25),
        ("003D", 3 / 365.25),
        ("000D", 0.0),
        ("65Y", 65.0),
        ("065Y ", 65.0),
        ("065", None),
        ("Y", None),
        ("-65Y", None),
        ("6.5Y", None),
        ("065y", None),
        ("999Y", None),
        ("٠٦٥Y", None),
        ("065Y\\066Y", None),
        ("", None),
    ],
)
def test_age_string(text: str, years: float | None) -> None:
    assert patient_age_years(_dataset(PatientAge=text)) == years


@pytest.mark.parametrize(
    ("birth", "study", "years"),
    [
        ("19500615", "20200615", 70.0),
        ("19500615", "20200614", 69 + 365 / 366),
        ("19500615", "20210101", 70 + 200 / 365),
        ("1950.06.15", "20200615", 70.0),
        ("20000229", "20010228", 365 / 366),
        ("20000229", "20010301", 1.0),
        ("20000229", "20040229", 4.0),
        ("20200615", "20200615", 0.0),
        ("20200616", "20200615", None),
        ("18000101", "20200615", None),
        ("19500231", "20200615", None),
        ("19501301", "20200615", None),
        ("195006", "20200615", None),
        ("", "20200615", None),
        ("19500615", "", None),
        ("19500615", "today", None),
    ],
)
def test_age_from_dates(birth: str, study: str, years: float | None) -> None:
    found = patient_age_years(_dataset(PatientBirthDate=birth, StudyDate=study))
    assert found == (None if years is None else pytest.approx(years))


def test_age_string_comes_before_dates() -> None:
    dates = {"PatientBirthDate": "19500615", "StudyDate": "20200615"}
    assert patient_age_years(_dataset(PatientAge="065Y", **dates)) == 65.0
    assert patient_age_years(_dataset(PatientAge="XX", **dates)) == 70.0


def test_nothing_known() -> None:
    assert patient_age_years(Dataset()) is None


def test_values_set_in_memory() -> None:
    ds = Dataset()
    ds.PatientAge = None
    ds.PatientBirthDate = "19500615"
    ds.StudyDate = date(2020, 6, 15).strftime("%Y%m%d")
    assert patient_age_years(ds) == 70.0


def test_dates_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydicom.config.datetime_conversion", True)
    ds = _dataset(PatientBirthDate="19500615", StudyDate="20200615")
    assert isinstance(ds.StudyDate, date)
    assert patient_age_years(ds) == 70.0
