"""``aspects-node bench end-to-end``: seconds from the last image to the SR at the PACS."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from rich.console import Console
from rich.table import Table

from node.commands.bench_servers import Server, node_server, send, storescp_server
from node.commands.method_options import atlas_at, bench_atlas_options
from node.commands.shared import system_tool
from node.state import SeriesRecord, read_records
from pipeline.phantom import PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory

_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SR_MODALITY: Final = "SR"
_LIMIT_S: Final = 120.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    storescu: str
    node: Server
    data: Path
    pacs: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What one series took, in seconds from its last image.

    Attributes
    ----------
    job_start_s : float
        Until the work on it began.
    report_s : float
        Until the PACS had the SR.
    """

    job_start_s: float
    report_s: float


@click.command("end-to-end")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="One alone.")
@click.option(
    "--queued", default=(10,), show_default=True, multiple=True, type=click.IntRange(1),
    help="So many series sent in a row; may be given several times.",
)  # fmt: skip
@bench_atlas_options
def end_to_end(runs: int, queued: tuple[int, ...], atlas: str, data: Path | None) -> None:
    """Send heads of 32 slices to a node with dcmtk's storescp as its PACS.

    First one at a time, then many in a row. The last line is one JSON object:
    seconds from the last image to the start of the work and to the SR at the
    PACS.
    """
    storescu = system_tool("storescu")
    if storescu is None:
        raise click.ClickException("storescu is not installed: apt install dcmtk")
    atlas_folder = atlas_at(atlas, data)
    with TemporaryDirectory(prefix="aspects-node-bench-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        pacs = stack.enter_context(storescp_server(folder))
        if pacs is None:
            raise click.ClickException("storescp is not installed: apt install dcmtk")
        node = stack.enter_context(node_server(folder, atlas_folder, _settings(pacs)))
        if node is None:
            raise click.ClickException("aspects-node is not installed beside this Python")
        site = _Site(
            storescu=storescu, node=node, data=folder / "node-data", pacs=folder / "storescp"
        )
        heads = _Heads(folder / "heads")
        ways = {"alone": [way for _ in range(runs) for way in _go(site, heads, 1)]}
        for count in queued:
            ways[f"{count} queued"] = _go(site, heads, count)
    report = {name: _summary(found) for name, found in ways.items()}
    _show(report)
    click.echo(json.dumps(report))


def _settings(pacs: Server) -> str:
    return (
        'default_peer = "pacs"\n[[peers]]\nname = "pacs"\nae_title = "PACS"\n'
        f'host = "127.0.0.1"\nport = {pacs.port}\n'
    )


class _Heads:
    """The synthetic head, written as another series each time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._slices = phantom_datasets(
            make_phantom(PhantomSpec()), new_uid=uid_factory(), study_datetime=_MOMENT
        )
        self._number = 0

    def next(self) -> tuple[str, Path]:
        """Write the next series; return its SeriesInstanceUID and its folder."""
        self._number += 1
        number, new_uid = str(self._number), uid_factory()
        folder = self._folder / number
        folder.mkdir()
        series: UID = new_uid("bench", "series", number)
        for index, dataset in enumerate(self._slices):
            dataset.SeriesInstanceUID = series
            dataset.StudyInstanceUID = new_uid("bench", "study", number)
            dataset.SOPInstanceUID = new_uid("bench", "image", number, str(index))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
        return str(series), folder


def _go(site: _Site, heads: _Heads, count: int) -> list[_Way]:
    """Send so many series in a row and wait for all reports."""
    written = [heads.next() for _ in range(count)]
    for _, folder in written:
        send(site.storescu, site.node.port, [folder])
    return [_way(site, series, _LIMIT_S * count) for series, _ in written]


def _way(site: _Site, series: str, limit_s: float) -> _Way:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        record = _record(site, series)
        at = None if record is None else _report_at(site, record)
        if record is not None and at is not None and record.latest is not None:
            began = datetime.fromisoformat(record.latest.now).timestamp()
            return _Way(
                job_start_s=began - record.last_received, report_s=at - record.last_received
            )
        time.sleep(_POLL_S)
    raise click.ClickException(f"series {series}: no report after {limit_s:g} s")


def _record(site: _Site, series: str) -> SeriesRecord | None:
    records = read_records(site.data / "series")
    return next((record for record in records if record.series_uid == series), None)


def _report_at(site: _Site, record: SeriesRecord) -> float | None:
    """Return when the PACS had the whole report; None while it has not."""
    for path in site.pacs.glob("SR*"):
        try:
            head = dcmread(path)
        except (InvalidDicomError, EOFError, OSError):
            continue  # half written
        if head.get("StudyInstanceUID") == record.study_uid and head.Modality == _SR_MODALITY:
            return path.stat().st_mtime
    return None


def _summary(ways: list[_Way]) -> dict[str, Any]:
    def figures(values: list[float]) -> dict[str, float]:
        quantiles = {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95)}
        return {**quantiles, "largest": round(max(values), 2)}

    return {
        "series": len(ways),
        "job_start_s": figures([way.job_start_s for way in ways]),
        "report_s": figures([way.report_s for way in ways]),
    }


def _show(report: dict[str, dict[str, Any]]) -> None:
    table = Table("Series", "Job start p50 s", "largest", "SR at the PACS p50 s", "p95", "largest")
    for name, found in report.items():
        start, arrived = found["job_start_s"], found["report_s"]
        values = (start["p50"], start["largest"], *arrived.values())
        table.add_row(name, *(f"{value:g}" for value in values))
    Console().print(table)
