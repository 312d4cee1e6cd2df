"""Write levels, measurements and quality as a TID 1500 Measurement Report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset

from pipeline.arrays import LabelArray
from pipeline.encode import codes
from pipeline.encode.common import (
    EncodeSettings,
    SrClass,
    algorithms,
    contributing_equipment,
    digest,
    region_algorithm,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    stamp,
)
from pipeline.encode.context import device_observer, requests
from pipeline.encode.coordinates import region_coordinates, slice_coordinates
from pipeline.encode.numbers import Number, measurement_items, missing_sentences, region_numbers
from pipeline.encode.seg import source_of_frame, tracking_id
from pipeline.encode.words import (
    READING_NOTES,
    atlas_sentence,
    level_sentence,
    quality_numbers_sentence,
    reason_sentence,
    review_sentences,
    version_sentences,
)
from pipeline.errors import EncodingError
from pipeline.levels import AspectsLevels
from pipeline.measure import RegionMeasurement
from pipeline.provenance import Algorithm, NewUid, Provenance
from pipeline.quality import Quality
from pipeline.regions import Level, RegionSide
from pipeline.series import CtSeries

_SR_CLASSES: Final = {
    SrClass.COMPREHENSIVE_3D: Comprehensive3DSR,
    SrClass.ENHANCED: EnhancedSR,
}
_CONTAINS: Final = RelationshipTypeValues.CONTAINS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sources:
    """What every part of the report refers to."""

    headers: Sequence[Dataset]
    seg: Dataset
    planes: LabelArray
    provenance: Provenance

    @property
    def is_labelmap(self) -> bool:
        return bool(self.seg.SegmentationType == "LABELMAP")


def build_sr(  # noqa: PLR0913 - the report draws on every stage
    series: CtSeries,
    levels: AspectsLevels,
    measurements: Sequence[RegionMeasurement],
    quality: Quality,
    provenance: Provenance,
    seg: Dataset,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> Dataset:
    """Encode the measurements as a structured report that refers to the SEG.

    Parameters
    ----------
    series : CtSeries
    levels : AspectsLevels
    measurements : sequence of RegionMeasurement
        All twenty, in the order of their numbers.
    quality : Quality
    provenance : Provenance
    seg : pydicom.Dataset
        What ``build_seg`` made of the same series.
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    pydicom.Dataset
        Comprehensive 3D SR, or Enhanced SR where the settings ask for it;
        COMPLETE, UNVERIFIED. There is no score in it.

    Raises
    ------
    EncodingError
        A measured region has no frame in the SEG.

    References
    ----------
    DICOM PS3.16, TID 1500 "Measurement Report", TID 1410 "Planar ROI
    Measurements and Qualitative Evaluations", TID 1501 "Measurement and
    Qualitative Evaluation Group".
    """
    settings = settings or EncodeSettings()
    moment = series_time(series, now)
    sources = _Sources(
        headers=source_headers(series), seg=seg, planes=seg.pixel_array, provenance=provenance
    )
    parts = (str(seg.SOPInstanceUID), str(settings.sr_class), _numbers_digest(measurements))
    groups = [
        _level_group(series, levels, quality, sources, new_uid("tracking", "levels", *parts)),
        *(_region_group(item, sources) for item in measurements),
    ]
    (root,) = _report(
        groups,
        sources,
        levels,
        _observer(settings, provenance, new_uid),
        (*review_sentences(measurements), *_carried_sentences(sources, levels)),
    )
    # the library copies and searches what it is given, four times as long as it takes to write
    tree = root.pop("ContentSequence")
    root.ContentSequence = ContentSequence()
    sr: Dataset = _SR_CLASSES[settings.sr_class](
        evidence=[*sources.headers, seg],
        content=root,
        series_instance_uid=new_uid("sr-series", *parts),
        sop_instance_uid=new_uid("sr-instance", *parts),
        series_number=settings.sr_series_number,
        series_description="AI: ASPECTS region measurements, unverified",
        is_complete=True,
        is_verified=False,
        requested_procedures=requests(series),
        contributing_equipment=contributing_equipment(provenance, settings, new_uid),
        **sop_arguments(provenance, settings, moment),
    )
    sr.add(tree)
    restore_patient(sr, series.datasets[0])
    stamp(sr, moment)
    return sr


def _numbers_digest(measurements: Sequence[RegionMeasurement]) -> str:
    return digest(*(repr(item).encode() for item in measurements))


def _observer(
    settings: EncodeSettings, provenance: Provenance, new_uid: NewUid
) -> ObservationContext:
    return ObservationContext(
        observer_device_context=device_observer(settings, provenance.pipeline_version, new_uid)
    )


def _report(
    groups: Sequence[Any],
    sources: _Sources,
    levels: AspectsLevels,
    observation_context: ObservationContext,
    more_notes: Sequence[str],
) -> MeasurementReport:
    chosen = [levels.get(level).index for level in Level]
    report = MeasurementReport(
        observation_context=observation_context,
        procedure_reported=_procedures(sources.headers[0]),
        imaging_measurements=groups,
        referenced_images=[sources.headers[index] for index in chosen],
    )
    notes = ContainerContentItem(name=codes.EVALUATIONS.to_code(), relationship_type=_CONTAINS)
    notes.ContentSequence = ContentSequence()
    notes.ContentSequence.extend([_text(sentence) for sentence in (*READING_NOTES, *more_notes)])
    report[0].ContentSequence.append(notes)
    return report


def _carried_sentences(sources: _Sources, levels: AspectsLevels) -> tuple[str, ...]:
    """Say on how many other slices the SEG shows regions; nothing where on none."""
    frames = sources.seg.PerFrameFunctionalGroupsSequence
    shown = {
        source_of_frame(frame)
        for frame, plane in zip(frames, sources.planes, strict=True)
        if plane.any()
    }
    more = len(shown - {levels.get(level).sop_instance_uid for level in Level})
    if not more:
        return ()
    return (f"The regions are carried to {more} more slices; measured on the two levels alone.",)


def _procedures(header: Dataset) -> list[CodedConcept]:
    """Return the study's own procedure and one that TID 1500 accepts."""
    of_study = [
        CodedConcept(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in header.get("ProcedureCodeSequence") or []
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning")
    ]
    return [*of_study[:1], codes.REPORTED_PROCEDURE.to_code()]


def _text(sentence: str) -> TextContentItem:
    return TextContentItem(
        name=codes.COMMENT.to_code(), value=sentence, relationship_type=_CONTAINS
    )


def _identified(algorithm: Algorithm, provenance: Provenance) -> AlgorithmIdentification:
    """Name an algorithm with everything that decides its result."""
    parameters = [
        *algorithm.parameters,
        f"atlas={provenance.atlas_name} {provenance.atlas_version}",
        f"age_group={provenance.age_group}",
    ]
    if algorithm.sha256:
        parameters.append(f"sha256={algorithm.sha256}")
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        # one item, not one each: it is repeated in every group
        parameters=["; ".join(parameters)],
        family=codes.algorithm_family(algorithm.family).to_code(),
        manufacturer="aspects-node project",
    )


def _level_algorithm(provenance: Provenance) -> AlgorithmIdentification | None:
    """Name what chose the slices; none where a person did."""
    if provenance.levels_by == "person":
        return None
    return _identified(algorithms(provenance)[0], provenance)


def _level_group(
    series: CtSeries,
    levels: AspectsLevels,
    quality: Quality,
    sources: _Sources,
    uid: str,
) -> MeasurementsAndQualitativeEvaluations:
    chosen = [levels.get(level) for level in Level]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier="ASPECTS levels"),
        finding_category=codes.SPATIAL.to_code(),
        finding_type=codes.LEVELS.to_code(),
        finding_sites=[FindingSite(anatomic_location=codes.BRAIN.to_code())],
        algorithm_id=_level_algorithm(sources.provenance),
        measurements=measurement_items(_level_numbers(levels, sources.headers)),
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=codes.QUALITY.to_code(), value=codes.verdict(quality.verdict).to_code()
            )
        ],
        source_images=[
            SourceImageForMeasurementGroup.from_source_image(sources.headers[item.index])
            for item in chosen
        ],
    )
    sentences = [
        *(level_sentence(item, len(series), series.positions_mm[item.index][2]) for item in chosen),
        *(reason_sentence(reason) for reason in quality.reasons),
        *quality_numbers_sentence(quality),
        atlas_sentence(sources.provenance),
        *version_sentences(sources.provenance),
    ]
    group[0].ContentSequence.extend([_text(sentence) for sentence in sentences])
    return group


def _level_numbers(levels: AspectsLevels, headers: Sequence[Dataset]) -> list[Number]:
    lower, upper = levels.ganglionic, levels.supraganglionic
    of_lower, of_upper = (slice_coordinates(headers[item.index]) for item in (lower, upper))
    one: dict[str, Any] = {"unit": codes.ONE}
    return [
        Number(name=codes.MARGIN_GANGLIONIC, value=lower.margin, places=of_lower, **one),
        Number(name=codes.MARGIN_SUPRAGANGLIONIC, value=upper.margin, places=of_upper, **one),
        Number(
            name=codes.DISTANCE,
            value=levels.distance_mm,
            unit=codes.MM,
            places=[*of_lower, *of_upper],
        ),
    ]


def _region_group(item: RegionMeasurement, sources: _Sources) -> Any:
    region = item.region_side
    shared: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            uid=_tracking_uid(sources.seg, region),
            identifier=tracking_id(region),
        ),
        "finding_category": codes.region_category(region).to_code(),
        "finding_type": codes.region_type(region).to_code(),
        "finding_sites": [
            FindingSite(
                anatomic_location=codes.BRAIN.to_code(),
                laterality=codes.laterality(region).to_code(),
            )
        ],
        "algorithm_id": _identified(region_algorithm(sources.provenance), sources.provenance),
    }
    if item.n == 0:
        return _unmapped_group(item, sources, shared)
    numbers = region_numbers(item)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=_segment_reference(item, sources),
        measurements=measurement_items(numbers),
        qualitative_evaluations=_marks(item),
        **shared,
    )
    group[0].ContentSequence.extend([_text(sentence) for sentence in missing_sentences(numbers)])
    _add_outline(group, item, sources)
    return group


def _marks(item: RegionMeasurement) -> list[QualitativeEvaluation] | None:
    """Say that a region is marked for review; nothing where it is not."""
    if not item.is_marked:
        return None
    marked = QualitativeEvaluation(
        name=codes.DARKER_SIDE.to_code(), value=codes.FOR_REVIEW.to_code()
    )
    return [marked]


def _add_outline(group: Any, item: RegionMeasurement, sources: _Sources) -> None:
    """Give the area the outline of the region."""
    frame = _frame_number(item, sources)
    mask = sources.planes[frame - 1] == (item.region_side.number if sources.is_labelmap else 1)
    area = next(one for one in group[0].ContentSequence if one.ValueType == "NUM")
    outline = region_coordinates(mask, sources.headers[item.slice_index])
    area.ContentSequence = ContentSequence(outline)


def _unmapped_group(
    item: RegionMeasurement, sources: _Sources, shared: dict[str, Any]
) -> MeasurementsAndQualitativeEvaluations:
    """Say that a region has no pixel: there is no frame to refer to."""
    region = item.region_side
    header = sources.headers[item.slice_index]
    nothing = Number(name=codes.AREA, value=0.0, unit=codes.MM2, places=slice_coordinates(header))
    group = MeasurementsAndQualitativeEvaluations(
        measurements=measurement_items([nothing]),
        qualitative_evaluations=[
            QualitativeEvaluation(name=codes.MAPPED.to_code(), value=codes.NO.to_code())
        ],
        source_images=[SourceImageForMeasurementGroup.from_source_image(header)],
        **shared,
    )
    group[0].ContentSequence.append(
        _text(f"Region {region.name} ({region.title}) was not mapped: no pixel lies in it.")
    )
    return group


def _segment_reference(item: RegionMeasurement, sources: _Sources) -> ReferencedSegmentationFrame:
    header = sources.headers[item.slice_index]
    reference = ReferencedSegmentationFrame(
        sop_class_uid=sources.seg.SOPClassUID,
        sop_instance_uid=sources.seg.SOPInstanceUID,
        frame_number=_frame_number(item, sources),
        segment_number=item.region_side.number,
        source_image=SourceImageForSegmentation.from_source_image(header),
    )
    # PS3.3, 10.3 "Image SOP Instance Reference Macro": frame or segment, not both;
    # a frame of a label map shows all regions of its level
    place = reference[0].ReferencedSOPSequence[0]
    del place["ReferencedFrameNumber" if sources.is_labelmap else "ReferencedSegmentNumber"]
    return reference


def _frame_number(item: RegionMeasurement, sources: _Sources) -> int:
    """Return the number of the SEG frame that shows a region, from 1."""
    header = sources.headers[item.slice_index]
    for number, frame in enumerate(sources.seg.PerFrameFunctionalGroupsSequence, start=1):
        if source_of_frame(frame) != header.SOPInstanceUID:
            continue
        if sources.is_labelmap or _segment_of(frame) == item.region_side.number:
            return number
    raise EncodingError(
        f"series {header.SeriesInstanceUID}: region {item.region_side.name} was measured, "
        "but has no frame in the segmentation"
    )


def _tracking_uid(seg: Dataset, region: RegionSide) -> str:
    # a label map describes its background too, as segment 0
    found = (item for item in seg.SegmentSequence if item.SegmentNumber == region.number)
    return str(next(found).TrackingUID)


def _segment_of(frame: Dataset) -> int:
    return int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
