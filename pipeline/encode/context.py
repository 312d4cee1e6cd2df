"""Who observed, a device and never a person, and for which order."""

from __future__ import annotations

from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset

from pipeline.encode import codes
from pipeline.encode.common import EncodeSettings
from pipeline.provenance import NewUid
from pipeline.series import CtSeries


def device_observer(settings: EncodeSettings, version: str, new_uid: NewUid) -> ObserverContext:
    """Return the node as the observer of a report.

    Parameters
    ----------
    settings : EncodeSettings
    version : str
        Of the pipeline.
    new_uid : callable
        Derives UIDs from strings.

    References
    ----------
    DICOM PS3.16, TID 1004 "Device Observer Identifying Attributes".
    """
    equipment = settings.equipment
    device = DeviceObserverIdentifyingAttributes(
        uid=new_uid(
            "device-observer",
            equipment.manufacturer,
            equipment.model_name,
            equipment.device_serial_number,
            version,
        ),
        name="aspects-node",
        manufacturer_name=equipment.manufacturer,
        model_name=equipment.model_name,
        serial_number=equipment.device_serial_number,
    )
    return ObserverContext(
        observer_type=codes.DEVICE.to_code(), observer_identifying_attributes=device
    )


def requests(series: CtSeries) -> list[Dataset] | None:
    """Return the order that the study fulfils, as far as the images name it.

    Parameters
    ----------
    series : CtSeries

    Returns
    -------
    list of pydicom.Dataset or None
        ``None`` where the images have no accession number.

    References
    ----------
    DICOM PS3.3, C.17.2 "SR Document General Module": Referenced Request
    Sequence (0040,A370).
    """
    return request_of(series.datasets[0])


def request_of(image: Dataset) -> list[Dataset] | None:
    """Return the order that an image's study fulfils, as ``requests`` does."""
    if not image.get("AccessionNumber"):
        return None
    request = Dataset()
    request.StudyInstanceUID = str(image.StudyInstanceUID)
    request.ReferencedStudySequence = []
    request.add(image["AccessionNumber"])
    request.PlacerOrderNumberImagingServiceRequest = None
    request.FillerOrderNumberImagingServiceRequest = None
    request.RequestedProcedureID = None
    request.RequestedProcedureDescription = None
    request.RequestedProcedureCodeSequence = []
    return [request]
