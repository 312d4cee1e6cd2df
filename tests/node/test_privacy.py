"""No patient in logs, audit, metrics, file names, errors or state; files are private."""

from __future__ import annotations

import logging
import struct
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node.compute import compute
from node.job import Job
from node.logs import JsonFormatter, PatientDataFilter
from tests.node.conftest import Site
from tests.node.double import CRASH, QUOTE
from tests.node.series import PATIENT, PATIENT_ID, write_series
from tests.peers import free_port, peer, storescu, wait_for

ACCESSION = "PLANTED-ACC-0815"
PLANTED = ("PLANTED", PATIENT, PATIENT_ID, ACCESSION)
HEADER: dict[str, Any] = {
    "AccessionNumber": ACCESSION,
    "PatientBirthDate": "19470811",
    "SeriesDescription": PATIENT,
    "StudyDescription": PATIENT,
    "InstitutionName": PATIENT,
    "ReferringPhysicianName": PATIENT,
    "ConvolutionKernel": "PLANTED KERNEL",
    "ContrastBolusAgent": "PLANTED AGENT",
}


def everything(site: Site) -> Iterator[tuple[str, str]]:
    """Return all that the node says and keeps, but for the DICOM files themselves."""
    yield "log", site.node.log.read_text()
    for path in site.node.data.rglob("*"):
        yield "file name", str(path.relative_to(site.node.data))
        if path.is_file() and path.suffix not in {".dcm", ".png"}:
            yield path.name, path.read_bytes().decode("utf-8", "replace")


def assert_clean(where: str, text: str) -> None:
    found = [item for item in PLANTED if item in text]
    assert not found, f"{found} in {where}: {text[:2000]}"


def send_all(site: Site, stow: int, folder: Path) -> str:
    """Send series that end in every way; return the good one."""
    node, tmp_path = site.node, folder
    good, files = write_series(tmp_path, "good", **HEADER)
    storescu(node.port, files)
    changed = dcmread(files[0])
    changed.PatientComments = PATIENT
    changed.save_as(files[0])
    storescu(node.port, files[:1])  # the same UID, other bytes
    ends = {good: "DELIVERING"}
    for name, modality, wish, state in (
        ("mr", "MR", "", "REJECTED"),
        ("quote", "CT", QUOTE, "FAILED"),
        ("crash", "CT", CRASH, "FAILED"),
    ):
        uid, more = write_series(tmp_path, name, modality=modality, protocol=wish, **HEADER)
        storescu(node.port, more)
        ends[uid] = state
    trick, more = write_series(tmp_path, "trick", 1, **HEADER)
    content = more[0].read_bytes()
    more[0].write_bytes(content.replace(trick.encode(), PATIENT.encode().ljust(len(trick), b"1")))
    storescu(node.port, more)
    broken = b"--mark\r\nContent-Type: application/dicom\r\n\r\n" + content[:700] + b"\r\n--mark--"
    kind = 'multipart/related; type="application/dicom"; boundary=mark'
    url = f"http://127.0.0.1:{stow}/dicom-web/studies"
    refused = requests.post(url, data=broken, headers={"Content-Type": kind}, timeout=20)
    for uid, state in ends.items():
        node.wait_for_state(uid, state)
    node.wait_for_event("delivery_failed", series=good, destination="away")
    wait_for(lambda: any(uid.startswith("invalid-") for uid in node.states()), what="the trick")

    assert_clean("STOW-RS", refused.text)
    return good


@pytest.mark.timeout(180)
def test_no_patient_in_anything_but_the_images(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    web, stow = free_port(), free_port()
    site = make_site(
        log_level="DEBUG",
        compute_attempts=1,
        also_send_to=["away"],
        peers=[peer("away", "AWAY", free_port())],
        web={"port": web},
        dicomweb={"enabled": True, "port": stow},
    )
    good = send_all(site, stow, tmp_path)
    node = site.node

    said = [
        node.run(*arguments)
        for arguments in (
            ["status"], ["status", "--json"], ["retry", good],
        )
    ]  # fmt: skip
    with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=20) as answer:
        assert_clean("metrics", answer.read().decode())
    for answer in said:
        assert_clean("a command", answer.stdout + answer.stderr)
    assert node.stop() == 0
    for where, text in everything(site):
        assert_clean(where, text)
    _are_private(node.data)


def _are_private(data: Path) -> None:
    """Check that nobody but the node's user may look into anything."""
    open_ones = [
        str(path)
        for name in ("series", "incoming", "audit", "requests", "fetches", "trash", "commitments")
        for path in [data / name, *(data / name).rglob("*")]
        if path.stat().st_mode & 0o077
    ]
    assert not open_ones
    assert (data / "work.sqlite").stat().st_mode & 0o077 == 0
    assert data.stat().st_mode & 0o077 == 0


MALFORMED = (
    "AcquisitionNumber", "BitsAllocated", "BitsStored", "Columns", "ContrastBolusAgent",
    "ConvolutionKernel", "FrameOfReferenceUID", "GantryDetectorTilt", "HighBit",
    "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "InstanceNumber", "Modality",
    "NumberOfFrames", "PatientAge", "PatientBirthDate", "PhotometricInterpretation",
    "PixelRepresentation", "PixelSpacing", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "Rows", "SamplesPerPixel", "SeriesInstanceUID", "SliceThickness", "SOPClassUID",
    "SOPInstanceUID", "SpecificCharacterSet", "StudyDate", "StudyInstanceUID",
)  # fmt: skip
"""Elements that the pipeline looks at."""


def plant(path: Path, tag: int) -> None:
    """Put a name where an element's value belongs, byte by byte: pydicom would refuse."""
    content = path.read_bytes()
    dataset = dcmread(path)
    value = f"{PATIENT}\\PLANTED".encode()
    # explicit VR little endian; of unknown representation, so that the reader converts it
    element = struct.pack("<HH4sL", tag >> 16, tag & 0xFFFF, b"UN\0\0", len(value)) + value
    parts = [encoded(dataset[:tag]), element, encoded(dataset[tag + 1 :])]
    head = 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[:head] + b"".join(parts))


def encoded(part: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, part)
    return bytes(buffer.getvalue())


@pytest.mark.parametrize("keyword", MALFORMED)
def test_reason_of_a_rejection_quotes_no_value(
    keyword: str, tmp_path: Path, atlas_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, files = write_series(tmp_path, "bad", 12, size=8, **HEADER)
    tag = tag_for_keyword(keyword)
    assert tag is not None
    for path in files:
        plant(path, tag)
    out = tmp_path / "out"
    job = Job(
        paths=tuple(files),
        out=out,
        atlas_folder=atlas_folder,
        now=datetime(2024, 1, 1, tzinfo=UTC),
    )
    with caplog.at_level(logging.DEBUG):
        try:
            outcome = compute(job)
        except Exception as error:  # noqa: BLE001 - the worker says its type and place only
            said = type(error).__name__
        else:
            said = outcome.reason
            assert outcome.code
    assert_clean(keyword, said)
    for path in out.iterdir():
        assert_clean(path.name, path.read_text())
    formatter, withheld = JsonFormatter(), PatientDataFilter()
    for record in caplog.records:
        withheld.filter(record)
        assert_clean("log", formatter.format(record))
