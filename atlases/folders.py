"""Where installed atlas sets lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from atlases.catalog import CATALOG, CatalogEntry, catalog_entry
from atlases.entry import MANIFEST, entry_of
from atlases.errors import AtlasMissingError

DATA_VARIABLE: Final = "ASPECTS_NODE_DATA"
"""Environment variable that names the data folder."""
PREFERRED: Final = "aspects-281"
"""The atlas set that is used where none is named and this one is installed."""
EMBEDDED: Final = Path(__file__).resolve().parent / "embedded"
"""The atlas set that comes with this software."""


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


def find_atlas(name: str | None, data_folder: Path) -> Path:
    """Return the folder of an atlas set.

    Parameters
    ----------
    name : str or None
        None takes `PREFERRED` where it is installed, else the embedded set.
    data_folder : Path

    Raises
    ------
    UnknownAtlasError
        There is no atlas set of that name.
    AtlasMissingError
        It is not installed; the message says what to run.
    """
    folder = atlas_folder(PREFERRED if name is None else name, data_folder)
    if folder.is_dir():
        return folder
    if name is None or (name not in CATALOG and name == entry_of(EMBEDDED).name):
        return EMBEDDED
    raise AtlasMissingError(
        f"the atlas set {catalog_entry(name).name} is not installed in {data_folder}. "
        f"Run: {install_command(name, data_folder)}"
    )


def known_sets(data_folder: Path) -> dict[Path, CatalogEntry]:
    """Return the atlas sets that are known: published, embedded, and built ones.

    Returns
    -------
    dict of Path to CatalogEntry
        Where each lies, or would lie, to what it should hold.
    """
    found = {atlas_folder(name, data_folder): entry for name, entry in CATALOG.items()}
    found[EMBEDDED] = entry_of(EMBEDDED)
    for path in sorted((data_folder / "atlases").glob(f"*/{MANIFEST}")):
        found.setdefault(path.parent, entry_of(path.parent))
    return found


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
