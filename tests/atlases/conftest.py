"""The real atlas files, and an environment in which only named sources exist."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import atlases.install
from atlases.catalog import CatalogEntry, catalog_entry

REAL = Path(__file__).resolve().parents[2] / "../shared/data/aspects-281"


@pytest.fixture(scope="session")
def entry() -> CatalogEntry:
    return catalog_entry("aspects-281")


@pytest.fixture(scope="session")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the ASPECTS-281 files in ../shared/data/aspects-281")
    return REAL


@pytest.fixture
def copy(real: Path, tmp_path: Path) -> Path:
    """A writable copy of the real files."""
    folder = tmp_path / "source" / "aspects-281"
    folder.mkdir(parents=True)
    for path in real.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No source in the environment or beside the checkout."""
    monkeypatch.delenv("ASPECTS_NODE_ATLAS_SOURCE", raising=False)
    monkeypatch.setattr(atlases.install, "SHARED_DATA", tmp_path / "not-there")
