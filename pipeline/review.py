"""Mark regions that are darker than the other side, for a reader to look at again.

Off by default. A mark is no diagnosis and is counted nowhere: an old infarct, a
deep sulcus, a tilted head or a region that lies badly are darker, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.provenance import Algorithm
from pipeline.side_difference import SideDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewLimits:
    """How much darker a region has to be.

    Both limits have to be passed, and the interval of the difference has to lie
    below 0: with ``difference_hu`` 0 the ratio decides alone, with ``ratio`` 1
    the difference.

    Attributes
    ----------
    difference_hu : float
        Darker than the other side by at least this much, after correction for
        the atlas's asymmetry.
    ratio : float
        At most this share of the other side, corrected likewise.

    Notes
    -----
    On 29 heads of CT-ICH without haemorrhage these limits mark 12 of 290 pairs
    of regions, in 8 heads; without the interval it would be 31, in 13.

    References
    ----------
    Mokin et al., "Semi-automated measurement of hypodensity on CT", Journal of
    NeuroInterventional Surgery (2017), uses ratios of 0.94 to 0.96.
    """

    difference_hu: float = 2.0
    ratio: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Whether a region is marked, and by which limits.

    Attributes
    ----------
    limits : ReviewLimits
    marked : bool
    """

    limits: ReviewLimits
    marked: bool


def review(found: SideDifference | None, limits: ReviewLimits) -> Review:
    """Compare a region with the limits; one that cannot be compared is not marked."""
    if found is None or found.corrected_ratio is None or found.interval_hu is None:
        return Review(limits=limits, marked=False)
    marked = (
        found.corrected_difference_hu <= -limits.difference_hu
        and found.corrected_ratio <= limits.ratio
        and found.interval_hu[1] < 0
    )
    return Review(limits=limits, marked=marked)


def review_algorithm(limits: ReviewLimits) -> Algorithm:
    """Return what the marks report about themselves."""
    return Algorithm(
        name="side difference for review",
        version="1",
        family="image-processing",
        parameters=(f"difference_hu={limits.difference_hu:g}", f"ratio={limits.ratio:g}"),
    )
