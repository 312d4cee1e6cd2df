"""``aspects-node localizer``: train and check the network that finds the levels."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from node.commands.shared import fail
from pipeline.alignment.infer import load_aligner
from pipeline.localizer.data import FOLDS, LabelledHead, fold_of, read_heads
from pipeline.localizer.evaluate import (
    LEVELS,
    Finding,
    Summary,
    assess,
    between_readers,
    rescan,
    summarise,
)
from pipeline.localizer.infer import WEIGHTS, Localizer, load_localizer
from pipeline.localizer.net import ENCODERS
from pipeline.localizer.simulate import Scan
from pipeline.localizer.train import Recipe, Trainer
from pipeline.model_card import WeightsError

_ALL: Final = "all"
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_folder = click.Path(file_okay=False, path_type=Path)
_data_option = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of labelled heads: levels.csv and one NIfTI file each.",
)
_encoder_option = click.option(
    "--encoder", type=click.Choice(sorted(ENCODERS)), default="resnet10", show_default=True
)


def _compute_on(context: click.Context, option: click.Parameter, threads: int) -> None:
    """Set the threads, and let the C library keep freed memory.

    Large buffers that go back to the kernel after every operation cost more
    time than the arithmetic on them.
    """
    del context, option
    torch.set_num_threads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    callback=_compute_on,
    expose_value=False,
    help="CPU threads.",
)


@click.group()
def localizer() -> None:
    """Train and check the network that finds the two levels."""


@localizer.command("train")
@_data_option
@_encoder_option
@_threads_option
@click.option("--out", type=_folder, required=True, help="Folder for weights and checkpoints.")
@click.option(
    "--fold",
    type=click.Choice([*map(str, range(FOLDS)), _ALL, "each"]),
    default=_ALL,
    show_default=True,
    help="Fold to leave out; 'each' trains every fold in turn, 'all' leaves none out.",
)
@click.option("--epochs", type=click.IntRange(1), default=Recipe().epochs, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--cut-mix",
    type=click.FloatRange(0, 1),
    default=Recipe().cut_mix,
    show_default=True,
    help="Share of the series that hold a box of another head.",
)
@click.option("--batch", type=click.IntRange(1), default=Recipe().batch, show_default=True)
@click.option(
    "--half-epochs",
    type=click.IntRange(0),
    default=Recipe().half_epochs,
    show_default=True,
    help="First epochs, with half as many rows and columns.",
)
@click.option(
    "--longest",
    type=click.IntRange(0),
    default=Recipe().longest,
    show_default=True,
    help="Cut series to so many slices about the ganglionic level; 0: whole.",
)
def train(data: Path, out: Path, fold: str, **recipe: Any) -> None:
    """Train on labelled heads; goes on where it was stopped.

    Runs on a GPU where there is one. The weights are written in half precision
    as ENCODER-FOLD-sSEED.safetensors; list them with their SHA-256 in the model
    card before they are used.
    """
    out.mkdir(parents=True, exist_ok=True)
    heads = read_heads(data)
    for name in [*map(str, range(FOLDS))] if fold == "each" else [fold]:
        _train_one(Recipe(**recipe), heads, name, out)


def _train_one(recipe: Recipe, heads: Sequence[LabelledHead], fold: str, out: Path) -> None:
    folds = fold_of([head.patient for head in heads])
    chosen = [head for head in heads if str(folds[head.patient]) != fold]
    name = f"{recipe.encoder}-{fold}-s{recipe.seed}"
    trainer = Trainer(recipe, chosen, "cuda" if torch.cuda.is_available() else "cpu")
    with _progress() as progress:
        task = progress.add_task(name, total=recipe.epochs, detail="")
        trainer.run(
            out / f"{name}.checkpoint",
            lambda epoch, loss: progress.update(task, completed=epoch, detail=f"loss {loss:.3f}"),
        )
    trainer.export(out / f"{name}.safetensors", fold=fold)
    click.echo(f"{name}: {len(chosen)} heads, {recipe.epochs} epochs")


@localizer.command("evaluate")
@_data_option
@_encoder_option
@_threads_option
@click.option("--weights", type=_folder, default=WEIGHTS, help="Folder with a model card.")
@click.option("--simulated/--acquired", default=True, help="Simulated scans too, or not.")
@click.option("--misses", is_flag=True, help="List the heads that were missed.")
def evaluate(data: Path, encoder: str, weights: Path, simulated: bool, misses: bool) -> None:
    """Cross-validate: each head is read by networks that never saw its patient.

    A patient of whom no network has learned is read by all of them together, as
    at run time. What the node finds by network and ventricles comes first, then
    what the network finds alone. The midline begins at the alignment network,
    which learned from most of these heads, too, but without any label.

    Prints a table; the last line is one JSON object with the same numbers.
    """
    heads = read_heads(data)
    try:
        findings = _cross_validate(heads, weights, encoder, tuple(Scan) if simulated else ())
    except WeightsError as error:
        fail(f"error [{error.code}]: {error}")
    findings |= between_readers(heads)
    summaries = {
        name: [summarise(items, level) for level in range(len(LEVELS))]
        for name, items in findings.items()
    }
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(_table(summaries))
    if misses:
        _print_misses(console, findings["acquired"])
    report = {
        name: dict(zip(LEVELS, map(asdict, rows), strict=True)) for name, rows in summaries.items()
    }
    click.echo(json.dumps({"encoder": encoder, "heads": len(heads)} | report))


def _cross_validate(
    heads: Sequence[LabelledHead], weights: Path, encoder: str, scans: Sequence[Scan]
) -> dict[str, list[Finding]]:
    judges = [load_localizer(weights, encoder)]
    judges += [load_localizer(weights, encoder, fold) for fold in range(FOLDS)]
    findings: dict[str, list[Finding]] = {name: [] for name in ("acquired", *scans)}
    alone: dict[str, list[Finding]] = {f"{name}, network": [] for name in findings}
    guess = load_aligner()
    with _progress() as progress:
        task = progress.add_task("heads", total=len(heads), detail="")
        for head in heads:
            judge = _judge_of(head, judges)
            series = {"acquired": head} | {str(scan): rescan(head, scan) for scan in scans}
            for name, one in series.items():
                assessed = assess(judge, one, guess)
                findings[name].append(assessed.together)
                alone[f"{name}, network"].append(assessed.network)
            progress.update(task, advance=1, detail=head.name)
    return findings | alone


def _judge_of(head: LabelledHead, judges: Sequence[Localizer]) -> Localizer:
    """Return the first who has not learned from this patient."""
    for judge in judges:
        if head.patient not in judge.trained_on:
            return judge
    raise WeightsError(f"every network has learned from head {head.name}")


def _table(summaries: dict[str, list[Summary]]) -> Table:
    columns = ("exact", "95 %", "within one", "95 %", "within 5 mm", "IS-RDE mm", "signed mm")
    table = Table("series", "level", *(Column(name, justify="right") for name in ("n", *columns)))
    for name, rows in summaries.items():
        for level, row in zip(LEVELS, rows, strict=True):
            table.add_row(
                name,
                level,
                str(row.heads),
                f"{row.exact:.1%}",
                _interval(row.exact_interval),
                f"{row.within_one:.1%}",
                _interval(row.within_one_interval),
                f"{row.within_5_mm:.1%}",
                f"{row.is_rde_mm:.2f}",
                f"{row.signed_mm:+.2f}",
            )
    return table


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.0%}–{bounds[1]:.0%}"


def _print_misses(console: Console, findings: Sequence[Finding]) -> None:
    for item in findings:
        for level, name in enumerate(LEVELS):
            if item.found[level] != item.truth[level]:
                console.print(
                    f"{item.name} {name}: slice {item.found[level]}, labelled {item.truth[level]}, "
                    f"margin {item.margin[level]:.2f}"
                )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
        console=Console(stderr=True),
    )
