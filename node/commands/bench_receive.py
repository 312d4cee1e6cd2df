"""``aspects-node bench receive``: images a second, beside dcmtk and Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from rich.console import Console
from rich.table import Table

from node.commands.bench_servers import (
    Server,
    node_server,
    orthanc_server,
    send,
    storescp_server,
)
from node.commands.method_options import atlas_at, bench_atlas_options
from node.commands.shared import system_tool
from pipeline.provenance import uid_factory

_SIDE: Final = 512
_CALLS: Final = 10
_PAUSE_S: Final = 0.5
_LATENCY_IMAGES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    server: str
    senders: str
    img_per_s: float
    cpu_ms: float


@click.command()
@click.option("--images", default=200, show_default=True, type=click.IntRange(1), help="A sender.")
@click.option(
    "--senders", default=(1, 4, 16), show_default=True, multiple=True, type=click.IntRange(1),
    help="So many at the same time; may be given several times.",
)  # fmt: skip
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1),
    help="So often, the servers in turn; the median counts.",
)  # fmt: skip
@bench_atlas_options
def receive(
    images: int, senders: tuple[int, ...], rounds: int, atlas: str, data: Path | None
) -> None:
    """Send CT images of 512 x 512 to the node, to storescp and to Orthanc.

    dcmtk's storescu sends, with TCP_NODELAY=1; what is not installed is left
    out. The last line is one JSON object: images a second by server and number
    of senders (the median, and each round), CPU milliseconds an image, memory,
    and the milliseconds of a C-STORE response.
    """
    storescu = system_tool("storescu")
    if storescu is None:
        raise click.ClickException("storescu is not installed: apt install dcmtk")
    atlas_folder = atlas_at(atlas, data)
    with TemporaryDirectory(prefix="aspects-node-bench-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        starts = (
            node_server(folder, atlas_folder), storescp_server(folder), orthanc_server(folder)
        )  # fmt: skip
        started = [stack.enter_context(start) for start in starts]
        servers = [server for server in started if server is not None]
        runs = _run_rounds(servers, storescu, folder, (images, senders, rounds))
        report = _summary(runs, servers, folder)
    _show(report)
    click.echo(json.dumps(report))


def _run_rounds(
    servers: list[Server], storescu: str, folder: Path, load: tuple[int, tuple[int, ...], int]
) -> list[_Run]:
    """Run all servers in turn, so that what else the machine does meets each alike."""
    images, senders, rounds = load
    cases = list(product(range(rounds), senders, servers))
    return [
        _measure(server, storescu, folder / f"{server.name}-{count}-{turn}", (images, count))
        for turn, count, server in cases
    ]


def _measure(server: Server, storescu: str, folder: Path, load: tuple[int, int]) -> _Run:
    images, count = load
    folder.mkdir()
    folders = [_write(folder / str(n), f"{folder.name}-{n}", images) for n in range(count)]
    before = _cpu_s(server)
    seconds = send(storescu, server.port, folders)
    cpu_s = _cpu_s(server) - before
    shutil.rmtree(folder)
    return _Run(
        server=server.name,
        senders=str(count),
        img_per_s=round(count * images / seconds, 1),
        cpu_ms=round(1000 * cpu_s / (count * images), 2),
    )


def _summary(runs: list[_Run], servers: list[Server], folder: Path) -> dict[str, Any]:
    def by_case(value: Callable[[list[_Run]], Any]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for server, count in dict.fromkeys((run.server, run.senders) for run in runs):
            mine = [run for run in runs if (run.server, run.senders) == (server, count)]
            found.setdefault(server, {})[count] = value(mine)
        return found

    return {
        "img_per_s": by_case(lambda mine: median(run.img_per_s for run in mine)),
        "rounds_img_per_s": by_case(lambda mine: [run.img_per_s for run in mine]),
        "cpu_ms_per_image": by_case(lambda mine: median(run.cpu_ms for run in mine)),
        "rss_mib": {server.name: _rss_mib(server) for server in servers},
        "response_ms": {
            server.name: _responses(server, folder / f"{server.name}-latency") for server in servers
        },
    }


def _responses(server: Server, folder: Path) -> dict[str, float]:
    """Return percentiles of the milliseconds from C-STORE request to response."""
    paths = sorted(_write(folder, server.name, _LATENCY_IMAGES).iterdir())
    ae = AE()
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, _answer_at_once)]
    association = _associated(ae, server, handlers)
    times = []
    for dataset in map(dcmread, paths):
        start = time.perf_counter()
        association.send_c_store(dataset)
        times.append(1000 * (time.perf_counter() - start))
    association.release()
    return {f"p{q}": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)}


def _associated(ae: AE, server: Server, handlers: list[Any]) -> Any:
    """Associate; a server that is still busy with the senders may need a second call."""
    for _ in range(_CALLS):
        association: Any = ae.associate(
            "127.0.0.1", server.port, ae_title="ASPECTS", evt_handlers=handlers
        )
        if association.is_established:
            return association
        time.sleep(_PAUSE_S)
    raise click.ClickException(f"{server.name} does not accept an association")


def _answer_at_once(event: evt.Event) -> None:
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _write(folder: Path, name: str, count: int) -> Path:
    """Write a series of noise."""
    folder.mkdir()
    new_uid = uid_factory()
    pixels = np.random.default_rng(0).integers(-1000, 1000, (_SIDE, _SIDE), dtype=np.int16)
    for index in range(count):
        dataset = Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = new_uid("bench", name, str(index))
        dataset.StudyInstanceUID = new_uid("bench study", name)
        dataset.SeriesInstanceUID = new_uid("bench series", name)
        dataset.PatientID, dataset.Modality, dataset.InstanceNumber = "BENCH", "CT", index + 1
        dataset.Rows = dataset.Columns = _SIDE
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)
    return folder


def _cpu_s(server: Server) -> float:
    """Return the CPU seconds of a server and of its children that ended."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(server: Server) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _show(report: dict[str, dict[str, Any]]) -> None:
    table = Table("Server", "Senders", "Images/s", "CPU ms/image", "Memory MiB", "Response p95 ms")
    for name, rates in report["img_per_s"].items():
        for count, rate in rates.items():
            cpu = report["cpu_ms_per_image"][name][count]
            memory, p95 = report["rss_mib"][name], report["response_ms"][name]["p95"]
            table.add_row(name, count, f"{rate:g}", f"{cpu:g}", f"{memory:g}", f"{p95:g}")
    Console().print(table)
