"""The command ``aspects-node``: one group, one file per command."""

from __future__ import annotations

import importlib
from typing import Final

import click

_COMMANDS: Final = {
    "atlas": "node.commands.atlas:atlas",
    "demo": "node.commands.demo:demo",
    "echo": "node.commands.echo:echo",
    "localizer": "node.commands.localizer:localizer",
    "process": "node.commands.process:process",
    "retry": "node.commands.retry:retry",
    "serve": "node.commands.serve:serve",
    "status": "node.commands.status:status",
}


class _LazyGroup(click.Group):
    """Imports a command when it is asked for: torch is slow to load."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aspects-node")
def main() -> None:
    """Map the ASPECTS regions on head CT, as a DICOM node or on a folder.

    Supports reading; it never decides treatment.
    """
