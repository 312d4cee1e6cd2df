"""One drawing in every kind of file gives one reading; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from node.evaluation.cases import Drawing, find_drawings, read_cases
from node.evaluation.drawings import read_drawing
from node.evaluation.errors import CaseError
from node.evaluation.heads import open_head
from node.evaluation.nifti import nifti_datasets
from pipeline.arrays import LabelArray
from pipeline.encode.common import EncodeSettings, SegKind
from pipeline.encode.seg import build_seg
from pipeline.evaluation.reading import Reading
from pipeline.regions import LEFT_OFFSET, Level
from pipeline.series import load_series
from pipeline.volume import to_volume
from tests.node.evaluation.cohort import (
    in_view,
    lowest_first,
    spacing_in_view,
    true_row,
    write_dicom,
    write_nifti,
    write_planes,
    write_table,
    write_volume,
)
from tests.pipeline.encode.builders import (
    GEOMETRIES,
    NEW_UID,
    NOW,
    ct_series,
    region_map,
)
from tests.pipeline.encode.builders import provenance as made_by
from tests.pipeline.heads import HEAD, POSES, phantom, series

LEVELS = {level: phantom().levels[level] for level in Level}


def assert_same(reading: Reading, labels: dict[Level, LabelArray], slices: object) -> None:
    assert dict(reading.slices) == slices
    for level, drawn in labels.items():
        np.testing.assert_array_equal(reading.labels[level], drawn)


@pytest.mark.parametrize("pose", sorted(POSES))
def test_flat_and_solid_files_say_the_same_in_every_pose(pose: str, tmp_path: Path) -> None:
    spec = POSES[pose]
    truth, one = phantom(spec), series(spec)
    slices = dict(truth.levels)
    write_planes(tmp_path, "x", "flat", in_view(spec), spacing_in_view(one))
    if pose != "tilted":  # NIfTI through ITK knows no shear
        write_nifti(
            tmp_path / "x_regions_solid.nii.gz", lowest_first(spec, np.array(truth.labels)), one
        )
    for reader, drawing in find_drawings(tmp_path, "x").items():
        assert_same(read_drawing(drawing, one, reader, slices), in_view(spec), slices)


@pytest.mark.parametrize("kind", [SegKind.REGIONS, SegKind.LABELMAP])
@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
def test_a_segmentation_is_read_as_it_was_drawn(
    geometry: str, kind: SegKind, tmp_path: Path
) -> None:
    one = ct_series(**GEOMETRIES[geometry])
    drawn = region_map(one, without=[13])
    seg = build_seg(
        one, drawn, made_by(), new_uid=NEW_UID, now=NOW, settings=EncodeSettings(seg_kind=kind)
    )
    seg.save_as(tmp_path / "x_seg.dcm", enforce_file_format=True)
    drawing = find_drawings(tmp_path, "x")["reader"]
    found = read_drawing(drawing, one, "reader", {})
    view = to_volume(one).view
    labels = {
        level: np.ascontiguousarray(view.apply(item.labels)) for level, item in drawn.levels.items()
    }
    assert_same(found, labels, {Level.GANGLIONIC: 5, Level.SUPRAGANGLIONIC: 9})


def test_a_head_in_nifti_is_the_head_in_dicom(tmp_path: Path) -> None:
    write_volume(tmp_path, "x")
    again = load_series(nifti_datasets(tmp_path / "x.nii.gz"))
    first, second = to_volume(series()), to_volume(again)
    np.testing.assert_allclose(second.voxels, np.rint(first.voxels), atol=0.51)
    np.testing.assert_allclose(second.pixel_affines, first.pixel_affines, atol=1e-3)
    assert second.pixel_spacing_mm == pytest.approx(first.pixel_spacing_mm)
    names = [again.sop_instance_uids, load_series(nifti_datasets(tmp_path / "x.nii.gz"))]
    assert names[0] == names[1].sop_instance_uids  # type: ignore[attr-defined]


def test_numbers_shared_by_both_sides_are_told_apart(tmp_path: Path) -> None:
    alike = {
        level: np.where(drawn > LEFT_OFFSET, drawn - LEFT_OFFSET, drawn).astype(np.uint8)
        for level, drawn in in_view().items()
    }
    write_planes(tmp_path, "x", "", alike, spacing_in_view(series()))
    drawing = find_drawings(tmp_path, "x")["reader"]
    assert_same(read_drawing(drawing, series(), "reader", LEVELS), in_view(), LEVELS)


def test_of_several_slices_the_one_of_the_table_counts(tmp_path: Path) -> None:
    """Regions that were carried to the neighbours do not change the level."""
    labels = lowest_first(HEAD, np.array(phantom().labels))
    low, high = LEVELS.values()
    labels[low + 1], labels[high - 1] = labels[low], labels[high]
    labels[low, :40] = 0
    write_nifti(tmp_path / "x_regions.nii.gz", labels, series())
    drawing = find_drawings(tmp_path, "x")["reader"]
    assert dict(read_drawing(drawing, series(), "reader", LEVELS).slices) == LEVELS
    most = read_drawing(drawing, series(), "reader", {})
    assert most.slices[Level.GANGLIONIC] == low + 1


def test_a_case_is_read_whole(tmp_path: Path) -> None:
    write_dicom(tmp_path, "a case")
    write_planes(tmp_path, "a case", "", in_view(), spacing_in_view(series()))
    write_table(tmp_path, [true_row("a case", phantom(), bob_bgl=3, bob_sgl=7)])
    (case,) = read_cases(tmp_path)
    head = open_head(case, "reader")
    assert head.case.years == 60
    assert head.case.read_levels == {"bob": {Level.GANGLIONIC: 3, Level.SUPRAGANGLIONIC: 7}}
    assert_same(head.readings["reader"], in_view(), LEVELS)


def test_without_a_table_of_slices_the_drawings_tell_the_truth(tmp_path: Path) -> None:
    write_volume(tmp_path, "x")
    labels = lowest_first(HEAD, np.array(phantom().labels))
    write_nifti(tmp_path / "x_regions_anna.nii.gz", labels, series())
    write_table(tmp_path, [{"pid": "x", "age": "44"}])
    (case,) = read_cases(tmp_path)
    head = open_head(case, "anna")
    assert dict(head.case.levels) == LEVELS
    assert head.case.years == 44


def write_image(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Drawing:
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((1.65, 1.5, 5.0)[: pixels.ndim])
    sitk.WriteImage(image, str(path))
    if pixels.ndim == 2:
        return Drawing(pictures={Level.GANGLIONIC: path})
    return Drawing(volume=path)


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((150, 132), 21, "no region"),
        ((132, 150), 1, "must lie on their pixels"),
        ((32, 150, 131), 1, "must lie on their pixels"),
        ((31, 150, 132), 1, "31 slices, the images 32"),
        ((150, 132), 5, "11-20"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], value: int, message: str, tmp_path: Path
) -> None:
    pixels = np.zeros(shape, dtype=np.uint8)
    pixels[..., 40:60, 40:60] = value
    drawing = write_image(tmp_path / "x.nii.gz", pixels)
    with pytest.raises(CaseError, match=message):
        read_drawing(drawing, series(), "anna", LEVELS)


def test_a_flat_file_needs_a_slice(tmp_path: Path) -> None:
    drawing = write_image(tmp_path / "x.nii.gz", np.zeros((150, 132), dtype=np.uint8))
    with pytest.raises(CaseError, match=r"levels\.csv does not say"):
        read_drawing(drawing, series(), "anna", {})


def test_broken_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "x.nii.gz"
    broken.write_bytes(b"not an image")
    for drawing in (
        Drawing(volume=broken),
        Drawing(pictures={Level.GANGLIONIC: broken}),
        Drawing(segmentation=broken),
    ):
        with pytest.raises(CaseError, match="cannot be read"):
            read_drawing(drawing, series(), "anna", LEVELS)


def test_the_segmentation_of_other_images_is_refused(tmp_path: Path) -> None:
    one = ct_series()
    seg = build_seg(one, region_map(one), made_by(), new_uid=NEW_UID, now=NOW)
    seg.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    drawing = Drawing(segmentation=tmp_path / "x.dcm")
    with pytest.raises(CaseError, match="61 x 53 pixels"):
        read_drawing(drawing, series(), "anna", {})
    elsewhere = ct_series(heights=tuple(500.0 + 5 * index for index in range(12)))
    with pytest.raises(CaseError, match="on no slice"):
        read_drawing(drawing, elsewhere, "anna", {})
