"""The JSON document holds plain values, every number, and nobody's name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from pipeline.encode.result_json import rejection_document, result_document
from tests.pipeline.encode.builders import (
    ct_series,
    levels,
    measurements,
    provenance,
    quality,
    region_map,
)


def test_done() -> None:
    series = ct_series()
    judged = replace(quality(), numbers={"ncc": float(np.float32(0.5)), "lost": float("nan")})
    document = result_document(
        series,
        levels(series),
        measurements(region_map(series, without=(3,))),
        judged,
        provenance(),
        {"levels": np.float64(0.25)},
    )
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    assert document["status"] == "done"
    ganglionic = document["levels"]["ganglionic"]
    assert ganglionic == {
        "index": 5,
        "sop_instance_uid": series.sop_instance_uids[5],
        "runner_up_index": 6,
        "margin": 0.25,
        "position_mm": [-15.5, -22.25, 25.0],
    }
    assert document["levels"]["distance_mm"] == 20.0
    regions = document["regions"]
    assert [item["number"] for item in regions] == list(range(1, 21))
    assert (regions[14]["region"], regions[14]["side"]) == ("M1", "L")
    assert (regions[14]["level"], regions[14]["n"]) == ("ganglionic", 36)
    assert (regions[14]["hu_median"], regions[14]["difference_hu"]) == (35.0, -1.25)
    assert (regions[2]["n"], regions[2]["hu_mean"], regions[2]["ratio"]) == (0, None, None)
    assert document["quality"]["verdict"] == "warn"
    assert document["quality"]["numbers"] == {"ncc": 0.5, "lost": None}
    assert document["provenance"]["atlas_sha256"] == "cd" * 32
    for secret in ("Müller", "PID-1", "19600101", "A4711", "M\\u00fcller"):
        assert secret not in text
    assert "score" not in text


def test_slice_chosen_by_a_person_has_no_runner_up() -> None:
    series = ct_series()
    chosen = levels(series)
    chosen = replace(chosen, ganglionic=replace(chosen.ganglionic, runner_up_index=None))
    document = result_document(series, chosen, [], quality(), provenance(), {})
    assert document["levels"]["ganglionic"]["runner_up_index"] is None


def test_rejected() -> None:
    assert rejection_document("coverage", "The scan ends too low.", "1.2.3") == {
        "status": "rejected",
        "series_instance_uid": "1.2.3",
        "code": "coverage",
        "reason": "The scan ends too low.",
    }
