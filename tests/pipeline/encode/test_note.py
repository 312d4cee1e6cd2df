"""The note says why there are no regions, of images in whatever state."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from pipeline.encode.note import Refusal, build_note
from tests.pipeline.encode.builders import NEW_UID, NOW, ct_images
from tests.pipeline.encode.test_seg import to_bytes
from tests.pipeline.encode.test_sr import items, meaning, texts
from tests.pipeline.encode.test_validators import (
    OF_ANONYMOUS_SOURCE,
    bare,
    long_chinese_name,
    lossy,
    needs,
    said_by,
    saved,
    start_sr_validator,
    unexplained,
)

WHY = Refusal(code="incomplete-series", reason="series 1.2.3: 3 slices are missing.")


def note_of(images: list[Dataset], why: Refusal = WHY) -> Dataset:
    made = build_note(images, why, new_uid=NEW_UID, now=NOW)
    assert made is not None
    return dcmread(BytesIO(to_bytes(made)))


def test_note_says_why_and_that_nothing_was_mapped() -> None:
    images = ct_images()
    note = note_of(images)
    assert note.SOPClassUID == EnhancedSRStorage
    assert (note.CompletionFlag, note.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    said = texts(note)
    assert "Nothing was mapped: aspects-node made no ASPECTS regions of this series." in said
    assert "incomplete-series: series 1.2.3: 3 slices are missing." in said
    assert "That says nothing of the brain: every slice has to be read." in said
    assert not [item for item in items(note) if item.ValueType == "NUM"]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert note[keyword].value == images[0][keyword].value
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == len(images)
    observers = [item for item in items(note) if meaning(item) == "Observer Type"]
    assert [item.ConceptCodeSequence[0].CodeMeaning for item in observers] == ["Device"]


def test_same_images_and_reason_give_the_same_bytes() -> None:
    made = [
        build_note(images, WHY, new_uid=NEW_UID, now=NOW)
        for images in (ct_images(), ct_images(reverse=True))
    ]
    first, second = (to_bytes(item) for item in made if item is not None)
    assert first == second
    other = note_of(ct_images(), Refusal(code="coverage", reason="no vertex"))
    assert other.SOPInstanceUID != note_of(ct_images()).SOPInstanceUID
    assert note_of(ct_images()[:-1]).SOPInstanceUID != note_of(ct_images()).SOPInstanceUID


def test_images_without_geometry_or_of_two_series_have_one_too() -> None:
    images = ct_images()
    for image in images:
        for keyword in ("ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID", "Rows"):
            delattr(image, keyword)
    images[0].SeriesInstanceUID = "1.2.3"
    images[1].SOPInstanceUID = ""
    series = note_of(images).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series) == 1


def test_images_that_belong_nowhere_have_none() -> None:
    image = ct_images()[0]
    image.StudyInstanceUID = ""
    assert build_note([image], WHY, new_uid=NEW_UID, now=NOW) is None
    assert build_note([], WHY, new_uid=NEW_UID, now=NOW) is None


@needs("dciodvfy")
@needs("dsrdump")
@pytest.mark.parametrize("change", [None, bare, lossy, long_chinese_name])
def test_validators(change: object, tmp_path: Path) -> None:
    path = saved(tmp_path, "note.dcm", note_of(ct_images(change=change)))  # type: ignore[arg-type]  # one of several shapes
    assert unexplained({"note": path}, OF_ANONYMOUS_SOURCE) == []
    done = subprocess.run(["dsrdump", path], capture_output=True, check=True, timeout=50)
    # of a character set that it cannot convert it says so
    assert [line for line in done.stderr.splitlines() if b"GB18030" not in line] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@needs("DicomSRValidator")
def test_sr_validator(tmp_path: Path) -> None:
    path = saved(tmp_path, "note.dcm", note_of(ct_images()))
    lines, found = said_by(start_sr_validator(path))
    assert "Found EnhancedSR IOD" in lines
    # the note follows no template of PS3.16 and says so: it names none
    assert "ContentTemplateSequence" not in dcmread(path)
    assert [line for line in found if not line.endswith(": Content Item not in template")] == []
