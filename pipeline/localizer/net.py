"""ASPECTSLoc-Net: a 2-D encoder per slice, then two recurrent passes along z.

References
----------
Sun et al., "A mapping atlas for ASPECTS on non-contrast CT", Fig. 7 and its
text: encoder, bidirectional LSTM, two multi-resolution (dilated) convolutions
along z, bidirectional LSTM, one output per slice. New here: a second level,
and beside each level's logit the signed distance to it, which lets every slice
vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

WINDOWS: Final = ((40.0, 80.0), (75.0, 215.0), (600.0, 2800.0))
"""Brain, subdural and bone window: centre and width in HU."""
N_LEVELS: Final = 2
"""Ganglionic, then supraganglionic."""
DISTANCE_SCALE_MM: Final = 15.0
"""One unit of the distance output."""
STEP_MM: Final = 5.0
"""The usual distance between slices."""
DISTANCE_LIMIT_MM: Final = 45.0
"""Distances are learned up to here; further away only the sign counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """One size of the network.

    Attributes
    ----------
    pixels : int
        Side of the square input.
    width : int
        Channels of the stem.
    blocks : tuple of int
        Residual blocks of each stage.
    bottleneck : bool
        Bottleneck blocks (ResNet-50) or basic ones.
    hidden : int
        Hidden units of each direction of the LSTMs.
    """

    pixels: int
    width: int
    blocks: tuple[int, ...]
    bottleneck: bool
    hidden: int

    @property
    def features(self) -> int:
        """Length of a slice's feature vector."""
        widest = self.width << (len(self.blocks) - 1)
        return widest * 4 if self.bottleneck else widest


ENCODERS: Final = {
    "resnet50": Encoder(pixels=224, width=64, blocks=(3, 4, 6, 3), bottleneck=True, hidden=512),
    "resnet10": Encoder(pixels=112, width=32, blocks=(1, 1, 1, 1), bottleneck=False, hidden=64),
}
"""The paper's encoder, and the small sibling."""


def windowed(hu: Tensor) -> Tensor:
    """Stack the three windows as channels.

    Parameters
    ----------
    hu : Tensor, shape (slice, row, column)
        Hounsfield units.

    Returns
    -------
    Tensor, shape (slice, 3, row, column)
        Each window mapped to -1 ... 1.
    """
    channels = [(hu - centre) / (width / 2) for centre, width in WINDOWS]
    return torch.stack(channels, dim=1).clamp_(-1, 1)


def step_sizes(positions_mm: Tensor) -> Tensor:
    """Return the mean distance of each slice to its neighbours, over 5 mm."""
    if len(positions_mm) < 2:
        return torch.ones_like(positions_mm)
    return torch.gradient(positions_mm)[0] / STEP_MM


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    """A basic or a bottleneck residual block."""

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        relu = nn.ReLU(inplace=True)
        if bottleneck:
            layers = [_conv(inputs, width, 1), relu, _conv(width, width, 3, stride), relu]
            layers.append(_conv(width, outputs, 1))
        else:
            layers = [_conv(inputs, width, 3, stride), relu, _conv(width, outputs, 3)]
        self.path = nn.Sequential(*layers)
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else _conv(inputs, outputs, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(self.path(images) + self.skip(images), inplace=True)


def _resnet(encoder: Encoder) -> nn.Sequential:
    """Build a ResNet without its last layer: images in, features out."""
    layers: list[nn.Module] = [
        _conv(len(WINDOWS), encoder.width, 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = encoder.width
    for stage, count in enumerate(encoder.blocks):
        width = encoder.width * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            layers.append(_Residual(inputs, width, stride, bottleneck=encoder.bottleneck))
            inputs = width * 4 if encoder.bottleneck else width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class _Recurrent(nn.Module):
    """A bidirectional LSTM over series of different lengths."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True)

    def forward(self, series: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(series, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


class _MultiResolution(nn.Module):
    """Parallel convolutions along z with growing dilation, joined."""

    def __init__(self, inputs: int, outputs: int, dilations: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv1d(inputs, outputs, 3, padding=step, dilation=step) for step in dilations
        )

    def forward(self, series: Tensor) -> Tensor:
        return torch.cat([functional.relu(branch(series)) for branch in self.branches], dim=1)


class AspectsLocNet(nn.Module):
    """Find both levels in series of axial slices.

    Parameters
    ----------
    encoder : Encoder
    dropout : float
        Probability of dropping a feature, in training.

    Attributes
    ----------
    mixed : bool
        The encoder computes in bfloat16; for training only.
    """

    def __init__(self, encoder: Encoder, dropout: float = 0.3) -> None:
        super().__init__()
        outputs, hidden = 2 * N_LEVELS, encoder.hidden
        self.mixed = False
        self.encoder = _resnet(encoder)
        self.dropout = nn.Dropout(dropout)
        self.slice_head = nn.Linear(encoder.features, outputs)
        self.first = _Recurrent(encoder.features + 1, hidden)
        joined = 2 * hidden + outputs + 1
        self.context = nn.ModuleList(
            [_MultiResolution(joined, hidden), _MultiResolution(3 * hidden, hidden)]
        )
        self.second = _Recurrent(3 * hidden, hidden)
        self.series_head = nn.Linear(2 * hidden, outputs)

    def forward(self, images: Tensor, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the outputs of each slice of each series.

        Parameters
        ----------
        images : Tensor, shape (slices of all series, 3, pixels, pixels)
            As from :func:`windowed`; series one after the other, each from
            inferior to superior.
        steps : Tensor, shape (slices of all series,)
            Distance to the neighbouring slices over 5 mm.
        lengths : Tensor, shape (series,), int64, on the CPU
            Slices of each series.

        Returns
        -------
        series, single : Tensor, shape (slices of all series, 2, 2)
            With the context of the series, and of the slice alone. Last axis:
            the logit that the slice is the level, and the signed distance to it
            (positive: the level lies above) in ``DISTANCE_SCALE_MM``. Axis 1:
            ganglionic, supraganglionic.
        """
        return self.read(self.encode(images), steps, lengths)

    def encode(self, images: Tensor) -> Tensor:
        """Compute the features of each slice by itself: (slices, features), float32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed):
            features: Tensor = self.encoder(images)
        return features.float()

    def read(self, features: Tensor, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from the features; arguments and results as in :meth:`forward`."""
        features = self.dropout(features)
        single = self.slice_head(features)
        sizes = lengths.tolist()

        def padded(flat: Tensor) -> Tensor:
            return pad_sequence(list(torch.split(flat, sizes)), batch_first=True)

        extra = steps[:, None]
        hidden = self.first(padded(torch.cat([features, extra], dim=1)), lengths)
        joined = torch.cat([hidden, padded(torch.cat([single, extra], dim=1))], dim=2)
        context = joined.transpose(1, 2)
        # beyond a series there is nothing, whatever stands beside it in the batch
        inside = padded(torch.ones_like(extra)).transpose(1, 2)
        for layer in self.context:
            context = layer(context) * inside
        context = self.dropout(self.second(context.transpose(1, 2), lengths))
        flat = torch.cat([row[:size] for row, size in zip(context, sizes, strict=True)])
        shape = (-1, N_LEVELS, 2)
        return self.series_head(flat).reshape(shape), single.reshape(shape)


def build(encoder: str) -> AspectsLocNet:
    """Build the network with fresh weights.

    Raises
    ------
    KeyError
        There is no encoder of that name.
    """
    return AspectsLocNet(ENCODERS[encoder])
