from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite

from node.errors import StorageError
from node.inbox import Inbox
from node.incoming import PREAMBLE, Slots, is_whole
from node.state import Ledger, series_key
from tests.node.series import write_series


class Place:
    """An inbox with its ledger in one folder."""

    def __init__(self, folder: Path, min_free_disk: int = 0) -> None:
        self.ledger = Ledger(folder / "series")
        self.inbox = Inbox(folder, self.ledger, min_free_disk)

    def receive(self, path: Path) -> Path:
        return self.inbox.store(b"", path.read_bytes())

    def objects(self) -> list[Path]:
        return [path for path in self.inbox.incoming.iterdir() if path.stat().st_size]

    def images(self, series_uid: str) -> list[Path]:
        return sorted(self.ledger.images(series_key(series_uid)).iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "data")


def test_stored_object_is_whole_and_private(place: Place, tmp_path: Path) -> None:
    _, files = write_series(tmp_path, "a", 1)
    path = place.receive(files[0])
    assert path.read_bytes()[PREAMBLE:] == files[0].read_bytes()[PREAMBLE:]
    assert is_whole(path)
    assert path.stat().st_mode & 0o077 == 0


def test_sorted_into_series(place: Place, tmp_path: Path) -> None:
    first, files = write_series(tmp_path, "a", 2)
    second, more = write_series(tmp_path, "b", 1)
    arrivals = place.inbox.sort([place.receive(path) for path in [files[0], more[0], files[1]]])
    assert [arrival and arrival.series_uid for arrival in arrivals] == [first, second, first]
    assert len(place.images(first)) == 2
    assert len(place.images(second)) == 1
    assert place.inbox.waiting() == []


def test_same_bytes_again_change_nothing(place: Place, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 1)
    arrivals = place.inbox.sort([place.receive(files[0]), place.receive(files[0])])
    assert [arrival and arrival.fresh for arrival in arrivals] == [True, False]
    assert len(place.images(uid)) == 1
    assert not (place.ledger.folder / series_key(uid) / "changed").exists()


def test_changed_bytes_are_kept_aside(place: Place, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 1)
    place.inbox.sort([place.receive(files[0])])
    before = place.images(uid)[0].read_bytes()
    dataset = dcmread(files[0])
    dataset.InstanceNumber = 99
    dcmwrite(files[0], dataset)
    for _ in range(2):
        place.inbox.sort([place.receive(files[0])])
    assert place.images(uid)[0].read_bytes() == before
    aside = list((place.ledger.folder / series_key(uid) / "changed").iterdir())
    assert [dcmread(path).InstanceNumber for path in aside] == [99]


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"DICM" + b"\xff" * 99])
@pytest.mark.filterwarnings("ignore:End of file reached")
def test_what_is_no_dicom_is_kept(place: Place, content: bytes) -> None:
    arrival = place.inbox.sort([place.inbox.store(bytes(PREAMBLE), content)])[0]
    assert arrival is not None
    assert arrival.series_uid == ""
    (kept,) = place.ledger.images(arrival.key).iterdir()
    assert kept.read_bytes()[PREAMBLE:] == content


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_is_never_a_path(place: Place, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path / "in", "a", 1)
    hostile = b"../" * 9 + b"escaped"
    content = files[0].read_bytes().replace(uid.encode(), hostile.ljust(len(uid), b"x"))
    place.inbox.sort([place.inbox.store(b"", content)])
    assert not list(tmp_path.rglob("*escaped*"))
    assert len(list(place.ledger.folder.glob("*/images/*.dcm"))) == 1


def test_no_room_stores_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, min_free_disk=1 << 62)
    with pytest.raises(StorageError, match="nearly full"):
        place.inbox.store(b"", b"x")
    assert not place.inbox.has_room()
    assert place.objects() == []


def test_failed_write_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error", descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="cannot be written"):
        place.inbox.store(b"", b"x")
    assert place.objects() == []


def test_what_was_never_acknowledged_is_swept_at_the_start_only(
    place: Place, tmp_path: Path
) -> None:
    incoming = place.inbox.open()
    incoming.write(bytes(PREAMBLE) + b"DICM half")
    assert place.inbox.waiting() == []
    assert len(place.objects()) == 1  # it may be arriving now
    # the first inbox may still be making empty files
    assert Place(tmp_path / "data").objects() == []


def test_acknowledged_and_damaged_is_put_aside(place: Place, tmp_path: Path) -> None:
    _, files = write_series(tmp_path, "a", 3)
    whole, shorter, changed = map(place.receive, files)
    with shorter.open("r+b") as file:
        file.truncate(1000)
    with changed.open("r+b") as file:
        file.seek(5000)
        file.write(b"other")
    again = Place(tmp_path / "data")
    assert again.inbox.waiting() == [whole]
    broken = {path.name for path in (tmp_path / "data" / "broken").iterdir()}
    assert broken == {shorter.name, changed.name}


def test_slots_are_made_ahead_and_used_once(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    taken = [slots.take() for _ in range(200)]
    assert len(set(taken)) == 200
    assert all(path.stat().st_size == 0 for path in taken)


def test_lost_record_is_made_again(place: Place, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 2)
    place.inbox.sort([place.receive(path) for path in files])
    (place.ledger.folder / series_key(uid) / "record.json").write_text("{half a reco")
    again = Place(tmp_path / "data")
    again.inbox.rescue()
    again.inbox.sort(again.inbox.waiting())
    record = again.ledger.get(series_key(uid))
    assert record is not None
    assert record.series_uid == uid
    assert len(again.images(uid)) == 2
