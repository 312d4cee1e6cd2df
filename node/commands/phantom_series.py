"""A synthetic head CT as files, for what is measured without a head of one's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipeline.phantom import PhantomSpec, make_phantom, phantom_datasets
from pipeline.provenance import uid_factory

MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands in its headers."""


def write_phantom(folder: Path) -> Path:
    """Write 32 slices of 512 x 512 into a folder, which is made; return it."""
    folder.mkdir()
    images = phantom_datasets(
        make_phantom(PhantomSpec()), new_uid=uid_factory(), study_datetime=MOMENT
    )
    for index, image in enumerate(images):
        image.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
    return folder
