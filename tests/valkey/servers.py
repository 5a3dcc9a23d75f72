"""Real servers for the tests: Valkey and Redis, each on a free port, keeping nothing on the disk."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, Literal, Self

import redis

from corral.valkey.address import ValkeyAddress, read_address
from tests.journeys.program import free_port
from tests.machine import REDIS, SYSTEM_PROGRAMS, VALKEY

Engine = Literal["valkey", "redis"]
ENGINES: Final[tuple[Engine, ...]] = ("valkey", "redis")
NEEDS: Final = {"valkey": VALKEY, "redis": REDIS}
PATIENCE: Final = 60.0


class Server:
    """One process. `options` are the server's own, such as maxmemory="1mb"; a list gives one several times."""

    def __init__(self, engine: Engine, folder: Path, **options: str) -> None:
        if not NEEDS[engine].is_here:
            NEEDS[engine].lacks()
        program = shutil.which(f"{engine}-server", path=SYSTEM_PROGRAMS)
        assert program is not None
        self.engine: Engine = engine
        self.port = free_port()
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scheme = engine
        self._program = program
        self._options = {"save": "", "appendonly": "no", "bind": "127.0.0.1", "port": str(self.port)} | {
            name.replace("_", "-"): value for name, value in options.items()
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def address(self) -> ValkeyAddress:
        return read_address(self.url)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *, waits: bool = True) -> None:
        options = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *self._configuration(), *options], cwd=self.folder, stdout=log, stderr=log
            )
        if waits:
            self._wait()

    def kill(self) -> None:
        """As `kill -9` does. Nothing happens to one that has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def ask(self, *command: str | bytes) -> object:
        """Sends one command as the default user."""
        with self.client() as client:
            return client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def client(self) -> "redis.Redis":
        password = self._options.get("requirepass")
        return redis.Redis(port=self.port, password=password, protocol=2, socket_timeout=PATIENCE, driver_info=None)

    def keys(self) -> list[bytes]:
        with self.client() as client:
            return sorted(client.scan_iter())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def connections(self) -> int:
        """How many clients are connected, besides the one that asks."""
        listed = self.ask("CLIENT", "LIST")
        return str(listed).count("addr=") - str(listed).count("laddr=") - 1

    def role(self) -> object:
        """b"master" of a primary."""
        role = self.ask("ROLE")
        assert isinstance(role, list)
        return role[0]  # pyright: ignore[reportUnknownVariableType]

    def _configuration(self) -> list[str]:
        return []

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _wait(self) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask("PING")
            except redis.RedisError:
                assert time.monotonic() < give_up_at, (self.folder / "server.log").read_text()
                time.sleep(0.02)
            else:
                return


class Sentinel(Server):
    """Watches the primary as the service "corral", and promotes a replica by itself."""

    def __init__(self, engine: Engine, folder: Path, primary: Server) -> None:
        super().__init__(engine, folder)
        self._options = {"port": str(self.port), "bind": "127.0.0.1"}
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"sentinel monitor corral 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds corral 500\n"
            "sentinel failover-timeout corral 5000\n"
        )

    @property
    def url(self) -> str:
        return f"{self.scheme}+sentinel://127.0.0.1:{self.port}/corral"

    def knows_replica(self) -> bool:
        return "b'slave'" in str(self.ask("SENTINEL", "REPLICAS", "corral"))

    def _configuration(self) -> list[str]:
        return [str(self._file), "--sentinel"]
