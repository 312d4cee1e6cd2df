"""Write the numbers as CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from node.evaluation.cases import COLUMNS, TABLE
from node.evaluation.measure import FOLDERS, Measured
from node.evaluation.summary import Summary, document
from pipeline.regions import Level

_DIGITS: Final = 6


def write_tables(out: Path, measured: Sequence[Measured], summary: Summary) -> None:
    """Write ``regions.csv``, ``levels.csv`` and ``cases.csv``: a row for each single finding."""
    _write(out / "regions.csv", _region_records(measured))
    _write(out / "levels.csv", _level_records(measured))
    _write(out / "cases.csv", _case_records(measured, summary.methods))


def write_summary(path: Path, summary: Summary, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write every table as one JSON object, and return it."""
    content: dict[str, Any] = {"settings": document(settings), **document(summary)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return content


def write_map_slices(maps: Path, measured: Sequence[Measured]) -> None:
    """Write the slices of the maps that are kept, where `Predictions` looks for them."""
    for method, name in FOLDERS.items():
        folder = maps / name
        if not folder.is_dir():
            continue
        records = []
        for one in measured:
            if method in one.slices:
                slices = {column: one.slices[method][level] for level, column in COLUMNS.items()}
                records.append({"pid": one.case.name, **slices})
        _write(folder / TABLE, records)


def _region_records(measured: Sequence[Measured]) -> Iterable[dict[str, Any]]:
    for one in measured:
        for item in one.comparisons:
            score = {**asdict(item.score), "side": item.score.side or "both"}
            yield {"case": item.case, "reader": item.reader, "against": item.against, **score}


def _level_records(measured: Sequence[Measured]) -> Iterable[dict[str, Any]]:
    for one in measured:
        for reader, finding in one.levels.items():
            for place, level in enumerate(Level):
                yield {
                    "case": one.case.name,
                    "reader": reader,
                    "level": level,
                    "slice": finding.found[place],
                    "true_slice": finding.truth[place],
                    "error_mm": finding.error_mm[place],
                }


def _case_records(measured: Sequence[Measured], methods: Sequence[str]) -> Iterable[dict[str, Any]]:
    for one in measured:
        for method in methods:
            verdict, reasons = one.verdicts.get(method, ("", ()))
            yield {
                "case": one.case.name,
                "age": one.case.years,
                "group": one.case.group,
                "method": method,
                "rejected": one.refused.get(method, ""),
                "verdict": verdict,
                "reasons": " ".join(reasons),
                "atlas": one.atlas,
            }


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    rows = list(records)
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else ""
    return "" if value is None else value
