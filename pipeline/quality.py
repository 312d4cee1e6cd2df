"""Judge whether a mapping may be shown."""
from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a reader should make of the mapping."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReason:
    """One finding against a mapping.

    Attributes
    ----------
    code : str
        Stable, for machines, for example ``"ganglionic-similarity-low"``.
    verdict : Verdict
        WARN or FAIL.
    text : str
        For people, one sentence.
    """

    code: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The verdict on a result, its reasons, and the numbers behind it.

    Attributes
    ----------
    verdict : Verdict
        The worst of the reasons'; PASS without any.
    reasons : tuple of QualityReason
    numbers : dict of str to float
        For example ``"ganglionic_ncc"``.
    """

    verdict: Verdict
    reasons: tuple[QualityReason, ...]
    numbers: dict[str, float]
