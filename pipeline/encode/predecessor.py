"""Say in a report which earlier one it takes the place of."""

from __future__ import annotations

from pydicom import Dataset


def refer_to_predecessor(sr: Dataset, previous: Dataset) -> None:
    """Name an earlier report of the same series as predecessor of a new one.

    Sent again the same report is its own and gets no reference to itself.

    Parameters
    ----------
    sr : pydicom.Dataset
        The new report; changed in place.
    previous : pydicom.Dataset
        The earlier report; only its identity is read.

    References
    ----------
    DICOM PS3.3, C.17.2 "SR Document General Module": Predecessor Documents
    Sequence (0040,A360).
    """
    if previous.SOPInstanceUID == sr.SOPInstanceUID:
        return
    instance = Dataset()
    instance.ReferencedSOPClassUID = previous.SOPClassUID
    instance.ReferencedSOPInstanceUID = previous.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = previous.SeriesInstanceUID
    series.ReferencedSOPSequence = [instance]
    study = Dataset()
    study.StudyInstanceUID = previous.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    sr.PredecessorDocumentsSequence = [study]
