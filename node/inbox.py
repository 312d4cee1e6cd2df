"""From a received object to a file in its series' folder: the file is the ledger.

::

    incoming/<arrival>.slot             empty, arriving, or acknowledged (sealed)
    broken/<arrival>.slot               sealed, but damaged since
    series/<key>/images/<object>.dcm    sorted into its series
    series/<key>/changed/…              same SOP Instance UID, other bytes

`Inbox.store` runs before the acknowledgement and never decodes; `Inbox.sort`
runs after it. All names are hashes or counters of ours, never a peer's UID.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from node.errors import StorageError
from node.evidence import Place, place_of
from node.heads import read_head, shown_uid
from node.incoming import SUFFIX, Incoming, Slots, arrivals, has_seal, is_whole
from node.state import CHANGED, Ledger, SeriesRecord, series_key, short_hash

LOG = logging.getLogger(__name__)

UNREADABLE: Final = (
    InvalidDicomError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on bytes that are no DICOM."""

_PLACE_TAGS: Final = ["ImagePositionPatient", "ImageOrientationPatient"]
_TAGS: Final = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    *_PLACE_TAGS,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One object that was sorted into its series.

    Attributes
    ----------
    key : str
        The series' key.
    series_uid : str
    fresh : bool
        It is new; not a duplicate, and not kept aside.
    name : str
        File name in the series' folder of images.
    place : Place or None
        Where the slice lies, as far as its header says.
    """

    key: str
    series_uid: str
    fresh: bool
    name: str
    place: Place | None


class Inbox:
    """Takes objects in and sorts them.

    Parameters
    ----------
    data_folder : Path
    ledger : Ledger
    min_free_disk : int
        Bytes that must stay free.
    """

    def __init__(self, data_folder: Path, ledger: Ledger, min_free_disk: int) -> None:
        self.incoming = data_folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        self._ledger = ledger
        self._min_free_disk = min_free_disk
        self._counter = itertools.count()
        self._slots = Slots(self.incoming)
        # before anything listens: later they may be arriving
        self._sweep(data_folder / "broken")

    def _sweep(self, broken: Path) -> None:
        """Remove what was never acknowledged; put aside what is damaged."""
        for path in self.incoming.glob(f"*{SUFFIX}"):
            if not has_seal(path):
                path.unlink()
            elif not is_whole(path):
                broken.mkdir(exist_ok=True)
                path.rename(broken / path.name)
                LOG.error("broken_object", extra={"file": path.name})

    def has_room(self, size: int = 0) -> bool:
        """Tell whether an object of this many bytes can be taken."""
        return shutil.disk_usage(self.incoming).free - size >= self._min_free_disk

    def open(self, size: int = 0) -> Incoming:
        """Begin to receive an object of this many bytes, as far as is known.

        Raises
        ------
        StorageError
            There is no room, or the file cannot be made.
        """
        if not self.has_room(size):
            raise StorageError("the disk is nearly full: free space or lower min_free_disk")
        return Incoming(self._slots)

    def store(self, meta: bytes, data: bytes) -> Path:
        """Put a received object on disk; when this returns it is durable.

        Parameters
        ----------
        meta : bytes
            Preamble, prefix and File Meta Information; the preamble is ours.
        data : bytes
            The data set as the peer encoded it.

        Raises
        ------
        StorageError
            There is no room or the write failed; nothing was kept.
        """
        incoming = self.open(len(meta) + len(data))
        try:
            incoming.write(meta)
            incoming.write(data)
        except StorageError:
            incoming.drop()
            raise
        return incoming.keep()

    def waiting(self) -> list[Path]:
        """Return what was acknowledged and not sorted, in order of arrival."""
        return arrivals(self.incoming)

    def sort(self, paths: Iterable[Path]) -> list[Arrival | None]:
        """Move objects into the folders of their series.

        A rename is old or new after a power cut, never neither; the folders are
        made durable once, when a series is complete.

        Parameters
        ----------
        paths : iterable of Path
            From `store` or `waiting`.

        Returns
        -------
        list of Arrival or None
            One for each path; None where it was no longer there.
        """
        return [self._sort_one(path) for path in paths]

    def _sort_one(self, path: Path) -> Arrival | None:
        try:
            received = path.stat().st_mtime
        except FileNotFoundError:
            return None
        head = _read_head(path)
        series_uid = str(head.get("SeriesInstanceUID", ""))
        instance = str(head.get("SOPInstanceUID", "")) or path.name
        # an object without a series stands alone, under its own key
        key = series_key(series_uid or f"no series: {instance}")
        self._open_series(key, series_uid, head, received)
        name = f"{short_hash(instance.encode())}.dcm"
        fresh = self._place(path, key, name)
        if fresh:
            self._ledger.touch(key, received, str(head.get("SOPClassUID", "")))
        return Arrival(
            key=key, series_uid=series_uid, fresh=fresh, name=name, place=_read_place(head)
        )

    def _open_series(self, key: str, series_uid: str, head: Dataset, received: float) -> None:
        if self._ledger.is_receiving(key) is not None:
            return
        self._ledger.add(
            SeriesRecord(
                key=key,
                series_uid=shown_uid(series_uid),
                study_uid=shown_uid(str(head.get("StudyInstanceUID", ""))),
                calling_ae=str(head.get("SourceApplicationEntityTitle", "")),
                first_received=received,
                last_received=received,
            )
        )

    def _place(self, path: Path, key: str, name: str) -> bool:
        """Move a file to its place; return False for a duplicate."""
        target = self._ledger.images(key) / name
        if not target.exists():
            self._reopen(key)
            path.rename(target)
            return True
        if _data_hash(path) == _data_hash(target):
            LOG.info("duplicate", extra={"series": self._series_uid(key), "file": name})
            path.unlink()
            return False
        aside = self._ledger.folder / key / CHANGED
        aside.mkdir(exist_ok=True)
        path.rename(aside / f"{target.stem}-{_data_hash(path)}.dcm")
        LOG.warning("changed_duplicate", extra={"series": self._series_uid(key), "file": name})
        return False

    def _reopen(self, key: str) -> None:
        if self._ledger.is_receiving(key) is False:
            with self._ledger.change(key) as changed:
                changed.receiving = True
            LOG.info("reopened", extra={"series": changed.series_uid})

    def _series_uid(self, key: str) -> str:
        record = self._ledger.get(key)
        return "" if record is None else record.series_uid

    def rescue(self) -> None:
        """Send the images of series without a readable record through `sort` again."""
        known = set(self._ledger.keys_of_all())
        for folder in self._ledger.folder.iterdir():
            if folder.name not in known:
                for image in (folder / "images").glob("*.dcm"):
                    received = image.stat().st_mtime_ns
                    arrival = f"{received:020d}-{next(self._counter):08d}.dcm"
                    image.rename(self.incoming / arrival)

    def refresh(self) -> None:
        """Set the time of the last image of open series from their files."""
        for key in self._ledger.keys_of_all():
            record = self._ledger.get(key)
            if record is not None and record.receiving:
                times = [path.stat().st_mtime for path in self._ledger.images(key).iterdir()]
                with self._ledger.change(key) as changed:
                    changed.last_received = max([*times, changed.first_received])


def read_place(path: Path) -> Place | None:
    """Return where the slice in a file lies, or None where it does not say."""
    return _read_place(_read_head(path))


def _read_place(head: Dataset) -> Place | None:
    try:
        return place_of(*(head.get(keyword) for keyword in _PLACE_TAGS))
    except UNREADABLE:  # pydicom converts a value when it is looked at
        return None


def _read_head(path: Path) -> Dataset:
    """Read the few values that sorting needs; empty where the file is no DICOM."""
    try:
        head = read_head(path, _TAGS)
        if "SourceApplicationEntityTitle" in head.file_meta:
            head.add(head.file_meta["SourceApplicationEntityTitle"])
    except UNREADABLE:
        LOG.warning("unreadable_object", extra={"file": path.name})
        return Dataset()
    return head


def _data_hash(path: Path) -> str:
    """Hash what the peer sent, without the File Meta Information that we wrote."""
    content = path.read_bytes()
    return short_hash(content[data_offset(content) :])


def data_offset(content: bytes) -> int:
    """Return where the data set begins in a DICOM file."""
    # PS3.10, 7.1 "DICOM File Meta Information": (0002,0000) UL comes first and
    # counts the bytes after itself; 128 preamble, 4 prefix, 12 for the element
    length = int.from_bytes(content[140:144], "little")
    return min(144 + length, len(content))
