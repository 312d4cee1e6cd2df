"""Judge the templates of an atlas set: what they hold, how sharp and even they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from atlases.errors import AtlasAlteredError, AtlasMissingError
from atlases.install import MANIFEST
from atlases.nifti import read_in_view
from atlases.sharpness import (
    brain_of,
    edge_width_mm,
    entropy_brain,
    entropy_full,
    gradient_sharpness,
)
from atlases.symmetry import RegionSymmetry, region_symmetry
from pipeline.arrays import HuArray, LabelArray, frozen
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Level, Region

_IMAGE_FILE: Final = re.compile(r"(subcortical|cortical)_image_(\d+)_(\d+)\.nii(?:\.gz)?")
_LEVELS: Final = {"subcortical": Level.GANGLIONIC, "cortical": Level.SUPRAGANGLIONIC}
_CAUDATE: Final = 1

ENTROPY_CAVEAT: Final = (
    "entropy_full is the paper's figure. It counts the black background, some 70 % of the "
    "picture: a closer crop raises it, a blurred template loses little of it, and the same "
    "picture stored with fractions of a HU gains 0.7 bit. It ranks neither sharpness nor quality. "
    "entropy_brain leaves background and number format out; noise raises it. Judge sharpness by "
    "the edge width at the caudate (smaller is sharper) and by the gradient (noise raises it)."
)
"""What the figures are worth, said wherever they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TemplatePicture:
    """One template as it lies in its folder.

    Attributes
    ----------
    name : str
        Of the atlas set.
    age_group : str
        Years, for example ``"50-69"``.
    level : Level
    template : numpy.ndarray, shape (row, column), float32
        In the radiologist's view.
    labels : numpy.ndarray, shape (row, column), uint8, or None
        On the same grid.
    spacing_mm : tuple of float
        Between rows, then between columns.
    """

    name: str
    age_group: str
    level: Level
    template: HuArray
    labels: LabelArray | None
    spacing_mm: tuple[float, float]

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        frozen(self.template)
        if self.labels is not None:
            frozen(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateQuality:
    """The figures of one template; NaN where one cannot be had.

    Attributes
    ----------
    name, age_group : str
    level : Level
    entropy_full : float
        Bits, as the paper has it: background and all.
    entropy_brain : float
        Bits, inside the brain, 0-80 HU in bins of 1 HU.
    background : float
        Share of the picture that is not brain.
    gradient_hu_mm : float
        Mean gradient inside the brain.
    edge_width_mm : float
        From 10 to 90 % between caudate and ventricle; ganglionic level only.
    regions : tuple of RegionSymmetry
        Empty where there are no labels.
    """

    name: str
    age_group: str
    level: Level
    entropy_full: float
    entropy_brain: float
    background: float
    gradient_hu_mm: float
    edge_width_mm: float
    regions: tuple[RegionSymmetry, ...]

    @property
    def area_asymmetry(self) -> float:
        """Mean over the regions of the sides' difference in area, as a share."""
        return _mean([abs(item.area_asymmetry) for item in self.regions])

    @property
    def hu_asymmetry(self) -> float:
        """Mean over the regions of the sides' difference in HU."""
        return _mean([abs(item.hu_asymmetry) for item in self.regions])

    @property
    def fragmented(self) -> tuple[Region, ...]:
        """Regions that fall into more than one part on a side."""
        return tuple(item.region for item in self.regions if item.fragments)

    def document(self) -> dict[str, Any]:
        """Return the figures as values that JSON can hold; ``None`` for NaN."""
        return {
            "name": self.name,
            "age_group": self.age_group,
            "level": str(self.level),
            "entropy_full": _number(self.entropy_full),
            "entropy_brain": _number(self.entropy_brain),
            "background": _number(self.background),
            "gradient_hu_mm": _number(self.gradient_hu_mm),
            "edge_width_mm": _number(self.edge_width_mm),
            "area_asymmetry": _number(self.area_asymmetry),
            "hu_asymmetry": _number(self.hu_asymmetry),
            "fragments": sum(item.fragments for item in self.regions),
            "regions": [_region(item) for item in self.regions],
        }


def read_templates(folder: Path) -> tuple[TemplatePicture, ...]:
    """Read every template of a folder, pinned or the user's own.

    Parameters
    ----------
    folder : Path
        Holds ``subcortical_image_A_B.nii.gz`` and ``cortical_image_A_B.nii.gz``
        for ages A to B, with ``…_label_…`` beside them where there are labels.

    Returns
    -------
    tuple of TemplatePicture
        By age, the ganglionic level first.

    Raises
    ------
    AtlasMissingError
        The folder holds no template.
    AtlasAlteredError
        A file cannot be read as a 2-D picture, or labels do not lie on their
        template.
    """
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if match := _IMAGE_FILE.fullmatch(path.name):
            found.append((int(match[2]), match[1] != "subcortical", path, match))
    if not found:
        raise AtlasMissingError(
            f"{folder} holds no template. Name a folder with files such as "
            "subcortical_image_50_69.nii.gz"
        )
    name = _name_of(folder)
    return tuple(
        _read(name, path, match) for _, _, path, match in sorted(found, key=lambda item: item[:2])
    )


def judge_template(picture: TemplatePicture) -> TemplateQuality:
    """Measure one template."""
    brain = brain_of(picture.template)
    labels = picture.labels
    edge = float("nan")
    if labels is not None and picture.level is Level.GANGLIONIC:
        caudate = np.isin(labels, (_CAUDATE, _CAUDATE + LEFT_OFFSET))
        edge = edge_width_mm(picture.template, caudate, picture.spacing_mm)
    return TemplateQuality(
        name=picture.name,
        age_group=picture.age_group,
        level=picture.level,
        entropy_full=entropy_full(picture.template),
        entropy_brain=entropy_brain(picture.template, brain),
        background=1 - float(brain.mean()),
        gradient_hu_mm=gradient_sharpness(picture.template, brain, picture.spacing_mm),
        edge_width_mm=edge,
        regions=()
        if labels is None
        else region_symmetry(picture.template, labels, picture.spacing_mm),
    )


def judge_folder(folder: Path) -> Iterator[tuple[TemplatePicture, TemplateQuality]]:
    """Read and measure every template of a folder; see `read_templates`."""
    for picture in read_templates(folder):
        yield picture, judge_template(picture)


def _name_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / MANIFEST).read_text())["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.resolve().name


def _read(name: str, image: Path, match: re.Match[str]) -> TemplatePicture:
    label = image.with_name(image.name.replace("_image_", "_label_"))
    try:
        pixels, spacing_mm = read_in_view(image)
        values, label_spacing_mm = read_in_view(label) if label.is_file() else (None, spacing_mm)
    except (RuntimeError, ValueError) as error:
        raise AtlasAlteredError(f"{image} or its labels cannot be read as a 2-D NIfTI") from error
    if values is not None:
        if values.shape != pixels.shape or not np.allclose(label_spacing_mm, spacing_mm):
            raise AtlasAlteredError(f"{image.name} and {label.name} have different grids")
        if values.min() < 0 or values.max() > len(REGION_SIDES):
            raise AtlasAlteredError(f"{label} holds numbers that are no region: 0-20 are known")
    return TemplatePicture(
        name=name,
        age_group=f"{match[2]}-{match[3]}",
        level=_LEVELS[match[1]],
        template=np.ascontiguousarray(pixels, dtype=np.float32),
        labels=None if values is None else np.ascontiguousarray(values, dtype=np.uint8),
        spacing_mm=spacing_mm,
    )


def _region(item: RegionSymmetry) -> dict[str, Any]:
    return {
        "region": str(item.region),
        "area_mm2": [_number(value) for value in item.area_mm2],
        "hu_mean": [_number(value) for value in item.hu_mean],
        "fragments": item.fragments,
        "fragments_mm2": _number(item.fragments_mm2),
    }


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
