"""Slices and outlines: in place, to scale, and drawn again after a crash."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from node.state import series_key
from node.web.pictures import Drawing, Pictures
from tests.web.sites import WebSite


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    found = Pictures()
    yield found
    found.stop()


@pytest.fixture
def head(ct_ge: list[Path]) -> Drawing:
    return Drawing(ct_ge[0].parent, tuple(path.name for path in ct_ge), (16, 19))


def draw(pictures: Pictures, head: Drawing, index: int, window: str) -> np.ndarray[Any, Any]:
    png = asyncio.run(pictures.draw(head, index, window))
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)), dtype=float)


def test_a_window_maps_density_to_grey(pictures: Pictures, head: Drawing) -> None:
    narrow, wide = (draw(pictures, head, 16, window) for window in ("w40", "w80"))
    assert narrow.shape == (720, 630)
    inside = (narrow > 0) & (narrow < 255) & (wide > 0) & (wide < 255)
    # centre 40 HU both: twice the width is half the contrast
    assert np.abs((narrow - 127.5) - 2 * (wide - 127.5))[inside].max() <= 2.0


def test_a_drawing_process_that_died_is_replaced(pictures: Pictures, head: Drawing) -> None:
    first = draw(pictures, head, 10, "w40")
    assert pictures._executor is not None
    os.kill(next(iter(pictures._executor._processes)), signal.SIGKILL)
    asyncio.run(pictures.draw(head, 10, "w40"))  # this one may be lost
    assert (draw(pictures, head, 10, "w40") == first).all()


@pytest.mark.parametrize("index", [28, 1000])
def test_there_is_no_slice_beyond_the_last(pictures: Pictures, head: Drawing, index: int) -> None:
    assert asyncio.run(pictures.draw(head, index, "w40")) is None


def test_what_is_no_series_is_not_drawn(pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no image")
    drawing = Drawing(tmp_path, ("a.dcm",), ())
    assert asyncio.run(pictures.draw(drawing, 0, "w40")) is None
    assert asyncio.run(pictures.trace(drawing, None)) == {}


def polygons(path: str) -> list[np.ndarray[Any, Any]]:
    """Return the closed lines of SVG path data, as (x, y)."""
    return [
        np.array(re.findall(r"-?[\d.]+", part), dtype=float).reshape(-1, 2)
        for part in path.split("Z")
        if part
    ]


def area_and_centre(path: str) -> tuple[float, np.ndarray[Any, Any]]:
    """Return area and centroid; borders of holes run the other way and count less."""
    area, moment = 0.0, np.zeros(2)
    for line in polygons(path):
        following = np.roll(line, -1, axis=0)
        cross = line[:, 0] * following[:, 1] - following[:, 0] * line[:, 1]
        area += cross.sum() / 2
        moment += ((line + following) * cross[:, None]).sum(axis=0) / 6
    return float(area), moment / area


@pytest.mark.timeout(300)
def test_outlines_have_the_area_and_the_places_of_the_segmentation(web_site: WebSite) -> None:
    key = series_key(web_site.head)
    traced = web_site.get(f"/series/{key}/1/outlines")
    mm = traced["mm_per_pixel"]
    measured = {item["number"]: item for item in web_site.get(f"/series/{key}/1/result")["regions"]}
    there = {number: centre * mm for number, centre in _centres(web_site, traced).items()}
    expected = _segmented_centres(web_site, key)
    assert set(there) == set(expected) == set(range(1, 21))
    for item in traced["outlines"]:
        number = item["number"]
        area, _ = area_and_centre(item["path"])
        assert area * mm**2 == pytest.approx(measured[number]["area_mm2"], rel=0.01)
        assert item["index"] == measured[number]["slice_index"]
        # from one region to another, in mm, as in patient space
        assert there[number] - there[1] == pytest.approx(expected[number] - expected[1], abs=0.2)


def _centres(web_site: WebSite, traced: Any) -> dict[int, np.ndarray[Any, Any]]:
    return {item["number"]: area_and_centre(item["path"])[1] for item in traced["outlines"]}


def _segmented_centres(web_site: WebSite, key: str) -> dict[int, np.ndarray[Any, Any]]:
    """Return the centre of each segment in patient space, x and y in mm, LPS."""
    seg = dcmread(web_site.node.data / f"series/{key}/results/0001/seg.dcm")
    shared = seg.SharedFunctionalGroupsSequence[0]
    row_mm, column_mm = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    found = {}
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if frame.any():
            number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            x, y, _ = (float(v) for v in groups.PlanePositionSequence[0].ImagePositionPatient)
            rows, columns = np.nonzero(frame)
            found[number] = np.array([x + columns.mean() * column_mm, y + rows.mean() * row_mm])
    return found
