from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.choices import Choices
from node.config import Delivery, NodeConfig, load_config, make_config
from node.errors import ConfigError
from node.peer import Peer
from node.series_rules import SeriesRule
from tests.peers import REPOSITORY, NodeProcess, StoreScp, peer

EXAMPLE = REPOSITORY / "deploy" / "aspects-node.example.toml"
HERE = Path("node.toml")


def test_example_loads() -> None:
    config = load_config(EXAMPLE)
    assert config.default_peer == "pacs"
    assert config.peer_of("CT1") == config.peer("scanner")


def test_example_names_every_key() -> None:
    values = tomllib.loads(EXAMPLE.read_text())
    text = EXAMPLE.read_text()
    missing = [
        key
        for key in NodeConfig.model_fields
        if key not in values and f"# {key} =" not in text and f"# [[{key}]]" not in text
    ]
    assert not missing
    assert not [key for key in SeriesRule.model_fields if f"# {key} =" not in text]
    assert set(values["delivery"]) == set(Delivery.model_fields)
    named = {key for key in Peer.model_fields if key in values["peers"][0] or f"# {key} =" in text}
    assert named == set(Peer.model_fields)


def test_example_gives_the_defaults() -> None:
    values = tomllib.loads(EXAMPLE.read_text())
    example, default = load_config(EXAMPLE), NodeConfig()
    told = set(values) - {"data_folder", "default_peer", "peers"}
    assert {key: getattr(example, key) for key in told} == {
        key: getattr(default, key) for key in told
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"port": 70000}, "port: "),
        ({"ae_title": "MORE THAN SIXTEEN"}, "ae_title: "),
        ({"ae_title": "BACK\\SLASH"}, "ae_title: "),
        ({"quite_time_s": 1}, "quite_time_s: "),
        ({"uid_root": "1.2.3"}, "uid_root: "),
        ({"registration": "syn"}, "registration: "),
        ({"brain": "none"}, "brain: "),
        ({"asymmetry_ratio": 1.2}, "asymmetry_ratio: "),
        ({"default_peer": "pacs"}, "default_peer: there is no [[peers]] with name 'pacs'"),
        ({"also_send_to": ["x"]}, "also_send_to: there is no [[peers]] with name 'x'"),
        ({"delivery": {"jitter": 2}}, "delivery.jitter: "),
        (
            {"peers": [{"name": "a", "ae_title": "A", "host": "h"}]},
            "peers.0: peer a: host and port, or stow_url",
        ),
        ({"peers": [peer("a", "A", 1), peer("b", "A", 2)]}, "peers: two peers have the same"),
        ({"peers": [peer("a", "A", 1), peer("a", "B", 2)]}, "peers: two peers have the same name"),
    ],
)
def test_error_names_the_key(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_config(values, HERE)
    assert f"{HERE}: {expected}" in str(raised.value)


def test_every_wrong_key_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        make_config({"port": 0, "workers": 0}, HERE)
    assert len(str(raised.value).splitlines()) == 2


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('data_folder = "data"')
    assert load_config(tmp_path / "node.toml").data_folder == tmp_path / "data"


def test_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASPECTS_NODE_PORT", "4711")
    monkeypatch.setenv("ASPECTS_NODE_DELIVERY__FACTOR", "3")
    config = make_config({"port": 1}, HERE)
    assert (config.port, config.delivery.factor) == (4711, 3.0)


@pytest.mark.parametrize("text", ["port = ", "\xff"])
def test_what_is_not_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(tmp_path / "node.toml")


def refused(node: NodeProcess) -> str:
    """Start a node that must not start; return what it says."""
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(30) == 2
    return node.log.read_text()


def test_serve_refuses_a_wrong_key(make_node: Callable[..., NodeProcess]) -> None:
    assert "max_pdu: " in refused(make_node(max_pdu=1))


def test_serve_refuses_a_missing_file(make_node: Callable[..., NodeProcess]) -> None:
    node = make_node()
    node.config_file.unlink()
    assert "cannot be read" in refused(node)


def test_serve_refuses_a_missing_atlas(
    make_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = make_node(atlas="aspects-281")
    text = node.config_file.read_text().splitlines()
    node.config_file.write_text("\n".join(line for line in text if "atlas_folder" not in line))
    assert f"aspects-node atlas install aspects-281 --data {tmp_path}" in refused(node)


def test_serve_refuses_an_atlas_folder_with_another_set(
    make_node: Callable[..., NodeProcess],
) -> None:
    assert "holds the atlas set aspects-281" in refused(make_node(atlas="other"))


def test_serve_refuses_an_altered_atlas(
    make_node: Callable[..., NodeProcess], tmp_path: Path, atlas_folder: Path
) -> None:
    copy = tmp_path / "aspects-281"
    shutil.copytree(atlas_folder, copy)
    with (copy / "cortical_label_10_29.nii.gz").open("ab") as file:
        file.write(b"\x00")
    answer = refused(make_node(atlas_folder=str(copy)))
    assert "cortical_label_10_29.nii.gz" in answer
    assert "aspects-node atlas install" in answer


def test_serve_refuses_a_taken_port(make_node: Callable[..., NodeProcess], pacs: StoreScp) -> None:
    assert f"cannot listen on 127.0.0.1:{pacs.port}" in refused(make_node(port=pacs.port))


def test_serve_refuses_a_shared_data_folder(make_node: Callable[..., NodeProcess]) -> None:
    first = make_node("tests.node.double:compute")
    first.start()
    second = make_node("tests.node.double:compute", name="second", data_folder=str(first.data))
    assert "another node works in" in refused(second)


def test_unknown_callers_are_refused_unless_somebody_says_otherwise() -> None:
    pacs = Peer(name="pacs", ae_title="PACS", host="h", port=104)
    assert not NodeConfig(peers=(pacs,), default_peer="pacs").accept_unknown_callers


def test_choices_of_the_method_are_read() -> None:
    values: dict[str, Any] = {
        "registration": "ants",
        "brain": "paper",
        "all_slices": True,
        "asymmetry_flags": True,
        "asymmetry_difference_hu": 3.0,
        "asymmetry_ratio": 0.9,
    }
    assert make_config(values, HERE).choices == Choices(**values)
    assert NodeConfig().choices == Choices()
