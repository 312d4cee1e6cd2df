"""Write a phantom as a complete DICOM CT series."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pipeline.phantom_scan import Phantom, PhantomSpec
from pipeline.provenance import NewUid

_INTERCEPT: Final = -1024
_PADDING: Final = {True: -2000, False: 0}
"""Stored padding value, by whether the pixels are signed."""


def phantom_datasets(
    phantom: Phantom, *, new_uid: NewUid, study_datetime: datetime, signed: bool = True
) -> tuple[Dataset, ...]:
    """Return the series, one dataset per slice in stored order, ready to send.

    Parameters
    ----------
    phantom : Phantom
    new_uid : callable
        Derives UIDs from strings, see `pipeline.provenance.uid_factory`.
    study_datetime : datetime
        Date and time of study, series and images.
    signed : bool
        Whether the stored values are signed (``PixelRepresentation``,
        0028,0103); both kinds have a rescale intercept of -1024.

    Returns
    -------
    tuple of pydicom.Dataset
        CT Image Storage, Explicit VR Little Endian, with file meta
        information.

    References
    ----------
    DICOM PS3.3, A.3 "Computed Tomography Image IOD".
    """
    key = repr(phantom.spec) + study_datetime.isoformat()
    return tuple(
        _image(phantom, index, key, new_uid, study_datetime, signed)
        for index in range(len(phantom.voxels))
    )


def _image(
    phantom: Phantom, index: int, key: str, new_uid: NewUid, moment: datetime, signed: bool
) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = new_uid("phantom", "instance", key, str(index))
    ds.StudyInstanceUID = new_uid("phantom", "study", key)
    ds.SeriesInstanceUID = new_uid("phantom", "series", key)
    ds.FrameOfReferenceUID = new_uid("phantom", "frame", key)
    ds.InstanceNumber = index + 1
    ds.AcquisitionNumber = 1
    _add_patient(ds, phantom.spec, moment)
    _add_series(ds, phantom.spec, moment)
    _add_plane(ds, phantom, index)
    _add_pixels(ds, phantom, index, signed)
    return _with_file_meta(ds)


def _add_patient(ds: Dataset, spec: PhantomSpec, moment: datetime) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "PHANTOM^HEAD"
    ds.PatientID = "PHANTOM"
    ds.PatientBirthDate = f"{moment.year - spec.age_years:04d}0101"
    ds.PatientSex = "O"
    ds.PatientAge = f"{spec.age_years:03d}Y"
    ds.StudyID = "1"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic head CT"


def _add_series(ds: Dataset, spec: PhantomSpec, moment: datetime) -> None:
    for what in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{what}Date", moment.strftime("%Y%m%d"))
        setattr(ds, f"{what}Time", moment.strftime("%H%M%S"))
    ds.Modality = "CT"
    ds.SeriesNumber = 2
    ds.SeriesDescription = "Head, synthetic"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer = "aspects-node"
    ds.ManufacturerModelName = "Head phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.BodyPartExamined = "HEAD"
    ds.PatientPosition = spec.patient_position
    ds.PositionReferenceIndicator = "OM"
    ds.KVP = 120
    ds.XRayTubeCurrent = 250
    ds.ExposureTime = 1000
    ds.ConvolutionKernel = "SOFT"
    ds.GantryDetectorTilt = spec.acquisition.gantry_tilt_deg
    if spec.contrast:
        ds.ContrastBolusAgent = "Iodinated contrast agent"


def _add_plane(ds: Dataset, phantom: Phantom, index: int) -> None:
    grid = phantom.grid
    ds.ImagePositionPatient = [f"{value:.6f}" for value in grid.positions_mm[index]]
    ds.ImageOrientationPatient = [f"{value:.9f}" for value in grid.image_orientation]
    ds.PixelSpacing = list(grid.pixel_spacing_mm)
    ds.SliceThickness = float(grid.thickness_mm[index])
    # the table feeds along z, whatever the tilt
    ds.SliceLocation = f"{_centre_z(phantom, index):.4f}"


def _centre_z(phantom: Phantom, index: int) -> float:
    grid = phantom.grid
    along_columns, along_rows = np.reshape(grid.image_orientation, (2, 3))
    half = along_rows[2] * grid.pixel_spacing_mm[0] * (grid.rows - 1) / 2
    half += along_columns[2] * grid.pixel_spacing_mm[1] * (grid.columns - 1) / 2
    return float(grid.positions_mm[index][2] + half)


def _add_pixels(ds: Dataset, phantom: Phantom, index: int, signed: bool) -> None:
    grid = phantom.grid
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = grid.rows, grid.columns
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = int(signed)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 80
    stored = np.clip(np.rint(phantom.voxels[index]) - _INTERCEPT, 1, 4095)
    if phantom.spec.padding:
        ds.PixelPaddingValue = _PADDING[signed]
        stored[_outside_circle(grid.rows, grid.columns)] = _PADDING[signed]
    ds.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def _outside_circle(rows: int, columns: int) -> np.ndarray:
    """Tell which pixels lie outside the circle that fits the image."""
    down = (np.arange(rows) - (rows - 1) / 2) / (rows / 2)
    across = (np.arange(columns) - (columns - 1) / 2) / (columns / 2)
    return np.asarray(down[:, None] ** 2 + across**2 > 1)


def _with_file_meta(ds: Dataset) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds
