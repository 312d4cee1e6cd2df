"""Series of every kind: put right, or refused by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage, MRImageStorage

from pipeline.errors import (
    EmptySeriesError,
    GeometryError,
    HeaderError,
    IncompleteSeriesError,
    InconsistentSeriesError,
    NotAxialError,
    SeriesError,
    TooLargeError,
    UnsupportedImageTypeError,
    UnsupportedSOPClassError,
)
from pipeline.phantom import Acquisition, Orientation, PhantomSpec, SliceBlock
from pipeline.series import MAX_SLICES, load_series
from tests.pipeline.heads import NEW_UID, datasets, positions, stack, without

COS, SIN = np.cos(np.radians(18.5)), np.sin(np.radians(18.5))


def put_raw(ds: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Set an element as it is read from a file, not yet converted."""
    ds[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


@given(order=st.permutations(range(12)))
@settings(max_examples=15)
def test_any_order_of_files_gives_the_same_series(order: list[int]) -> None:
    images = stack()
    expected = load_series(images)
    found = load_series([images[index] for index in order])
    assert found.sop_instance_uids == expected.sop_instance_uids
    assert found.distances_mm.tolist() == [5.0 * index for index in range(12)]
    assert found.positions_mm[:, 2].tolist() == [5.0 * index for index in range(12)]
    assert found.notes == ()
    assert found.gaps == ()


@pytest.mark.parametrize("orientation", Orientation)
def test_slices_run_upwards_in_every_orientation(orientation: Orientation) -> None:
    acquisition = Acquisition(
        rows=8,
        columns=6,
        pixel_spacing_mm=(3.0, 2.9),
        blocks=(SliceBlock(count=10),),
        orientation=orientation,
        gantry_tilt_deg=14.0,
    )
    images = datasets(PhantomSpec(acquisition=acquisition, sub_samples=1))
    random.Random(5).shuffle(images)
    found = load_series(images)
    middles = [positions(ds)[3:5, 2:4].mean(axis=(0, 1)) for ds in found.datasets]
    assert (np.diff(middles, axis=0)[:, 2] > 0).all()
    assert np.diff(found.distances_mm) == pytest.approx(5.0 * np.cos(np.radians(14.0)))
    assert found.gaps == ()


def test_real_tilted_series_of_two_blocks(ct_ge: list[Path]) -> None:
    images = [dcmread(path) for path in ct_ge]
    random.Random(1).shuffle(images)
    found = load_series(images)
    assert len(found) == 28
    assert found.slice_thickness_mm.tolist() == [4.0] * 14 + [7.0] * 14
    steps = np.diff(found.distances_mm)
    assert steps[:13] == pytest.approx(4.0, abs=0.05)
    assert steps[14:] == pytest.approx(7.0, abs=0.05)
    assert found.gaps == ()
    tilt = np.degrees(np.arccos(abs(np.cross(*found.image_orientation.reshape(2, 3))[2])))
    assert tilt == pytest.approx(18.5, abs=0.1)
    without_one = load_series([ds for ds in images if ds is not found.datasets[20]])
    assert without_one.gaps == (19,)


def test_repeated_instances_are_dropped() -> None:
    images = stack()
    found = load_series([*images, deepcopy(images[3]), images[3]])
    assert len(found) == 12
    assert found.notes == ("2 repeated instance(s) dropped",)


def test_one_image_under_two_uids_is_kept_once() -> None:
    images = stack()
    again = deepcopy(images[4])
    again.SOPInstanceUID = NEW_UID("again")
    found = load_series([*images, again])
    assert len(found) == 12
    assert len(found.notes) == 1


@pytest.mark.parametrize("lost", [(5,), (5, 6), (1,), (10,)])
def test_missing_slices_are_found(lost: tuple[int, ...]) -> None:
    found = load_series([ds for index, ds in enumerate(stack()) if index not in lost])
    assert found.gaps == (lost[0] - 1,)


def test_thickness_falls_back_to_the_step() -> None:
    found = load_series(without(stack(step_mm=2.5), "SliceThickness"))
    assert found.slice_thickness_mm.tolist() == [2.5] * 12
    assert found.gaps == ()


def test_overlapping_slices_are_no_gaps() -> None:
    assert load_series(stack(SliceThickness=10.0)).gaps == ()


def test_series_cannot_be_changed() -> None:
    found = load_series(stack())
    with pytest.raises(ValueError, match="read-only"):
        found.distances_mm[0] = 1.0


def test_malformed_values_that_nobody_needs_are_left_out() -> None:
    images = stack()
    put_raw(images[0], "KVP", "FD", b"high")
    found = load_series(images)
    assert "KVP" not in found.datasets[0]
    assert "KVP" in images[0]
    assert found.notes == ("1 malformed header value(s) of the lowest slice ignored",)


def _set(**values: object) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        for keyword, value in values.items():
            for ds in images:
                setattr(ds, keyword, value)

    return change


def _set_one(**values: object) -> Callable[[list[Dataset]], None]:
    return lambda images: _set(**values)(images[6:7])


def _raw(keyword: str, vr: str, value: bytes) -> Callable[[list[Dataset]], None]:
    return lambda images: put_raw(images[6], keyword, vr, value)


def _delete(keyword: str, count: int = 12) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        for ds in images[:count]:
            del ds[keyword]

    return change


def _keep(count: int) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        del images[count:]

    return change


def _same_uid(images: list[Dataset]) -> None:
    images[6].SOPInstanceUID = images[5].SOPInstanceUID


def _same_place(images: list[Dataset]) -> None:
    images[6].ImagePositionPatient = images[5].ImagePositionPatient


BAD: dict[str, tuple[type[SeriesError], Callable[[list[Dataset]], None]]] = {
    "nothing": (EmptySeriesError, _keep(0)),
    "four slices": (IncompleteSeriesError, _keep(4)),
    "MR": (UnsupportedSOPClassError, _set(SOPClassUID=MRImageStorage, Modality="MR")),
    "MR among CT": (UnsupportedSOPClassError, _set_one(SOPClassUID=MRImageStorage)),
    "enhanced CT": (UnsupportedSOPClassError, _set(SOPClassUID=EnhancedCTImageStorage)),
    "no SOP class": (UnsupportedSOPClassError, _delete("SOPClassUID")),
    "CT class, other modality": (HeaderError, _set(Modality="PT")),
    "no modality": (HeaderError, _delete("Modality")),
    "no instance UID": (InconsistentSeriesError, _delete("SOPInstanceUID", 1)),
    "instance UID of bytes": (InconsistentSeriesError, _raw("SOPInstanceUID", "OB", b"\xff\x00")),
    "two images, one UID": (InconsistentSeriesError, _same_uid),
    "two images, one place": (InconsistentSeriesError, _same_place),
    "two series": (InconsistentSeriesError, _set_one(SeriesInstanceUID="1.2.3")),
    "two studies": (InconsistentSeriesError, _set_one(StudyInstanceUID="1.2.3")),
    "two patients": (InconsistentSeriesError, _set_one(PatientID="OTHER")),
    "two frames of reference": (InconsistentSeriesError, _set_one(FrameOfReferenceUID="1.2.3")),
    "two matrices": (InconsistentSeriesError, _set_one(Rows=512)),
    "two pixel spacings": (InconsistentSeriesError, _set_one(PixelSpacing=[0.5, 0.41])),
    "no series UID": (InconsistentSeriesError, _delete("SeriesInstanceUID")),
    "scout": (NotAxialError, _set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    "coronal": (NotAxialError, _set(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])),
    "sagittal": (NotAxialError, _set(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])),
    "projection": (UnsupportedImageTypeError, _set(ImageType=["DERIVED", "SECONDARY", "MIP"])),
    "screen save": (
        UnsupportedImageTypeError,
        _set(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
    ),
    "a fan of slices": (
        InconsistentSeriesError,
        _set_one(ImageOrientationPatient=[1, 0, 0, 0, COS, SIN]),
    ),
    "no position": (GeometryError, _delete("ImagePositionPatient")),
    "one without a position": (GeometryError, _delete("ImagePositionPatient", 1)),
    "no orientation": (GeometryError, _delete("ImageOrientationPatient")),
    "no pixel spacing": (GeometryError, _delete("PixelSpacing")),
    "no frame of reference": (GeometryError, _delete("FrameOfReferenceUID")),
    "no rows": (GeometryError, _delete("Rows")),
    "rows zero": (GeometryError, _set(Rows=0)),
    "position of two values": (GeometryError, _set_one(ImagePositionPatient=[1, 2])),
    "empty position": (GeometryError, _set_one(ImagePositionPatient=None)),
    "position of letters": (GeometryError, _raw("ImagePositionPatient", "DS", b"a\\b\\c ")),
    "position not a number": (GeometryError, _raw("ImagePositionPatient", "DS", b"nan\\0\\1")),
    "position endless": (GeometryError, _raw("ImagePositionPatient", "DS", b"inf\\0\\1 ")),
    "position of other VR": (GeometryError, _raw("ImagePositionPatient", "SQ", b"1\\2\\3 ")),
    "position far away": (GeometryError, _set_one(ImagePositionPatient=[1e9, 0, 0])),
    "orientation of five values": (GeometryError, _set(ImageOrientationPatient=[1, 0, 0, 0, 1])),
    "orientation not a number": (
        GeometryError,
        _raw("ImageOrientationPatient", "DS", b"nan\\0\\0\\0\\1\\0"),
    ),
    "orientation too long": (GeometryError, _set(ImageOrientationPatient=[2, 0, 0, 0, 2, 0])),
    "orientation all zero": (GeometryError, _set(ImageOrientationPatient=[0, 0, 0, 0, 0, 0])),
    "orientation askew": (GeometryError, _set(ImageOrientationPatient=[1, 0, 0, 0.7, 0.7, 0])),
    "one pixel spacing": (GeometryError, _set(PixelSpacing=0.5)),
    "pixel spacing zero": (GeometryError, _set(PixelSpacing=[0, 0])),
    "pixel spacing negative": (GeometryError, _set(PixelSpacing=[-0.5, 0.5])),
    "pixel spacing endless": (GeometryError, _raw("PixelSpacing", "DS", b"inf\\inf ")),
    "thickness of letters": (HeaderError, _raw("SliceThickness", "DS", b"thin")),
    "thickness not a number": (HeaderError, _raw("SliceThickness", "DS", b"nan ")),
    "thickness of metres": (HeaderError, _set(SliceThickness=5000)),
    "enormous matrix": (TooLargeError, _set(Rows=65535, Columns=65535)),
    "enormous matrix in one": (InconsistentSeriesError, _set_one(Rows=65535)),
}


@pytest.mark.parametrize("case", BAD)
def test_defects_are_refused_by_name(case: str) -> None:
    error, change = BAD[case]
    images = stack()
    change(images)
    with pytest.raises(SeriesError) as caught:
        load_series(images)
    assert type(caught.value) is error
    assert "PLANTED" not in str(caught.value)


def test_scouts_among_slices_are_left_out() -> None:
    images = stack()
    scout = stack(13)[12]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    found = load_series([scout, *images])
    assert len(found) == 12
    assert found.notes == ("1 scout image(s) left out",)


def test_too_many_images() -> None:
    with pytest.raises(TooLargeError):
        load_series(stack(1) * (MAX_SLICES + 1))


@given(
    keyword=st.sampled_from(
        [
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PixelSpacing",
            "SliceThickness",
            "Rows",
            "Columns",
            "SOPInstanceUID",
            "SeriesInstanceUID",
            "SOPClassUID",
            "ImageType",
            "PatientID",
            "FrameOfReferenceUID",
            "Modality",
        ]
    ),
    vr=st.sampled_from(["DS", "IS", "US", "UI", "LO", "SQ", "OB", "FD", "UN", "AT", "PN"]),
    value=st.binary(max_size=24),
    which=st.sampled_from([slice(None), slice(0, 1), slice(6, 7)]),
)
@settings(max_examples=250, deadline=None)
@pytest.mark.filterwarnings("ignore")  # pydicom remarks on odd values
def test_any_bytes_in_any_element_are_read_or_refused(
    keyword: str, vr: str, value: bytes, which: slice
) -> None:
    images = stack(9)
    for ds in images[which]:
        put_raw(ds, keyword, vr, value)
    try:
        found = load_series(images)
    except SeriesError:
        return
    assert len(found) >= 8
    assert np.isfinite(found.positions_mm).all()
    assert np.isfinite(found.slice_thickness_mm).all()


def test_real_fixtures_with_defects(shared_data: Path) -> None:
    for folder in sorted((shared_data / "dicom-fixtures").glob("dicom2nifti_failing_*")):
        images = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
        with pytest.raises(SeriesError):
            load_series(images)
