"""``aspects-node check``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.check import Finding, Grade, check_node
from node.commands.shared import config_option, read_config

_EXITS = {Grade.OK: 0, Grade.WARNING: 0, Grade.UNREACHABLE: 1, Grade.BROKEN: 2}
_COLOURS = {
    Grade.OK: "green",
    Grade.WARNING: "yellow",
    Grade.UNREACHABLE: "red",
    Grade.BROKEN: "red",
}


@click.command()
@config_option
@click.option("--no-peers", is_flag=True, help="Do not ask the peers.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def check(config_file: Path, *, no_peers: bool, as_json: bool) -> None:
    """Check configuration, disk, atlas, weights, certificates, ports and peers.

    Works whether the node runs or not. Exit code 0: all is well, but for
    warnings. 1: a peer does not answer. 2: the node would not start, or could
    not work.
    """
    findings = check_node(read_config(config_file), ask_peers=not no_peers)
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        Console().print(_table(findings))
    raise SystemExit(max(_EXITS[finding.grade] for finding in findings))


def _table(findings: list[Finding]) -> Table:
    table = Table("What", "", "How it stands")
    for finding in findings:
        grade = f"[{_COLOURS[finding.grade]}]{finding.grade}[/]"
        # a text that names [[peers]] is no markup
        table.add_row(escape(finding.what), grade, escape(finding.text))
    return table
