"""Read an installed atlas set into the pipeline's types."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import numpy as np

from atlases.catalog import CatalogEntry, catalog_entry
from atlases.errors import AtlasAlteredError
from atlases.folders import install_command
from atlases.install import MANIFEST
from atlases.lateralise import lateralise, midline_column
from atlases.nifti import read_in_view
from atlases.verify import require_intact
from pipeline.arrays import HuArray, LabelArray
from pipeline.atlas import AgeGroup, Atlas, AtlasSet
from pipeline.regions import Level, at_level

_LEVEL_WORD: Final = {
    Level.GANGLIONIC: "subcortical",
    Level.SUPRAGANGLIONIC: "cortical",
}


def load_atlas_set(folder: Path) -> AtlasSet:
    """Read an atlas set; every file is checked against its pinned hash first.

    Parameters
    ----------
    folder : Path
        As returned by `atlases.install.install`, or any folder with the same
        files that is named after the atlas set.

    Returns
    -------
    AtlasSet
        Lateralised, in the radiologist's view.

    Raises
    ------
    UnknownAtlasError
        The folder is of no atlas set that is known here.
    AtlasMissingError, AtlasAlteredError
        A file is missing, or is not the pinned one.
    AtlasStorageError
        A file cannot be read.
    """
    entry = catalog_entry(_name_of(folder))
    require_intact(entry, folder)
    return AtlasSet(
        name=entry.name,
        version=entry.version,
        licence=entry.licence,
        citation=entry.citation,
        atlases={
            (group, level): _load_atlas(entry, folder, group, level)
            for group in AgeGroup
            for level in Level
        },
    )


def _name_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / MANIFEST).read_text())["name"])
    except FileNotFoundError:
        return folder.name
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AtlasAlteredError(
            f"{folder / MANIFEST} cannot be read. Remove that file and run: "
            f"{install_command('NAME')}"
        ) from error


def _load_atlas(entry: CatalogEntry, folder: Path, group: AgeGroup, level: Level) -> Atlas:
    first, last = group.years
    image, label = (
        folder / f"{_LEVEL_WORD[level]}_{kind}_{first}_{last}.nii.gz" for kind in ("image", "label")
    )
    pixels, spacing_mm = read_in_view(image)
    values, label_spacing_mm = read_in_view(label)
    if pixels.shape != values.shape or spacing_mm != label_spacing_mm:
        raise AtlasAlteredError(f"{image.name} and {label.name} in {folder} have different grids")

    template: HuArray = np.ascontiguousarray(pixels, dtype=np.float32)
    labels = lateralise(np.ascontiguousarray(values, dtype=np.uint8), midline_column(template))
    _require_regions(labels, level, label)
    return Atlas(
        template=template,
        labels=labels,
        spacing_mm=spacing_mm,
        level=level,
        age_group=group,
        name=entry.name,
        version=entry.version,
        sha256=hashlib.sha256(image.read_bytes() + label.read_bytes()).hexdigest(),
    )


def _require_regions(labels: LabelArray, level: Level, path: Path) -> None:
    expected = {item.number for item in at_level(level)}
    found = set(np.unique(labels[labels > 0]).tolist())
    if found != expected:
        raise AtlasAlteredError(
            f"{path} does not hold the {level} regions of both sides: "
            f"missing or unexpected numbers {sorted(expected ^ found)}"
        )
