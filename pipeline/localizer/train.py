"""Train ASPECTSLoc-Net on labelled heads, scanned anew in every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from pipeline.arrays import FloatArray
from pipeline.localizer.appearance import cut_mix, vary
from pipeline.localizer.data import LabelledHead
from pipeline.localizer.frames import cut_out, head_box
from pipeline.localizer.net import (
    DISTANCE_LIMIT_MM,
    DISTANCE_SCALE_MM,
    ENCODERS,
    AspectsLocNet,
    build,
    step_sizes,
    windowed,
)
from pipeline.localizer.simulate import (
    Plane,
    Pose,
    Stack,
    draw_flat_pose,
    draw_offsets,
    draw_pose,
    draw_warp,
    reslice,
)

_MARGIN: Final = 1.25
_LABEL_SD_MM: Final = 2.5
_AVERAGE_OVER: Final = 100
"""Steps over which the kept weights are averaged."""

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and mean loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    encoder : str
    epochs, batch, seed : int
        ``batch`` counts series.
    rate : float
        Highest learning rate of the cosine schedule.
    mixed : bool
        bfloat16 in the encoder.
    cut_mix : float
        Share of the series that hold a box of another head.
    half_epochs : int
        First epochs, in which pictures have half as many rows and columns: a
        quarter of the time.
    longest : int
        Series are cut to so many slices about the ganglionic level; 0 leaves them
        whole.
    """

    encoder: str = "resnet10"
    epochs: int = 75
    batch: int = 4
    seed: int = 0
    rate: float = 1e-3
    mixed: bool = True
    cut_mix: float = 0.0
    half_epochs: int = 0
    longest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """One head, cut out once, to be re-sliced many times.

    Attributes
    ----------
    voxels : Tensor, shape (slice, row, column), float32
    spacing_mm : tuple of float
        Between slices, rows and columns; in plane in units of the scan.
    plane : Plane
        What the network sees of it.
    levels_mm : tuple of float
        From the first slice.
    """

    voxels: Tensor
    spacing_mm: tuple[float, float, float]
    plane: Plane
    levels_mm: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Series ready for the network.

    Attributes
    ----------
    images : Tensor, shape (slices, 3, pixels, pixels)
    steps : Tensor, shape (slices,)
    lengths : Tensor, shape (series,), int64
    away_mm : Tensor, shape (slices, 2)
        Signed distance from each slice to each level.
    """

    images: Tensor
    steps: Tensor
    lengths: Tensor
    away_mm: Tensor


def prepare(head: LabelledHead, pixels: int) -> Source:
    """Cut a head out, with a margin to turn and shift it in."""
    box = head_box(head.voxels, head.spacing_mm)
    size, side_mm = round(pixels * 1.43), box.side_mm * _MARGIN
    image = cut_out(head.voxels, head.spacing_mm, box, side_mm, size)
    return Source(
        voxels=torch.from_numpy(image),
        spacing_mm=(float(np.diff(head.distances_mm).mean()), side_mm / size, side_mm / size),
        plane=Plane(pixels=pixels, side_mm=box.side_mm),
        levels_mm=head.targets_mm,
    )


def draw_series(
    source: Source, rng: np.random.Generator, other: Source | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scan a head anew.

    Parameters
    ----------
    source : Source
    rng : numpy.random.Generator
    other : Source, optional
        A head of which a box is put in, at the same distances from the
        ganglionic level.

    Returns
    -------
    images : Tensor, shape (n, pixels, pixels)
        Hounsfield units.
    steps : Tensor, shape (n,)
    away_mm : Tensor, shape (n, 2)
    """
    low_mm, _ = source.levels_mm
    last_mm = (len(source.voxels) - 1) * source.spacing_mm[0]
    if rng.random() < 0.35:
        # some series keep the slices as acquired: no interpolation blurs them
        pose = draw_flat_pose(rng)
        first = int(rng.integers(0, max(1, int(low_mm / source.spacing_mm[0]) - 4)))
        slices = np.arange(first, len(source.voxels), dtype=np.float64)
        offsets = slices * source.spacing_mm[0] - low_mm
    else:
        pose = draw_pose(rng)
        offsets = draw_offsets(-low_mm, last_mm - low_mm, rng)
    images = _scan(source, pose, offsets, rng)
    above_mm = _above_mm(source, pose)
    if other is not None:
        images, share = cut_mix(images, _scan(other, pose, offsets, rng), rng)
        above_mm = share * above_mm + (1 - share) * _above_mm(other, pose)
    positions = torch.from_numpy(offsets).float()
    levels = torch.tensor([0.0, above_mm])
    return vary(images, rng), step_sizes(positions), levels[None] - positions[:, None]


def _above_mm(source: Source, pose: Pose) -> float:
    """Return how far the supraganglionic level lies above the ganglionic one."""
    low_mm, high_mm = source.levels_mm
    return (high_mm - low_mm) * pose.compression


def _scan(source: Source, pose: Pose, offsets: FloatArray, rng: np.random.Generator) -> Tensor:
    """Re-slice a head; slices much thicker than the source are the mean of two planes."""
    middle = source.voxels.shape[1] * source.spacing_mm[1] / 2
    warp = draw_warp(len(offsets), source.plane, rng)
    steps = np.asarray(np.gradient(offsets))
    extra = np.where(steps > 1.2 * source.spacing_mm[0], steps / 4, 0.0)
    stack = Stack(
        voxels=source.voxels,
        spacing_mm=source.spacing_mm,
        pivot_mm=(source.levels_mm[0], middle, middle),
    )
    planes = [
        reslice(stack, pose, offsets + sign * extra, source.plane, warp)
        for sign in ((-1, 1) if extra.any() else (0,))
    ]
    return torch.stack(planes).mean(dim=0)


def collate(series: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    """Join series into one batch."""
    return Batch(
        images=windowed(torch.cat([images for images, _, _ in series])).contiguous(
            memory_format=torch.channels_last
        ),
        steps=torch.cat([steps for _, steps, _ in series]),
        lengths=torch.tensor([len(images) for images, _, _ in series]),
        away_mm=torch.cat([away for _, _, away in series]),
    )


def loss_of(outputs: Tensor, batch: Batch) -> Tensor:
    """Compare outputs with the truth.

    Parameters
    ----------
    outputs : Tensor, shape (slices, 2, 2)
        As :class:`~pipeline.localizer.net.AspectsLocNet` gives them.
    batch : Batch

    Returns
    -------
    Tensor, scalar
        Binary cross-entropy of each slice, cross-entropy over the slices of a
        series that holds the level, and the error of the distances.
    """
    logits, distances = outputs[..., 0], outputs[..., 1]
    peak = torch.exp(-0.5 * (batch.away_mm / _LABEL_SD_MM) ** 2)
    alone = functional.binary_cross_entropy_with_logits(logits, peak) * 8
    truth = batch.away_mm.clamp(-DISTANCE_LIMIT_MM, DISTANCE_LIMIT_MM) / DISTANCE_SCALE_MM
    near = 0.3 + torch.exp(-batch.away_mm.abs() / 15.0)
    error = functional.smooth_l1_loss(distances, truth, reduction="none", beta=0.2)
    sizes = batch.lengths.tolist()
    among = [
        _among(*parts)
        for parts in zip(
            *(torch.split(part, sizes) for part in (logits, peak, batch.away_mm)), strict=True
        )
    ]
    return alone + (near * error).mean() * 4 + torch.stack(among).mean()


def _among(logits: Tensor, peak: Tensor, away_mm: Tensor) -> Tensor:
    """Cross-entropy over the slices of one series, for each level that lies in it."""
    inside = (away_mm.amax(dim=0) > 0) & (away_mm.amin(dim=0) < 0) | (peak.amax(dim=0) > 0.5)
    target = peak / peak.sum(dim=0).clamp(min=1e-6)
    loss = -(target * functional.log_softmax(logits, dim=0)).sum(dim=0)
    return (loss * inside).mean()


class Trainer:
    """One training run; can stop after any epoch and go on later.

    Parameters
    ----------
    recipe : Recipe
    heads : sequence of LabelledHead
        To learn from.
    device : str
    """

    def __init__(self, recipe: Recipe, heads: Sequence[LabelledHead], device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.epoch = recipe, device, 0
        self.patients = sorted({head.patient for head in heads})
        pixels = ENCODERS[recipe.encoder].pixels
        self.sources = [prepare(head, pixels) for head in heads]
        self.net: AspectsLocNet = build(recipe.encoder).to(device)
        self.net.mixed = recipe.mixed
        self.net.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.optimiser = torch.optim.AdamW(self.net.parameters(), recipe.rate, weight_decay=0.02)
        self.average = {name: value.clone() for name, value in self.net.state_dict().items()}

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return math.ceil(len(self.sources) / self.recipe.batch)

    def run(self, checkpoint: Path, progress: Progress) -> None:
        """Train to the end, from the checkpoint where there is one."""
        if checkpoint.exists():
            self._load(checkpoint)
        while self.epoch < self.recipe.epochs:
            loss = self._run_epoch()
            self.epoch += 1
            progress(self.epoch, loss)
            if self.epoch % 5 == 0 or self.epoch == self.recipe.epochs:
                self.save(checkpoint)

    def _run_epoch(self) -> float:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.epoch])
        torch.manual_seed(recipe.seed * 10_000 + self.epoch)
        self.net.train()
        losses = []
        for place, batch in enumerate(self._batches(rng)):
            step = self.epoch * self.steps_per_epoch + place
            for group in self.optimiser.param_groups:
                group["lr"] = recipe.rate * _schedule(step, recipe.epochs * self.steps_per_epoch)
            losses.append(self._step(batch, step))
        return float(np.mean(losses))

    def _batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(self.sources))
        for chosen in np.array_split(order, self.steps_per_epoch):
            series = (draw_series(self.sources[at], rng, self._other(rng)) for at in chosen)
            yield collate([self._fit(*parts, rng) for parts in series])

    def _fit(
        self, images: Tensor, steps: Tensor, away_mm: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Spare time: fewer slices and pixels, where the recipe says so."""
        count, longest = len(images), self.recipe.longest
        if longest and count > longest:
            ganglionic = int(away_mm[:, 0].abs().argmin())
            lead = int(rng.integers(longest // 6, 1 + longest // 2))
            first = min(max(0, ganglionic - lead), count - longest)
            part = slice(first, first + longest)
            images, steps, away_mm = images[part], steps[part], away_mm[part]
        if self.epoch < self.recipe.half_epochs:
            images = functional.avg_pool2d(images, 2)
        return images, steps, away_mm

    def _other(self, rng: np.random.Generator) -> Source | None:
        if rng.random() >= self.recipe.cut_mix:
            return None
        return self.sources[int(rng.integers(len(self.sources)))]

    def _step(self, batch: Batch, step: int) -> float:
        moved = Batch(
            images=batch.images.to(self.device),
            steps=batch.steps.to(self.device),
            lengths=batch.lengths,
            away_mm=batch.away_mm.to(self.device),
        )
        series, single = self.net(moved.images, moved.steps, moved.lengths)
        loss = loss_of(series, moved) + 0.5 * loss_of(single, moved)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._update_average(step)
        return float(loss.detach())

    def _update_average(self, step: int) -> None:
        share = max(1 / _AVERAGE_OVER, 1 / (1 + step))
        for name, value in self.net.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, share)
            else:
                self.average[name].copy_(value)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a run that stops while writing leaves the old one."""
        state = {
            "epoch": self.epoch,
            "net": self.net.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def _load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.epoch = state["average"], state["epoch"]

    def export(self, path: Path, fold: str) -> None:
        """Write the averaged weights in half precision, and whom they learned from."""
        halved = {
            name: value.detach().to("cpu", torch.float16).contiguous()
            for name, value in self.average.items()
            if value.dtype.is_floating_point
        }
        metadata = {
            "encoder": self.recipe.encoder,
            "epochs": str(self.recipe.epochs),
            "fold": fold,
            "seed": str(self.recipe.seed),
            "trained_on": ",".join(self.patients),
        }
        save_file(halved, path, metadata)


def _schedule(step: int, total: int) -> float:
    """Rise linearly over the first 5 %, then fall as a cosine to 1 %."""
    warm = max(1, total // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
