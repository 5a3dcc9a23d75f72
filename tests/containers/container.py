"""Containers without a container engine: namespaces, a read-only root, the mounts, the user and nothing else.

A process gets what Docker, Podman and Kubernetes give it: namespaces of its own for processes, mounts, network and
messages, a /dev with 64 MB of shared memory, the capabilities and groups that are named, and no other.
"""

import http.client
import json
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from tests.containers.image import Image

PATIENCE: Final = 300.0  # seconds after which a container counts as hanging, on a machine that does other things, too
_CLONE_NEWNET: Final = 0x40000000
Answer = tuple[int, Any]  # status and JSON
_Result = TypeVar("_Result")

_DEVICES: Final = """
mount -t tmpfs -o nosuid,mode=0755 dev dev
for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
  mknod -m 666 "dev/${device% *}" c 1 "${device#* }"
done
mknod -m 666 dev/tty c 5 0
ln -s /proc/self/fd dev/fd
mkdir dev/shm
"""


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """What is run in a container, and with which rights."""

    command: Sequence[str]
    environment: Mapping[str, str]
    user: str = "10001:10001"
    groups: str = ""  # supplementary ones, as fsGroup gives them
    capabilities: Sequence[str] = ()
    folder: str = "/"

    def confined(self) -> list[str]:
        uid, _, gid = self.user.partition(":")
        kept = ",".join(["-all", *(f"+{name.lower()}" for name in self.capabilities)])
        groups = ["--groups", self.groups] if self.groups else ["--clear-groups"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [
            *("/usr/bin/setpriv", "--reuid", uid, "--regid", gid or "0", *groups),
            *("--bounding-set", kept, "--inh-caps", "-all", "--no-new-privs", "--"),
            *("/usr/bin/env", "-i", f"--chdir={self.folder}", *variables, *self.command),
        ]


def process_of(image: Image, *command: str, environment: Mapping[str, str] | None = None, user: str = "") -> Process:
    """As `docker run --user USER IMAGE COMMAND` runs it."""
    config = image.config
    return Process(
        [*config["Entrypoint"], *(command or config["Cmd"])],
        {"HOSTNAME": "container", "HOME": "/", **image.environment, **(environment or {})},
        user or config["User"],
        folder=config["WorkingDir"] or "/",
    )


@dataclass
class Container:
    process: Process
    _running: subprocess.Popen[bytes]
    _output: Path
    started_at: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The first process's, as the system outside counts."""
        return int(until(self._children)[0])

    def _children(self) -> list[str]:
        assert self._running.poll() is None, f"ended with status {self._running.returncode}: {self.output}"
        try:
            return Path(f"/proc/{self._running.pid}/task/{self._running.pid}/children").read_text().split()
        except FileNotFoundError:
            return []

    def get(self, path: str, *, port: int = 8002, **options: Any) -> Answer:  # noqa: ANN401 - JSON
        return self.ask("GET", path, port=port, **options)

    def ask(self, method: str, path: str, *, host: str = "127.0.0.1", port: int = 8002, **options: Any) -> Answer:  # noqa: ANN401 - JSON
        """Returns status and JSON of the answer; 0 while none listens. Asked from inside the container's network."""
        return within_network(self.pid, lambda: _asked(method, path, host=host, port=port, **options))

    def becomes_ready(self, path: str = "/readyz") -> float:
        """Returns the seconds since its start."""
        until(lambda: self._running.poll() is not None or self.get(path)[0] == 200)
        assert self._running.poll() is None, self.output
        return time.monotonic() - self.started_at

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As `docker exec` runs it: with the image's variables, and past its entrypoint."""
        until(lambda: Path(f"/proc/{self.pid}/root").readlink() != Path("/"))
        inside = ("--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd=/")
        process = Process(command, self.process.environment, self.process.user, self.process.groups)
        entered = ["nsenter", "--target", str(self.pid), *inside, *process.confined()]
        return subprocess.run(entered, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def processes(self) -> dict[int, str]:
        """Of all processes in it: state and command, by their ids inside."""
        listed = self.execute("/bin/sh", "-c", "for p in /proc/[0-9]*; do cat $p/stat 2>/dev/null || true; done")
        return {int(line.split()[0]): line.partition("(")[2] for line in listed.stdout.splitlines()}

    def cpu_seconds(self) -> float:
        """Of all its processes until now, with those that have ended."""
        ticks = sum(sum(map(int, line.rpartition(")")[2].split()[11:15])) for line in self.processes().values())
        return ticks / os.sysconf("SC_CLK_TCK")

    def signal(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    def ends(self) -> int:
        return self._running.wait(PATIENCE)

    def stop(self) -> int:
        """Returns its exit status after SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.ends()

    def kill(self) -> None:
        """As a power failure: all its processes end at once."""
        if self._running.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.ends()


@contextmanager
def running(
    image: Image,
    process: Process,
    mounts: Sequence[Mount] = (),
    *,
    tmpfs: Mapping[str, str] | None = None,
    network: "Network | None" = None,
    address: str = "",
    hosts: Mapping[str, str] | None = None,
    shm: str = "64m",
) -> Generator[Container]:
    """Runs it with a read-only root. `tmpfs` are options by path, `hosts` addresses by name, `shm` /dev/shm's size."""
    folder = Path(tempfile.mkdtemp(prefix="corral-container-"))
    folder.chmod(0o755)
    try:
        names = {"localhost": "127.0.0.1", **(hosts or {})}
        (folder / "hosts").write_text("".join(f"{place} {name}\n" for name, place in names.items()))
        script = _script(image.root, folder, process, mounts, {"/tmp": ""} if tmpfs is None else tmpfs, shm)
        output = folder / "output"
        with output.open("wb") as out:
            apart = ("--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "--kill-child")
            started = subprocess.Popen(["unshare", *apart, "bash", "-euc", script], stdout=out, stderr=out)
        container = Container(process, started, output)
        try:
            if network is not None:
                network.attach(container, address)
            (folder / "go").touch()
            yield container
        finally:
            container.kill()
    finally:
        shutil.rmtree(folder)


def _script(
    root: Path, folder: Path, process: Process, mounts: Sequence[Mount], tmpfs: Mapping[str, str], shm: str
) -> str:
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    own = Mount(folder / "hosts", "/etc/hosts")
    lines = [
        f"mount -t overlay overlay -o lowerdir={root},upperdir={folder}/upper,workdir={folder}/work {folder}/root",
        f"cd {folder}/root && mount -t proc proc proc",
        _DEVICES,
        f"mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size={shm} shm dev/shm" if shm else "rmdir dev/shm",
    ]
    for mount in (own, *mounts):
        target, source = shlex.quote(mount.target.lstrip("/")), shlex.quote(str(mount.source))
        lines.append(f"[ -d {source} ] && mkdir -p {target} || {{ mkdir -p $(dirname {target}); touch {target}; }}")
        lines.append(f"mount --bind {source} {target}")
        lines += [f"mount -o remount,bind,ro {target}"] if mount.is_read_only else []
    for path, options in tmpfs.items():
        lines.append(
            f"mkdir -p .{path} && mount -t tmpfs -o nosuid,nodev,noexec,{options or 'mode=1777'} tmpfs .{path}"
        )
    inside = shlex.join(["chroot", ".", *process.confined()])
    return "\n".join(
        [
            *lines,
            "mount -o remount,ro .",
            f"until [ -e {folder}/go ]; do sleep 0.01; done",
            "cd . && ip link set lo up",
            f"exec {inside}",
        ]
    )


class Network:
    """A bridge to which containers are attached, each with an address and a name that all others can look up."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._attached: list[tuple[Container, str]] = []

    def __enter__(self) -> Self:
        own = Path("/proc/self/ns/net").readlink()
        until(lambda: Path(f"/proc/{self._holder.pid}/ns/net").readlink() != own)
        for command in ("addr add 10.213.80.1/24 dev lan", "link set lan up", "link set lo up"):
            if command.startswith("addr"):
                self._ip("link add lan type bridge")
            self._ip(command)
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.wait()

    @property
    def pid(self) -> int:
        return self._holder.pid

    def attach(self, container: Container, address: str) -> None:
        port = f"port{address.rpartition('.')[2]}"
        self._ip(f"link add {port} type veth peer name eth0 netns {container.pid}")
        self._ip(f"link set {port} master lan up")
        for command in (f"addr add {address}/24 dev eth0", "link set eth0 up"):
            _in_network(container.pid, "ip", *command.split())

    def _ip(self, command: str) -> None:
        _in_network(self._holder.pid, "ip", *command.split())


def _in_network(pid: int, *command: str) -> None:
    subprocess.run(["nsenter", "--target", str(pid), "--net", *command], check=True)


def within_network(pid: int, work: Callable[[], _Result]) -> _Result:
    """Does it in a thread that enters the network of this process. (A socket stays in the network it was made in.)"""
    results: list[_Result] = []
    failures: list[Exception] = []

    def enter_and_work() -> None:
        handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            assert CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) == 0
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that asked
            failures.append(error)
        finally:
            os.close(handle)

    thread = threading.Thread(target=enter_and_work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _asked(
    method: str,
    path: str,
    *,
    host: str,
    port: int,
    body: object = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, Any]:
    made = http.client.HTTPSConnection(host, port, timeout=60, context=tls) if tls else None
    connection = made or http.client.HTTPConnection(host, port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = "application/json"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), named)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in {b"{", b"["} else text.decode(errors="replace")
    except (OSError, http.client.HTTPException):  # also while the network is being made
        return 0, None
    finally:
        connection.close()


def until(found: Callable[[], _Result | None]) -> _Result:
    """Returns the first result that is not empty."""
    deadline = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.02)
    return result
