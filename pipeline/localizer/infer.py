"""Ask the trained network where the two levels are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.arrays import FloatArray, HuArray, frozen
from pipeline.localizer.decode import VOTE_SD_MM, normalised, vote
from pipeline.localizer.frames import Frames, to_frames
from pipeline.localizer.net import (
    DISTANCE_SCALE_MM,
    ENCODERS,
    AspectsLocNet,
    build,
    step_sizes,
    windowed,
)
from pipeline.model_card import CARD, WeightsError, card_hashes, checked
from pipeline.regions import Level
from pipeline.volume import Volume

WEIGHTS: Final = Path(__file__).with_name("weights")
"""Folder of the weights and their model card."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelEvidence:
    """What the network says about the levels of one series.

    Attributes
    ----------
    positions_mm : numpy.ndarray, shape (n,), float64
        Distance of each acquired slice from the first along the normal.
    log_evidence : numpy.ndarray, shape (2, n), float64
        Log probability of each slice to be the ganglionic (row 0) and the
        supraganglionic (row 1) level, given that the level lies in the scan.
    estimates_mm : tuple of float
        Where the slices' votes put each level; beyond the first or the last
        slice where the scan does not reach it.
    """

    positions_mm: FloatArray
    log_evidence: FloatArray
    estimates_mm: tuple[float, float]

    def of(self, level: Level) -> FloatArray:
        """Return the log probabilities of one level, shape (n,)."""
        row: FloatArray = self.log_evidence[0 if level is Level.GANGLIONIC else 1]
        return row

    def probability(self, level: Level) -> FloatArray:
        """Return the probabilities of one level, shape (n,)."""
        return np.asarray(np.exp(self.of(level)))

    def estimate_mm(self, level: Level) -> float:
        """Return where the votes put one level."""
        return self.estimates_mm[0 if level is Level.GANGLIONIC else 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Localizer:
    """Trained networks that answer together.

    Attributes
    ----------
    name : str
        The encoder.
    sha256 : str
        Over the weights of all networks.
    nets : tuple of AspectsLocNet
        Their outputs are averaged.
    trained_on : frozenset of str
        Patients that at least one of the networks has learned from.
    """

    name: str
    sha256: str
    nets: tuple[AspectsLocNet, ...]
    trained_on: frozenset[str] = frozenset()

    def evidence(self, volume: Volume) -> LevelEvidence:
        """Weigh the slices of a volume, whatever its spacing and orientation.

        Parameters
        ----------
        volume : Volume

        Returns
        -------
        LevelEvidence
            One entry for each acquired slice, thin ones too.
        """
        view = volume.view
        return self.weigh(
            view.apply(volume.voxels), volume.distances_mm, view.spacing(volume.pixel_spacing_mm)
        )

    def weigh(
        self, voxels: HuArray, distances_mm: FloatArray, spacing_mm: tuple[float, float]
    ) -> LevelEvidence:
        """Weigh the slices of plain arrays.

        Parameters
        ----------
        voxels : numpy.ndarray, shape (slice, row, column), float32
            Hounsfield units in the radiologist's view, from inferior to
            superior.
        distances_mm : numpy.ndarray, shape (slice,)
            Rising.
        spacing_mm : tuple of float
            Between rows, then between columns.
        """
        frames = to_frames(voxels, distances_mm, spacing_mm, ENCODERS[self.name].pixels)
        return _evidence(frames, distances_mm, self.outputs(frames))

    def outputs(self, frames: Frames) -> FloatArray:
        """Return the mean output of the networks: (frame, level, (logit, distance mm))."""
        images = torch.from_numpy(np.array(frames.images))
        steps = step_sizes(torch.from_numpy(np.array(frames.positions_mm)).float())
        # a head and its mirror image have the same levels: each network reads
        # one of them, a network that stands alone both
        views = [windowed(images), windowed(images.flip(-1))]
        readings = [(net, views[place % 2]) for place, net in enumerate(self.nets)]
        if len(self.nets) == 1:
            readings = [(self.nets[0], view) for view in views]
        with torch.inference_mode():
            series = [_read(net, view, steps) for net, view in readings]
        found = torch.stack(series).mean(dim=0).double().numpy()
        return np.asarray(found * (1.0, DISTANCE_SCALE_MM))


def _read(net: AspectsLocNet, view: Tensor, steps: Tensor) -> Tensor:
    features = net.encode(view.contiguous(memory_format=torch.channels_last))
    # the sums along z depend on the number of threads in their last bit
    with _one_thread():
        return net.read(features, steps, torch.tensor([len(features)]))[0]


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _evidence(frames: Frames, distances_mm: FloatArray, outputs: FloatArray) -> LevelEvidence:
    """Bring the outputs back to the acquired slices."""
    rows, estimates = [], []
    for level in range(2):
        logits, away = outputs[:, level, 0], outputs[:, level, 1]
        estimate = vote(frames.positions_mm, away)
        voted = -0.5 * ((distances_mm - estimate) / VOTE_SD_MM) ** 2
        rows.append(np.interp(distances_mm, frames.positions_mm, logits) + voted)
        estimates.append(estimate)
    return LevelEvidence(
        positions_mm=distances_mm,
        log_evidence=frozen(normalised(np.stack(rows))),
        estimates_mm=(estimates[0], estimates[1]),
    )


def load_net(path: Path) -> tuple[dict[str, str], AspectsLocNet]:
    """Read one file of weights.

    Returns
    -------
    metadata : dict of str to str
        ``encoder``, ``seed``, ``epochs``, ``fold``, and ``trained_on``: patients,
        comma-separated.
    net : AspectsLocNet
        Float32, ready for inference.

    Raises
    ------
    WeightsError
        The file does not hold every weight.
    """
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    net = build(metadata["encoder"])
    # batch normalisation's step counter is of no use after training
    missing = net.load_state_dict(state, strict=False).missing_keys
    if any(not name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{path.name} does not hold every weight of {metadata['encoder']}")
    net.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return metadata, net.eval()


def load_localizer(
    folder: Path = WEIGHTS, encoder: str = "resnet10", fold: int | None = None
) -> Localizer:
    """Load the networks that the model card vouches for.

    Parameters
    ----------
    folder : Path
        Holds ``MODEL_CARD.md`` and the weights.
    encoder : str
    fold : int, optional
        Only the networks trained without that fold of the cross-validation, the
        files ``<encoder>-<fold>-*.safetensors``; all of the encoder's by default.

    Raises
    ------
    WeightsError
        A file is missing, or its SHA-256 is not the one in the model card.
    """
    start = f"{encoder}-" if fold is None else f"{encoder}-{fold}-"
    names = sorted(name for name in card_hashes(folder) if name.startswith(start))
    if not names:
        raise WeightsError(f"{CARD} lists no weights {start}*")
    hashes = checked(folder, names)
    digest = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    loaded = [load_net(folder / name) for name in names]
    return Localizer(
        name=encoder,
        sha256=digest,
        nets=tuple(net for _, net in loaded),
        trained_on=frozenset(name for data, _ in loaded for name in data["trained_on"].split(",")),
    )
