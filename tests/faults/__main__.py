"""``python -m tests.faults --kills N``: the last line is one JSON object."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tests.faults.kills import last_line, run_kills
from tests.peers import SHARED_DATA


@click.command()
@click.option("--kills", default=20, show_default=True, help="How often to kill.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the data here.")
def main(kills: int, seed: int, folder: Path | None) -> None:
    """Kill the node while series flow; exit code 1 where something was lost."""
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        report = run_kills(
            folder or Path(temporary),
            kills,
            atlas_folder=SHARED_DATA.resolve() / "aspects-281",
            seed=seed,
            progress=lambda text: click.echo(text, err=True),
        )
    click.echo(last_line(report))
    raise SystemExit(0 if report.is_clean else 1)


if __name__ == "__main__":
    main()
