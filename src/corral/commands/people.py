"""`corral users`: adds, lists, disables, enables, promotes and demotes people, and prints recovery links."""

from uuid import UUID

from rich.table import Table

from corral.commands.console import out
from corral.commands.operator import Operator, open_for_operator
from corral.identity import sign_in
from corral.identity.links import Kind, issue_link
from corral.people import operators
from corral.secret import Secret
from corral.settings import Settings


async def add_user(settings: Settings, email: str, password: Secret | None) -> None:
    async with open_for_operator(settings) as operator:
        await _add_user(operator, email, password)


async def add_administrator(settings: Settings, email: str, password: Secret | None) -> None:
    """Connects as the owner first, so that no person is added without the role if that fails."""
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        await _add_user(operator, email, password)
        await operators.promote_person(connection, operator.vault, email)


async def _add_user(operator: Operator, email: str, password: Secret | None) -> None:
    user_id = await sign_in.add_user(operator.database, operator.vault, email=email, password=password)
    if password is None:
        await _print_link(operator, user_id)
    else:
        out.print(f"Added {email}.")


async def list_users(settings: Settings) -> None:
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        table = Table("email", "joined", "status", "role", box=None)
        for person in await operators.load_people(connection, operator.vault):
            status = "disabled" if person.disabled_at else "active"
            role = "administrator" if person.is_administrator else ""
            table.add_row(person.email, f"{person.created_at:%Y-%m-%d}", status, role)
        out.print(table)


async def disable_user(settings: Settings, email: str) -> None:
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        await operators.disable_person(connection, operator.vault, email)
        out.print(f"Disabled {email}. Their sessions and API tokens have ended.")


async def enable_user(settings: Settings, email: str) -> None:
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        await operators.enable_person(connection, operator.vault, email)
        out.print(f"Enabled {email}. They can sign in with their password, or with a link from `corral users link`.")


async def promote_user(settings: Settings, email: str) -> None:
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        await operators.promote_person(connection, operator.vault, email)
        out.print(f"{email} is now an administrator.")


async def demote_user(settings: Settings, email: str) -> None:
    async with open_for_operator(settings) as operator, operators.owner_connection(operator.owner_dsn) as connection:
        await operators.demote_person(connection, operator.vault, email)
        out.print(f"{email} is no longer an administrator. Their open invitations have ended.")


async def print_recovery_link(settings: Settings, email: str) -> None:
    async with open_for_operator(settings) as operator:
        user = await operators.find_person(operator.database, email)
        await _print_link(operator, user.id, "recovery")


async def _print_link(operator: Operator, user_id: UUID, kind: Kind = "sign_in") -> None:
    link = await issue_link(operator.database, operator.vault, kind, user_id, operator.public_url)
    out.print(link.reveal())
