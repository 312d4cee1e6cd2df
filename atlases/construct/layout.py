"""Write an atlas set: the file layout of ASPECTS-281, probabilities, a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from atlases.construct.fusion import Votes
from atlases.construct.rounds import Built
from atlases.entry import MANIFEST
from atlases.read import file_name
from atlases.verify import sha256_of
from pipeline.arrays import MaskArray
from pipeline.atlas import AgeGroup
from pipeline.regions import Level
from pipeline.registration_pairs import Upright

_STEPS_PER_HU: Final = 64  # finer than noise, and far smaller once compressed
_MARGIN: Final = 20
_PERCENT: Final = 100


def write_level(folder: Path, group: AgeGroup, level: Level, built: Built) -> tuple[str, ...]:
    """Write template, labels and probabilities of one level.

    Returns
    -------
    tuple of str
        The names of the files that make up the atlas; the probabilities, 0-100 with one
        plane for each region, are extra.
    """
    window = _window(built.template.brain)
    grid_mm = built.template.grid_mm
    contents: dict[str, npt.NDArray[Any]] = {
        "image": _stored_hu(built.template)[window],
        "label": built.labels[window],
        "probability": _percent(built.votes)[:, *window],
    }
    names = []
    for kind, array in contents.items():
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing((grid_mm, grid_mm, 1.0)[: array.ndim])
        names.append(file_name(level, kind, group))
        sitk.WriteImage(image, str(folder / names[-1]), useCompression=True)
    return tuple(names)


def write_manifest(folder: Path, names: tuple[str, ...], about: Mapping[str, Any]) -> str:
    """Write the manifest of a set, and return the version that its files have.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        Its files.
    about : mapping
        name, licence, citation and construction.
    """
    sums = {name: sha256_of((folder / name).read_bytes()) for name in sorted(names)}
    version = sha256_of("".join(sums.values()).encode())[:7]
    content = {"name": about["name"], "version": version, **about, "sha256": sums}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return version


def _stored_hu(template: Upright) -> npt.NDArray[np.float32]:
    rounded = np.rint(template.hu * _STEPS_PER_HU) / _STEPS_PER_HU
    # 0 is the background of these files
    inside = np.maximum(rounded, 1 / _STEPS_PER_HU)
    return np.where(template.brain, inside, 0.0).astype(np.float32)


def _percent(votes: Votes) -> npt.NDArray[np.uint8]:
    shares = np.stack(list(votes.values()))
    return np.rint(_PERCENT * np.clip(shares, 0, 1)).astype(np.uint8)


def _window(brain: MaskArray) -> tuple[slice, slice]:
    """Bound the brain; its middle column stays in the middle."""
    rows = np.flatnonzero(brain.any(axis=1))
    columns = np.flatnonzero(brain.any(axis=0))
    height, width = brain.shape
    side = min(columns[0], width - 1 - columns[-1]) - _MARGIN
    side = max(0, int(side))
    return (
        slice(max(0, int(rows[0]) - _MARGIN), min(height, int(rows[-1]) + _MARGIN + 1)),
        slice(side, width - side),
    )
