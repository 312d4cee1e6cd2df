"""Independent validators: no error, and no warning but those named here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset

from pipeline.series import CtSeries
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    SHARED_DATA,
    both,
    ct_ge_series,
    ct_series,
    region_map,
)
from tests.pipeline.encode.test_seg import to_bytes

ACCEPTED = {
    "our private scheme, published in each object; dciodvfy knows none": (
        r"Warning - Unrecognized defined term <99ASPECTS> for value 1 of attribute "
        r"<Coding Scheme Designator>"
    ),
    "the UID under which the private scheme is published": (
        r"Warning - Unrecognized defined term <2\.25\.308057245244149130628284049604112230482> "
        r"for value 1 of attribute <Coding Scheme UID>"
    ),
    "Device UID in Contributing Equipment is newer than the tables of dciodvfy": (
        r"Warning - Attribute is not present in standard DICOM IOD - "
        r"\(0x0018,0x1002\) UI Device UID"
    ),
    "follows from the line above": (
        r"Warning - Dicom dataset contains attributes not present in standard DICOM IOD - "
        r"this is a Standard Extended SOP Class"
    ),
}
OF_ANONYMOUS_SOURCE = {
    "empty in the source, copied as it is": (
        r"Warning - Missing attribute or value that would be needed to build DICOMDIR - "
        r"Study (Time|ID|Date)"
    ),
    "the source's patient name has one component": (
        r"Warning - Value dubious for this VR - \(0x0010,0x0010\) PN Patient's Name .*"
    ),
}
# it takes the Accession Number nested in Referenced Request Sequence for that of the study
ACCEPTED_BY_DCENTVFY = (
    r"Warning - Different information entities for attribute - "
    r"Element=<AccessionNumber> IE <Series> versus <Study> for file"
)

needs_real_ct = pytest.mark.skipif(
    not (SHARED_DATA / "ct-ge").is_dir(), reason="the real CT is not here"
)


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, check=False, timeout=50)
    return (done.stdout + done.stderr).decode("latin-1")


def complaints(path: Path, accepted: dict[str, str]) -> list[str]:
    lines = [line.strip() for line in output("dciodvfy", path).splitlines()]
    assert lines, "dciodvfy printed nothing"
    return [
        line
        for line in lines
        if line.startswith(("Error", "Warning", "Abort"))
        and not any(re.fullmatch(pattern, line) for pattern in accepted.values())
    ]


def saved(folder: Path, name: str, dataset: Dataset) -> Path:
    path = folder / name
    path.write_bytes(to_bytes(dataset))
    return path


def saved_pair(folder: Path, series: CtSeries, without: tuple[int, ...]) -> tuple[Path, Path]:
    mapped = region_map(series, without=without)
    seg, sr = both(series, mapped)
    return saved(folder, "seg.dcm", seg), saved(folder, "sr.dcm", sr)


@needs("dciodvfy")
@pytest.mark.parametrize("without", [(), (4, 18)])
@pytest.mark.parametrize("name", ["standard", "tilted", "4 and 7 mm"])
def test_dciodvfy(name: str, without: tuple[int, ...], tmp_path: Path) -> None:
    series = ct_series(**GEOMETRIES[name])
    for path in saved_pair(tmp_path, series, without):
        assert complaints(path, ACCEPTED) == []


@needs("dciodvfy")
@needs_real_ct
def test_dciodvfy_on_the_real_series(tmp_path: Path) -> None:
    for path in saved_pair(tmp_path, ct_ge_series(), ()):
        assert complaints(path, {**ACCEPTED, **OF_ANONYMOUS_SOURCE}) == []


@needs("dcentvfy")
def test_dcentvfy_finds_the_same_patient_and_study(tmp_path: Path) -> None:
    series = ct_series()
    images = [saved(tmp_path, f"{index}.dcm", image) for index, image in enumerate(series.datasets)]
    said = output("dcentvfy", *images, *saved_pair(tmp_path, series, ()))
    assert not [line for line in said.splitlines() if not re.match(ACCEPTED_BY_DCENTVFY, line)]


@needs("dsrdump")
def test_dsrdump_prints_the_report(tmp_path: Path) -> None:
    _, path = saved_pair(tmp_path, ct_series(), (4,))
    done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, check=True, timeout=50)
    printed = done.stdout.decode("latin-1")
    for name in ("ASPECTS R C", "ASPECTS L M6", "R I (Insula) was not mapped"):
        assert name in printed
    assert printed.count('"Referenced Segmentation Frame"') == 19
    assert done.stderr.decode() == ""
