"""The worker processes that a configuration asks for; apart, for they need not load it."""

from __future__ import annotations

from pathlib import Path

from node.config import NodeConfig
from node.pool import WorkerPool


def make_pool(config: NodeConfig, compute: str, atlas_folder: Path) -> WorkerPool:
    """Return the workers of a configuration."""
    return WorkerPool(
        compute,
        workers=config.workers,
        limit_s=config.compute_time_limit_s,
        atlas_folder=atlas_folder,
        log_level=config.log_level,
        memory=config.worker_memory,
    )
