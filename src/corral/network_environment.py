"""Environment variables that are not Corral's settings but affect TLS and proxies, so that commands can name them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# OpenSSL reads these by itself, for every connection to Alpaca and to PostgreSQL.
_TRUST_FILES = ("SSL_CERT_FILE", "OPENSSL_CONF")
_TRUST_FOLDERS = ("SSL_CERT_DIR",)
# The driver reads these if the database's address does not set them: https://magicstack.github.io/asyncpg/
_TRUST_OF_DATABASE = ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")

# Read by Python and by drivers: they would write the keys of every TLS connection to a file.
NEVER_FOLLOWED = ("SSLKEYLOGFILE",)


@dataclass(frozen=True, slots=True)
class NetworkEnvironment:
    """`trust` holds variables that change which certificates are trusted, with values; `proxies` only names."""

    trust: Mapping[str, str]
    proxies: tuple[str, ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, has_own_database: bool) -> Self:
        """Without a configured database the embedded one is used, which no variable affects."""
        trust = (*_TRUST_FILES, *_TRUST_FOLDERS, *(_TRUST_OF_DATABASE if has_own_database else ()))
        return cls(
            trust={name: environ[name] for name in trust if environ.get(name)},
            proxies=tuple(name for name in environ if name.upper() in _PROXIES and environ[name]),
        )

    def unusable_trust(self) -> Iterator[str]:
        """Yields a sentence for each path that cannot be used: OpenSSL would silently trust no one, or wait forever."""
        for name, value in self.trust.items():
            if name in _TRUST_FILES and not Path(value).is_file():
                yield f"{name} is set to {value}, which is not a readable file: correct or unset it"
            elif name in _TRUST_FOLDERS and not any(map(Path.is_dir, map(Path, value.split(":")))):
                yield f"{name} is set to {value}, which is not a folder: correct or unset it"
