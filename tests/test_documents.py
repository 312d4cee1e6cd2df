"""README, constraints and changelog say what the code says."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from node.cli import main
from node.config import Delivery, NodeConfig, Tls
from node.dicomweb_settings import Dicomweb
from node.keeping_settings import Audit, Retention
from node.notify.settings import Notification
from node.peer import Peer
from node.series_rules import SeriesRule
from node.web.settings import Web
from node.work.settings import Work
from tests.peers import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SECTIONS: dict[str, type[BaseModel]] = {
    "delivery": Delivery,
    "tls": Tls,
    "dicomweb": Dicomweb,
    "web": Web,
    "retention": Retention,
    "audit": Audit,
    "work": Work,
    "notifications": Notification,
    "series_rules": SeriesRule,
    "peers": Peer,
}


def rows(first: str) -> dict[str, list[str]]:
    """Return the rows of the README's tables whose first header is `first`."""
    found: dict[str, list[str]] = {}
    is_inside = False
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith(f"| {first} |"):
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not line.startswith("|---"):
            assert cells[0] not in found, f"twice in README: {cells[0]}"
            found[cells[0].strip("`")] = cells[1:]
    return found


def leaves(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield (parameter.name or "").upper()
        elif isinstance(parameter, click.Option) and not parameter.hidden:
            yield from (*parameter.opts, *parameter.secondary_opts)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if name in SECTIONS and not prefix:
            yield from keys(SECTIONS[name], f"{name}.")
        else:
            yield prefix + name, field


def written(field: Any) -> str:
    """Return how the README writes a default."""
    if field.default_factory is not None:
        return "see Commands"
    if field.default is PydanticUndefined:
        return "required"
    return "not set" if field.default is None else f"`{json.dumps(field.default)}`"


COMMANDS = dict(leaves(main, "aspects-node"))
KEYS = dict(keys(NodeConfig))


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_readme_names_every_option_of_a_command(path: str) -> None:
    said = re.findall(r"`([^` ]+)[^`]*`", rows("command")[path][0])
    assert sorted(said) == sorted({*options(COMMANDS[path]), *defaults(said)})


def defaults(said: list[str]) -> set[str]:
    """Return the values in parentheses: they are written as code, too."""
    return {item for item in said if not item.startswith("--") and not item.isupper()}


def test_readme_has_no_command_that_is_not_there() -> None:
    assert sorted(rows("command")) == sorted(COMMANDS)


def test_readme_lists_the_configuration_keys_in_order() -> None:
    assert list(rows("key")) == list(KEYS)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_readme_gives_the_default_of_a_key(key: str) -> None:
    assert rows("key")[key][0] == written(KEYS[key])


def test_readme_explains_every_dependency() -> None:
    needed = {name_of(item) for item in PYPROJECT["project"]["dependencies"]}
    assert {normal(name) for name in rows("package")} == needed


def test_readme_names_every_development_tool() -> None:
    for item in PYPROJECT["project"]["optional-dependencies"]["dev"]:
        assert f"`{item}`" in README


def name_of(requirement: str) -> str:
    return normal(re.split(r"[<>=!~;\[ ]", requirement)[0])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    text = (REPOSITORY / "deploy/constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {normal(name): number for name, number in (line.split("==") for line in lines)}


def test_constraints_pin_every_dependency_as_installed() -> None:
    project = PYPROJECT["project"]
    for item in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = name_of(item)
        assert version(name).split("+")[0] == pins()[name], name


def test_constraints_pin_the_build_tool_as_pyproject_does() -> None:
    assert f"hatchling=={pins()['hatchling']}" in PYPROJECT["build-system"]["requires"]


def test_constraints_take_no_cuda_packages() -> None:
    assert not [name for name in pins() if name.startswith(("nvidia", "cuda", "triton"))]


def test_changelog_has_the_version() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {PYPROJECT['project']['version']} " in changelog


def test_readme_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    for name in pictures:
        assert 0 < (REPOSITORY / name).stat().st_size < 500_000, name


def test_readme_begins_with_picture_and_the_two_commands() -> None:
    first_screen = README.split("\n## ")[0]
    assert "![" in first_screen
    assert re.findall(r"^make \w+", first_screen, re.MULTILINE) == ["make demo", "make test"]
