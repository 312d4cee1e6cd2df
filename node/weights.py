"""The network's weights as the model card lists them, without loading the network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from node.errors import ConfigError

FOLDER: Final = Path(__file__).parents[1] / "pipeline/localizer/weights"
"""Where the weights and their model card lie."""

_ROW: Final = re.compile(r"^\| `([\w.-]+\.safetensors)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)


def listed_weights(folder: Path = FOLDER) -> dict[str, str]:
    """Return the SHA-256 of each file of weights, as the model card has it.

    Raises
    ------
    ConfigError
        There is no model card, or it lists nothing.
    """
    try:
        found: dict[str, str] = dict(_ROW.findall((folder / "MODEL_CARD.md").read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"weights: {folder} has no MODEL_CARD.md: install again") from error
    if not found:
        raise ConfigError(f"weights: the model card in {folder} lists none: install again")
    return found


def require_weights(folder: Path = FOLDER) -> dict[str, str]:
    """Check every file of weights against the model card.

    Returns
    -------
    dict of str to str
        SHA-256 by file name.

    Raises
    ------
    ConfigError
        A file is missing or altered.
    """
    listed = listed_weights(folder)
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            raise ConfigError(f"weights: {name} is missing: install again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ConfigError(f"weights: {name} is not what the model card lists: install again")
    return listed
