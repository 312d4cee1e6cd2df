"""Building a template: from cohorts whose mean shape is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from atlases.construct.fusion import majority
from atlases.construct.recipe import Recipe
from atlases.construct.rounds import Built, LevelBuild
from atlases.construct.template import (
    Sharpening,
    averaged,
    mean_displacement,
    sampled,
    shape_update,
    sharpened,
    symmetrised_mean,
)
from atlases.construct.work import Runner
from pipeline.arrays import LabelArray
from pipeline.regions import Level
from pipeline.registration_grid import grid_index, grid_points
from pipeline.registration_pairs import Engine, Upright, register_pair
from tests.atlases.simulated_cohort import GRID_MM, SimulatedCohort, simulate

pytestmark = pytest.mark.timeout(240)

STEPS: list[int] = []


def run_rounds(cohort: SimulatedCohort, folder: Path, **recipe: object) -> Built:
    pictures = cohort.store(folder)
    build = LevelBuild(
        recipe=Recipe(grid_mm=GRID_MM, **recipe),  # type: ignore[arg-type]  # by name
        level=Level.GANGLIONIC,
        pictures=pictures,
        initial=pictures[0] if recipe.get("initial") else None,
        drawings=(),
        folder=folder / "rounds",
    )
    return build.build(Runner(pool=None, on_step=lambda: STEPS.append(1)))


def dice(one: LabelArray, other: LabelArray) -> float:
    """Mean over the regions."""
    scores = [
        2 * ((one == n) & (other == n)).sum() / ((one == n).sum() + (other == n).sum())
        for n in np.unique(other[other > 0])
    ]
    return float(np.mean(scores))


def distance_mm(one: Upright, cohort: SimulatedCohort) -> float:
    """How far a picture's shape is from the true mean: mean displacement in the brain."""
    found = register_pair(cohort.mean, one, Engine.GREEDY)
    moved = found.points_mm - grid_points(one.hu.shape, GRID_MM)
    return float(np.hypot(*moved)[cohort.mean.brain].mean())


@pytest.fixture(scope="module")
def cohort() -> SimulatedCohort:
    return simulate(8, seed=3, bend_mm=4.0)


@pytest.fixture(scope="module")
def built(cohort: SimulatedCohort, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return run_rounds(cohort, tmp_path_factory.mktemp("cohort"), iterations=3)


def test_the_template_comes_to_rest(built: Built) -> None:
    updates = [one.update_mm for one in built.movements]
    assert updates == sorted(updates, reverse=True)
    assert updates[-1] < updates[0] / 2


def test_the_template_is_nearer_to_the_mean_shape_than_any_head(
    cohort: SimulatedCohort, built: Built
) -> None:
    nearest = min(distance_mm(head, cohort) for head in cohort.heads)
    assert distance_mm(built.template, cohort) < nearest / 3


def test_fused_regions_are_nearer_to_the_truth_than_any_drawing(
    cohort: SimulatedCohort, built: Built
) -> None:
    best = max(dice(regions, cohort.mean_regions) for regions in cohort.regions)
    assert dice(built.labels, cohort.mean_regions) > max(best, 0.8)
    total = np.sum(list(built.votes.values()), axis=0)
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-6


def test_the_template_has_the_mean_brightness_and_less_noise(
    cohort: SimulatedCohort, built: Built
) -> None:
    white = (cohort.mean_regions == 0) & (np.abs(cohort.mean.hu - 28) < 0.1)
    white = ndimage.binary_erosion(white & cohort.mean.brain, iterations=3)
    assert built.template.hu[white].mean() == pytest.approx(28, abs=0.7)
    assert built.template.hu[white].std() < 0.75 * cohort.heads[0].hu[white].std()
    assert built.template.hu.dtype == np.float32


def test_one_head_as_start_is_left_behind(cohort: SimulatedCohort, tmp_path: Path) -> None:
    built = run_rounds(cohort, tmp_path, iterations=2, initial="head00")
    assert distance_mm(built.template, cohort) < distance_mm(cohort.heads[0], cohort) / 2
    assert built.movements[1].update_mm < built.movements[0].update_mm / 2


def test_ants_and_greedy_agree(cohort: SimulatedCohort) -> None:
    for engine in Engine:
        found = register_pair(cohort.mean, cohort.heads[0], engine)
        index = grid_index(found.points_mm, cohort.mean.hu.shape, GRID_MM)
        carried = ndimage.map_coordinates(cohort.regions[0], index, order=0)
        assert dice(carried, cohort.mean_regions) > 0.85, engine
    assert dice(cohort.regions[0], cohort.mean_regions) < 0.75


def test_a_finished_round_is_not_done_again(cohort: SimulatedCohort, tmp_path: Path) -> None:
    few = SimulatedCohort(
        mean=cohort.mean,
        mean_regions=cohort.mean_regions,
        heads=cohort.heads[:2],
        regions=cohort.regions[:2],
    )
    first = run_rounds(few, tmp_path, iterations=1)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "rounds").iterdir()}
    STEPS.clear()
    again = run_rounds(few, tmp_path, iterations=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rounds").iterdir()} == made
    assert len(STEPS) == 2
    assert (again.template.hu == first.template.hu).all()
    assert (again.labels == first.labels).all()


def test_the_shape_update_undoes_the_mean(cohort: SimulatedCohort) -> None:
    points = grid_points(cohort.mean.hu.shape, GRID_MM)
    bump = 3 * np.exp(-(points[0] ** 2 + points[1] ** 2) / 800)
    field = np.stack([bump, -bump])
    mean = mean_displacement(cohort.mean, [points + 2 * field, points])
    assert mean == pytest.approx(field)
    undone = sampled(points + mean, shape_update(mean, GRID_MM, 0.25), GRID_MM)
    inside = np.hypot(*points) < 70
    assert np.hypot(*(undone - points))[inside].max() < 0.25 * bump.max()


def test_the_start_is_nobodys_head_and_symmetric(cohort: SimulatedCohort) -> None:
    start = symmetrised_mean(cohort.heads)
    assert (start.brain == np.fliplr(start.brain)).all()
    # which of two pixels as near is nearest may differ between the sides
    assert (np.abs(start.hu - np.fliplr(start.hu)) < 1e-3).mean() > 0.999


@pytest.mark.parametrize("how", [Sharpening.UNSHARP, Sharpening.LAPLACIAN])
def test_sharpening_leaves_no_halo(cohort: SimulatedCohort, how: Sharpening) -> None:
    still = grid_points(cohort.mean.hu.shape, GRID_MM)
    mean = averaged([cohort.mean], [still])
    sharp = sharpened(mean, how)
    ventricle = np.abs(mean.hu - 18) < 6
    steep = np.hypot(*np.gradient(mean.hu))
    assert np.hypot(*np.gradient(sharp.hu))[ventricle].mean() > 1.1 * steep[ventricle].mean()

    flat = Upright(
        hu=np.where(mean.brain, np.float32(30), np.float32(0)), brain=mean.brain, grid_mm=GRID_MM
    )
    flat.hu[100, 84] = 31  # a picture without any range has nothing to sharpen
    rim = mean.brain & ~ndimage.binary_erosion(mean.brain, iterations=4)
    assert sharpened(flat, how).hu[rim] == pytest.approx(30, abs=0.05)


def test_bright_bone_at_the_rim_does_not_shine_in(cohort: SimulatedCohort) -> None:
    still = grid_points(cohort.mean.hu.shape, GRID_MM)
    rim = cohort.mean.brain & ~ndimage.binary_erosion(cohort.mean.brain, iterations=2)
    hu = np.where(rim, np.float32(85), cohort.mean.hu)
    shone_on = Upright(hu=hu, brain=cohort.mean.brain, grid_mm=GRID_MM)
    assert averaged([shone_on, cohort.mean], [still, still]).hu[rim].max() < 45


def test_votes_below_half_still_win_over_fewer() -> None:
    shares = {1: np.full((4, 9), 0.4), 2: np.full((4, 9), 0.35)}
    shares[1][:, 4] = shares[2][:, 4] = 0.0
    assert set(np.unique(majority(shares))) == {0, 1}
