"""An object on its way to the disk, and the folder that many arrive in.

The order is always: data, fsync of the file, rename, fsync of the folder. The
last is shared: of those who wait for it at the same time, one does it for all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

from node.errors import StorageError
from node.files import sync_folder


class _Round:
    """One fsync of the folder, and who waits for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.has_leader = False
        self.error: OSError | None = OSError(errno.EIO, os.strerror(errno.EIO))


class SharedSync:
    """Makes the names in a folder durable, once for all who ask at the same time.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._disk = threading.Lock()
        self._next = _Round()

    def sync(self) -> None:
        """Return when an fsync that began after this call has ended.

        Raises
        ------
        OSError
            It failed; for all who waited for it.
        """
        with self._lock:
            mine = self._next
            leads = not mine.has_leader
            mine.has_leader = True
        if leads:
            self._lead(mine)
        else:
            mine.done.wait()
        if mine.error is not None:
            raise mine.error

    def _lead(self, mine: _Round) -> None:
        with self._disk:  # an earlier round may be at work: who comes meanwhile joins
            with self._lock:
                self._next = _Round()
            try:
                sync_folder(self._folder)
                mine.error = None
            except OSError as error:
                mine.error = error
            finally:
                mine.done.set()


class Incoming:
    """A file that is being received; ``keep`` or ``drop`` ends it.

    Parameters
    ----------
    path : Path
        Its name when it is kept.
    folder : SharedSync
        Of the folder of ``path``.

    Raises
    ------
    StorageError
        It cannot be made.
    """

    def __init__(self, path: Path, folder: SharedSync) -> None:
        self._path, self._folder = path, folder
        self._part = path.with_name(f"{path.name}.part")
        try:
            self._descriptor = os.open(
                self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _unwritable(error) from error

    def write(self, data: bytes | memoryview) -> None:
        """Add to the file.

        Raises
        ------
        StorageError
            The disk does not take it.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise _unwritable(error) from error

    def keep(self) -> Path:
        """Make the file durable under its name; return its path.

        Raises
        ------
        StorageError
            Nothing was kept.
        """
        try:
            self._finish()
        except OSError as error:
            raise _unwritable(error) from error
        try:
            self._folder.sync()
        except OSError as error:
            # it was never acknowledged, and may be gone after a power cut
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            raise _unwritable(error) from error
        return self._path

    def _finish(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError:
            self.drop()
            raise
        os.close(self._descriptor)
        try:
            self._part.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
            raise

    def drop(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)


def _unwritable(error: OSError) -> StorageError:
    return StorageError(f"the data folder cannot be written ({error.strerror})")
