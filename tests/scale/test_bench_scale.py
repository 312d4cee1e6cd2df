"""``aspects-node bench scale``, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.cli import main


@pytest.mark.parametrize("is_shared", [False, True])
def test_engine_is_measured(
    is_shared: bool, database: str, atlas_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "atlases").mkdir()
    (tmp_path / "atlases" / atlas_folder.name).symlink_to(atlas_folder)
    sizes = ["--queued", "3"]
    shared = ["--database", database] if is_shared else []
    answer = CliRunner().invoke(
        main,
        ["bench", "scale", "--data", str(tmp_path), *sizes, *shared,
         "--runs", "5", "--rounds", "1", "--series", "0"],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["database"] == ("PostgreSQL" if is_shared else "SQLite")
    assert set(found["engine"]) == {item for item in sizes if item != "--queued"}
    assert all(item["series_s"] > 0 for item in found["engine"].values())
