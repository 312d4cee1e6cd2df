from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.cli import main
from pipeline.localizer.data import fold_of
from pipeline.localizer.infer import WEIGHTS
from pipeline.model_card import CARD

FEW = ("049", "052", "059")


@pytest.fixture
def few_heads(shared_data: Path, tmp_path: Path) -> Path:
    """Three real heads with their rows of levels.csv."""
    folder = tmp_path / "heads"
    folder.mkdir()
    for name in FEW:
        shutil.copy(shared_data / "ct-ich" / f"{name}.nii.gz", folder)
    with (shared_data / "ct-ich" / "levels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "levels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for row in rows if row["pid"] in FEW)
    return folder


def test_evaluate_ends_with_one_json_object(few_heads: Path) -> None:
    command = ["localizer", "evaluate", "--data", str(few_heads), "--acquired", "--threads", "1"]
    result = CliRunner().invoke(main, [*command, "--misses"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["heads"] == len(FEW)
    for level in ("BGL", "SGL"):
        assert report["acquired"][level]["within_one"] == 1
        assert report["reader A"][level]["heads"] == len(FEW)
    assert "IS-RDE" in result.stdout


def test_evaluate_refuses_weights_that_are_not_the_cards(few_heads: Path, tmp_path: Path) -> None:
    weights = Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))
    for path in weights.glob("*.safetensors"):
        path.write_bytes(path.read_bytes() + b"\0")
    command = ["localizer", "evaluate", "--data", str(few_heads), "--weights", str(weights)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert CARD in result.stderr


def test_train_leaves_a_fold_out_and_writes_weights(few_heads: Path, tmp_path: Path) -> None:
    fold = fold_of(FEW)["049"]
    command = ["localizer", "train", "--data", str(few_heads), "--out", str(tmp_path / "out")]
    options = ["--epochs", "1", "--fold", str(fold), "--seed", "7", "--threads", "1"]
    result = CliRunner().invoke(main, [*command, *options])
    assert result.exit_code == 0, result.output
    assert f"resnet10-{fold}-s7: 2 heads, 1 epochs" in result.output
    assert (tmp_path / "out" / f"resnet10-{fold}-s7.safetensors").stat().st_size < 4 * 2**20
