"""Marks for review: off by default, and where asked for, in every object, as no finding."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from pipeline.encode.findings import Findings
from pipeline.encode.key_image import PRESETS, render_key_image
from pipeline.encode.objects import ObjectKind, encode
from pipeline.encode.page import render_page
from pipeline.encode.result_json import result_document
from pipeline.regions import REGION_SIDES
from pipeline.review import ReviewLimits, review
from tests.pipeline.encode.builders import NEW_UID, NOW, findings
from tests.pipeline.encode.test_pdf import words
from tests.pipeline.encode.test_seg import to_bytes
from tests.pipeline.encode.test_sr import groups, items, meaning, named, texts
from tests.pipeline.encode.test_validators import saved, unexplained

LIMITS = ReviewLimits(difference_hu=1.5, ratio=0.96)
DARK = 15  # left M1


def marked() -> Findings:
    """Return findings in which one region is darker than the limits."""
    plain = findings()
    measured = []
    for item in plain.measurements:
        assert item.comparison is not None
        change = -2.0 if item.region_side.number == DARK else 1.0
        found = replace(item.comparison, corrected_difference_hu=change)
        measured.append(replace(item, comparison=found, review=review(found, LIMITS)))
    return replace(plain, measurements=tuple(measured))


def document(made: Findings) -> list[dict[str, object]]:
    found = result_document(
        made.series, made.levels, made.measurements, made.quality, made.provenance, {}
    )
    regions: list[dict[str, object]] = found["regions"]
    return regions


def test_result_json_marks_one_region_where_asked() -> None:
    assert [item["number"] for item in document(marked()) if item["for_review"]] == [DARK]
    assert not any("for_review" in item for item in document(findings()))


def test_report_marks_one_group_and_says_that_it_is_no_finding() -> None:
    made = encode(marked(), [ObjectKind.SR], new_uid=NEW_UID, now=NOW)["sr.dcm"]
    sr = dcmread(io.BytesIO(to_bytes(made)))
    for item, group in zip(REGION_SIDES, groups(sr)[1:], strict=True):
        marks = named(group, "Darker than the other side, past the limits")
        assert len(marks) == (item.number == DARK)
        if marks:
            assert marks[0].ConceptCodeSequence[0].CodeMeaning == "For review"
    said = texts(sr)
    assert "at least 1.5 HU darker than the other side and at most 0.96 of it" in said
    assert "No finding; not counted." in said
    assert not [item for item in items(sr) if "score" in meaning(item).lower()]


def test_default_report_has_no_word_of_marks() -> None:
    plain = encode(findings(), [ObjectKind.SR], new_uid=NEW_UID, now=NOW)["sr.dcm"]
    assert b"review" not in to_bytes(plain).lower()


def test_page_and_key_image_show_the_mark() -> None:
    text = words(render_page(marked(), NOW))
    assert text.count("left: for review") == 1
    assert "right: for review" not in text
    assert "for review" not in words(render_page(findings(), NOW)).lower()
    window = PRESETS[0]
    plain, other = render_key_image(findings(), window), render_key_image(marked(), window)
    assert not np.array_equal(plain, other)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_takes_the_marks(tmp_path: Path) -> None:
    made = encode(marked(), [ObjectKind.SEG, ObjectKind.SR], new_uid=NEW_UID, now=NOW)
    assert unexplained({name: saved(tmp_path, name, ds) for name, ds in made.items()}) == []
