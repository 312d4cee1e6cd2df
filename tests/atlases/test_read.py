"""Reading the real atlas: orientation, sides, strays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from atlases.errors import AtlasAlteredError, AtlasMissingError, UnknownAtlasError
from atlases.install import install
from atlases.lateralise import lateralise, midline_column
from atlases.nifti import read_in_view
from atlases.read import load_atlas_set
from pipeline.arrays import LabelArray
from pipeline.atlas import AgeGroup, AtlasSet
from pipeline.regions import LEFT_OFFSET, Level, Side, at_level

EVERY = [(group, level) for group in AgeGroup for level in Level]


@pytest.fixture(scope="module")
def atlas_set(real: Path) -> AtlasSet:
    return load_atlas_set(real)


def _area(labels: LabelArray, number: int) -> int:
    return int((labels == number).sum())


def test_set_is_complete(atlas_set: AtlasSet) -> None:
    assert (atlas_set.name, atlas_set.version, atlas_set.licence) == (
        "aspects-281",
        "52144cb",
        "MIT",
    )
    assert "Sun et al." in atlas_set.citation
    assert set(atlas_set.atlases) == set(EVERY)
    assert atlas_set.groups == tuple(AgeGroup)
    assert len({atlas.sha256 for atlas in atlas_set.atlases.values()}) == len(EVERY)


@pytest.mark.parametrize(("group", "level"), EVERY)
def test_template(atlas_set: AtlasSet, group: AgeGroup, level: Level) -> None:
    atlas = atlas_set.get(group, level)
    assert (atlas.age_group, atlas.level) == (group, level)
    assert atlas.template.dtype == np.float32
    assert atlas.labels.dtype == np.uint8
    assert atlas.template.shape == atlas.labels.shape
    assert atlas.spacing_mm == (0.5, 0.5)
    assert not atlas.template[[0, -1]].any()
    assert 25 < atlas.template[atlas.labels > 0].mean() < 40


@pytest.mark.parametrize(("group", "level"), EVERY)
def test_each_region_lies_on_both_sides(atlas_set: AtlasSet, group: AgeGroup, level: Level) -> None:
    labels = atlas_set.get(group, level).labels
    # a second way to the midline: the middle of the brain's outline
    columns = np.flatnonzero((atlas_set.get(group, level).template > 0).any(axis=0))
    middle = (columns[0] + columns[-1]) / 2

    assert set(np.unique(labels)) == {0, *(item.number for item in at_level(level))}
    for item in at_level(level):
        on = np.nonzero(labels == item.number)[1]
        assert (on < middle).all() if item.side is Side.RIGHT else (on > middle).all(), item.name
        if item.side is Side.RIGHT:
            right, left = _area(labels, item.number), _area(labels, item.number + LEFT_OFFSET)
            assert 0.8 < right / left < 1.25, item.name


@pytest.mark.parametrize("group", AgeGroup)
def test_anterior_is_above_posterior(atlas_set: AtlasSet, group: AgeGroup) -> None:
    for level, front_to_back in (
        (Level.GANGLIONIC, (5, 6, 7)),
        (Level.SUPRAGANGLIONIC, (8, 9, 10)),
    ):
        labels = atlas_set.get(group, level).labels
        for offset in (0, LEFT_OFFSET):
            rows = [np.nonzero(labels == number + offset)[0].mean() for number in front_to_back]
            assert rows == sorted(rows)


@pytest.mark.parametrize(("group", "level"), EVERY)
def test_strays_are_gone_and_nothing_else(
    atlas_set: AtlasSet, real: Path, group: AgeGroup, level: Level
) -> None:
    word = "subcortical" if level is Level.GANGLIONIC else "cortical"
    path = real / f"{word}_label_{group.replace('-', '_')}.nii.gz"
    drawn = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    labels = atlas_set.get(group, level).labels
    for item in at_level(level):
        region = SimpleITK.GetImageFromArray((labels == item.number).astype(np.uint8))
        components = SimpleITK.ConnectedComponentImageFilter()
        components.Execute(region)
        assert components.GetObjectCount() == 1, item.name

    unsided = np.where(labels > LEFT_OFFSET, labels - LEFT_OFFSET, labels)
    assert (unsided == drawn)[labels > 0].all()
    assert ((drawn > 0) & (labels == 0)).sum() <= 10


def test_the_public_files_do_have_strays(atlas_set: AtlasSet, real: Path) -> None:
    drawn = SimpleITK.GetArrayFromImage(
        SimpleITK.ReadImage(str(real / "cortical_label_70_89.nii.gz"))
    )
    labels = atlas_set.get(AgeGroup.AGE_70_89, Level.SUPRAGANGLIONIC).labels
    assert ((drawn > 0) & (labels == 0)).any()


def test_midline_is_the_brains_not_the_images() -> None:
    template = np.zeros((40, 60), dtype=np.float32)
    template[10:30, 20:51] = 30
    template[15:20, 35] = 5
    assert midline_column(template) == 35.0


def test_lateralise_keeps_large_parts_and_drops_strays() -> None:
    labels = np.zeros((20, 41), dtype=np.uint8)
    labels[2:12, 2:12] = 4  # right, 100 pixels
    labels[14:16, 2:5] = 4  # right, 6: a part of its own
    labels[18, 2:6] = 4  # right, 4: a stray
    labels[2:12, 30:40] = 4  # left
    labels[14, 21] = 4  # left of the midline, by a pixel: a stray
    lateral = lateralise(labels, 20.0)
    assert _area(lateral, 4) == 106
    assert _area(lateral, 14) == 100
    assert not lateral[18].any()
    assert not lateral[14, 21]


@pytest.mark.parametrize(
    ("flip_columns", "flip_rows", "transpose"),
    [(True, False, False), (False, True, False), (True, True, False), (False, False, True)],
)
def test_orientation_is_read_from_the_header(
    tmp_path: Path, *, flip_columns: bool, flip_rows: bool, transpose: bool
) -> None:
    # not square in pixels or spacing, so that a swap shows
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    stored, spacing = pixels, (0.4, 0.5)
    right_left, front_back = (-1.0 if flip_columns else 1.0), (-1.0 if flip_rows else 1.0)
    direction = np.diag([right_left, front_back])
    stored = stored[:: int(front_back), :: int(right_left)]
    if transpose:
        stored, spacing, direction = stored.T, spacing[::-1], direction[:, ::-1]
    image = SimpleITK.GetImageFromArray(stored)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    SimpleITK.WriteImage(image, str(tmp_path / "slice.nii.gz"))

    read, spacing_mm = read_in_view(tmp_path / "slice.nii.gz")
    assert read.tolist() == pixels.tolist()
    assert spacing_mm == pytest.approx((0.5, 0.4))


def test_altered_file_is_not_read(copy: Path) -> None:
    path = copy / "cortical_image_50_69.nii.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(AtlasAlteredError, match=path.name):
        load_atlas_set(copy)


def test_missing_file_is_named(copy: Path) -> None:
    (copy / "cortical_image_50_69.nii.gz").unlink()
    with pytest.raises(AtlasMissingError, match=r"cortical_image_50_69\.nii\.gz"):
        load_atlas_set(copy)


def test_installed_set_is_known_by_its_manifest(real: Path, tmp_path: Path) -> None:
    folder = install("aspects-281", tmp_path, source=real)
    renamed = tmp_path / "any-name"
    shutil.move(folder, renamed)
    assert load_atlas_set(renamed).name == "aspects-281"

    (renamed / "manifest.json").write_text(json.dumps({"name": "other"}))
    with pytest.raises(UnknownAtlasError, match="'other'"):
        load_atlas_set(renamed)
    (renamed / "manifest.json").write_text("{")
    with pytest.raises(AtlasAlteredError, match=r"manifest\.json"):
        load_atlas_set(renamed)
