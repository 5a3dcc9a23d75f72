"""What variables of the environment that are none of our settings do to us, said so that nobody is surprised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# OpenSSL reads these by itself, for every connection to Alpaca and to PostgreSQL.
_TRUST_FILES = ("SSL_CERT_FILE", "OPENSSL_CONF")
_TRUST_FOLDERS = ("SSL_CERT_DIR",)
# The driver reads these where the database's address does not say it: https://magicstack.github.io/asyncpg/
_TRUST_OF_DATABASE = ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")

# Read by Python and by drivers: they would write the keys of every TLS connection to a file.
NEVER_FOLLOWED = ("SSLKEYLOGFILE",)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`trust` are variables with their values, which change whose certificates are accepted; `proxies` only names."""

    trust: Mapping[str, str]
    proxies: tuple[str, ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, has_own_database: bool) -> Self:
        """Without a database of one's own, the embedded one is opened, and no variable has a say in that."""
        trust = (*_TRUST_FILES, *_TRUST_FOLDERS, *(_TRUST_OF_DATABASE if has_own_database else ()))
        return cls(
            trust={name: environ[name] for name in trust if environ.get(name)},
            proxies=tuple(name for name in environ if name.upper() in _PROXIES and environ[name]),
        )

    def unusable_trust(self) -> Iterator[str]:
        """A sentence for each that leads to nothing: OpenSSL would silently trust nobody, or wait for ever."""
        for name, value in self.trust.items():
            if name in _TRUST_FILES and not Path(value).is_file():
                yield f"{name} is set to {value}, which is not a readable file: correct or unset it"
            elif name in _TRUST_FOLDERS and not any(map(Path.is_dir, map(Path, value.split(":")))):
                yield f"{name} is set to {value}, which is not a folder: correct or unset it"
