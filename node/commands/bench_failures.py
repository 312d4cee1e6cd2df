"""``aspects-node bench failures``: spoil heads on purpose and see whether it is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from atlases.read import load_atlas_set
from node.commands.method_options import atlas_at, bench_atlas_options
from node.evaluation.failures import Outcome, judge_heads, thresholds
from pipeline.alignment.infer import load_aligner
from pipeline.injected_failure import Failure
from pipeline.localizer.data import read_heads
from pipeline.localizer.infer import load_localizer
from pipeline.run import Tools


@click.command()
@click.option(
    "--heads",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of labelled heads: levels.csv and one NIfTI file each.",
)
@bench_atlas_options
@click.option("--every", type=click.IntRange(1), default=1, help="Take every nth head.")
@click.option("--seed", type=int, default=0, show_default=True)
def failures(heads: Path, atlas: str, data: Path | None, every: int, seed: int) -> None:
    """Spoil heads in eight ways and count how often the result says so.

    Heads that are not fit as they are (haemorrhage, craniectomy, infants) are
    left out. Noticed is what is rejected, fails, or carries a warning about the
    mapping. The last line is one JSON object.
    """
    unfit = {"ich", "large_ich", "craniectomy", "infant", "midline_shift", "motion"}
    fit = [head for head in read_heads(heads) if not unfit & set(head.flags)][::every]
    tools = Tools(
        atlases=load_atlas_set(atlas_at(atlas, data)),
        localizer=load_localizer(),
        aligner=load_aligner(),
    )
    outcomes = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("heads", total=len(fit) * (1 + len(Failure)))
        for outcome in judge_heads(fit, heads, tools, seed):
            outcomes.append(outcome)
            progress.advance(task)
    console = Console(width=120)
    console.print(_counts(outcomes))
    console.print(_roc(outcomes))
    for outcome in outcomes:
        if outcome.noticed is (outcome.failure is None):
            codes = ", ".join(outcome.reasons)
            console.print(f"{outcome.head} {outcome.failure or 'as it is'}: {codes or 'unnoticed'}")
    click.echo(json.dumps(_report(outcomes, len(fit), seed)))


def _of(outcomes: Sequence[Outcome], failure: Failure | None) -> list[Outcome]:
    return [item for item in outcomes if item.failure is failure]


def _spoilt(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [item for item in outcomes if item.failure is not None]


def _share(outcomes: Sequence[Outcome], test: Callable[[Outcome], bool]) -> float:
    return round(sum(map(test, outcomes)) / len(outcomes), 4)


def _report(outcomes: Sequence[Outcome], heads: int, seed: int) -> dict[str, object]:
    return {
        "heads": heads,
        "seed": seed,
        "sensitivity": _share(_spoilt(outcomes), lambda item: item.noticed),
        "false_alarms": _share(_of(outcomes, None), lambda item: item.noticed),
        "by_failure": {
            str(failure): _share(_of(outcomes, failure), lambda item: item.noticed)
            for failure in Failure
        },
    }


def _counts(outcomes: Sequence[Outcome]) -> Table:
    table = Table("failure", "n", "rejected", "fail", "warn", "noticed", title="Injected failures")
    for failure in (None, *Failure):
        items = _of(outcomes, failure)
        counts = [
            sum(item.verdict == verdict for item in items)
            for verdict in ("rejected", "fail", "warn")
        ]
        noticed = sum(item.noticed for item in items)
        table.add_row(str(failure or "none"), *map(str, (len(items), *counts, noticed)))
    return table


def _roc(outcomes: Sequence[Outcome]) -> Table:
    """Tabulate what other thresholds of the correlation would have noticed."""
    table = Table("correlation under", "sensitivity", "false alarms", title="ROC")
    for threshold in thresholds():
        shares = [
            _share(items, methodcaller("noticed_by_ncc", threshold))
            for items in (_spoilt(outcomes), _of(outcomes, None))
        ]
        table.add_row(f"{threshold:.2f}", *(f"{share:.3f}" for share in shares))
    return table
