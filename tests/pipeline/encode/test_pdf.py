"""The PDF: one page, the same bytes, every number, no patient."""

from __future__ import annotations

import re
import zlib
from base64 import a85decode
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage

from pipeline.encode.page import render_page
from pipeline.encode.pdf import build_pdf
from pipeline.quality import QualityReason, Verdict
from tests.pipeline.encode.builders import NEW_UID, NOW, ct_series, findings, quality
from tests.pipeline.encode.test_seg import to_bytes


def streams(page: bytes) -> list[bytes]:
    """Return the page's streams, decoded."""
    found = []
    for match in re.finditer(rb"stream\r?\n(.*?)\s*endstream", page, re.DOTALL):
        content = match[1]
        if content.endswith(b"~>"):
            content = a85decode(content[:-2])
        found.append(zlib.decompress(content))
    return found


def words(page: bytes) -> str:
    """Return the text that is drawn on the page."""
    text = b"\n".join(item for item in streams(page) if b" Tj" in item)
    drawn = re.findall(rb"\(((?:\\.|[^\\)])*)\) Tj", text)
    plain = (
        re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), item) for item in drawn
    )
    return "\n".join(re.sub(rb"\\([()\\])", rb"\1", item).decode("cp1252") for item in plain)


@pytest.fixture(scope="module")
def document() -> Dataset:
    return dcmread(BytesIO(to_bytes(build_pdf(findings(), new_uid=NEW_UID, now=NOW))))


def test_it_is_an_encapsulated_pdf(document: Dataset) -> None:
    assert document.SOPClassUID == EncapsulatedPDFStorage
    assert (document.Modality, document.MIMETypeOfEncapsulatedDocument) == (
        "DOC",
        "application/pdf",
    )
    page = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert page == render_page(findings(), NOW)
    assert page.startswith(b"%PDF-")
    assert page.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", page)) == 1


def test_it_refers_to_the_two_slices(document: Dataset) -> None:
    series = ct_series()
    sources = [item.ReferencedSOPInstanceUID for item in document.SourceInstanceSequence]
    assert sources == [series.sop_instance_uids[5], series.sop_instance_uids[9]]


def test_page_has_every_number_and_version() -> None:
    made = findings(without=(4,))
    text = words(render_page(made, NOW))
    for item in made.measurements:
        shown = "–" if item.tissue_hu_median is None else f"{item.tissue_hu_median:.1f}"
        assert shown in text
        assert f"{item.area_mm2:.0f}" in text
    for said in (
        "Quality: check the mapping",
        "The ganglionic slice resembles the atlas less than usual.",
        "slice 6 of 12",
        "next best slice 7, margin 0.25",
        "aspects-281 52144cb",
        "level-finder 1.0",
        "not for primary diagnosis",
        "every slice has to be read",
        "2024-05-06 07:08:09",
        made.series.series_instance_uid,
    ):
        assert said in text, said


def test_page_never_names_the_patient() -> None:
    page = render_page(findings(), NOW)
    text = words(page)
    for secret in ("Müller", "Zo", "PID-1", "19600101", "1960-01-01", "A4711"):
        assert secret not in text
        assert secret.encode() not in page


def test_time_and_findings_alone_change_the_bytes() -> None:
    page = render_page(findings(), NOW)
    assert render_page(findings(), NOW) == page
    assert render_page(findings(), NOW + timedelta(hours=1)) != page
    failed = replace(quality(), verdict=Verdict.FAIL)
    assert render_page(findings(quality=failed), NOW) != page


def test_many_reasons_stay_above_the_foot() -> None:
    reason = QualityReason(code="x", verdict=Verdict.WARN, text="The slice is not like the atlas.")
    page = render_page(findings(quality=replace(quality(), reasons=(reason,) * 20)), NOW)
    heights = [
        float(match)
        for item in streams(page)
        for match in re.findall(rb"1 0 0 1 [\d.]+ ([\d.]+) Tm", item)
    ]
    above_the_rule = [height for height in heights if height > 54]
    assert len(above_the_rule) > 40
    assert min(heights) >= 29
    assert len([height for height in heights if height <= 54]) == 2
