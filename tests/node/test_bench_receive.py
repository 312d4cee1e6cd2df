from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.peers import ENVIRONMENT, aspects_node, tool


@pytest.mark.timeout(240)
def test_last_line_has_a_rate_for_each_server(tmp_path: Path, atlas_folder: Path) -> None:
    if tool("storescu") is None:
        pytest.skip("not installed: dcmtk")
    (tmp_path / "atlases").mkdir()
    (tmp_path / "atlases" / "aspects-281").symlink_to(atlas_folder)
    done = subprocess.run(
        [aspects_node(), "bench", "receive", "--images", "3", "--senders", "2", "--rounds", "1",
         "--data", str(tmp_path)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report) == {
        "img_per_s", "rounds_img_per_s", "cpu_ms_per_image", "rss_mib", "response_ms"
    }  # fmt: skip
    assert {"node", "storescp"} <= set(report["img_per_s"])
    assert all(rate["2"] > 0 for rate in report["img_per_s"].values())
