"""The image, built from a Debian that debootstrap makes. Needs root, and no registry of images.

Addresses of Debian's mirror and of an index of packages are this machine's own, and are handed in from outside.
"""

import configparser
import json
import os
import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CONTAINERFILE: Final = ROOT / "Containerfile"
_CERTIFICATES: Final = "/etc/ssl/certificates-of-the-builder.crt"


@dataclass(frozen=True, slots=True)
class Image:
    """`root` is its file system, `config` what the Containerfile says about running it."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"])


def built_image(folder: Path, *, anew: bool = True) -> Image:
    """Builds it in `folder`, which keeps the base and the layers for the next time."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = _Builder(folder)
    if not builder.has("corral-base"):
        _make_base(builder, folder)
    if anew or not builder.has("corral"):
        builder.run("bud", *_settings_of_this_machine(folder), "--tag", "corral", "--file", CONTAINERFILE, ROOT)
    config = json.loads(builder.run("inspect", "--type", "image", "corral"))["Docker"]["config"]
    for container in builder.run("containers", "--quiet").split():
        builder.run("rm", container)
    return Image(Path(builder.run("mount", builder.run("from", "--pull-never", "localhost/corral"))), config)


class _Builder:
    def __init__(self, folder: Path) -> None:
        self._command = (
            "buildah",
            "--storage-driver",
            "vfs",
            "--root",
            folder / "storage",
            "--runroot",
            folder / "run",
        )
        self._log = folder / "build.log"

    def has(self, name: str) -> bool:
        return f"localhost/{name}:" in self.run("images", "--format", "{{.Name}}:{{.Tag}}")

    def run(self, verb: str, *arguments: str | Path) -> str:
        with self._log.open("w") as log:
            ended = subprocess.run([*self._command, verb, *arguments], stdout=subprocess.PIPE, stderr=log, check=False)
        assert ended.returncode == 0, f"buildah {verb}: {self._log.read_text()[-4000:]}"
        return ended.stdout.decode().strip()


def _make_base(builder: _Builder, folder: Path) -> None:
    release = re.search(r"^ARG BASE=debian:(\w+)-slim$", CONTAINERFILE.read_text(), re.MULTILINE)
    assert release
    system = folder / "base"
    subprocess.run(["rm", "-rf", system], check=True)
    made = ["debootstrap", "--variant=minbase", release[1], system, _mirror()]
    with (folder / "debootstrap.log").open("w") as log:
        subprocess.run(made, stdout=log, stderr=log, check=True)
    _slim(system)
    subprocess.run(["tar", "-C", system, "-cf", folder / "base.tar", "."], check=True)
    (folder / "base.Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    builder.run("bud", "--isolation", "chroot", "--tag", "corral-base", "--file", folder / "base.Containerfile", folder)
    subprocess.run(["rm", "-rf", system, folder / "base.tar"], check=True)


def _slim(system: Path) -> None:
    """Without what the slim images of Debian lack, too: manuals and translations. Licenses stay."""
    for place in ("usr/share/man", "usr/share/info", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt/archives"):
        subprocess.run(["find", system / place, "-type", "f", "-delete"], check=True)
    documents = ["find", system / "usr/share/doc", "-type", "f", "!", "-name", "copyright", "-delete"]
    subprocess.run(documents, check=True)


def _mirror() -> str:
    listed = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    return next(address for address in found if "security" not in address)


def _settings_of_this_machine(folder: Path) -> list[str | Path]:
    """Where pip finds packages, and whose certificates it and npm trust: as they are on the machine that builds."""
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    certificates = certificates or "/etc/ssl/certs/ca-certificates.crt"
    theirs = configparser.ConfigParser(interpolation=None, strict=False)
    theirs.read("/etc/pip.conf")
    index = os.environ.get("PIP_INDEX_URL") or theirs.get("global", "index-url", fallback=None)
    lines = ["[global]", f"cert = {_CERTIFICATES}", "timeout = 180", *([f"index-url = {index}"] if index else [])]
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")
    (folder / "npmrc").write_text(f"cafile={_CERTIFICATES}\n")
    return [
        *("--isolation", "chroot", "--format", "docker", "--layers", "--pull-never"),
        *("--build-arg", "BASE=localhost/corral-base"),
        *("--volume", f"{certificates}:{_CERTIFICATES}:ro"),
        *("--secret", f"id=pip.conf,src={folder / 'pip.conf'}"),
        *("--secret", f"id=npmrc,src={folder / 'npmrc'}"),
    ]
