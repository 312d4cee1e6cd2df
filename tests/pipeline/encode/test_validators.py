"""Independent validators: no error, and no warning but those named here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from pipeline.encode.objects import ObjectKind, encode
from pipeline.series import CtSeries
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    NEW_UID,
    NOW,
    SHARED_DATA,
    ct_ge_series,
    ct_series,
    findings,
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
OF_LABEL_MAPS = {
    "dciodvfy is older than this SOP class": r"Error - Information Object Not found",
    "a label map describes its background as segment 0": (
        r"Error - SegmentNumber not monotonically increasing from one by one - have "
        r"SegmentSequence item number 1 \(from one\) with SegmentNumber of 0"
    ),
    "dciodvfy does not know that a label map is a segmentation": (
        r"Error - Shall not be present for Referenced SOP Class that is not segmentation - "
        r"attribute <ReferencedSegmentNumber>"
    ),
}
OF_NAMES_OF_ONE_COMPONENT = {
    "the source's patient name has one component": (
        r"Warning - Value dubious for this VR - \(0x0010,0x0010\) PN Patient's Name .*"
    ),
}
OF_ANONYMOUS_SOURCE = {
    "empty in the source, copied as it is": (
        r"Warning - Missing attribute or value that would be needed to build DICOMDIR - "
        r"Study (Time|ID|Date)"
    ),
    **OF_NAMES_OF_ONE_COMPONENT,
}
OF_INCOMPLETE_SOURCE = (
    # the source says that it was de-identified and not how, which is an error; ours says so
    r"Warning - Attribute is empty .* - Element=<DeidentificationMethod> IE=<Patient> for file"
    # the source leaves out attributes of type 2; ours have them, empty
    r"|Warning - Attribute present in one instance but not the other - "
    r"Element=<(PatientBirthDate|PatientSex|ReferringPhysicianName|StudyDate|StudyTime|StudyID"
    r"|AccessionNumber)> IE=<(Patient|Study)> for file"
)
# it takes the Accession Number nested in Referenced Request Sequence for that of the study
ACCEPTED_BY_DCENTVFY = (
    r"Warning - Different information entities for attribute - "
    r"Element=<AccessionNumber> IE <(Series|Study)> versus <(Series|Study)> for file"
)

_GROUP = (
    '/CONTAINER (126000,DCM,"Imaging Measurement Report")'
    '/CONTAINER (126010,DCM,"Imaging Measurements")'
    '/CONTAINER (125007,DCM,"Measurement Group")'
)
_PLANAR = 'Template 1410 PlanarROIMeasurements/[Row 1] CONTAINER (125007,DCM,"Measurement Group")'
_COORDINATES = (
    'SCOORD (260753009,SCT,"Source")',
    'SCOORD (260753009,SCT,"Source")/IMAGE (260753009,SCT,"Source")',
)
ACCEPTED_BY_SR_VALIDATOR = {
    "its tables of TID 1410 are older than these rows": [
        f"Warning: {_GROUP}/{item}: Content Item not in template"
        for item in (
            'CODE (276214006,SCT,"Finding category")',
            'TEXT (111001,DCM,"Algorithm Name")',
            'TEXT (111002,DCM,"Algorithm Parameters")',
            'TEXT (111003,DCM,"Algorithm Version")',
            'TEXT (122405,DCM,"Algorithm Manufacturer")',
            'CODE (111000,DCM,"Algorithm Family")',
        )
    ],
    "TID 1410 may be extended by comments": [
        f'Warning: {_GROUP}/TEXT (121106,DCM,"Comment"): Content Item not in template'
    ],
    "TID 1419, part of TID 1410, may be extended: the outline of the area": [
        f'Warning: {_GROUP}/NUM (42798000,SCT,"Area")/{item}: Content Item not in template'
        for item in _COORDINATES
    ],
    "TID 1501 has coordinates, by TID 300; see the next": [
        f"Warning: {_GROUP}/NUM ({number})/{item}: Content Item not in template"
        for number in (
            'MARGIN_G,99ASPECTS,"Margin of the ganglionic slice over the next"',
            'MARGIN_S,99ASPECTS,"Margin of the supraganglionic slice over the next"',
            '121206,DCM,"Distance"',
        )
        for item in _COORDINATES
    ],
    "the group of the levels is of TID 1501; it takes every group for one of TID 1410": [
        f"Warning: {_GROUP}/{item}: Content Item not in template"
        for item in (
            'IMAGE (121112,DCM,"Source of Measurement")',
            'CODE (QUALITY,99ASPECTS,"Quality of the mapping")',
        )
    ]
    + [
        f"Error: {_PLANAR}/{row}: within {_GROUP}: Missing conditional content item"
        for row in (
            '[Row 7] IMAGE (121214,DCM,"Referenced Segmentation Frame")',
            '[Row 5] SCOORD (111030,DCM,"Image Region")',
        )
    ],
    "upper and lower case in the meaning of a code": [
        f'Warning: {_PLANAR}/[Row 8] IMAGE (121233,DCM,"Source image for segmentation"): '
        f'{_GROUP}/IMAGE (121233,DCM,"Source Image for Segmentation"): '
        'Code (121233,DCM,"Source Image for Segmentation") has different code meaning '
        '("Source Image for Segmentation") than code meaning in template concept name '
        '("Source image for segmentation")'
    ],
}
XPATH_LIMITS = "-Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 " + (
    "-Djdk.xml.xpathExprGrpLimit=0"
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


def saved_all(folder: Path, series: CtSeries, without: tuple[int, ...] = ()) -> dict[str, Path]:
    made = encode(findings(series, without=without), list(ObjectKind), new_uid=NEW_UID, now=NOW)
    return {name: saved(folder, name, dataset) for name, dataset in made.items()}


def unexplained(paths: dict[str, Path], also: dict[str, str] | None = None) -> list[str]:
    """Return what dciodvfy says of the objects and no list names."""
    also = also or {}
    return [
        f"{name}: {line}"
        for name, path in paths.items()
        for line in complaints(
            path, {**ACCEPTED, **also, **(OF_LABEL_MAPS if "labelmap" in name else {})}
        )
    ]


def of_size(rows: int, columns: int) -> Callable[[Dataset], None]:
    """Return a change to images of another size, odd ones too."""

    def change(image: Dataset) -> None:
        pixels = np.full((rows, columns), -1000, dtype="<i2")
        pixels[4 : rows - 4, 4 : columns - 4] = 30
        image.Rows, image.Columns, image.PixelData = rows, columns, pixels.tobytes()

    return change


def named(source: Path) -> Callable[[Dataset], None]:
    """Return a change that gives images the name and the character set of another file."""
    head = dcmread(source, stop_before_pixels=True)

    def change(image: Dataset) -> None:
        image["PatientName"] = head["PatientName"]
        image["SpecificCharacterSet"] = head["SpecificCharacterSet"]

    return change


def lossy(image: Dataset) -> None:
    image.LossyImageCompression = "01"
    image.LossyImageCompressionRatio = "12.5"
    image.LossyImageCompressionMethod = "ISO_15444_1"


def bare(image: Dataset) -> None:
    """Leave out what hospitals leave out."""
    for keyword in (
        "StudyID",
        "StudyTime",
        "AccessionNumber",
        "PatientAge",
        "PatientSex",
        "PatientBirthDate",
        "ReferringPhysicianName",
        "StudyDescription",
    ):
        delattr(image, keyword)


def long_chinese_name(image: Dataset) -> None:
    image.SpecificCharacterSet = "GB18030"
    image.PatientName = "Wang^XiaoDong=王^小东=" + "王" * 12 + "^小东"
    image.StudyDescription = "头颅平扫"


@needs("dciodvfy")
@pytest.mark.parametrize(
    ("name", "without"), [("standard", ()), ("tilted", (4, 18)), ("4 and 7 mm", ())]
)
def test_dciodvfy(name: str, without: tuple[int, ...], tmp_path: Path) -> None:
    assert unexplained(saved_all(tmp_path, ct_series(**GEOMETRIES[name]), without)) == []


@needs("dciodvfy")
@needs_real_ct
def test_dciodvfy_on_the_real_series(tmp_path: Path) -> None:
    assert unexplained(saved_all(tmp_path, ct_ge_series()), OF_ANONYMOUS_SOURCE) == []


@needs("dciodvfy")
def test_lossy_source_is_told_of(tmp_path: Path) -> None:
    paths = saved_all(tmp_path, ct_series(change=lossy))
    assert unexplained(paths) == []
    for name in ("seg.dcm", "tissue-seg.dcm", "sc-w40.dcm"):
        made = dcmread(paths[name])
        assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12.5)


@needs("dciodvfy")
def test_missing_attributes_are_empty(tmp_path: Path) -> None:
    paths = saved_all(tmp_path, ct_series(change=bare))
    assert unexplained(paths, OF_ANONYMOUS_SOURCE) == []
    assert all(dcmread(path).StudyID == "" for path in paths.values())


@needs("dciodvfy")
@pytest.mark.parametrize("size", [(67, 129), (768, 768), (1024, 1024)])
def test_matrix_of_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    series = ct_series(**GEOMETRIES["tilted"], change=of_size(*size))
    assert unexplained(saved_all(tmp_path, series)) == []


@needs("dciodvfy")
def test_tilted_odd_sized_chinese_series(tmp_path: Path) -> None:
    """All at once: what is rare alone comes together one day."""

    def change(image: Dataset) -> None:
        of_size(63, 75)(image)
        long_chinese_name(image)

    source = ct_series(**GEOMETRIES["tilted"], change=change)
    paths = saved_all(tmp_path, source)
    assert unexplained(paths) == []
    for path in paths.values():
        made = dcmread(path)
        assert made.SpecificCharacterSet == "GB18030"
        assert str(made.PatientName) == "Wang^XiaoDong=王^小东=" + "王" * 12 + "^小东"


@needs("dciodvfy")
@pytest.mark.parametrize(
    "charset",
    ["chrArab", "chrGreek", "chrH31", "chrKoreanMulti", "chrX1", "chrX2"],
)
def test_character_sets(charset: str, tmp_path: Path) -> None:
    source = SHARED_DATA / "dicom-fixtures/pydicom_charsets" / f"{charset}.dcm"
    if not source.is_file():
        pytest.skip("the files of character sets are not here")
    series = ct_series(change=named(source))
    paths = saved_all(tmp_path, series)
    assert unexplained(paths, OF_NAMES_OF_ONE_COMPONENT) == []
    name = dcmread(source).PatientName
    for path in paths.values():
        assert dcmread(path).PatientName == name
        # byte for byte what the source has: no recoding
        assert name.original_string in path.read_bytes()


def known_to_dcentvfy(paths: dict[str, Path]) -> list[Path]:
    # it is older than label maps and takes the patient in one for something else
    return [path for name, path in paths.items() if name != "seg-labelmap.dcm"]


@needs("dcentvfy")
@pytest.mark.parametrize("name", ["tilted"])
def test_dcentvfy_finds_the_same_patient_and_study(name: str, tmp_path: Path) -> None:
    series = ct_series(**GEOMETRIES[name])
    images = [saved(tmp_path, f"{index}.dcm", image) for index, image in enumerate(series.datasets)]
    said = output("dcentvfy", *images, *known_to_dcentvfy(saved_all(tmp_path, series)))
    assert not [line for line in said.splitlines() if not re.match(ACCEPTED_BY_DCENTVFY, line)]


@needs("dcentvfy")
@needs_real_ct
def test_dcentvfy_on_the_real_series(tmp_path: Path) -> None:
    images = sorted((SHARED_DATA / "ct-ge").glob("*.dcm"))
    said = output("dcentvfy", *images, *known_to_dcentvfy(saved_all(tmp_path, ct_ge_series())))
    accepted = f"{ACCEPTED_BY_DCENTVFY}|{OF_INCOMPLETE_SOURCE}"
    assert not [line for line in said.splitlines() if not re.match(accepted, line)]


@needs("dsrdump")
@pytest.mark.parametrize("report", ["sr.dcm", "sr-enhanced.dcm"])
def test_dsrdump_prints_the_report(report: str, tmp_path: Path) -> None:
    path = saved_all(tmp_path, ct_series(), (4,))[report]
    done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, check=True, timeout=50)
    printed = done.stdout.decode("latin-1")
    for name in ("ASPECTS R C", "ASPECTS L M6", "R I (Insula) was not mapped"):
        assert name in printed
    assert printed.count('"Referenced Segmentation Frame"') == 19
    assert done.stderr.decode() == ""


@needs("dsrdump")
def test_dsrdump_prints_the_key_objects(tmp_path: Path) -> None:
    path = saved_all(tmp_path, ct_series())["ko.dcm"]
    done = subprocess.run(["dsrdump", path], capture_output=True, check=True, timeout=50)
    printed = done.stdout.decode("latin-1")
    assert printed.count("<contains IMAGE:") == 3
    assert printed.count("<contains COMPOSITE:") == 1
    # dcmtk checks no template of this kind
    assert done.stderr.decode().strip() == "W: Check for template constraints not yet supported"


def start_sr_validator(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["DicomSRValidator", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "JAVA_TOOL_OPTIONS": XPATH_LIMITS},
    )


def said_by(validator: subprocess.Popen[bytes]) -> tuple[list[str], list[str]]:
    """Return all lines, and those that complain without where in the tree the item stands."""
    lines = validator.communicate(timeout=350)[0].decode("latin-1").splitlines()
    assert "IOD validation complete" in lines
    plain = [re.sub(r"\b1(\.\d+)*: ", "", line) for line in lines]
    return lines, [line for line in plain if line.startswith(("Error", "Warning"))]


@pytest.mark.slow
@pytest.mark.timeout(400)
@needs("DicomSRValidator")
@needs_real_ct
def test_sr_validator_on_the_real_series(tmp_path: Path) -> None:
    paths = saved_all(tmp_path, ct_ge_series())
    of_report, of_key_objects = (start_sr_validator(paths[name]) for name in ("sr.dcm", "ko.dcm"))
    lines, found = said_by(of_report)
    assert "Found Comprehensive3DSR IOD" in lines
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    accepted = {line for group in ACCEPTED_BY_SR_VALIDATOR.values() for line in group}
    assert [line for line in found if line not in accepted] == []
    # errors are about the one group that is no region's
    assert len([line for line in found if line.startswith("Error")]) == 2

    lines, found = said_by(of_key_objects)
    assert "Found Root Template TID_2010 (KeyObjectSelection)" in lines
    assert found == []
