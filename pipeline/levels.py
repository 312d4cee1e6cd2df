"""Find the two ASPECTS levels: network, templates and the ventricles' roof together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.arrays import FloatArray
from pipeline.errors import CoverageError, GeometryError, IncompleteSeriesError, SeriesError
from pipeline.localizer.decode import Pick, choose, normalised
from pipeline.regions import Level
from pipeline.series import CtSeries

TEMPLATE_SCALE: Final = 0.03
"""Correlation that makes one slice e times as likely as another."""
TEMPLATE_WEIGHT: Final = 0.05
"""Weight of the templates' opinion: it settles ties, as they match best half a slice higher."""
_VENTRICLES: Final = "ventricles"
_CLEAR: Final = float(np.log(0.5))
"""Below this the ventricles' roof is on no slice."""
_MIN_SIMILARITY: Final = 0.2
_MIN_ROOM_MM: Final = 2.0


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
        Difference of the two slices' probabilities, 0 to 1; 1 where a person
        chose.
    opinions : tuple of (str, int)
        What each method alone would have chosen: ``("network", 17)``. The
        ventricles' roof, with the others' ganglionic level, where it is clear.
    spread_mm : float
        Distance between the lowest and the highest of these slices.
    """

    level: Level
    index: int
    sop_instance_uid: str
    runner_up_index: int | None
    margin: float
    opinions: tuple[tuple[str, int], ...] = ()
    spread_mm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AspectsLevels:
    """Both levels of a series.

    Attributes
    ----------
    ganglionic, supraganglionic : LevelChoice
    distance_mm : float
        From the ganglionic to the supraganglionic slice along the normal.
    method : str
        What took part, ``"network+template+ventricles"``, or ``"person"``.
    """

    ganglionic: LevelChoice
    supraganglionic: LevelChoice
    distance_mm: float
    method: str

    def get(self, level: Level) -> LevelChoice:
        """Return the choice of one level."""
        return self.ganglionic if level is Level.GANGLIONIC else self.supraganglionic


def find_levels(
    series: CtSeries,
    similarity: FloatArray,
    network: FloatArray | None = None,
    roof: FloatArray | None = None,
) -> AspectsLevels:
    """Choose both levels together.

    Parameters
    ----------
    series : CtSeries
    similarity : numpy.ndarray, shape (2, slice), float64
        Of each slice with the template of each level, as
        `pipeline.template_levels.match_templates` gives it.
    network : numpy.ndarray, shape (2, slice), float64, optional
        The network's log probabilities.
    roof : numpy.ndarray, shape (slice,), float64, optional
        Log probabilities that the ventricles end, from
        `pipeline.ventricle_roof.roof_evidence`.

    Returns
    -------
    AspectsLevels

    Raises
    ------
    CoverageError
        A level lies at the edge of the scan or outside.
    IncompleteSeriesError
        Slices are missing where a level lies.
    """
    evidence, together = _weighed(similarity, network)
    alone = {name: choose(series.distances_mm, rows) for name, rows in evidence.items()}
    picks = choose(series.distances_mm, together, roof)
    if roof is not None:
        nothing = np.stack((together[0], np.zeros_like(roof)))
        alone[_VENTRICLES] = choose(series.distances_mm, nothing, roof)
    for row, (level, pick) in enumerate(zip(Level, picks, strict=True)):
        _check_inside(series, level, pick, float(similarity[row, pick.index]))
    if picks[0].index >= picks[1].index:
        raise CoverageError(
            f"series {series.series_instance_uid}: the two levels were not found apart from each "
            "other. Send the whole head."
        )
    choices = [
        _with_opinions(
            LevelChoice(
                level=level,
                index=pick.index,
                sop_instance_uid=series.sop_instance_uids[pick.index],
                runner_up_index=pick.runner_up,
                margin=pick.margin,
            ),
            series,
            {
                name: both[row].index
                for name, both in alone.items()
                if name != _VENTRICLES or (row == 1 and _is_clear(roof))
            },
        )
        for row, (level, pick) in enumerate(zip(Level, picks, strict=True))
    ]
    return _both(series, choices[0], choices[1], "+".join(alone))


def _weighed(
    similarity: FloatArray, network: FloatArray | None
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return each method's log probabilities, shape (2, slice), and those of both together."""
    templates = normalised(similarity / TEMPLATE_SCALE)
    if network is None:
        return {"template": templates}, templates
    evidence = {"network": normalised(network), "template": templates}
    return evidence, evidence["network"] + TEMPLATE_WEIGHT * templates


def _is_clear(roof: FloatArray | None) -> bool:
    return roof is not None and bool(roof.max() > _CLEAR and roof.min() < _CLEAR)


def _with_opinions(choice: LevelChoice, series: CtSeries, said: dict[str, int]) -> LevelChoice:
    where = [series.distances_mm[index] for index in said.values()]
    spread_mm = float(max(where) - min(where))
    return replace(choice, opinions=tuple(said.items()), spread_mm=spread_mm)


def levels_by_person(series: CtSeries, ganglionic: int, supraganglionic: int) -> AspectsLevels:
    """Take the two slices that a person chose.

    Parameters
    ----------
    series : CtSeries
    ganglionic, supraganglionic : int
        0-based, from inferior to superior.

    Raises
    ------
    GeometryError
        An index is outside the series, or the supraganglionic level is not
        above the ganglionic.
    """
    if not 0 <= ganglionic < supraganglionic < len(series):
        raise GeometryError(
            f"series {series.series_instance_uid}: levels {ganglionic} and {supraganglionic} do "
            f"not fit: 0 <= ganglionic < supraganglionic < {len(series)} is needed, counted from "
            "inferior to superior"
        )
    choices = [
        LevelChoice(
            level=level,
            index=index,
            sop_instance_uid=series.sop_instance_uids[index],
            runner_up_index=None,
            margin=1.0,
        )
        for level, index in zip(Level, (ganglionic, supraganglionic), strict=True)
    ]
    return _both(series, choices[0], choices[1], "person")


def beside_the_method(
    levels: AspectsLevels,
    series: CtSeries,
    similarity: FloatArray,
    network: FloatArray | None = None,
    roof: FloatArray | None = None,
) -> AspectsLevels:
    """Set what the method would have chosen beside what a person chose.

    Parameters
    ----------
    levels : AspectsLevels
        As the person chose them; their slices stay.
    series : CtSeries
    similarity, network, roof : numpy.ndarray
        As in `find_levels`.
    """
    try:
        own = find_levels(series, similarity, network, roof)
    except SeriesError:
        return levels
    low, high = (
        _with_opinions(
            levels.get(level),
            series,
            {"person": levels.get(level).index, "method": own.get(level).index},
        )
        for level in Level
    )
    return replace(levels, ganglionic=low, supraganglionic=high)


def _both(
    series: CtSeries, ganglionic: LevelChoice, supraganglionic: LevelChoice, method: str
) -> AspectsLevels:
    span = series.distances_mm[supraganglionic.index] - series.distances_mm[ganglionic.index]
    return AspectsLevels(
        ganglionic=ganglionic,
        supraganglionic=supraganglionic,
        distance_mm=float(span),
        method=method,
    )


def _check_inside(series: CtSeries, level: Level, pick: Pick, similarity: float) -> None:
    uid = series.series_instance_uid
    where = series.distances_mm[pick.index]
    room_mm = min(where - series.distances_mm[0], series.distances_mm[-1] - where)
    if room_mm < _MIN_ROOM_MM or similarity < _MIN_SIMILARITY:
        raise CoverageError(
            f"series {uid}: the {level} level does not lie inside the scan. Send the whole head."
        )
    if pick.index in series.gaps or pick.index - 1 in series.gaps:
        raise IncompleteSeriesError(
            f"series {uid}: slices are missing next to the {level} level. Send the series again."
        )
