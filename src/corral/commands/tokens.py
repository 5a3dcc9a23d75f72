"""`corral tokens`: API tokens for programs."""

import sys
from datetime import datetime

from corral.commands.operator import open_for_operator
from corral.identity import api_tokens
from corral.identity.models import Scope
from corral.people import operators
from corral.settings import Settings


async def create_token(
    settings: Settings, email: str, name: str, scopes: list[Scope] | None, expires_at: datetime | None
) -> None:
    async with open_for_operator(settings) as operator:
        user = await operators.find_person(operator.database, email)
        _, token = await api_tokens.create_api_token(
            user.id, operator.database, operator.vault, name=name, scopes=scopes, expires_at=expires_at
        )
        sys.stdout.write(token.reveal() + "\n")
