"""The demo, as a newcomer runs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread

from atlases.entry import entry_of
from atlases.folders import EMBEDDED
from tests.peers import ENVIRONMENT, REPOSITORY, aspects_node, is_listening


def run_demo(
    folder: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [aspects_node(), "demo", "--out", str(folder / "out"), *map(str, arguments)],
        env={**ENVIRONMENT, "ASPECTS_NODE_DATA": str(folder / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def ports(output: str) -> list[int]:
    """Return the ports of node and peer that the demo names."""
    return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", output)]


@pytest.mark.timeout(180)
def test_phantom_goes_through_the_node_and_back(tmp_path: Path, atlas_folder: Path) -> None:
    # a key in the environment would go before the demo's own configuration
    answer = run_demo(
        tmp_path, ASPECTS_NODE_ATLAS_SOURCE=str(atlas_folder), ASPECTS_NODE_AE_TITLE="OTHER"
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    out = tmp_path / "out"
    source = dcmread(out / "ct/000.dcm", stop_before_pixels=True)
    seg, sr = dcmread(out / "seg.dcm"), dcmread(out / "sr.dcm")
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))

    assert (seg.Modality, sr.Modality) == ("SEG", "SR")
    assert seg.StudyInstanceUID == sr.StudyInstanceUID == source.StudyInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert seg.SOPInstanceUID in str(sr)
    assert result["series_instance_uid"] == source.SeriesInstanceUID
    with Image.open(out / "levels.png") as picture:
        assert picture.width > 500
    for item in result["regions"]:
        assert f"{item['side']} {item['region']} " in answer.stdout
    shares = re.findall(r"│\s+(\d+\.\d\d) │\s+\d+\s?% │", answer.stdout)
    *parts, together = map(float, shares)
    assert sum(parts) == pytest.approx(together, abs=0.01 * len(parts))
    assert len(ports(answer.stdout)) == 2
    assert not any(map(is_listening, ports(answer.stdout)))


@pytest.mark.timeout(180)
def test_rejected_images_end_with_their_reason(
    tmp_path: Path, atlas_folder: Path, shared_data: Path
) -> None:
    images = shared_data / "dicom-fixtures"
    one = next(path for path in sorted(images.rglob("*.dcm")) if path.stat().st_size > 10_000)
    folder = tmp_path / "ct"
    folder.mkdir()
    (folder / "image.dcm").write_bytes(one.read_bytes())
    answer = run_demo(tmp_path, "--ct", folder, ASPECTS_NODE_ATLAS_SOURCE=str(atlas_folder))
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert "REJECTED" in answer.stdout
    assert (tmp_path / "out/result.json").is_file()


@pytest.mark.timeout(180)
def test_without_shared_data_or_download_it_runs_on_the_embedded_atlas(tmp_path: Path) -> None:
    clone = tmp_path / "clone" / "aspects-node"
    for package in ("node", "atlases", "pipeline"):
        shutil.copytree(
            REPOSITORY / package, clone / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    # a proxy at which nobody listens: no packet leaves this machine
    offline = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    answer = run_demo(tmp_path, PYTHONPATH=str(clone), **offline)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    name = entry_of(EMBEDDED).name
    assert f"Atlas {name} " in answer.stdout
    assert str(clone / "atlases" / "embedded") in answer.stdout
    assert "this is the embedded atlas" in answer.stdout

    out = tmp_path / "out"
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["provenance"]["atlas_name"] == name
    said = [item.value for item in dcmread(out / "sr.dcm").iterall() if item.keyword == "TextValue"]
    assert any(f"Atlas {name} " in text for text in said)
    lines = (out / "node.log").read_text(encoding="utf-8").splitlines()
    named = [json.loads(line) for line in lines if '"atlas_version"' in line]
    assert [(line["level"], line["atlas"], line["embedded"]) for line in named] == [
        ("warning", name, True)
    ]


def test_without_an_atlas_it_says_what_to_run(tmp_path: Path) -> None:
    answer = run_demo(tmp_path, ASPECTS_NODE_ATLAS_SOURCE=str(tmp_path / "nowhere"))
    assert answer.returncode == 2
    assert "aspects-node atlas install aspects-281 --from FOLDER" in answer.stderr


def test_a_folder_without_images_is_named(tmp_path: Path, atlas_folder: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    answer = run_demo(tmp_path, "--ct", folder, ASPECTS_NODE_ATLAS_SOURCE=str(atlas_folder))
    assert answer.returncode == 2
    assert f"no DICOM image in {folder}" in answer.stderr
