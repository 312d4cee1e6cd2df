"""``aspects-node status``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from node.commands.shared import config_option, read_config, read_series
from node.state import IMAGES, Commitment, DeliveryRecord, SeriesRecord, State
from node.status import is_stored, meaning_of
from node.web.words import duration


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def status(config_file: Path, *, as_json: bool) -> None:
    """List the series and where they stand, the oldest first.

    Works whether the node runs or not.
    """
    config = read_config(config_file)
    folder = config.data_folder / "series"
    rows = [summary(record, folder / record.key) for record in read_series(config)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        for row in rows:
            click.echo("\n".join(_lines(row)))
        click.echo(f"{len(rows)} series")


def summary(record: SeriesRecord, folder: Path) -> dict[str, Any]:
    """Return what is shown of a series.

    Parameters
    ----------
    record : SeriesRecord
    folder : Path
        Of the series; its images are counted there.
    """
    times = [path.stat().st_mtime for path in (folder / IMAGES).iterdir()]
    latest = record.latest
    shown = None if record.state is State.RECEIVING else latest
    return {
        "series": record.series_uid,
        "state": record.state,
        "code": shown.code if shown else "",
        "reason": shown.reason if shown else "",
        "quality": shown.quality if shown else "",
        "evidence": shown.evidence if shown else "",
        "missing": shown.missing if shown else "",
        "suitability": shown.suitability if shown else "",
        "images": len(times),
        "generation": latest.number if latest else 0,
        "calling_ae": record.calling_ae,
        "age_s": round(time.time() - max([*times, record.first_received]), 1),
        "deliveries": {
            name: _delivery(item) for name, item in (latest.deliveries if latest else {}).items()
        },
        "timings_s": shown.timings_s if shown else {},
    }


def _delivery(item: DeliveryRecord) -> dict[str, Any]:
    return {
        "state": item.state,
        "attempts": item.attempts,
        "next_attempt_s": (
            None if item.next_attempt is None else round(item.next_attempt - time.time(), 1)
        ),
        "code": item.code,
        "reason": item.reason,
        "statuses": {name: f"0x{code:04X}" for name, code in item.statuses.items()},
        "refused": {
            name: f"0x{code:04X} {meaning_of(code).text}"
            for name, code in item.statuses.items()
            if not is_stored(code)
        },
        "commitment": _commitment(item.commitment),
    }


def _commitment(item: Commitment | None) -> dict[str, Any] | None:
    return None if item is None else {"state": item.state, "attempts": item.attempts}


def _lines(row: dict[str, Any]) -> list[str]:
    """Describe a series: its whole UID, which other commands ask for, how it stands, and why."""
    delivered = [_destination(name, item) for name, item in row["deliveries"].items()]
    count = row["images"]
    parts = [
        f"{count} image{'' if count == 1 else 's'}",
        f"{duration(row['age_s'])} ago",
        f"from {row['calling_ae']}",
        f"quality {row['quality']}" if row["quality"] else "",
        f"to {', '.join(delivered)}" if delivered else "",
    ]
    head = f"{row['state']:<10} {row['series'] or '-'}"
    told = [", ".join(part for part in parts if part), *_why(row)]
    return [head, *(f"{'':<10} {text}" for text in told)]


def _destination(name: str, item: dict[str, Any]) -> str:
    """Say where results stand at a destination; committed is more than delivered."""
    commitment = item["commitment"]
    return f"{name} {item['state']}" + (f" {commitment['state']}" if commitment else "")


def _why(row: dict[str, Any]) -> list[str]:
    """Say what a person may want to act upon, one thing a line."""
    lines = [": ".join(part for part in (row["code"], row["reason"]) if part)]
    if row["missing"]:
        lines.append(f"missing: {row['missing']}")
    for name, item in row["deliveries"].items():
        lines.append(item["reason"])
        lines += [f"{name} refused {file}: {text}" for file, text in item["refused"].items()]
    return [line for line in lines if line]
