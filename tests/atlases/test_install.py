"""Installing from folders: order of sources, refusals, idempotence."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

import atlases.install
from atlases.catalog import CATALOG, CatalogEntry
from atlases.errors import (
    AtlasAlteredError,
    AtlasError,
    AtlasMissingError,
    AtlasStorageError,
    UnknownAtlasError,
)
from atlases.folders import default_data_folder, find_atlas
from atlases.install import find_source, install, is_installed
from atlases.verify import FileState, check_files, require_intact

ALTERED = "cortical_label_30_49.nii.gz"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_pinned_hashes_are_those_published(entry: CatalogEntry, real: Path) -> None:
    lines = (real / "SHA256SUMS").read_text().splitlines()
    published = {name: sha256 for sha256, name in map(str.split, lines)}
    assert dict(entry.files) == published
    assert len(published) == 16


def test_install_from_folder(entry: CatalogEntry, real: Path, tmp_path: Path) -> None:
    checked: list[str] = []
    folder = install("aspects-281", tmp_path / "data", source=real, on_file=checked.append)

    assert folder == tmp_path / "data" / "atlases" / "aspects-281"
    assert checked == list(entry.files)
    assert {path.name for path in folder.iterdir()} == {*entry.files, "LICENSE", "manifest.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["aspects-281"]
    for name in (*entry.files, "LICENSE"):
        assert (folder / name).read_bytes() == (real / name).read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("aspects-281", "52144cb")
    assert manifest["sha256"] == dict(entry.files)
    assert find_atlas("aspects-281", tmp_path / "data") == folder


def test_other_users_can_read_what_was_installed(real: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = install("aspects-281", tmp_path, source=real)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_installing_again_touches_nothing(real: Path, tmp_path: Path) -> None:
    folder = install("aspects-281", tmp_path, source=real)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert install("aspects-281", tmp_path, source=tmp_path / "not-there") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("damage", ["altered", "missing", "no manifest"])
def test_installing_again_repairs(
    entry: CatalogEntry, real: Path, tmp_path: Path, damage: str
) -> None:
    folder = install("aspects-281", tmp_path, source=real)
    if damage == "altered":
        flip_a_bit(folder / ALTERED)
    else:
        (folder / (ALTERED if damage == "missing" else "manifest.json")).unlink()
    assert not is_installed(entry, folder)

    install("aspects-281", tmp_path, source=real)
    assert is_installed(entry, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["aspects-281"]


def test_altered_source_is_refused_by_name(copy: Path, tmp_path: Path) -> None:
    flip_a_bit(copy / ALTERED)
    with pytest.raises(AtlasAlteredError, match=rf"{ALTERED} in .* nothing was installed") as info:
        install("aspects-281", tmp_path / "data", source=copy)
    assert "aspects-node atlas install aspects-281 --from" in str(info.value)
    assert not (tmp_path / "data").exists()


def test_incomplete_source_is_refused_by_name(copy: Path, tmp_path: Path) -> None:
    (copy / ALTERED).unlink()
    with pytest.raises(AtlasMissingError, match=rf"{ALTERED} is not in"):
        install("aspects-281", tmp_path / "data", source=copy)
    assert not (tmp_path / "data").exists()


def test_unreadable_source_file(copy: Path, tmp_path: Path) -> None:
    (copy / ALTERED).unlink()
    (copy / ALTERED).mkdir()
    with pytest.raises(AtlasStorageError, match=rf"{ALTERED} in .* cannot be read"):
        install("aspects-281", tmp_path / "data", source=copy)


def test_data_folder_that_cannot_be_written(real: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, where a folder is wanted")
    with pytest.raises(AtlasStorageError, match="--data FOLDER"):
        install("aspects-281", tmp_path / "data", source=real)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownAtlasError, match="known: aspects-281"):
        install("aspects-282", tmp_path)


def test_order_of_sources(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named, shared = (tmp_path / name for name in ("given", "named", "shared"))
    for folder in (given, named, shared / "aspects-281"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(atlases.install, "SHARED_DATA", shared)
    monkeypatch.setenv("ASPECTS_NODE_ATLAS_SOURCE", str(named))

    assert find_source(entry, given) == given
    assert find_source(entry) == named
    (named / "aspects-281").mkdir()
    assert find_source(entry) == named / "aspects-281"
    monkeypatch.delenv("ASPECTS_NODE_ATLAS_SOURCE")
    assert find_source(entry) == shared / "aspects-281"
    monkeypatch.setattr(atlases.install, "SHARED_DATA", tmp_path / "not-there")
    assert find_source(entry) is None


@pytest.mark.usefixtures("bare")
def test_install_from_the_environment(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: CatalogEntry
) -> None:
    monkeypatch.setenv("ASPECTS_NODE_ATLAS_SOURCE", str(copy.parent))
    assert is_installed(entry, install("aspects-281", tmp_path / "data"))


def test_named_source_that_is_not_there(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AtlasMissingError, match="--from names"):
        find_source(entry, tmp_path / "not-there")
    monkeypatch.setenv("ASPECTS_NODE_ATLAS_SOURCE", str(tmp_path / "not-there"))
    with pytest.raises(AtlasMissingError, match=r"\$ASPECTS_NODE_ATLAS_SOURCE names"):
        find_source(entry)


def test_verify_names_every_bad_file(copy: Path, entry: CatalogEntry) -> None:
    require_intact(entry, copy)
    gone = "subcortical_image_70_89.nii.gz"
    (copy / gone).unlink()
    with pytest.raises(AtlasMissingError, match=gone):
        require_intact(entry, copy)
    flip_a_bit(copy / ALTERED)
    with pytest.raises(AtlasAlteredError, match=f"altered: {ALTERED}"):
        require_intact(entry, copy)
    states = {check.name: check.state for check in check_files(entry, copy)}
    assert states.pop(gone) is FileState.MISSING
    assert states.pop(ALTERED) is FileState.ALTERED
    assert set(states.values()) == {FileState.OK}


def test_command_to_run_names_the_data_folder(real: Path, tmp_path: Path) -> None:
    with pytest.raises(AtlasMissingError) as missing:
        find_atlas("aspects-281", tmp_path)
    command = f"aspects-node atlas install aspects-281 --data {tmp_path}"
    assert str(missing.value).endswith(f"Run: {command}")

    folder = install("aspects-281", tmp_path, source=real)
    (folder / ALTERED).unlink()
    with pytest.raises(AtlasMissingError) as damaged:
        require_intact(CATALOG["aspects-281"], folder)
    assert str(damaged.value).endswith(f"Run: {command}")


def test_default_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASPECTS_NODE_DATA", str(tmp_path / "chosen"))
    assert default_data_folder() == tmp_path / "chosen"
    monkeypatch.delenv("ASPECTS_NODE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_folder() == tmp_path / "xdg" / "aspects-node"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_folder() == tmp_path / ".local" / "share" / "aspects-node"


def test_every_error_has_its_own_code() -> None:
    classes: list[type[AtlasError]] = [AtlasError, *AtlasError.__subclasses__()]
    assert len({error.code for error in classes}) == len(classes) == 7
