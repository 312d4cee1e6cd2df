"""``aspects-node check`` finds what would keep a node from working."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node import check as checks
from node.check import Grade
from node.cli import main
from node.web.accounts import write_users
from tests.peers import StoreScp, free_port, peer, run, to_toml


@pytest.fixture
def look(tmp_path: Path, atlas_folder: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs the command with a configuration."""

    def look_at(*arguments: str, **config: Any) -> tuple[int, dict[str, Any]]:
        values = {
            "data_folder": str(tmp_path / "data"),
            "atlas_folder": str(atlas_folder),
            "port": free_port(),
            "min_free_disk": 0,
            "web": {"port": free_port()},
            **config,
        }
        file = tmp_path / "node.toml"
        file.write_text(to_toml(values))
        done = CliRunner().invoke(main, ["check", "--json", "--config", str(file), *arguments])
        return done.exit_code, {item["what"]: item for item in json.loads(done.output)}

    return look_at


def test_a_node_that_could_work_is_well(
    look: Callable[..., tuple[int, dict[str, Any]]], pacs: StoreScp
) -> None:
    code, found = look(default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    assert code == 0
    assert {item["grade"] for item in found.values()} <= {"ok", "warning"}
    assert {"configuration", "data folder", "disk", "atlas", "weights", "port", "web.port",
            "peer pacs"} <= set(found)  # fmt: skip
    assert "answered in" in found["peer pacs"]["text"]


def test_the_environment_may_name_the_configuration(
    tmp_path: Path, atlas_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "elsewhere.toml"
    values = {"data_folder": str(tmp_path / "data"), "atlas_folder": str(atlas_folder)}
    file.write_text(to_toml({**values, "ae_title": "FROMTHERE"}))
    monkeypatch.setenv("ASPECTS_NODE_CONFIG", str(file))
    assert "FROMTHERE" in CliRunner().invoke(main, ["check"], terminal_width=200).output


def test_a_text_with_brackets_is_shown_whole(tmp_path: Path, atlas_folder: Path) -> None:
    file = tmp_path / "node.toml"
    values = {"data_folder": str(tmp_path / "data"), "atlas_folder": str(atlas_folder)}
    file.write_text(to_toml(values))
    done = CliRunner().invoke(main, ["check", "--config", str(file)], terminal_width=200)
    assert "[[peers]]" in done.output


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves a refused socket open
def test_a_peer_that_is_down_is_1_unless_it_is_not_asked(
    look: Callable[..., tuple[int, dict[str, Any]]],
) -> None:
    peers = [peer("pacs", "PACS", free_port())]
    code, found = look(peers=peers, default_peer="pacs")
    assert (code, found["peer pacs"]["grade"]) == (1, "unreachable")
    code, found = look("--no-peers", peers=peers, default_peer="pacs")
    assert (code, "peer pacs" in found) == (0, False)


def test_an_atlas_that_is_not_there_is_2(
    look: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    empty = tmp_path / "aspects-281"
    empty.mkdir()
    code, found = look(atlas_folder=str(empty))
    assert (code, found["atlas"]["grade"]) == (2, "broken")
    assert "aspects-node atlas install" in found["atlas"]["text"]


def test_a_disk_that_is_nearly_full_is_2(look: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    code, found = look(min_free_disk=1 << 60)
    assert (code, found["disk"]["grade"]) == (2, "broken")


def test_a_port_that_is_taken_is_2(
    look: Callable[..., tuple[int, dict[str, Any]]], pacs: StoreScp
) -> None:
    code, found = look(port=pacs.port)
    assert (code, found["port"]["grade"]) == (2, "broken")
    code, found = look(web={"port": pacs.port})
    assert (code, found["web.port"]["grade"]) == (0, "warning")


def test_nobody_who_takes_results_is_a_warning(
    look: Callable[..., tuple[int, dict[str, Any]]],
) -> None:
    code, found = look()
    assert (code, found["destinations"]["grade"]) == (0, "warning")


@pytest.mark.parametrize(
    ("days", "grade"), [("400", Grade.OK), ("10", Grade.WARNING), ("-1", Grade.BROKEN)]
)
def test_a_certificate_is_judged_by_its_end(tmp_path: Path, days: str, grade: Grade) -> None:
    key, path, wish = tmp_path / "a.key", tmp_path / "a.pem", tmp_path / "a.csr"
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node",
        "-keyout", key, "-out", wish)  # fmt: skip
    run("openssl", "x509", "-req", "-in", wish, "-signkey", key, "-days", days, "-out", path)
    assert checks.certificate("tls", path, key).grade is grade


def test_a_key_of_another_certificate_is_broken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node",
            "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem")  # fmt: skip
    found = checks.certificate("tls", tmp_path / "a.pem", tmp_path / "b.key")
    assert found.grade is Grade.BROKEN


def test_a_users_file_that_others_read_is_a_warning(
    look: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "users"
    web = {"port": free_port(), "users_file": str(path)}
    assert look(web=web)[0] == 2
    write_users(path, {"alice": "x"})
    path.write_text("alice:scrypt$1024$8$1$AAAA$AAAA\n")
    assert look(web=web)[1]["users"]["grade"] == "ok"
    path.chmod(0o644)
    assert look(web=web)[1]["users"]["grade"] == "warning"


def test_a_user_is_added_and_taken_out(tmp_path: Path) -> None:
    users, file = tmp_path / "users", tmp_path / "node.toml"
    file.write_text(to_toml({"web": {"users_file": str(users)}}))
    runner = CliRunner()
    base = ["user", "alice", "--config", str(file)]
    done = runner.invoke(main, base, input="correct horse\ncorrect horse\n")
    assert (done.exit_code, "alice may log in" in done.output) == (0, True)
    assert users.read_text().startswith("alice:scrypt$131072$8$1$")
    assert runner.invoke(main, base, input="short\nshort\n").exit_code == 1
    assert runner.invoke(main, [*base, "--remove"]).exit_code == 0
    assert users.read_text() == ""
    assert runner.invoke(main, [*base, "--remove"]).exit_code == 1
