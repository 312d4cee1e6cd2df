"""Spoil labelled heads and see whether the pipeline says so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset

from node.evaluation.nifti import nifti_datasets
from pipeline.errors import SeriesError
from pipeline.injected_failure import Failure, inject
from pipeline.localizer.data import LabelledHead
from pipeline.provenance import uid_factory
from pipeline.quality import NCC_WARN
from pipeline.regions import Level
from pipeline.run import Parameters, Tools, run
from pipeline.series import load_series

_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)  # goes into DICOM objects, of which none is made
_AGE_YEARS: Final = 45.0  # the heads have none; a missing age is a warning of its own
_WRONG_SLICES: Final = 4
_NOT_OF_THE_MAPPING: Final = ("age-", "series", "-level-uncertain", "-level-disputed")
"""Parts of reasons that doubt the age, the series, or one slice against the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the pipeline said about a head.

    Attributes
    ----------
    head : str
    failure : Failure or None
        What was done to it.
    rejected : str or None
        Code of the error where no result was made.
    verdict : str
        ``"pass"``, ``"warn"``, ``"fail"`` or ``"rejected"``.
    reasons : tuple of str
        Codes that doubt the mapping.
    ncc : float
        The lower correlation of the two levels; 0 where the head was rejected.
    """

    head: str
    failure: Failure | None
    rejected: str | None
    verdict: str
    reasons: tuple[str, ...]
    ncc: float

    @property
    def noticed(self) -> bool:
        """Whether a reader is told that the mapping may be wrong."""
        return self.rejected is not None or bool(self.reasons)

    def noticed_by_ncc(self, threshold: float) -> bool:
        """Whether correlation or rejection would tell, at another threshold."""
        others = any(not code.endswith("-similarity-low") for code in self.reasons)
        return self.rejected is not None or others or self.ncc < threshold


def judge_heads(
    heads: Sequence[LabelledHead], folder: Path, tools: Tools, seed: int
) -> Iterator[Outcome]:
    """Map every head as it is, then once with each failure.

    Parameters
    ----------
    heads : sequence of LabelledHead
    folder : Path
        Holds ``<name>.nii.gz``.
    tools : Tools
    seed : int

    Yields
    ------
    Outcome
        1 + 8 for each head.
    """
    for head in heads:
        datasets = nifti_datasets(folder / f"{head.name}.nii.gz")
        for number, failure in enumerate((None, *Failure)):
            rng = np.random.default_rng([seed, number, int.from_bytes(head.name.encode())])
            yield _outcome(head, failure, datasets, tools, rng)


def _outcome(
    head: LabelledHead,
    failure: Failure | None,
    datasets: Sequence[Dataset],
    tools: Tools,
    rng: np.random.Generator,
) -> Outcome:
    levels = _wrong_levels(head, rng) if failure is Failure.WRONG_LEVEL else None
    try:
        result = run(
            load_series(_spoilt(head, failure, datasets, rng)),
            tools,
            Parameters(age_years=_AGE_YEARS, levels=levels, objects=()),
            new_uid=uid_factory(),
            now=_NO_TIME,
            clock=time.perf_counter,
        )
    except SeriesError as error:
        return Outcome(
            head=head.name,
            failure=failure,
            rejected=error.code,
            verdict="rejected",
            reasons=(),
            ncc=0.0,
        )
    codes = [reason.code for reason in result.quality.reasons]
    return Outcome(
        head=head.name,
        failure=failure,
        rejected=None,
        verdict=result.quality.verdict.value,
        reasons=tuple(
            code for code in codes if not any(part in code for part in _NOT_OF_THE_MAPPING)
        ),
        ncc=min(result.registrations[level].ncc for level in Level),
    )


def _wrong_levels(head: LabelledHead, rng: np.random.Generator) -> tuple[int, int]:
    """Move both levels by four slices, up or down: their distance stays usual."""
    low, high = head.nearest()
    up = high + _WRONG_SLICES < len(head.voxels) - 2
    down = low - _WRONG_SLICES >= 1
    step = _WRONG_SLICES if up and (not down or rng.random() < 0.5) else -_WRONG_SLICES
    return low + step, high + step


def _spoilt(
    head: LabelledHead,
    failure: Failure | None,
    datasets: Sequence[Dataset],
    rng: np.random.Generator,
) -> list[Dataset]:
    """Write the spoilt voxels into copies of the datasets."""
    if failure is None:
        return list(datasets)
    step_mm = float(np.median(np.diff(head.distances_mm)))
    voxels = inject(np.array(head.voxels), (step_mm, *head.spacing_mm), failure, rng)
    copies = []
    for dataset, hu in zip(datasets, voxels, strict=True):
        copy = Dataset()
        copy.update(dataset)
        copy.file_meta = dataset.file_meta
        copy.PixelData = np.rint(np.clip(hu, -1024, 32767)).astype("<i2").tobytes()
        copies.append(copy)
    return copies


def thresholds() -> tuple[float, ...]:
    """Return the correlations of the ROC table; the one in use is among them."""
    return (0.40, 0.45, 0.50, NCC_WARN, 0.60, 0.65, 0.70)
