"""Every operation of the API, read from its OpenAPI document, so that a new one is in these tests at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from corral.app import create_api

Json = dict[str, Any]
Key = tuple[str, str]  # method, path template


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    described: Json

    @property
    def key(self) -> Key:
        return self.method, self.path

    @property
    def ids(self) -> frozenset[str]:
        """Names of the path's parameters and of the body's fields that hold an id."""
        parameters: list[Json] = [one for one in self.described.get("parameters", []) if one["in"] == "path"]
        named = {parameter["name"]: parameter["schema"] for parameter in parameters} | self.body_fields
        return frozenset(name for name, schema in named.items() if _is_id(name, schema))

    @property
    def body_fields(self) -> Json:
        if not self.has_body:
            return {}
        schema = self.described["requestBody"]["content"]["application/json"]["schema"]
        return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.described

    @property
    def is_safe(self) -> bool:
        return self.method == "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


API = create_api()
DOCUMENT: Json = API.openapi()


def _read(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described)


def _is_id(name: str, schema: Json) -> bool:
    choices: list[Json] = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    return name == "id" or name.endswith(("_id", "_ids")) or any(choice.get("format") == "uuid" for choice in choices)


OPERATIONS = list(_read(DOCUMENT))

# These need no authentication. All others need a session or a token.
PUBLIC: frozenset[Key] = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/api/session"),
        ("POST", "/api/session/link"),
        ("POST", "/api/setup"),
        ("POST", "/api/invitation"),
        ("POST", "/api/recovery"),
    }
)
GUARDED = [operation for operation in OPERATIONS if operation.key not in PUBLIC]

# What a token must be allowed for it.
SCOPE_OF: dict[Key, str] = {
    ("GET", "/api/tokens"): "tokens:read",
    ("POST", "/api/tokens"): "tokens:write",
    ("DELETE", "/api/tokens/{token_id}"): "tokens:write",
    ("DELETE", "/api/tokens"): "tokens:write",
    ("GET", "/api/credentials"): "credentials:read",
    ("POST", "/api/credentials"): "credentials:write",
    ("GET", "/api/credentials/{credential_id}"): "credentials:read",
    ("PATCH", "/api/credentials/{credential_id}"): "credentials:write",
    ("DELETE", "/api/credentials/{credential_id}"): "credentials:write",
    ("POST", "/api/credentials/{credential_id}/validate"): "credentials:write",
    ("POST", "/api/credentials/{credential_id}/grants"): "grants:write",
    ("GET", "/api/credentials/{credential_id}/grants"): "grants:read",
    ("DELETE", "/api/credentials/{credential_id}/grants"): "grants:write",
    ("GET", "/api/grants"): "grants:read",
    ("DELETE", "/api/grants"): "grants:write",
    ("PATCH", "/api/grants/{grant_id}"): "grants:write",
    ("DELETE", "/api/grants/{grant_id}"): "grants:write",
    ("GET", "/api/credentials/{credential_id}/account-data"): "accounts:read",
    ("GET", "/api/stream"): "accounts:read",
    ("GET", "/api/audit"): "audit:read",
    ("GET", "/api/audit.jsonl"): "audit:read",
    ("GET", "/api/overview"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/positions"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/orders"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/orders/{order_id}"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/activities"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/portfolio-history"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/clock"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/positions.csv"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/orders.csv"): "accounts:read",
    ("GET", "/api/credentials/{credential_id}/activities.csv"): "accounts:read",
    ("GET", "/api/positions"): "accounts:read",
    ("GET", "/api/orders"): "accounts:read",
    ("GET", "/api/activities"): "accounts:read",
    ("GET", "/api/portfolio-history"): "accounts:read",
    ("GET", "/api/positions.csv"): "accounts:read",
    ("GET", "/api/orders.csv"): "accounts:read",
    ("GET", "/api/activities.csv"): "accounts:read",
    ("GET", "/api/portfolio-history.csv"): "accounts:read",
}
# What every token may do, and what none may: only a person who signed in.
ANY_TOKEN: frozenset[Key] = frozenset({("GET", "/api/me")})
# What only an administrator may do; to everybody else every person is the same.
ADMINISTRATORS: frozenset[Key] = frozenset(
    {
        ("GET", "/api/people"),
        ("POST", "/api/people/invitations"),
        ("DELETE", "/api/people/invitations/{invitation_id}"),
        ("POST", "/api/people/{person_id}/disable"),
        ("POST", "/api/people/{person_id}/enable"),
    }
)
NO_TOKEN: frozenset[Key] = ADMINISTRATORS | {
    ("DELETE", "/api/session"),
    ("PUT", "/api/me/password"),
    ("GET", "/api/me/events"),
    ("POST", "/api/grants/{grant_id}/renew"),
    ("GET", "/api/sessions"),
    ("DELETE", "/api/sessions"),
    ("DELETE", "/api/sessions/{session_id}"),
}
