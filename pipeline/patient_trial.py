"""Map simulated patients, healthy and ischaemic, to see what an infarct costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import SimpleITK as sitk

from pipeline.arrays import HuArray, LabelArray, MaskArray
from pipeline.atlas import AgeGroup, Atlas, AtlasSet
from pipeline.mapping import map_labels
from pipeline.midline import Midline
from pipeline.multi_start import register_best
from pipeline.regions import REGION_SIDES, Level
from pipeline.registration import Method
from pipeline.simulated_patient import simulate_patient

_MIDLINE_SD_DEGREES: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientScore:
    """One simulated patient mapped twice.

    Attributes
    ----------
    level : Level
    anatomy, atlas : AgeGroup
        What the patient was made from, and what was registered.
    healthy_dsc, ischaemic_dsc : float
        Mean Dice coefficient over the regions of the level, side by side.
    regions : int
        With hypodensity.
    drop_hu : float
    """

    level: Level
    anatomy: AgeGroup
    atlas: AgeGroup
    healthy_dsc: float
    ischaemic_dsc: float
    regions: int
    drop_hu: float


def score_patients(
    atlases: AtlasSet, method: Method, patients: int, seed: int
) -> Iterator[PatientScore]:
    """Map patients made from one age group with the atlas of another.

    Parameters
    ----------
    atlases : AtlasSet
    method : Method
    patients : int
        For each ordered pair of age groups and each level.
    seed : int
        Every patient has a seed of its own, whatever the order.

    Yields
    ------
    PatientScore
    """
    pairs = itertools.permutations(atlases.groups, 2)
    for (anatomy, template), level, number in itertools.product(pairs, Level, range(patients)):
        source, atlas = atlases.get(anatomy, level), atlases.get(template, level)
        key = [seed, *(list(AgeGroup).index(group) for group in (anatomy, template))]
        rng = np.random.default_rng([*key, list(Level).index(level), number])
        patient = simulate_patient(source, rng)
        # in a head the slices above and below give the midline too, but not exactly
        midline = replace(
            patient.midline,
            angle_degrees=patient.midline.angle_degrees + rng.normal(0, _MIDLINE_SD_DEGREES),
        )
        healthy, ischaemic = (
            mean_dice(_map(slice_hu, patient.brain, midline, source, atlas, method), patient.labels)
            for slice_hu in (patient.healthy, patient.ischaemic)
        )
        yield PatientScore(
            level=level,
            anatomy=anatomy,
            atlas=template,
            healthy_dsc=healthy,
            ischaemic_dsc=ischaemic,
            regions=len(patient.lesioned),
            drop_hu=patient.drop_hu,
        )


def _map(
    slice_hu: HuArray,
    brain: MaskArray,
    midline: Midline,
    source: Atlas,
    atlas: Atlas,
    method: Method,
) -> LabelArray:
    fit = register_best(slice_hu, brain, source.spacing_mm, [atlas], midline=midline, method=method)
    return map_labels(atlas, fit.registration, brain)


def mean_dice(labels: LabelArray, truth: LabelArray) -> float:
    """Average the Dice coefficient over the regions of the truth, each side by itself.

    Parameters
    ----------
    labels, truth : numpy.ndarray, shape (row, column), uint8
        1-20.
    """
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(
        sitk.GetImageFromArray(np.asarray(truth)), sitk.GetImageFromArray(np.asarray(labels))
    )
    there = set(np.unique(truth).tolist())
    numbers = [item.number for item in REGION_SIDES if item.number in there]
    return float(np.mean([overlap.GetDiceCoefficient(number) for number in numbers]))
