"""Which atlas set a node uses."""

from __future__ import annotations

import logging
from pathlib import Path

from atlases.entry import entry_of
from atlases.errors import AtlasMissingError
from atlases.folders import EMBEDDED, find_atlas
from atlases.verify import require_intact
from node.config import NodeConfig

LOG = logging.getLogger(__name__)


def chosen_atlas(config: NodeConfig) -> Path:
    """Return the folder of the configured atlas set.

    Without ``atlas`` and ``atlas_folder`` ASPECTS-281 where it is installed,
    else the embedded set.

    Raises
    ------
    AtlasError
        There is none of that name, it is not installed, or ``atlas_folder``
        holds another one.
    """
    if config.atlas_folder is None:
        return find_atlas(config.atlas, config.data_folder)
    found = entry_of(config.atlas_folder).name
    if config.atlas is not None and config.atlas != found:
        raise AtlasMissingError(
            f"atlas_folder {config.atlas_folder} holds the atlas set {found}, but the key atlas "
            f"says {config.atlas}: change either"
        )
    return config.atlas_folder


def checked_atlas(config: NodeConfig) -> Path:
    """Return the folder of the configured atlas set, its files verified.

    Raises
    ------
    AtlasError
        It is missing or altered; the message says what to run.
    """
    folder = chosen_atlas(config)
    entry = entry_of(folder)
    require_intact(entry, folder)
    LOG.log(
        logging.WARNING if folder == EMBEDDED else logging.INFO,
        "atlas",
        extra={
            "atlas": entry.name,
            "atlas_version": entry.version,
            "embedded": folder == EMBEDDED,
        },
    )
    return folder
