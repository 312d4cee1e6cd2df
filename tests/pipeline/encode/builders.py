"""Small CT series with known regions: never square pixels, never symmetrical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pipeline.encode.findings import Findings
from pipeline.encode.seg import build_seg
from pipeline.encode.sr import build_sr
from pipeline.levels import AspectsLevels, LevelChoice
from pipeline.mapping import LevelMap, RegionMap
from pipeline.measure import RegionMeasurement
from pipeline.provenance import Algorithm, Provenance, uid_factory
from pipeline.quality import Quality, QualityReason, Verdict
from pipeline.regions import REGION_SIDES, Level, RegionSide, Side, at_level
from pipeline.series import CtSeries, load_series
from pipeline.side_difference import SideDifference
from pipeline.volume import to_volume

NOW = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
NEW_UID = uid_factory()
ROWS, COLUMNS = 61, 53
SPACING = (0.8, 0.6)
STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
SERIES_UID = f"{STUDY_UID}.2"
SHARED_DATA = Path(__file__).resolve().parents[3] / "../shared/data"

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
EVEN = tuple(5.0 * index for index in range(12))
MIXED = tuple(4.0 * index for index in range(7)) + tuple(28.0 + 7.0 * k for k in range(5))
COS, SIN = round(np.cos(np.radians(18.5)), 8), round(np.sin(np.radians(18.5)), 8)

GEOMETRIES: dict[str, dict[str, Any]] = {
    "standard": {},
    "sent from top to bottom": {"reverse": True},
    "face down": {"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)},
    "rows to left": {"orientation": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)},
    "tilted": {"orientation": (1.0, 0.0, 0.0, 0.0, COS, -SIN)},
    "oblique": {"orientation": (COS, SIN, 0.0, -SIN, COS, 0.0)},
    "4 and 7 mm": {"heights": MIXED, "thickness": (4.0,) * 7 + (7.0,) * 5},
}

_COMMON: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SOPClassUID": CTImageStorage,
    "StudyDate": "20240501",
    "SeriesDate": "20240501",
    "AcquisitionDate": "20240501",
    "ContentDate": "20240501",
    "StudyTime": "101500",
    "SeriesTime": "101500",
    "AcquisitionTime": "101500",
    "ContentTime": "101500",
    "AccessionNumber": "A4711",
    "Modality": "CT",
    "Manufacturer": "Maker",
    "ManufacturerModelName": "Scanner",
    "ReferringPhysicianName": "Refer^Ring",
    "StudyDescription": "Head",
    "PatientName": "Müller^Zoë",
    "PatientID": "PID-1",
    "PatientBirthDate": "19600101",
    "PatientSex": "F",
    "PatientAge": "064Y",
    "KVP": "120",
    "PatientPosition": "HFS",
    "StudyInstanceUID": STUDY_UID,
    "SeriesInstanceUID": SERIES_UID,
    "StudyID": "S1",
    "SeriesNumber": 2,
    "AcquisitionNumber": 1,
    "FrameOfReferenceUID": f"{STUDY_UID}.3",
    "PositionReferenceIndicator": "",
}


def ct_images(
    *,
    orientation: Sequence[float] = AXIAL,
    heights: Sequence[float] = EVEN,
    thickness: Sequence[float] | None = None,
    reverse: bool = False,
    change: Callable[[Dataset], None] | None = None,
) -> list[Dataset]:
    """Return complete CT images at the given heights along z, in mm."""
    images = [
        _image(index, height, orientation, 5.0 if thickness is None else thickness[index])
        for index, height in enumerate(heights)
    ]
    for image in images:
        if change is not None:
            change(image)
    return images[::-1] if reverse else images


def _image(index: int, height: float, orientation: Sequence[float], thickness: float) -> Dataset:
    image = Dataset()
    for keyword, value in _COMMON.items():
        setattr(image, keyword, value)
    image.SOPInstanceUID = f"{SERIES_UID}.{index + 1}"
    image.SliceThickness = thickness
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [-15.5, -22.25, height]
    image.ImageOrientationPatient = list(orientation)
    _add_pixels(image, index)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _add_pixels(image: Dataset, index: int) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = ROWS, COLUMNS
    image.PixelSpacing = list(SPACING)
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope = "0", "1"
    pixels = np.full((ROWS, COLUMNS), -1000, dtype="<i2")
    pixels[4:57, 5:48] = 30 + index
    image.PixelData = pixels.tobytes()


def ct_series(**how: Any) -> CtSeries:
    """Return a checked series made of ``ct_images``."""
    return load_series(ct_images(**how))


def ct_ge_series() -> CtSeries:
    """Return the real, tilted series of mixed spacing."""
    from pydicom import dcmread

    return load_series([dcmread(path) for path in sorted((SHARED_DATA / "ct-ge").glob("*.dcm"))])


def region_map(
    series: CtSeries, *, slices: tuple[int, int] = (5, 9), without: Sequence[int] = ()
) -> RegionMap:
    """Return blocks of different sizes, the right ones unlike the left ones."""
    levels = {}
    for level, index in zip(Level, slices, strict=True):
        labels = np.zeros((series.rows, series.columns), dtype=np.uint8)
        for place, item in enumerate(at_level(level)):
            if item.number not in without:
                top = 6 + 3 * place
                left = 7 + place % 3 if item.side is Side.RIGHT else 30 - place % 4
                labels[top : top + 2, left : left + 3 + item.number] = item.number
        levels[level] = LevelMap(
            level=level,
            slice_index=index,
            labels=labels,
            tissue=labels.copy(),
            dense=np.zeros_like(labels),
        )
    return RegionMap(levels=levels)


def provenance(**change: Any) -> Provenance:
    """Return what could have made the regions."""
    made = Provenance(
        input_sha256="ab" * 32,
        atlas_name="aspects-281",
        atlas_version="52144cb",
        atlas_sha256="cd" * 32,
        age_group="50-69",
        age_years=64.0,
        age_flag=None,
        levels_by="method",
        algorithms=(
            Algorithm(
                name="level-finder", version="1.0", family="image-processing", sha256="ef" * 32
            ),
            Algorithm(
                name="registration",
                version="0.9",
                family="deformable-model",
                parameters=("metric=NCC",),
            ),
        ),
        libraries={"numpy": "2.3.5"},
    )
    return replace(made, **change)


def levels(series: CtSeries, slices: tuple[int, int] = (5, 9)) -> AspectsLevels:
    """Return the choice of two slices."""
    ganglionic, supraganglionic = (
        LevelChoice(
            level=level,
            index=index,
            sop_instance_uid=series.sop_instance_uids[index],
            runner_up_index=index + 1,
            margin=0.25,
        )
        for level, index in zip(Level, slices, strict=True)
    )
    first, second = (float(series.distances_mm[index]) for index in slices)
    return AspectsLevels(
        ganglionic=ganglionic,
        supraganglionic=supraganglionic,
        distance_mm=second - first,
        method="template",
    )


COMPARISON = SideDifference(
    difference_hu=-1.25,
    ratio=0.96,
    atlas_difference_hu=0.25,
    atlas_ratio=1.01,
    corrected_difference_hu=-1.5,
    corrected_ratio=0.95,
    interval_hu=(-2.75, -0.25),
    ratio_interval=(0.92, 0.99),
)


def measurement(item: RegionSide, mapped: RegionMap) -> RegionMeasurement:
    """Return numbers that tell the regions apart; none for an empty region."""
    level = mapped.levels[item.level]
    n = int(np.count_nonzero(level.labels == item.number))
    value = float(20 + item.number) if n else None
    return RegionMeasurement(
        region_side=item,
        slice_index=level.slice_index,
        n=n,
        area_mm2=n * SPACING[0] * SPACING[1],
        hu_mean=value,
        hu_median=value,
        hu_sd=None if value is None else 1.5,
        tissue_n=n,
        tissue_area_mm2=n * SPACING[0] * SPACING[1],
        tissue_hu_mean=value,
        tissue_hu_median=value,
        tissue_hu_sd=None if value is None else 1.5,
        fluid_n=3,
        fluid_area_mm2=3 * SPACING[0] * SPACING[1],
        dense_n=0,
        dense_area_mm2=0.0,
        noise_hu=3.5,
        comparison=None if value is None else COMPARISON,
    )


def measurements(mapped: RegionMap) -> list[RegionMeasurement]:
    """Return the numbers of all twenty regions."""
    return [measurement(item, mapped) for item in REGION_SIDES]


def quality() -> Quality:
    """Return a verdict with one reason."""
    return Quality(
        verdict=Verdict.WARN,
        reasons=(
            QualityReason(
                code="ganglionic-similarity-low",
                verdict=Verdict.WARN,
                text="The ganglionic slice resembles the atlas less than usual.",
            ),
        ),
        numbers={"ganglionic_ncc": 0.9125},
    )


def both(
    series: CtSeries,
    mapped: RegionMap | None = None,
    made_by: Provenance | None = None,
    **how: Any,
) -> tuple[Dataset, Dataset]:
    """Return SEG and SR of a series."""
    mapped = mapped or region_map(series)
    made_by = made_by or provenance()
    slices = (
        mapped.levels[Level.GANGLIONIC].slice_index,
        mapped.levels[Level.SUPRAGANGLIONIC].slice_index,
    )
    how = {"new_uid": NEW_UID, "now": NOW, **how}
    seg = build_seg(series, mapped, made_by, **how)
    sr = build_sr(
        series,
        levels(series, slices),
        measurements(mapped),
        quality(),
        made_by,
        seg,
        **how,
    )
    return seg, sr


def findings(
    series: CtSeries | None = None,
    *,
    without: Sequence[int] = (),
    tissue_columns: slice = slice(None),
    **change: Any,
) -> Findings:
    """Return what could have been found; tissue lies in some columns alone."""
    series = series or ct_series()
    mapped = region_map(series, without=without)
    thinned = {}
    for level, item in mapped.levels.items():
        tissue = np.zeros_like(item.labels)
        tissue[:, tissue_columns] = item.labels[:, tissue_columns]
        thinned[level] = replace(item, tissue=tissue)
    made = Findings(
        series=series,
        volume=to_volume(series),
        levels=levels(series),
        region_map=RegionMap(levels=thinned),
        measurements=tuple(measurements(mapped)),
        quality=quality(),
        provenance=provenance(),
    )
    return replace(made, **change)
