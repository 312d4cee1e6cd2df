"""What a radiologist sees in a browser: OHIF on Orthanc, its pixels against the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from pydicom import Dataset

from pipeline.mapping import LevelMap, RegionMap
from pipeline.phantom import Acquisition, PhantomSpec, Pose, phantom_datasets
from pipeline.regions import REGION_SIDES, Level
from pipeline.series import CtSeries, load_series
from pipeline.volume import to_volume
from tests.peers import Orthanc
from tests.pipeline.encode.builders import NEW_UID, both, ct_ge_series, region_map
from tests.pipeline.encode.test_seg import to_bytes
from tests.pipeline.heads import WHEN, mapped, phantom
from tests.viewer.ohif import Ohif
from tests.viewer.overlay import Placing, likeness, overlaps, shown_regions

pytestmark = pytest.mark.timeout(300)

LEAST_OVERLAP = 0.95
"""Dice, of every colour on every level."""
MOST_MIRRORED = 0.8
LEAST_LIKENESS = 0.97
"""Of the view with the CT slice; that the text on it is no part of the slice costs 0.02."""
ASYMMETRICAL = PhantomSpec(
    acquisition=Acquisition(
        rows=180, columns=170, pixel_spacing_mm=(1.2, 1.35), gantry_tilt_deg=12.0
    ),
    pose=Pose(yaw_deg=9.0, shift_mm=(11.0, -6.0, 0.0)),
    sub_samples=2,
    noise_sd_hu=1.5,
)
Open = Callable[[str], Ohif]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A series, what is sent of it, and where its regions are."""

    series: CtSeries
    truth: Mapping[Level, LevelMap]
    objects: tuple[Dataset, Dataset]

    @property
    def study_uid(self) -> str:
        return str(self.series.study_instance_uid)

    def placing(self, viewport: tuple[int, int]) -> Placing:
        return Placing(
            viewport=viewport,
            image=(self.series.rows, self.series.columns),
            pixel_spacing=to_volume(self.series).pixel_spacing_mm,
        )


def phantom_case(when: datetime, *, mirrored: bool = False) -> Case:
    """Return the phantom as a study of its own; mirrored, its SEG lies on the wrong side."""
    made = phantom(ASYMMETRICAL)
    images = phantom_datasets(made, new_uid=NEW_UID, study_datetime=when)
    series = load_series(images)
    some = region_map(series).levels
    truth = {
        level: replace(
            some[level],
            slice_index=made.levels[level],
            labels=(labels := made.labels[made.stored_index(level)]),
            tissue=labels,
        )
        for level in Level
    }
    drawn = truth
    if mirrored:
        drawn = {
            level: replace(item, labels=np.ascontiguousarray(item.labels[:, ::-1]))
            for level, item in truth.items()
        }
    return Case(series=series, truth=truth, objects=both(series, RegionMap(levels=drawn)))


def real_case() -> Case:
    """Return the real CT as the pipeline maps it."""
    result = mapped(ct_ge_series())
    return Case(
        series=result.series, truth=result.region_map.levels, objects=(result.seg, result.sr)
    )


def show(archive: Orthanc, case: Case, open_study: Open) -> Ohif:
    """Send a study to the archive and open it with its SEG."""
    for one in (*case.series.datasets, *case.objects):
        archive.post("/instances", to_bytes(one))
    viewer = open_study(case.study_uid)
    viewer.load_seg()
    return viewer


def seen(viewer: Ohif, case: Case, level: Level) -> tuple[dict[int, float], float]:
    """Return the overlaps on a level, and how like the CT slice the view is."""
    truth = case.truth[level]
    first = next(item for item in REGION_SIDES if item.level is level)
    image = case.series.datasets[truth.slice_index]
    viewer.go_to_segment(first.name, int(image.InstanceNumber))
    plain, overlaid = viewer.with_and_without_overlay()
    placing = case.placing(plain.shape[:2])
    hu = to_volume(case.series).voxels[truth.slice_index]
    found = overlaps(shown_regions(plain, overlaid), truth.labels, placing)
    return found, likeness(plain, hu, viewer.window(), placing)


@pytest.mark.parametrize("make", [lambda: phantom_case(WHEN), real_case], ids=["phantom", "ct-ge"])
def test_regions_lie_on_the_right_pixels(
    make: Callable[[], Case],
    archive: Orthanc,
    open_study: Open,
    request: pytest.FixtureRequest,
) -> None:
    case = make()
    name = request.node.callspec.id
    viewer = show(archive, case, open_study)
    assert viewer.segment_names() == [item.name for item in REGION_SIDES]
    for level in Level:
        found, like_ct = seen(viewer, case, level)
        viewer.save(f"{name}-{level}", f"likeness {like_ct:.4f}, overlaps {found}")
        assert like_ct > LEAST_LIKENESS
        numbers = {item.number for item in REGION_SIDES[:10] if item.level is level}
        assert found.keys() == {0, *numbers}
        assert min(found.values()) >= LEAST_OVERLAP
    viewer.load_sr()
    viewer.save(f"{name}-report")
    regions = sum(item.level is Level.GANGLIONIC for item in REGION_SIDES)
    assert viewer.words_on_image().count("Area: ") == regions
    assert "Something went wrong" not in viewer.words()
    assert viewer.errors == []


def test_a_mirrored_overlay_is_noticed(archive: Orthanc, open_study: Open) -> None:
    case = phantom_case(WHEN + timedelta(days=1), mirrored=True)
    viewer = show(archive, case, open_study)
    found, like_ct = seen(viewer, case, Level.GANGLIONIC)
    viewer.save("phantom-mirrored")
    assert like_ct > LEAST_LIKENESS
    assert max(found.values()) < MOST_MIRRORED
