"""``aspects-node atlas build`` on synthetic heads, as NIfTI and as DICOM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result
from PIL import Image

from atlases.construct.build import Order, build
from atlases.construct.cohort import read_cohort
from atlases.construct.recipe import Recipe
from atlases.errors import CohortError
from atlases.folders import find_atlas
from atlases.read import load_atlas_set
from node.cli import main
from pipeline.arrays import LabelArray
from pipeline.atlas import AgeGroup
from pipeline.phantom import Phantom
from pipeline.regions import LEFT_OFFSET, Level, at_level
from tests.pipeline.heads import datasets, phantom, save

pytestmark = pytest.mark.timeout(240)

QUICK = ("--iterations", "1", "--grid-mm", "1", "--jobs", "1")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["atlas", *map(str, arguments)])


def write_nifti(path: Path, voxels: np.ndarray, like: Phantom, mirrored: bool) -> None:
    array = voxels[:, :, ::-1] if mirrored else voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    row_mm, column_mm = like.grid.pixel_spacing_mm
    image.SetSpacing((column_mm, row_mm, 5.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head as NIfTI, its mirror image, and the head as DICOM; the last without regions."""
    folder = tmp_path_factory.mktemp("cohort")
    head = phantom()
    one_sided = np.where(head.labels > LEFT_OFFSET, head.labels - LEFT_OFFSET, head.labels)
    for name, mirrored in (("a", False), ("b", True)):
        write_nifti(folder / f"{name}.nii.gz", head.voxels, head, mirrored)
        write_nifti(folder / f"{name}_regions.nii.gz", one_sided.astype("u1"), head, mirrored)
    save(datasets(), folder / "c")
    levels = f"{head.levels[Level.GANGLIONIC]},{head.levels[Level.SUPRAGANGLIONIC]}"
    rows = [
        "pid,bgl,sgl,age,hemorrhage,fracture,flags",
        f"a,{levels},55,0,0,tilted",
        f"b,{levels},55,0,0,",
        f"c,{levels},,0,0,",
        f"d,{levels},55,1,0,",
        f"e,{levels},55,0,0,motion;tilted",
    ]
    (folder / "levels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def built(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "phantoms"
    result = invoke("build", cohort, "--out", out, "--licence", "MIT", *QUICK)
    assert result.exit_code == 0, result.output
    assert "3 subjects, 2 left out" in result.stdout
    return out


def test_a_built_set_is_read_like_a_published_one(built: Path) -> None:
    found = load_atlas_set(built)
    assert (found.name, found.licence, found.groups) == ("phantoms", "MIT", (AgeGroup.AGE_50_69,))
    for level in Level:
        atlas = found.get(AgeGroup.AGE_50_69, level)
        assert atlas.spacing_mm == (1.0, 1.0)
        assert set(np.unique(atlas.labels)) == {0, *(item.number for item in at_level(level))}
        assert 25 < atlas.template[atlas.labels > 0].mean() < 40
        assert (atlas.template % 1).any()  # HU are not rounded to whole numbers


def areas(labels: LabelArray, level: Level, pixel_mm2: float) -> np.ndarray:
    return np.array([(labels == item.number).sum() * pixel_mm2 for item in at_level(level)])


def test_the_regions_have_the_size_of_those_that_were_drawn(built: Path) -> None:
    head, found = phantom(), load_atlas_set(built)
    for level in Level:
        truth = areas(head.labels[head.stored_index(level)], level, 1.5 * 1.65)
        fused = areas(found.get(AgeGroup.AGE_50_69, level).labels, level, 1.0)
        assert fused == pytest.approx(truth, rel=0.15)


def test_the_manifest_says_how_and_of_whom(built: Path, cohort: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    made = manifest["construction"]
    assert [item["name"] for item in made["subjects"]] == ["a", "b", "c"]
    assert made["left_out"] == {"d": "hemorrhage", "e": "motion"}
    assert made["parameters"]["engine"]["name"] == "greedy"
    assert set(made["rounds"]) == {"50-69 ganglionic", "50-69 supraganglionic"}
    assert set(manifest["sha256"]) == {path.name for path in built.glob("*.nii.gz")}
    assert str(cohort) not in (built / "manifest.json").read_text()
    assert not (built / "work").exists()
    with Image.open(built / "deformation.png") as picture:
        assert picture.width > 500


def test_probabilities_are_shares_of_each_region(built: Path) -> None:
    path = built / "subcortical_probability_50_69.nii.gz"
    shares = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(built / "subcortical_label_50_69.nii.gz")))
    assert shares.shape == (7, *labels.shape)
    assert shares.max() == 100
    for number in range(1, 8):
        assert (shares[number - 1][labels == number] >= 33).mean() > 0.99


class StoppedError(Exception):
    """The power went."""


def test_stopped_it_goes_on_and_ends_with_the_same_bytes(
    built: Path, cohort: Path, tmp_path: Path
) -> None:
    order = Order(
        name="phantoms",
        licence="MIT",
        citation="not stated",
        cohort=read_cohort(cohort),
        recipe=Recipe(iterations=1, grid_mm=1.0),
        unknown_age=None,
        fit_to=None,
        drawings=None,
    )
    done: list[int] = []

    def stop_after_five() -> None:
        done.append(1)
        if len(done) == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        build(order, tmp_path, jobs=1, on_step=stop_after_five)
    assert not (tmp_path / "manifest.json").exists()
    prepared = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/*.npz")}
    assert len(prepared) == 3

    done.clear()
    build(order, tmp_path, jobs=2, on_step=lambda: done.append(1))
    assert len(done) == order.steps
    for path in (*built.glob("*.nii.gz"), built / "manifest.json"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_built_set_is_installed_verified_and_found(built: Path, tmp_path: Path) -> None:
    data = ("--data", tmp_path)
    assert invoke("install", "phantoms", "--from", built, *data).exit_code == 0
    assert find_atlas("phantoms", tmp_path) == tmp_path / "atlases" / "phantoms"
    assert invoke("verify", "phantoms", *data).exit_code == 0
    assert "phantoms" in invoke("list", *data).stdout
    (tmp_path / "atlases" / "phantoms" / "cortical_label_50_69.nii.gz").write_bytes(b"")
    refused = invoke("verify", "phantoms", *data)
    assert refused.exit_code == 2
    assert "atlas install phantoms" in refused.stderr
    assert "--from FOLDER" in refused.stderr


def test_a_set_agrees_with_itself(built: Path, cohort: Path) -> None:
    result = invoke("compare", built, built, cohort)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found["heads"]) == {"a", "b", "c"}
    assert {row["dice"] for row in found["regions"].values()} == {1.0}
    assert {row["lateral_mm"] for row in found["regions"].values()} == {0.0}


def test_who_is_left_out_can_be_chosen(cohort: Path) -> None:
    assert set(read_cohort(cohort, ["tilted"]).left_out) == {"a", "d", "e"}


def test_a_start_that_is_not_there_is_named(cohort: Path, tmp_path: Path) -> None:
    result = invoke("build", cohort, "--out", tmp_path, "--initial", "nobody", *QUICK)
    assert result.exit_code == 2
    assert "[cohort]" in result.stderr
    assert "subject nobody is not among" in result.stderr


def test_what_is_wrong_with_a_cohort_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"levels\.csv"):
        read_cohort(tmp_path)
    table = tmp_path / "levels.csv"
    table.write_text("pid,bgl,sgl\n1,2,3\n")
    with pytest.raises(CohortError, match=r"neither 1\.nii\.gz nor a folder 1"):
        read_cohort(tmp_path)
    (tmp_path / "1.nii.gz").write_bytes(b"no image")
    with pytest.raises(CohortError, match="--age-group"):
        read_cohort(tmp_path).groups(None)
    result = invoke("build", tmp_path, "--out", tmp_path / "out", "--age-group", "50-69", *QUICK)
    assert "no subject of 50-69 years has regions" in result.stderr
    (tmp_path / "1_regions.nii.gz").write_bytes(b"no image")
    result = invoke("build", tmp_path, "--out", tmp_path / "out", "--age-group", "50-69", *QUICK)
    assert "is no NIfTI image" in result.stderr
    table.write_text("pid,bgl,sgl\n1,two,3\n")
    with pytest.raises(CohortError, match="slice numbers"):
        read_cohort(tmp_path)
