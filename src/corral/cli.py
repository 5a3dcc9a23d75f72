"""The command line. Only this module reads the environment.

Each command imports its code when it is called, so that small ones do not load the web framework.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
import typer
import uvloop
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from corral import __version__
from corral.alpaca.environments import configured_hosts
from corral.edge.field_types import Name, canonical_email, parse_duration
from corral.errors import DatabaseUnavailable, OperatorError, Problem
from corral.hardening import forget_variable, harden_process
from corral.identity.models import Scope
from corral.logs import configure_logging
from corral.network_environment import NetworkEnvironment
from corral.secret import Secret
from corral.settings import HOLDING_PASSWORDS, Settings, absolute, describe_settings, take_settings
from corral.signals import run_until_signal

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data. Default: CORRAL_DATA_DIR.")]
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port for Corral.")]
_MOST_WORKERS: Final = 32
SandboxPort = Annotated[int, typer.Option(min=0, max=65535, help="Port for the sandbox.")]


def _help_when_bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _version_or_help(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"corral {__version__}")
        raise typer.Exit
    _help_when_bare(context)


app = typer.Typer(
    help="Stores Alpaca API keys encrypted and shows your accounts in one place.",
    callback=_version_or_help,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
users = typer.Typer(help="Manage people.", callback=_help_when_bare, invoke_without_command=True)
tokens = typer.Typer(help="Manage API tokens.", callback=_help_when_bare, invoke_without_command=True)
audit = typer.Typer(help="Verify the audit trail.", callback=_help_when_bare, invoke_without_command=True)
app.add_typer(users, name="users")
app.add_typer(tokens, name="tokens")
app.add_typer(audit, name="audit")


def main() -> None:
    """Exits with status 0, or with 1 after printing one line that says what to do."""
    try:
        if app(standalone_mode=False):  # Ctrl-C
            _fail("interrupted")
    except typer.TyperException as error:
        _fail(f"{error.format_message().rstrip('.')} (see `corral --help`)")
    except ValidationError as error:
        _fail("; ".join(map(_sentence, error.errors())))
    except ValueError as error:
        _fail(str(error))
    except asyncio.CancelledError:
        _fail("interrupted")
    except DatabaseUnavailable as unavailable:
        _fail(unavailable.reason)
    except (Problem, OperatorError) as error:
        _fail(str(error))


@app.command(name="serve", epilog="Settings, read from the environment:\n\n" + describe_settings())
def serve_command(
    host: Annotated[str | None, typer.Option(help="Default: CORRAL_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: CORRAL_PORT, or 8002.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that serve the port, up to 32.")] = 1,
    data_dir: DataDir = None,
) -> None:
    """Run the service against Alpaca."""
    from corral.commands.demo_folder import refuse_demo_folder

    _check_workers(workers)
    settings = _taken_settings(host=host, port=port, data_dir=data_dir)
    refuse_demo_folder(settings.data_dir)
    _configure_logging(settings)
    harden_process()
    network = _network_environment(settings)
    if workers == 1:
        from corral.commands.serve import run_service

        _run(run_service(settings, network))
    else:
        from corral.commands.serve_workers import run_workers

        _run(run_workers(settings, network, workers, log_format=_log_format(settings), has_colors=_has_colors()))


@app.command()
def demo(
    port: Port = 8002,
    sandbox_port: SandboxPort = 8003,
    data_dir: DataDir = None,
) -> None:
    """Try Corral with a built-in SANDBOX broker. It has a user and two accounts, and no real money."""
    from corral.commands.demo import demo_settings, run_demo
    from corral.commands.demo_folder import demo_folder

    folder = demo_folder(data_dir)
    settings = demo_settings(folder, port=port, sandbox_url=f"http://127.0.0.1:{sandbox_port}")
    _forget_variables(is_embedded=True)
    _configure_logging(settings)
    harden_process()
    _run(run_demo(folder, port, sandbox_port))


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "allow_interspersed_args": False, "ignore_unknown_options": True},
)
def sandbox(context: typer.Context) -> None:
    """Run only the Alpaca-compatible SANDBOX broker. Use it for your own tests, for example."""
    from corral_sandbox.command import main as run_sandbox

    _collect_garbage()
    run_sandbox(context.args, "corral sandbox")  # the same options, because it is `corral-sandbox` itself


@users.command("add")
def users_add(
    email: EmailArgument,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, as one line.")
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make this person an administrator, who may invite and disable people.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Add a person. Without a password, print a one-time sign-in link."""
    from corral.commands.people import add_administrator, add_user

    email = canonical_email(email)
    password = Secret(sys.stdin.readline().rstrip("\n")) if password_stdin else None
    add = add_administrator if admin else add_user
    _run(add(_command_settings(data_dir), email, password))


@users.command("list")
def users_list(data_dir: DataDir = None) -> None:
    """List people."""
    from corral.commands.people import list_users

    _run(list_users(_command_settings(data_dir)))


@users.command("disable")
def users_disable(email: EmailArgument, data_dir: DataDir = None) -> None:
    """Disable a person. Their sessions and API tokens end now, and they cannot sign in."""
    from corral.commands.people import disable_user

    _run(disable_user(_command_settings(data_dir), canonical_email(email)))


@users.command("enable")
def users_enable(email: EmailArgument, data_dir: DataDir = None) -> None:
    """Let a disabled person sign in again. Earlier sessions and API tokens stay ended."""
    from corral.commands.people import enable_user

    _run(enable_user(_command_settings(data_dir), canonical_email(email)))


@users.command("promote")
def users_promote(email: EmailArgument, data_dir: DataDir = None) -> None:
    """Make a person an administrator. Administrators may invite and disable people."""
    from corral.commands.people import promote_user

    _run(promote_user(_command_settings(data_dir), canonical_email(email)))


@users.command("demote")
def users_demote(email: EmailArgument, data_dir: DataDir = None) -> None:
    """Make an administrator an ordinary person again. Their open invitations end."""
    from corral.commands.people import demote_user

    _run(demote_user(_command_settings(data_dir), canonical_email(email)))


@users.command("link")
def users_link(email: EmailArgument, data_dir: DataDir = None) -> None:
    """Print a one-time recovery link. For an hour, it sets a new password without the old one."""
    from corral.commands.people import print_recovery_link

    _run(print_recovery_link(_command_settings(data_dir), canonical_email(email)))


@tokens.command("create")
def tokens_create(
    email: EmailArgument,
    name: Annotated[str, typer.Option(help="A name that says what the token is for.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What the token may do. Repeat for several. Default: full access but to grants and the audit trail."
        ),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(help="Lifetime, such as 90m, 12h, 30d or 8w. Default: never expires.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API token and print it, and nothing else, on standard output."""
    from corral.commands.tokens import create_token

    expires_at = None if expires_in is None else datetime.now(UTC) + _duration(expires_in)
    email, name = canonical_email(email), _token_name(name)
    _run(create_token(_command_settings(data_dir), email, name, scope or None, expires_at))


@audit.command("verify")
def audit_verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An export of one trail. Default: all trails of the database."),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            help="Published heads: a copy of the file, or a JSON log. Default: audit-heads.jsonl of the data."
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Verify audit trails with the keyring. Names the first entry that was changed, is missing or out of order."""
    from corral.commands.audit import verify_database, verify_file

    settings = _command_settings(data_dir)
    _run(verify_database(settings, heads) if file is None else verify_file(settings, file, heads))


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Check the installation. Covers the database, tenant isolation, keyring, clock and Alpaca, and says what to do."""
    from corral.commands.doctor import print_findings

    settings = _command_settings(data_dir)
    _run(print_findings(settings, _network_environment(settings)))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, for all data but the keyring.")],
    keyring: Annotated[
        Path | None, typer.Option(help="Copy the keyring to this new file, too. Keep the two files apart.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Back up all data of one moment to a file, also while Corral is serving."""
    from corral.commands.backup import make_backup

    keyring = None if keyring is None else absolute(keyring)
    _run(make_backup(_command_settings(data_dir), absolute(file), keyring))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `corral backup` made.")],
    *,
    keyring: Annotated[
        Path | None, typer.Option(help="A copy of the keyring, which is installed. Default: the installed keyring.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace the people who are there. Their data is kept until the next start."),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Restore a backup. All sessions, links, API tokens and grants end."""
    from corral.commands.backup import restore_backup
    from corral.commands.demo_folder import refuse_demo_folder

    settings = _command_settings(data_dir)
    refuse_demo_folder(settings.data_dir)
    keyring = None if keyring is None else absolute(keyring)
    _run(restore_backup(settings, absolute(file), keyring, may_replace=replace))


@app.command()
def health(data_dir: DataDir = None) -> None:
    """Ask the running server whether it is ready. For the health checks of containers."""
    from corral.commands.health import report_health

    _run(report_health(_command_settings(data_dir)))


@app.command()
def openapi(data_dir: DataDir = None) -> None:  # noqa: ARG001 - every command takes it
    """Print the OpenAPI document."""
    from corral.app import create_api

    sys.stdout.buffer.write(orjson.dumps(create_api().openapi(), option=orjson.OPT_INDENT_2) + b"\n")


def _command_settings(data_dir: Path | None) -> Settings:
    """Returns the settings of a command that does its work and ends. It logs warnings only."""
    settings = _taken_settings(data_dir=data_dir)
    configure_logging("console", sys.stderr.buffer, lowest=logging.WARNING)
    return settings


def _taken_settings(**overrides: object) -> Settings:
    settings = take_settings(os.environ, **overrides)
    configured_hosts(settings)  # reports invalid URLs before anything is started
    _forget_variables(is_embedded=settings.database_url is None)
    return settings


def _forget_variables(*, is_embedded: bool) -> None:
    """Removes variables with passwords from the environment, where others could read them.

    The driver reads the PG… variables for what a URL does not specify. They are not
    meant for the embedded database.
    """
    for name in list(os.environ):
        if name.upper() in HOLDING_PASSWORDS or (is_embedded and name.startswith("PG")):
            forget_variable(name)


def _network_environment(settings: Settings) -> NetworkEnvironment:
    return NetworkEnvironment.from_environment(os.environ, has_own_database=settings.database_url is not None)


def _configure_logging(settings: Settings) -> None:
    configure_logging(_log_format(settings), sys.stderr.buffer, has_colors=_has_colors())


def _log_format(settings: Settings) -> Literal["console", "json"]:
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")


def _has_colors() -> bool:
    """According to https://no-color.org and terminfo."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _run(work: Coroutine[Any, Any, None]) -> None:
    _collect_garbage()
    uvloop.run(run_until_signal(work))


def _collect_garbage() -> None:
    """From now on, and not in what was imported until now: `corral.__main__` disabled it."""
    gc.freeze()
    gc.enable()


def _check_workers(workers: int) -> None:
    if not 1 <= workers <= _MOST_WORKERS:
        raise ValueError(f"--workers takes a number from 1 to {_MOST_WORKERS}; one for each core is usual")


def _token_name(text: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(text)
    except ValidationError:
        raise ValueError("--name takes 1 to 100 printable characters") from None


def _duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if not duration:
        raise ValueError("--expires-in takes a number followed by m, h, d or w, such as 30d")
    return duration


def _sentence(error: ErrorDetails) -> str:
    """Returns one error, with the setting's name as in the environment."""
    place = f"CORRAL_{'_'.join(map(str, error['loc'])).upper()}: " if error["loc"] else ""
    return place + error["msg"]


def _fail(message: str) -> None:
    sys.stderr.write("corral: " + " ".join(message.replace("Value error, ", "").split()) + "\n")
    sys.exit(1)
