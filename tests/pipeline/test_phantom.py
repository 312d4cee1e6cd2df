"""The synthetic head and its truth."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from pipeline.phantom import (
    Acquisition,
    Bleed,
    Lesion,
    Orientation,
    Phantom,
    PhantomSpec,
    Pose,
    SliceBlock,
    make_phantom,
    phantom_datasets,
)
from pipeline.phantom_regions import region_labels
from pipeline.phantom_shapes import Points
from pipeline.provenance import uid_factory
from pipeline.regions import REGION_SIDES, Level, Region, Side, at_level
from pipeline.series import load_series

WHEN = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
SMALL = Acquisition(rows=128, columns=112, pixel_spacing_mm=(2.0, 1.9))
TILTED_POSE = Pose(roll_deg=5, yaw_deg=-7, pitch_deg=6, shift_mm=(4, -3, 2), scale=0.96)
LEVELS = replace(SMALL, blocks=(SliceBlock(count=9),), first_z_mm=0.5)
QUIET = PhantomSpec(acquisition=SMALL, noise_sd_hu=0, sub_samples=2)
BRIEF = replace(QUIET, acquisition=LEVELS)


@cache
def _made(spec: PhantomSpec) -> Phantom:
    return make_phantom(spec)


def _datasets(phantom: Phantom, *, signed: bool = True) -> tuple[Dataset, ...]:
    return phantom_datasets(phantom, new_uid=uid_factory(), study_datetime=WHEN, signed=signed)


def _banal_positions(ds: Dataset) -> np.ndarray:
    """Patient position of each pixel, from the header alone: PS3.3, C.7.6.2.1.1."""
    origin = np.array(ds.ImagePositionPatient, float)
    iop = np.array(ds.ImageOrientationPatient, float)
    between_rows, between_columns = (float(value) for value in ds.PixelSpacing)
    rows, columns = np.mgrid[: ds.Rows, : ds.Columns]
    return np.stack(
        [
            origin[axis]
            + iop[axis] * between_columns * columns
            + iop[3 + axis] * between_rows * rows
            for axis in range(3)
        ],
        axis=-1,
    )


def _banal_head_frame(positions: np.ndarray, pose: Pose) -> Points:
    """Undo shift, yaw, roll and pitch one after the other, then the size."""
    x, y, z = (positions[..., axis] - pose.shift_mm[axis] for axis in range(3))
    y, z = y - 13, z - 8  # the head turns about the middle of the cavity
    yaw, roll, pitch = (np.deg2rad(v) for v in (pose.yaw_deg, pose.roll_deg, pose.pitch_deg))
    x, y = x * np.cos(yaw) + y * np.sin(yaw), -x * np.sin(yaw) + y * np.cos(yaw)
    x, z = x * np.cos(roll) - z * np.sin(roll), x * np.sin(roll) + z * np.cos(roll)
    y, z = y * np.cos(pitch) + z * np.sin(pitch), -y * np.sin(pitch) + z * np.cos(pitch)
    right, front, up = -x / pose.scale, -y / pose.scale - 13, z / pose.scale + 8
    return Points(x=right.astype("f4"), y=front.astype("f4"), z=up.astype("f4"))


def _hu_at(phantom: Phantom, right: float, front: float, up: float) -> float:
    """Mean of 3 x 3 pixels about a point of the straight head's frame."""
    datasets = _datasets(phantom)
    heights = [float(ds.ImagePositionPatient[2]) for ds in datasets]
    index = int(np.argmin(np.abs(np.array(heights) - up)))
    ds = datasets[index]
    column = round((-right - float(ds.ImagePositionPatient[0])) / float(ds.PixelSpacing[1]))
    row = round((-front - float(ds.ImagePositionPatient[1])) / float(ds.PixelSpacing[0]))
    return float(phantom.voxels[index, row - 1 : row + 2, column - 1 : column + 2].mean())


def test_same_spec_same_bytes() -> None:
    spec = replace(BRIEF, noise_sd_hu=3.0)
    first, second = (_datasets(make_phantom(spec)) for _ in range(2))
    assert [ds.PixelData for ds in first] == [ds.PixelData for ds in second]
    assert [ds.SOPInstanceUID for ds in first] == [ds.SOPInstanceUID for ds in second]


def test_other_seed_other_voxels_and_uids() -> None:
    spec = replace(BRIEF, noise_sd_hu=3.0)
    first, second = (_datasets(_made(replace(spec, seed=seed))) for seed in (0, 1))
    assert first[3].PixelData != second[3].PixelData
    assert first[3].SOPInstanceUID != second[3].SOPInstanceUID


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("orientation", Orientation)
def test_truth_lies_where_the_header_says(orientation: Orientation, level: Level) -> None:
    acquisition = replace(LEVELS, orientation=orientation, gantry_tilt_deg=12.0)
    phantom = _made(replace(BRIEF, acquisition=acquisition, pose=TILTED_POSE))
    index = phantom.stored_index(level)
    positions = _banal_positions(_datasets(phantom)[index])
    points = _banal_head_frame(positions.reshape(-1, 3), TILTED_POSE)
    expected = region_labels(points, level, phantom.spec.build).reshape(SMALL.rows, SMALL.columns)
    # single precision may move a point over an edge
    assert (phantom.labels[index] != expected).sum() <= 5
    assert set(np.unique(expected)) == {0} | {item.number for item in at_level(level)}


@pytest.mark.parametrize("orientation", Orientation)
def test_sides_are_the_patients(orientation: Orientation) -> None:
    phantom = _made(replace(BRIEF, acquisition=replace(LEVELS, orientation=orientation)))
    datasets = _datasets(phantom)
    for item in REGION_SIDES:
        index = phantom.stored_index(item.level)
        x = _banal_positions(datasets[index])[phantom.labels[index] == item.number][:, 0]
        # patient space runs to the left
        assert len(x) > 0
        assert (x < 0).all() if item.side is Side.RIGHT else (x > 0).all()


@pytest.mark.parametrize("orientation", Orientation)
def test_left_sylvian_fissure_is_wider_in_every_orientation(orientation: Orientation) -> None:
    phantom = _made(replace(BRIEF, acquisition=replace(LEVELS, orientation=orientation)))
    index = phantom.stored_index(Level.GANGLIONIC)
    at = _banal_positions(_datasets(phantom)[index])
    about = (np.abs(at[..., 1] + 8) < 20) & (np.abs(np.abs(at[..., 0]) - 42) < 9)
    dark = phantom.voxels[index] < 20
    left, right = (about & dark & (at[..., 0] * sign > 0) for sign in (1, -1))
    assert left.sum() > 1.3 * right.sum()


def test_labels_only_on_the_two_levels() -> None:
    phantom = _made(BRIEF)
    with_labels = set(np.flatnonzero(phantom.labels.any(axis=(1, 2))).tolist())
    assert with_labels == {phantom.stored_index(level) for level in Level}


def test_levels_count_from_below_and_lie_at_their_heights() -> None:
    upright = _made(BRIEF)
    reverse = _made(replace(BRIEF, acquisition=replace(LEVELS, orientation=Orientation.REVERSED)))
    assert upright.levels == reverse.levels
    for level, height in ((Level.GANGLIONIC, 10), (Level.SUPRAGANGLIONIC, 30)):
        assert abs(upright.grid.positions_mm[upright.levels[level], 2] - height) <= 2.5
        last = len(reverse.voxels) - 1
        assert reverse.stored_index(level) == last - reverse.levels[level]


@pytest.mark.parametrize(
    ("what", "point", "low", "high"),
    [
        ("air outside", (95, 100, 10), -1000, -990),
        ("centrum semiovale", (26, 5, 40), 25, 32),
        ("lentiform", (25, 0, 8), 33, 39),
        ("thalamus", (11, -17, 8), 32, 39),
        ("third ventricle", (0, -15, 4), 0, 24),
        ("cerebellum", (30, -66, -30), 28, 40),
        ("vitreous", (31, 66, -28), 0, 20),
        ("orbital fat", (27, 40, -32), -110, -40),
        ("frontal bone", (0, 60, 40), 300, 1500),
        ("ethmoid air", (8, 50, -42), -1000, -500),
        ("petrous bone", (35, -31, -33), 600, 1500),
    ],
)
def test_tissues_have_their_hounsfield_units(
    what: str, point: tuple[float, float, float], low: float, high: float
) -> None:
    value = _hu_at(_made(QUIET), *point)
    assert low <= value <= high, f"{what}: {value:.0f} HU"


def test_age_widens_the_csf_spaces() -> None:
    amounts = []
    for age in (30, 60, 85):
        phantom = _made(replace(BRIEF, age_years=age))
        index = phantom.stored_index(Level.SUPRAGANGLIONIC)
        at = _banal_positions(_datasets(phantom)[index])
        deep = (np.abs(at[..., 0]) < 30) & (np.abs(at[..., 0]) > 6) & (np.abs(at[..., 1] - 10) < 30)
        amounts.append(int((deep & (phantom.voxels[index] < 20)).sum()))
    assert amounts[0] < amounts[1] < amounts[2]
    assert amounts[2] > 2 * amounts[0]


def test_mixed_blocks_and_tilt_keep_the_table_step() -> None:
    blocks = (
        SliceBlock(count=4, thickness_mm=4, step_mm=4),
        SliceBlock(count=3, thickness_mm=7, step_mm=7),
    )
    acquisition = replace(SMALL, blocks=blocks, first_z_mm=0, gantry_tilt_deg=18.5)
    datasets = _datasets(_made(replace(BRIEF, acquisition=acquisition)))
    positions = np.array([ds.ImagePositionPatient for ds in datasets], float)
    assert np.diff(positions[:, 2]) == pytest.approx([4, 4, 4, 5.5, 7, 7])
    assert np.ptp(positions[:, :2], axis=0) == pytest.approx([0, 0])
    assert [float(ds.SliceThickness) for ds in datasets] == [4] * 4 + [7] * 3
    assert [float(ds.SliceLocation) for ds in datasets] == pytest.approx(
        [0, 4, 8, 12, 17.5, 24.5, 31.5]
    )
    tilt = np.deg2rad(18.5)
    iop = np.array(datasets[0].ImageOrientationPatient, float)
    assert iop == pytest.approx([1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)])


@pytest.mark.parametrize("orientation", Orientation)
def test_the_series_is_read_in_the_order_of_the_levels(orientation: Orientation) -> None:
    phantom = _made(replace(BRIEF, acquisition=replace(LEVELS, orientation=orientation)))
    datasets = _datasets(phantom)
    series = load_series(reversed(datasets))
    assert series.gaps == ()
    for level in Level:
        stored = datasets[phantom.stored_index(level)]
        assert series.sop_instance_uids[phantom.levels[level]] == stored.SOPInstanceUID


def test_a_lesion_darkens_its_region_and_no_other() -> None:
    lesions = (Lesion(region=Region.M2, side=Side.LEFT, delta_hu=-8),)
    healthy, ill = _made(BRIEF), _made(replace(BRIEF, lesions=lesions))
    index = healthy.stored_index(Level.GANGLIONIC)
    change = ill.voxels[index] - healthy.voxels[index]
    labels = healthy.labels[index]
    tissue = (healthy.voxels[index] > 26) & (healthy.voxels[index] < 40)
    means = {
        item.name: float(change[tissue & (labels == item.number)].mean())
        for item in at_level(Level.GANGLIONIC)
    }
    assert means["L M2"] == pytest.approx(-8, abs=1.5)
    assert all(abs(value) < 1 for name, value in means.items() if name != "L M2")


def test_a_bleed_is_bright_and_on_its_side() -> None:
    bleed = Bleed(centre_mm=(-24, -2, 10))
    plain, bled = _made(BRIEF), _made(replace(BRIEF, bleed=bleed))
    assert _hu_at(bled, -24, -2, 10) == pytest.approx(bleed.hu, abs=2)
    assert _hu_at(bled, 24, -2, 10) == pytest.approx(_hu_at(plain, 24, -2, 10), abs=0.1)


def test_contrast_shows_in_voxels_and_header() -> None:
    plain, enhanced = _made(BRIEF), _made(replace(BRIEF, contrast=True))
    assert enhanced.voxels[3].sum() > plain.voxels[3].sum()
    assert "ContrastBolusAgent" not in _datasets(plain)[0]
    assert _datasets(enhanced)[0].ContrastBolusAgent


@pytest.mark.parametrize("signed", [True, False])
def test_stored_values_give_back_the_hounsfield_units(signed: bool) -> None:
    phantom = _made(replace(BRIEF, padding=True))
    ds = _datasets(phantom, signed=signed)[3]
    stored = ds.pixel_array.astype(float)
    padding = stored == ds.PixelPaddingValue
    hu = stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    assert padding[0, 0]
    assert not padding[64, 56]
    assert np.abs(hu - phantom.voxels[3])[~padding].max() <= 0.5


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize(
    "spec",
    [
        BRIEF,
        replace(BRIEF, padding=True, contrast=True, patient_position="FFP", age_years=101),
        replace(
            QUIET,
            acquisition=replace(LEVELS, orientation=Orientation.OBLIQUE, gantry_tilt_deg=-18.5),
        ),
    ],
    ids=["plain", "padding", "oblique"],
)
@pytest.mark.parametrize("signed", [True, False])
def test_the_files_are_valid(tmp_path: Path, spec: PhantomSpec, signed: bool) -> None:
    path = tmp_path / "slice.dcm"
    _datasets(_made(spec), signed=signed)[3].save_as(path, enforce_file_format=True)
    assert dcmread(path).file_meta.MediaStorageSOPInstanceUID
    result = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in result.stdout + result.stderr
