"""An object on its way to the disk: one fsync between its last byte and the answer.

An empty file, a *slot*, is made and the folder fsynced before there is anything
to put into it. An object is written to a slot and sealed: its length and
checksum go into the preamble, which DICOM leaves to the application. After the
fsync of the file it may be acknowledged, for its name was durable before. After
a power cut a file with a true seal is whole; any other was never acknowledged.

References
----------
DICOM PS3.10, 7.1 "DICOM File Meta Information": the File Preamble is "available
for use as defined by Application Profiles or specific implementations".
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import struct
import threading
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Final

from node.errors import StorageError
from node.files import sync_folder

LOG = logging.getLogger(__name__)

SUFFIX: Final = ".slot"
PREAMBLE: Final = 128
"""Bytes at the start of every object; they are the seal's, whatever was written."""

_MAGIC: Final = b"aspects-node 1\0\0"
_SEAL: Final = struct.Struct("<16sQL100x")
_SPARE: Final = 64
_LOW: Final = 32
_AT_ONCE: Final = 8
_PIECE: Final = 1 << 20


class Slots:
    """Empty files in a folder, their names durable; safe to use from several threads.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._spare: deque[Path] = deque()
        self._counter = itertools.count()
        self._is_filling = False

    def take(self) -> Path:
        """Return an empty file that nobody else has.

        Raises
        ------
        OSError
            None can be made.
        """
        with self._lock:
            if not self._spare:
                self._spare.extend(self._make(_AT_ONCE))
            path = self._spare.popleft()
            is_low = len(self._spare) < _LOW and not self._is_filling
            self._is_filling = self._is_filling or is_low
        if is_low:
            threading.Thread(target=self._fill, name="slots", daemon=True).start()
        return path

    def _fill(self) -> None:
        """Make more while the receiver works on those that are left."""
        made: list[Path] = []
        try:
            made = self._make(_SPARE)
        except OSError as error:
            LOG.warning("no_slots", extra={"reason": error.strerror or ""})
        with self._lock:
            self._spare.extend(made)
            self._is_filling = False

    def _make(self, count: int) -> list[Path]:
        stem = f"{time.time_ns():020d}"
        paths = [self._folder / f"{stem}-{next(self._counter):08d}{SUFFIX}" for _ in range(count)]
        for path in paths:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync_folder(self._folder)
        return paths


class Incoming:
    """An object that is being received; `keep` or `drop` ends it.

    Parameters
    ----------
    slots : Slots

    Raises
    ------
    StorageError
        There is no file for it.
    """

    def __init__(self, slots: Slots) -> None:
        try:
            self._path = slots.take()
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unwritable(error) from error
        self._size = self._checksum = 0

    def write(self, data: bytes | memoryview) -> None:
        """Add to the object, from its preamble on.

        Raises
        ------
        StorageError
            The disk does not take it.
        """
        rest = memoryview(data)
        self._checksum = zlib.crc32(rest[max(PREAMBLE - self._size, 0) :], self._checksum)
        self._size += len(rest)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise _unwritable(error) from error

    def keep(self) -> Path:
        """Seal the object and make it durable; return its path.

        Raises
        ------
        StorageError
            Nothing was kept.
        """
        seal = _SEAL.pack(_MAGIC, max(self._size - PREAMBLE, 0), self._checksum)
        try:
            os.pwrite(self._descriptor, seal, 0)
            os.fsync(self._descriptor)
        except OSError as error:
            self.drop()
            raise _unwritable(error) from error
        with contextlib.suppress(OSError):  # the fsync has said all
            os.close(self._descriptor)
        return self._path

    def drop(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def is_sealed(path: Path) -> bool:
    """Tell whether a file has the seal of an object of its length."""
    with path.open("rb") as file:
        length, _ = _read_seal(file.read(PREAMBLE))
        return length is not None and length == os.fstat(file.fileno()).st_size - PREAMBLE


def is_whole(path: Path) -> bool:
    """Tell whether a sealed file holds what was received, by its checksum."""
    with path.open("rb") as file:
        length, expected = _read_seal(file.read(PREAMBLE))
        checksum = size = 0
        while piece := file.read(_PIECE):
            checksum, size = zlib.crc32(piece, checksum), size + len(piece)
    return (size, checksum) == (length, expected)


def has_seal(path: Path) -> bool:
    """Tell whether a file was sealed, be the seal true or not."""
    with path.open("rb") as file:
        return _read_seal(file.read(PREAMBLE))[0] is not None


def _read_seal(preamble: bytes) -> tuple[int | None, int]:
    if len(preamble) < PREAMBLE or not preamble.startswith(_MAGIC):
        return None, 0
    _, length, checksum = _SEAL.unpack(preamble)
    return length, checksum


def arrivals(folder: Path) -> list[Path]:
    """Return the objects that were acknowledged and not sorted, in order of arrival.

    While the node receives, one that is about to be acknowledged is among them.
    """
    found = []
    for path in [*folder.glob(f"*{SUFFIX}"), *folder.glob("*.dcm")]:
        with contextlib.suppress(FileNotFoundError):  # sorted in the meantime
            status = path.stat()
            if status.st_size and (path.suffix != SUFFIX or is_sealed(path)):
                found.append((status.st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _unwritable(error: OSError) -> StorageError:
    return StorageError(f"the data folder cannot be written ({error.strerror})")
