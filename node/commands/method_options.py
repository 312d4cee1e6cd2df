"""Options of the commands that map heads: which atlas, which method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from atlases.folders import default_data_folder, find_atlas
from node.choices import BRAINS, DEFAULT_CHOICES, REGISTRATIONS

_Command = TypeVar("_Command", bound=Callable[..., object])

_data_option: Final = click.option(
    "--data", type=click.Path(path_type=Path), help="Data folder that holds the atlas sets."
)


def atlas_options(command: _Command) -> _Command:
    """Add ``--atlas NAME`` and ``--data FOLDER``; by default the best atlas that there is."""
    named = click.option(
        "--atlas",
        help="Name of an atlas set; aspects-281 where it is installed, else the embedded one.",
    )
    return named(_data_option(command))


def bench_atlas_options(command: _Command) -> _Command:
    """Add ``--atlas NAME`` and ``--data FOLDER``; figures are compared on one atlas."""
    named = click.option(
        "--atlas", default="aspects-281", show_default=True, help="Name of an atlas set."
    )
    return named(_data_option(command))


def method_options(command: _Command) -> _Command:
    """Add ``--registration NAME`` and ``--brain NAME``."""
    registration = click.option(
        "--registration",
        type=click.Choice(REGISTRATIONS),
        default=DEFAULT_CHOICES.registration,
        show_default=True,
        help="How the atlas is laid on the slices; ants is the paper's way.",
    )
    brain = click.option(
        "--brain",
        type=click.Choice(BRAINS),
        default=DEFAULT_CHOICES.brain,
        show_default=True,
        help="How the brain is masked; paper is the paper's way.",
    )
    return registration(brain(command))


def atlas_at(name: str | None, data: Path | None) -> Path:
    """Return the folder of the atlas set that the options name.

    Raises
    ------
    AtlasError
        There is none of that name.
    """
    return find_atlas(name, data or default_data_folder())
