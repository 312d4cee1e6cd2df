"""Ask network T for the midline of a head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file

from pipeline.alignment.net import SLICES, AlignmentNet
from pipeline.arrays import FloatArray, HuArray, MaskArray
from pipeline.midline import large_sections, working_slab
from pipeline.model_card import checked
from pipeline.provenance import Algorithm
from pipeline.volume import Volume

WEIGHTS: Final = Path(__file__).with_name("weights") / "alignment.safetensors"
"""Trained on every head but those of the validation fold; the card beside it tells."""


def look(volume: Volume, brain: MaskArray) -> tuple[HuArray, FloatArray]:
    """Cut out what the network sees of a head.

    Parameters
    ----------
    volume : Volume
    brain : numpy.ndarray, shape (slice, row, column), bool
        Not empty.

    Returns
    -------
    slab : numpy.ndarray, shape (8, 75, 75), float32
        In the radiologist's view.
    centre : numpy.ndarray, shape (2,)
        Row and column of its middle.
    """
    chosen = large_sections(brain, SLICES)
    chosen = chosen[np.linspace(0, len(chosen) - 1, SLICES).round().astype(int)]
    view = volume.view
    return working_slab(
        view.apply(volume.voxels[chosen]),
        view.apply(brain[chosen]),
        view.spacing(volume.pixel_spacing_mm),
    )


def load_alignment(path: Path = WEIGHTS) -> AlignmentNet:
    """Read the trained network."""
    net = AlignmentNet()
    net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return net.eval()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligner:
    """The trained network as a first guess for `pipeline.midline.align_head`.

    Attributes
    ----------
    net : AlignmentNet
    sha256 : str
        Of its weights.
    """

    net: AlignmentNet
    sha256: str = ""

    @property
    def algorithm(self) -> Algorithm:
        """As reported in every result."""
        return Algorithm(
            name="alignment network",
            version=self.sha256[:12],
            family="artificial-intelligence",
            sha256=self.sha256,
        )

    def __call__(self, slab: HuArray) -> tuple[float, float]:
        """Return what `exact` says in steps of a quarter, the same on every machine."""
        angle, shift = (round(4 * value) / 4 for value in self.exact(slab))
        return angle, shift

    def exact(self, slab: HuArray) -> tuple[float, float]:
        """Return turn in degrees and shift in mm.

        Parameters
        ----------
        slab : numpy.ndarray, shape (slice, 75, 75), float32
            From `pipeline.midline.working_slab`; eight of its slices are looked at.
        """
        chosen = np.linspace(0, len(slab) - 1, SLICES).round().astype(int)
        with torch.inference_mode():
            angle, shift = self.net(torch.from_numpy(slab[chosen])[None])[0].tolist()
        return angle, shift


def load_aligner(path: Path = WEIGHTS) -> Aligner:
    """Read the trained network that the model card vouches for.

    Raises
    ------
    pipeline.model_card.WeightsError
        The file is missing, or its SHA-256 is not the one in the card beside it.
    """
    hashes = checked(path.parent, [path.name])
    return Aligner(net=load_alignment(path), sha256=hashes[path.name])
