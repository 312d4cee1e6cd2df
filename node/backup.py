"""A copy of the data folder from which a node goes on, taken while it works.

The order matters. First the engine's database: what it does not know yet is
found in the ledger when the node starts (`node.resume`), the other way round it
would be lost. Then what was received and not sorted, before the series into
which it moves. Of each series the record first: what it names is there
already, and nothing that it names goes away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from node.errors import ConfigError
from node.files import make_private, sync_folder, write_durably
from node.state import RECORD

MANIFEST: Final = "backup.json"

_DATABASE: Final = "work.sqlite"
_FIRST: Final = ("node.id", "requests", "fetches", "commitments", "incoming", "outbox")
_LEFT_OUT: Final = frozenset({_DATABASE, "node.lock", "trash", "uploads", "atlases"})
"""Written anew, on its way out, or installed from elsewhere."""
_PIECE: Final = 1 << 20


@dataclass(slots=True)
class Copied:
    """What was copied.

    Attributes
    ----------
    files, bytes : int
    """

    files: int = 0
    bytes: int = 0


def back_up(data_folder: Path, out: Path) -> Copied:
    """Copy what a node needs to go on; it may run meanwhile.

    Parameters
    ----------
    data_folder : Path
    out : Path
        Not there yet, and not in the data folder.

    Raises
    ------
    ConfigError
        There is nothing to copy, or `out` cannot be used.
    OSError
        It cannot be copied; what there is of `out` has no manifest.
    """
    _require_usable(data_folder, out)
    make_private(out)
    copied = Copied()
    database = data_folder / _DATABASE
    if database.exists():
        _copy_database(database, out / _DATABASE)
    others = {path.name for path in data_folder.iterdir()} - _LEFT_OUT - {*_FIRST, "series"}
    others = {name for name in others if not name.startswith(f"{_DATABASE}-")}
    for name in (*_FIRST, "series", *sorted(others)):
        _copy(data_folder / name, out / name, copied)
    manifest = {
        "version": version("aspects-node"),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": copied.files,
        "bytes": copied.bytes,
    }
    write_durably(out / MANIFEST, json.dumps(manifest, indent=1).encode())
    return copied


def _require_usable(data_folder: Path, out: Path) -> None:
    if not (data_folder / "series").is_dir():
        raise ConfigError(f"data_folder: no node has worked in {data_folder}")
    if out.exists():
        raise ConfigError(f"{out} is there already: name a new folder")
    if data_folder.resolve() in out.resolve().parents:
        raise ConfigError(f"{out} lies in the data folder")


def _copy_database(source: Path, target: Path) -> None:
    """Copy by SQLite's own means: a copied file could be torn.

    References
    ----------
    SQLite, "Using the SQLite Online Backup API".
    """
    with (
        contextlib.closing(sqlite3.connect(source, timeout=60)) as from_here,
        contextlib.closing(sqlite3.connect(target)) as to_there,
    ):
        from_here.backup(to_there)
    target.chmod(0o600)


def _copy(source: Path, target: Path, copied: Copied) -> None:
    """Copy a file or a folder; what goes away meanwhile is not wanted any more."""
    try:
        if source.is_dir() and not source.is_symlink():
            make_private(target)
            for path in _in_order(source):
                _copy(path, target / path.name, copied)
            sync_folder(target)
        elif source.is_file():
            copied.bytes += _copy_file(source, target)
            copied.files += 1
    except FileNotFoundError:
        return


def _in_order(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder, a series' record before what it names."""
    record = folder / RECORD
    if record.exists():
        yield record
    yield from sorted(path for path in folder.iterdir() if path.name != RECORD)


def _copy_file(source: Path, target: Path) -> int:
    with source.open("rb") as from_here, target.open("xb") as to_there:
        os.fchmod(to_there.fileno(), 0o600)
        shutil.copyfileobj(from_here, to_there, _PIECE)
        to_there.flush()
        os.fsync(to_there.fileno())
        size = to_there.tell()
    shutil.copystat(source, target)
    return size
