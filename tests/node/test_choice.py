"""Which series of a study is computed, in which order, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydicom import dcmread

from node.chooser import Chooser
from node.config import NodeConfig, make_config
from node.series_rules import SeriesFacts, SeriesRule, Use, judge
from node.state import Generation, Ledger, SeriesRecord, State, now_s, series_key
from tests.node.conftest import Site
from tests.node.double import HANG
from tests.node.series import write_series
from tests.peers import storescu

GOOD = SeriesFacts(images=30, thickness_mm=5.0, kernel="H31s", normal_z=1.0)
STUDY = "1.2.3.4"


@pytest.mark.parametrize(
    ("more", "score", "doubt"),
    [
        ({}, 1.0, None),
        ({"kernel": "BONEPLUS"}, 0.7, "sharp kernel"),
        ({"thickness_mm": 0.6}, 0.9, "thin slices"),
        ({"thickness_mm": 10.0}, 0.7, "slices thicker than 8 mm"),
        ({"missing": "slices cover 30 mm"}, 0.7, "slices cover 30 mm"),
        ({"agent": "IOMERON"}, 0.4, "contrast agent"),
        ({"agent": "none"}, 1.0, None),
        ({"images": 2}, 0.4, "a localizer, or few images"),
        ({"image_type": "ORIGINAL\\PRIMARY\\LOCALIZER"}, 0.4, "a localizer, or few images"),
        ({"image_type": "DERIVED\\SECONDARY"}, 0.7, "derived images"),
        ({"normal_z": 0.0}, 0.4, "slices that are not axial"),
        ({"normal_z": None, "thickness_mm": None}, 1.0, None),
    ],
)
def test_header_says_how_well_a_series_suits(
    more: dict[str, Any], score: float, doubt: str | None
) -> None:
    values = {name: getattr(GOOD, name) for name in SeriesFacts.__slots__}
    found = judge(SeriesFacts(**{**values, **more}), [])
    assert found.score == score
    assert found.doubts == (() if doubt is None else (doubt,))
    assert found.use is Use.ALLOW


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"calling_ae": "CT*"}, True),
        ({"calling_ae": "MR*"}, False),
        ({"description": "stroke.*head"}, True),
        ({"description": "^head"}, False),
        ({"kernel": "bone", "description": "head"}, False),
        ({"min_thickness_mm": 4, "max_thickness_mm": 6}, True),
        ({"max_thickness_mm": 1}, False),
        ({"min_images": 31}, False),
        ({"image_type": "axial"}, True),
    ],
)
def test_rule_holds_where_all_its_conditions_do(conditions: dict[str, Any], holds: bool) -> None:
    facts = SeriesFacts(
        calling_ae="CT1",
        images=30,
        description="Stroke: HEAD 5mm",
        thickness_mm=5.0,
        image_type="ORIGINAL\\PRIMARY\\AXIAL",
    )
    rules = [SeriesRule(name="first", use=Use.NEVER, urgent=True, **conditions)]
    found = judge(facts, [*rules, SeriesRule(name="second")])
    assert (found.use is Use.NEVER, found.urgent) == (holds, holds)
    assert found.rule == ("first" if holds else "second")


def test_rule_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValidationError, match="no regular expression"):
        SeriesRule(name="x", description="(")


class Desk:
    """A chooser, and what it submits."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "series")
        self.submitted: list[str] = []
        self.config = NodeConfig(**config)
        self.chooser = self.make()

    def make(self) -> Chooser:
        return Chooser(self.config, self.ledger, lambda key, _: self.submitted.append(key))

    def receive(self, name: str, *, study: str = STUDY) -> str:
        """Begin to receive a series."""
        key = series_key(name)
        self.ledger.add(
            SeriesRecord(
                key=key, series_uid=name, study_uid=study, calling_ae="CT1",
                sop_classes=["1.2.840.10008.5.1.4.1.1.2"],
                first_received=now_s(), last_received=now_s(),
            )
        )  # fmt: skip
        return key

    def complete(self, name: str, *, study: str = STUDY, **header: Any) -> str:
        """Receive a whole series."""
        key = self.receive(name, study=study) if self.ledger.get(series_key(name)) is None else ""
        key = key or series_key(name)
        values = {"SliceThickness": 5, "ConvolutionKernel": "H31s", **header}
        _, files = write_series(self.folder / "sent", name, 12, size=4, **values)
        for path in files:
            path.rename(self.ledger.images(key) / path.name)
        with self.ledger.change(key) as record:
            record.receiving = False
            record.generations.append(
                Generation(
                    number=1, images=[path.name for path in files], complete=now_s(),
                    last_received=now_s(),
                )
            )  # fmt: skip
        self.chooser.offer(key, 1)
        return key

    def end(self, key: str, state: State) -> None:
        with self.ledger.change(key) as record:
            record.generation(1).state = state

    def row(self, key: str) -> Generation:
        record = self.ledger.get(key)
        assert record is not None
        return record.generation(1)


BONE: dict[str, Any] = {"ConvolutionKernel": "BONE", "SliceThickness": 10}


def test_good_series_is_computed_at_once_and_the_others_say_why_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.receive("coming")
    soft = desk.complete("soft")
    assert desk.submitted == [soft]
    for state in (State.QUEUED, State.COMPUTING, State.DONE):
        desk.end(soft, state)
        bone = desk.complete(f"bone-{state}", **BONE)
        assert desk.row(bone).state is State.IGNORED
        assert desk.row(bone).code == "other-series"
        assert desk.row(bone).reason == (
            "series soft of the study was chosen: score 1.0; this one: score 0.4 "
            "(sharp kernel; slices thicker than 8 mm)"
        )
    assert desk.submitted == [soft]
    other = desk.complete("another study", study="1.9", **BONE)
    assert desk.submitted == [soft, other]


def test_doubtful_series_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    soft = desk.receive("soft")
    bone = desk.complete("bone", **BONE)
    desk.chooser.look()
    assert desk.submitted == []
    desk.complete("soft")
    assert desk.submitted == [soft]
    assert desk.row(bone).state is State.IGNORED


def test_doubtful_series_is_computed_when_nothing_better_came(tmp_path: Path) -> None:
    desk = Desk(tmp_path, study_wait_s=0.0)
    desk.receive("never ends")
    bone = desk.complete("bone", **BONE)
    desk.chooser.look()
    assert desk.submitted == [bone]


def test_better_series_takes_the_place_of_one_that_waits_and_supersedes_one_at_work(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    bone = desk.complete("bone", **BONE)
    thin = desk.complete("thin", SliceThickness=0.6)
    assert desk.submitted == [bone, thin]
    assert desk.row(bone).state is State.IGNORED, "it had not begun"
    desk.end(thin, State.COMPUTING)
    soft = desk.complete("soft")
    assert desk.submitted == [bone, thin, soft]
    assert desk.row(thin).state is State.COMPUTING
    assert desk.row(soft).replaces == thin


@pytest.mark.parametrize("state", [State.REJECTED, State.FAILED])
def test_next_best_is_computed_where_the_chosen_one_comes_to_nothing(
    state: State, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    soft = desk.complete("soft")
    bone = desk.complete("bone", **BONE)
    thin = desk.complete("thin", SliceThickness=0.6)
    desk.end(soft, state)
    desk.chooser.look()
    assert desk.submitted == [soft, thin]
    # after a restart, too
    desk.end(thin, state)
    desk.chooser = desk.make()
    desk.chooser.look()
    assert desk.submitted == [soft, thin, bone]


def test_rules_exclude_and_prefer(tmp_path: Path) -> None:
    rules = (
        SeriesRule(name="no-bone", kernel="bone", use=Use.NEVER),
        SeriesRule(name="ours", description="aspects", use=Use.PREFER),
    )
    desk = Desk(tmp_path, series_rules=rules)
    bone = desk.complete("bone", **BONE)
    assert (desk.row(bone).code, desk.row(bone).reason) == ("rule", "rule no-bone excludes it")
    soft = desk.complete("soft")
    desk.end(soft, State.DONE)
    ours = desk.complete("ours", SliceThickness=10, SeriesDescription="ASPECTS 10mm")
    assert desk.submitted == [soft, ours]
    assert desk.row(ours).suitability == "rule ours, score 0.7 (slices thicker than 8 mm)"


def test_all_series_are_computed_where_that_is_wanted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, results_per_study="all")
    assert desk.submitted == [desk.complete("soft"), desk.complete("bone", **BONE)]


def test_series_of_one_study_through_the_node(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = make_site(
        series_rules=[{"name": "stroke", "protocol": "STROKE", "urgent": True}],
        compute_time_limit_s=5.0,
        compute_attempts=1,
    )
    node = site.node
    # one that occupies the worker, a routine one, then an urgent one
    _, files = write_series(tmp_path, "slow", 12, protocol=HANG)
    storescu(node.port, files)
    node.wait_for_event("chosen")
    routine, files = write_series(tmp_path, "routine", 12)
    storescu(node.port, files)
    node.wait_for_event("chosen", series=routine)
    urgent, files = write_series(tmp_path, "urgent", 12, protocol="STROKE HEAD")
    storescu(node.port, files)
    node.wait_for_event("chosen", series=urgent)
    # of its study another series, with a sharp kernel
    study = str(dcmread(files[0]).StudyInstanceUID)
    more: dict[str, Any] = {"StudyInstanceUID": study, "ConvolutionKernel": "BONE"}
    other, files = write_series(tmp_path, "bone", 12, **more)
    storescu(node.port, files)
    row = node.wait_for_state(other, "IGNORED")
    assert row["code"] == "other-series"
    assert urgent in row["reason"]
    node.wait_for_state(routine, "DONE")
    order = [line["series"] for line in node.events("computed")]
    assert order == [urgent, routine]
    # a person may want it all the same
    assert node.run("reprocess", other).returncode == 0
    node.wait_for_state(other, "DONE")


def test_configuration_names_the_rule_that_is_wrong() -> None:
    with pytest.raises(Exception, match=r"series_rules\.0\.kernel"):
        make_config({"series_rules": [{"name": "x", "kernel": "["}]}, Path("node.toml"))
