"""Measure one case: the method and every reader against each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from node.evaluation.cases import Case, Slices
from node.evaluation.heads import Head, open_head
from node.evaluation.predict import FOUND, GIVEN, Predictions, map_head, write_maps
from pipeline.arrays import HuArray, LabelArray, MaskArray
from pipeline.atlas import AgeGroup, AtlasSet
from pipeline.brain import BrainMethod
from pipeline.errors import SeriesError
from pipeline.evaluation.overlap import score_reading
from pipeline.evaluation.reading import Reading
from pipeline.evaluation.tables import Comparison
from pipeline.localizer.evaluate import Finding
from pipeline.regions import Level
from pipeline.registration import Method
from pipeline.run import Parameters, Tools
from pipeline.volume import slab, to_volume

_MARGIN_MM: Final = 22.0
_BOTH: Final = 2
FOLDERS: Final = {GIVEN: "given", FOUND: "found"}
"""Folder of the maps of each method."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """How to evaluate.

    Attributes
    ----------
    reference : str or None
        Reader whose drawings are the truth; None where nobody drew regions.
    source : Tools or Predictions
        What to map with, or where the maps are.
    methods : tuple of str
        `GIVEN`, `FOUND`, or both; `TAKEN` alone where the maps are there.
    by_age : bool
        Map each case with the atlas of each age group, too.
    registration : Method
    brain : {"skull", "paper"}
    maps : Path or None
        Where to keep the maps.
    """

    reference: str | None
    source: Tools | Predictions
    methods: tuple[str, ...] = (GIVEN, FOUND)
    by_age: bool = False
    registration: Method = Method.GREEDY
    brain: BrainMethod = "skull"
    maps: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlay:
    """One level of a case, to be looked at.

    Attributes
    ----------
    level : Level
    reader : str
        Whose regions are compared.
    hu : numpy.ndarray, shape (row, column), float32
        The slice of the reading.
    labels, reference : numpy.ndarray, shape (row, column), uint8
    spacing_mm : tuple of float
    slice_offset : int
    """

    level: Level
    reader: str
    hu: HuArray
    labels: LabelArray
    reference: LabelArray
    spacing_mm: tuple[float, float]
    slice_offset: int


@dataclass(slots=True, kw_only=True, eq=False)
class Measured:
    """What was found in one case.

    Attributes
    ----------
    case : Case
    refused : dict of str to str
        Method to the code with which it rejected the case.
    verdicts : dict of str to (str, tuple of str)
        Method to the pipeline's own verdict and the codes of its reasons.
    comparisons : list of Comparison
    levels : dict of str to Finding
        By method or reader: its slices against the true ones.
    slices : dict of str to mapping of Level to int
        Method to the slices it read.
    by_atlas : dict of AgeGroup to list of Comparison
    overlays : list of Overlay
    atlas : str
        Name, version and age group of the atlas; empty for predictions.
    """

    case: Case
    refused: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    levels: dict[str, Finding] = field(default_factory=dict)
    slices: dict[str, Slices] = field(default_factory=dict)
    by_atlas: dict[AgeGroup, list[Comparison]] = field(default_factory=dict)
    overlays: list[Overlay] = field(default_factory=list)
    atlas: str = ""


def measure_case(case: Case, settings: Settings) -> Measured:
    """Read a case, map it, and compare everything with everything.

    A case that the method rejects is a result too: it is kept with the code.

    Raises
    ------
    CaseError
        A drawing or prediction does not fit the images.
    """
    measured = Measured(case=case)
    try:
        head = open_head(case, settings.reference)
    except SeriesError as error:
        measured.refused = dict.fromkeys(settings.methods, error.code)
        return measured
    measured.case = head.case
    bench = _Bench(head, settings, measured)
    bench.measure_readers()
    for method in settings.methods:
        bench.measure_method(method)
    if settings.by_age:
        bench.measure_ages()
    return measured


class _Bench:
    """One head on the bench; what is found goes into ``measured``."""

    def __init__(self, head: Head, settings: Settings, measured: Measured) -> None:
        self._head = head
        self._settings = settings
        self._measured = measured

    def measure_readers(self) -> None:
        """Compare every pair of people, and their slices with the true ones."""
        people = sorted(
            self._head.readings.values(), key=lambda one: one.reader == self._settings.reference
        )
        for one, other in itertools.combinations(people, 2):
            self._measured.comparisons += self._compared(one, other, by_person=True)
        for reader, slices in self._head.case.read_levels.items():
            self._compare_levels(reader, slices)

    def measure_method(self, method: str) -> None:
        """Map the head, or take what is there, and compare it with every person."""
        try:
            found = self._read(method)
        except SeriesError as error:
            self._measured.refused[method] = error.code
            return
        if found is None:
            return
        reading, hu = found
        for reader in self._head.readings.values():
            self._measured.comparisons += self._compared(reading, reader)
        self._measured.slices[method] = reading.slices
        self._compare_levels(method, reading.slices)
        self._keep_overlays(reading, hu)
        if self._settings.maps is not None and method in FOLDERS:
            write_maps(self._settings.maps / FOLDERS[method], self._head, reading)

    def measure_ages(self) -> None:
        """Map the true slices with the atlas of each age group."""
        reference, tools = self._reference(), self._settings.source
        levels = self._head.case.levels
        known = levels and age_group_of(self._head.case.years)
        if reference is None or not known or isinstance(tools, Predictions):
            return
        for group in tools.atlases.groups:
            alone = replace(tools, atlases=_only(tools.atlases, group))
            try:
                mapped = map_head(self._head, alone, GIVEN, self._parameters(levels))
            except SeriesError:
                continue  # measure_method says why
            self._measured.by_atlas[group] = self._compared(mapped.reading, reference)

    def _read(self, method: str) -> tuple[Reading, Mapping[Level, HuArray]] | None:
        """Return reading and slices; None where there is nothing to read from."""
        case, source = self._head.case, self._settings.source
        if isinstance(source, Predictions):
            reading = source.read(self._head)
            if isinstance(reading, str):
                self._measured.refused[method] = reading
                return None
            return reading, _slices_of(self._head, reading.slices)
        if method == GIVEN and not case.levels:
            return None
        levels = case.levels if method == GIVEN else {}
        mapped = map_head(self._head, source, method, self._parameters(levels))
        self._measured.verdicts[method] = (mapped.verdict, mapped.reasons)
        origin = mapped.provenance
        self._measured.atlas = f"{origin.atlas_name} {origin.atlas_version} {origin.age_group}"
        return mapped.reading, mapped.hu

    def _parameters(self, levels: Slices) -> Parameters:
        both = (levels[Level.GANGLIONIC], levels[Level.SUPRAGANGLIONIC]) if levels else None
        return Parameters(
            age_years=self._head.case.years,
            levels=both,
            registration=self._settings.registration,
            brain_method=self._settings.brain,
            objects=(),
        )

    def _compared(
        self, reading: Reading, reference: Reading, *, by_person: bool = False
    ) -> list[Comparison]:
        return [
            Comparison(
                case=self._head.case.name,
                reader=reading.reader,
                against=reference.reader,
                score=score,
            )
            for score in score_reading(
                reading, reference, self._head.spacing_mm, by_person=by_person
            )
        ]

    def _compare_levels(self, reader: str, slices: Slices) -> None:
        truth = self._head.case.levels
        if reader == GIVEN or set(truth) != set(Level) or set(slices) != set(Level):
            return
        where = self._head.series.distances_mm
        low, high = (float(where[slices[level]] - where[truth[level]]) for level in Level)
        self._measured.levels[reader] = Finding(
            name=self._head.case.name,
            truth=(truth[Level.GANGLIONIC], truth[Level.SUPRAGANGLIONIC]),
            found=(slices[Level.GANGLIONIC], slices[Level.SUPRAGANGLIONIC]),
            error_mm=(low, high),
        )

    def _keep_overlays(self, reading: Reading, hu: Mapping[Level, HuArray]) -> None:
        reference = self._reference()
        if self._measured.overlays or reference is None:
            return
        for level in Level:
            drawn = [one.labels[level] > 0 for one in (reading, reference) if level in one.labels]
            if len(drawn) == _BOTH and np.any(drawn):
                window = self._window(np.any(drawn, axis=0))
                self._measured.overlays.append(
                    Overlay(
                        level=level,
                        reader=reading.reader,
                        hu=hu[level][window].copy(),
                        labels=reading.labels[level][window].copy(),
                        reference=reference.labels[level][window].copy(),
                        spacing_mm=self._head.spacing_mm,
                        slice_offset=reading.slices[level] - reference.slices[level],
                    )
                )

    def _window(self, drawn: MaskArray) -> tuple[slice, slice]:
        """Cut out the regions and what lies around them."""
        around = np.ceil(_MARGIN_MM / np.array(self._head.spacing_mm)).astype(int)
        corners = np.argwhere(drawn)
        low = np.maximum(corners.min(axis=0) - around, 0)
        high = corners.max(axis=0) + around + 1
        return slice(low[0], high[0]), slice(low[1], high[1])

    def _reference(self) -> Reading | None:
        return self._head.readings.get(self._settings.reference or "")


def _only(atlases: AtlasSet, group: AgeGroup) -> AtlasSet:
    """Leave one age group: where a fit is poor the pipeline tries the others."""
    kept = {key: item for key, item in atlases.atlases.items() if key[0] is group}
    return replace(atlases, atlases=kept)


def age_group_of(years: float | None) -> AgeGroup | None:
    """Return the age group that an age falls in, None outside all of them.

    Examples
    --------
    >>> age_group_of(69.9)
    <AgeGroup.AGE_50_69: '50-69'>
    """
    for group in AgeGroup:
        first, last = group.years
        if years is not None and first <= years < last + 1:
            return group
    return None


def _slices_of(head: Head, slices: Slices) -> dict[Level, HuArray]:
    volume = to_volume(head.series)
    return {
        level: np.array(head.view.apply(slab(volume, index))) for level, index in slices.items()
    }
