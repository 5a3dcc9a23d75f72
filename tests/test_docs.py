"""Each list on the pages is compared with the code that it describes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from corral.cli import app
from corral.errors import Problem
from corral.gateway.operations import OPERATIONS, Host
from corral.gateway.problems import GatewayProblem
from corral.identity.models import Scope
from corral.settings import PREFIX, Settings
from corral_sandbox.command import create_parser
from tests.operations import DOCUMENT

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SANDBOX = "corral sandbox"
_RENAMED = {"CORRAL_SNAPSHOT_SECONDS", "CORRAL_LIVE_SECONDS"}  # the changelog names them
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)")
# Defaults that depend on where Corral runs are described in words.
_IN_WORDS = {
    *("data_dir", "database_url", "database_owner_url", "keyring", "public_url", "gateway_url", "alpaca_proxy"),
    *("trusted_proxies", "tls_cert", "tls_key", "valkey_url"),
    *("drain_seconds", "log_format"),
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows_of(page: str, *, heading: str = "") -> Iterator[list[str]]:
    """The cells of each row of the page's tables, or of those below a heading."""
    text = text_of(page)
    text = text[text.index(f"\n{heading}\n") :] if heading else text
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_is_listed_with_its_default_and_nothing_else_is() -> None:
    listed = {names_in(name)[0]: default for name, default, _ in rows_of("docs/settings.md")}
    assert list(listed) == [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        if name in _IN_WORDS:
            assert field.default_factory or field.default is None
        else:
            assert listed[f"{PREFIX}{name.upper()}"] == f"`{field.default}`"


def test_defaults_that_are_described_in_words_are_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    settings = Settings()
    assert settings.keyring_path == settings.data_dir / "keyring.json"
    assert settings.browser_url == f"http://{settings.host}:{settings.port}"
    assert settings.data_dir in {Path("/var/lib/corral"), Path.home() / ".local/share/corral"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_setting_that_does_not_exist(page: Path) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert named - settings <= (_RENAMED if page.name == "CHANGELOG.md" else set())


def _problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("corral.") and child is not GatewayProblem:
            yield from _problems(child)


def test_every_error_code_is_listed_with_its_status() -> None:
    listed = {
        (int(status), code)
        for status, codes, _ in _rows_with_status("docs/api.md", heading="## Errors")
        for code in names_in(codes)
    }
    on_pages_only = {
        (422, "nickname_differs"),
        *((409, code) for code in ("token_made_already", "grant_made_already", "grant_changed")),
    }
    assert listed | on_pages_only == {(problem.status, problem.code) for problem in _problems()}
    assert all(f"`{code}` ({status})" in text_of("docs/api.md") for status, code in on_pages_only)


def _rows_with_status(page: str, *, heading: str) -> Iterator[list[str]]:
    for line in text_of(page).partition(f"\n{heading}\n")[2].splitlines():
        if re.match(r"\| \d{3} \|", line):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def _commands() -> Iterator[tuple[str, Any]]:
    for name, command in _children(get_command(app)):
        groups = _children(command)
        for child, leaf in groups or [("", command)]:
            yield f"corral {name} {child}".strip(), leaf


def _children(command: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - the types are the command line library's
    return list(getattr(command, "commands", {}).items())


def test_every_command_is_listed_with_its_arguments_and_nothing_else_is() -> None:
    listed = [names_in(row[0])[0] for row in rows_of("docs/commands.md") if len(row) == 2]
    expected = {
        " ".join([name, *(part.metavar for part in command.params if part.param_type_name == "argument")])
        for name, command in _commands()
    }
    assert len(listed) == len(expected)
    assert set(listed) == expected


def test_every_option_is_listed_with_its_default_and_nothing_else_is() -> None:
    listed = {
        (names_in(command)[0] if "`" in command else command, names_in(option)[0].split()[0]): default
        for command, option, default, _ in _option_rows()
    }
    defaults = dict(_options_of_the_sandbox())
    expected = {("corral", "--version"), ("every command", "--data-dir"), *((SANDBOX, option) for option in defaults)}
    for option, default in defaults.items():
        assert default is None or listed[SANDBOX, option] == f"`{default}`"
    for name, command in _commands():
        options = {part.opts[0]: part for part in command.params if part.param_type_name == "option"}
        assert name == SANDBOX or options.pop("--data-dir").default is None
        expected |= {(name, option) for option in options}
        for option, part in options.items():
            is_plain = isinstance(part.default, int) and not isinstance(part.default, bool)
            assert not is_plain or listed[name, option] == f"`{part.default}`"
            assert not part.required or listed[name, option] == "required"
    assert set(listed) == expected


def _options_of_the_sandbox() -> Iterator[tuple[str, object]]:
    """Its command is handed over to a package of its own. What is off by default has no default to be listed."""
    for action in create_parser(SANDBOX)._actions:
        if action.dest not in {"help", "version"}:
            yield action.option_strings[0], None if action.nargs == 0 else action.default


def _option_rows() -> Iterator[list[str]]:
    table = text_of("docs/commands.md").partition("## Options\n")[2].partition("\n## ")[0]
    for line in table.splitlines()[3:]:
        if line.startswith("|"):
            yield [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def test_every_call_is_on_a_page_and_every_call_on_a_page_exists() -> None:
    named = {
        (method, re.sub(r"\{\w+\}", "{}", path))
        for page in PAGES
        for method, path in _CALL.findall(page.read_text(encoding="utf-8"))
    }
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path.startswith("/api/")
    }
    assert {call for call in named if call[1].startswith("/api/")} == described
    assert "`/healthz`" in text_of("docs/deploy.md")
    assert "`/readyz`" in text_of("docs/deploy.md")


def test_every_operation_of_the_gateway_is_listed_as_it_is_and_nothing_else_is() -> None:
    documents = {Host.TRADING: "Trading API", Host.DATA: "Market Data API", Host.STREAM: "Market Data API"}
    assert list(rows_of("docs/gateway-operations.md")) == [
        [f"`{operation.name}`", operation.kind.value, operation.client or documents[operation.host]]
        for operation in OPERATIONS
    ]


def test_every_scope_is_listed_and_nothing_else_is() -> None:
    table = text_of("docs/api.md").partition("| scope |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) == [scope.value for scope in Scope]


def test_every_event_that_is_logged_is_listed() -> None:
    logged = re.compile(r"_?log(?:\(\))?\.(?:info|warning|error|exception)\(\s*((?:\"\w+\"|[\w. ]|is None)*?)[,)]")
    sources = (path for path in (ROOT / "src/corral").rglob("*.py") if "corral_sandbox" not in path.parts)
    events = {
        name
        for path in sources
        for call in logged.findall(path.read_text(encoding="utf-8"))
        for name in re.findall(r"\"([a-z_]+)\"", call)
    } | {"request"}  # has a function of its own
    assert {"request", "request_refused", "alpaca_answered", "alpaca_failed", "not_ready"} <= events
    listed = {name for row in rows_of("docs/deploy.md", heading="## Logs") for name in names_in(row[0])}
    assert events <= listed


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


def test_every_page_is_in_the_index() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in text_of("docs/README.md")


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 200
