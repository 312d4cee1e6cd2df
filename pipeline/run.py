"""The method, from a checked series to its DICOM results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple

import numpy as np
from pydicom import Dataset

from pipeline.age import patient_age_years
from pipeline.alignment.infer import Aligner
from pipeline.all_slices import ALL_SLICES, carry, reachable
from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.atlas import AgeChoice, Atlas, AtlasSet
from pipeline.brain import ALGORITHMS as BRAIN_ALGORITHMS
from pipeline.brain import BrainMethod, extract_brain
from pipeline.eligibility import Eligibility, check_eligibility, check_metadata
from pipeline.encode import objects
from pipeline.encode.findings import Findings
from pipeline.encode.objects import ObjectKind
from pipeline.errors import CoverageError, GeometryError, LevelsError
from pipeline.foreign_density import foreign_density
from pipeline.head_frame import framed, framed_atlas
from pipeline.hyperdense import hyperdense_ml
from pipeline.levels import AspectsLevels, beside_the_method, find_levels, levels_by_person
from pipeline.localizer.infer import Localizer
from pipeline.mapping import LevelMap, RegionMap, map_labels, split_tissue
from pipeline.measure import RegionMeasurement, measure
from pipeline.midline import Midline, align_head, align_level
from pipeline.multi_start import FIRST_START, BestFit, register_best
from pipeline.open_skull import skull_gap_degrees
from pipeline.provenance import Algorithm, NewUid, Provenance
from pipeline.quality import HeadNumbers, Quality, judge
from pipeline.regions import Level
from pipeline.registration import ALGORITHMS, Method, Registration
from pipeline.review import ReviewLimits, review_algorithm
from pipeline.series import CtSeries
from pipeline.steadiness import jitter_mm
from pipeline.template_levels import match_templates
from pipeline.upside_down import half_turn_gain
from pipeline.ventricle_roof import paramedian_darkness, roof_evidence
from pipeline.volume import Volume, slab, to_volume

_MIN_SECTION_MM2: Final = 3000.0  # half of the largest cut through an infant's brain
_LIBRARIES: Final = ("numpy", "scipy", "SimpleITK", "picsl_greedy", "torch", "highdicom", "pydicom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What may be set from outside.

    Attributes
    ----------
    age_years : float or None
        Overrides the age in the images.
    levels : tuple of int or None
        Ganglionic and supraganglionic slice as a person chose them, 0-based
        from inferior to superior.
    brain_method : {"skull", "paper"}
    registration : Method
    review : ReviewLimits or None
        Mark regions that differ from the other side by more; none by default.
    all_slices : bool
        Carry the regions to the slices about each level, too.
    objects : tuple of ObjectKind
        What to encode.
    """

    age_years: float | None = None
    levels: tuple[int, int] | None = None
    brain_method: BrainMethod = "skull"
    registration: Method = Method.GREEDY
    review: ReviewLimits | None = None
    all_slices: bool = False
    objects: tuple[ObjectKind, ...] = objects.DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tools:
    """What the method works with, loaded once by the caller.

    Attributes
    ----------
    atlases : AtlasSet
    localizer : Localizer or None
        Without it templates and ventricles find the levels.
    aligner : Aligner or None
        Without it symmetry alone finds the midline.
    """

    atlases: AtlasSet
    localizer: Localizer | None = None
    aligner: Aligner | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """Everything that was found in one series."""

    series: CtSeries
    volume: Volume
    eligibility: Eligibility
    levels: AspectsLevels
    registrations: dict[Level, Registration]
    region_map: RegionMap
    measurements: tuple[RegionMeasurement, ...]
    quality: Quality
    provenance: Provenance
    objects: dict[str, Dataset]
    timings_s: dict[str, float]

    @property
    def seg(self) -> Dataset:
        """The segmentation, where it was asked for."""
        return self.objects["seg.dcm"]

    @property
    def sr(self) -> Dataset:
        """The report, where it was asked for."""
        return self.objects["sr.dcm"]


@dataclass(slots=True)
class _Stopwatch:
    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[stage] = self.clock() - start


def run(
    series: CtSeries,
    tools: Tools,
    parameters: Parameters,
    *,
    new_uid: NewUid,
    now: datetime,
    clock: Callable[[], float],
) -> Result:
    """Map the ASPECTS regions of one series.

    1. Decode the voxels in Hounsfield units (`to_volume`).
    2. Mask the brain on every slice (`extract_brain`).
    3. Check that this is a non-contrast head (`check_eligibility`).
    4. Find the midline of the head (`align_head`); choose the atlas by age and
       find the two levels (`match_templates`, `Localizer`, `roof_evidence`, `find_levels`).
    5. Register the atlas to each of the two slices (`register_best`).
    6. Carry the labels over, on the native grid (`map_labels`).
    7. Measure the regions (`measure`) and judge the mapping (`judge`).
    8. Encode SEG, SR and what else was asked for (`encode`).

    Parameters
    ----------
    series : CtSeries
    tools : Tools
    parameters : Parameters
    new_uid : callable
        Derives UIDs from strings; see `pipeline.provenance.uid_factory`.
    now : datetime.datetime
        Goes into the dates of the objects.
    clock : callable
        Monotonic seconds, for the timings alone: they are in no DICOM object.

    Returns
    -------
    Result

    Raises
    ------
    SeriesError
        The series cannot be mapped; the subclass says why.
    """
    watch = _Stopwatch(clock)
    check_metadata(series)
    chosen = _chosen_levels(series, parameters)
    with watch.time("decode"):
        volume = to_volume(series)
    with watch.time("brain"):
        brain = extract_brain(volume, method=parameters.brain_method)
        eligibility = check_eligibility(series, volume, brain)
    age = _age(series, tools.atlases, parameters)
    candidates = {level: tools.atlases.by_nearness(age.group, level) for level in Level}
    atlases = {level: candidates[level][0] for level in Level}
    with watch.time("levels"):
        head = _Head(series, volume, brain, align_head(volume, brain, tools.aligner))
        levels = _levels(head, tools, atlases, chosen)
        _check_brain(head, levels)
    with watch.time("registration"):
        slabs = {level: slab(volume, levels.get(level).index) for level in Level}
        fits = {
            level: _register(
                head,
                candidates[level],
                levels.get(level).index,
                slabs[level],
                parameters.registration,
            )
            for level in Level
        }
        # where the atlas of the patient's age fits poorly, another may have taken its place
        atlases = {level: fit.atlas for level, fit in fits.items()}
        registrations = {level: fit.registration for level, fit in fits.items()}
    carried = _neighbours(head, levels, fits, parameters, watch)
    with watch.time("mapping"):
        region_map = RegionMap(
            levels={
                level: _map(
                    head, atlases[level], levels.get(level).index, slabs[level], registration
                )
                for level, registration in registrations.items()
            },
            neighbours=carried,
        )
        measurements = measure(volume, region_map, atlases, limits=parameters.review)
        quality = judge(
            levels,
            registrations,
            measurements,
            age,
            notes=eligibility.notes,
            head=_head_numbers(head, levels, slabs, fits),
        )
    provenance = _provenance(head, tools, age, fits, levels, parameters)
    findings = Findings(
        series=series,
        volume=volume,
        levels=levels,
        region_map=region_map,
        measurements=measurements,
        quality=quality,
        provenance=provenance,
    )
    with watch.time("encode"):
        encoded = objects.encode(findings, parameters.objects, new_uid=new_uid, now=now)
    return Result(
        series=series,
        volume=volume,
        eligibility=eligibility,
        levels=levels,
        registrations=registrations,
        region_map=region_map,
        measurements=measurements,
        quality=quality,
        provenance=provenance,
        objects=encoded,
        timings_s=watch.seconds,
    )


def _age(series: CtSeries, atlases: AtlasSet, parameters: Parameters) -> AgeChoice:
    given = parameters.age_years
    return atlases.for_age(patient_age_years(series.datasets[0]) if given is None else given)


class _Head(NamedTuple):
    series: CtSeries
    volume: Volume
    brain: MaskArray
    midline: Midline


def _chosen_levels(series: CtSeries, parameters: Parameters) -> AspectsLevels | None:
    """Take the slices that a person chose; before anything is computed."""
    if parameters.levels is None:
        return None
    try:
        return levels_by_person(series, *parameters.levels)
    except GeometryError as error:
        raise LevelsError(str(error)) from error


def _levels(
    head: _Head, tools: Tools, atlases: dict[Level, Atlas], chosen: AspectsLevels | None
) -> AspectsLevels:
    similarity = match_templates(head.volume, head.brain, head.midline, list(atlases.values()))
    network = None
    if tools.localizer is not None:
        network = tools.localizer.evidence(head.volume).log_evidence
    darkness = paramedian_darkness(head.volume, head.brain, head.midline)
    roof = roof_evidence(darkness, head.volume.distances_mm)
    if chosen is not None:
        return beside_the_method(chosen, head.series, similarity, network, roof)
    return find_levels(head.series, similarity, network, roof)


def _check_brain(head: _Head, levels: AspectsLevels) -> None:
    sections_mm2 = _sections_mm2(head)
    for level in Level:
        index = levels.get(level).index
        if sections_mm2[index] < _MIN_SECTION_MM2:
            raise CoverageError(
                f"series {head.series.series_instance_uid}: there is hardly any brain on slice "
                f"{index} (0-based), chosen as the {level} level. Choose another."
            )


def _sections_mm2(head: _Head) -> FloatArray:
    row_mm, column_mm = head.volume.pixel_spacing_mm
    return np.asarray(head.brain.sum(axis=(1, 2)) * row_mm * column_mm, dtype=float)


def _register(
    head: _Head, atlases: Sequence[Atlas], index: int, mean_hu: HuArray, method: Method
) -> BestFit:
    view = head.volume.view
    return register_best(
        view.apply(mean_hu),
        view.apply(head.brain[index]),
        view.spacing(head.volume.pixel_spacing_mm),
        atlases,
        midline=align_level(head.volume, head.brain, index, head.midline),
        method=method,
    )


def _map(
    head: _Head, atlas: Atlas, index: int, mean_hu: HuArray, registration: Registration
) -> LevelMap:
    view = head.volume.view
    labels = view.undo(map_labels(atlas, registration, view.apply(head.brain[index])))
    tissue, dense = split_tissue(labels, mean_hu, head.volume.pixel_spacing_mm)
    return LevelMap(
        level=atlas.level,
        slice_index=index,
        labels=np.ascontiguousarray(labels),
        tissue=tissue,
        dense=dense,
    )


def _neighbours(
    head: _Head,
    levels: AspectsLevels,
    fits: Mapping[Level, BestFit],
    parameters: Parameters,
    watch: _Stopwatch,
) -> tuple[LevelMap, ...]:
    """Carry the regions to the slices about each level, where asked for."""
    if not parameters.all_slices:
        return ()
    with watch.time("neighbours"):
        return tuple(
            one
            for level, fit in fits.items()
            for one in _about(head, levels, level, fit, parameters.registration)
        )


def _about(
    head: _Head, levels: AspectsLevels, level: Level, fit: BestFit, method: Method
) -> Iterator[LevelMap]:
    volume, index = head.volume, levels.get(level).index
    (other,) = (levels.get(item).index for item in Level if item is not level)
    carried = carry(
        fit.registration,
        volume.distances_mm,
        index,
        reachable(volume.distances_mm, _sections_mm2(head) >= _MIN_SECTION_MM2, index, other),
        lambda place: _register(head, [fit.atlas], place, slab(volume, place), method).registration,
    )
    for place, registration in carried.items():
        yield _map(head, fit.atlas, place, slab(volume, place), registration)


def _head_numbers(
    head: _Head,
    levels: AspectsLevels,
    slabs: dict[Level, HuArray],
    fits: dict[Level, BestFit],
) -> HeadNumbers:
    chosen = [levels.get(level).index for level in Level]
    gaps = [
        skull_gap_degrees(
            head.volume.voxels[index], head.brain[index], head.volume.pixel_spacing_mm
        )
        for index in chosen
    ]
    return HeadNumbers(
        hyperdense_ml=hyperdense_ml(head.volume, head.brain),
        **asdict(foreign_density(head.volume, head.brain, (chosen[0], chosen[1]))),
        skull_gap_degrees=max(gaps),
        jitter_mm=jitter_mm(head.volume, *chosen),
        half_turn_gain=sum(
            _half_turn_gain(head, index, slabs[level], fits[level])
            for level, index in zip(Level, chosen, strict=True)
        ),
    )


def _half_turn_gain(head: _Head, index: int, mean_hu: HuArray, fit: BestFit) -> float:
    view = head.volume.view
    fixed = framed(
        view.apply(mean_hu),
        view.apply(head.brain[index]),
        view.spacing(head.volume.pixel_spacing_mm),
        fit.registration.midline,
    )
    return half_turn_gain(fixed, framed_atlas(fit.atlas))


def _provenance(
    head: _Head,
    tools: Tools,
    age: AgeChoice,
    fits: dict[Level, BestFit],
    levels: AspectsLevels,
    parameters: Parameters,
) -> Provenance:
    digest = hashlib.sha256("\n".join(head.series.sop_instance_uids).encode())
    digest.update(head.volume.voxels.tobytes())
    return Provenance(
        input_sha256=digest.hexdigest(),
        atlas_name=tools.atlases.name,
        atlas_version=tools.atlases.version,
        atlas_sha256=hashlib.sha256(
            "".join(fit.atlas.sha256 for fit in fits.values()).encode()
        ).hexdigest(),
        age_group=_age_groups(age, fits),
        age_years=age.years,
        age_flag=age.flag,
        levels_by="person" if levels.method == "person" else "method",
        algorithms=(
            *_level_algorithms(tools, levels),
            BRAIN_ALGORITHMS[parameters.brain_method],
            *(() if tools.aligner is None else (tools.aligner.algorithm,)),
            *((ALL_SLICES,) if parameters.all_slices else ()),
            *(() if parameters.review is None else (review_algorithm(parameters.review),)),
            _registration_algorithm(parameters.registration, fits),
        ),
        libraries={name: version(name) for name in _LIBRARIES},
    )


def _age_groups(age: AgeChoice, fits: dict[Level, BestFit]) -> str:
    """Name the age group, and where another was used at a level."""
    others = [
        f"{level} {fit.atlas.age_group}"
        for level, fit in fits.items()
        if fit.atlas.age_group is not age.group
    ]
    return ", ".join([age.group.value, *others])


def _registration_algorithm(method: Method, fits: dict[Level, BestFit]) -> Algorithm:
    starts = tuple(
        f"{level}_start={fit.start}" for level, fit in fits.items() if fit.start != FIRST_START
    )
    known = ALGORITHMS[method]
    return replace(known, parameters=(*known.parameters, *starts))


def _level_algorithms(tools: Tools, levels: AspectsLevels) -> Iterator[Algorithm]:
    if "network" in levels.method and tools.localizer is not None:
        yield Algorithm(
            name=f"ASPECTSLoc-Net {tools.localizer.name}",
            version=tools.localizer.sha256[:12],
            family="artificial-intelligence",
            sha256=tools.localizer.sha256,
        )
    if "template" in levels.method:
        yield Algorithm(name="template matching", version="1", family="image-processing")
    if "ventricles" in levels.method:
        yield Algorithm(name="ventricle roof", version="1", family="image-processing")
