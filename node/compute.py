"""Run the pipeline on files and write what it made: shared by CLI and worker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import SimpleITK as sitk
import torch
from pydicom import Dataset, dcmread
from pydicom.config import IGNORE, settings
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from atlases.read import load_atlas_set
from node.choices import Choices
from node.job import Ending, Job, Outcome
from node.objects import ALL_FILES, NOTE, NOTE_FILE
from pipeline.alignment.infer import load_aligner
from pipeline.encode.note import Refusal, build_note
from pipeline.encode.objects import ObjectKind
from pipeline.encode.picture import png_bytes, render_levels
from pipeline.encode.predecessor import refer_to_predecessor
from pipeline.encode.result_json import (
    neighbours_document,
    rejection_document,
    result_document,
)
from pipeline.errors import SeriesError, TooLargeError, UnreadableFileError
from pipeline.header import uid as read_uid
from pipeline.localizer.infer import load_localizer
from pipeline.phantom import Acquisition, PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory
from pipeline.registration import Method
from pipeline.review import ReviewLimits
from pipeline.run import Parameters, Result, Tools, run
from pipeline.series import MAX_SLICES, load_series

__all__ = [
    "OBJECTS",
    "Ending",
    "Job",
    "Outcome",
    "compute",
    "load_tools",
    "read_datasets",
    "warm_up",
]

OBJECTS: Final = ("seg.dcm", "sr.dcm")
"""What is made unless asked for otherwise: the report refers to the segmentation."""
_WARM_UP_TIME: Final = datetime(2024, 1, 1, 12, tzinfo=UTC)
_MEDIA_DIRECTORY: Final = UID("1.2.840.10008.1.3.10")


def compute(job: Job) -> Outcome:
    """Map one series and write the results.

    A series that cannot be mapped ends as REJECTED; ``result.json`` is written
    in either case. Anything else that goes wrong is raised.

    Parameters
    ----------
    job : Job

    Returns
    -------
    Outcome

    Raises
    ------
    atlases.errors.AtlasError
        The atlas is missing or altered.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    for name in (*ALL_FILES, "levels.png", "result.json"):
        # what an earlier run left must not pass for this one's
        (job.out / name).unlink(missing_ok=True)
    with _unvalidated_reading():
        if job.failed is not None:
            return _reject(job, *job.failed)
        return _computed(job, load_tools(job.atlas_folder))


def _computed(job: Job, tools: Tools) -> Outcome:
    uid: str | None = None
    start = time.perf_counter()
    try:
        datasets = read_datasets(job.paths)
        uid = (read_uid(datasets[0], "SeriesInstanceUID") or None) if datasets else None
        series = load_series(datasets)
        read_s = time.perf_counter() - start
        result = run(
            series,
            tools,
            _parameters(job),
            new_uid=uid_factory(job.uid_root),
            now=job.now,
            clock=time.perf_counter,
        )
    except SeriesError as error:
        _write_json(job.out / "result.json", rejection_document(error.code, str(error), uid))
        return _reject(job, error.code, str(error))
    return _finish(job, result, read_s)


def _parameters(job: Job) -> Parameters:
    return Parameters(
        age_years=job.age_years,
        levels=job.levels,
        brain_method=job.choices.brain,
        registration=Method(job.choices.registration),
        review=_review_limits(job.choices),
        all_slices=job.choices.all_slices,
        objects=tuple(ObjectKind(name) for name in job.objects if name != NOTE),
    )


def _review_limits(choices: Choices) -> ReviewLimits | None:
    if not choices.asymmetry_flags:
        return None
    return ReviewLimits(
        difference_hu=choices.asymmetry_difference_hu, ratio=choices.asymmetry_ratio
    )


@contextmanager
def _unvalidated_reading() -> Iterator[None]:
    """Keep pydicom from quoting odd values, a name among them, in warnings."""
    before = settings.reading_validation_mode
    settings.reading_validation_mode = IGNORE
    try:
        yield
    finally:
        settings.reading_validation_mode = before


def _reject(job: Job, code: str, reason: str) -> Outcome:
    """End without regions; write a note that says why, where that is wanted."""
    note = None
    if NOTE in job.objects:
        refusal = Refusal(code=code, reason=reason)
        new_uid = uid_factory(job.uid_root)
        note = build_note(_headers(job.paths), refusal, new_uid=new_uid, now=job.now)
    if note is not None:
        _write_dataset(job.out / NOTE_FILE, note)
    made = () if note is None else (NOTE_FILE,)
    return Outcome(ending=Ending.REJECTED, code=code, reason=reason, objects=made)


def _headers(paths: Iterable[Path]) -> list[Dataset]:
    """Read the headers that can be read."""
    found: list[Dataset] = []
    for path in paths:
        with suppress(Exception):  # whatever is wrong with it: the others say enough
            found.append(dcmread(path, stop_before_pixels=True))
    return found


def _finish(job: Job, result: Result, read_s: float) -> Outcome:
    start = time.perf_counter()
    picture = render_levels(
        result.volume, result.region_map, result.levels, result.quality, result.provenance
    )
    _write(job.out / "levels.png", png_bytes(picture))
    _refer_to_previous(job, result)
    for name, dataset in result.objects.items():
        _write_dataset(job.out / name, dataset)
    timings_s = {"read": read_s, **result.timings_s, "write": time.perf_counter() - start}
    document = result_document(
        result.series,
        result.levels,
        result.measurements,
        result.quality,
        result.provenance,
        timings_s,
    )
    if job.choices.all_slices:
        document["neighbours"] = neighbours_document(result.series, result.region_map.neighbours)
    _write_json(job.out / "result.json", document)
    return Outcome(
        ending=Ending.DONE,
        quality=result.quality.verdict,
        objects=tuple(result.objects),
        timings_s=timings_s,
        score=float(result.eligibility.score),
        doubts=tuple(result.eligibility.notes),
    )


def _refer_to_previous(job: Job, result: Result) -> None:
    if job.previous is None:
        return
    previous = dcmread(job.previous, stop_before_pixels=True)
    for dataset in result.objects.values():
        if dataset.Modality == "SR":
            refer_to_predecessor(dataset, previous)


def warm_up(atlas_folder: Path) -> None:
    """Map a small phantom once, so that no series waits for what happens only once.

    Libraries are loaded, code is compiled and memory is taken at the first use:
    seconds, that the first patient would else wait for.
    """
    tools = load_tools(atlas_folder)
    new_uid = uid_factory()
    coarse = Acquisition(rows=160, columns=160, pixel_spacing_mm=(1.5, 1.5))
    phantom = make_phantom(PhantomSpec(acquisition=coarse, sub_samples=1))
    datasets = phantom_datasets(phantom, new_uid=new_uid, study_datetime=_WARM_UP_TIME)
    with TemporaryDirectory(prefix="aspects-node-") as name:
        job = Job(paths=(), out=Path(name), atlas_folder=atlas_folder, now=_WARM_UP_TIME)
        result = run(
            load_series(datasets),
            tools,
            Parameters(),
            new_uid=new_uid,
            now=_WARM_UP_TIME,
            clock=time.perf_counter,
        )
        _finish(job, result, 0.0)


def read_datasets(paths: Iterable[Path]) -> list[Dataset]:
    """Read the DICOM files among some paths; what is no DICOM file is left out.

    A media directory (DICOMDIR) holds no image and is left out too.

    Returns
    -------
    list of pydicom.Dataset
        In the order of the paths.

    Raises
    ------
    UnreadableFileError
        A file begins as DICOM but cannot be read: leaving it out would lose a slice.
    TooLargeError
        More files than a head series has.
    """
    datasets: list[Dataset] = []
    for number, path in enumerate(paths, start=1):
        dataset = _read(path, number)
        if dataset is not None:
            datasets.append(dataset)
        if len(datasets) > MAX_SLICES:
            raise TooLargeError(f"more than {MAX_SLICES} DICOM files. Give one head series.")
    return datasets


def _read(path: Path, number: int) -> Dataset | None:
    content = path.read_bytes()
    try:
        with BytesIO(content) as file:
            dataset = dcmread(file)
        if dataset.file_meta.get("MediaStorageSOPClassUID") == _MEDIA_DIRECTORY:
            return None
    except InvalidDicomError:
        return None
    # a broken file makes the reader fail in many ways; file names may name a patient
    except Exception as error:
        raise UnreadableFileError(
            f"file {number} begins as DICOM but cannot be read ({type(error).__name__}). "
            "Send the series again."
        ) from error
    return dataset


@lru_cache(maxsize=2)
def load_tools(atlas_folder: Path) -> Tools:
    """Load atlas and network, once for each process.

    One thread each for torch and ITK: the pictures are small, a second thread
    costs more than it brings, and several times so on busy cores.

    Raises
    ------
    atlases.errors.AtlasError
        The atlas is missing or altered.
    pipeline.model_card.WeightsError
        The weights are missing, or not those of the model card.
    """
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return Tools(
        atlases=load_atlas_set(atlas_folder),
        localizer=load_localizer(),
        aligner=load_aligner(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write so that a reader sees the old file or the whole new one."""
    temporary = path.with_suffix(path.suffix + ".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    _write(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _write_dataset(path: Path, dataset: Dataset) -> None:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    _write(path, content.getvalue())
