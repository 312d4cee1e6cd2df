"""A node at work for a long time: memory, file descriptors and threads stay flat.

``python -m tests.faults.soak --minutes 60`` sends the synthetic head again and
again, each time as another series, to a node with the true computation. It
samples the node and its workers; the last line is one JSON object with the
slope of each figure, by least squares over the samples after the first fifth of
the time, while caches fill.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydicom import Dataset

from node.state import State
from pipeline.phantom import Acquisition, PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory
from tests.faults.kills import Archive, children, command_of
from tests.peers import ENVIRONMENT, SHARED_DATA, NodeProcess, peer, tool, wait_for

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
SAMPLE_S = 5.0
WARM_SHARE = 0.2
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one time."""

    hours: float
    rss_mib: float
    fds: int
    threads: int


@dataclass(slots=True)
class Record:
    """The samples of one process, or of the sum of the workers."""

    samples: list[Sample] = field(default_factory=list)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return first, last, largest value and slope an hour, after warming up."""
        later = self.samples[int(len(self.samples) * WARM_SHARE) :]
        hours = [sample.hours for sample in later]
        found = {}
        for name in ("rss_mib", "fds", "threads"):
            values = [float(getattr(sample, name)) for sample in later]
            found[name] = {
                "first": round(values[0], 1),
                "last": round(values[-1], 1),
                "largest": round(max(values), 1),
                "slope_per_hour": round(slope(hours, values), 2),
            }
        return found


def slope(x: list[float], y: list[float]) -> float:
    """Return the slope of the line of least squares; 0 for fewer than two points."""
    if len(set(x)) < 2:
        return 0.0
    return float(np.polyfit(x, y, 1)[0])


def sample(pids: list[int], hours: float) -> Sample:
    """Add up what some processes hold."""
    pages = fds = threads = 0
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        pages += int((folder / "statm").read_text().split()[1])
        fds += len(list((folder / "fd").iterdir()))
        threads += len(list((folder / "task").iterdir()))
    return Sample(hours, pages * os.sysconf("SC_PAGE_SIZE") / MIB, fds, threads)


def workers_of(pid: int) -> list[int]:
    """Return the process ids of a node's workers."""
    return [child for child in children(pid) if b"spawn_main" in command_of(child)]


class Head:
    """The synthetic head, written as another series each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        coarse = Acquisition(rows=256, columns=256, pixel_spacing_mm=(1.0, 0.9))
        phantom = make_phantom(PhantomSpec(acquisition=coarse))
        self._slices = phantom_datasets(phantom, new_uid=uid_factory(), study_datetime=START)

    def write(self, number: int) -> list[Path]:
        """Write it with the UIDs of that number."""
        folder = self._folder / str(number)
        folder.mkdir(parents=True)
        return [self._write_slice(folder, number, index) for index in range(len(self._slices))]

    def _write_slice(self, folder: Path, number: int, index: int) -> Path:
        dataset: Dataset = self._slices[index]
        new_uid = uid_factory()
        dataset.SOPInstanceUID = new_uid("soak", "image", str(number), str(index))
        dataset.SeriesInstanceUID = new_uid("soak", "series", str(number))
        dataset.StudyInstanceUID = new_uid("soak", "study", str(number))
        dataset.FrameOfReferenceUID = new_uid("soak", "frame", str(number))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / f"{index:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path


def send(port: int, files: list[Path]) -> None:
    """Send a series and remove its files."""
    subprocess.run(
        [tool("storescu") or "storescu", "-aec", "ASPECTS", "127.0.0.1", str(port),
         *map(str, files)],
        env=ENVIRONMENT, check=True, capture_output=True,
    )  # fmt: skip
    for path in files:
        path.unlink()


def run_soak(
    folder: Path,
    minutes: float,
    *,
    every_s: float = 18.0,
    atlas_folder: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Send a head every few seconds for so many minutes; return the report."""
    archive = Archive()
    config = {
        "atlas_folder": str(atlas_folder),
        "default_peer": "pacs",
        "peers": [peer("pacs", "PACS", archive.port)],
    }
    head = Head(folder / "head")
    node = NodeProcess(folder / "node", config)
    node.start()
    node.wait_for_event("workers_warm", 300.0)
    try:
        found, sent = _watch(node, head, minutes, every_s, progress)
        done = _count_done(node, sent)
    finally:
        node.stop()
        archive.stop()
    return {
        "minutes": round(minutes, 1),
        "series": sent,
        "done": done,
        "objects_at_the_pacs": len(archive.contents),
        "node": found["node"].summary(),
        "workers": found["workers"].summary(),
    }


def _watch(
    node: NodeProcess, head: Head, minutes: float, every_s: float, progress: Callable[[str], None]
) -> tuple[dict[str, Record], int]:
    records = {"node": Record(), "workers": Record()}
    start = time.monotonic()
    sent = samples = 0
    while (now := time.monotonic() - start) < 60 * minutes:
        if now >= sent * every_s:
            send(node.port, head.write(sent))
            sent += 1
        hours = (time.monotonic() - start) / 3600
        records["node"].samples.append(sample([node.pid], hours))
        records["workers"].samples.append(sample(workers_of(node.pid), hours))
        samples += 1
        if samples % 60 == 0:
            latest = records["node"].samples[-1], records["workers"].samples[-1]
            progress(f"{now / 60:.0f} min, {sent} series, node {latest[0]}, workers {latest[1]}")
        time.sleep(min(SAMPLE_S, every_s))
    return records, sent


def _count_done(node: NodeProcess, sent: int) -> int:
    def done() -> int:
        return list(node.states().values()).count(State.DONE)

    try:
        wait_for(lambda: done() >= sent, 600.0, "all series done")
    except AssertionError as error:
        click.echo(str(error), err=True)  # the report counts them
    return done()


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="How long.")
@click.option("--every", default=18.0, show_default=True, help="Seconds between two series.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the data here.")
def main(minutes: float, every: float, folder: Path | None) -> None:
    """Let a node work for a long time; the last line is one JSON object."""
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        report = run_soak(
            folder or Path(temporary),
            minutes,
            every_s=every,
            atlas_folder=SHARED_DATA.resolve() / "aspects-281",
            progress=lambda text: click.echo(text, err=True),
        )
    click.echo(json.dumps(report))
    raise SystemExit(0 if report["done"] == report["series"] else 1)


if __name__ == "__main__":
    main()
