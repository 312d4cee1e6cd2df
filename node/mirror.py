"""The ledger as a process sees it that does not write it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from node.state import RECORD, Ledger, read_record

LOG = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class Mirror(Ledger):
    """All series of a data folder in which another process works; never changed here.

    Parameters
    ----------
    folder : Path
        Exists.
    """

    def __init__(self, folder: Path) -> None:
        self._seen = _stamps(folder)
        super().__init__(folder)

    def refresh(self) -> None:
        """Read what changed since the last look, and tell those who subscribed."""
        found = _stamps(self.folder)
        for key, stamp in found.items():
            if self._seen.get(key) != stamp:
                self._read(key)
        with self._lock:
            for key in self._records.keys() - found.keys():
                del self._records[key]
        self._seen = found

    def _read(self, key: str) -> None:
        try:
            record = read_record(self.folder / key / RECORD)
        except (ValueError, OSError):
            return  # gone, or not whole: the next look tells
        with self._lock:
            before = self._records.get(key)
            self._records[key] = record
        self._tell(before, record)


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """Return what changes with each record: they are replaced, not written over."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = os.stat(f"{entry.path}/{RECORD}")  # noqa: PTH116 - for each series, often
            except OSError:
                continue
            found[entry.name] = (status.st_mtime_ns, status.st_ino, status.st_size)
    return found
