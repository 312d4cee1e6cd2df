"""Network T: one look at a head gives the turn and shift that make it symmetric.

References
----------
Sun et al., Sci Data 11, 1132 (2024), "Mid-sagittal plane alignment": a 3-D
encoder with six outputs, the rigid parameters, of which the in-plane turn and
the shift across are used; a parameterised sampling grid; the L1 difference of
the moved head and its mirror image as the only loss.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.midline import CAP_HU, OUTSIDE_HU

SLICES: Final = 8
"""Slices that the network looks at."""
PIXELS: Final = 75
"""Side of the grid, at 3 mm."""
TURN: Final = 2
SHIFT: Final = 3
"""Which of the six outputs are used: rotation about z, translation along x."""
_TURN_DEGREES: Final = 30.0
_SHIFT_MM: Final = 10.0
_HALF_MM: Final = 111.0
_WIDTHS: Final = (8, 16, 32, 32)
_STRIDES: Final = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
_RIGID: Final = 6


class AlignmentNet(nn.Module):
    """A 3-D encoder with six outputs; fresh weights leave every head where it is."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width, stride in zip(_WIDTHS, _STRIDES, strict=True):
            layers += [nn.Conv3d(inputs, width, 3, stride, 1), nn.GroupNorm(4, width), nn.ReLU()]
            inputs = width
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(nn.Linear(inputs * 2 * 5 * 5, 64), nn.ReLU())
        self.rigid = nn.Linear(64, _RIGID)
        nn.init.zeros_(self.rigid.weight)
        nn.init.zeros_(self.rigid.bias)

    def forward(self, slabs: Tensor) -> Tensor:
        """Find turn and shift.

        Parameters
        ----------
        slabs : Tensor, shape (head, slice, row, column)
            8 slices of 75 x 75 at 3 mm, HU, as `pipeline.midline.working_slab`
            makes them.

        Returns
        -------
        Tensor, shape (head, 2)
            Degrees, and mm on the turned grid, as the direct optimiser has them.
        """
        shown = (slabs - OUTSIDE_HU) / 50.0 - 1.0
        rigid = self.rigid(self.head(self.encoder(shown[:, None])))
        return torch.stack((rigid[:, TURN] * _TURN_DEGREES, rigid[:, SHIFT] * _SHIFT_MM), dim=1)


def move(slabs: Tensor, found: Tensor) -> Tensor:
    """Turn and shift heads, through a grid that gradients pass.

    Parameters
    ----------
    slabs : Tensor, shape (head, slice, row, column)
    found : Tensor, shape (head, 2)
        Degrees and mm.
    """
    angle, shift = torch.deg2rad(found[:, 0]), found[:, 1] / _HALF_MM
    cosine, sine = torch.cos(angle), torch.sin(angle)
    theta = torch.stack(
        (
            torch.stack((cosine, -sine, shift * cosine), dim=1),
            torch.stack((sine, cosine, shift * sine), dim=1),
        ),
        dim=1,
    )
    shape = [slabs.shape[0], slabs.shape[1], slabs.shape[2], slabs.shape[3]]
    grid = functional.affine_grid(theta, shape, align_corners=True)
    lifted = slabs - OUTSIDE_HU  # beyond the grid is nothing, too
    return functional.grid_sample(lifted, grid, align_corners=True) + OUTSIDE_HU


def asymmetry(slabs: Tensor) -> Tensor:
    """Return the capped L1 difference of each head and its mirror, shape (head,), HU."""
    mirror = slabs.flip(-1)
    inside = ((slabs > OUTSIDE_HU / 2) | (mirror > OUTSIDE_HU / 2)).float()
    capped = (slabs - mirror).abs().clamp(max=CAP_HU) * inside
    return capped.sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3)).clamp(min=1.0)
