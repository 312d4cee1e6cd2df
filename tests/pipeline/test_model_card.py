"""Every file of weights in the package, and the card that vouches for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import pipeline
from pipeline.model_card import CARD, WeightsError, card_hashes, checked

FOLDERS = sorted(path.parent for path in Path(pipeline.__file__).parent.rglob(CARD))
PACKAGE_LIMIT = 64 * 2**20
NAME = "net-0.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    table = ("| file | fold | SHA-256 |", "|---|---|---|", f"| `{NAME}` | 0 | `{digest}` |")
    (tmp_path / CARD).write_text("\n".join(table))
    return tmp_path


@pytest.mark.parametrize("weights", FOLDERS, ids=lambda path: path.parent.name)
def test_the_package_holds_what_its_cards_list_and_no_other(weights: Path) -> None:
    assert set(checked(weights)) == {path.name for path in weights.glob("*.safetensors")}


def test_all_weights_together_are_small() -> None:
    assert len(FOLDERS) >= 2
    files = [path for folder in FOLDERS for path in folder.glob("*.safetensors")]
    assert sum(path.stat().st_size for path in files) <= PACKAGE_LIMIT


def test_what_the_card_lists_passes(folder: Path) -> None:
    assert checked(folder) == checked(folder, [NAME]) == card_hashes(folder)


def test_an_altered_file_is_refused(folder: Path) -> None:
    (folder / NAME).write_bytes(b"weight5")
    with pytest.raises(WeightsError, match="not the file"):
        checked(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / NAME).unlink()
    with pytest.raises(WeightsError, match=f"{NAME} is missing"):
        checked(folder)


def test_a_file_that_is_not_listed_is_refused(folder: Path) -> None:
    (folder / "other.safetensors").write_bytes(b"weights")
    with pytest.raises(WeightsError, match="does not list other"):
        checked(folder, ["other.safetensors"])


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=CARD):
        card_hashes(tmp_path)


def test_a_card_that_lists_nothing_is_refused(folder: Path) -> None:
    (folder / CARD).write_text("# A card\n")
    with pytest.raises(WeightsError, match="lists no weights"):
        card_hashes(folder)
