"""Find the two ASPECTS levels."""
from __future__ import annotations

from dataclasses import dataclass

from pipeline.regions import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChoice:
    """The slice chosen for one level, and how sure that is.

    Attributes
    ----------
    level : Level
    index : int
        Slice index, 0-based, from inferior to superior.
    sop_instance_uid : str
    runner_up_index : int or None
        The next best slice; ``None`` where a person chose.
    margin : float
        Difference of evidence between the two, 0 to 1; 1 where a person chose.
    """

    level: Level
    index: int
    sop_instance_uid: str
    runner_up_index: int | None
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AspectsLevels:
    """Both levels of a series.

    Attributes
    ----------
    ganglionic, supraganglionic : LevelChoice
    distance_mm : float
        From the ganglionic to the supraganglionic slice along the normal.
    method : str
        ``"template"``, ``"network+template"`` or ``"person"``.
    """

    ganglionic: LevelChoice
    supraganglionic: LevelChoice
    distance_mm: float
    method: str

    def get(self, level: Level) -> LevelChoice:
        """Return the choice of one level."""
        return self.ganglionic if level is Level.GANGLIONIC else self.supraganglionic
