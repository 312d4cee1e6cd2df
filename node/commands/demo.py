"""``aspects-node demo``: everything once, on this machine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from pydicom import Dataset
from rich.console import Console
from rich.table import Table

from atlases.entry import entry_of
from atlases.errors import AtlasError, AtlasUnavailableError
from atlases.folders import EMBEDDED, PREFERRED, default_data_folder, install_command
from atlases.install import install
from node.commands.shared import fail
from node.demo.address import HOST, NODE_AE, PEER_AE, DemoError, NoImagesError
from node.demo.images import read_images, send, write_phantom
from node.demo.outcome import Outcome, collect
from node.demo.process import running_node
from node.demo.storage import storage_peer
from node.state import State

_RESULT_LIMIT_S: Final = 300.0
_EXIT_REJECTED: Final = 3


@click.command()
@click.option(
    "--ct",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with a head CT, instead of a synthetic head.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for what arrived, levels.png and the node's log.",
)
def demo(ct: Path | None, out: Path) -> None:
    """Send a head CT to a node on this machine and show what comes back.

    Installs the atlas where it is missing, or takes the embedded one where it
    cannot be had; starts a storage peer and the node on loopback, sends the
    images by C-STORE, waits for SEG and SR, stops
    everything. Exit status: 0 SEG and SR arrived, 3 the images were rejected,
    2 no atlas or wrong use, 1 anything else.
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        outcomes = _run(console, ct, out, _atlas(console))
    except AtlasError as error:
        where = Path(sys.executable).parent
        fail(f"error [{error.code}]: {error}\naspects-node lies in {where}")
    except NoImagesError as error:
        fail(f"error [{error.code}]: {error}")
    except DemoError as error:
        fail(f"error [{error.code}]: {error}", code=1)
    for outcome in outcomes:
        _show(console, outcome)
    sys.exit(_exit_status(outcomes))


def _atlas(console: Console) -> Path:
    """Return the published atlas, installed; the embedded one where it cannot be had."""
    try:
        folder = install(PREFERRED, default_data_folder())
    except AtlasUnavailableError:
        folder = EMBEDDED
    entry = entry_of(folder)
    _say(console, 1, f"Atlas {entry.name} {entry.version}: {folder}")
    if folder == EMBEDDED:
        console.print(
            f"    {PREFERRED} is not installed and cannot be downloaded: this is the embedded "
            f"atlas. Another place for it: {install_command(PREFERRED)} --from FOLDER"
        )
    return folder


def _say(console: Console, step: int, text: str) -> None:
    console.print(f"[bold]{step}/5[/bold] {text}")


def _run(console: Console, ct: Path | None, out: Path, atlas_folder: Path) -> list[Outcome]:
    out.mkdir(parents=True, exist_ok=True)
    images = _images(console, ct, out)
    uids = sorted({str(item.SeriesInstanceUID) for item in images})
    with (
        tempfile.TemporaryDirectory(prefix="aspects-node-demo-") as temporary,
        storage_peer() as peer,
        running_node(Path(temporary), out / "node.log", atlas_folder, peer.port) as node,
    ):
        _say(
            console,
            3,
            f"Node {NODE_AE} listens on {HOST}:{node.port}, "
            f"storage peer {PEER_AE} on {HOST}:{peer.port}",
        )
        sent = send(images, node.port)
        _say(console, 4, f"{len(images)} images sent by C-STORE; waiting for SEG and SR ...")
        records = node.wait_for(lambda: node.finished(uids), _RESULT_LIMIT_S, "results arrive")
        folders = (
            [out] if len(records) == 1 else [out / f"series-{n + 1}" for n in range(len(records))]
        )
        outcomes = [
            collect(node, peer, record, sent, folder)
            for record, folder in zip(records, folders, strict=True)
        ]
    _say(console, 5, "Node and storage peer have stopped")
    return outcomes


def _images(console: Console, ct: Path | None, out: Path) -> Sequence[Dataset]:
    if ct is not None:
        images = read_images(ct)
        _say(console, 2, f"{len(images)} images in {ct}")
        return images
    folder = out / "ct"
    _say(console, 2, "Making a synthetic head CT; it is no patient, and takes some seconds ...")
    write_phantom(folder)
    return read_images(folder)


def _exit_status(outcomes: Sequence[Outcome]) -> int:
    if any(outcome.is_complete for outcome in outcomes):
        return 0
    rejected = all(outcome.record.state is State.REJECTED for outcome in outcomes)
    return _EXIT_REJECTED if rejected else 1


def _show(console: Console, outcome: Outcome) -> None:
    document = outcome.document
    console.print(f"\nSeries {outcome.record.series_uid}: [bold]{outcome.record.state}[/bold]")
    if not outcome.is_complete or document is None:
        latest = outcome.record.latest
        if latest is not None:
            console.print(f"  {latest.code}: {latest.reason}", markup=False)
        return
    for arrival in outcome.arrivals:
        console.print(f"  arrived: {_describe(arrival.dataset)}", markup=False)
    console.print(_region_table(document))
    _print_levels(console, document)
    console.print(_share_table(outcome))
    console.print(f"Picture: [bold]{outcome.folder / 'levels.png'}[/bold]")
    console.print(f"Objects: {outcome.folder / 'seg.dcm'}, {outcome.folder / 'sr.dcm'}")


def _describe(dataset: Dataset) -> str:
    name = f"{dataset.Modality} ({dataset.SOPClassUID.name})"
    if "SegmentSequence" in dataset:
        return f"{name}, {len(dataset.SegmentSequence)} segments, {dataset.NumberOfFrames} frames"
    title = dataset.ConceptNameCodeSequence[0].CodeMeaning
    return f"{name}, {title}"


def _region_table(document: dict[str, Any]) -> Table:
    table = Table("region", "level", "area mm²", "median HU", "SD", "side difference HU")
    for column in table.columns[2:]:
        column.justify = "right"
    for item in document["regions"]:
        table.add_row(
            f"{item['side']} {item['region']}",
            item["level"],
            *(_number(item[key]) for key in ("area_mm2", "hu_median", "hu_sd", "difference_hu")),
        )
    return table


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _print_levels(console: Console, document: dict[str, Any]) -> None:
    levels = document["levels"]
    for name in ("ganglionic", "supraganglionic"):
        chosen = levels[name]
        console.print(
            f"{name} level: slice index {chosen['index']} from inferior, "
            f"runner-up {chosen['runner_up_index']}, margin {_number(chosen['margin'], 2)}"
        )
    quality = document["quality"]
    reasons = "; ".join(item["text"] for item in quality["reasons"]) or "nothing to remark"
    console.print(f"quality of the mapping: [bold]{quality['verdict']}[/bold] ({reasons})")


def _share_table(outcome: Outcome) -> Table:
    total = sum(outcome.shares_s.values())
    table = Table("from last image to SR at the peer", "seconds", "share", show_footer=True)
    table.columns[0].footer = "together"
    table.columns[1].footer, table.columns[2].footer = f"{total:.2f}", "100 %"
    for column in table.columns[1:]:
        column.justify = "right"
    for name, seconds in outcome.shares_s.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / total:.0%}")
    return table
