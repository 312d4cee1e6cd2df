"""The tables of the conformance statement say what the code does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node import presentation
from node.objects import OBJECT_NAMES
from node.status import StoreStatus
from pipeline.encode import codes
from pipeline.encode.codes import Concept
from pipeline.encode.common import EncodeSettings
from pipeline.provenance import PIPELINE_VERSION
from pipeline.quality import Verdict
from pipeline.regions import LEFT_OFFSET, REGION_SIDES, Side
from tests.peers import REPOSITORY

STATEMENT = (REPOSITORY / "deploy/CONFORMANCE.md").read_text(encoding="utf-8")


def table(first: str) -> list[list[str]]:
    """Return the rows of the table whose first header is `first`, without code marks."""
    found: list[list[str]] = []
    is_inside = False
    for line in STATEMENT.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            is_inside = False
        elif cells[0] == first:
            assert not found, f"two tables begin with {first}"
            is_inside = True
        elif is_inside and not line.startswith("|---"):
            found.append(cells)
    assert found, f"no table begins with {first}"
    return found


@pytest.mark.parametrize(
    ("first", "uids"),
    [
        ("accepted SOP class", presentation.STORAGE_CLASSES),
        ("accepted transfer syntax", presentation.TRANSFER_SYNTAXES),
        ("sent SOP class", tuple(sorted(presentation.RESULT_CLASSES))),
        ("proposed transfer syntax", presentation.SENT_TRANSFER_SYNTAXES),
    ],
)
def test_contexts_are_those_of_the_code(first: str, uids: tuple[str, ...]) -> None:
    assert [row[1] for row in table(first)] == list(uids)


def test_answers_are_those_of_the_code() -> None:
    assert [int(row[0], 16) for row in table("answer to C-STORE")] == list(StoreStatus)


def test_objects_and_series_numbers_are_those_of_the_code() -> None:
    settings = EncodeSettings()
    numbers = {
        "seg": settings.seg_series_number,
        "labelmap": settings.seg_series_number,
        "sr": settings.sr_series_number,
        "sc": settings.sc_series_number,
        "gsps": settings.gsps_series_number,
        "ko": settings.ko_series_number,
        "pdf": settings.pdf_series_number,
        "tissue-seg": settings.tissue_series_number,
        "note": settings.note_series_number,
    }
    rows = table("object")
    assert {row[0]: int(row[1]) for row in rows} == numbers
    assert {row[0] for row in rows} == set(OBJECT_NAMES)
    sent = {row[0] for row in table("sent SOP class")}
    assert {name for row in rows for name in row[3].split(", ")} == sent


def test_segments_are_those_of_the_code() -> None:
    said = table("segment numbers")
    right = [item for item in REGION_SIDES if item.side is Side.RIGHT]
    assert said == [
        [
            f"{item.number}, {item.number + LEFT_OFFSET}",
            f"{item.region}: {item.title}",
            codes.region_type(item).value,
            codes.region_type(item).scheme,
            codes.region_category(item).meaning,
        ]
        for item in right
    ]


def private_codes() -> Iterator[Concept]:
    yield from (item for item in vars(codes).values() if isinstance(item, Concept))
    yield from (codes.region_type(item) for item in REGION_SIDES)
    yield from (codes.verdict(verdict) for verdict in Verdict)


def test_private_codes_are_those_of_the_code() -> None:
    found = {
        item.value: item.meaning for item in private_codes() if item.scheme == codes.PRIVATE_SCHEME
    }
    assert {row[0]: row[1] for row in table("private code")} == found
    assert f"`{codes.PRIVATE_SCHEME}`, UID `{codes.PRIVATE_SCHEME_UID}`" in STATEMENT


def test_version_is_that_of_the_code() -> None:
    assert f"Of aspects-node {PIPELINE_VERSION}." in STATEMENT
