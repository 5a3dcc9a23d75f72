"""Proxies in front of Corral, with the very configurations that are printed on the pages."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.certificates import files_in, new_certificate, trusting
from tests.journeys.program import PATIENCE, Running, free_port, running_command
from tests.journeys.test_docs import BLOCKS
from tests.machine import SYSTEM_PROGRAMS

# What a distribution's nginx.conf has around the page's file, in a folder of an ordinary user.
_AROUND_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{page}
}}
"""


class Proxy:
    """`url` is what its clients open; `replicas` are the ports to which it passes requests on."""

    def __init__(self, folder: Path, replicas: list[int]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.replicas = replicas
        self.files = new_certificate(files_in(folder))
        self.trust: ssl.SSLContext = trusting(self.files)

    def as_printed(self, page: str, language: str, **replaced: object) -> str:
        """The page's block, with only names and ports replaced that are not this machine's."""
        (text,) = (block.text for block in BLOCKS if (block.page, block.language) == (page, language))
        own = {f"10.0.0.1{number}:8002": f"127.0.0.1:{port}" for number, port in enumerate(self.replicas, 1)}
        own = own if any(printed in text for printed in own) else {}
        for printed, real in (own | replaced).items():
            assert printed in text, printed
            text = text.replace(printed, str(real))
        return text


async def answers(proxy: Proxy) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=proxy.trust)
            except (OSError, ssl.SSLError):
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@asynccontextmanager
async def nginx(proxy: Proxy) -> AsyncGenerator[Running]:
    page = proxy.as_printed(
        "docs/deploy.md",
        "nginx",
        **{
            "listen 443 ssl": f"listen 127.0.0.1:{proxy.port} ssl",
            "/etc/ssl/corral.pem": proxy.files.certificate,
            "/etc/ssl/private/corral.key": proxy.files.key,
            "server_name corral.example.com": "server_name 127.0.0.1",
        },
    )
    file = proxy.folder / "nginx.conf"
    file.write_text(_AROUND_NGINX.format(folder=proxy.folder, page=page))
    async with _started(proxy, "nginx", "-p", proxy.folder, "-e", "stderr", "-c", file) as started:
        yield started


@asynccontextmanager
async def caddy(proxy: Proxy, text: str | None = None) -> AsyncGenerator[Running]:
    """With `text`, or else with the file for two replicas, where its own authority stands for a public one."""
    if text is None:
        text = proxy.as_printed(
            "docs/deploy.md", "caddyfile", **{"corral.example.com {": f"{proxy.url} {{\n\ttls internal"}
        )
        text = "{\n\tskip_install_trust\n}\n" + text
    # A machine of tests has other Caddys, and no port 80.
    own = f"{{\n\tadmin off\n\thttp_port {free_port()}\n"
    file, data = proxy.folder / "Caddyfile", proxy.folder / "data"
    file.write_text(text.replace("{\n", own, 1))
    root = data / "caddy/pki/authorities/local/root.crt"
    home = {"HOME": str(proxy.folder), "PATH": SYSTEM_PROGRAMS, "XDG_DATA_HOME": str(data)}
    command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    async with running_command(command, home) as started:
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(root.exists) or "serving initial configuration" not in started.err:
                assert started.process.returncode is None, started.err
                await asyncio.sleep(0.05)
        proxy.trust = ssl.create_default_context(cafile=str(root))
        await answers(proxy)
        yield started


@asynccontextmanager
async def haproxy(proxy: Proxy, **replaced: str) -> AsyncGenerator[Running]:
    """With more of the page's text `replaced`, such as how often it tries again."""
    both = proxy.folder / "both.pem"
    both.write_bytes(proxy.files.certificate.read_bytes() + proxy.files.key.read_bytes())
    both.chmod(0o600)
    page = proxy.as_printed(
        "docs/deploy.md",
        "haproxy",
        **{"bind :443": f"bind 127.0.0.1:{proxy.port}", "/etc/haproxy/corral.pem": both},
        **replaced,
    )
    file = proxy.folder / "haproxy.cfg"
    file.write_text(page)
    async with _started(proxy, "haproxy", "-db", "-f", file) as started:
        yield started


@asynccontextmanager
async def _started(proxy: Proxy, name: str, *arguments: object) -> AsyncGenerator[Running]:
    program = shutil.which(name, path=SYSTEM_PROGRAMS)
    assert program
    home = {"HOME": str(proxy.folder), "PATH": SYSTEM_PROGRAMS}
    async with running_command([program, *map(str, arguments)], home) as started:
        ready = asyncio.ensure_future(answers(proxy))
        ended = asyncio.ensure_future(started.process.wait())
        await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
        assert not ended.done(), started.err
        ended.cancel()
        yield started
