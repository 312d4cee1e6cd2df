"""``aspects-node atlas quality``: the paper's Table 2, and figures with a known answer."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from click.testing import CliRunner
from scipy import ndimage

from atlases.errors import AtlasAlteredError, AtlasMissingError
from atlases.quality import TemplatePicture, judge_template, read_templates
from atlases.sharpness import brain_of, edge_width_mm, entropy_brain, entropy_full
from atlases.symmetry import region_symmetry
from node.cli import main
from pipeline.arrays import HuArray
from pipeline.regions import Level, Region

# Sun et al., Sci Data 11, 1132 (2024), Table 2, ASPECTS-281: BGL, SGL
TABLE_2 = {
    "10-29": (2.22, 2.09),
    "30-49": (2.37, 2.09),
    "50-69": (2.30, 2.15),
    "70-89": (2.24, 2.11),
}


def run(*arguments: str | Path) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, ["atlas", "quality", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    figures: list[dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def pictures(real: Path) -> dict[tuple[str, Level], TemplatePicture]:
    return {(item.age_group, item.level): item for item in read_templates(real)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "new" / "quality.png"


@pytest.fixture(scope="module")
def figures(real: Path, drawn: Path) -> list[dict[str, Any]]:
    return run(real, "--picture", drawn)


def test_table_2_is_reproduced(figures: list[dict[str, Any]], drawn: Path) -> None:
    found = {(item["age_group"], item["level"]): item["entropy_full"] for item in figures}
    expected = {
        (group, level): value
        for group, row in TABLE_2.items()
        for level, value in zip(Level, row, strict=True)
    }
    assert found == pytest.approx(expected, abs=0.02)
    assert {item["name"] for item in figures} == {"aspects-281"}
    assert min(SimpleITK.ReadImage(str(drawn)).GetSize()) > 1000


def test_the_strays_of_aspects_281_are_found(figures: list[dict[str, Any]]) -> None:
    strays = {
        (item["age_group"], region["region"])
        for item in figures
        for region in item["regions"]
        if region["fragments"]
    }
    assert strays == {("30-49", "M6"), ("50-69", "M2"), ("70-89", "M5")}


def test_entropy_full_is_a_figure_of_the_background(
    pictures: dict[tuple[str, Level], TemplatePicture],
) -> None:
    template = pictures["30-49", Level.GANGLIONIC].template
    brain = brain_of(template)
    wide = np.pad(template, 100)
    assert entropy_full(wide) < entropy_full(template) - 0.5
    assert entropy_brain(wide, brain_of(wide)) == entropy_brain(template, brain)

    rng = np.random.default_rng(0)
    fractions = np.where(brain, template + rng.uniform(-0.5, 0.5, template.shape), 0.0)
    assert entropy_full(fractions) > entropy_full(template) + 0.6
    assert entropy_brain(fractions, brain) == pytest.approx(entropy_brain(template, brain), abs=0.1)


def test_blur_widens_the_edge_and_hardly_lowers_the_entropy(
    pictures: dict[tuple[str, Level], TemplatePicture],
) -> None:
    sharp = pictures["50-69", Level.GANGLIONIC]
    blurred = np.where(brain_of(sharp.template), ndimage.gaussian_filter(sharp.template, 2), 0)
    before = judge_template(sharp)
    after = judge_template(dataclasses.replace(sharp, template=np.rint(blurred).astype(np.float32)))
    assert after.edge_width_mm > 1.5 * before.edge_width_mm
    assert after.gradient_hu_mm < 0.6 * before.gradient_hu_mm
    assert after.entropy_full > 0.9 * before.entropy_full


def disc(sigma_mm: float, spacing: tuple[float, float]) -> tuple[HuArray, np.ndarray[Any, Any]]:
    """Return fluid round a disc of tissue of 10 mm, blurred, and the disc."""
    rows, columns = np.mgrid[-20 : 20 : spacing[0], -20 : 20 : spacing[1]]
    mask = np.hypot(rows, columns) < 10
    hu = np.where(mask, 36.0, 6.0)
    return ndimage.gaussian_filter(hu, sigma_mm / np.array(spacing)).astype(np.float32), mask


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.5, 0.3)])
@pytest.mark.parametrize("sigma_mm", [0.6, 1.0])
def test_edge_width_is_that_of_a_known_blur(sigma_mm: float, spacing: tuple[float, float]) -> None:
    hu, mask = disc(sigma_mm, spacing)
    assert edge_width_mm(hu, mask, spacing) == pytest.approx(2.563 * sigma_mm, rel=0.12)


def test_no_edge_without_fluid() -> None:
    hu, mask = disc(0.6, (0.5, 0.5))
    assert np.isnan(edge_width_mm(hu + 30, mask, (0.5, 0.5)))


@pytest.mark.parametrize("left_offset", [0, 10])
def test_asymmetry_and_fragments_of_drawn_regions(left_offset: int) -> None:
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[10:20, 10:20] = 5
    labels[10:20, 40:48] = 5 + left_offset
    labels[30:32, 10:12] = 5
    template = np.full((40, 60), 30, dtype=np.float32)
    template[:, 30:] += 2
    template[:, [0, -1]] = 0
    (m1,) = region_symmetry(template, labels, (0.5, 0.4))
    assert m1.region is Region.M1
    assert m1.area_mm2[1] == pytest.approx(80 * 0.2)
    assert m1.hu_asymmetry == pytest.approx(-2)
    assert m1.fragments == 1
    assert m1.fragments_mm2 == pytest.approx(4 * 0.2)


def write(path: Path, pixels: np.ndarray[Any, Any], spacing: float = 1.0) -> None:
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing([spacing] * pixels.ndim)
    SimpleITK.WriteImage(image, str(path))


def test_an_own_template_without_labels(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64), dtype=np.float32)
    pixels[8:56, 8:56] = 30.4
    folder = tmp_path / "own"
    folder.mkdir()
    write(folder / "cortical_image_18_99.nii.gz", pixels)
    (figures,) = run(folder, "--picture", tmp_path / "quality.png")
    assert figures["name"] == "own"
    assert figures["age_group"] == "18-99"
    assert figures["entropy_brain"] == 0
    assert figures["edge_width_mm"] is None
    assert figures["hu_asymmetry"] is None
    assert figures["regions"] == []


def test_a_folder_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AtlasMissingError, match="holds no template"):
        read_templates(tmp_path)
    result = CliRunner().invoke(main, ["atlas", "quality", str(tmp_path)])
    assert result.exit_code == 2
    assert "[atlas-missing]" in result.stderr


def test_labels_must_lie_on_their_template(real: Path, tmp_path: Path) -> None:
    shutil.copy(real / "cortical_image_10_29.nii.gz", tmp_path)
    label = tmp_path / "cortical_label_10_29.nii.gz"
    write(label, np.zeros((9, 9), dtype=np.uint8))
    with pytest.raises(AtlasAlteredError, match="different grids"):
        read_templates(tmp_path)
    write(label, np.full((500, 500), 21, dtype=np.uint8), spacing=0.5)
    with pytest.raises(AtlasAlteredError, match="no region"):
        read_templates(tmp_path)
    write(label, np.zeros((3, 9, 9), dtype=np.uint8))
    with pytest.raises(AtlasAlteredError, match="2-D"):
        read_templates(tmp_path)
