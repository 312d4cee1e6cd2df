"""Which objects are made of a result, under which names, and which replaces which."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydicom import Dataset
from pydicom.uid import EnhancedSRStorage

from pipeline.encode.common import EncodeSettings, SegKind
from pipeline.encode.findings import Findings
from pipeline.encode.key_image import PRESETS
from pipeline.encode.key_objects import build_key_objects
from pipeline.encode.pdf import build_pdf
from pipeline.encode.presentation_state import build_presentation_states
from pipeline.encode.secondary_capture import build_secondary_captures
from pipeline.encode.seg import build_seg
from pipeline.encode.sr import build_sr
from pipeline.provenance import NewUid
from pipeline.regions import Level


class ObjectKind(StrEnum):
    """What can be asked for."""

    SEG = "seg"
    SR = "sr"
    SC = "sc"
    GSPS = "gsps"
    KO = "ko"
    PDF = "pdf"
    TISSUE_SEG = "tissue-seg"
    LABELMAP = "labelmap"
    ENHANCED_SR = "enhanced-sr"


DEFAULT: Final = (ObjectKind.SEG, ObjectKind.SR)

Encoded = Iterator[tuple[str, Dataset]]
"""File names and objects, in the order in which they are sent."""


def encode(
    findings: Findings,
    kinds: Collection[ObjectKind],
    *,
    new_uid: NewUid,
    now: datetime,
    settings: EncodeSettings | None = None,
) -> dict[str, Dataset]:
    """Encode what was asked for.

    Parameters
    ----------
    findings : Findings
    kinds : collection of ObjectKind
        ``LABELMAP`` and ``ENHANCED_SR`` add another encoding of SEG and SR,
        and of what refers to them, for a destination to choose from.
    new_uid : callable
        Derives UIDs from strings.
    now : datetime.datetime
        Goes into the dates; with a time zone.
    settings : EncodeSettings, optional

    Returns
    -------
    dict of str to pydicom.Dataset
        By file name, in the order in which they are sent: what is referred to
        comes before what refers to it.
    """
    how = _How(new_uid=new_uid, now=now, settings=settings or EncodeSettings())
    return dict(_Encoder(findings, frozenset(kinds), how).encoded())


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    new_uid: NewUid
    now: datetime
    settings: EncodeSettings

    def arguments(self, **change: Any) -> dict[str, Any]:
        settings = replace(self.settings, **change)
        return {"new_uid": self.new_uid, "now": self.now, "settings": settings}


class _Encoder:
    """Encodes one result; SEG and SR once, whatever refers to them."""

    def __init__(self, findings: Findings, kinds: frozenset[ObjectKind], how: _How) -> None:
        self._findings = findings
        self._kinds = kinds
        self._how = how

    def encoded(self) -> Encoded:
        yield from self._reported("", SegKind.REGIONS)
        if ObjectKind.LABELMAP in self._kinds:
            yield from self._reported("-labelmap", SegKind.LABELMAP)
        yield from self._independent()

    def _reported(self, suffix: str, kind: SegKind) -> Encoded:
        """Encode SEG, SR and what points at them, in one encoding."""
        wanted = self._kinds
        if not wanted & {ObjectKind.SEG, ObjectKind.LABELMAP, ObjectKind.SR, ObjectKind.KO}:
            return
        seg = self._seg(kind)
        if wanted & {ObjectKind.SEG, ObjectKind.LABELMAP, ObjectKind.SR}:
            yield f"seg{suffix}.dcm", seg
        if ObjectKind.SR not in wanted:
            yield from self._key_objects(suffix, [seg])
            return
        sr = self._sr(seg)
        yield f"sr{suffix}.dcm", sr
        yield from self._key_objects(suffix, [seg, sr])
        if ObjectKind.ENHANCED_SR in wanted and kind is SegKind.REGIONS:
            enhanced = as_enhanced(sr, self._how.new_uid)
            yield "sr-enhanced.dcm", enhanced
            yield from self._key_objects("-enhanced", [seg, enhanced])

    def _seg(self, kind: SegKind) -> Dataset:
        found = self._findings
        how = self._how.arguments(seg_kind=kind)
        return build_seg(found.series, found.region_map, found.provenance, **how)

    def _sr(self, seg: Dataset) -> Dataset:
        found = self._findings
        return build_sr(
            found.series,
            found.levels,
            found.measurements,
            found.quality,
            found.provenance,
            seg,
            **self._how.arguments(),
        )

    def _key_objects(self, suffix: str, results: list[Dataset]) -> Encoded:
        if ObjectKind.KO in self._kinds:
            document = build_key_objects(self._findings, results, **self._how.arguments())
            yield f"ko{suffix}.dcm", document

    def _independent(self) -> Encoded:
        found, wanted, how = self._findings, self._kinds, self._how.arguments()
        if ObjectKind.TISSUE_SEG in wanted:
            yield "tissue-seg.dcm", self._seg(SegKind.TISSUE)
        if ObjectKind.SC in wanted:
            names = [f"sc-w{width:.0f}.dcm" for _, width in PRESETS]
            yield from zip(names, build_secondary_captures(found, **how), strict=True)
        if ObjectKind.GSPS in wanted:
            names = [f"gsps-{level}.dcm" for level in Level]
            yield from zip(names, build_presentation_states(found, **how), strict=True)
        if ObjectKind.PDF in wanted:
            yield "pdf.dcm", build_pdf(found, **how)


def as_enhanced(sr: Dataset, new_uid: NewUid) -> Dataset:
    """Return the same report as Enhanced SR, for peers that refuse the newer class.

    It uses nothing that Enhanced SR does not allow.

    Parameters
    ----------
    sr : pydicom.Dataset
        Comprehensive 3D SR.
    new_uid : callable
        Derives UIDs from strings.

    References
    ----------
    DICOM PS3.3, A.35.2 "Enhanced SR IOD", A.35.13 "Comprehensive 3D SR IOD".
    """
    enhanced = deepcopy(sr)
    enhanced.SOPClassUID = EnhancedSRStorage
    enhanced.SOPInstanceUID = new_uid("sr-enhanced-instance", str(sr.SOPInstanceUID))
    enhanced.SeriesInstanceUID = new_uid("sr-enhanced-series", str(sr.SeriesInstanceUID))
    enhanced.file_meta.MediaStorageSOPClassUID = enhanced.SOPClassUID
    enhanced.file_meta.MediaStorageSOPInstanceUID = enhanced.SOPInstanceUID
    return enhanced
