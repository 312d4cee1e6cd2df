"""Write the outlines of the regions as Grayscale Softcopy Presentation States."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from highdicom import ModalityLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom import Dataset
from scipy import ndimage

from pipeline.arrays import LabelArray, MaskArray
from pipeline.encode.common import (
    EncodeSettings,
    complete_header,
    contributing_equipment,
    digest,
    identity,
    restore_patient,
    series_time,
    sop_arguments,
    source_headers,
    stamp,
)
from pipeline.encode.findings import Findings
from pipeline.encode.outline import outlines
from pipeline.header import number
from pipeline.provenance import NewUid
from pipeline.regions import REGION_SIDES, Level, RegionSide, Side, at_level

WINDOW: Final = (40.0, 40.0)
"""Centre and width in HU."""
_PIXEL: Final = AnnotationUnitsValues.PIXEL
_RESCALE_SLOPES: Final = (1e-4, 1e3)
_RESCALE_INTERCEPTS: Final = (-1e5, 1e5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Slice:
    """One level, and the image that shows it."""

    level: Level
    header: Dataset
    labels: LabelArray


def build_presentation_states(
    findings: Findings,
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> tuple[Dataset, ...]:
    """Encode the outlines of each level, one instance for each.

    Parameters
    ----------
    findings : Findings
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    tuple of pydicom.Dataset
        Ganglionic, then supraganglionic: the CT image in W40 L40 with a
        coloured layer for each region, outlined along the edges of its pixels
        and named with its side.

    References
    ----------
    DICOM PS3.3, A.33.1 "Grayscale Softcopy Presentation State IOD", C.10.5
    "Graphic Annotation Module".
    """
    settings = settings or EncodeSettings()
    headers = source_headers(findings.series)
    return tuple(
        _state(findings, _slice(findings, headers, level), new_uid, now, settings)
        for level in Level
    )


def _slice(findings: Findings, headers: list[Dataset], level: Level) -> _Slice:
    index = findings.levels.get(level).index
    header = complete_header(headers[0], headers[index])
    header.SamplesPerPixel = 1
    return _Slice(level=level, header=header, labels=findings.region_map.levels[level].labels)


def _state(
    findings: Findings, shown: _Slice, new_uid: NewUid, now: datetime, settings: EncodeSettings
) -> Dataset:
    series, provenance = findings.series, findings.provenance
    moment = series_time(series, now)
    source = series.datasets[findings.levels.get(shown.level).index]
    parts = identity(series, provenance)
    layers = _layers(shown.level)
    state: Dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=[shown.header],
        series_instance_uid=new_uid("gsps-series", *parts),
        sop_instance_uid=new_uid(
            "gsps-instance", shown.level, digest(shown.labels.tobytes()), *parts
        ),
        series_number=settings.gsps_series_number,
        series_description="AI: ASPECTS outlines, unverified",
        content_label="ASPECTS_OUTLINES",
        content_description=f"ASPECTS regions on the {shown.level} level",
        content_creator_name="aspects-node^",
        graphic_layers=list(layers.values()),
        graphic_annotations=list(_annotations(shown, layers)),
        modality_lut_transformation=ModalityLUTTransformation(
            rescale_intercept=number(source, "RescaleIntercept", 0.0, _RESCALE_INTERCEPTS),
            rescale_slope=number(source, "RescaleSlope", 1.0, _RESCALE_SLOPES),
            rescale_type="HU",
        ),
        voi_lut_transformations=[
            SoftcopyVOILUTTransformation(window_center=WINDOW[0], window_width=WINDOW[1])
        ],
        contributing_equipment=contributing_equipment(provenance, settings, new_uid),
        **_arguments(findings, shown.level, settings, moment),
    )
    state.BodyPartExamined = "HEAD"
    state.PresentationCreationDate = moment.date()
    state.PresentationCreationTime = moment.time()
    _show_true_proportions(state, shown.header)
    restore_patient(state, series.datasets[0])
    stamp(state, moment)
    return state


def _arguments(
    findings: Findings, level: Level, settings: EncodeSettings, moment: datetime
) -> dict[str, Any]:
    arguments = sop_arguments(findings.provenance, settings, moment)
    # a presentation state has dates of creation instead
    del arguments["content_date"], arguments["content_time"]
    return {**arguments, "instance_number": list(Level).index(level) + 1}


def _show_true_proportions(state: Dataset, header: Dataset) -> None:
    """Give the size of the pixels: the encoder takes them for square ones."""
    area = state.DisplayedAreaSelectionSequence[0]
    del area.PresentationPixelAspectRatio
    area.PresentationPixelSpacing = list(header.PixelSpacing)
    area.pop("PixelOriginInterpretation", None)


def _layers(level: Level) -> dict[str, GraphicLayer]:
    """Return one layer for each region, so that each has its colour."""
    return {
        str(item.region): GraphicLayer(
            layer_name=str(item.region),
            order=order,
            description=item.title,
            display_color=CIELabColor.from_rgb(*item.rgb),
        )
        for order, item in enumerate(at_level(level), start=1)
        if item.side is Side.RIGHT
    }


def _annotations(shown: _Slice, layers: dict[str, GraphicLayer]) -> Iterator[GraphicAnnotation]:
    for item in REGION_SIDES:
        mask = shown.labels == item.number
        if mask.any():
            yield GraphicAnnotation(
                referenced_images=[shown.header],
                graphic_layer=layers[str(item.region)],
                graphic_objects=[
                    GraphicObject(
                        graphic_type=GraphicTypeValues.POLYLINE, graphic_data=line, units=_PIXEL
                    )
                    for line in outlines(mask)
                ],
                text_objects=[_name(item, mask)],
            )


def _name(item: RegionSide, mask: MaskArray) -> TextObject:
    """Name a region where it has most room."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return TextObject(
        text_value=item.name,
        units=_PIXEL,
        anchor_point=(float(column) + 0.5, float(row) + 0.5),
        anchor_point_visible=False,
    )
