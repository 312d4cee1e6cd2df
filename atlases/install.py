"""Put an atlas set into the data folder: whole, checked, or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Final

from atlases.catalog import CATALOG, CatalogEntry, catalog_entry
from atlases.download import OnFile, download
from atlases.entry import MANIFEST as MANIFEST
from atlases.entry import entry_of
from atlases.errors import AtlasAlteredError, AtlasMissingError, AtlasStorageError
from atlases.folders import atlas_folder, install_command
from atlases.verify import FileState, check_files, sha256_of

SOURCE_VARIABLE: Final = "ASPECTS_NODE_ATLAS_SOURCE"
"""Environment variable that names a folder with the files of an atlas set."""

_PACKAGE: Final = Path(__file__).resolve().parent
SHARED_DATA: Final = _PACKAGE.parent.parent / "shared" / "data"
"""Data for development, beside the checkout; absent elsewhere."""


def install(
    name: str, data_folder: Path, *, source: Path | None = None, on_file: OnFile | None = None
) -> Path:
    """Install an atlas set; do nothing where it is installed and intact.

    The files come from ``source``; else from the folder that
    ``$ASPECTS_NODE_ATLAS_SOURCE`` names; else from ``../shared/data/<name>``
    beside the checkout, where there is one; else they are downloaded. Each of
    the first three may hold the files itself or in a sub-folder ``<name>``.
    Every file is checked against its pinned hash before any is put in place.

    Parameters
    ----------
    name : str
        For example ``"aspects-281"``, or that of a set that was built and lies
        in ``source``.
    data_folder : Path
        Made where it is absent.
    source : Path, optional
    on_file : callable, optional
        Called with the name of each file that has been checked.

    Returns
    -------
    Path
        The folder of the installed atlas set.

    Raises
    ------
    UnknownAtlasError
        There is no atlas set of that name.
    AtlasMissingError, AtlasAlteredError
        The source lacks a file, or holds another one; nothing was installed.
    AtlasUnavailableError
        The download failed.
    AtlasStorageError
        The data folder cannot be written, or a file cannot be read.
    """
    entry = entry_to_install(name, source)
    folder = atlas_folder(name, data_folder)
    if is_installed(entry, folder):
        return folder

    origin = find_source(entry, source)
    contents = download(entry, on_file) if origin is None else _read_source(entry, origin, on_file)
    contents |= _papers(entry, origin)
    try:
        _put_in_place(contents, folder)
    except OSError as error:
        raise AtlasStorageError(
            f"cannot write {folder} ({error.strerror}). Run, with a folder that this user may "
            f"write: {install_command(name)} --data FOLDER"
        ) from error
    return folder


def entry_to_install(name: str, source: Path | None) -> CatalogEntry:
    """Return what is known of an atlas set before it is installed.

    Parameters
    ----------
    name : str
        Of the catalogue, or of a set that was built and lies in ``source``.
    source : Path, optional

    Raises
    ------
    UnknownAtlasError
        There is no atlas set of that name.
    AtlasAlteredError
        The manifest in ``source`` cannot be read.
    """
    if name not in CATALOG and source is not None and (source / MANIFEST).is_file():
        built = entry_of(source)
        if built.name == name:
            return built
    return catalog_entry(name)


def is_installed(entry: CatalogEntry, folder: Path) -> bool:
    """Tell whether a folder holds the atlas set, whole and unaltered."""
    return (folder / MANIFEST).is_file() and all(
        check.state is FileState.OK for check in check_files(entry, folder)
    )


def find_source(entry: CatalogEntry, source: Path | None = None) -> Path | None:
    """Return the folder to install from, or None for the download.

    Raises
    ------
    AtlasMissingError
        A folder was named, by the caller or in the environment, that is not
        there.
    """
    named = os.environ.get(SOURCE_VARIABLE)
    if source is not None:
        chosen, said_by = source, "--from"
    elif named:
        chosen, said_by = Path(named).expanduser(), f"${SOURCE_VARIABLE}"
    else:
        shared = SHARED_DATA / entry.name
        return shared if shared.is_dir() else None
    if not chosen.is_dir():
        raise AtlasMissingError(
            f"{said_by} names {chosen}, which is not a folder. Run, with the folder that holds "
            f"the atlas files: {install_command(entry.name)} --from FOLDER"
        )
    return chosen / entry.name if (chosen / entry.name).is_dir() else chosen


def _read_source(entry: CatalogEntry, folder: Path, on_file: OnFile | None) -> dict[str, bytes]:
    contents = {}
    advice = f"Run, with an unaltered copy: {install_command(entry.name)} --from FOLDER"
    for name, sha256 in entry.files.items():
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError as error:
            raise AtlasMissingError(
                f"{name} is not in {folder}; nothing was installed. {advice}"
            ) from error
        except OSError as error:
            raise AtlasStorageError(
                f"{name} in {folder} cannot be read ({error.strerror}); nothing was installed. "
                f"{advice}"
            ) from error
        if sha256_of(content) != sha256:
            raise AtlasAlteredError(
                f"{name} in {folder} is not the pinned file; nothing was installed. {advice}"
            )
        contents[name] = content
        if on_file is not None:
            on_file(name)
    return contents


def _papers(entry: CatalogEntry, origin: Path | None) -> dict[str, bytes]:
    """Return licence and manifest: ours for a set of the catalogue, else those it came with."""
    if entry.name in CATALOG:
        licence = (_PACKAGE / "licences" / f"{entry.name}.txt").read_bytes()
        return {"LICENSE": licence, MANIFEST: _manifest(entry)}
    known = [origin / name for name in ("LICENSE", "README.md", MANIFEST)] if origin else []
    return {path.name: path.read_bytes() for path in known if path.is_file()}


def _manifest(entry: CatalogEntry) -> bytes:
    content = {
        "name": entry.name,
        "version": entry.version,
        "licence": entry.licence,
        "citation": entry.citation,
        "sha256": dict(entry.files),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _put_in_place(contents: dict[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=folder.parent) as temporary:
        # a folder inside, because that of tempfile is closed to other users
        staged = Path(temporary) / folder.name
        staged.mkdir()
        for name, content in contents.items():
            _write_durably(staged / name, content)
        _sync_folder(staged)
        _move(staged, folder)
    _sync_folder(folder.parent)


def _move(staged: Path, folder: Path) -> None:
    if not folder.exists():
        staged.rename(folder)
        return
    # repairing: one file at a time, so that the set never vanishes under a reader
    for path in staged.iterdir():
        path.replace(folder / path.name)
    _sync_folder(folder)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
