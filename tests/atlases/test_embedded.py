"""The atlas that comes with the software, and when it is used."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from atlases.entry import entry_of
from atlases.errors import AtlasAlteredError, AtlasMissingError, UnknownAtlasError
from atlases.folders import EMBEDDED, find_atlas, known_sets
from atlases.install import install
from atlases.read import load_atlas_set
from atlases.verify import require_intact
from node.atlas_choice import checked_atlas
from node.config import NodeConfig
from pipeline.atlas import AgeFlag, AgeGroup
from pipeline.regions import LEFT_OFFSET, Level, Side, at_level


@pytest.mark.parametrize("level", Level)
def test_it_is_whole_and_alike_on_both_sides(level: Level) -> None:
    atlas = load_atlas_set(EMBEDDED).get(AgeGroup.AGE_30_49, level)
    assert atlas.spacing_mm == (0.5, 0.5)
    for item in at_level(level):
        area = (atlas.labels == item.number).sum()
        assert 20 < area * 0.25 < 2000, item.name
        assert 20 < atlas.template[atlas.labels == item.number].mean() < 45, item.name
        if item.side is Side.RIGHT:
            assert 0.75 < area / (atlas.labels == item.number + LEFT_OFFSET).sum() < 1.33


def test_its_one_age_group_is_said_of_others() -> None:
    atlases = load_atlas_set(EMBEDDED)
    assert atlases.groups == (AgeGroup.AGE_30_49,)
    assert atlases.for_age(40).flag is None
    assert atlases.for_age(75).flag is AgeFlag.SINGLE_GROUP
    assert atlases.for_age(None).flag is AgeFlag.UNKNOWN


def test_its_papers_lie_beside_it() -> None:
    entry = entry_of(EMBEDDED)
    read_me = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in entry.licence
    assert "Hssayeni" in entry.citation
    for said in ("CC BY 4.0", "Hssayeni", "ASPECTS-281", "aspects-node atlas build", entry.version):
        assert said in read_me, said
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < 1_000_000


def test_it_is_used_where_none_is_installed_or_named(real: Path, tmp_path: Path) -> None:
    assert find_atlas(None, tmp_path) == EMBEDDED
    assert find_atlas(entry_of(EMBEDDED).name, tmp_path) == EMBEDDED
    with pytest.raises(AtlasMissingError, match="atlas install aspects-281"):
        find_atlas("aspects-281", tmp_path)
    with pytest.raises(UnknownAtlasError):
        find_atlas("aspects-282", tmp_path)
    installed = install("aspects-281", tmp_path, source=real)
    assert find_atlas(None, tmp_path) == installed
    assert set(known_sets(tmp_path)) == {EMBEDDED, installed}


def test_a_node_that_runs_on_it_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "node"):
        assert checked_atlas(NodeConfig(data_folder=tmp_path)) == EMBEDDED
    (line,) = [record for record in caplog.records if record.message == "atlas"]
    assert line.levelno == logging.WARNING
    assert vars(line)["atlas"] == entry_of(EMBEDDED).name


def test_a_spoilt_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(EMBEDDED, folder)
    path = folder / "cortical_image_30_49.nii.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AtlasAlteredError, match=path.name):
        require_intact(entry_of(folder), folder)
    with pytest.raises(AtlasAlteredError, match=path.name):
        load_atlas_set(folder)


def test_brain_and_background_are_told_apart() -> None:
    for atlas in load_atlas_set(EMBEDDED).atlases.values():
        inside = atlas.template > 0
        assert 12_000 < inside.sum() * 0.25 < 20_000  # mm2
        assert (atlas.template[~inside] == 0).all()
        rows = np.flatnonzero(inside.any(axis=1))
        assert rows[0] > 0
        assert rows[-1] < len(inside) - 1
