"""Where installed atlas sets lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from atlases.catalog import catalog_entry
from atlases.errors import AtlasMissingError

DATA_VARIABLE: Final = "ASPECTS_NODE_DATA"
"""Environment variable that names the data folder."""


def default_data_folder() -> Path:
    """Return the data folder: ``$ASPECTS_NODE_DATA``, else the user's own.

    References
    ----------
    XDG Base Directory Specification, "Environment variables":
    ``$XDG_DATA_HOME``, by default ``~/.local/share``; a relative path there is
    to be ignored.
    """
    if chosen := os.environ.get(DATA_VARIABLE):
        return Path(chosen).expanduser()
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".local" / "share"
    return base / "aspects-node"


def atlas_folder(name: str, data_folder: Path) -> Path:
    """Return where the atlas set of that name lies, installed or not."""
    return data_folder / "atlases" / name


def find_atlas(name: str, data_folder: Path) -> Path:
    """Return the folder of an installed atlas set.

    Raises
    ------
    UnknownAtlasError
        There is no atlas set of that name.
    AtlasMissingError
        It is not installed; the message says what to run.
    """
    entry = catalog_entry(name)
    folder = atlas_folder(entry.name, data_folder)
    if not folder.is_dir():
        raise AtlasMissingError(
            f"the atlas set {name} is not installed in {data_folder}. "
            f"Run: {install_command(name, data_folder)}"
        )
    return folder


def install_command(name: str, data_folder: Path | None = None) -> str:
    """Return the command that installs an atlas set, for messages.

    Examples
    --------
    >>> install_command("aspects-281")
    'aspects-node atlas install aspects-281'
    """
    command = f"aspects-node atlas install {name}"
    if data_folder is None or data_folder == default_data_folder():
        return command
    return f"{command} --data {data_folder}"
