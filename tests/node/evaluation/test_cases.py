"""The table of a folder of cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.evaluation.cases import find_drawings, read_cases
from node.evaluation.errors import CaseError
from node.evaluation.heads import open_head
from pipeline.regions import Level
from tests.node.evaluation.cohort import write_volume


def folder(path: Path, table: str, *names: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "levels.csv").write_text(table, encoding="utf-8")
    for name in names:
        (path / name).touch()
    return path


def test_a_table_with_everything(tmp_path: Path) -> None:
    table = (
        "\ufeffpid,bgl,sgl,age,group,dr_x_bgl,dr_x_sgl,flags\n"
        "1,14,18,64.5,ischaemic,13,18,tilted\n"
        "1_b,,,,,,,\n"
    )
    names = ("1.nii.gz", "1_b.nii", "1_regions_dr_x.nii.gz", "1_b_seg.dcm", "1_b_notes.txt")
    first, second = read_cases(folder(tmp_path, table, *names))
    assert (first.name, first.years, first.group) == ("1", 64.5, "ischaemic")
    assert first.levels == {Level.GANGLIONIC: 14, Level.SUPRAGANGLIONIC: 18}
    assert first.read_levels["dr_x"][Level.GANGLIONIC] == 13
    assert list(first.drawings) == ["dr_x"]
    assert (second.levels, second.years, second.read_levels) == ({}, None, {})
    assert second.drawings["reader"].segmentation == tmp_path / "1_b_seg.dcm"


def test_names_with_odd_letters(tmp_path: Path) -> None:
    folder(tmp_path, "pid\na[1]*\n", "a[1]*.nii.gz", "a[1]*_ganglionic_b.nii.gz", "a1x_seg_c.dcm")
    (case,) = read_cases(tmp_path)
    assert list(case.drawings) == ["b"]
    assert find_drawings(tmp_path, "nobody") == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,bgl\n1,2\n", "no column pid"),
        ("pid,bgl,sgl\n", "holds no case"),
        ("pid,bgl,sgl\n1,2,3\n1,2,3\n", "two rows"),
        ("pid,bgl,sgl\n9,2,3\n", "neither 9.nii.gz nor a folder 9"),
        ("pid,bgl,sgl\n1,two,3\n", "must be two slice numbers"),
        ("pid,bgl,sgl\n1,2,\n", "must be two slice numbers"),
        ("pid,bgl,sgl,age\n1,2,3,old\n", "age is no number"),
    ],
)
def test_a_wrong_table_is_refused(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=message):
        read_cases(folder(tmp_path, table, "1.nii.gz"))


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"levels\.csv cannot be read"):
        read_cases(tmp_path)


def test_a_slice_that_is_not_there(tmp_path: Path) -> None:
    write_volume(tmp_path, "x")
    (case,) = read_cases(folder(tmp_path, "pid,bgl,sgl\nx,15,32\n"))
    with pytest.raises(CaseError, match="case x: supraganglionic slice 32 is not there"):
        open_head(case, None)
