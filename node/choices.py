"""What a site or a person may choose about the method; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

RegistrationName = Literal["greedy", "ants", "affine"]
"""How the atlas is laid on a slice; ``ants`` is the paper's way."""
BrainName = Literal["skull", "paper"]
"""How the brain is masked; ``paper`` is the paper's way."""

REGISTRATIONS: Final[tuple[RegistrationName, ...]] = get_args(RegistrationName)
BRAINS: Final[tuple[BrainName, ...]] = get_args(BrainName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices for one computation; plain values, so that they can cross processes.

    Attributes
    ----------
    registration : {"greedy", "ants", "affine"}
    brain : {"skull", "paper"}
    all_slices : bool
        Whether the regions are carried to the slices about each level.
    asymmetry_flags : bool
        Whether regions that are darker than the other side are marked for review.
    asymmetry_difference_hu, asymmetry_ratio : float
        By at least how much, and at most which share.
    """

    registration: RegistrationName = "greedy"
    brain: BrainName = "skull"
    all_slices: bool = False
    asymmetry_flags: bool = False
    asymmetry_difference_hu: float = 2.0
    asymmetry_ratio: float = 0.95


DEFAULT_CHOICES: Final = Choices()
