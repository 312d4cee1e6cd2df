"""Trained weights, and the model card beside them that vouches for each file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipeline.errors import PipelineError

CARD: Final = "MODEL_CARD.md"
"""Name of the card in a folder of weights."""

_ROW: Final = re.compile(r"^\| `([\w.-]+\.safetensors)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)


class WeightsError(PipelineError):
    """The weights are missing, or are not those of the model card."""

    code = "weights"


def card_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of weights, as the model card has it.

    Raises
    ------
    WeightsError
        There is no model card, or it lists nothing.
    """
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"{_named(folder)} has no {CARD}; install the package again") from error
    found: dict[str, str] = dict(_ROW.findall(card))
    if not found:
        raise WeightsError(f"{CARD} in {_named(folder)} lists no weights; install again")
    return found


def _named(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def checked(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Check files of weights against their model card.

    Parameters
    ----------
    folder : Path
    names : iterable of str, optional
        Every file that the card lists by default.

    Returns
    -------
    dict of str to str
        SHA-256 by file name, in the order of `names`.

    Raises
    ------
    WeightsError
        A file is missing, altered or not in the card.
    """
    hashes = card_hashes(folder)
    found: dict[str, str] = {}
    for name in hashes if names is None else names:
        if name not in hashes:
            raise WeightsError(f"{CARD} does not list {name}")
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"{name} is missing; install the package again")
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if found[name] != hashes[name]:
            raise WeightsError(f"{name} is not the file that {CARD} describes; install it again")
    return found
