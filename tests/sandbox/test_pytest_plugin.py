"""The pytest plugin: its fixtures in other people's test suites, and nothing in those that do not use it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from corral_sandbox import pytest_plugin, run_sandbox

_SUITES = Path(__file__).parent / "plugin_suites"
_SOURCE = Path(__file__).parents[2] / "src"
_PLUGIN = "corral_sandbox.pytest_plugin"
# Errors for all warnings but the one with which Alpaca's SDK greets.
_CONFIGURATION = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore:websockets.legacy is deprecated:DeprecationWarning
"""
# Tests in the opposite order, where REVERSED is set.
_CONFTEST = """
import os
def pytest_collection_modifyitems(items):
    if os.environ.get("REVERSED"):
        items.reverse()
"""
_NO_PROXY = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
_DEAD_PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", **_NO_PROXY}


def _pytest(
    folder: Path, *arguments: str, plugins: tuple[str, ...] = (_PLUGIN,), env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the tests in a folder, with no other plugins than these."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    for plugin in plugins:
        command += ["-p", plugin]
    surroundings = {**os.environ, "PYTHONPATH": str(_SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(env or {})}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        surroundings.pop(name, None)
    return subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=120, check=False
    )


def _suite(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(_SUITES / f"{name}.py", folder / f"test_{name}.py")
    (folder / "pytest.ini").write_text(_CONFIGURATION, "utf-8")
    (folder / "conftest.py").write_text(_CONFTEST, "utf-8")
    return folder


def test_a_test_gets_the_same_answers_in_any_order_and_in_any_worker(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite", "trading", "failing")
    kept: list[dict[str, object]] = []
    for name, arguments, env in (
        ("serial", [], _DEAD_PROXY),
        ("parallel", ["-n", "2", "--dist", "loadgroup"], {"REVERSED": "1"}),
    ):
        records = tmp_path / name
        records.mkdir()
        run = _pytest(suite, *arguments, plugins=(_PLUGIN, "asyncio", "xdist"), env=env | {"RECORDS": str(records)})
        assert re.search(r"1 failed, 11 passed in", run.stdout), run.stdout + run.stderr
        _assert_that_it_says_why(run.stdout)
        kept.append({file.name: json.loads(file.read_text("utf-8")) for file in records.glob("*.json")})
        assert len(list(records.glob("port-*"))) == (2 if arguments else 1)
    assert len(kept[0]) == 11
    assert kept[0] == kept[1]


def _assert_that_it_says_why(output: str) -> None:
    """Of the test that fails, in `failing.py`."""
    section = output[output.index("- Alpaca account PKTHATFAILS") :]
    assert "time: 2026-10-06T10:00:00" in section
    assert "cash: 1000, equity: 1500, buying power: " in section
    assert 'positions: {"symbol": "AAPL", "qty": "2", "avg_entry_price": "240"}' in section
    assert 'prices: {"AAPL": "250"}' in section
    assert 'faults: [{"path": "/v2/positions", "status": 503}]' in section
    assert "requests: 11, of which the last 10:" in section
    assert re.search(r"  10:00:00\.\d{6} GET /v2/positions\?x=1\n    503", section)
    assert "sandbox-secret-for" not in section


def test_a_suite_that_does_not_use_it_is_not_disturbed(tmp_path: Path) -> None:
    """It is loaded by its entry point, and named on the command line and in a conftest as well."""
    suite = _suite(tmp_path / "suite")
    (suite / "conftest.py").write_text(f"pytest_plugins = [{_PLUGIN!r}]\n", "utf-8")
    (suite / "test_nothing.py").write_text(
        "import sys, threading\n\n\n"
        "def test_nothing(request):\n"
        f"    assert request.config.pluginmanager.hasplugin({_PLUGIN!r})\n"
        "    assert threading.active_count() == 1\n"
        "    assert not {'aiohttp', 'pydantic', 'alpaca', 'corral_sandbox.server'} & set(sys.modules)\n",
        "utf-8",
    )
    installed = tmp_path / "installed" / "corral_sandbox-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: corral-sandbox\nVersion: 0\n", "utf-8")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{_PLUGIN} = {_PLUGIN}\n", "utf-8")
    (installed / "RECORD").write_text("corral_sandbox/__init__.py,,\ncorral_sandbox/pytest_plugin.py,,\n", "utf-8")
    (suite / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "utf-8")
    run = _pytest(
        suite,
        *("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:schemathesis", "-p", "no:anyio", "-p", "no:hypothesispytest"),
        env={"PYTHONPATH": f"{_SOURCE}:{installed.parent}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""},
    )
    assert "1 passed in" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"seed": "x"}, "alpaca_sandbox_seed is a whole number, not 'x'"),
        ({"speed": "86401"}, "alpaca_sandbox_speed is a whole number from 0 to 86400, not '86401'"),
        ({"rate_limit": "-1"}, "alpaca_sandbox_rate_limit is a whole number, not '-1'"),
        ({"start": "noon"}, "alpaca_sandbox_start is a time with a time zone, as in 2026-10-06T10:00-04:00"),
        ({"start": "2026-10-06T10:00"}, "alpaca_sandbox_start is a time with a time zone"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_any_test(options: dict[str, str], reason: str) -> None:
    with pytest.raises(pytest.UsageError, match=re.escape(reason)):
        pytest_plugin.pytest_configure(_configuration(**options))


def _configuration(**options: str) -> pytest.Config:
    given = {"seed": "0", "start": "2026-10-06T10:00-04:00", "speed": "0", "rate_limit": "0"}
    given = {f"alpaca_sandbox_{name}": value for name, value in (given | options).items()}
    return cast("pytest.Config", SimpleNamespace(getini=given.get, getoption=dict[str, str]().get))


def test_options_come_from_the_command_line_before_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nalpaca_sandbox_seed = 1\nalpaca_sandbox_start = 2026-11-27T12:00-05:00\n", "utf-8"
    )
    (tmp_path / "test_it.py").write_text(
        "import json\nfrom urllib.request import urlopen\n\n\n"
        "def test_it(alpaca_sandbox, alpaca_clock):\n"
        "    assert json.load(urlopen(alpaca_sandbox.url + '/_health'))['seed'] == 2\n"
        "    assert (alpaca_clock.get().next_close.hour, alpaca_clock.get().speed) == (13, 60)\n",
        "utf-8",
    )
    run = _pytest(tmp_path, "--alpaca-sandbox-seed=2", "--alpaca-sandbox-speed=60")
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_a_sandbox_runs_where_another_package_has_replaced_asyncio_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise RuntimeError("There is no current event loop in thread 'sandbox'.")

    monkeypatch.setattr(asyncio, "run", run)
    with run_sandbox(speed=0) as sandbox:
        assert sandbox.clock.get().speed == 0
