"""The command ``aspects-node``: one group, one file per command."""

from __future__ import annotations

from typing import Final

import click

from node.commands.lazy import LazyGroup

_COMMANDS: Final = {
    "align": "node.commands.align:align",
    "atlas": "node.commands.atlas:atlas",
    "backup": "node.commands.backup:backup",
    "bench": "node.commands.bench:bench",
    "cancel": "node.commands.retry:cancel",
    "check": "node.commands.check:check",
    "demo": "node.commands.demo:demo",
    "echo": "node.commands.echo:echo",
    "evaluate": "node.commands.evaluate:evaluate",
    "fetch": "node.commands.fetch:fetch",
    "localizer": "node.commands.localizer:localizer",
    "process": "node.commands.process:process",
    "reprocess": "node.commands.retry:reprocess",
    "resend": "node.commands.retry:resend",
    "retry": "node.commands.retry:retry",
    "serve": "node.commands.serve:serve",
    "status": "node.commands.status:status",
    "user": "node.commands.user:user",
}


@click.group(
    cls=LazyGroup, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="aspects-node")
def main() -> None:
    """Map the ASPECTS regions on head CT, as a DICOM node or on a folder.

    Supports reading; it never decides treatment.
    """
