"""``aspects-node bench receive``: images a second, beside dcmtk and Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from rich.console import Console
from rich.table import Table

from atlases.folders import default_data_folder, find_atlas
from node.commands.shared import system_tool
from pipeline.provenance import uid_factory

_ENVIRONMENT: Final = {**os.environ, "TCP_NODELAY": "1"}
_SIDE: Final = 512
_START_S: Final = 60.0
_WARM_S: Final = 300.0
_LATENCY_IMAGES: Final = 50


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]


@click.command()
@click.option("--images", default=200, show_default=True, type=click.IntRange(1), help="A sender.")
@click.option(
    "--senders", default=(1, 4, 16), show_default=True, multiple=True, type=click.IntRange(1),
    help="So many at the same time; may be given several times.",
)  # fmt: skip
@click.option("--atlas", default="aspects-281", show_default=True, help="Name of an atlas set.")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder with the atlas sets.")
def receive(images: int, senders: tuple[int, ...], atlas: str, data: Path | None) -> None:
    """Send CT images of 512 x 512 to the node, to storescp and to Orthanc.

    dcmtk's storescu sends, with TCP_NODELAY=1; what is not installed is left
    out. The last line is one JSON object: images a second by server and number
    of senders, CPU milliseconds an image, memory, and the milliseconds of a
    C-STORE response.
    """
    storescu = system_tool("storescu")
    if storescu is None:
        raise click.ClickException("storescu is not installed: apt install dcmtk")
    atlas_folder = find_atlas(atlas, data or default_data_folder())
    report: dict[str, dict[str, Any]] = {
        "img_per_s": {}, "cpu_ms_per_image": {}, "rss_mib": {}, "response_ms": {}
    }  # fmt: skip
    with TemporaryDirectory(prefix="aspects-node-bench-") as scratch:
        folder = Path(scratch)
        for start in (_node, _storescp, _orthanc):
            with start(folder, atlas_folder) as server:
                if server is not None:
                    _measure(report, server, storescu, (images, senders), folder)
    _show(report)
    click.echo(json.dumps(report))


def _measure(
    report: dict[str, dict[str, Any]],
    server: _Server,
    storescu: str,
    load: tuple[int, tuple[int, ...]],
    folder: Path,
) -> None:
    images, senders = load
    rates, cpu = {}, {}
    for count in senders:
        name = f"{server.name}-{count}"
        folders = [_write(folder / f"{name}-{n}", f"{name}-{n}", images) for n in range(count)]
        before = _cpu_s(server)
        rates[str(count)] = round(count * images / _send(storescu, server.port, folders), 1)
        cpu[str(count)] = round(1000 * (_cpu_s(server) - before) / (count * images), 2)
        for item in folders:
            shutil.rmtree(item)
    report["img_per_s"][server.name] = rates
    report["cpu_ms_per_image"][server.name] = cpu
    report["rss_mib"][server.name] = _rss_mib(server)
    report["response_ms"][server.name] = _responses(server, folder / f"{server.name}-latency")


def _send(storescu: str, port: int, folders: list[Path]) -> float:
    """Return the seconds until all senders have ended."""
    start = time.monotonic()
    running = [
        subprocess.Popen(  # noqa: S603 - our own arguments
            [storescu, "+sd", "-aec", "ASPECTS", "127.0.0.1", str(port), str(folder)],
            env=_ENVIRONMENT,
        )
        for folder in folders
    ]
    if any(process.wait() for process in running):
        raise click.ClickException(f"a sender to port {port} failed")
    return time.monotonic() - start


def _responses(server: _Server, folder: Path) -> dict[str, float]:
    """Return percentiles of the milliseconds from C-STORE request to response."""
    paths = sorted(_write(folder, server.name, _LATENCY_IMAGES).iterdir())
    ae = AE()
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association: Any = ae.associate("127.0.0.1", server.port, ae_title="ASPECTS")
    times = []
    for dataset in map(dcmread, paths):
        start = time.perf_counter()
        association.send_c_store(dataset)
        times.append(1000 * (time.perf_counter() - start))
    association.release()
    return {f"p{q}": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)}


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


@contextmanager
def _node(folder: Path, atlas_folder: Path) -> Iterator[_Server | None]:
    port = _free_port()
    config = folder / "node.toml"
    config.write_text(
        f'port = {port}\ndata_folder = "node-data"\n'
        f"atlas_folder = {json.dumps(str(atlas_folder))}\n"
        "accept_unknown_callers = true\nmin_free_disk = 0\n"
        # nothing is computed meanwhile
        "quiet_time_s = 3600\nincomplete_quiet_time_s = 3600\nlongest_quiet_time_s = 3600\n",
        encoding="utf-8",
    )
    command = Path(sys.executable).with_name("aspects-node")
    with _running("node", [str(command), "serve", "--config", str(config)], port, folder) as found:
        _await_warm(folder / "node.log")
        yield found


@contextmanager
def _storescp(folder: Path, atlas_folder: Path) -> Iterator[_Server | None]:
    del atlas_folder
    port, received = _free_port(), folder / "storescp"
    received.mkdir()
    command = [system_tool("storescp"), "--fork", "-od", str(received), str(port)]
    with _running("storescp", command, port, folder) as found:
        yield found


@contextmanager
def _orthanc(folder: Path, atlas_folder: Path) -> Iterator[_Server | None]:
    del atlas_folder
    port, data = _free_port(), folder / "orthanc"
    data.mkdir()
    settings = {
        "StorageDirectory": str(data),
        "IndexDirectory": str(data),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": True,
    }
    (data / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [system_tool("Orthanc"), str(data / "orthanc.json")]
    with _running("orthanc", command, port, folder) as found:
        yield found


@contextmanager
def _running(
    name: str, command: list[str | None], port: int, folder: Path
) -> Iterator[_Server | None]:
    """Run a server; None where it is not installed."""
    if command[0] is None:
        yield None
        return
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            [item for item in command if item], env=_ENVIRONMENT, stdout=log, stderr=log
        )
    try:
        _await(port, process)
        yield _Server(name, port, process)
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise click.ClickException(f"a server did not start on port {port}")


def _await_warm(log: Path) -> None:
    """Wait until the worker has warmed up: it would compete for the processors."""
    deadline = time.monotonic() + _WARM_S
    while time.monotonic() < deadline:
        if b"workers_warm" in log.read_bytes():
            return
        time.sleep(0.1)
    raise click.ClickException("the node's worker did not warm up")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(server: _Server) -> float:
    """Return the CPU seconds of a server and of its children that ended."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(server: _Server) -> float:
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
