"""The single steps of a construction; each leaves a file, and is not done twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from atlases.construct.cohort import Subject
from atlases.construct.pictures import fitted_scale, read_slices, upright, upright_regions
from pipeline.arrays import FloatArray, LabelArray
from pipeline.regions import Level
from pipeline.registration_pairs import Engine, Upright, register_pair


class Step(Protocol):
    """Something to do that leaves a file."""

    @property
    def target(self) -> Path:
        """The file."""
        ...

    def __call__(self) -> None:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Read a subject and store its upright pictures.

    Attributes
    ----------
    subject : Subject
    areas_mm2 : mapping of Level to float, or None
        What the area of its brain is scaled to.
    grid_mm : float
    target : Path
    """

    subject: Subject
    areas_mm2: Mapping[Level, float] | None
    grid_mm: float
    target: Path

    def __call__(self) -> None:
        """Do it."""
        slices = read_slices(self.subject)
        scale = 1.0 if self.areas_mm2 is None else fitted_scale(slices, self.areas_mm2)
        arrays: dict[str, npt.NDArray[Any]] = {"scale": np.array(scale)}
        for level, one in slices.items():
            picture = upright(one, self.grid_mm, scale)
            arrays[f"{level}_hu"], arrays[f"{level}_brain"] = picture.hu, picture.brain
            regions = upright_regions(one, self.grid_mm, scale)
            if regions is not None:
                arrays[f"{level}_regions"] = regions
        _store(self.target, arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Register a template to a subject and store the map.

    Attributes
    ----------
    template, pictures : Path
        Stored by `store_template` and `Preparation`.
    level : Level
    grid_mm : float
    engine : Engine
    target : Path
    """

    template: Path
    pictures: Path
    level: Level
    grid_mm: float
    engine: Engine
    target: Path

    def __call__(self) -> None:
        """Do it."""
        template = stored_template(self.template, self.grid_mm)
        subject = stored_picture(self.pictures, self.level, self.grid_mm)
        found = register_pair(template, subject, self.engine)
        bend_mm = np.hypot(*found.bend_mm)[template.brain].mean()
        _store(self.target, {"points": found.points_mm.astype(np.float32), "bend": bend_mm})


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Does those steps whose files are not there.

    Attributes
    ----------
    pool : concurrent.futures.ProcessPoolExecutor or None
        None works in this process.
    on_step : callable
        Called for each step that is done, or was done before.
    """

    pool: ProcessPoolExecutor | None
    on_step: Callable[[], None]

    def run(self, steps: Sequence[Step]) -> None:
        """Do steps, in any order."""
        due = [step for step in steps if not step.target.exists()]
        self.skip(len(steps) - len(due))
        if self.pool is None:
            for step in due:
                step()
                self.on_step()
            return
        futures = [self.pool.submit(_do, step) for step in due]
        try:
            for future in as_completed(futures):
                future.result()
                self.on_step()
        finally:
            for future in futures:
                future.cancel()

    def skip(self, count: int) -> None:
        """Count steps that were done before."""
        for _ in range(count):
            self.on_step()


@contextmanager
def runner(jobs: int, on_step: Callable[[], None]) -> Iterator[Runner]:
    """Yield a runner with that many processes; 1 works in this one."""
    if jobs == 1:
        yield Runner(pool=None, on_step=on_step)
        return
    # not forked: the engines' libraries have threads of their own
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield Runner(pool=pool, on_step=on_step)


def stored_picture(path: Path, level: Level, grid_mm: float) -> Upright:
    """Read one picture of a subject."""
    with np.load(path) as arrays:
        return Upright(hu=arrays[f"{level}_hu"], brain=arrays[f"{level}_brain"], grid_mm=grid_mm)


def stored_regions(path: Path, level: Level) -> LabelArray | None:
    """Read the regions of a subject; None where it has none."""
    with np.load(path) as arrays:
        found: LabelArray | None = arrays.get(f"{level}_regions")
        return found


def stored_scale(path: Path) -> float:
    """Read the factor by which a subject was enlarged."""
    with np.load(path) as arrays:
        return float(arrays["scale"])


def stored_points(path: Path) -> FloatArray:
    """Read a map: where the template's pixels lie in the subject, in mm."""
    with np.load(path) as arrays:
        return np.asarray(arrays["points"], dtype=np.float64)


def stored_bend(path: Path) -> float:
    """Read how far a subject was bent, in mm."""
    with np.load(path) as arrays:
        return float(arrays["bend"])


def store_template(path: Path, template: Upright, **made: Any) -> None:
    """Write a template, and numbers and arrays of the round that made it."""
    _store(path, {"hu": template.hu, "brain": template.brain, **made})


@lru_cache(maxsize=2)
def stored_template(path: Path, grid_mm: float) -> Upright:
    """Read a template."""
    with np.load(path) as arrays:
        return Upright(hu=arrays["hu"], brain=arrays["brain"], grid_mm=grid_mm)


def stored_entry(path: Path, name: str) -> npt.NDArray[Any]:
    """Read what was stored with a template."""
    with np.load(path) as arrays:
        found: npt.NDArray[Any] = arrays[name]
        return found


def _store(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write whole or not at all, so that a step that was cut off is done again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def _do(step: Step) -> None:
    step()
