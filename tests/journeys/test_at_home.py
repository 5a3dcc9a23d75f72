"""The recipes of docs/at-home.md, as they are printed there, with ports and names of this machine."""

import asyncio
import os
import pwd
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.journeys.program import PATIENCE, Running, browser, free_port, running, running_command
from tests.journeys.proxies import Proxy, caddy
from tests.journeys.test_docs import BLOCKS
from tests.journeys.visits import ALPACAS_CLIENT, visiting
from tests.machine import CADDY, OPENSSL, SSHD, SYSTEM_PROGRAMS

PAGE = "docs/at-home.md"


def printed(start: str, language: str = "sh") -> str:
    (text,) = (
        block.text for block in BLOCKS if block.page == PAGE and block.language == language and start in block.text
    )
    return text


async def shell(text: str, folder: Path) -> None:
    """Runs a block in a folder."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={"PATH": SYSTEM_PROGRAMS, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def settings_of(text: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in text.replace("export ", "").split() if word.startswith("CORRAL_")]
    return {name: value for name, _, value in pairs}


@ALPACAS_CLIENT
@OPENSSL.mark
async def test_a_certificate_made_with_openssl_serves_the_network(
    folder: Path, against_sandbox: dict[str, str], on_the_runs_database: dict[str, str]
) -> None:
    await shell(printed("openssl req").replace("192.168.1.20", "127.0.0.1"), folder)
    port = free_port()
    own = settings_of(printed("CORRAL_TLS_CERT"))
    assert set(own) == {"CORRAL_HOST", "CORRAL_PUBLIC_URL", "CORRAL_TLS_CERT", "CORRAL_TLS_KEY"}
    url = f"https://127.0.0.1:{port}"
    files = {"tls_cert": folder / own["CORRAL_TLS_CERT"], "tls_key": folder / own["CORRAL_TLS_KEY"]}
    settings: dict[str, Any] = against_sandbox | on_the_runs_database
    settings |= files | {"host": own["CORRAL_HOST"], "public_url": url, "port": port}
    trust = ssl.create_default_context(cafile=str(folder / "home-ca.pem"))
    async with running("serve", **settings) as server:
        await server.says(r"TLS +(corral\.home\.arpa, 127\.0\.0\.1 \(valid until .*, 36[45] days left\))")
        async with visiting(url, trust, settings) as visitor:
            await visitor.hear_events()
            await visitor.trade()
        assert await server.stop() == 0


@ALPACAS_CLIENT
@CADDY.mark
async def test_caddys_own_authority_works_in_front_of_corral(
    folder: Path, against_sandbox: dict[str, str], on_the_runs_database: dict[str, str]
) -> None:
    proxy = Proxy(folder / "proxy", [free_port()])
    text = proxy.as_printed(PAGE, "caddyfile", **{"127.0.0.1:8002": f"127.0.0.1:{proxy.replicas[0]}"})
    settings: dict[str, Any] = against_sandbox | on_the_runs_database
    settings |= {"port": proxy.replicas[0], "public_url": proxy.url, "trusted_proxies": "127.0.0.1"}
    async with (
        running("serve", **settings) as server,
        caddy(proxy, text.replace("https://corral.home.arpa", proxy.url)),
    ):
        await server.url()
        async with visiting(proxy.url, proxy.trust, settings) as visitor:
            await visitor.hear_events()
            await visitor.trade()
            await visitor.ask_at_length()


@SSHD.mark
async def test_a_tunnel_over_ssh_needs_no_setting(
    folder: Path, against_sandbox: dict[str, str], on_the_runs_database: dict[str, str]
) -> None:
    async with running("serve", **against_sandbox, **on_the_runs_database) as server:
        url = await server.url()
        port = int(url.rpartition(":")[2])
        async with sshd(folder) as options:
            # Both ends are on this machine, so the near one has another port.
            near = free_port()
            text = printed("ssh -N").strip().replace("-L 8002:127.0.0.1:8002", f"-L {near}:127.0.0.1:{port}")
            text = text.replace("you@nas.local", f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1")
            command = ["ssh", *options, *text.split()[1:]]
            async with running_command(command, {"PATH": SYSTEM_PROGRAMS, "HOME": str(folder)}) as tunnel:
                await through(tunnel, near)
                async with browser(f"http://127.0.0.1:{near}") as client, client.get("/sign-in") as page:
                    assert page.status == 200


async def through(tunnel: Running, port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert tunnel.process.returncode is None, tunnel.err
            try:
                async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    assert answer.status == 200
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def sshd(folder: Path) -> AsyncGenerator[list[str]]:
    """A server of this user's own, for a key made for it; yields the client's options."""
    port, program = free_port(), shutil.which("sshd", path=SYSTEM_PROGRAMS)
    assert program
    if os.geteuid() == 0:  # as Debian's service does
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # noqa: PTH103
    for name in ("host", "own"):
        await shell(f"ssh-keygen -q -t ed25519 -N '' -f {name}", folder)
    (folder / "authorized").write_text((folder / "own.pub").read_text())
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
    )
    async with running_command([program, "-D", "-e", "-f", str(folder / "sshd_config")], {"PATH": SYSTEM_PROGRAMS}):
        yield [
            *("-F", "none", "-p", str(port), "-i", str(folder / "own"), "-o", f"UserKnownHostsFile={folder}/known"),
            *("-o", "BatchMode=yes", "-o", "ConnectionAttempts=30", "-o", "ExitOnForwardFailure=yes"),
        ]
