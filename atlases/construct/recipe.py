"""How a template is built: the parameters, and their hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from atlases.construct.template import UPDATES, Sharpening
from pipeline.registration_pairs import SMOOTH_MM, Engine, describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The parameters of a construction.

    Attributes
    ----------
    engine : Engine
    initial : str or None
        Subject that the first template is; None is the mean of all heads and
        their mirror images.
    iterations : int
    gradient_step : float
        Share of the mean displacement that each of four updates undoes.
    sharpening : Sharpening
    grid_mm : float
    """

    engine: Engine = Engine.GREEDY
    initial: str | None = None
    iterations: int = 4
    gradient_step: float = 0.25
    sharpening: Sharpening = Sharpening.UNSHARP
    grid_mm: float = 0.5

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {
            "engine": describe(self.engine),
            "initial": self.initial or "symmetrised mean",
            "iterations": self.iterations,
            "gradient_step": self.gradient_step,
            "updates_per_iteration": UPDATES,
            "sharpening": str(self.sharpening),
            "smoothing_mm": SMOOTH_MM,
            "grid_mm": self.grid_mm,
        }


def digest(content: object) -> str:
    """Hash plain data and the version of this software."""
    text = json.dumps([metadata.version("aspects-node"), content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
