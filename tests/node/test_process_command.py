"""The command on folders of every kind: exit status, result.json, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from node.cli import main
from tests.pipeline.heads import NEW_UID, body, datasets, phantom, save, stack, without
from tests.pipeline.test_volume import copies

Make = Callable[[], list[Dataset]]


@pytest.fixture
def data(tmp_path: Path, atlas_folder: Path) -> Path:
    """A data folder with the atlas installed."""
    folder = tmp_path / "data" / "atlases"
    folder.mkdir(parents=True)
    (folder / "aspects-281").symlink_to(atlas_folder, target_is_directory=True)
    return folder.parent


def process(folder: Path, out: Path, data: Path, *more: str) -> Result:
    arguments = ["process", str(folder), "--out", str(out), "--data", str(data), *more]
    result = CliRunner().invoke(main, arguments)
    # whatever went wrong, nobody is shown a traceback
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(result: Result, out: Path) -> str:
    """Check a rejection and return its code."""
    assert result.exit_code == 3
    found = json.loads((out / "result.json").read_text())
    assert found["status"] == "rejected"
    assert found["reason"]
    assert f"rejected ({found['code']})" in result.stderr
    assert "PLANTED" not in result.output + result.stderr
    assert not (out / "seg.dcm").exists()
    return str(found["code"])


def _changed(**values: object) -> Make:
    def make() -> list[Dataset]:
        images = stack()
        for ds in images:
            for keyword, value in values.items():
                setattr(ds, keyword, value)
        return images

    return make


def _contrast() -> list[Dataset]:
    images = datasets()
    for ds in images:
        ds.ContrastBolusAgent = "Iomeprol"
    return images


def _two_series() -> list[Dataset]:
    other = stack(12, SeriesInstanceUID="1.2.3")
    for index, ds in enumerate(other):
        ds.SOPInstanceUID = NEW_UID("other", str(index))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return stack() + other


def _hole() -> list[Dataset]:
    index = phantom().levels["ganglionic"]  # type: ignore[index]  # a StrEnum is its string
    images = datasets()
    return images[: index - 1] + images[index + 2 :]


def _truncated() -> list[Dataset]:
    images = datasets()
    images[12].PixelData = images[12].PixelData[:1000]
    return images


BAD: dict[str, tuple[set[str], Make]] = {
    "empty folder": ({"empty-series"}, list),
    "MR": ({"unsupported-sop-class"}, _changed(SOPClassUID=MRImageStorage, Modality="MR")),
    "DWI": (
        {"unsupported-sop-class"},
        _changed(
            SOPClassUID=MRImageStorage,
            Modality="MR",
            ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION"],
        ),
    ),
    "scout": ({"not-axial"}, _changed(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    "secondary captures": (
        {"unsupported-sop-class"},
        _changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    ),
    "four slices": ({"incomplete-series"}, lambda: datasets()[14:18]),
    "chest": ({"not-a-head"}, lambda: body("chest")),
    "belly": ({"not-a-head"}, lambda: body("belly")),
    "water": ({"not-a-head"}, lambda: body("water")),
    "lower half": ({"coverage", "incomplete-series"}, lambda: datasets()[:15]),
    "slices lost across a level": ({"incomplete-series", "coverage"}, _hole),
    "two series": ({"inconsistent-series"}, _two_series),
    "no position": ({"geometry"}, lambda: without(stack(), "ImagePositionPatient")),
    "pixel data cut": ({"pixel-data"}, _truncated),
    "contrast": ({"contrast"}, _contrast),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_code(case: str, tmp_path: Path, data: Path) -> None:
    codes, make = BAD[case]
    save(make(), tmp_path / "in")
    assert refused(process(tmp_path / "in", tmp_path / "out", data), tmp_path / "out") in codes


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("ct-phantom-philips/S1000", "not-axial"),
        ("ct-phantom-philips/S2010", "not-a-head"),
        ("ct-phantom-philips/S4010", "unsupported-sop-class"),
        ("ct-phantom-philips", "inconsistent-series"),
        ("dicom-fixtures/pydicom_charsets", "inconsistent-series"),
        ("dicom-fixtures/wg04_ct2_head_all_syntaxes", None),
        ("dicom-fixtures/cornerstone_ct_all_syntaxes", None),
        ("dicom-fixtures/dcmqi_legacy_enhanced_ct_tiny/23x38x3/multiframe", None),
        ("dicom-fixtures/dcmqi_legacy_enhanced_ct_tiny/23x38x3/image", "incomplete-series"),
        ("dicom-fixtures/dicom2nifti_failing_gantrytilting", None),
        ("dicom-fixtures/dicom2nifti_failing_notavolume", None),
        ("dicom-fixtures/dicom2nifti_failing_sliceincrement", None),
        ("ct-ich", "empty-series"),
    ],
)
def test_real_folders_are_refused(
    folder: str, code: str | None, tmp_path: Path, data: Path, shared_data: Path
) -> None:
    found = refused(process(shared_data / folder, tmp_path, data), tmp_path)
    assert code in {None, found}


def test_a_real_chest_slice_many_times_is_no_head(
    tmp_path: Path, data: Path, shared_data: Path
) -> None:
    one = dcmread(shared_data / "dicom-fixtures/cornerstone_ct_all_syntaxes/CTImage.dcm")
    save(copies(one).datasets, tmp_path / "in")
    out = tmp_path / "out"
    assert refused(process(tmp_path / "in", out, data), out) == "not-a-head"


def test_a_head_is_done_twice_with_the_same_bytes(tmp_path: Path, data: Path) -> None:
    save(datasets(), tmp_path / "in")
    # the second run finds the first one's results inside its input
    out = tmp_path / "in" / "results"
    when = ("--content-time", "2025-01-02T03:04:05", "--levels", "15,19", "--age", "60")
    made = []
    for _ in range(2):
        result = process(tmp_path / "in", out, data, *when)
        assert result.exit_code == 0, result.stderr
        made.append([(out / name).read_bytes() for name in ("seg.dcm", "sr.dcm", "levels.png")])
    assert made[0] == made[1]
    found = json.loads((out / "result.json").read_text())
    assert found["levels"]["method"] == "person"
    assert found["levels"]["ganglionic"]["index"] == 15


MORE = ("--all-slices", "--asymmetry-flags")


@pytest.mark.timeout(240)
def test_methods_are_chosen_and_recorded(tmp_path: Path, data: Path) -> None:
    save(datasets(), tmp_path / "in")
    fixed = ("--levels", "15,19", "--age", "60")
    recorded, uids = [], set()
    for how in ((), ("--registration", "affine"), ("--brain", "paper", *MORE)):
        out = tmp_path / "-".join(("out", *how))
        assert process(tmp_path / "in", out, data, *fixed, *how).exit_code == 0
        found = json.loads((out / "result.json").read_text())
        names = {item["name"] for item in found["provenance"]["algorithms"]}
        assert "alignment network" in names
        content = (out / "sr.dcm").read_bytes()
        assert all(f"Algorithm {name}".encode() in content for name in names)
        recorded.append(names - {"alignment network"})
        uids.add(dcmread(out / "sr.dcm").SOPInstanceUID)
    assert recorded == [
        {"brain within the skull", "greedy"},
        {"brain within the skull", "affine correlation"},
        {
            "brain as in the paper",
            "regions on neighbouring slices",
            "side difference for review",
            "greedy",
        },
    ]
    assert found["neighbours"]
    assert all("for_review" in region for region in found["regions"])
    assert len(uids) == len(recorded)


def test_a_single_file_is_too_few_slices(tmp_path: Path, data: Path) -> None:
    (path,) = save(stack(1), tmp_path / "in")
    out = tmp_path / "out"
    assert refused(process(path, out, data), out) == "incomplete-series"


def test_levels_outside_the_series_are_refused(tmp_path: Path, data: Path) -> None:
    save(datasets(), tmp_path / "in")
    out = tmp_path / "out"
    result = process(tmp_path / "in", out, data, "--levels", "15,99")
    assert result.exit_code == 2
    assert "rejected (levels)" in result.stderr
    assert json.loads((out / "result.json").read_text())["code"] == "levels"
    assert refused(process(tmp_path / "in", out, data, "--levels", "0,31"), out) == "coverage"


@pytest.mark.parametrize(
    "more",
    [
        ("--levels", "19,15"),
        ("--levels", "15"),
        ("--levels", "a,b"),
        ("--levels", "1,2,3"),
        ("--levels", "-1,3"),
        ("--registration", "syn"),
        ("--brain", "all"),
        ("--age", "-3"),
        ("--age", "old"),
        ("--content-time", "noon"),
        ("--atlas", "no-such-atlas"),
        ("--no-such-option",),
    ],
)
def test_wrong_use_is_2(more: tuple[str, ...], tmp_path: Path, data: Path) -> None:
    save(stack(1), tmp_path / "in")
    assert process(tmp_path / "in", tmp_path / "out", data, *more).exit_code == 2


def test_no_folder_is_2(tmp_path: Path, data: Path) -> None:
    assert process(tmp_path / "nowhere", tmp_path / "out", data).exit_code == 2


def test_out_that_cannot_be_made_is_2(tmp_path: Path, data: Path) -> None:
    save(stack(1), tmp_path / "in")
    (tmp_path / "file").write_text("here")
    assert process(tmp_path / "in", tmp_path / "file" / "out", data).exit_code == 2


def test_no_atlas_is_2_and_says_what_to_run(tmp_path: Path) -> None:
    save(stack(1), tmp_path / "in")
    named = ("--atlas", "aspects-281")
    result = process(tmp_path / "in", tmp_path / "out", tmp_path / "nothing", *named)
    assert result.exit_code == 2
    assert "atlas install aspects-281" in result.stderr


def test_without_a_name_and_an_installed_atlas_the_embedded_one_is_taken(tmp_path: Path) -> None:
    save(stack(1), tmp_path / "in")
    # too short to be a head; that is said by the pipeline, which had an atlas
    assert refused(
        process(tmp_path / "in", tmp_path / "out", tmp_path / "nothing"), tmp_path / "out"
    )


@pytest.mark.parametrize("change", ["altered", "missing"])
def test_a_spoilt_atlas_is_2(change: str, tmp_path: Path, atlas_folder: Path) -> None:
    save(stack(1), tmp_path / "in")
    folder = tmp_path / "data" / "atlases" / "aspects-281"
    shutil.copytree(atlas_folder, folder)
    victim = next(folder.glob("subcortical_image_50*"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    if change == "missing":
        victim.unlink()
    result = process(tmp_path / "in", tmp_path / "out", tmp_path / "data")
    assert result.exit_code == 2
    assert "aspects-281" in result.stderr
    assert not (tmp_path / "out" / "seg.dcm").exists()
