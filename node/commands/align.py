"""``aspects-node align``: the paper's alignment network beside the direct optimiser."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Table

from node.commands.shared import fail
from node.evaluation.errors import CaseError
from node.evaluation.nifti import nifti_datasets
from pipeline.alignment.evaluate import Finder, follow
from pipeline.alignment.infer import WEIGHTS, Aligner, load_aligner, load_alignment, look
from pipeline.alignment.train import Recipe, save, train
from pipeline.arrays import HuArray
from pipeline.brain import extract_brain
from pipeline.localizer.data import SAME_PATIENT, fold_of
from pipeline.midline import optimised
from pipeline.series import load_series
from pipeline.volume import to_volume

_FOLD: Final = 0
"""The fold of patients that the shipped network never saw."""
_ENDING: Final = ".nii.gz"
_data_option = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of heads, one NIfTI file each; no labels are needed.",
)


@click.group()
def align() -> None:
    """Train and check the network that finds the mid-sagittal plane."""


@align.command("train")
@_data_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The weights."
)
@click.option("--epochs", type=click.IntRange(1), default=Recipe().epochs, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_network(data: Path, out: Path, epochs: int, seed: int) -> None:
    """Train on all heads but those of the first fold; a few minutes on one core."""
    torch.set_num_threads(1)
    heads = _heads(data, validation=False)
    recipe = Recipe(epochs=epochs, seed=seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("epochs", total=epochs)

        def tell(epoch: int, loss_hu: float) -> None:
            progress.update(task, completed=epoch, description=f"loss {loss_hu:.2f} HU")

        net = train([slab for _, slab in heads], recipe, tell)
    save(net, out, recipe, [name for name, _ in heads])
    click.echo(f"{len(heads)} heads, {epochs} epochs: {out}")


@align.command("evaluate")
@_data_option
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=WEIGHTS,
    help="Of the network; by default those that come with it.",
)
def evaluate_network(data: Path, weights: Path) -> None:
    """Turn the heads of the first fold by known amounts; compare the methods.

    "both", the direct optimiser begun where the network points, is what runs.

    Prints a table; the last line is one JSON object with the same numbers.
    """
    torch.set_num_threads(1)
    slabs = [slab for _, slab in _heads(data, validation=True)]
    aligner = load_aligner() if weights == WEIGHTS else Aligner(net=load_alignment(weights))
    methods: dict[str, Finder] = {
        "direct": optimised,
        "network": aligner.exact,
        "both": lambda slab: optimised(slab, start=aligner(slab)),
    }
    table = Table("method", "heads", "degrees", "p95", "mm", "p95", "left HU", "seconds")
    report: dict[str, dict[str, float]] = {}
    for name, find in methods.items():
        for kind, lesions in (("as scanned", False), ("one-sided lesion", True)):
            start = time.process_time()
            found = asdict(follow(find, slabs, lesions=lesions))
            found["seconds"] = (time.process_time() - start) / (len(slabs) + found["cases"])
            report[f"{name}, {kind}"] = {key: round(value, 4) for key, value in found.items()}
            shown = ("degrees", "degrees_p95", "mm", "mm_p95", "asymmetry_hu", "seconds")
            table.add_row(name, kind, *(f"{found[key]:.3g}" for key in shown))
    Console().print(table)
    click.echo(json.dumps(report))


def _heads(data: Path, *, validation: bool) -> Sequence[tuple[str, HuArray]]:
    """Read what the network sees of each head, of the first fold or of all others."""
    names = sorted(path.name.removesuffix(_ENDING) for path in data.glob(f"*{_ENDING}"))
    patients = {name: SAME_PATIENT.get(name, name) for name in names}
    folds = fold_of(list(patients.values()))
    chosen = [name for name in names if (folds[patients[name]] == _FOLD) is validation]
    if not chosen:
        fail(f"error: there are no heads in {data}")
    return [
        (patients[name], _slab(data / f"{name}{_ENDING}"))
        for name in track(chosen, description="heads", console=Console(stderr=True))
    ]


def _slab(path: Path) -> HuArray:
    try:
        volume = to_volume(load_series(nifti_datasets(path)))
    except CaseError as error:
        fail(f"error: {error}")
    return look(volume, extract_brain(volume))[0]
