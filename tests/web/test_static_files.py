import asyncio
import re
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest

from corral.web.static_files import read_static_files, version_of

_STATIC = read_static_files(files("corral.web") / "static")
_TEMPLATES = [path for path in (files("corral.web") / "templates").iterdir() if path.name.endswith(".html")]
_SOURCES = {
    **{path: file.content.decode() for path, file in _STATIC.items() if not path.startswith(("vendor/", "icons/"))},
    **{template.name: template.read_text(encoding="utf-8") for template in _TEMPLATES},
}
_SCRIPTS = {path: source for path, source in _SOURCES.items() if path.endswith(".js")}
_VERSION = version_of(_STATIC)
_PLOT = "scripts/equity_plot.js"
_PLOT_LIBRARY = "../vendor/uplot.js"  # without it, no page asks for the script that imports it


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("styles/tokens.css", "text/css; charset=utf-8"),
        ("scripts/api.js", "text/javascript; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("icons/icon-192.png", "image/png"),
    ],
)
async def test_static_files_have_the_right_media_type(
    anonymous: aiohttp.ClientSession, path: str, media_type: str
) -> None:
    async with anonymous.get(f"/static/{_VERSION}/{path}") as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        assert await answer.read() == _STATIC[path].content


async def test_an_outdated_version_gets_the_current_file_without_caching(anonymous: aiohttp.ClientSession) -> None:
    async with anonymous.get("/static/0123456789abcdef/styles/tokens.css") as answer:
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
        assert await answer.read() == _STATIC["styles/tokens.css"].content


@pytest.mark.parametrize("path", ["", "styles", "styles/", "styles/other.css", "../routes.py", "/etc/hostname"])
async def test_files_added_after_startup_are_not_served(anonymous: aiohttp.ClientSession, path: str) -> None:
    assert await _raw_status(anonymous, f"/static/{_VERSION}/{path}") == 404


@pytest.mark.parametrize("step", ["..", "%2e%2e", "..%2f", "%2e%2e%2f"])
async def test_path_traversal_is_not_possible(anonymous: aiohttp.ClientSession, step: str) -> None:
    assert await _raw_status(anonymous, f"/static/{_VERSION}/styles/{step}/{step}/routes.py") == 404


def test_test_tools_are_not_served() -> None:
    assert not [path for path, file in _STATIC.items() if "axe" in path or b"axe.run" in file.content]


def test_the_version_changes_with_content_name_and_boundaries(tmp_path: Path) -> None:
    versions = [
        _version_with(tmp_path / "one", {"a.css": "ab", "b.css": "c"}),
        _version_with(tmp_path / "two", {"a.css": "a", "b.css": "bc"}),
        _version_with(tmp_path / "three", {"a.css": "ab", "c.css": "c"}),
        _version_with(tmp_path / "four", {"a.css": "ab", "b.css": "d"}),
    ]
    assert len(set(versions)) == 4
    assert _version_with(tmp_path / "five", {"a.css": "ab", "b.css": "c"}) == versions[0]


def test_an_unknown_file_type_is_an_error_at_startup(tmp_path: Path) -> None:
    (tmp_path / "notes.orig").write_text("left behind")
    with pytest.raises(KeyError, match=r"\.orig"):
        read_static_files(tmp_path)


@pytest.mark.parametrize("script", _SCRIPTS)
def test_scripts_never_turn_text_into_markup_or_code(script: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\bFunction\(|setAttribute\(.on|srcdoc"
    assert not re.search(forbidden, _SCRIPTS[script])


@pytest.mark.parametrize("script", _SCRIPTS)
def test_scripts_never_convert_money_to_floats(script: str) -> None:
    assert not re.search(r"parseFloat|parseInt|toFixed|valueAsNumber", _SCRIPTS[script])
    # A number is made of a waiting time, and of what is drawn and goes nowhere else.
    assert "Number(" not in _SCRIPTS[script] or script in {"scripts/api.js", _PLOT}


@pytest.mark.parametrize("script", _SCRIPTS)
def test_scripts_import_only_served_files(script: str) -> None:
    imported = set(re.findall(r'from "([^"]+)"', _SCRIPTS[script])) - {_PLOT_LIBRARY}
    assert {f"scripts/{address.removeprefix('./')}" for address in imported} <= set(_STATIC)


@pytest.mark.parametrize("source", _SOURCES)
def test_no_resource_comes_from_another_host(source: str) -> None:
    elsewhere = _SOURCES[source].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|[\"'(]//", elsewhere)


@pytest.mark.parametrize("sheet", [path for path in _SOURCES if path.endswith(".css")])
def test_colors_are_defined_in_one_file(sheet: str) -> None:
    source = _SOURCES[sheet]
    if sheet == "styles/tokens.css":
        assert "light-dark(" in source
        defined = set(re.findall(r"(--[a-z-]+):", source))
        used = {name for text in _SOURCES.values() for name in re.findall(r"var\((--[a-z-]+)\)", text)}
        assert used == defined
    else:
        assert not re.search(r"#[0-9a-f]{3,8}\b(?=[;\s,)])|\b(?:rgb|hsl|oklch)a?\(", source)


def _version_with(folder: Path, contents: dict[str, str]) -> str:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_text(content)
    return version_of(read_static_files(folder))


async def _raw_status(session: aiohttp.ClientSession, target: str) -> int:
    """The status for a target sent as it is: a client library would tidy the dots away."""
    async with session.get("/docs") as answer:
        host, port = answer.url.host, answer.url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status
