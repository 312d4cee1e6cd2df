"""Heads, chests and plain stacks as small series; what is costly is made once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from atlases.read import load_atlas_set
from pipeline.arrays import FloatArray, HuArray, LabelArray
from pipeline.phantom import (
    Acquisition,
    Lesion,
    Orientation,
    Phantom,
    PhantomSpec,
    make_phantom,
    phantom_datasets,
)
from pipeline.provenance import uid_factory
from pipeline.regions import REGION_SIDES, Level, Region, Side
from pipeline.run import Parameters, Result, Tools, run
from pipeline.series import CtSeries, load_series

SHARED_DATA = Path(__file__).resolve().parents[2] / "../shared/data"
WHEN = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
NEW_UID = uid_factory()
SMALL = Acquisition(rows=150, columns=132, pixel_spacing_mm=(1.5, 1.65))
"""The whole head, 32 slices of 5 mm, coarse in the plane."""
HEAD = PhantomSpec(acquisition=SMALL, sub_samples=2, noise_sd_hu=1.5)
RIGHT_LESIONS = (
    Lesion(region=Region.L, side=Side.RIGHT, delta_hu=-7.0),
    Lesion(region=Region.M2, side=Side.RIGHT, delta_hu=-7.0),
    Lesion(region=Region.M5, side=Side.RIGHT, delta_hu=-7.0),
)

POSES: dict[str, PhantomSpec] = {
    "standard": HEAD,
    "from the top": replace(HEAD, acquisition=replace(SMALL, orientation=Orientation.REVERSED)),
    "feet first": replace(
        HEAD, acquisition=replace(SMALL, orientation=Orientation.FLIPPED), patient_position="FFS"
    ),
    "prone": replace(
        HEAD, acquisition=replace(SMALL, orientation=Orientation.PRONE), patient_position="HFP"
    ),
    "transposed": replace(HEAD, acquisition=replace(SMALL, orientation=Orientation.TRANSPOSED)),
    "oblique": replace(HEAD, acquisition=replace(SMALL, orientation=Orientation.OBLIQUE)),
    "tilted": replace(HEAD, acquisition=replace(SMALL, gantry_tilt_deg=12.0)),
}
POSES = {name: replace(spec, lesions=RIGHT_LESIONS) for name, spec in POSES.items()}


@cache
def phantom(spec: PhantomSpec = HEAD) -> Phantom:
    return make_phantom(spec)


def datasets(spec: PhantomSpec = HEAD, *, signed: bool = True) -> list[Dataset]:
    """Return fresh datasets, free to be spoilt."""
    return list(
        phantom_datasets(phantom(spec), new_uid=NEW_UID, study_datetime=WHEN, signed=signed)
    )


@cache
def series(spec: PhantomSpec = HEAD) -> CtSeries:
    return load_series(datasets(spec))


@cache
def tools() -> Tools:
    folder = SHARED_DATA / "aspects-281"
    if not folder.is_dir():
        pytest.skip("needs the ASPECTS-281 files in ../shared/data/aspects-281")
    return Tools(atlases=load_atlas_set(folder))


def mapped(one: CtSeries, levels: tuple[int, int] | None = None, **parameters: Any) -> Result:
    return run(
        one,
        tools(),
        Parameters(levels=levels, **parameters),
        new_uid=NEW_UID,
        now=WHEN,
        clock=time.perf_counter,
    )


@cache
def mapped_on_truth(spec: PhantomSpec) -> Result:
    """Map a phantom on the two slices that are the truth."""
    levels = phantom(spec).levels
    both = levels[Level.GANGLIONIC], levels[Level.SUPRAGANGLIONIC]
    return mapped(series(spec), both)


def positions(ds: Dataset) -> FloatArray:
    """Patient position of each pixel, term by term: PS3.3, C.7.6.2.1.1."""
    origin = [float(value) for value in ds.ImagePositionPatient]
    iop = [float(value) for value in ds.ImageOrientationPatient]
    between_rows, between_columns = (float(value) for value in ds.PixelSpacing)
    rows, columns = np.mgrid[: ds.Rows, : ds.Columns]
    return np.stack(
        [
            origin[axis]
            + iop[axis] * between_columns * columns
            + iop[3 + axis] * between_rows * rows
            for axis in range(3)
        ],
        axis=-1,
    )


def dice(one: LabelArray, other: LabelArray, number: int) -> float:
    first, second = one == number, other == number
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def mean_dice(result: Result, truth: Phantom) -> float:
    """Mean over the twenty regions."""
    found = []
    for item in REGION_SIDES:
        labels = result.region_map.levels[item.level].labels
        expected = truth.labels[truth.stored_index(item.level)]
        found.append(dice(labels, expected, item.number))
    return float(np.mean(found))


def image(
    index: int,
    pixels: HuArray,
    *,
    spacing: tuple[float, float] = (0.5, 0.4),
    step_mm: float = 5.0,
    **values: Any,
) -> Dataset:
    """Return one axial CT slice of given Hounsfield units; values override the header."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = NEW_UID("stack", "instance", str(index))
    ds.StudyInstanceUID = NEW_UID("stack", "study")
    ds.SeriesInstanceUID = NEW_UID("stack", "series")
    ds.FrameOfReferenceUID = NEW_UID("stack", "frame")
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID = "PLANTED^NAME", "PLANTED-ID"
    ds.InstanceNumber = index + 1
    ds.ImagePositionPatient = [-10.0, -20.0, step_mm * index]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = list(spacing), step_mm
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelData = (np.rint(pixels) + 1024).astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds


def stack(count: int = 12, **values: Any) -> list[Dataset]:
    """Return a plain stack of small slices of noise; no head."""
    rng = np.random.default_rng(count)
    return [
        image(index, rng.integers(-1000, 1000, (14, 11)).astype(np.float32), **values)
        for index in range(count)
    ]


def body(kind: str, count: int = 24) -> list[Dataset]:
    """Return a ring of ribs about lungs, a soft belly, or water in a shell of bone."""
    rows, columns = np.mgrid[:120, :150]
    down, across = (rows - 60) * 2.5, (columns - 75) * 2.4
    within = (down / 115) ** 2 + (across / 160) ** 2
    pixels = np.full(rows.shape, -1000.0)
    pixels[within < 1] = -90
    pixels[within < 0.85] = 45
    if kind == "chest":
        ribs = (within > 0.72) & (within < 0.8) & (np.sin(across / 9) > 0)
        pixels[ribs] = 600
        for side in (-1, 1):
            lung = ((across - side * 65) / 45) ** 2 + (down / 70) ** 2 < 1
            pixels[lung] = -820
    if kind == "water":
        ring = np.hypot(down, across)
        pixels[:] = -1000
        pixels[ring < 95] = 900
        pixels[ring < 88] = 0
    else:
        pixels[np.hypot(down - 70, across) < 18] = 500  # a vertebra
    rng = np.random.default_rng(3)
    return [
        image(index, (pixels + rng.normal(0, 4, rows.shape)).astype("f4"), spacing=(2.5, 2.4))
        for index in range(count)
    ]


def save(images: Iterable[Dataset], folder: Path) -> list[Path]:
    """Write datasets as files, numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(images):
        path = folder / f"{number:04d}.dcm"
        one.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def without(images: Sequence[Dataset], keyword: str) -> list[Dataset]:
    """Return copies that lack an element."""
    copies = [deepcopy(one) for one in images]
    for one in copies:
        del one[keyword]
    return copies
