"""Compare the files of an atlas set with their pinned hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from atlases.catalog import CatalogEntry
from atlases.errors import AtlasAlteredError, AtlasError, AtlasMissingError, AtlasStorageError
from atlases.folders import EMBEDDED, install_command


class FileState(StrEnum):
    """How a file compares with its pinned hash."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """One file of an atlas set and its state."""

    name: str
    state: FileState


def check_files(entry: CatalogEntry, folder: Path) -> tuple[FileCheck, ...]:
    """Hash every file of an atlas set.

    Returns
    -------
    tuple of FileCheck
        One for each file of the catalogue, in its order.

    Raises
    ------
    AtlasStorageError
        A file is there but cannot be read.
    """
    return tuple(
        FileCheck(name=name, state=_state(folder / name, sha256))
        for name, sha256 in entry.files.items()
    )


def require_intact(entry: CatalogEntry, folder: Path) -> None:
    """Refuse an atlas set with a missing or altered file.

    Raises
    ------
    AtlasMissingError, AtlasAlteredError
        Naming the files, and the command that puts it right.
    AtlasStorageError
        A file is there but cannot be read.
    """
    checks = check_files(entry, folder)
    problems: tuple[tuple[FileState, type[AtlasError]], ...] = (
        (FileState.ALTERED, AtlasAlteredError),
        (FileState.MISSING, AtlasMissingError),
    )
    for state, error in problems:
        names = [check.name for check in checks if check.state is state]
        if names:
            raise error(
                f"atlas set {entry.name} in {folder}: {state}: {', '.join(names)}. "
                f"Run: {_repair_command(entry, folder)}"
            )


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal.

    Examples
    --------
    >>> sha256_of(b"")[:16]
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(content).hexdigest()


def _state(path: Path, sha256: str) -> FileState:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return FileState.MISSING
    except OSError as error:
        raise AtlasStorageError(
            f"{path} cannot be read ({error.strerror}). Give this user the right to read it"
        ) from error
    return FileState.OK if sha256_of(content) == sha256 else FileState.ALTERED


def _repair_command(entry: CatalogEntry, folder: Path) -> str:
    if folder == EMBEDDED:
        return "pip install --force-reinstall aspects-node, or put the files of the checkout back"
    installed = folder.name == entry.name and folder.parent.name == "atlases"
    command = install_command(entry.name, folder.parent.parent if installed else None)
    return command if entry.urls else f"{command} --from FOLDER"
