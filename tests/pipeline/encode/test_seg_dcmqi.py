"""dcmqi, another implementation in another language, reads the SEG back to the same voxels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.arrays import LabelArray
from pipeline.mapping import RegionMap
from pipeline.regions import REGION_SIDES
from pipeline.series import CtSeries
from tests.pipeline.encode.builders import GEOMETRIES, ct_series, region_map
from tests.pipeline.encode.test_seg import make_seg, to_bytes

EVEN_CUBOIDS = ("standard", "sent from top to bottom", "face down", "rows to left", "oblique")
TOLERANCE_MM = 0.01


def segimage2itkimage(folder: Path, series: CtSeries, mapped: RegionMap) -> str:
    """Write one file for each segment; return what was said."""
    (folder / "seg.dcm").write_bytes(to_bytes(make_seg(series, mapped)))
    done = subprocess.run(
        [
            Path(sys.executable).parent / "segimage2itkimage",
            *("--inputDICOM", folder / "seg.dcm"),
            *("--outputDirectory", folder),
            *("--outputType", "nrrd"),
            *("--prefix", "of"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr


def painted(folder: Path, series: CtSeries) -> LabelArray:
    """Put each voxel that is set onto the CT voxel at the same place in the patient."""
    found = np.zeros((len(series), series.rows, series.columns), dtype=np.uint8)
    for item in REGION_SIDES:
        image = sitk.ReadImage(str(folder / f"of-{item.number}.nrrd"))
        for k, j, i in np.argwhere(sitk.GetArrayViewFromImage(image) > 0).tolist():
            place = image.TransformIndexToPhysicalPoint((i, j, k))
            found[index_of(place, series)] = item.number
    return found


def index_of(place: Sequence[float], series: CtSeries) -> tuple[int, int, int]:
    """Return slice, row and column of the voxel at a place in the patient (LPS, mm)."""
    for index, image in enumerate(series.datasets):
        along_columns, along_rows = np.reshape(image.ImageOrientationPatient, (2, 3))
        offset = np.subtract(place, image.ImagePositionPatient)
        if abs(offset @ np.cross(along_columns, along_rows)) < TOLERANCE_MM:
            between_rows, between_columns = image.PixelSpacing
            exact = (offset @ along_rows / between_rows, offset @ along_columns / between_columns)
            row, column = np.rint(exact).astype(int).tolist()
            assert np.allclose(exact, (row, column), atol=TOLERANCE_MM)
            return index, row, column
    raise AssertionError(f"there is no slice at {place}")


@pytest.mark.parametrize("name", EVEN_CUBOIDS)
def test_same_voxels(name: str, tmp_path: Path) -> None:
    series = ct_series(**GEOMETRIES[name])
    mapped = region_map(series)
    said = segimage2itkimage(tmp_path, series, mapped)
    assert "ERROR" not in said, said
    truth = np.zeros((len(series), series.rows, series.columns), dtype=np.uint8)
    for level in mapped.levels.values():
        truth[level.slice_index] = level.labels
    assert np.array_equal(painted(tmp_path, series), truth)


def test_it_refuses_a_tilted_gantry(tmp_path: Path) -> None:
    """Its files hold cuboids only; highdicom reads these, see ``test_seg``."""
    series = ct_series(**GEOMETRIES["tilted"])
    said = segimage2itkimage(tmp_path, series, region_map(series))
    assert "is outside image geometry" in said
