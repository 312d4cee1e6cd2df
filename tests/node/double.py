"""A computation that takes no time: it stands in where the node alone is tested.

What it does is asked for by the first image's ProtocolName, so that a test can
send a series that crashes its worker, and so on.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, EnhancedSRStorage, ExplicitVRLittleEndian

from node.job import Ending, Job, Outcome
from node.objects import NOTE_FILE
from pipeline.encode.predecessor import refer_to_predecessor
from pipeline.errors import EncodingError
from pipeline.provenance import uid_factory

CRASH_ONCE = "CRASH ONCE"
CRASH = "CRASH"
HANG = "HANG"
DEFECT = "DEFECT"
HOLD = "HOLD"
HUGE = "HUGE"
QUOTE = "QUOTE"
PAUSE = "PAUSE"

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def compute(job: Job) -> Outcome:
    heads = [dcmread(path, stop_before_pixels=True) for path in job.paths]
    head = min(heads, key=lambda item: str(item.SOPInstanceUID))
    if head.get("Modality") != "CT":
        return Outcome(ending=Ending.REJECTED, code="unsupported-sop-class", reason="not a CT")
    if job.failed is not None:
        return _note_of_failure(job, *job.failed, head)
    _misbehave(str(head.get("ProtocolName", "")), job, head)
    new_uid = uid_factory(job.uid_root)
    inputs = sorted(str(item.SOPInstanceUID) for item in heads)
    for name, sop_class in (("seg.dcm", _SEG), ("sr.dcm", _SR)):
        _write(job, name, sop_class, new_uid(name, *inputs), head)
    return Outcome(
        ending=Ending.DONE, quality="pass", objects=("seg.dcm", "sr.dcm"), timings_s={"double": 0.0}
    )


def _note_of_failure(job: Job, code: str, reason: str, head: Dataset) -> Outcome:
    uid = uid_factory(job.uid_root)(NOTE_FILE, code, *(path.name for path in job.paths))
    _write(job, NOTE_FILE, EnhancedSRStorage, uid, head)
    return Outcome(ending=Ending.REJECTED, code=code, reason=reason, objects=(NOTE_FILE,))


def _misbehave(wish: str, job: Job, head: Dataset) -> None:
    # beside the results, because the results of a lost attempt are removed
    mark = job.out.parent / "tried"
    if wish == CRASH or (wish == CRASH_ONCE and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == DEFECT:
        raise EncodingError("made to fail")
    if wish == HUGE:
        bytearray(1 << 40)
    if wish == QUOTE:
        raise ValueError(f"cannot read {head.PatientName}")
    if wish == HANG:
        threading.Event().wait()
    if wish == HOLD:
        _hold(mark)
    if wish == PAUSE:
        _pause(mark)


def _pause(mark: Path) -> None:
    """Wait, in the first attempt, until the test says go."""
    if not mark.exists():
        mark.touch()
        while not mark.with_name("go").exists():
            threading.Event().wait(0.02)


def _hold(mark: Path) -> None:
    """Wait, in the first attempt, until the node is gone and takes us with it."""
    if not mark.exists():
        mark.touch()
        threading.Event().wait()


def _write(job: Job, name: str, sop_class: str, uid: str, head: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(job.out / name), {}, file_meta=meta, preamble=b"\x00" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid
    dataset.StudyInstanceUID = head.StudyInstanceUID
    dataset.SeriesInstanceUID = f"{uid}.1"[:64]
    dataset.PatientID = head.get("PatientID", "")
    dataset.PatientName = head.get("PatientName", "")
    dataset.Modality = "SEG" if name == "seg.dcm" else "SR"
    dataset.ContentDate = job.now.strftime("%Y%m%d")
    dataset.ContentTime = job.now.strftime("%H%M%S.%f")
    if job.previous is not None and name == "sr.dcm":
        refer_to_predecessor(dataset, dcmread(job.previous))
    dataset.save_as(job.out / name, enforce_file_format=True)
