"""``aspects-node evaluate`` on simulated cases gives the error back that was put in."""

from __future__ import annotations

import csv
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from atlases.install import install
from node.cli import main
from node.compute import Job, compute
from pipeline.regions import Level, Region
from tests.node.evaluation.cohort import (
    in_view,
    shifted,
    spacing_in_view,
    true_row,
    write_dicom,
    write_planes,
    write_table,
    write_volume,
)
from tests.pipeline.heads import dice, phantom, save, series, stack

pytestmark = pytest.mark.timeout(300)

CASES = [f"case {number}" for number in range(6)]
ROWS_OFF, COLUMNS_OFF = 2, 3
BEN_MM = ROWS_OFF * 1.5
METHOD_MM = COLUMNS_OFF * 1.65
METHOD = "predictions"


def evaluate(*arguments: str | int | Path) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return content


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six heads; anna has the truth, ben draws 3 mm off, the method 5 mm and other slices.

    The method is one ganglionic slice too high in every other case, one
    supraganglionic slice too low in all; it lacks left M3 in the first case and
    the last case altogether.
    """
    folder = tmp_path_factory.mktemp("cohort")
    truth, spacing = in_view(), spacing_in_view(series())
    write_table(
        folder,
        [
            true_row(name, phantom(), age=61, group=("odd", "even")[number % 2])
            for number, name in enumerate(CASES)
        ],
    )
    write_volume(folder, CASES[0])
    predicted = []
    for number, name in enumerate(CASES):
        if number:
            (folder / f"{name}.nii.gz").hardlink_to(folder / f"{CASES[0]}.nii.gz")
        write_planes(folder, name, "anna", truth, spacing)
        write_planes(folder, name, "ben", shifted(truth, ROWS_OFF, 0), spacing)
        drawn = shifted(truth, 0, COLUMNS_OFF)
        if number == 0:
            ganglionic = drawn[Level.GANGLIONIC]
            drawn[Level.GANGLIONIC] = np.where(ganglionic == 17, 0, ganglionic).astype(np.uint8)
        if name != CASES[-1]:
            write_planes(folder / "predictions", name, "", drawn, spacing)
        levels = phantom().levels
        predicted.append(
            {
                "pid": name,
                "bgl": levels[Level.GANGLIONIC] + number % 2,
                "sgl": levels[Level.SUPRAGANGLIONIC] - 1,
            }
        )
    write_table(folder / "predictions", predicted)
    return folder


@pytest.fixture(scope="module")
def out(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    told(
        evaluate(cohort, "--predictions", cohort / "predictions", "--out", folder, "--pictures", 2)
    )
    return folder


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "report.json").read_text())
    return content


def region_row(report: dict[str, Any], region: str, side: str | None = None) -> dict[str, Any]:
    (found,) = (
        row
        for row in report["regions"]
        if (row["reader"], row["region"], row["side"]) == (METHOD, region, side)
    )
    return dict(found)


@pytest.mark.parametrize("side", [None, "R", "L"])
@pytest.mark.parametrize("region", list(Region))
def test_a_shift_of_every_region_is_given_back(
    region: str, side: str | None, report: dict[str, Any]
) -> None:
    metrics = region_row(report, region, side)["metrics"]
    if region == Region.M3 and side is None:
        return  # one side of it is missed in one case
    assert metrics["centroid_mm"]["mean"] == pytest.approx(METHOD_MM, abs=1e-4)
    assert metrics["centroid_mm"]["sd"] == pytest.approx(0, abs=1e-4)
    assert metrics["area_ratio"]["n"] == 5
    # the contours are nowhere farther apart than the shift
    assert 0.5 < metrics["msd_mm"]["mean"] < metrics["hd95_mm"]["mean"] <= METHOD_MM + 1e-4


def test_dice_is_that_of_the_shifted_regions(report: dict[str, Any]) -> None:
    truth = in_view()[Level.SUPRAGANGLIONIC]
    for side, number in (("R", 9), ("L", 19)):
        expected = dice(np.roll(truth, COLUMNS_OFF, 1), truth, number)
        found = region_row(report, "M5", side)["metrics"]["dsc"]
        assert found["mean"] == pytest.approx(expected, abs=1e-6)
        assert found["n"] == 5


def test_a_region_that_is_missed_counts_nothing(report: dict[str, Any]) -> None:
    row = region_row(report, "M3", "L")
    assert row["missed"] == 1
    assert row["metrics"]["dsc"]["least"] == 0
    assert row["metrics"]["dsc"]["n"] == 5
    assert row["metrics"]["centroid_mm"]["n"] == 4


def test_levels_that_were_moved_are_given_back(report: dict[str, Any]) -> None:
    found = {
        row["level"]: (row["summary"], row["is_rde_interval"])
        for row in report["levels"]
        if row["reader"] == METHOD
    }
    low, interval = found["ganglionic"]
    assert low["heads"] == 5
    assert low["exact"] == pytest.approx(3 / 5)
    assert low["is_rde_mm"] == pytest.approx(2 / 5 * 5)
    assert low["signed_mm"] == pytest.approx(2)
    assert interval[0] < 2 < interval[1]
    high, interval = found["supraganglionic"]
    assert (high["exact"], high["within_one"]) == (0, 1)
    assert high["is_rde_mm"] == pytest.approx(5)
    assert high["signed_mm"] == pytest.approx(-5)
    assert interval == pytest.approx([5, 5])


def test_readers_are_compared_with_each_other(out: Path, report: dict[str, Any]) -> None:
    assert [row["name"] for row in report["agreement"]] == [
        f"{METHOD} – anna",
        f"{METHOD} – ben",
        "anna – ben",
        f"{METHOD} – mean of the readers",
        "reader – reader, mean",
    ]
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {
        (METHOD, "anna"): METHOD_MM,
        (METHOD, "ben"): math.hypot(METHOD_MM, BEN_MM),
        ("ben", "anna"): BEN_MM,
    }
    for (reader, against), shift_mm in expected.items():
        own = [row for row in rows if (row["reader"], row["against"]) == (reader, against)]
        assert len(own) == 30 * (6 if reader == "ben" else 5)
        apart = [float(row["centroid_mm"]) for row in own if row["region"] == "M4"]
        assert apart == pytest.approx([shift_mm] * len(apart), abs=1e-4)
    assert {row["slice_offset"] for row in rows if row["reader"] == "ben"} == {"0"}
    assert len({row["slice_offset"] for row in rows if row["reader"] == METHOD}) == 3


def test_the_paired_tests_prefer_the_better_reader(report: dict[str, Any]) -> None:
    """Ben is nearer to anna than the method, in every case and region alike."""
    against_ben = next(item for item in report["tests"] if item["second"] == "the other readers")
    test = against_ben["tests"]["C"]
    assert test["n"] == 5
    assert test["difference"] < 0
    assert test["p_wilcoxon"] == pytest.approx(2 / 2**5)
    assert test["holm_wilcoxon"] == pytest.approx(10 * 2 / 2**5)


def test_groups_and_rejections_are_counted(report: dict[str, Any]) -> None:
    assert report["refused"] == {METHOD: {"no-prediction": 1}}
    groups = {
        row["group"]: (row["cases"], row["refused"], row["dsc"]["n"]) for row in report["groups"]
    }
    assert groups == {"odd": (3, 0, 3), "even": (3, 1, 2)}  # fmt: skip


def test_the_report_holds_everything_and_asks_for_nothing(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^:"]*:)', page)) == {"data:"}
    assert "<script" not in page
    assert page.count("data:image/png") == 2
    assert page.count("data:image/svg+xml") == 3
    for words in ("no-prediction", "against anna", "Every reader", "Wilcoxon", "IS-RDE"):
        assert words in page


def test_another_reference_turns_the_table_and_the_same_gives_the_same(
    cohort: Path, tmp_path: Path
) -> None:
    cases = tmp_path / "cases"
    write_table(cases, [true_row(name, phantom()) for name in CASES[:2]])
    for path in cohort.glob("case [01]*"):
        (cases / path.name).hardlink_to(path)
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        content = told(
            evaluate(
                cases,
                *("--predictions", cohort / "predictions"),
                *("--out", folder, "--reference", "ben", "--pictures", 1),
            )
        )
        written.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert content["reference"] == "ben"
    found = region_row(content, "M4", "R")["metrics"]["centroid_mm"]["mean"]
    assert found == pytest.approx(math.hypot(METHOD_MM, BEN_MM), abs=1e-4)
    assert len(written[0]) == 5
    assert written[0] == written[1]


@pytest.fixture(scope="module")
def mapped(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, Any]]:
    """A head and a stack of noise, mapped by the method itself."""
    folder = tmp_path_factory.mktemp("mapped")
    cases = folder / "cases"
    write_dicom(cases, "head")
    write_planes(cases, "head", "", in_view(), spacing_in_view(series()))
    save(stack(), cases / "noise")
    write_table(cases, [true_row("head", phantom()), {"pid": "noise", "bgl": 3, "sgl": 7}])
    install("aspects-281", folder / "data", source=shared_data / "aspects-281")
    content = told(evaluate(cases, "--out", folder / "out", "--data", folder / "data", "--by-age"))
    return folder, cases, content


def test_the_method_maps_the_cases_itself(mapped: tuple[Path, Path, dict[str, Any]]) -> None:
    _, _, content = mapped
    given, found = content["methods"]
    assert {name: sum(codes.values()) for name, codes in content["refused"].items()} == {
        given: 1,
        found: 1,
    }
    means = {
        row["reader"]: row["metrics"]["dsc"]["mean"]
        for row in content["regions"]
        if row["region"] == "all" and row["side"] is None
    }
    assert means[given] > 0.6
    assert {row["atlas"] for row in content["ages"]} == {"10-29", "30-49", "50-69", "70-89"}
    same = next(row for row in content["ages"] if row["atlas"] == "50-69")
    assert same["cases"] == "50-69"
    assert same["dsc"]["all"]["mean"] > 0.6
    # each with its own atlas, even where another would fit better
    assert len({row["dsc"]["M2"]["mean"] for row in content["ages"]}) == 4
    assert len({row["dsc"]["M5"]["mean"] for row in content["ages"]}) == 4


def test_maps_that_were_kept_give_the_same_numbers(
    mapped: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, cases, content = mapped
    name = content["methods"][1]
    again = told(
        evaluate(cases, "--predictions", folder / "out" / "maps" / "found", "--out", tmp_path)
    )
    assert rows_of(again, METHOD) == rows_of(content, name)
    assert again["refused"] == {METHOD: {"no-prediction": 1}}


def rows_of(content: dict[str, Any], reader: str) -> list[dict[str, Any]]:
    regions = [row for row in content["regions"] if row["reader"] == reader]
    levels = [row for row in content["levels"] if row["reader"] == reader]
    return [{**row, "reader": ""} for row in (*regions, *levels)]


def test_what_process_wrote_gives_the_same_numbers(
    mapped: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, cases, content = mapped
    for case in ("head", "noise"):
        compute(
            Job(
                paths=tuple(sorted((cases / case).iterdir())),
                out=tmp_path / "results" / case,
                atlas_folder=folder / "data" / "atlases" / "aspects-281",
                now=datetime(2025, 1, 1, tzinfo=UTC),
                objects=("seg",),
            )
        )
    again = told(evaluate(cases, "--predictions", tmp_path / "results", "--out", tmp_path / "out"))
    assert rows_of(again, METHOD) == rows_of(content, content["methods"][1])
    assert again["refused"] == {METHOD: content["refused"][content["methods"][1]]}


def test_levels_alone_can_be_evaluated(cohort: Path, tmp_path: Path) -> None:
    """A table and heads, no regions: levels are compared, nothing else."""
    cases = tmp_path / "cases"
    cases.mkdir()
    write_table(cases, [true_row("x", phantom(), ben_bgl=15, ben_sgl=19)])
    (cases / "x.nii.gz").hardlink_to(cohort / f"{CASES[0]}.nii.gz")
    write_planes(tmp_path / "predictions", "x", "", in_view(), spacing_in_view(series()))
    write_table(tmp_path / "predictions", [true_row("x", phantom())])
    content = told(
        evaluate(cases, "--predictions", tmp_path / "predictions", "--out", tmp_path / "out")
    )
    assert content["reference"] is None
    assert (content["regions"], content["tests"], content["agreement"]) == ([], [], [])
    assert {row["reader"]: row["summary"]["exact"] for row in content["levels"]}[METHOD] == 1
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "nobody"], "no reader is called 'nobody'; there are: anna, ben"),
        (["--atlas", "unknown"], "no atlas set is called"),
    ],
)
def test_wrong_use_is_told(
    arguments: list[str], message: str, cohort: Path, tmp_path: Path
) -> None:
    result = evaluate(cohort, "--out", tmp_path, "--data", tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_drawing_that_does_not_fit_is_told_before_the_work(tmp_path: Path) -> None:
    write_dicom(tmp_path, "x")
    write_planes(tmp_path, "x", "anna", {Level.GANGLIONIC: np.zeros((9, 9), np.uint8)}, (1, 1))
    write_table(tmp_path, [true_row("x", phantom())])
    result = evaluate(tmp_path, "--predictions", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "case x: x_ganglionic_anna.nii.gz has 9 x 9 pixels" in result.stderr
    assert not (tmp_path / "out").exists()
