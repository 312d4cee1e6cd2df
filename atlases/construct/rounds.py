"""Build the template of one level, round by round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atlases.construct.fusion import Votes, majority, votes_of_atlases, votes_of_subjects
from atlases.construct.recipe import Recipe
from atlases.construct.template import (
    Movement,
    averaged,
    mean_displacement,
    sampled,
    shape_update,
    sharpened,
    symmetrised_mean,
)
from atlases.construct.work import (
    Pairing,
    Runner,
    store_template,
    stored_bend,
    stored_entry,
    stored_picture,
    stored_points,
    stored_regions,
    stored_template,
)
from pipeline.arrays import FloatArray, LabelArray
from pipeline.atlas import Atlas
from pipeline.regions import Level
from pipeline.registration_pairs import Upright


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """One finished level.

    Attributes
    ----------
    template : Upright
    labels : numpy.ndarray, shape (row, column), uint8
        1-10, both sides alike.
    votes : mapping of int to numpy.ndarray
        Probability of each region.
    movements : tuple of Movement
        One for each round.
    """

    template: Upright
    labels: LabelArray
    votes: Votes
    movements: tuple[Movement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelBuild:
    """The template of one level and age group, built from stored pictures.

    Attributes
    ----------
    recipe : Recipe
    level : Level
    pictures : tuple of Path
        Of each subject, as `Preparation` stores them.
    initial : Path or None
        The one of them that is the first template.
    drawings : tuple of Atlas
        Atlases whose regions are fused; empty takes those of the subjects.
    folder : Path
        For what each round leaves.
    """

    recipe: Recipe
    level: Level
    pictures: tuple[Path, ...]
    initial: Path | None
    drawings: tuple[Atlas, ...]
    folder: Path

    def build(self, runner: Runner) -> Built:
        """Register, average, sharpen, correct the shape; as often as the recipe says.

        Notes
        -----
        1. Every subject is registered to the template, affine and bent.
        2. The maps are averaged; undoing that average gives the mean shape.
        3. Every picture is looked up once through its map in that shape, and
           the mean of them is the next template, sharpened.
        4. Regions come from the last round, by majority vote.

        References
        ----------
        Avants et al., NeuroImage 49 (2010); the script
        antsMultivariateTemplateConstruction2.sh of ANTs.
        """
        self._start()
        for number in range(1, self.recipe.iterations + 1):
            if self._template(number).exists():
                runner.skip(len(self.pictures))
            else:
                self._round(number, runner)
                self._clear(number - 1)
        last = stored_template(self._template(self.recipe.iterations), self.recipe.grid_mm)
        votes = self._votes(last)
        return Built(
            template=last, labels=majority(votes), votes=votes, movements=self._movements()
        )

    def _template(self, number: int) -> Path:
        return self.folder / f"template-{number}.npz"

    def _maps(self, number: int) -> list[Path]:
        return [self.folder / f"map-{number}-{path.name}" for path in self.pictures]

    def _start(self) -> None:
        if self._template(0).exists():
            return
        grid_mm = self.recipe.grid_mm
        if self.initial is None:
            heads = [stored_picture(path, self.level, grid_mm) for path in self.pictures]
            first = symmetrised_mean(heads)
        else:
            first = stored_picture(self.initial, self.level, grid_mm)
        store_template(self._template(0), first)

    def _round(self, number: int, runner: Runner) -> None:
        recipe = self.recipe
        steps = [
            Pairing(
                template=self._template(number - 1),
                pictures=pictures,
                level=self.level,
                grid_mm=recipe.grid_mm,
                engine=recipe.engine,
                target=target,
            )
            for pictures, target in zip(self.pictures, self._maps(number), strict=True)
        ]
        runner.run(steps)
        before = stored_template(self._template(number - 1), recipe.grid_mm)
        mean = mean_displacement(before, map(stored_points, self._maps(number)))
        update = shape_update(mean, recipe.grid_mm, recipe.gradient_step)
        heads = (stored_picture(path, self.level, recipe.grid_mm) for path in self.pictures)
        new = averaged(heads, self._carried(number, update))
        store_template(
            self._template(number),
            sharpened(new, recipe.sharpening),
            update=update,
            deformation_mm=np.mean([stored_bend(path) for path in self._maps(number)]),
            update_mm=np.hypot(*mean)[before.brain].mean(),
        )

    def _carried(self, number: int, update: FloatArray) -> Iterator[FloatArray]:
        """Yield each map of a round, in the shape that the round arrived at."""
        for path in self._maps(number):
            yield sampled(stored_points(path), update, self.recipe.grid_mm)

    def _clear(self, number: int) -> None:
        """Drop maps that are not needed any more; those of the last round are."""
        for path in self._maps(number):
            path.unlink(missing_ok=True)

    def _votes(self, template: Upright) -> Votes:
        if self.drawings:
            return votes_of_atlases(template, self.drawings)
        last = self.recipe.iterations
        update = stored_entry(self._template(last), "update")
        drawn = [stored_regions(path, self.level) for path in self.pictures]
        points = [
            where
            for regions, where in zip(drawn, self._carried(last, update), strict=True)
            if regions is not None
        ]
        known = [regions for regions in drawn if regions is not None]
        return votes_of_subjects(self.level, known, points, self.recipe.grid_mm)

    def _movements(self) -> tuple[Movement, ...]:
        rounds = range(1, self.recipe.iterations + 1)
        return tuple(
            Movement(
                deformation_mm=float(stored_entry(self._template(number), "deformation_mm")),
                update_mm=float(stored_entry(self._template(number), "update_mm")),
            )
            for number in rounds
        )
