"""The codes of SEG and SR: standard where one exists, else our private scheme.

Every function makes a fresh object, because a code sequence item is mutable: the
laterality modifier that a SEG nests in one must not turn up in an SR.

References
----------
DICOM PS3.16, CID 7150 "Segmentation Property Category", CID 7151 "Segmentation
Property Type", CID 244 "Laterality", CID 7162 "Analysis Algorithm Family".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from pipeline.regions import Region, RegionSide, Side

PRIVATE_SCHEME: Final = "99ASPECTS"
"""Designator of the private coding scheme."""
PRIVATE_SCHEME_UID: Final = "2.25.308057245244149130628284049604112230482"
"""``uid_factory()("coding-scheme", "99ASPECTS")``, fixed for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A code as plain values; ``to_code`` makes the DICOM item.

    Attributes
    ----------
    value, scheme, meaning : str
        ``CodeValue`` (0008,0100), ``CodingSchemeDesignator`` (0008,0102),
        ``CodeMeaning`` (0008,0104).
    """

    value: str
    scheme: str
    meaning: str

    def to_code(self) -> CodedConcept:
        """Return a new code sequence item."""
        return CodedConcept(self.value, self.scheme, self.meaning)


def _sct(value: str, meaning: str) -> Concept:
    return Concept(value=value, scheme="SCT", meaning=meaning)


def _dcm(value: str, meaning: str) -> Concept:
    return Concept(value=value, scheme="DCM", meaning=meaning)


def _private(value: str, meaning: str) -> Concept:
    return Concept(value=value, scheme=PRIVATE_SCHEME, meaning=meaning)


BRAIN: Final = _sct("12738006", "Brain")
CORTEX: Final = _sct("40146001", "Cerebral cortex")
PUTAMEN: Final = _sct("89278009", "Putamen")
GLOBUS_PALLIDUS: Final = _sct("14738005", "Globus pallidus")
STRUCTURE: Final = _sct("91723000", "Anatomical Structure")
SPATIAL: Final = _sct("309825002", "Spatial and Relational Concept")
AREA: Final = _sct("42798000", "Area")
MEAN: Final = _sct("373098007", "Mean")
MEDIAN: Final = _sct("373099004", "Median")
STANDARD_DEVIATION: Final = _sct("386136009", "Standard Deviation")
NO: Final = _sct("373067005", "No")
ATTENUATION: Final = _dcm("112031", "Attenuation Coefficient")
DISTANCE: Final = _dcm("121206", "Distance")
COMMENT: Final = _dcm("121106", "Comment")
PROCESSING_EQUIPMENT: Final = _dcm("109102", "Processing Equipment")
SEGMENTATION: Final = _dcm("113076", "Segmentation")
SOURCE_IMAGE: Final = _dcm("121322", "Source image for image processing operation")
OF_INTEREST: Final = _dcm("113000", "Of Interest")
IMAGING_REPORT: Final = _dcm("126000", "Imaging Measurement Report")
DEVICE: Final = _dcm("121007", "Device")
REPORTED_PROCEDURE: Final = Concept(
    value="25045-6", scheme="LN", meaning="CT unspecified body region"
)
"""From CID 100 "Quantitative Diagnostic Imaging Procedures"; CT Head is not in it."""
EVALUATIONS: Final = Concept(value="C0034375", scheme="UMLS", meaning="Qualitative Evaluations")

MM: Final = Concept(value="mm", scheme="UCUM", meaning="mm")
MM2: Final = Concept(value="mm2", scheme="UCUM", meaning="square millimeter")
HU: Final = Concept(value="[hnsf'U]", scheme="UCUM", meaning="Hounsfield unit")
ONE: Final = Concept(value="1", scheme="UCUM", meaning="no units")

LEVELS: Final = _private("LEVELS", "Slices of the two ASPECTS levels")
MARGIN_GANGLIONIC: Final = _private("MARGIN_G", "Margin of the ganglionic slice over the next")
MARGIN_SUPRAGANGLIONIC: Final = _private(
    "MARGIN_S", "Margin of the supraganglionic slice over the next"
)
QUALITY: Final = _private("QUALITY", "Quality of the mapping")
MAPPED: Final = _private("MAPPED", "Region mapped")
TISSUE: Final = _private("TISSUE", "Tissue only, without CSF and calcification")
FLUID: Final = _private("FLUID_AREA", "Area left out of the tissue as CSF")
DENSE: Final = _private("DENSE_AREA", "Area left out of the tissue as calcification or blood")
NOISE: Final = _private("NOISE", "Noise of the slice")
CORRECTED_DIFFERENCE: Final = _private("SIDE_DIFF_C", "Side difference less that of the atlas")
CORRECTED_DIFFERENCE_LOW: Final = _private(
    "SIDE_DIFF_C_LOW", "Side difference less that of the atlas, lower 95 % limit"
)
CORRECTED_DIFFERENCE_HIGH: Final = _private(
    "SIDE_DIFF_C_HIGH", "Side difference less that of the atlas, upper 95 % limit"
)
CORRECTED_RATIO: Final = _private("SIDE_RATIO_C", "Side ratio over that of the atlas")
DARKER_SIDE: Final = _private("DARKER", "Darker than the other side, past the limits")
FOR_REVIEW: Final = _private("FOR_REVIEW", "For review")
SIDE_DIFFERENCE: Final = _private("SIDE_DIFF", "Difference from the other side")
SIDE_RATIO: Final = _private("SIDE_RATIO", "Ratio to the other side")

NOT_MAPPED: Final = _private("NOT_MAPPED", "ASPECTS regions were not mapped")
REASON: Final = _private("REASON", "Why the regions were not mapped")

_VERDICTS: Final = {"pass": "Pass", "warn": "Warning", "fail": "Fail"}

_TYPES: Final = {
    Region.C: _sct("11000004", "Caudate nucleus"),
    Region.I: _sct("36169008", "Insula"),
    Region.IC: _sct("85637007", "Internal capsule"),
    Region.L: _private("L", "Lentiform nucleus"),
}

_SIDES: Final = {
    Side.RIGHT: _sct("24028007", "Right"),
    Side.LEFT: _sct("7771000", "Left"),
}

_FAMILIES: Final = {
    "artificial-intelligence": _dcm("123110", "Artificial Intelligence"),
    "deformable-model": _dcm("123111", "Deformable Models"),
    "image-processing": _dcm("123101", "Neighborhood Analysis"),
}


def region_type(item: RegionSide) -> Concept:
    """Return the Segmented Property Type of a region, without its side.

    M1-M6 and the lentiform nucleus have no standard code; RadLex and SNOMED
    codes named M1 or M2 are segments of the artery, not these regions.
    """
    if item.region in _TYPES:
        return _TYPES[item.region]
    return _private(str(item.region), f"ASPECTS region {item.region}")


def region_category(item: RegionSide) -> Concept:
    """Return the Segmented Property Category: M1-M6 are territories, not structures."""
    return STRUCTURE if item.region in _TYPES else SPATIAL


def anatomic_region(item: RegionSide) -> Concept:
    """Return the Anatomic Region in which a region lies."""
    return BRAIN if item.region in _TYPES else CORTEX


def primary_structures(item: RegionSide) -> tuple[Concept, ...]:
    """Return the standard structures that make up a privately coded one."""
    return (PUTAMEN, GLOBUS_PALLIDUS) if item.region is Region.L else ()


def laterality(item: RegionSide) -> Concept:
    """Return the side as a code of CID 244 "Laterality"."""
    return _SIDES[item.side]


def algorithm_family(family: str) -> Concept:
    """Return the Algorithm Family of CID 7162 "Analysis Algorithm Family".

    Raises
    ------
    KeyError
        The family is none of those that ``Algorithm`` names.
    """
    return _FAMILIES[family]


def verdict(value: str) -> Concept:
    """Return the code of a quality verdict."""
    return _private(value.upper(), _VERDICTS[value])


def coding_scheme() -> CodingSchemeIdentificationItem:
    """Return the item that publishes the private scheme in each object.

    References
    ----------
    DICOM PS3.3, C.12.1 "SOP Common Module": Coding Scheme Identification
    Sequence (0008,0110).
    """
    item = CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="Private codes of aspects-node for ASPECTS regions",
        responsible_organization="aspects-node project",
    )
    # the encoder writes a UID only for schemes of a registry
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    return item
