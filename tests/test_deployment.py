"""What is in deploy/ is valid, confined, and agrees with the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec.models import ComposeSpecification

from node.config import NodeConfig, load_config
from node.service import Role
from node.web.settings import Web
from tests.peers import REPOSITORY, tool

DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "compose/Dockerfile.orthanc"]
CONFIGURATIONS = [
    *(DEPLOY / "compose").glob("*.toml"),
    *DEPLOY.glob("*.toml"),
    DEPLOY / "viewer/node.toml",
    KUBERNETES / "aspects-node.toml",
]
KUBERNETES_VERSION = "1.34"


def done(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(item) for item in command], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_configuration_loads(path: Path) -> None:
    load_config(path)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    found = done(Path(sys.executable).parent / "hadolint", "--no-color", path)
    assert (found.returncode, found.stdout) == (0, "")


def dockerfile() -> str:
    text = (DEPLOY / "Dockerfile").read_text()
    return text.replace("\\\n", " ")


def copied() -> Iterator[str]:
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile(), re.MULTILINE):
        yield from line.split()[:-1]


def test_the_image_takes_what_there_is_and_the_ignore_file_lets_through() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignored if line.startswith("!")]
    for name in copied():
        assert (REPOSITORY / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in let_through), name
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(wheel) <= set(copied())


def test_the_image_runs_as_nobody_special_on_the_ports_of_the_node() -> None:
    last = dockerfile().rsplit("\nFROM ", 1)[1]
    (user,) = re.findall(r"^USER (\d+):\d+$", last, re.MULTILINE)
    assert int(user) > 1000
    config = NodeConfig(data_folder=Path("/nowhere"))
    (ports,) = re.findall(r"^EXPOSE (.+)$", last, re.MULTILINE)
    assert ports.split() == [str(config.port), str(config.web.port)]
    assert f"http://localhost:{Web().port}/healthz" in last


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_is_as_its_specification_has_it() -> None:
    ComposeSpecification.model_validate(compose())


def test_compose_mounts_what_there_is() -> None:
    content = compose()
    for name, service in content["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if not source.startswith("."):
                assert source in content["volumes"], (name, source)
            elif not source.startswith("../build/"):
                assert (DEPLOY / source).exists(), (name, source)
    (viewer,) = [item for item in content["services"]["viewer"]["volumes"] if "build/" in item]
    fetched = (DEPLOY / "fetch-ohif").read_text()
    assert re.search(r"^version=(\S+)$", fetched, re.MULTILINE)[1] in viewer  # type: ignore[index]  # it has one


def test_compose_confines_every_container_and_opens_none_to_the_network() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert ":" in service["image"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for name in ("node", "receiver", "worker"):
        assert compose()["services"][name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(("profile", "proxy"), [("viewer", "viewer"), ("scale", "pages")])
def test_compose_nodes_believe_their_proxy_alone(profile: str, proxy: str) -> None:
    config = load_config(DEPLOY / f"compose/{profile}.toml")
    address = compose()["services"][proxy]["networks"][profile]["ipv4_address"]
    assert config.web.trusted_proxies == (address,)
    header = f"proxy_set_header {config.web.proxy_header} "
    assert header in (DEPLOY / f"compose/{proxy}.conf").read_text()


def test_roles_and_secrets_are_those_that_there_are() -> None:
    services = compose()["services"]
    config = load_config(DEPLOY / "compose/scale.toml")
    for name in ("receiver", "worker"):
        command = services[name]["command"]
        Role(command[command.index("--role") + 1])
        assert config.work.password_env in services[name]["environment"]


def manifests() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.stem}-{number}", item)
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for number, item in enumerate(yaml.safe_load_all(path.read_text()))
    ]


@pytest.mark.parametrize(("name", "manifest"), manifests(), ids=[name for name, _ in manifests()])
def test_manifests_are_as_kubernetes_has_them(name: str, manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_kustomization_names_every_manifest() -> None:
    content = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(content["resources"]) == files
    (generated,) = content["configMapGenerator"]
    assert all((KUBERNETES / name).exists() for name in generated["files"])


def pods() -> Iterator[dict[str, Any]]:
    for _, item in manifests():
        if item["kind"] in {"StatefulSet", "Deployment"}:
            yield item["spec"]["template"]["spec"]


def test_pods_are_restricted_as_their_namespace_asks() -> None:
    (namespace,) = [item for _, item in manifests() if item["kind"] == "Namespace"]
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    found = list(pods())
    assert len(found) == 2
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        Role(container["args"][container["args"].index("--role") + 1])


def test_pods_mount_the_data_folder_and_ask_for_what_the_node_serves() -> None:
    config = load_config(KUBERNETES / "aspects-node.toml")
    for pod in pods():
        (container,) = pod["containers"]
        mounts = {item["mountPath"] for item in container["volumeMounts"]}
        assert str(config.data_folder) in mounts
        assert config.work.password_env in {item["name"] for item in container["env"]}
        ports = {item["name"]: item["containerPort"] for item in container.get("ports", [])}
        assert ports in ({}, {"dicom": config.port, "web": config.web.port})


def test_the_install_script_says_what_it_would_do_and_does_nothing() -> None:
    found = done("deploy/install", "--dry-run", "--no-start")
    assert found.returncode == 0, found.stderr
    for step in ("useradd --system", "make-environment", "first.toml", "atlas install", "check"):
        assert step in found.stdout
    assert not Path("/etc/aspects-node").exists() or "left as it is" in found.stdout
    assert done("bash", "-n", "deploy/install").returncode == 0


def test_the_install_script_knows_no_other_options() -> None:
    found = done("deploy/install", "--whatever")
    assert found.returncode == 2
    assert "--dry-run" in found.stderr


def test_prometheus_reads_its_configuration() -> None:
    if (promtool := tool("promtool")) is None:
        pytest.skip("not installed: prometheus")
    found = done(promtool, "check", "config", "--syntax-only", DEPLOY / "compose/prometheus.yml")
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", ["compose/orthanc.json", "viewer/orthanc.json"])
def test_orthanc_of_the_tutorial_knows_the_node(name: str) -> None:
    content = json.loads((DEPLOY / name).read_text())
    aet, _, port = content["DicomModalities"]["aspects"]
    config = NodeConfig(data_folder=Path("/nowhere"))
    assert (aet, port) == (config.ae_title, config.port)
    toml = "compose/viewer.toml" if name.startswith("compose") else "viewer/node.toml"
    (peer,) = load_config(DEPLOY / toml).peers
    assert (peer.ae_title, peer.port) == (content["DicomAet"], content["DicomPort"])
