"""Secrets come from a file or from the environment, never from the configuration."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from node.errors import ConfigError


def read_secret(path: Path | None, variable: str | None) -> str | None:
    """Return a secret; None where none is configured.

    Parameters
    ----------
    path : Path or None
        File that holds it; it may be readable by its owner alone.
    variable : str or None
        Environment variable that holds it, where there is no file.

    Raises
    ------
    ConfigError
        The file cannot be read, is open to others, or there is no secret in it.
    """
    if path is not None:
        found, where = _from_file(path), str(path)
    elif variable is not None:
        found, where = os.environ.get(variable, "").strip(), f"the environment variable {variable}"
    else:
        return None
    if not found:
        raise ConfigError(f"{where} holds no secret")
    return found


def _from_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret in {path} cannot be read") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path} holds a secret and others may read it: chmod 600 {path}")
    return text.strip()
