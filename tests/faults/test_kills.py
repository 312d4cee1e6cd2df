from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import IMAGES, judge, run_kills
from tests.peers import tool


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost(tmp_path: Path, atlas_folder: Path) -> None:
    if tool("storescu") is None:
        pytest.skip("not installed: dcmtk")
    report = run_kills(tmp_path, 6, atlas_folder=atlas_folder, seed=1)
    assert report.is_clean, report
    assert report.kills >= 6
    assert report.acknowledged >= IMAGES


def test_judge_counts_what_is_missing(tmp_path: Path) -> None:
    report = judge(tmp_path, {"1.2": {"1.2.3", "1.2.4"}}, {"1.2.5": {"a", "b"}, "1.2.6": {"a"}}, 3)
    assert (report.lost, report.duplicate_uids, report.unfinished) == (2, 1, 0)
    assert not report.is_clean
