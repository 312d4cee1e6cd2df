"""The networks' weights as their model cards list them, without loading a network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.errors import ConfigError
from pipeline.model_card import WeightsError, card_hashes, checked

_PIPELINE: Final = Path(__file__).parents[1] / "pipeline"
FOLDERS: Final = tuple(_PIPELINE / part / "weights" for part in ("localizer", "alignment"))
"""Where the weights and their model cards lie."""


def listed_weights() -> dict[str, str]:
    """Return the SHA-256 of each file of weights, as the model cards have it.

    Raises
    ------
    ConfigError
        A model card is missing, or lists nothing.
    """
    try:
        return {name: digest for folder in FOLDERS for name, digest in card_hashes(folder).items()}
    except WeightsError as error:
        raise ConfigError(f"weights: {error}") from error


def require_weights() -> dict[str, str]:
    """Check every file of weights against its model card.

    Returns
    -------
    dict of str to str
        SHA-256 by file name.

    Raises
    ------
    ConfigError
        A file is missing or altered.
    """
    try:
        return {name: digest for folder in FOLDERS for name, digest in checked(folder).items()}
    except WeightsError as error:
        raise ConfigError(f"weights: {error}") from error
