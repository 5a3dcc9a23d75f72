"""The Containerfile, the Compose files and the manifest follow their schemas, and fit each other and the code."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft201909Validator, Draft202012Validator
from typer.main import get_command

from corral import __version__
from corral.cli import app
from corral.settings import Settings, take_settings
from tests.containers.compose import services_of
from tests.operations import DOCUMENT

ROOT: Final = Path(__file__).parents[2]
SCHEMAS: Final = Path(__file__).parent / "schemas"
COMPOSE_FILES: Final = ("compose.yaml", "compose.postgresql.yaml")
CONTAINERFILE: Final = (ROOT / "Containerfile").read_text()
GRACE_SECONDS: Final = 60


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))


def pod() -> dict[str, Any]:
    (found,) = (one for one in manifests() if one["kind"] == "StatefulSet")
    return found["spec"]["template"]["spec"]


def instruction(name: str) -> str:
    """The last one of this name, with its continued lines."""
    text = CONTAINERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1]


def image_variables() -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(instruction("ENV")))


def corral_services() -> Iterator[Any]:
    """Every service that runs Corral's own program."""
    for file in COMPOSE_FILES:
        for name, service in services_of(ROOT / file).items():
            if service["image"] == "corral" and "entrypoint" not in service:
                yield pytest.param(service, id=f"{file}: {name}")


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_a_compose_file_follows_the_specification(file: str) -> None:
    schema = json.loads((SCHEMAS / "compose.json").read_text())
    content = yaml.safe_load((ROOT / file).read_text())
    assert content.pop("name").startswith("corral")  # an element that is newer than the schema
    judge: Any = Draft201909Validator(schema)
    judge.validate(content)
    assert not judge.is_valid({"services": {"corral": {"imagee": "corral"}}})


def test_the_manifest_follows_kubernetes_schemas() -> None:
    definitions = json.loads((SCHEMAS / "kubernetes.json").read_text())
    groups = {"Service": "core", "StatefulSet": "apps"}
    for manifest in manifests():
        kind = manifest["kind"]
        schema = definitions | {"$ref": f"#/$defs/io.k8s.api.{groups[kind]}.v1.{kind}"}
        judge: Any = Draft202012Validator(schema)
        judge.validate(manifest)
        manifest["spec"]["selectorr"] = {}
        assert not judge.is_valid(manifest)


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_every_volume_and_file_that_a_service_mounts_exists(file: str) -> None:
    declared = yaml.safe_load((ROOT / file).read_text())["volumes"].keys()
    mounted = {
        entry.partition(":")[0] for each in services_of(ROOT / file).values() for entry in each.get("volumes", [])
    }
    assert {name for name in mounted if not name.startswith("./")} == declared
    for name in mounted - declared:
        assert (ROOT / name).is_file(), name
        assert (ROOT / name).stat().st_mode & 0o004, f"{name} has to be readable in the container"


def accepted(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the command line reads them in the container."""
    for name, value in (image_variables() | dict(variables)).items():
        if name.startswith("CORRAL_"):
            monkeypatch.setenv(name, value)
    return take_settings({name: value for name, value in variables.items() if name.startswith("CORRAL_")})


@pytest.mark.parametrize("service", list(corral_services()))
def test_a_service_is_confined_and_its_settings_are_accepted(
    service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = accepted(service.get("environment", {}), monkeypatch)
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(entry.startswith("/tmp") for entry in service["tmpfs"])
    targets = {entry.split(":")[1] for entry in service["volumes"]} | {
        entry.split(":")[0] for entry in service["tmpfs"]
    }
    needed = {settings.keyring_path.parent, *([settings.data_dir] if settings.database_url is None else [])}
    assert {str(folder) for folder in needed} <= targets
    for url in filter(None, (settings.database_url, settings.database_owner_url)):
        address = url.get_secret_value()
        assert not re.search(r"://[^@/]*:", address), "a password is in a file, and not in the environment"
        assert Path(re.findall(r"passfile=([^&]*)", address)[0]).parent.as_posix() in targets
    if "command" not in service:  # it serves
        assert service["stop_grace_period"] == f"{GRACE_SECONDS}s"
        assert service["healthcheck"]["test"] == ["CMD", *json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])]


def test_the_image_runs_as_a_number_and_its_health_command_exists() -> None:
    assert re.fullmatch(r"\d+:\d+", instruction("USER"))
    program, command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert program == "corral"
    assert command in getattr(get_command(app), "commands", {})
    assert json.loads(instruction("ENTRYPOINT"))[-1] == "corral"
    assert int(instruction("EXPOSE")) == Settings.model_fields["port"].default
    volumes = json.loads(instruction("VOLUME"))
    variables = image_variables()
    assert variables["CORRAL_DATA_DIR"] in volumes
    assert str(Path(variables["CORRAL_KEYRING"].removeprefix("file:")).parent) in volumes


def test_everything_from_an_index_is_checked_by_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install [^&]*", CONTAINERFILE.replace("\\\n", " "))
    assert len(installs) == 3
    assert [line for line in installs if "--require-hashes -r requirements/" not in line] == [installs[-1]]
    assert "--no-index" in installs[-1], "the wheels that were built here"


def test_what_the_builder_gets_is_listed() -> None:
    """A data folder, an environment or a keyring in the checkout never gets into an image."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    copied = {
        part.rstrip("/")
        for found in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE)
        for part in found.split()
    }
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied


def test_the_pod_is_confined_and_its_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = pod()
    (container,) = spec["containers"]
    accepted({variable["name"]: variable["value"] for variable in container["env"]}, monkeypatch)
    assert container["image"] == f"corral:{__version__}"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" == instruction("USER")
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {*json.loads(instruction("VOLUME")), "/tmp"}


def test_probes_ask_paths_that_exist_and_the_pod_may_take_its_time_to_stop() -> None:
    spec = pod()
    (container,) = spec["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert set(probes.values()) <= DOCUMENT["paths"].keys()
    assert {container[name]["httpGet"]["port"] for name in probes} == {port["name"] for port in container["ports"]}
    drain = next(float(entry["value"]) for entry in container["env"] if entry["name"] == "CORRAL_DRAIN_SECONDS")
    assert container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"] < drain
    assert spec["terminationGracePeriodSeconds"] == GRACE_SECONDS
