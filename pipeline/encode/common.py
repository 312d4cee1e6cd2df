"""What SEG and SR have in common: who made them, for whom, from what, and when."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.config import disable_value_validation

from pipeline.encode import codes
from pipeline.errors import EncodingError
from pipeline.provenance import PIPELINE_VERSION, Algorithm, NewUid, Provenance
from pipeline.series import CtSeries

_LONG_STRING: Final = 64
_HASH_DIGITS: Final = 16

_PER_SLICE: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
)
_REQUIRED: Final = ("PatientID", "AccessionNumber", "StudyID")
# the encoder checks these more strictly than hospitals fill them in, and quotes
# them when it objects: it gets them empty, and the result gets them as they were
_VERBATIM: Final = (
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-4])[0-5]\d", re.ASCII)
_LOSSY: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_FIRST_BULK_GROUP: Final = 0x5000


class SegKind(StrEnum):
    """What a segmentation holds, and how."""

    REGIONS = "regions"
    """The full regions, BINARY: a frame for each region."""
    LABELMAP = "labelmap"
    """The full regions, LABELMAP: a frame for each level."""
    TISSUE = "tissue"
    """The regions without CSF and calcification, BINARY."""


class SrClass(StrEnum):
    """SOP classes in which the report can be written; the content is the same."""

    COMPREHENSIVE_3D = "comprehensive-3d"
    ENHANCED = "enhanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The device that makes the objects, as the PACS sees it.

    Attributes
    ----------
    manufacturer, model_name, device_serial_number : str
        ``Manufacturer`` (0008,0070), ``ManufacturerModelName`` (0008,1090),
        ``DeviceSerialNumber`` (0018,1000); a site with several installations
        gives each its own number.
    """

    manufacturer: str = "aspects-node project"
    model_name: str = "aspects-node"
    device_serial_number: str = f"aspects-node-{PIPELINE_VERSION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """What a site may choose about the objects.

    Attributes
    ----------
    equipment : Equipment
    seg_series_number, sr_series_number : int
    sc_series_number, gsps_series_number, ko_series_number, pdf_series_number : int
    tissue_series_number : int
        Of the second SEG, with tissue only.
    note_series_number : int
        Of the note on a series that was not mapped.
    empty_frames : bool
        The SEG gets a frame for each segment on every slice, empty ones too,
        for viewers that misplace sparse ones.
    seg_kind : SegKind
    sr_class : SrClass
    """

    equipment: Equipment = field(default_factory=Equipment)
    seg_series_number: int = 9301
    sr_series_number: int = 9302
    sc_series_number: int = 9303
    gsps_series_number: int = 9304
    ko_series_number: int = 9305
    pdf_series_number: int = 9306
    tissue_series_number: int = 9307
    note_series_number: int = 9308
    empty_frames: bool = False
    seg_kind: SegKind = SegKind.REGIONS
    sr_class: SrClass = SrClass.COMPREHENSIVE_3D


def algorithms(provenance: Provenance) -> tuple[Algorithm, ...]:
    """Return every algorithm that took part; the pipeline itself if none is named."""
    itself = Algorithm(
        name="aspects-node", version=provenance.pipeline_version, family="image-processing"
    )
    return provenance.algorithms or (itself,)


def region_algorithm(provenance: Provenance) -> Algorithm:
    """Return the algorithm that drew the regions: the registration, else the last."""
    named = algorithms(provenance)
    return next((item for item in named if item.family == "deformable-model"), named[-1])


def identity(series: CtSeries, provenance: Provenance) -> tuple[str, ...]:
    """Return what makes a result this one, for deriving its UIDs.

    Source images, versions and hashes, who chose the slices: the same work done
    again gets the same UIDs, anything else new ones.

    Returns
    -------
    tuple of str
    """
    made_by = [
        "|".join((item.name, item.version, item.sha256, *item.parameters))
        for item in provenance.algorithms
    ]
    return (
        *sorted(series.sop_instance_uids),
        provenance.input_sha256,
        provenance.pipeline_version,
        provenance.atlas_name,
        provenance.atlas_version,
        provenance.atlas_sha256,
        provenance.age_group,
        provenance.levels_by,
        *made_by,
    )


def digest(*parts: bytes) -> str:
    """Return the SHA-256 over byte strings, in hexadecimal."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def source_headers(series: CtSeries) -> list[Dataset]:
    """Copy what the objects take from the source images, without pixels.

    The first header carries patient, study and equipment; the others only what
    makes a reference. Missing type 2 attributes are there, empty. What
    ``restore_patient`` puts back is empty too.

    Returns
    -------
    list of pydicom.Dataset
        In the order of the series.
    """
    first = patient_header(series.datasets[0])
    headers = [first, *(_reference_copy(image) for image in series.datasets[1:])]
    for index, header in enumerate(headers):
        header.PixelSpacing = list(series.datasets[0].PixelSpacing)
        header.ImageOrientationPatient = list(series.datasets[0].ImageOrientationPatient)
        header.SliceThickness = float(series.slice_thickness_mm[index])
    propagate_lossy(series.datasets, first)
    return headers


def patient_header(image: Dataset) -> Dataset:
    """Copy an image's public header, without pixels.

    Missing type 2 attributes of patient and study are there, empty. What
    ``restore_patient`` puts back is empty too.
    """
    with disable_value_validation():
        header = _public_copy(image)
    for keyword in _REQUIRED:
        if keyword not in header:
            setattr(header, keyword, None)
    for keyword in _VERBATIM:
        setattr(header, keyword, None)
    header.pop("SpecificCharacterSet", None)
    return header


def _public_copy(image: Dataset) -> Dataset:
    copy = Dataset()
    for tag in image.keys():  # noqa: SIM118 - iterating a dataset would decode the pixels
        if not tag.is_private and tag.group < _FIRST_BULK_GROUP:
            copy.add(deepcopy(image[tag]))
    return copy


def _reference_copy(image: Dataset) -> Dataset:
    copy = Dataset()
    for keyword in _PER_SLICE:
        copy.add(deepcopy(image[keyword]))
    return copy


def complete_header(first: Dataset, image: Dataset) -> Dataset:
    """Return one image's header with patient and study, which only the first carries.

    Parameters
    ----------
    first, image : pydicom.Dataset
        Of ``source_headers``.

    Returns
    -------
    pydicom.Dataset
        A new dataset.
    """
    complete = Dataset()
    complete.update(first)
    complete.update(image)
    return complete


def source_reference(header: Dataset) -> Dataset:
    """Return a reference to an image that something was drawn from.

    Parameters
    ----------
    header : pydicom.Dataset
        Of ``source_headers``.
    """
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [codes.SOURCE_IMAGE.to_code()]
    return item


def propagate_lossy(images: Sequence[Dataset], first: Dataset) -> None:
    """Call a result lossy if any of its sources is.

    Parameters
    ----------
    images : sequence of pydicom.Dataset
        The sources.
    first : pydicom.Dataset
        Changed in place.

    References
    ----------
    DICOM PS3.3, C.7.6.1.1.5 "Lossy Image Compression".
    """
    lossy = next((image for image in images if image.get("LossyImageCompression") == "01"), None)
    for keyword in _LOSSY:
        first.pop(keyword, None)
        if lossy is not None and keyword in lossy:
            first.add(deepcopy(lossy[keyword]))


def restore_patient(result: Dataset, source: Dataset) -> None:
    """Put patient and study attributes and the character set back, as they were.

    Parameters
    ----------
    result : pydicom.Dataset
        Changed in place.
    source : pydicom.Dataset
        The first source image.
    """
    with disable_value_validation():
        for keyword in (*_VERBATIM, "SpecificCharacterSet"):
            if keyword in source:
                result.add(deepcopy(source[keyword]))
    _state_deidentification(result)


def _state_deidentification(result: Dataset) -> None:
    """Fill a method of de-identification that the source had to name and did not."""
    named = result.get("DeidentificationMethod") or result.get("DeidentificationMethodCodeSequence")
    if result.get("PatientIdentityRemoved") == "YES" and not named:
        result.DeidentificationMethod = "Not stated in the source images"


def software_versions(provenance: Provenance) -> list[str]:
    """Return node, algorithms and atlas with their hashes, one value each.

    Returns
    -------
    list of str
        For ``SoftwareVersions`` (0018,1020); 64 characters each at most.
    """
    values = [f"aspects-node {provenance.pipeline_version}"]
    values += [_versioned(item.name, item.version, item.sha256) for item in provenance.algorithms]
    values.append(
        _versioned(provenance.atlas_name, provenance.atlas_version, provenance.atlas_sha256)
    )
    return list(dict.fromkeys(values))


def _versioned(name: str, version: str, sha256: str) -> str:
    mark = f" sha256:{sha256[:_HASH_DIGITS]}" if sha256 else ""
    # a backslash would part the value in two
    return f"{name} {version}".replace("\\", "/")[: _LONG_STRING - len(mark)] + mark


def series_time(series: CtSeries, now: datetime) -> datetime:
    """Return the moment in the time zone of the source images, if they name one.

    Raises
    ------
    EncodingError
        The moment has no time zone.
    """
    return image_time(series.datasets[0], now)


def image_time(image: Dataset, now: datetime) -> datetime:
    """Return the moment in the time zone of an image, if it names one.

    Raises
    ------
    EncodingError
        The moment has no time zone.
    """
    if now.tzinfo is None:
        raise EncodingError(
            f"series {image.SeriesInstanceUID}: the time of encoding has no time zone"
        )
    offset = str(image.get("TimezoneOffsetFromUTC") or "")
    if not _OFFSET.fullmatch(offset):
        return now
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    sign = -1 if offset[0] == "-" else 1
    return now.astimezone(timezone(timedelta(minutes=sign * minutes)))


def sop_arguments(
    provenance: Provenance, settings: EncodeSettings, moment: datetime
) -> dict[str, Any]:
    """Return the constructor arguments that SEG and SR share."""
    equipment = settings.equipment
    return {
        "instance_number": 1,
        "manufacturer": equipment.manufacturer,
        "manufacturer_model_name": equipment.model_name,
        "device_serial_number": equipment.device_serial_number,
        "software_versions": software_versions(provenance),
        "content_date": moment.date(),
        "content_time": moment.time(),
        "series_date": moment.date(),
        "series_time": moment.time(),
        "coding_schemes": [codes.coding_scheme()],
    }


def contributing_equipment(
    provenance: Provenance, settings: EncodeSettings, new_uid: NewUid
) -> list[ContributingEquipment]:
    """Return one item per algorithm, with a device UID that changes with its hash.

    References
    ----------
    DICOM PS3.3, C.12.1 "SOP Common Module": Contributing Equipment Sequence
    (0018,A001). IHE Radiology, AI Results: the algorithm is a device of its own.
    """
    items = []
    for algorithm in algorithms(provenance):
        item = ContributingEquipment(
            manufacturer=settings.equipment.manufacturer,
            purpose_of_reference=codes.PROCESSING_EQUIPMENT.to_code(),
            manufacturer_model_name=algorithm.name[:_LONG_STRING],
            software_versions=_versioned(algorithm.name, algorithm.version, algorithm.sha256),
            contribution_description=f"Algorithm of family {algorithm.family}",
        )
        item.DeviceUID = new_uid("device", algorithm.name, algorithm.version, algorithm.sha256)
        items.append(item)
    return items


def stamp(result: Dataset, moment: datetime) -> None:
    """Replace every time that the encoder took from the wall clock.

    Parameters
    ----------
    result : pydicom.Dataset
        Changed in place.
    moment : datetime.datetime
        With a time zone.
    """
    result.InstanceCreationDate = moment.date()
    result.InstanceCreationTime = moment.time()
    result.TimezoneOffsetFromUTC = moment.strftime("%z")[:5]
    # the encoder's own item is the last one
    result.ContributingEquipmentSequence[-1].ContributionDateTime = moment
