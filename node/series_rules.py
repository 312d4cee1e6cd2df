"""Which series of a study suits the method: from headers alone, no pixels.

The same criteria as `pipeline.eligibility`, as far as headers show them, so that
a study's series can be compared before one of them is computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from node.peer import PeerName, Section

GOOD: Final = 0.65
"""A series with this score or a better one is computed without waiting for others."""

_DOUBT: Final = 0.3
_UNFIT: Final = 0.6
_TIE: Final = 0.1
_THICK_MM: Final = 8.0
_THIN_MM: Final = 1.5
_FEW: Final = 10
_AXIAL: Final = 0.7
_SHARP: Final = ("BONE", "EDGE", "LUNG", "H60", "H70", "HR60", "B60", "B70", "FC30", "FC81")
_NO_AGENT: Final = frozenset({"", "NO", "NONE", "N", "NON", "WITHOUT", "NO CONTRAST", "NATIVE"})

TEXTS: Final = {
    "description": "SeriesDescription",
    "protocol": "ProtocolName",
    "study_description": "StudyDescription",
    "body_part": "BodyPartExamined",
    "kernel": "ConvolutionKernel",
    "image_type": "ImageType",
    "agent": "ContrastBolusAgent",
    "thickness": "SliceThickness",
}
"""What is read of a series, and the keyword of each."""


class Use(StrEnum):
    """What a rule says of a series."""

    PREFER = "prefer"
    """It is the study's series, whatever else comes."""
    ALLOW = "allow"
    """It may be; its score decides."""
    NEVER = "never"
    """It is not computed."""


class SeriesRule(Section):
    """A table of ``[[series_rules]]``; the first whose conditions all hold counts.

    Attributes
    ----------
    name : str
        How logs and status call it.
    use : Use
    urgent : bool
        Such series go before others, see ``urgent_head_start_s``.
    calling_ae : str or None
        Pattern with ``*`` and ``?`` for the AE title that sent it.
    description, protocol, study_description, body_part, kernel, image_type
        Regular expressions, found anywhere in the value, in upper or lower case.
    min_thickness_mm, max_thickness_mm : float or None
        Of the slices.
    min_images, max_images : int or None
    """

    name: PeerName
    use: Use = Use.ALLOW
    urgent: bool = False
    calling_ae: str | None = None
    description: str | None = None
    protocol: str | None = None
    study_description: str | None = None
    body_part: str | None = None
    kernel: str | None = None
    image_type: str | None = None
    min_thickness_mm: Annotated[float, Field(ge=0)] | None = None
    max_thickness_mm: Annotated[float, Field(gt=0)] | None = None
    min_images: Annotated[int, Field(ge=1)] | None = None
    max_images: Annotated[int, Field(ge=1)] | None = None

    @field_validator(
        "description", "protocol", "study_description", "body_part", "kernel", "image_type"
    )
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """What is known of a series without its pixels.

    Attributes
    ----------
    calling_ae : str
    images : int
    description, protocol, study_description, body_part, kernel, image_type, agent : str
        As in the header; several values joined by a backslash.
    thickness_mm : float or None
    normal_z : float or None
        Component along the patient's axis of the unit vector across the slices.
    missing : str
        What it lacks, in words.
    """

    calling_ae: str = ""
    images: int = 0
    description: str = ""
    protocol: str = ""
    study_description: str = ""
    body_part: str = ""
    kernel: str = ""
    image_type: str = ""
    agent: str = ""
    thickness_mm: float | None = None
    normal_z: float | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suitability:
    """How well a series suits the method.

    Attributes
    ----------
    use : Use
    urgent : bool
    score : float
        0 to 1.
    rule : str
        Name of the rule that counts; empty where none does.
    doubts : tuple of str
        What takes from the score, in words.
    """

    use: Use = Use.ALLOW
    urgent: bool = False
    score: float = 1.0
    rule: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[bool, float]:
        """For comparing: the greater suits better."""
        return self.use is Use.PREFER, self.score

    def describe(self) -> str:
        """Say it in words.

        Examples
        --------
        >>> Suitability(score=0.7, doubts=("sharp kernel",)).describe()
        'score 0.7 (sharp kernel)'
        """
        rule = f"rule {self.rule}, " if self.rule else ""
        return rule + describe(self.score, self.doubts)


def describe(score: float, doubts: Sequence[str]) -> str:
    """Say a score in words.

    Examples
    --------
    >>> describe(1.0, ())
    'score 1.0'
    """
    return f"score {score:.1f}" + (f" ({'; '.join(doubts)})" if doubts else "")


def judge(facts: SeriesFacts, rules: Sequence[SeriesRule]) -> Suitability:
    """Say how well a series suits the method."""
    rule = next((item for item in rules if _holds(item, facts)), None)
    doubts = tuple(_doubts(facts))
    return Suitability(
        use=Use.ALLOW if rule is None else rule.use,
        urgent=rule is not None and rule.urgent,
        score=round(max(0.0, 1.0 - sum(weight for _, weight in doubts)), 2),
        rule="" if rule is None else rule.name,
        doubts=tuple(text for text, _ in doubts),
    )


def _holds(rule: SeriesRule, facts: SeriesFacts) -> bool:
    for keyword in ("description", "protocol", "study_description", "body_part", "kernel",
                    "image_type"):  # fmt: skip
        pattern = getattr(rule, keyword)
        if pattern is not None and not re.search(pattern, getattr(facts, keyword), re.IGNORECASE):
            return False
    if rule.calling_ae is not None and not fnmatchcase(facts.calling_ae, rule.calling_ae):
        return False
    return _is_between(facts.thickness_mm, rule.min_thickness_mm, rule.max_thickness_mm) and (
        _is_between(facts.images, rule.min_images, rule.max_images)
    )


def _is_between(value: float | None, least: float | None, most: float | None) -> bool:
    """Tell whether a value is within limits; an unknown one is not within any."""
    if value is None:
        return least is None and most is None
    return (least is None or value >= least) and (most is None or value <= most)


def _doubts(facts: SeriesFacts) -> list[tuple[str, float]]:
    """Return what speaks against a series, and its weight."""
    image_type = set(facts.image_type.upper().split("\\"))
    thickness_mm = facts.thickness_mm or 0.0
    is_few = facts.images < _FEW or bool({"LOCALIZER", "SCOUT"} & image_type)
    is_derived = bool({"DERIVED", "SECONDARY", "REFORMATTED", "MPR"} & image_type)
    is_tilted = facts.normal_z is not None and abs(facts.normal_z) < _AXIAL
    has_agent = facts.agent.strip().upper() not in _NO_AGENT
    found = (
        (facts.kernel.upper().startswith(_SHARP), "sharp kernel", _DOUBT),
        (thickness_mm > _THICK_MM, f"slices thicker than {_THICK_MM:g} mm", _DOUBT),
        (0 < thickness_mm < _THIN_MM, "thin slices", _TIE),
        (bool(facts.missing), facts.missing, _DOUBT),
        (has_agent, "contrast agent", _UNFIT),
        (is_few, "a localizer, or few images", _UNFIT),
        (is_derived, "derived images", _DOUBT),
        (is_tilted, "slices that are not axial", _UNFIT),
    )
    return [(text, weight) for is_so, text, weight in found if is_so]


def as_text(value: Any) -> str:
    r"""Return a header value as text; several values joined by a backslash.

    Examples
    --------
    >>> as_text(["ORIGINAL", "PRIMARY"]), as_text(None)
    ('ORIGINAL\\PRIMARY', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    try:
        return "\\".join(str(item).strip() for item in value)
    except TypeError:
        return str(value)
