"""Reads CORRAL_VALKEY_URL.

No message repeats a part of the URL: a password with an unescaped `/`, `?` or `@` would be in any of its parts.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from corral.secret import Secret
from corral.valkey.errors import ValkeyRefused

SETTING: Final = "CORRAL_VALKEY_URL"
FORM: Final = (
    "valkey://[USER:PASSWORD@]HOST[:PORT][/DATABASE], with valkeys:// for TLS, or "
    "valkey+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DATABASE]"
)
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_LARGEST_PORT: Final = 65_535
_LARGEST_DATABASE: Final = 9_999
_URL: Final = re.compile(
    r"(?P<engine>valkey|redis)(?P<tls>s)?(?P<sentinel>\+sentinel)?://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^:@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]+)(?P<path>(?:/[^/?#@]*)*)(?:\?(?P<query>[^?#@]*))?",
    re.IGNORECASE,
)
_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_PARAMETERS: Final = frozenset({"cafile", "sentinel_username", "sentinel_password"})


class HostAndPort(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Login:
    """None as the user is the server's default user. Without a password nothing is presented."""

    user: str | None
    password: Secret | None


@dataclass(frozen=True, slots=True)
class ValkeyAddress:
    """`places` are the server, or with a `service` the Sentinels that know where its primary is."""

    places: tuple[HostAndPort, ...]
    service: str | None
    login: Login
    sentinel_login: Login
    database: int
    has_tls: bool
    cafile: Path | None


def read_address(url: str) -> ValkeyAddress:
    """Raises ValkeyRefused."""
    found = _URL.fullmatch(url.strip())
    if found is None:
        raise _refused(f"expected {FORM}; write special characters of the password as %XX")
    has_tls, has_sentinel = found["tls"] is not None, found["sentinel"] is not None
    places = _places(found["hosts"], _SENTINEL_PORT if has_sentinel else _PORT)
    if len(places) > 1 and not has_sentinel:
        raise _refused(
            "several hosts are a cluster, which Corral does not use: name one primary, or its Sentinels with "
            "valkey+sentinel://HOST,HOST/SERVICE"
        )
    service, database = _service_and_database(found["path"], has_sentinel=has_sentinel)
    parameters = _parameters(found["query"] or "")
    cafile = parameters.get("cafile")
    if cafile is not None and not has_tls:
        raise _refused("cafile is for TLS: begin the address with valkeys:// or rediss://")
    return ValkeyAddress(
        places=places,
        service=service,
        login=_login(unquote(found["user"] or ""), unquote(found["password"] or "")),
        sentinel_login=_login(parameters.get("sentinel_username", ""), parameters.get("sentinel_password", "")),
        database=database,
        has_tls=has_tls,
        cafile=None if cafile is None else Path(cafile).expanduser().absolute(),
    )


def _places(hosts: str, port: int) -> tuple[HostAndPort, ...]:
    matches = [_HOST.fullmatch(host) for host in hosts.split(",")]
    places = [HostAndPort(match["six"] or match["name"], int(match["port"] or port)) for match in matches if match]
    if len(places) < len(matches) or not all(0 < place.port <= _LARGEST_PORT for place in places):
        raise _refused(f"its host or port can't be read: expected {FORM}")
    return tuple(places)


def _service_and_database(path: str, *, has_sentinel: bool) -> tuple[str | None, int]:
    parts = [unquote(part) for part in path.split("/")[1:]]
    while parts and not parts[-1]:
        parts.pop()
    service = parts.pop(0) if has_sentinel and parts else None
    if has_sentinel and not service:
        raise _refused("the name of the service that the Sentinels watch is missing: expected …HOST:26379/SERVICE")
    number = parts[0] if parts else "0"
    if len(parts) > 1 or not (number.isascii() and number.isdecimal()) or int(number) > _LARGEST_DATABASE:
        raise _refused(f"its database must be a number, such as 0: expected {FORM}")
    return service, int(number)


def _parameters(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    parameters = dict(pairs)
    if not parameters.keys() <= _PARAMETERS or len(parameters) < len(pairs):
        raise _refused(f"after the ? it takes {', '.join(sorted(_PARAMETERS))}, each once")
    return parameters


def _login(user: str, password: str) -> Login:
    if user and not password:
        raise _refused(
            "there is a user without a password: expected USER:PASSWORD@, or :PASSWORD@ for the default user"
        )
    return Login(user or None, Secret(password) if password else None)


def _refused(problem: str) -> ValkeyRefused:
    return ValkeyRefused(f"{SETTING} cannot be used: {problem}")
