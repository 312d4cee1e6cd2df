"""The images of the demo: a phantom or a folder, sent by C-STORE."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, build_context

from node.demo.address import HOST, NODE_AE, PEER_AE, DemoError, NoImagesError
from node.presentation import RESULT_CLASSES
from pipeline.phantom import PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory

_PHANTOM_TIME: Final = datetime(2024, 1, 1, 12, tzinfo=UTC)
_SUCCESS: Final = 0x0000


def write_phantom(folder: Path) -> None:
    """Write the synthetic head CT as DICOM files."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = make_phantom(PhantomSpec())
    datasets = phantom_datasets(phantom, new_uid=uid_factory(), study_datetime=_PHANTOM_TIME)
    for index, dataset in enumerate(datasets):
        dataset.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)


def read_images(folder: Path) -> list[Dataset]:
    """Read the DICOM objects in a folder and its sub-folders; leave out results.

    Raises
    ------
    NoImagesError
        There is none.
    """
    datasets = []
    for path in sorted(folder.rglob("*")):
        try:
            dataset = dcmread(path) if path.is_file() else Dataset()
        except InvalidDicomError:
            continue
        if "SeriesInstanceUID" in dataset and str(dataset.SOPClassUID) not in RESULT_CLASSES:
            datasets.append(dataset)
    if not datasets:
        raise NoImagesError(f"there is no DICOM image in {folder}: name a folder with a head CT")
    return datasets


def send(datasets: Sequence[Dataset], port: int) -> float:
    """Send objects to the node by C-STORE, each in the transfer syntax it has.

    Returns
    -------
    float
        Seconds since the epoch of the last response.

    Raises
    ------
    DemoError
        The node did not take them all.

    References
    ----------
    DICOM PS3.4, B "Storage Service Class".
    """
    kinds = {(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets}
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in sorted(kinds)]
    ae = AE(ae_title=PEER_AE)
    association: Any = ae.associate(HOST, port, contexts=contexts, ae_title=NODE_AE)
    if not association.is_established:
        raise DemoError(f"the node at {HOST}:{port} does not take an association")
    try:
        for dataset in datasets:
            status = association.send_c_store(dataset).get("Status")
            if status != _SUCCESS:
                raise DemoError(f"the node answered C-STORE with {status}")
        return time.time()
    finally:
        association.release()
