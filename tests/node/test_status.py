"""What the status says of a series."""

from __future__ import annotations

from pathlib import Path

from node.commands.status import _lines, summary
from node.state import Commitment, CommitState, DeliveryRecord, Generation, SeriesRecord, State


def test_status_shows_evidence_refusals_and_commitment(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.dcm").write_bytes(b"")
    delivery = DeliveryRecord(
        since=0.0,
        attempts=3,
        code="store-refused",
        reason="pacs refused sr.dcm",
        statuses={"seg.dcm": 0xB000, "sr.dcm": 0xA700},
        commitment=Commitment(transaction="1.2", state=CommitState.ASKED, attempts=2),
    )
    generation = Generation(
        number=1, images=["a.dcm"], complete=1.0, last_received=1.0, state=State.DELIVERING,
        evidence="short", missing="the sender holds 3 images, 2 came",
        suitability="score 0.7 (sharp kernel)", deliveries={"pacs": delivery},
    )  # fmt: skip
    record = SeriesRecord(
        key="k", series_uid="1.2.3", calling_ae="CT1", first_received=0.0, last_received=1.0,
        receiving=False, generations=[generation],
    )  # fmt: skip
    row = summary(record, tmp_path)
    assert (row["evidence"], row["missing"]) == ("short", "the sender holds 3 images, 2 came")
    assert row["suitability"] == "score 0.7 (sharp kernel)"
    found = row["deliveries"]["pacs"]
    assert found["refused"] == {"sr.dcm": "0xA700 Out of resources"}
    assert found["commitment"] == {"state": "ASKED", "attempts": 2}

    text = "\n".join(_lines(row))
    for part in (
        "DELIVERING 1.2.3\n",
        "1 image, ",
        "from CT1, to pacs WAITING ASKED",
        "missing: the sender holds 3 images, 2 came",
        "pacs refused sr.dcm: 0xA700 Out of resources",
    ):
        assert part in text
