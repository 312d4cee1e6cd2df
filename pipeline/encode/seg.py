"""Write the regions as a DICOM Segmentation on the native slices."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.content import PlanePositionSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.seg import Segmentation as HighdicomSegmentation
from pydicom import Dataset

from pipeline.arrays import LabelArray
from pipeline.encode import codes
from pipeline.encode.common import (
    EncodeSettings,
    SegKind,
    contributing_equipment,
    digest,
    identity,
    region_algorithm,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    stamp,
)
from pipeline.errors import EncodingError
from pipeline.mapping import LevelMap, RegionMap
from pipeline.provenance import Algorithm, NewUid, Provenance
from pipeline.regions import REGION_SIDES, RegionSide, Side, at_level
from pipeline.series import CtSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What a segmentation says of itself."""

    series: str
    label: str
    description: str
    suffix: str = ""


_REGION_WORDS: Final = _Words(
    series="AI: ASPECTS regions, unverified",
    label="ASPECTS_REGIONS",
    description="ASPECTS regions of both hemispheres on two levels",
)
_WORDS: Final = {
    SegKind.REGIONS: _REGION_WORDS,
    SegKind.LABELMAP: _REGION_WORDS,
    SegKind.TISSUE: _Words(
        series="AI: ASPECTS regions, tissue only, unverified",
        label="ASPECTS_TISSUE",
        description="ASPECTS regions without CSF and calcification",
        suffix=" tissue",
    ),
}
_CARRIED: Final = " and near them"
_SIDE_WORDS: Final = {Side.RIGHT: "Right", Side.LEFT: "Left"}
_UNIFORM: Final = 0.01


def build_seg(
    series: CtSeries,
    region_map: RegionMap,
    provenance: Provenance,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> Dataset:
    """Encode the twenty regions as one Segmentation.

    Parameters
    ----------
    series : CtSeries
        The images the regions were drawn on.
    region_map : RegionMap
    provenance : Provenance
    new_uid : callable
        Derives UIDs from strings; see ``pipeline.provenance.uid_factory``.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional
        ``seg_kind`` says whether it is the full regions as BINARY, the same as
        LABELMAP, or tissue only.

    Returns
    -------
    pydicom.Dataset
        Segmentation Storage, or Label Map Segmentation Storage, Explicit VR
        Little Endian. Segments 1-20 are
        always described; a region without a pixel has no frame.

    Raises
    ------
    EncodingError
        The map does not fit the series, or a label lies on the wrong level.

    References
    ----------
    DICOM PS3.3, A.51 "Segmentation IOD", C.8.20 "Segmentation".
    """
    settings = settings or EncodeSettings()
    kind = settings.seg_kind
    levels = _checked_levels(series, region_map)
    if kind is SegKind.TISSUE:
        levels = [replace(item, labels=item.tissue) for item in levels]
    words = _WORDS[kind]
    moment = series_time(series, now)
    headers = source_headers(series)
    parts = (
        *identity(series, provenance),
        _labels_digest(levels),
        str(settings.empty_frames),
        *((kind,) if kind is SegKind.TISSUE else ()),
    )
    # the same region has the same tracking UID in both encodings
    own = (*parts, kind) if kind is SegKind.LABELMAP else parts
    slices = range(len(series)) if settings.empty_frames else [item.slice_index for item in levels]
    seg: Dataset = HighdicomSegmentation(
        source_images=headers,
        pixel_array=_label_planes(series, levels, slices),
        segmentation_type=(
            SegmentationTypeValues.LABELMAP
            if kind is SegKind.LABELMAP
            else SegmentationTypeValues.BINARY
        ),
        segment_descriptions=_descriptions(provenance, words, parts, new_uid),
        series_instance_uid=new_uid("seg-series", *own),
        sop_instance_uid=new_uid("seg-instance", *own),
        series_number=_series_number(settings),
        series_description=words.series,
        content_label=words.label,
        content_description=words.description + (_CARRIED if region_map.neighbours else ""),
        content_creator_name="aspects-node^",
        plane_positions=[
            PlanePositionSequence("PATIENT", headers[index].ImagePositionPatient)
            for index in slices
        ],
        omit_empty_frames=not settings.empty_frames,
        contributing_equipment=contributing_equipment(provenance, settings, new_uid),
        **sop_arguments(provenance, settings, moment),
    )
    _correct_geometry(seg, series)
    _fix_dimension_uid(seg, new_uid("seg-dimension", *own))
    restore_patient(seg, series.datasets[0])
    stamp(seg, moment)
    return seg


def _series_number(settings: EncodeSettings) -> int:
    if settings.seg_kind is SegKind.TISSUE:
        return settings.tissue_series_number
    return settings.seg_series_number


def _checked_levels(series: CtSeries, region_map: RegionMap) -> list[LevelMap]:
    name = f"series {series.series_instance_uid}"
    maps = (*region_map.levels.values(), *region_map.neighbours)
    levels = sorted(maps, key=lambda item: item.slice_index)
    if len({item.slice_index for item in levels}) < len(levels):
        raise EncodingError(f"{name}: both levels lie on one slice")
    for item in levels:
        if item.labels.shape != (series.rows, series.columns):
            raise EncodingError(f"{name}: {item.level} labels are not on the native grid")
        if not 0 <= item.slice_index < len(series):
            raise EncodingError(f"{name}: there is no slice {item.slice_index}")
        allowed = {0, *(region.number for region in at_level(item.level))}
        if not set(np.unique(item.labels).tolist()) <= allowed:
            raise EncodingError(f"{name}: a label does not belong to the {item.level} level")
    return levels


def _labels_digest(levels: Sequence[LevelMap]) -> str:
    return digest(
        *(f"{item.level}{item.slice_index}".encode() + item.labels.tobytes() for item in levels)
    )


def _label_planes(
    series: CtSeries, levels: Sequence[LevelMap], slices: Sequence[int]
) -> LabelArray:
    planes = np.zeros((len(slices), series.rows, series.columns), dtype=np.uint8)
    for item in levels:
        planes[slices.index(item.slice_index)] = item.labels
    return planes


def tracking_id(item: RegionSide) -> str:
    """Return the Tracking ID (0062,0020) of a region, the same in SEG and SR.

    Examples
    --------
    >>> from pipeline.regions import region_side
    >>> tracking_id(region_side(15))
    'ASPECTS L M1'
    """
    return f"ASPECTS {item.name}"


def _descriptions(
    provenance: Provenance, words: _Words, parts: Sequence[str], new_uid: NewUid
) -> list[SegmentDescription]:
    return [
        _description(item, provenance, words, new_uid("tracking", item.name, *parts))
        for item in REGION_SIDES
    ]


def _description(
    item: RegionSide, provenance: Provenance, words: _Words, uid: str
) -> SegmentDescription:
    algorithm_type = (
        SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        if provenance.levels_by == "person"
        else SegmentAlgorithmTypeValues.AUTOMATIC
    )
    description = SegmentDescription(
        segment_number=item.number,
        segment_label=item.name + words.suffix,
        segmented_property_category=codes.region_category(item).to_code(),
        segmented_property_type=codes.region_type(item).to_code(),
        algorithm_type=algorithm_type,
        algorithm_identification=_identification(region_algorithm(provenance), provenance),
        tracking_uid=uid,
        tracking_id=tracking_id(item) + words.suffix,
        anatomic_regions=[codes.anatomic_region(item).to_code()],
        primary_anatomic_structures=[
            concept.to_code() for concept in codes.primary_structures(item)
        ]
        or None,
        display_color=CIELabColor.from_rgb(*item.rgb),
    )
    description.SegmentDescription = f"{_SIDE_WORDS[item.side]}: {item.title}"
    description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
        codes.laterality(item).to_code()
    ]
    return description


def _identification(
    algorithm: Algorithm, provenance: Provenance
) -> AlgorithmIdentificationSequence:
    sequence = AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.algorithm_family(algorithm.family).to_code(),
        version=algorithm.version,
        source="aspects-node project",
    )
    parameters = [
        *algorithm.parameters,
        f"atlas={provenance.atlas_name} {provenance.atlas_version}",
        f"atlas_sha256={provenance.atlas_sha256}",
        f"age_group={provenance.age_group}",
    ]
    sequence[0].AlgorithmParameters = ",".join(parameters)
    return sequence


def _correct_geometry(seg: Dataset, series: CtSeries) -> None:
    """Give each frame the thickness of its own slice, and the step of the source.

    The encoder takes the thickness of the first source image and the distance
    between the two levels; in a series of 4 and 7 mm both would be wrong.
    """
    thickness = dict(zip(series.sop_instance_uids, series.slice_thickness_mm.tolist(), strict=True))
    frames = seg.PerFrameFunctionalGroupsSequence
    of_frames = [thickness[source_of_frame(frame)] for frame in frames]
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)
    steps = np.diff(series.distances_mm)
    if np.ptp(steps) <= _UNIFORM * np.median(steps):
        measures.SpacingBetweenSlices = f"{np.median(steps):.6g}"
    if len(set(of_frames)) == 1:
        measures.SliceThickness = f"{of_frames[0]:.6g}"
        return
    for frame, value in zip(frames, of_frames, strict=True):
        own = deepcopy(measures)
        own.SliceThickness = f"{value:.6g}"
        frame.PixelMeasuresSequence = [own]
    del shared.PixelMeasuresSequence


def source_of_frame(frame: Dataset) -> str:
    """Return the SOP Instance UID of the image a SEG frame was drawn on.

    Parameters
    ----------
    frame : pydicom.Dataset
        Item of ``PerFrameFunctionalGroupsSequence`` (5200,9230).
    """
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return str(source.ReferencedSOPInstanceUID)


def _fix_dimension_uid(seg: Dataset, uid: str) -> None:
    """Replace the random UID that ties the dimensions together."""
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in seg.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid
