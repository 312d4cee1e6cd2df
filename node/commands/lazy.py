"""A group whose commands are imported when they are asked for: torch is slow to load."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A click group over a table of dotted paths.

    Parameters
    ----------
    table : mapping of str to str
        Command name to ``"module:attribute"``.
    """

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = dict(table)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in self._table:
            return None
        module, attribute = self._table[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command
