"""A head CT in NIfTI as the datasets that the pipeline takes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.evaluation.errors import CaseError
from pipeline.provenance import uid_factory

_AIR_HU: Final = -1024
_MOST_HU: Final = 32767
_VOLUME: Final = 3


def read_upright(path: Path) -> sitk.Image:
    """Read a 3-D image, its axes turned to run to left, posterior and superior.

    Raises
    ------
    CaseError
        It cannot be read, or has not three dimensions.
    """
    try:
        image = sitk.ReadImage(str(path))
        if image.GetDimension() == _VOLUME and image.GetNumberOfComponentsPerPixel() == 1:
            return sitk.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise CaseError(f"{path.name} cannot be read as NIfTI; is the file whole?") from error
    raise CaseError(f"{path.name} is not a picture in three dimensions")


def nifti_datasets(path: Path) -> list[Dataset]:
    """Return a head CT in HU as CT images, one for each slice.

    Parameters
    ----------
    path : Path
        NIfTI; its header says where it lies, its values are HU.

    Returns
    -------
    list of pydicom.Dataset
        With what the pipeline needs, and UIDs derived from the content: the
        same file always gives the same series.

    Raises
    ------
    CaseError
        It cannot be read.
    """
    image = read_upright(path)
    voxels = np.nan_to_num(sitk.GetArrayFromImage(image), nan=_AIR_HU)
    image_hu = sitk.GetImageFromArray(
        np.rint(np.clip(voxels, _AIR_HU, _MOST_HU)).astype(np.int16), isVector=False
    )
    image_hu.CopyInformation(image)
    geometry = f"{image.GetOrigin()} {image.GetSpacing()} {image.GetDirection()}"
    key = hashlib.sha256(geometry.encode() + voxels.tobytes()).hexdigest()
    return [_slice(image_hu, index, key) for index in range(image.GetSize()[2])]


def _slice(image: sitk.Image, index: int, key: str) -> Dataset:
    ds = Dataset()
    _add_uids(ds, index, key)
    _add_plane(ds, image, index)
    pixels = sitk.GetArrayViewFromImage(image)[index]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = pixels.astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds


def _add_uids(ds: Dataset, index: int, key: str) -> None:
    new_uid = uid_factory()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = new_uid(key, "instance", str(index))
    ds.StudyInstanceUID = new_uid(key, "study")
    ds.SeriesInstanceUID = new_uid(key, "series")
    ds.FrameOfReferenceUID = new_uid(key, "frame")
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceNumber = index + 1


def _add_plane(ds: Dataset, image: sitk.Image, index: int) -> None:
    along_columns, along_rows, _ = np.reshape(image.GetDirection(), (3, 3)).T
    column_mm, row_mm, step_mm = image.GetSpacing()
    corner = image.TransformIndexToPhysicalPoint((0, 0, index))
    ds.ImagePositionPatient = [f"{value:.6f}" for value in corner]
    ds.ImageOrientationPatient = [f"{value:.9f}" for value in (*along_columns, *along_rows)]
    ds.PixelSpacing = [f"{value:.9g}" for value in (row_mm, column_mm)]
    ds.SliceThickness = f"{step_mm:.6f}"
