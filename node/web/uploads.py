"""Images that people hand over by browser: through the same inbox as those of peers.

An upload is what an association is for C-STORE: while it is open a series that
it brings is waited for.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pydicom import Dataset, dcmread

from node.file_meta import file_meta
from node.files import make_private
from node.inbox import UNREADABLE, Inbox, data_offset
from node.presentation import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.scp import Listener
from node.state import series_key

LOG = logging.getLogger(__name__)

CALLING_AE: Final = "WEB-UPLOAD"
"""Stands for the sender of what was uploaded."""
MOST_FILES: Final = 20_000
"""So many files one upload may have."""

_LARGEST_RATIO: Final = 200  # air and padding compress well, a bomb five times better
_RATIO_COUNTS_FROM: Final = 4 << 20
_LARGEST_FILE: Final = 128 << 20
_LARGEST_DIRECTORY: Final = 512 * MOST_FILES
_AT_ONCE: Final = 2
_DIRECTORY_SIZE: Final = 5  # of what the zip's end record holds
_PIECE: Final = 1 << 20
_FORGOTTEN_S: Final = 120.0
_BAD_ZIP: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError)
_TAGS: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")


class UploadError(Exception):
    """What was uploaded is refused; the message says why, and never names a file of it.

    Parameters
    ----------
    message : str
    status : int
        HTTP status that says the same.
    """

    def __init__(self, message: str, status: int = 415) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class _Open:
    association: int
    last: float
    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Taken:
    """What came of one file or zip.

    Attributes
    ----------
    stored : int
        Objects that the node keeps.
    skipped : int
        Files that are no DICOM image.
    series : set of str
        Keys of the series they belong to.
    """

    stored: int = 0
    skipped: int = 0
    series: set[str] = field(default_factory=set)


class Uploads:
    """All uploads that are open.

    Parameters
    ----------
    inbox : Inbox
    listener : Listener
    folder : Path
        For zips while they are looked into; emptied at the start.
    most_bytes : int
        Of one upload, unpacked.
    """

    def __init__(self, inbox: Inbox, listener: Listener, folder: Path, most_bytes: int) -> None:
        self._inbox = inbox
        self._listener = listener
        self._folder = folder
        self._most_bytes = most_bytes
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()
        # a file is in memory while it is taken in
        self._taking = threading.BoundedSemaphore(_AT_ONCE)
        # associations are known by the id of an object, which is never negative
        self._numbers = itertools.count(1)
        make_private(folder)
        for left in folder.iterdir():
            left.unlink()

    def begin(self) -> int:
        """Open an upload and return its number."""
        self._close_forgotten()
        number = next(self._numbers)
        with self._lock:
            self._open[number] = _Open(association=-number, last=time.monotonic())
        return number

    def end(self, number: int) -> None:
        """Close an upload: its series are complete.

        Raises
        ------
        UploadError
            There is no such upload.
        """
        with self._lock:
            found = self._open.pop(number, None)
        if found is None:
            raise UploadError("there is no such upload; it may have been closed", 404)
        self._listener.closed(found.association)

    def room(self, number: int) -> int:
        """Return how many bytes an upload may still bring.

        Raises
        ------
        UploadError
            There is no such upload.
        """
        return self._most_bytes - self._find(number).bytes

    def new_file(self) -> Path:
        """Return a name for what is being received."""
        return self._folder / f"{time.time_ns()}-{next(self._numbers)}"

    def take(self, number: int, path: Path) -> Taken:
        """Take in a received file, DICOM or zip; it is gone afterwards.

        Raises
        ------
        UploadError
            It is refused; what of it was kept until then stays.
        """
        taken = Taken()
        try:
            with self._taking:
                if zipfile.is_zipfile(path) and not _is_dicom(path):
                    self._take_zip(number, path, taken)
                else:
                    self._count(number, path.stat().st_size)
                    self._take_file(number, path, taken)
        finally:
            path.unlink(missing_ok=True)
        return taken

    def _take_zip(self, number: int, path: Path, taken: Taken) -> None:
        _require_small_directory(path)
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        self._take_entry(number, archive, entry, taken)
        except _BAD_ZIP as error:
            raise UploadError("the zip is damaged, encrypted or of an unknown kind") from error

    def _take_entry(
        self, number: int, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, taken: Taken
    ) -> None:
        # the names in a zip are never used: they may hold anything
        unpacked = self.new_file()
        try:
            with archive.open(entry) as packed, unpacked.open("xb") as file:
                self._unpack(number, packed, file, entry.compress_size)
            self._take_file(number, unpacked, taken)
        finally:
            unpacked.unlink(missing_ok=True)

    def _unpack(self, number: int, packed: IO[bytes], file: IO[bytes], compressed: int) -> None:
        """Unpack piece by piece: what a zip says of its sizes need not be true."""
        done = 0
        self._count(number, 0)
        while piece := packed.read(_PIECE):
            done += len(piece)
            if done > max(_RATIO_COUNTS_FROM, compressed * _LARGEST_RATIO):
                raise UploadError("the zip unpacks to far more than images do: refused", 413)
            self._count(number, len(piece), files=0)
            file.write(piece)

    def _take_file(self, number: int, path: Path, taken: Taken) -> None:
        head = _read_head(path)
        if head is None:
            taken.skipped += 1
            return
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UploadError("a file is larger than images are: send it by C-STORE", 413)
        content = path.read_bytes()
        kept = self._inbox.store(_meta(head), content[data_offset(content) :])
        self._listener.stored(kept, self._find(number).association)
        taken.stored += 1
        taken.series.add(series_key(str(head.SeriesInstanceUID)))

    def _count(self, number: int, size: int, files: int = 1) -> None:
        """Count what an upload brings; refuse what is too much."""
        found = self._find(number)
        found.last = time.monotonic()
        found.files += files
        found.bytes += size
        if found.files > MOST_FILES:
            raise UploadError(f"an upload has at most {MOST_FILES} files", 413)
        if found.bytes > self._most_bytes:
            raise UploadError("the upload is larger than web.max_upload", 413)
        if not self._inbox.has_room(size):
            raise UploadError("the disk is nearly full", 507)

    def _find(self, number: int) -> _Open:
        with self._lock:
            found = self._open.get(number)
        if found is None:
            raise UploadError("there is no such upload; it may have been closed", 404)
        return found

    def _close_forgotten(self) -> None:
        """Close uploads whose browser is gone."""
        before = time.monotonic() - _FORGOTTEN_S
        with self._lock:
            forgotten = [number for number, item in self._open.items() if item.last < before]
        for number in forgotten:
            with contextlib.suppress(UploadError):
                self.end(number)


class NoUploads(Uploads):
    """Where the process shows the pages alone, and receives nothing."""

    def __init__(self) -> None:
        self._open = {}
        self._lock = threading.Lock()

    def begin(self) -> int:
        """Open no upload.

        Raises
        ------
        UploadError
            Always.
        """
        raise UploadError("nothing can be uploaded here: use the node that receives", 503)

    def new_file(self) -> Path:
        """Name no file.

        Raises
        ------
        UploadError
            Always.
        """
        raise UploadError("there is no such upload; it may have been closed", 404)


def _require_small_directory(path: Path) -> None:
    """Refuse a zip whose list of files alone would fill the memory: it is read at once."""
    with path.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what the reader itself asks
    if end is None or end[_DIRECTORY_SIZE] > _LARGEST_DIRECTORY:
        raise UploadError(f"a zip has at most {MOST_FILES} files", 413)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_head(path: Path) -> Dataset | None:
    """Read what sorting needs; None where the file is no image that the node takes."""
    if not _is_dicom(path):
        return None
    try:
        head = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        sop_class, syntax = str(head.SOPClassUID), str(head.file_meta.TransferSyntaxUID)
        is_whole = bool(head.SOPInstanceUID) and bool(head.SeriesInstanceUID)
    except UNREADABLE:
        return None
    is_known = sop_class in STORAGE_CLASSES and syntax in TRANSFER_SYNTAXES
    return head if is_known and is_whole else None


def _meta(head: Dataset) -> bytes:
    return file_meta(
        sop_class=str(head.SOPClassUID),
        sop_instance=str(head.SOPInstanceUID),
        transfer_syntax=str(head.file_meta.TransferSyntaxUID),
        source_ae_title=CALLING_AE,
    )
