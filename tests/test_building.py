"""What a checkout makes of itself: two wheels that are whole, and one note where npm is missing."""

import gzip
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHART = Path("src/corral/web/static/vendor/uplot.js")
SANDBOX = Path("distributions/corral-sandbox")
SANDBOX_PAGE = [f"corral_sandbox/page/static/{name}" for name in ("index.html", "page.css", "page.js", "icon.svg")]
STYLES = "corral/web/static/styles/tokens.css"
TOOLS = ("sh", "cat", "cp", "dirname", "grep", "mkdir", "mv", "rm")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git tracks of this checkout, as far as building goes."""
    folder = tmp_path / "clone"
    for part in ("src/corral", "src/corral_sandbox", "requirements"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    shutil.copytree(ROOT / SANDBOX, folder / SANDBOX, symlinks=True)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    return folder


def built(what: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """As a builder does it: by the hook of PEP 517, in the checkout's folder."""
    script = f"import wheel_with_chart; print(wheel_with_chart.build_{what}('.'))"
    env = {"PYTHONPATH": str(clone / "requirements")}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=clone, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("what", ["wheel", "sdist"])
def test_without_the_chart_a_clean_clone_does_not_build_and_says_what_to_do(what: str, clone: Path) -> None:
    refused = built(what, clone)
    assert refused.returncode == 1
    assert refused.stderr == f"{CHART} is missing: install npm, and build with `make wheel`, which fetches it\n"
    assert not list(clone.glob("corral-*"))


def test_corrals_distribution_has_its_package_and_the_chart(clone: Path) -> None:
    (clone / CHART).parent.mkdir()
    (clone / CHART).write_text("// the chart")
    with zipfile.ZipFile(clone / built("wheel", clone).stdout.strip()) as wheel:
        assert wheel.read(str(CHART.relative_to("src"))) == b"// the chart"
        for path in (STYLES, str(CHART.relative_to("src"))):
            assert gzip.decompress(wheel.read(f"{path}.gz")) == wheel.read(path)
        assert _packages(wheel) == {"corral"}
    assert not list((clone / "src").rglob("*.gz"))
    with tarfile.open(clone / built("sdist", clone).stdout.strip()) as source:
        names = {path.partition("/")[2] for path in source.getnames()}
    assert names >= {
        str(CHART),
        "src/corral/__init__.py",
        "requirements/wheel_with_chart.py",  # without it no wheel could be built of it
    }
    assert not any(name.startswith("src/corral_sandbox") for name in names)


def test_the_sandboxs_distribution_has_its_package_also_by_way_of_its_source(clone: Path, tmp_path: Path) -> None:
    _build("wheel", clone / SANDBOX, tmp_path / "direct")
    _build("sdist", clone / SANDBOX, tmp_path)
    (packed,) = tmp_path.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", packed, "-C", tmp_path], check=True)
    _build("wheel", tmp_path / packed.name.removesuffix(".tar.gz"), tmp_path / "by way of the source")
    wheels = [*tmp_path.glob("*/*.whl")]
    with zipfile.ZipFile(wheels[0]) as one, zipfile.ZipFile(wheels[1]) as other:
        assert _packages(one) == {"corral_sandbox"}
        assert one.namelist() == other.namelist()
        assert set(SANDBOX_PAGE) <= set(one.namelist())
        assert any(name.endswith("licenses/LICENSE") for name in one.namelist())


def _packages(wheel: zipfile.ZipFile) -> set[str]:
    return {path.partition("/")[0] for path in wheel.namelist() if ".dist-info/" not in path}


def _build(target: str, source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with a few tools, and no npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def fetched(script: str, clone: Path, path: Path) -> str:
    """What is said on standard error. Nothing of this ends the installation."""
    ended = subprocess.run(
        [clone / "requirements" / script], env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended
    return ended.stderr


def test_without_npm_one_note_is_printed_and_not_again(clone: Path, path: Path) -> None:
    reported = fetched("get-chart", clone, path)
    assert reported.startswith("npm is not installed: pages show a table instead of the chart")
    assert reported.count("\n") == 1
    assert [fetched(script, clone, path) for script in ("get-axe", "get-chart", "get-axe")] == ["", "", ""]


def test_an_npm_that_cannot_fetch_is_quoted_once(clone: Path, path: Path) -> None:
    (path / "npm").write_text("#!/bin/sh\necho 'npm error: no network' >&2\nexit 1\n")
    (path / "npm").chmod(0o755)
    reported = fetched("get-chart", clone, path)
    assert reported.splitlines()[0] == "npm error: no network"
    assert reported.splitlines()[1].startswith("npm could not fetch what package-lock.json pins: ")
    assert [fetched(script, clone, path) for script in ("get-axe", "get-chart")] == ["", ""]
