"""The systemd unit is valid, confined, and starts the command that there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from node.cli import main
from tests.peers import REPOSITORY, aspects_node, tool

UNIT = REPOSITORY / "deploy/aspects-node.service"
HOME = "/opt/aspects-node"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command of this environment, so that systemd finds it."""
    if tool("systemd-analyze") is None:
        pytest.skip("not installed: systemd")
    text = UNIT.read_text().replace(f"{HOME}/.venv/bin/aspects-node", aspects_node())
    found = tmp_path / UNIT.name
    found.write_text(text.replace(f"file:{HOME}", f"file:{REPOSITORY}"))
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_confined(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--threshold=20", unit)
    # 20 of 100: below is better
    assert done.returncode == 0, done.stdout


def test_the_unit_runs_a_command_with_options_that_there_are() -> None:
    command = re.search(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)
    assert command is not None
    name, option, _ = command[1].split()
    found = main.commands.get(name) or main.get_command(None, name)  # type: ignore[arg-type]  # the lazy group needs no context
    assert found is not None
    assert option in {text for item in found.params for text in item.opts}
