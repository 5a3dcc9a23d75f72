"""Runs the pod of the manifest as a kubelet does: its user, groups, mounts, variables and probes, and its end."""

import http.client
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.containers.container import Container, Mount, Network, Process, running, until, within_network
from tests.containers.image import Image
from tests.containers.test_manifests import pod

ADDRESS: Final = "10.213.80.20"


def hand_over_to_group(folder: Path, group: int) -> None:
    """As the kubelet does with `fsGroup` and `OnRootMismatch`: nothing, if the volume itself is right already."""
    found = folder.stat()
    if found.st_gid == group and found.st_mode & 0o2070 == 0o2070:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, group)
        path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))


@contextmanager
def running_pod(image: Image, volumes: Path, network: Network, **more: str) -> Generator[Container]:
    spec, (given,) = pod(), pod()["containers"]
    context = spec["securityContext"]
    mounts: list[Mount] = []
    for mount in given["volumeMounts"]:
        if mount["name"] != "tmp":
            (volumes / mount["name"]).mkdir(mode=0o755, exist_ok=True)
            hand_over_to_group(volumes / mount["name"], context["fsGroup"])
            mounts.append(Mount(volumes / mount["name"], mount["mountPath"]))
    variables = {entry["name"]: entry["value"] for entry in given["env"]}
    process = Process(
        [*image.config["Entrypoint"], *image.config["Cmd"]],
        {**image.environment, **variables, **more},
        f"{context['runAsUser']}:{context['runAsGroup']}",
        groups=str(context["fsGroup"]),
    )
    tmpfs = {"/tmp": f"mode=2777,gid={context['fsGroup']},size=64m"}
    with running(image, process, mounts, tmpfs=tmpfs, network=network, address=ADDRESS) as container:
        yield container


def probe(network: Network, name: str) -> bool:
    """From outside of the pod and by its address, as the kubelet asks."""
    path = pod()["containers"][0][name]["httpGet"]["path"]

    def ask() -> int:
        connection = http.client.HTTPConnection(
            ADDRESS, 8002, timeout=pod()["containers"][0][name].get("timeoutSeconds", 1)
        )
        try:
            connection.request("GET", path, headers={"User-Agent": "kube-probe/1.37", "Accept": "*/*"})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    return within_network(network.pid, ask) == 200


def test_the_pod_starts_answers_its_probes_and_ends_in_order_twice_on_its_volumes(image: Image, volumes: Path) -> None:
    with Network() as network:
        for _ in range(2):
            with running_pod(image, volumes, network) as container:
                until(lambda: probe(network, "startupProbe"))
                until(lambda: probe(network, "readinessProbe"))
                assert probe(network, "livenessProbe")
                began = time.monotonic()
                container.signal(signal.SIGTERM)
                until(lambda: not probe(network, "readinessProbe"))
                assert probe(network, "livenessProbe"), "it still answers while it drains"
                assert container.ends() == 0, container.output
                assert time.monotonic() - began < pod()["terminationGracePeriodSeconds"]
        modes: dict[str, Any] = {path.name: oct(path.stat().st_mode & 0o777) for path in (volumes / "data").iterdir()}
        assert modes["postgres"] == "0o700"
        assert (volumes / "keyring" / "keyring.json").stat().st_mode & 0o777 == 0o600


def test_variables_that_kubernetes_makes_of_a_service_are_refused_with_the_way_out(image: Image, volumes: Path) -> None:
    links = {"CORRAL_SERVICE_HOST": "10.96.0.7", "CORRAL_SERVICE_PORT": "80", "CORRAL_PORT": "tcp://10.96.0.7:80"}
    with Network() as network, running_pod(image, volumes, network, **links) as container:
        assert container.ends() == 1
        assert "set `enableServiceLinks: false` in the pod's spec" in container.output
