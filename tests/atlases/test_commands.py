"""``aspects-node atlas``, in the process and as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli import main


def _invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["atlas", *map(str, arguments)])


def test_install_list_verify(real: Path, tmp_path: Path) -> None:
    data = ("--data", tmp_path / "data")
    assert "not installed" in _invoke("list", *data).stdout

    installed = _invoke("install", "aspects-281", "--from", real, *data)
    assert installed.exit_code == 0, installed.output
    assert str(tmp_path / "data" / "atlases" / "aspects-281") in installed.stdout

    listed = _invoke("list", *data)
    assert listed.exit_code == 0
    assert "not installed" not in listed.stdout
    assert "installed" in listed.stdout

    verified = _invoke("verify", *data)
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.count("│ ok") == 16


def test_verify_names_the_altered_file(real: Path, tmp_path: Path) -> None:
    data = ("--data", tmp_path)
    _invoke("install", "aspects-281", "--from", real, *data)
    altered = tmp_path / "atlases" / "aspects-281" / "cortical_label_10_29.nii.gz"
    altered.write_bytes(b"another file")

    assert "damaged: 1 files" in _invoke("list", *data).stdout
    verified = _invoke("verify", *data)
    assert verified.exit_code == 2
    assert verified.stdout.count("│ ok") == 15
    assert "[atlas-altered]" in verified.stderr
    assert altered.name in verified.stderr
    assert f"Run: aspects-node atlas install aspects-281 --data {tmp_path}" in verified.stderr


@pytest.mark.usefixtures("bare")
def test_offline_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a proxy at which nobody listens: no packet leaves this machine
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    result = _invoke("install", "aspects-281", "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "[atlas-unavailable]" in result.stderr
    assert "aspects-node atlas install aspects-281 --from FOLDER" in result.stderr
    assert not (tmp_path / "data").exists()


def test_unknown_name(tmp_path: Path) -> None:
    result = _invoke("install", "aspects-282", "--data", tmp_path)
    assert result.exit_code == 2
    assert "[atlas-unknown]" in result.stderr


def test_as_a_program(real: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("aspects-node")
    environment = {
        **os.environ,
        "ASPECTS_NODE_DATA": str(tmp_path / "data"),
        "ASPECTS_NODE_ATLAS_SOURCE": str(real),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "atlas", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    before = run("verify")
    assert before.returncode == 2
    assert before.stderr.strip().endswith("Run: aspects-node atlas install aspects-281")
    assert run("install", "aspects-281").returncode == 0
    assert run("verify").returncode == 0
