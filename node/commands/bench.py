"""``aspects-node bench``: figures, with a peer in the same run."""

from __future__ import annotations

from typing import Final

import click

from node.commands.lazy import LazyGroup

_COMMANDS: Final = {
    "end-to-end": "node.commands.bench_end_to_end:end_to_end",
    "failures": "node.commands.bench_failures:failures",
    "patients": "node.commands.bench_patients:patients",
    "pipeline": "node.commands.bench_pipeline:pipeline",
    "receive": "node.commands.bench_receive:receive",
    "registration": "node.commands.bench_registration:registration",
    "scale": "node.commands.bench_scale:scale",
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def bench() -> None:
    """Measure speed and accuracy; the last line is always one JSON object."""
