"""From a cohort to a finished atlas set."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy
import SimpleITK as sitk

from atlases.construct.cohort import Cohort, Subject
from atlases.construct.layout import write_level, write_manifest
from atlases.construct.recipe import Recipe, digest
from atlases.construct.rounds import Built, LevelBuild
from atlases.construct.template import Movement
from atlases.construct.work import Preparation, Runner, runner, stored_scale
from atlases.errors import AtlasStorageError, CohortError
from pipeline.atlas import AgeGroup, AtlasSet
from pipeline.regions import Level

WORK: Final = "work"
"""Sub-folder of what is not finished; removed at the end."""

Key = tuple[AgeGroup, Level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, and from what.

    Attributes
    ----------
    name, licence, citation : str
        For the manifest and every report.
    cohort : Cohort
    recipe : Recipe
    unknown_age : AgeGroup or None
        Group of subjects whose age is not known.
    fit_to : AtlasSet or None
        Each head is scaled until its brain has the area that it has there on
        average: for heads whose pixel spacing is not known.
    drawings : AtlasSet or None
        Atlas set whose regions, of all age groups, are fused; None takes the
        subjects' own.
    """

    name: str
    licence: str
    citation: str
    cohort: Cohort
    recipe: Recipe
    unknown_age: AgeGroup | None
    fit_to: AtlasSet | None
    drawings: AtlasSet | None

    def groups(self) -> dict[AgeGroup, tuple[Subject, ...]]:
        """Return the subjects of each age group."""
        return self.cohort.groups(self.unknown_age)

    @property
    def steps(self) -> int:
        """How many steps `build` reports."""
        return len(self.cohort.subjects) * (1 + len(Level) * self.recipe.iterations)


def build(
    order: Order, out: Path, *, jobs: int, on_step: Callable[[], None]
) -> dict[Key, tuple[Movement, ...]]:
    """Build an atlas set; goes on where it was stopped.

    Parameters
    ----------
    order : Order
    out : Path
        Made where it is absent. Until the end the work lies in its sub-folder
        ``work``.
    jobs : int
        Processes. The result does not depend on it.
    on_step : callable
        Called `Order.steps` times.

    Returns
    -------
    dict of (AgeGroup, Level) to tuple of Movement
        How far each round moved.

    Raises
    ------
    CohortError
        A subject cannot be used, or nobody drew the regions.
    AtlasStorageError
        A file cannot be written.
    """
    groups = order.groups()
    _check(order, groups)
    about = _about(order, groups)
    work = out / WORK / digest(about)[:16]
    try:
        with runner(jobs, on_step) as run:
            pictures = _prepare(order, groups, work, run)
            built = {
                (group, level): _level(order, group, level, pictures, work).build(run)
                for group in groups
                for level in Level
            }
        _write(order, about, built, pictures, out)
        shutil.rmtree(out / WORK)
    except OSError as error:
        raise AtlasStorageError(f"cannot write in {out} ({error.strerror})") from error
    return {key: item.movements for key, item in built.items()}


def _check(order: Order, groups: Mapping[AgeGroup, tuple[Subject, ...]]) -> None:
    initial = order.recipe.initial
    for group, subjects in groups.items():
        if initial is not None and initial not in {subject.name for subject in subjects}:
            raise CohortError(f"subject {initial} is not among those of {group} years")
        if order.drawings is None and not any(subject.regions for subject in subjects):
            raise CohortError(
                f"no subject of {group} years has regions: add NAME_regions.nii.gz, or take them "
                "from an atlas set with --regions-from FOLDER"
            )


def _about(order: Order, groups: Mapping[AgeGroup, tuple[Subject, ...]]) -> dict[str, Any]:
    """Return what decides the result, as plain data."""
    return {
        "name": order.name,
        "licence": order.licence,
        "citation": order.citation,
        "construction": {
            "method": "unbiased template of the mean shape: affine and diffeomorphic "
            "registration by cross-correlation, average, sharpening, shape update by the "
            "averaged inverse deformation; regions by majority vote",
            "parameters": order.recipe.described(),
            "regions_from": _named(order.drawings) or "the subjects",
            "scale_fitted_to": _named(order.fit_to),
            "software": {
                "aspects-node": metadata.version("aspects-node"),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "SimpleITK": sitk.Version.VersionString(),
            },
            "subjects": [
                {"name": subject.name, "age_group": str(group), "sha256": subject.sha256()}
                for group, subjects in groups.items()
                for subject in subjects
            ],
            "left_out": dict(order.cohort.left_out),
        },
    }


def _named(atlases: AtlasSet | None) -> str | None:
    return None if atlases is None else f"{atlases.name} {atlases.version}"


def _prepare(
    order: Order, groups: Mapping[AgeGroup, tuple[Subject, ...]], work: Path, run: Runner
) -> dict[AgeGroup, tuple[Path, ...]]:
    areas = None if order.fit_to is None else _mean_areas(order.fit_to)
    steps = {
        group: [
            Preparation(
                subject=subject,
                areas_mm2=areas,
                grid_mm=order.recipe.grid_mm,
                target=work / f"{subject.name}.npz",
            )
            for subject in subjects
        ]
        for group, subjects in groups.items()
    }
    run.run([step for items in steps.values() for step in items])
    return {group: tuple(step.target for step in items) for group, items in steps.items()}


def _mean_areas(atlases: AtlasSet) -> dict[Level, float]:
    """Return the area of the brain at each level, mean over the age groups, in mm2."""
    return {
        level: float(
            np.mean(
                [
                    (atlases.get(group, level).template > 0).sum()
                    * np.prod(atlases.get(group, level).spacing_mm)
                    for group in atlases.groups
                ]
            )
        )
        for level in Level
    }


def _level(
    order: Order,
    group: AgeGroup,
    level: Level,
    pictures: Mapping[AgeGroup, tuple[Path, ...]],
    work: Path,
) -> LevelBuild:
    initial, drawings = order.recipe.initial, order.drawings
    return LevelBuild(
        recipe=order.recipe,
        level=level,
        pictures=pictures[group],
        initial=None if initial is None else work / f"{initial}.npz",
        drawings=()
        if drawings is None
        else tuple(drawings.get(one, level) for one in drawings.groups),
        folder=work / f"{level}-{group}",
    )


def _write(
    order: Order,
    about: dict[str, Any],
    built: Mapping[Key, Built],
    pictures: Mapping[AgeGroup, tuple[Path, ...]],
    out: Path,
) -> None:
    names = [
        name
        for (group, level), item in built.items()
        for name in write_level(out, group, level, item)
    ]
    construction = dict(about["construction"])
    scales = [stored_scale(path) for paths in pictures.values() for path in paths]
    construction["subjects"] = [
        {**subject, "scale": round(scale, 4)}
        for subject, scale in zip(construction["subjects"], scales, strict=True)
    ]
    construction["rounds"] = {
        f"{group} {level}": [
            {
                "deformation_mm": round(one.deformation_mm, 4),
                "update_mm": round(one.update_mm, 4),
            }
            for one in item.movements
        ]
        for (group, level), item in built.items()
    }
    write_manifest(out, tuple(names), {**about, "construction": construction})
