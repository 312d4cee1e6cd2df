"""What an atlas set in a folder should hold: by the catalogue, or by its own manifest."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from atlases.catalog import CATALOG, CatalogEntry, catalog_entry
from atlases.errors import AtlasAlteredError

MANIFEST: Final = "manifest.json"
"""File beside the atlas set: its name, version, licence and hashes."""


def entry_of(folder: Path) -> CatalogEntry:
    """Return what is known of the atlas set in a folder.

    A set of the catalogue is held against the catalogue, whatever its manifest
    says; one that was built, against its manifest.

    Parameters
    ----------
    folder : Path
        With a manifest, or named after a set of the catalogue.

    Raises
    ------
    UnknownAtlasError
        Neither a manifest with hashes, nor a name that is in the catalogue.
    AtlasAlteredError
        The manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return catalog_entry(folder.name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name = str(content["name"])
        is_built = name not in CATALOG and "sha256" in content
        return _built(content) if is_built else catalog_entry(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AtlasAlteredError(
            f"{path} cannot be read. Put an unaltered copy of the atlas set there; one that was "
            "installed: remove that file and run: aspects-node atlas install NAME"
        ) from error


def _built(content: dict[str, Any]) -> CatalogEntry:
    files = {str(name): str(sha256) for name, sha256 in content["sha256"].items()}
    return CatalogEntry(
        name=str(content["name"]),
        version=str(content["version"]),
        licence=str(content["licence"]),
        citation=str(content["citation"]),
        files=MappingProxyType(files),
        urls=(),
    )
