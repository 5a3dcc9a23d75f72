"""Settings, read from the environment once by the command line and passed on from there."""

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CORRAL_"
# Names from before 0.1.0.
_RENAMED = {
    "CORRAL_SNAPSHOT_SECONDS": "CORRAL_CACHE_SECONDS",
    "CORRAL_LIVE_SECONDS": "CORRAL_STREAM_POLL_SECONDS",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - no browser can open these
_WAYS_TO_HTTPS = (
    f"set {PREFIX}TLS_CERT and {PREFIX}TLS_KEY, or put Caddy or `tailscale serve` in front of Corral, and set its "
    "https address; or keep the usual settings and use `ssh -L` (see docs/at-home.md)"
)
HOLDING_PASSWORDS = frozenset(
    {"CORRAL_DATABASE_URL", "CORRAL_DATABASE_OWNER_URL", "CORRAL_ALPACA_PROXY", "CORRAL_VALKEY_URL"}
)


def default_data_dir() -> Path:
    """Returns the platform's folder for a user's data; for root, as in a container, /var/lib/corral."""
    if os.geteuid() == 0:
        return Path("/var/lib/corral")
    return platformdirs.user_data_path("corral")


def absolute(path: Path) -> Path:
    """Returns the absolute path, so that messages make sense in any folder. Raises ValueError for an unknown ~user."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{path}: this user has no home directory here") from None


Network = IPv4Network | IPv6Network


def read_networks(text: str) -> tuple[Network, ...]:
    """Reads `10.0.0.0/8, 2001:db8::/32`, also single addresses. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class Settings(BaseSettings):
    """One field for each `CORRAL_…` variable. Frozen; no default for anything secret."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8002, ge=0, le=65535, description="port to listen on")
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder of the embedded database, its log and the keyring; default: the user's data folder",
    )
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL 15 or later, as the role corral_app; default: an embedded PostgreSQL"
    )
    database_owner_url: SecretStr | None = Field(
        default=None, description="the same database as its owner, for migrations and commands about people"
    )
    valkey_url: SecretStr | None = Field(
        default=None,
        description="Valkey, or Redis 7 or later, through which several processes behave as one; "
        "default: each process works alone",
    )
    keyring: str | None = Field(default=None, description="file:PATH of the keyring; default: DATA_DIR/keyring.json")
    public_url: str | None = Field(
        default=None,
        description="Corral's address in browsers, for links, cookies and the cross-origin check; default: "
        "http://HOST:PORT, or https with CORRAL_TLS_CERT",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="file of the certificate and its intermediates (PEM), for TLS without a proxy; reloaded on change",
    )
    tls_key: Path | None = Field(default=None, description="file of the certificate's private key (PEM)")
    trusted_proxies: str | None = Field(
        default=None,
        description="networks of your own reverse proxies, such as 10.0.0.0/8: their X-Forwarded-For is believed",
    )
    gateway_url: str | None = Field(
        default=None,
        description="an origin at whose root only the gateway answers, for clients that drop a path; default: none",
    )
    alpaca_paper_url: str = Field(default="https://paper-api.alpaca.markets", description="Alpaca's paper trading API")
    alpaca_live_url: str = Field(default="https://api.alpaca.markets", description="Alpaca's live trading API")
    alpaca_data_url: str = Field(default="https://data.alpaca.markets", description="Alpaca's market data API")
    alpaca_proxy: SecretStr | None = Field(
        default=None,
        description="proxy for Alpaca's hosts, such as http://HOST:PORT; other proxy variables are ignored",
    )
    cache_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=1.0,
        description="how long an answer from Alpaca is shared; 0: only among simultaneous requests",
    )
    upstream_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=8.0, description="limit for a whole call to Alpaca, retries included"
    )
    stream_poll_seconds: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=1.0, description="shortest time between two calls to Alpaca for an account that is being streamed"
    )
    recheck_seconds: Annotated[float, Field(ge=0, le=604_800)] = Field(
        default=3600.0, description="how often stored keys are checked with Alpaca; 0: never"
    )
    drain_seconds: Annotated[float, Field(ge=0, le=600)] | None = Field(
        default=None,
        description="how long /readyz reports 503 before the port closes; default: 0 on a terminal, else 3",
    )
    log_format: Literal["console", "json"] | None = Field(
        default=None, description="console or json; default: console on a terminal, else json"
    )

    @field_validator("public_url", "gateway_url")
    @classmethod
    def _is_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        has_more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in {"http", "https"} or not parts.hostname or has_more:
            raise ValueError("expected http(s)://host[:port], without a path")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError(
                f"plain http works on this machine only, because it would send passwords unencrypted: {_WAYS_TO_HTTPS}"
            )
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: str | None) -> str | None:
        try:
            read_networks(networks or "")
        except ValueError as error:
            raise ValueError(f"{error}: expected networks like 10.0.0.0/8, 2001:db8::/32") from None
        return networks

    @field_validator("data_dir", mode="after")
    @classmethod
    def _is_absolute(cls, folder: Path) -> Path:
        return absolute(folder)

    @field_validator("tls_cert", "tls_key", mode="after")
    @classmethod
    def _is_absolute_if_set(cls, file: Path | None) -> Path | None:
        return None if file is None else absolute(file)

    @field_validator("keyring")
    @classmethod
    def _is_file(cls, keyring: str | None) -> str | None:
        if keyring is None:
            return None
        if not keyring.startswith("file:"):
            raise ValueError("expected file:PATH")
        return f"file:{absolute(Path(keyring.removeprefix('file:')))}"

    @model_validator(mode="after")
    def _is_reached_safely(self) -> Self:
        """Cookies and one-time links must not be sent unencrypted, or contain a URL that no browser can open."""
        if self.public_url is None and self.host not in _LOOPBACK and (not self.has_tls or self.host in _ALL_ADDRESSES):
            way_out = "set it to the https address for which the certificate is" if self.has_tls else _WAYS_TO_HTTPS
            raise ValueError(f"{PREFIX}PUBLIC_URL is required when Corral listens on {self.host}: {way_out}")
        return self

    @model_validator(mode="after")
    def _has_both_files_for_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "TLS_CERT" if self.tls_cert is None else "TLS_KEY"
            raise ValueError(
                f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY belong together: set {PREFIX}{missing}, too, or neither"
            )
        if self.has_tls and not self.browser_url.startswith("https:"):
            raise ValueError(
                f"{PREFIX}PUBLIC_URL must be an https address with {PREFIX}TLS_CERT: Corral answers no other"
            )
        return self

    @model_validator(mode="after")
    def _has_gateway_apart(self) -> Self:
        """At its own origin the gateway sees no cookie, because browsers share none with it."""
        if self.gateway_url is not None and _origin(self.gateway_url) == _origin(self.browser_url):
            raise ValueError(f"{PREFIX}GATEWAY_URL and {PREFIX}PUBLIC_URL must differ: take another host name or port")
        return self

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        return read_networks(self.trusted_proxies or "")

    @property
    def keyring_path(self) -> Path:
        if self.keyring is not None:
            return Path(self.keyring.removeprefix("file:"))
        return self.data_dir / "keyring.json"

    @property
    def browser_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"{'https' if self.has_tls else 'http'}://{host}:{self.port}"

    @property
    def has_tls(self) -> bool:
        return self.tls_cert is not None and self.tls_key is not None


def _origin(url: str) -> tuple[str | None, int]:
    """Returns host and port, by which two addresses reach the same listener, whatever their scheme."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def take_settings(environ: Mapping[str, str], **overrides: object) -> Settings:
    """Reads the variables; `overrides` that are not None take precedence.

    Raises ValueError for an unknown name with our prefix, so that a typo is noticed.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    for former, new in _RENAMED.items():
        if former in map(str.upper, unknown):
            raise ValueError(f"{former} is now called {new}; rename it")
    if any(name.endswith("_SERVICE_HOST") for name in unknown):
        raise ValueError(
            f"Kubernetes sets {', '.join(unknown)} for its services: set `enableServiceLinks: false` in the pod's spec"
        )
    if unknown:
        raise ValueError(f"unknown setting {', '.join(unknown)}: `corral serve --help` lists all settings")
    return Settings(**{name: value for name, value in overrides.items() if value is not None})  # pyright: ignore[reportArgumentType]  # checked by pydantic


def describe_settings() -> str:
    """Returns the settings for a person, one a line, as `corral serve --help` shows them."""
    return "\n\n".join(_described(name, field) for name, field in Settings.model_fields.items())


def _described(name: str, field: FieldInfo) -> str:
    default = "" if field.default is None or field.default_factory else f"; default: {field.default}"
    return f"{PREFIX}{name.upper()}: {field.description}{default}"
