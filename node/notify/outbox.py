"""What waits to be sent: one file a notice, a folder a target, in the data folder.

A notice is on disk before the record that it tells of, and goes when it was
taken. So a crash loses none; one that was taken just before may come twice,
with the same id.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from pydantic import ValidationError

from node.files import make_private, sync_folder, write_durably
from node.notify.notice import Notice

LOG = logging.getLogger(__name__)

FOLDER: Final = "notifications"
FAILED: Final = "failed"
_KEPT: Final = 1000
"""So many that were put aside are kept of a target, the newest."""


class Outbox:
    """The notices that wait for one target.

    Parameters
    ----------
    data_folder : Path
    name : str
        Of the target.
    """

    def __init__(self, data_folder: Path, name: str) -> None:
        self.folder = make_private(data_folder / FOLDER) / name
        self._aside = self.folder / FAILED
        for folder in (self.folder, self._aside):
            make_private(folder)
        self._known: dict[str, Notice] = {}
        self._lock: TextIO | None = None

    def claim(self) -> bool:
        """Tell whether this process is the one that sends; only one does."""
        if self._lock is None:
            lock = (self.folder / "sender.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def release(self) -> None:
        """Let another process send."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def put(self, notice: Notice) -> None:
        """Write a notice, durably.

        Raises
        ------
        OSError
            It is not on disk.
        """
        write_durably(self._path(notice), notice.model_dump_json().encode())

    def keep(self, notice: Notice) -> None:
        """Write down how far the sending of a notice got."""
        self.put(notice)
        self._known[notice.id] = notice

    def waiting(self) -> list[Notice]:
        """Return what waits, the oldest first; only new files are read."""
        names = {path.stem for path in self.folder.glob("*.json")}
        self._known = {name: item for name, item in self._known.items() if name in names}
        for name in names - set(self._known):
            if (found := self._read(self.folder / f"{name}.json")) is not None:
                self._known[name] = found
        return sorted(self._known.values(), key=lambda item: item.at)

    def remove(self, notice: Notice) -> None:
        """Take out what was sent."""
        self._path(notice).unlink(missing_ok=True)
        sync_folder(self.folder)
        self._known.pop(notice.id, None)

    def put_aside(self, notice: Notice) -> None:
        """Keep what cannot be sent, so that people can look at it and move it back."""
        self._path(notice).rename(self._aside / self._path(notice).name)
        sync_folder(self.folder)
        self._known.pop(notice.id, None)
        kept = sorted(self._aside.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_KEPT]:
            path.unlink(missing_ok=True)

    def _path(self, notice: Notice) -> Path:
        return self.folder / f"{notice.id}.json"

    def _read(self, path: Path) -> Notice | None:
        try:
            return Notice.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError):
            LOG.exception("notification_unreadable", extra={"file": path.name})
            path.rename(self._aside / f"{path.name}.broken")
            return None


def standing(data_folder: Path, names: Iterable[str]) -> dict[tuple[str, str], int]:
    """Count what waits and what was put aside, by target and ``"waiting"`` or ``"failed"``."""
    found = {}
    for name in names:
        folder = data_folder / FOLDER / name
        found[name, "waiting"] = sum(1 for _ in folder.glob("*.json"))
        found[name, "failed"] = sum(1 for _ in (folder / FAILED).glob("*.json"))
    return found
