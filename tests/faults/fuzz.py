"""Byte-mutated DICOM files through the reading of the pipeline, each in a process of its own.

``python -m tests.faults.fuzz --examples N``: files of several transfer syntaxes
are damaged at random and read as ``aspects-node process`` and the workers read
them. Allowed are a volume, or an error of the pipeline; found is any other
exception, a crash, more than a few seconds, more than some gigabytes. The last
line is one JSON object.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from pydicom import Dataset, dcmread
from pydicom.config import IGNORE, settings
from pydicom.uid import CTImageStorage

from node.compute import read_datasets
from pipeline.errors import PipelineError
from pipeline.provenance import uid_factory
from pipeline.series import load_series
from pipeline.volume import to_volume
from tests.node.series import write_series
from tests.peers import SHARED_DATA

SLICES = 9
LIMIT_S = 30
MEMORY = 6 << 30
HEADER = 2000
SYNTAXES = ("CT2_J2KR", "CT2_JLSL", "CT2_JPLL", "CT2_RLE")
MARKS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff", b"SQ", b"OB", b"\xfe\xff\xdd\xe0")


@dataclass(slots=True)
class Findings:
    """What a run came to."""

    examples: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    """Seed of the example and what happened."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage some bytes, of the header or of the pixels."""
    content = bytearray(data)
    is_header = rng.random() < 0.6
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        end = min(HEADER, len(content)) if is_header else len(content)
        _damage(content, rng.randrange(max(end, 1)), rng)
    return bytes(content)


def _damage(content: bytearray, at: int, rng: random.Random) -> None:
    length = rng.choice((1, 1, 2, 4, 64))
    kind = rng.randrange(6)
    if kind == 0:
        content[at : at + length] = rng.randbytes(length)
    elif kind == 1:
        mark = rng.choice(MARKS)
        content[at : at + len(mark)] = mark
    elif kind == 2:
        del content[at : at + length]
    elif kind == 3:
        content[at:at] = rng.randbytes(length)
    elif kind == 4:
        content[at:at] = content[at : at + length] * rng.choice((1, 100))
    else:
        del content[at:]


def bases(folder: Path) -> list[list[Path]]:
    """Write a whole series in each transfer syntax at hand."""
    found = [_write_plain(folder / "plain")]
    fixtures = SHARED_DATA / "dicom-fixtures" / "wg04_ct2_head_all_syntaxes"
    found += [
        _stack(dcmread(fixtures / name), folder / name)
        for name in SYNTAXES
        if (fixtures / name).exists()
    ]
    return found


def _write_plain(folder: Path) -> list[Path]:
    paths = write_series(folder, "fuzz", SLICES, size=64)[1]
    for path in paths:
        dataset = dcmread(path)
        dataset.FrameOfReferenceUID = uid_factory()("fuzz", "frame")
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.save_as(path, enforce_file_format=True)
    return paths


def _stack(dataset: Dataset, folder: Path) -> list[Path]:
    """Write one image as a series of several positions."""
    folder.mkdir()
    new_uid = uid_factory()
    paths = []
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for index in range(SLICES):
        dataset.SOPInstanceUID = new_uid("fuzz", folder.name, str(index))
        dataset.ImagePositionPatient = [-120, -120, 5 * index]
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(folder / f"{index}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_example(series: list[Path], folder: Path, seed: int) -> list[Path]:
    """Write a series of which some files are damaged."""
    rng = random.Random(seed)
    damaged = set(rng.sample(range(len(series)), rng.choice((1, 2, len(series)))))
    paths = []
    # the same damage everywhere is what a faulty sender makes
    state = rng.getstate() if rng.random() < 0.5 else None
    for index, path in enumerate(series):
        content = path.read_bytes()
        if index in damaged:
            if state is not None:
                rng.setstate(state)
            content = mutate(content, rng)
        paths.append(folder / f"{index}.dcm")
        paths[-1].write_bytes(content)
    return paths


def read(paths: list[Path]) -> str:
    """Read a series as far as its voxels; return how it ended."""
    settings.reading_validation_mode = IGNORE
    try:
        to_volume(load_series(read_datasets(paths)))
    except PipelineError as error:
        return str(error.code)
    return "read"


def run_example(paths: list[Path], report: Path) -> str:
    """Read in a forked process; return how it ended."""
    pid = os.fork()
    if not pid:
        _be_child(paths, report)
    started = time.monotonic()
    status, ended = 0, 0
    while not ended:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended and time.monotonic() - started > LIMIT_S:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "HANG"
        time.sleep(0.001)
    if os.WIFSIGNALED(status):
        return f"CRASH by signal {os.WTERMSIG(status)}"
    return report.read_text()


def _be_child(paths: list[Path], report: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        report.write_text(read(paths))
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        report.write_text(f"EXCEPTION {traceback.format_exc()}")
    os._exit(0)


def run_fuzz(folder: Path, examples: int, seed: int) -> Findings:
    """Run so many examples."""
    findings = Findings()
    series = bases(folder)
    for number in range(examples):
        here = folder / "example"
        here.mkdir(exist_ok=True)
        paths = write_example(series[number % len(series)], here, seed + number)
        outcome = run_example(paths, folder / "report")
        findings.examples += 1
        findings.outcomes[outcome.partition(" ")[0]] += 1
        if outcome[:4].isupper():
            findings.found.append(f"seed {seed + number}: {outcome}")
    return findings


@click.command()
@click.option("--examples", default=500, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="Of the first; each next is one more.")
def main(examples: int, seed: int) -> None:
    """Read damaged files; exit code 1 where something was found."""
    faulthandler.disable()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        findings = run_fuzz(Path(folder), examples, seed)
    for text in findings.found:
        click.echo(text, err=True)
    report: dict[str, Any] = {
        "examples": findings.examples,
        "found": len(findings.found),
        "outcomes": dict(findings.outcomes.most_common()),
    }
    click.echo(json.dumps(report))
    sys.exit(bool(findings.found))


if __name__ == "__main__":
    main()
