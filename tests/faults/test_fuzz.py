"""Damaged files: a few here, many by ``python -m tests.faults.fuzz --examples N``."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.fuzz import bases, mutate, run_example, run_fuzz
from tests.node.series import write_series


def test_damaged_files_are_read_or_named(tmp_path: Path) -> None:
    findings = run_fuzz(tmp_path, 20, seed=1)
    assert findings.found == []
    assert len(findings.outcomes) > 1  # some were damaged, some could be read


def test_what_is_not_damaged_is_read(tmp_path: Path) -> None:
    outcomes = [run_example(series, tmp_path / "report") for series in bases(tmp_path)]
    assert set(outcomes) == {"read"}


def test_an_exception_is_found(tmp_path: Path) -> None:
    outcome = run_example([tmp_path / "absent"], tmp_path / "report")
    assert outcome.startswith("EXCEPTION")


def test_same_seed_same_damage(tmp_path: Path) -> None:
    _, files = write_series(tmp_path, "a", 1)
    content = files[0].read_bytes()
    assert mutate(content, random.Random(7)) == mutate(content, random.Random(7)) != content
