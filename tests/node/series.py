"""Small series of every kind, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from pipeline.provenance import uid_factory

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "OT": SecondaryCaptureImageStorage}
PATIENT = "PLANTED^NAME"
PATIENT_ID = "PLANTED-ID-4711"

_new_uid = uid_factory()


def write_series(
    folder: Path,
    name: str,
    count: int = 3,
    *,
    modality: str = "CT",
    protocol: str = "",
    size: int = 64,
    sop_class: str | None = None,
    **header: Any,
) -> tuple[str, list[Path]]:
    """Write a series and return its SeriesInstanceUID and its files, in order.

    Further arguments are elements of each header.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = _new_uid("series", name)
    files = [
        _write_image(folder / f"{name}-{index:03d}.dcm", name, index, modality, protocol, size,
                     sop_class or CLASSES[modality], header)
        for index in range(count)
    ]  # fmt: skip
    return str(series_uid), files


def _write_image(
    path: Path,
    name: str,
    index: int,
    modality: str,
    protocol: str,
    size: int,
    sop_class: str,
    header: Mapping[str, Any],
) -> Path:
    uid = _new_uid("image", name, str(index))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\x00" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID(sop_class), uid
    dataset.StudyInstanceUID = _new_uid("study", name)
    dataset.SeriesInstanceUID = _new_uid("series", name)
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT_ID
    dataset.Modality, dataset.ProtocolName = modality, protocol
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [-10.0, -20.0, 5.0 * index]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.5, 0.4]
    dataset.Rows = dataset.Columns = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    pixels = np.random.default_rng(index).integers(-1000, 1000, (size, size), dtype=np.int16)
    dataset.PixelData = pixels.tobytes()
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def study_of(name: str) -> str:
    """Return the StudyInstanceUID of the series of that name."""
    return str(_new_uid("study", name))
