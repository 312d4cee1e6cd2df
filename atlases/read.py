"""Read an installed atlas set into the pipeline's types."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from atlases.catalog import CatalogEntry
from atlases.entry import entry_of
from atlases.errors import AtlasAlteredError
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
        files that is named after the atlas set, or one that was built.

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
    entry = entry_of(folder)
    require_intact(entry, folder)
    groups = _groups(entry)
    if not groups:
        raise AtlasAlteredError(f"the atlas set in {folder} holds no age group with both levels")
    return AtlasSet(
        name=entry.name,
        version=entry.version,
        licence=entry.licence,
        citation=entry.citation,
        atlases={
            (group, level): _load_atlas(entry, folder, group, level)
            for group in groups
            for level in Level
        },
    )


def file_name(level: Level, kind: str, group: AgeGroup) -> str:
    """Return the name of a file of an atlas set.

    Examples
    --------
    >>> file_name(Level.GANGLIONIC, "label", AgeGroup.AGE_50_69)
    'subcortical_label_50_69.nii.gz'
    """
    first, last = group.years
    return f"{_LEVEL_WORD[level]}_{kind}_{first}_{last}.nii.gz"


def _groups(entry: CatalogEntry) -> tuple[AgeGroup, ...]:
    """Return the age groups of which both levels are there."""
    return tuple(
        group
        for group in AgeGroup
        if all(
            file_name(level, kind, group) in entry.files
            for level in Level
            for kind in ("image", "label")
        )
    )


def _load_atlas(entry: CatalogEntry, folder: Path, group: AgeGroup, level: Level) -> Atlas:
    image, label = (folder / file_name(level, kind, group) for kind in ("image", "label"))
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
