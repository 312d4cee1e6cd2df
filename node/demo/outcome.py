"""What became of a series of the demo."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from node.demo.process import RunningNode
from node.demo.storage import Arrival, StoragePeer
from node.state import Generation, SeriesRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one series.

    Attributes
    ----------
    record : SeriesRecord
    arrivals : tuple of Arrival
        The results that refer to it, in order of arrival.
    document : dict or None
        The content of ``result.json``.
    folder : Path
        Where it lies, with ``levels.png``, ``seg.dcm`` and ``sr.dcm``.
    shares_s : dict of str to float
        Seconds from the last image to the report, by what they went into.
    """

    record: SeriesRecord
    arrivals: tuple[Arrival, ...]
    document: dict[str, Any] | None
    folder: Path
    shares_s: dict[str, float]

    @property
    def is_complete(self) -> bool:
        """Whether SEG and SR arrived."""
        return {arrival.dataset.Modality for arrival in self.arrivals} >= {"SEG", "SR"}


def collect(
    node: RunningNode, peer: StoragePeer, record: SeriesRecord, sent: float, folder: Path
) -> Outcome:
    """Gather what became of a series, and keep its files.

    Parameters
    ----------
    node : RunningNode
    peer : StoragePeer
    record : SeriesRecord
    sent : float
        Seconds since the epoch at which the last image was acknowledged.
    folder : Path
        Made where it is absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrivals = tuple(item for item in peer.arrivals() if item.refers_to(record.series_uid))
    for item in arrivals:
        name = f"{item.dataset.Modality.lower()}.dcm"
        item.dataset.save_as(folder / name, enforce_file_format=True)
    document = None
    latest = record.latest
    if latest is not None:
        document = _keep_results(node.data / "series" / record.key, latest, folder)
    return Outcome(
        record=record,
        arrivals=arrivals,
        document=document,
        folder=folder,
        shares_s=_shares(node, record, arrivals, sent),
    )


def _keep_results(series: Path, latest: Generation, folder: Path) -> dict[str, Any] | None:
    results = series / "results" / f"{latest.number:04d}"
    for name in ("levels.png", "result.json"):
        if (results / name).is_file():
            shutil.copyfile(results / name, folder / name)
    path = results / "result.json"
    return json.loads(path.read_bytes()) if path.is_file() else None


def _shares(
    node: RunningNode, record: SeriesRecord, arrivals: tuple[Arrival, ...], sent: float
) -> dict[str, float]:
    reports = [item.at for item in arrivals if item.dataset.Modality == "SR"]
    latest = record.latest
    computed = [line for line in node.events("computed") if line["series"] == record.series_uid]
    if not reports or not computed or latest is None:
        return {}
    end = datetime.fromisoformat(computed[-1]["time"]).timestamp()
    known = {
        "wait for further images": latest.complete - sent,
        **latest.timings_s,
        "deliver": reports[-1] - end,
    }
    return {**known, "keep the state": reports[-1] - sent - sum(known.values())}
