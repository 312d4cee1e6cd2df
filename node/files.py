"""Write files so that a power cut leaves the old or the new one, never a half."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(folder: Path) -> Path:
    """Make a folder that its owner alone may enter, or make it so; return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    References
    ----------
    fsync(2): "Calling fsync() does not necessarily ensure that the entry in the
    directory containing the file has also reached disk. For that an explicit
    fsync() on a file descriptor for the directory is also needed."
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, *parts: bytes) -> None:
    """Write a file: temporary name, fsync, rename, fsync of the folder.

    Parameters
    ----------
    path : Path
        Replaced where it exists; its folder must exist.
    *parts : bytes
        The content, in order; not joined in memory.

    Raises
    ------
    OSError
        Nothing was written under ``path``; the temporary file is gone.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        _write_all(temporary, parts)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write_all(path: Path, parts: tuple[bytes, ...]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
